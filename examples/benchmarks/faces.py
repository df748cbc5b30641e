"""Measure following faces: what looking near where a face was saves, and what it costs.

    python examples/benchmarks/faces.py --clips clips/ --yunet yunet.onnx \
--json results.json

``DlibFaceFinder(every=N)`` looks at the whole of every Nth sampled frame. Its boxes are
compared with those of whole looks (overlap) and, given YuNet's model, with a finder
that knows nothing of either: how far the middle of the box lies from its landmarks, and
its size from that of its box, each less the clip's median. If these spread no more
than those of whole looks, nothing is lost.
"""

import argparse
import statistics
import time

import numpy as np
from goals import Goal, machine, write
from rich.console import Console
from rich.table import Table

from base_models import (
    DlibFaceFinder,
    VideoReadError,
    YuNetFaceFinder,
    list_videos,
    sample_frames,
)
from base_models.face_tracks import follow_faces, largest_track

_EVERY = (1, 2, 4, 8, 16)
_N_FRAMES = 16


def follow(frames, every):
    """CPU seconds, and {row: Face} of the face followed longest."""
    began = time.process_time()
    tracks = follow_faces(frames, DlibFaceFinder(every=every))
    took = time.process_time() - began
    track = largest_track(tracks) if tracks else None
    return took, dict(zip(track.frames, track.faces, strict=True)) if track else {}


def overlap(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    common = np.prod(np.maximum(high - low + 1, 0))
    area = sum(np.prod(np.subtract(box[2:], box[:2]) + 1) for box in (one, other))
    return common / (area - common)


def apart(faces, references):
    """Place and size beside a reference: (n, 3), x and y in sides, size as a log."""
    rows = []
    for row, face in faces.items():
        middle = np.add(face.box[:2], face.box[2:]) / 2
        off = [(r.landmarks.mean(axis=0) - middle, r.side) for r in references[row]]
        off = [(way, side) for way, side in off if np.hypot(*way) < face.side]
        if off:
            way, side = min(off, key=lambda each: np.hypot(*each[0]))
            rows.append([*(way / side), np.log(face.side / side)])
    rows = np.array(rows).reshape(-1, 3)
    return rows - np.median(rows, axis=0) if len(rows) else rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", required=True, help="folder of videos of people")
    parser.add_argument("--yunet", help="YuNet's ONNX file")
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    print(machine())
    reference = YuNetFaceFinder(options.yunet) if options.yunet else None
    seconds, n_faces, overlaps, spread = (
        {every: [] for every in _EVERY} for _ in range(4)
    )
    for video in list_videos(options.clips):
        try:
            frames = sample_frames(video, _N_FRAMES)
        except VideoReadError as error:
            print(error)
            continue
        references = [reference.find(frame) for frame in frames] if reference else []
        for every in _EVERY:
            took, faces = follow(frames, every)
            if every == 1:
                whole = faces
            seconds[every].append(took)
            n_faces[every].append(len(faces))
            overlaps[every] += [
                overlap(face.box, whole[row].box)
                for row, face in faces.items()
                if row in whole
            ]
            if reference:
                spread[every].append(apart(faces, references))
    table = Table(
        "every", "CPU s", "faces", "overlap: median", "least", "x", "y", "size"
    )
    raw = {}
    for every in _EVERY:
        raw[every] = {
            "CPU seconds": sum(seconds[every]),
            "faces": sum(n_faces[every]),
            "overlap": [statistics.median(overlaps[every]), min(overlaps[every])],
        }
        if reference:
            parts = np.concatenate(spread[every])
            raw[every]["spread beside YuNet"] = parts.std(axis=0).tolist()
        figures = (
            *raw[every]["overlap"],
            *raw[every].get("spread beside YuNet", [np.nan] * 3),
        )
        table.add_row(
            str(every),
            f"{sum(seconds[every]):.2f}",
            str(sum(n_faces[every])),
            *(f"{figure:.3f}" for figure in figures),
        )
    Console().print(table)
    default = DlibFaceFinder().every
    quick, plain = raw[default], raw[1]
    goals = [
        Goal.at_most(
            f"every={default}: time, times that of whole looks",
            quick["CPU seconds"] / plain["CPU seconds"],
            0.5,
        ),
        Goal.at_least(
            f"every={default}: faces, times those of whole looks",
            quick["faces"] / plain["faces"],
            1,
        ),
    ]
    if reference:
        goals.append(
            Goal.at_most(
                f"every={default}: spread beside YuNet, times that of whole looks",
                np.max(
                    np.divide(
                        quick["spread beside YuNet"], plain["spread beside YuNet"]
                    )
                ),
                1.1,
            )
        )
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
