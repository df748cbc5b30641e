"""Measure growth: time and memory with the number of videos, and with their length.

    python examples/benchmarks/growth.py --json results.json
    python examples/benchmarks/growth.py --fit clips/

Each measurement runs in a process of its own, which loads the detectors, scores and
says how long that took and how far its memory rose above what it was before. Short
videos are made for the purpose; a long one is a short one's packets again and again, so
that two hours take seconds to write. A frame costs what is decoded from the key frame
before it on: with key frames a second apart, as phones and streams have them, little;
ten seconds apart, x264's default, up to 250 frames; ``--sampling keyframes`` takes key
frames instead.

With ``--fit`` an ensemble of five members is fitted on a folder with ``real/`` and
``fake/`` in it, each video a group, and the most memory that the process held at once
is told: its own, without what the files of libraries take, which the system can drop.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from goals import Goal, machine, write

from base_models import write_video

LENGTHS = {"10 s": 1, "10 min": 60, "2 h": 720}  # times ten seconds
N_FRAMES = 16


def short_video(path, seed, n_frames=24, size=(96, 128)):
    """A little moving noise."""
    rng = np.random.default_rng(seed)
    still = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
    still = still.repeat(8, 0).repeat(8, 1)
    frames = (np.roll(still, shift, axis=1) for shift in range(n_frames))
    return write_video(path, frames, preset="ultrafast")


def ten_seconds(path, seconds_between_key_frames, size=(1080, 1920), fps=25):
    """Bars that move over 1080p."""
    y, x = np.mgrid[: size[0], : size[1]]
    gop = round(fps * seconds_between_key_frames)
    with av.open(str(path), "w") as out:
        options = {"crf": "30", "preset": "superfast", "g": str(gop)}
        stream = out.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for shift in range(10 * fps):
            wave = 127 + 100 * np.sin((x + 4 * shift) / 60 + y / 90)
            image = wave.astype(np.uint8)[..., None].repeat(3, axis=2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode())
    return path


def repeated(source, path, times):
    """The packets of a video again and again, nothing decoded."""
    with av.open(str(source)) as one:
        stream = one.streams.video[0]
        packets = [p for p in one.demux(stream) if p.dts is not None]
        length = round(10 / stream.time_base)
        with av.open(str(path), "w") as out:
            copy = out.add_stream_from_template(stream)
            for number in range(times):
                for packet in packets:
                    again = av.Packet(bytes(packet))
                    again.pts = packet.pts + number * length
                    again.dts = packet.dts + number * length
                    again.duration = packet.duration
                    again.time_base = packet.time_base
                    again.is_keyframe = packet.is_keyframe
                    again.stream = copy
                    out.mux(again)
    return path


def child(folder, limit, sampling):
    """Score the videos of a folder; print seconds and mebibytes as JSON."""
    from base_models import FrameDetector, list_videos, score_videos

    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (2, 64, 64, 3), np.uint8) for _ in range(4)]
    paths = [str(path) for path in list_videos(folder)][:limit]
    with tempfile.TemporaryDirectory() as store:
        detectors = [
            FrameDetector(
                backbone, "frame", train="head", weights=None, image_size=size,
                n_frames=N_FRAMES, sampling=sampling, random_state=0, store=store,
            ).fit(videos, [0, 1, 0, 1])
            for backbone, size in (("mesonet4", 128), ("efficientnet_lite0", 128))
        ]  # fmt: skip
        score_videos(detectors, videos, store)  # warms up
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        score_videos(detectors, paths, store)
        took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": took, "MiB": (peak - before) / 1024}))


FITTED = ("colours", "noise", "motion", "frequency", "flicker")
FIT_LIMIT = 2 * 1024  # MiB


def own_memory():
    """Mebibytes of this process that no file backs; Linux alone tells."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("how much memory a process holds is told by Linux alone")


