"""Measure cost: CPU seconds a video by member, and what a million videos a day need.

    python examples/benchmarks/cost.py --clips clips/ --json results.json

CPU time of the process, not time on the clock, so that other work on the machine does
not count; one thread, 16 frames a video, weights random. Decoding and faces are shared
by all members that look at the same; each network runs once for each view. Without
--clips, clips are forged for the purpose.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from goals import machine, write
from rich.console import Console
from rich.table import Table
from scoring import N_FRAMES, fitted_detectors

from base_models import (
    DlibFaceFinder,
    FlickerDetector,
    FrequencyDetector,
    YuNetFaceFinder,
    list_videos,
    sample_frames,
)
from base_models.face_tracks import follow_faces
from base_models.inference.engines import int8_is_here
from base_models.inference.processor import has_bfloat16
from base_models.scoring import walk_videos
from base_models.video.reading import sample_clips
from ensemble.datasets import make_forgeries

NETWORKS = {
    "xception": None,
    "efficientnet": None,
    "resnet": None,
    "efficientnet_lite0": 128,
    "mesonet4": 128,
}
_A_DAY = 24 * 3600


def cpu_seconds(work, *arguments):
    """CPU seconds of all threads of this process, and what came out."""
    began = time.process_time()
    made = work(*arguments)
    return time.process_time() - began, made


def measure(videos, folder, yunet=None):
    """CPU seconds a video: {what: list}."""
    three = "decoding, three frames in a row"
    finders = {
        "faces": DlibFaceFinder(), "faces, every=1": DlibFaceFinder(every=1),
    }  # fmt: skip
    if yunet:
        finders["faces, YuNet"] = YuNetFaceFinder(yunet)
    for finder in finders.values():  # loads its model
        finder.find(np.zeros((64, 64, 3), np.uint8))
    spent = {"decoding": [], three: []} | {name: [] for name in finders}
    for video in videos:
        took, frames = cpu_seconds(sample_frames, video, N_FRAMES)
        spent["decoding"].append(took)
        spent[three].append(cpu_seconds(sample_clips, video, N_FRAMES, 3)[0])
        for name, finder in finders.items():
            spent[name].append(cpu_seconds(follow_faces, frames, finder)[0])
    for kind in (FrequencyDetector, FlickerDetector):
        detector = kind(n_frames=N_FRAMES, store=folder / "store")
        (key,) = (recipe.key for recipe in detector.view_recipes())
        seen = all_views(detector, videos, folder)
        spent[str(detector)] = [
            cpu_seconds(detector._measure, views[key])[0] for views in seen
        ]
    detectors = fitted_detectors(NETWORKS, folder)[1::2]  # those of faces
    for detector in detectors:
        detector.set_params(n_threads=1, store=folder / "store")
        (key,) = (recipe.key for recipe in detector.view_recipes())
        name = f"{detector.backbone}, {detector._image_size()} px"
        spent[name] = []
        for views in all_views(detector, videos, folder):
            images = views[key].images
            body = detector.module_.backbone
            detector._run_frozen(body, images)  # compiles, where that pays
            spent[name].append(cpu_seconds(detector._run_frozen, body, images)[0])
        if has_bfloat16():
            detector.set_params(engine="bfloat16")
            spent[f"{name}, 16 bits"] = in_fewer_bits(detector, videos, folder)
        if int8_is_here():
            detector.set_params(engine="int8").find_ranges(videos)
            spent[f"{name}, 8 bits"] = in_fewer_bits(detector, videos, folder)
    return spent


def in_fewer_bits(detector, videos, folder):
    """CPU seconds of each video by the network of a detector."""
    took, body = [], detector.module_.backbone
    for views in all_views(detector, videos, folder):
        (view,) = views.values()
        detector._run_frozen(body, view.images[:1])  # makes the copy in fewer bits
        took.append(cpu_seconds(detector._run_frozen, body, view.images)[0])
    return took


def all_views(detector, videos, folder):
    """Views of all videos, made before anything is timed: threads make them ahead."""
    return list(walk_videos([detector], videos, folder / "store"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", help="folder of videos; without, some are forged")
    parser.add_argument("--videos", type=int, default=6, help="how many at most")
    parser.add_argument("--yunet", help="YuNet's ONNX file, to find faces by it, too")
    parser.add_argument("--json", help="file for raw figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.clips:
            videos = [str(video) for video in list_videos(options.clips)]
        else:
            half = options.videos // 2
            made = make_forgeries(folder / "clips", n_identities=half + half % 2)
            videos = [str(video) for video in made.videos]
        spent = measure(videos[: options.videos], folder, options.yunet)
    table = Table("", "CPU seconds a video", "cores for a million videos a day")
    for what, took in spent.items():
        median = statistics.median(took)
        table.add_row(what, f"{median:.3f}", f"{1e6 * median / _A_DAY:.0f}")
    Console().print(table)
    write([], {"CPU seconds a video": spent}, options.json)


if __name__ == "__main__":
    main()
