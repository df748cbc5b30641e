"""Measure scoring: six detectors together against scripts, and against the networks.

    python examples/benchmarks/scoring.py --clips clips/ --json results.json

Three networks, each on whole frames and on face crops, score videos of three sizes from
16 frames each. Against (a) the notebook's way: per detector, OpenCV reads the video,
dlib's HOG looks at each sampled full frame, enlarged once, and torch takes one image at
a time; (b) the careful script: the same with frames and faces shared and one batch a
video; (c) the floor: nothing but the networks, on inputs that are ready. Weights are
random: they matter to no time. Without --clips, clips are forged for the purpose.
``--engine bfloat16`` runs our networks in 16 bits, ``--yunet FILE`` finds our faces by
YuNet; the scripts stay as they are.
"""

import argparse
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from by_hand import hog, read_frames, resized, view_images
from goals import Goal, machine, write

from base_models import (
    FrameDetector,
    YuNetFaceFinder,
    list_videos,
    sample_frames,
    score_videos,
)
from base_models.scoring import walk_videos
from base_models.video import iter_frames, probe_video, write_video
from ensemble.datasets import make_forgeries

N_FRAMES = 16
NETWORKS = {
    "default": {"xception": None, "efficientnet": None, "resnet": None},
    "small": {"efficientnet_lite0": 128, "mesonet4": 128},
}
HEIGHTS = {"as they are": None, "720p": 720, "1080p": 1080}
TARGETS = {  # times as fast as (a), by height
    "default": {"as they are": 3, "720p": 5, "1080p": 10},
    "small": {"as they are": 10, "720p": 15, "1080p": 25},
}


def fitted_detectors(networks, folder):
    """Detectors with a frozen body and a head that has learned something or other."""
    rng = np.random.default_rng(0)
    videos = [
        np.repeat(rng.integers(0, 256, (1, 64, 64, 3), np.uint8), 2, 0)
        for _ in range(4)
    ]
    detectors = []
    for backbone, size in networks.items():
        for view in ("frame", "face"):
            detector = FrameDetector(
                backbone, "crop", train="head", weights=None, image_size=size,
                n_frames=1, random_state=0, store=folder / "fit",
            ).fit(videos, [0, 1, 0, 1])  # fmt: skip
            detector.set_params(view=view, n_frames=N_FRAMES)
            detector.recipe_ = detector._view_recipe()  # fitted on other views
            detectors.append(detector)
    return detectors


def of_height(videos, height, folder):
    """Copies of the videos, scaled and encoded anew."""
    if height is None:
        return videos
    made = []
    for number, video in enumerate(videos):
        info = probe_video(video)
        width = 2 * round(height * info.width / info.height / 2)
        frames = (
            cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)
            for frame in iter_frames(video)
        )
        name = folder / f"{height}_{number}.mp4"
        made.append(write_video(name, frames, fps=info.fps, preset="veryfast"))
    return made


def transformed(detector, images):
    """What the network takes, of images of any size."""
    recipe = detector._preparation()
    images = [resized(image, recipe.image_size) for image in images]
    return recipe.normalise(torch.from_numpy(np.stack(images)))


@torch.inference_mode()
def notebook_way(detectors, video):
    for detector in detectors:
        frames = read_frames(video, N_FRAMES)
        for image in view_images(frames, detector.view, hog()):
            detector.module_(transformed(detector, [image])).softmax(1)


@torch.inference_mode()
def careful_script(detectors, video):
    frames = read_frames(video, N_FRAMES)
    images = {view: view_images(frames, view, hog()) for view in ("frame", "face")}
    for detector in detectors:
        if images[detector.view]:
            inputs = transformed(detector, images[detector.view])
            detector.module_(inputs).softmax(1).mean(0)


@torch.inference_mode()
def networks_alone(detectors, ready):
    """Seconds of the forward passes, by the faster of torch and the engine in use."""
    took = 0
    for detector, images in zip(detectors, ready, strict=True):
        inputs = detector._preparation().normalise(torch.from_numpy(images))
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        by_torch = seconds(detector.module_, inputs)
        by_engine = seconds(detector._run_frozen, detector.module_.backbone, images)
        took += min(by_torch, by_engine)
    return took


def seconds(work, *arguments):
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def ours(detectors, videos, folder):
    """Seconds a video, with a store that is empty."""
    store = Path(tempfile.mkdtemp(dir=folder))
    for detector in detectors:
        detector.set_params(store=store)
    took = seconds(score_videos, detectors, videos, store)
    shutil.rmtree(store)
    return took / len(videos)


def measure(detectors, videos, rounds, folder):
    """Seconds a video of each way, each round; decoding and faces alone beside them."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        walked = list(walk_videos(detectors, videos, store))
    ready = [walked[0][d.view_recipes()[0].key].images for d in detectors]
    ours(detectors, videos[:2], folder)  # warms up
    found = {"ours": [], "a": [], "b": [], "c": [], "views alone": [], "decoding": []}
    for number in range(rounds):
        video = videos[number % len(videos)]
        found["ours"].append(ours(detectors, videos, folder))
        found["c"].append(networks_alone(detectors, ready))
        found["b"].append(seconds(careful_script, detectors, video))
        found["a"].append(seconds(notebook_way, detectors, video))
        with tempfile.TemporaryDirectory(dir=folder) as store:
            walk = seconds(list, walk_videos(detectors, videos, store))
        found["views alone"].append(walk / len(videos))
        found["decoding"].append(seconds(sample_frames, video, N_FRAMES))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", help="folder of videos; without, some are forged")
    parser.add_argument("--videos", type=int, default=6, help="how many at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", choices=NETWORKS, nargs="+", default=[*NETWORKS])
    parser.add_argument("--sizes", choices=HEIGHTS, nargs="+", default=[*HEIGHTS])
    parser.add_argument("--engine", default="auto", help="bfloat16: 16 bits, for ours")
    parser.add_argument("--yunet", help="YuNet's ONNX file: ours look for faces by it")
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    goals, raw = [], {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.clips:
            videos = [str(video) for video in list_videos(options.clips)]
        else:
            made = make_forgeries(folder / "clips", n_identities=options.videos // 2)
            videos = [str(video) for video in made.videos]
        by_size = {
            size: of_height(videos[: options.videos], HEIGHTS[size], folder)
            for size in options.sizes
        }
        for kind in options.networks:
            detectors = fitted_detectors(NETWORKS[kind], folder)
            for detector in detectors:
                finder = YuNetFaceFinder(options.yunet) if options.yunet else None
                detector.set_params(engine=options.engine, finder=finder)
                detector.recipe_ = detector._view_recipe()
            for size, sized in by_size.items():
                found = measure(detectors, sized, options.rounds, folder)
                raw[f"{kind}, {size}"] = found
                median = {way: statistics.median(took) for way, took in found.items()}
                print(
                    f"{kind}, {size}: "
                    + ", ".join(f"{way} {took:.2f} s" for way, took in median.items()),
                    flush=True,
                )
                here = f"{kind} networks, {size}: "
                goals += [
                    Goal.at_least(
                        here + "times as fast as the notebook's way",
                        median["a"] / median["ours"],
                        TARGETS[kind][size],
                    ),
                    Goal.at_least(
                        here + "times as fast as the careful script",
                        median["b"] / median["ours"],
                        1.3,
                    ),
                    Goal.at_most(
                        here + "times the networks alone",
                        median["ours"] / median["c"],
                        1.15,
                    ),
                ]
    write(goals, {"seconds a video": raw, "videos": options.videos}, options.json)


if __name__ == "__main__":
    main()