def fit_on(folder, foundation):
    """Fit members on clips, two folds and 200 pairs each; print seconds and MiB."""
    from members_parts.setup import Sizes, kinds_of, make_member

    from base_models import Store
    from ensemble import DeepfakeEnsemble
    from ensemble.datasets import load_dataset

    table = load_dataset("auto", folder, duplicates="allow")
    n_real = table.labels.count(0)
    sizes = Sizes(
        image_size=160, network_weights=None, pairs=200, epochs=2,
        foundation_pairs=200, foundation_epochs=2,
    )  # fmt: skip
    patches = replace(sizes, image_size=154)  # a multiple of its 14 pixels
    names = (*FITTED, "foundation") if foundation else FITTED
    most, done = [own_memory()], threading.Event()

    def watch():
        while not done.wait(0.2):
            most.append(own_memory())

    threading.Thread(target=watch, daemon=True).start()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a training that is cut short
        store = Store(place)
        kinds = kinds_of(sizes.seed)[0]
        members = {
            name: make_member(
                name, kinds, patches if name == "foundation" else sizes, n_real, store
            )
            for name in names
        }
        model = DeepfakeEnsemble(
            members, "voting", resampling=2, store=store, random_state=0, verbose=False
        )
        model.fit(table.videos, table.labels, groups=np.arange(len(table)))
    done.set()
    took = time.perf_counter() - began
    raw = {"videos": len(table), "seconds": took, "MiB": max(most), "before": most[0]}
    print(f"fit: {raw}")
    what = f"MiB held by a fit of {len(names)} members on {len(table)} videos"
    return [Goal.at_most(what, max(most), FIT_LIMIT)], {"fit": raw}


def measure(folder, limit=None, sampling="even"):
    command = [sys.executable, __file__, "--child", str(folder), "--limit", str(limit)]
    command += ["--sampling", sampling]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--lengths", choices=LENGTHS, nargs="+", default=[*LENGTHS])
    parser.add_argument(
        "--sampling", choices=("even", "keyframes"), default="even",
        help="of the long videos",
    )  # fmt: skip
    parser.add_argument("--fit", metavar="CLIPS", help="measure a fit on it instead")
    parser.add_argument(
        "--foundation", action="store_true", help="a foundation model among its members"
    )
    parser.add_argument("--json", help="file for goals and raw figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--limit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        limit = None if options.limit == "None" else int(options.limit)
        child(options.child, limit, options.sampling)
        return

    print(machine())
    if options.fit:
        write(*fit_on(options.fit, options.foundation), options.json)
        return
    raw = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "short").mkdir()
        for number in range(max(options.numbers)):
            short_video(folder / "short" / f"{number:05}.mp4", number)
        for number in options.numbers:
            raw[f"{number} videos"] = measure(folder / "short", number)
            print(f"{number} videos: {raw[f'{number} videos']}", flush=True)
        for between in (1, 10):
            source = ten_seconds(folder / f"source_{between}.mp4", between)
            for length in options.lengths:
                name = f"{length}, key frames {between} s apart"
                (folder / name).mkdir()
                long = repeated(source, folder / name / "a.mp4", LENGTHS[length])
                raw[name] = measure(folder / name, sampling=options.sampling)
                print(f"{name}: {raw[name]}", flush=True)
                long.unlink()
    goals = []
    few, many = (f"{pick(options.numbers)} videos" for pick in (min, max))
    if few != many:
        middle = f"{sorted(options.numbers)[-2]} videos"
        each = {n: raw[n]["seconds"] / int(n.split()[0]) for n in (middle, many)}
        goals += [
            Goal.at_most(
                f"seconds a video: {many} against {middle}",
                each[many] / each[middle],
                1.1,
            ),
            Goal.at_most(
                f"rise of memory, MiB: {many} less {middle}, a tenth of the latter",
                raw[many]["MiB"] - raw[middle]["MiB"],
                max(0.1 * raw[middle]["MiB"], 20.0),
            ),
        ]
    limit = 3 if options.sampling == "even" else 2
    for between in (1, 10):
        short, long = (f"{n}, key frames {between} s apart" for n in ("10 s", "2 h"))
        if not {short, long} <= set(raw):
            continue
        ratio = raw[long]["seconds"] / raw[short]["seconds"]
        rise = raw[long]["MiB"]
        goals += [
            Goal.at_most(f"seconds: 2 h against {short}", ratio, limit),
            Goal.at_most(f"rise of memory by {long}, MiB", rise, 1024),
        ]
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
