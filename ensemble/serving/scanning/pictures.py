"""Small pictures of a scan: each face, and frames of the timeline."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FACES, FRAMES = "faces", "frames"  # folders of a job
_MOST_FACES, _MOST_FRAMES = 50, 24
_FACE_SIDE, _FRAME_SIDE, _STILL_SIDE = 192, 320, 1280  # pixels, at most
_MARGIN = 0.25  # of a face's box, around it
_AT_ONCE = 4  # frames in memory
_QUALITY = 85


def write_pictures(result: Any, folder: Path) -> None:
    """Write ``faces/N.jpg`` of each face and ``frames/N.jpg`` of some frames.

    Parameters
    ----------
    result : ScanResult
        Of a video that could be read.
    folder : Path
        Of the job. Faces are numbered as in the result, frames as in the video.
    """
    faces = _face_places(result)
    shown = set(timeline_frames(result))
    times = result.look.times
    side = _STILL_SIDE if times is None or len(times) < 2 else _FRAME_SIDE
    wanted = sorted(shown | {frame for frame, _ in faces.values()})
    for frame, image in _read(result.source, wanted):
        if frame in shown:
            _write(folder / FRAMES / f"{frame}.jpg", image, side)
        for face, (at, box) in faces.items():
            if at == frame:
                _write(folder / FACES / f"{face}.jpg", _cut(image, box), _FACE_SIDE)


def timeline_frames(result: Any) -> list[int]:
    """Return the frames of a scan to show: those that were scored, or some of them.

    Parameters
    ----------
    result : ScanResult

    Returns
    -------
    list of int
        Rising; the first frame where none was scored.
    """
    scored = np.unique(result.timeline["frame"].to_numpy(int))
    if not len(scored):
        return [0]
    places = np.linspace(0, len(scored) - 1, min(len(scored), _MOST_FRAMES))
    return scored[np.round(places).astype(int)].tolist()


def _face_places(result):
    """Return {face: (frame, box)} of where each face is to be seen best."""
    found = {}
    for number, track in enumerate(result.look.faces[:_MOST_FACES], 1):
        own = result.timeline[result.timeline["face"] == number]
        at = int(np.argmax([face.area for face in track.faces]))
        if len(own):  # where it looks most like a forgery, if it was looked for there
            worst = int(own.loc[own["score"].astype(float).idxmax(), "frame"])
            places = np.flatnonzero(track.frames == worst)
            at = int(places[0]) if len(places) else at
        found[number] = int(track.frames[at]), track.faces[at].box
    return found


def _read(source, wanted) -> Iterator[tuple[int, np.ndarray]]:
    from base_models.video.reading import sample_clips

    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        sample = sample_clips(source, at=np.array(some))
        yield from zip(sample.numbers.tolist(), sample.frames, strict=True)


def _cut(image, box):
    height, width = image.shape[:2]
    left, top, right, bottom = box
    margin = _MARGIN * max(right - left, bottom - top)
    rows = slice(max(0, round(top - margin)), min(height, round(bottom + margin) + 1))
    columns = slice(max(0, round(left - margin)), min(width, round(right + margin) + 1))
    piece = image[rows, columns]
    return piece if piece.size else image


def _write(path, image, side):
    from PIL import Image

    from base_models.runtime.file_writing import replacing

    picture = Image.fromarray(image)
    picture.thumbnail((side, side))
    with replacing(path) as unfinished:
        picture.save(unfinished, "JPEG", quality=_QUALITY)
