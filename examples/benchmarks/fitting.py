"""Measure fitting: k folds of frozen members against scikit-learn's stacking.

    python examples/benchmarks/fitting.py --clips clips/ --json results.json

Six members (three networks, each on whole frames and on face crops; a frozen body and a
logistic head) are stacked over five folds. scikit-learn's `StackingClassifier` gets six
pipelines that decode, find faces and extract features for themselves, as people write
them: OpenCV reads on to each sampled frame, dlib's HOG looks at the whole frame,
enlarged once, Pillow resizes, torch takes a video's frames as one batch. The floor is
one plain feature pass: networks loaded, each video opened once, its faces found once,
each network run once, and nothing learned. Weights are random: they matter to no time.
Without --clips, clips are forged for the purpose.
"""

import argparse
import gc
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from by_hand import hog, read_frames, resized, view_images
from goals import Goal, machine, write
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from base_models import FrameDetector, list_videos, score_videos
from base_models.backbones import backbone_recipe, build_network
from base_models.networks import backbones
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries

NETWORKS = {"mesonet4": 128, "efficientnet_lite0": 128, "resnet18": 128}
LARGE = {"xception": None, "efficientnet": None, "resnet": None}
N_FRAMES = 16


class OwnFeatures(TransformerMixin, BaseEstimator):
    """Video paths to mean features, everything done anew."""

    def __init__(self, backbone, weights, image_size, view):
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.view = view

    def fit(self, videos, y=None):
        network = build_network(self.backbone, self.weights, image_size=self.image_size)
        self.body_ = network.backbone.eval()
        self.recipe_ = backbone_recipe(self.backbone, self.image_size)
        self.finder_ = hog()
        return self

    def transform(self, videos):
        return np.stack([self._features(video) for video in videos])

    def _features(self, video):
        images = view_images(read_frames(video, N_FRAMES), self.view, self.finder_)
        size = self.recipe_.image_size
        images = [resized(image, size) for image in images]
        batch = np.stack(images or [np.zeros((size, size, 3), np.uint8)])
        with torch.no_grad():
            inputs = self.recipe_.normalise(torch.from_numpy(batch))
            return self.body_(inputs).mean(axis=0).numpy()


def with_weights(networks, folder):
    """Networks as (name, file of random weights, image size): as if downloaded."""
    named = []
    for backbone, size in networks.items():
        torch.manual_seed(0)
        network = build_network(backbone, weights=None, image_size=size)
        file = folder / f"{backbone}.pth"
        torch.save(network.state_dict(), file)
        named.append((backbone, file, size))
    return named


def members(networks):
    return [
        FrameDetector(
            backbone,
            view=view,
            train="head",
            weights=weights,
            image_size=size,
            n_frames=N_FRAMES,
            random_state=0,
        )
        for backbone, weights, size in networks
        for view in ("frame", "face")
    ]


def stacked(networks, videos, y, groups, folds, store):
    """Seconds that the whole fit takes."""
    began = time.perf_counter()
    model = DeepfakeEnsemble(
        members(networks), resampling=folds, store=store, random_state=0
    )
    model.fit(videos, y, groups=groups)
    return time.perf_counter() - began


def scikit_learn(networks, videos, y):
    pipelines = [
        (
            f"{backbone}_{view}",
            make_pipeline(
                OwnFeatures(backbone, weights, size, view),
                StandardScaler(),
                LogisticRegression(max_iter=1000),
            ),
        )
        for backbone, weights, size in networks
        for view in ("frame", "face")
    ]
    model = StackingClassifier(pipelines, LogisticRegression(), cv=5)
    began = time.perf_counter()
    model.fit(videos, y)
    return time.perf_counter() - began


def feature_pass(networks, videos, y, store):
    """Seconds of one pass: members whose heads are known load and score all."""
    known = [
        member.set_params(store=store).fit(videos[:8], y[:8]).get_state(portable=False)
        for member in members(networks)
    ]
    shutil.rmtree(store)
    backbones._latest.clear()  # as in a process that begins
    gc.collect()
    began = time.perf_counter()
    fitted = [
        member.set_params(store=store).set_state(*state)
        for member, state in zip(members(networks), known, strict=True)
    ]
    score_videos(fitted, videos, store=store)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", help="folder of videos; every second one is fake")
    parser.add_argument("--videos", type=int, default=12, help="how many at most")
    parser.add_argument("--large", action="store_true", help="the default networks")
    parser.add_argument("--repeats", type=int, default=3, help="of what is quick")
    parser.add_argument(
        "--ours-only", action="store_true", help="leave out scikit-learn's, the longest"
    )
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(machine())
    folder = Path(tempfile.mkdtemp())
    networks = with_weights(LARGE if options.large else NETWORKS, folder)
    if options.clips:
        videos = [str(video) for video in list_videos(options.clips)]
    else:
        made = make_forgeries(folder / "clips", n_identities=options.videos // 2)
        videos = [str(video) for video in made.videos]
    videos = videos[: options.videos]
    y, groups = np.arange(len(videos)) % 2, np.arange(len(videos))

    def cold(folds):
        store = Path(tempfile.mkdtemp(dir=folder))
        try:
            return stacked(networks, videos, y, groups, folds, store)
        finally:
            shutil.rmtree(store)

    stacked(networks, videos[:8], y[:8], groups[:8], 2, folder / "warm-up")
    taken = {name: [] for name in ("pass", 3, 5, 10, "cold", "warm")}
    for _ in range(options.repeats):
        taken["pass"].append(
            feature_pass(networks, videos, y, Path(tempfile.mkdtemp(dir=folder)))
        )
        for folds in (3, 5, 10):
            taken[folds].append(cold(folds))
        kept = Path(tempfile.mkdtemp(dir=folder))
        taken["cold"].append(stacked(networks, videos, y, groups, 5, kept))
        taken["warm"].append(stacked(networks, videos, y, groups, 5, kept))
        shutil.rmtree(kept)
    if not options.ours_only:
        taken["scikit-learn"] = [scikit_learn(networks, videos, y)]
    shutil.rmtree(folder)
    median = {name: statistics.median(times) for name, times in taken.items()}
    for name, seconds in median.items():
        print(f"{name!s:>14} {seconds:8.2f} s")
    goals = [
        Goal.at_most(
            "5 folds: times one plain feature pass", median[5] / median["pass"], 1.1
        ),
        Goal.at_most("10 folds: times 3 folds", median[10] / median[3], 1.05),
        Goal.at_least(
            "warm store: times as fast as cold", median["cold"] / median["warm"], 50
        ),
    ]
    if not options.ours_only:
        times_as_fast = median["scikit-learn"] / median[5]
        text = "5 folds: times as fast as StackingClassifier"
        goals.append(Goal.at_least(text, times_as_fast, 15))
    raw = {
        "seconds": {str(name): times for name, times in taken.items()},
        "videos": len(videos),
        "networks": [name for name, _, _ in networks],
    }
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
