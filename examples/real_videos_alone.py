"""Train on real videos alone: the fakes are made of them while training.

    python examples/real_videos_alone.py                (forged clips stand in)
    python examples/real_videos_alone.py reals/ videos.csv

The first argument is a folder of real videos, one person each; the second a CSV (path,
label, group) of videos to judge. Takes about two minutes on forged clips, on two cores.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from base_models import (
    Augmentation,
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    TrainingRecipe,
    list_videos,
)
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries, read_videos
from ensemble.metrics import auc


def main(reals, others, n_identities):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if reals is None:
            clips = make_forgeries(
                folder / "clips", n_identities=n_identities, random_state=0
            )
            groups = np.array(clips.groups)
            learn = groups < np.unique(groups)[n_identities // 3]
            is_fake = np.array(clips.labels) == 1
            rows = np.flatnonzero(learn & ~is_fake)
            reals = [clips.videos[row] for row in rows]
            people = groups[rows].tolist()
            judged = np.flatnonzero(~learn)
            videos = [clips.videos[row] for row in judged]
            labels = is_fake[judged].astype(int)
        else:
            reals = [str(video) for video in list_videos(reals)]
            people = reals  # nobody is in two of them
            videos, labels, *_ = read_videos(others)

        detectors = [
            FrameDetector(
                backbone,
                image_size=96,
                n_frames=4,
                epochs=4,
                learning_rate=1e-3,
                augment=Augmentation.light_only(),
                recipe=TrainingRecipe(head_epochs=0),
                n_threads=1,
            )
            for backbone in ("efficientnet_lite0", "efficientnet_lite1")
        ]
        detectors += [
            FrequencyDetector(image_size=96, n_frames=4, n_drawn=40),
            FlickerDetector(image_size=96, n_frames=4, n_drawn=40),
        ]
        model = DeepfakeEnsemble(
            detectors,
            resampling=2,
            false_alarm_rate=0.1,
            n_jobs=-1,
            store=folder / "store",
        )
        model.fit(reals, [0] * len(reals), groups=people)
        rate, low, high = model.false_alarms_
        print(f"Trained on {len(reals)} real videos and no fakes.")
        print(f"Above {model.threshold_:.3f} a video is called FAKE TRACES, else")
        print(f"UNSURE, never REAL. The limit is one that {rate:.0%} of the reals")
        print(f"reach out of fold ({low:.0%} to {high:.0%} of others).")
        score = model.fake_score(videos)
        scored = ~np.isnan(score)
        area = auc(np.asarray(labels)[scored], score[scored])
        print(f"\nOn {scored.sum()} videos of other people, AUC {area:.3f}.")
        print("These are home-made swaps: their figure says nothing about the wild.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reals", nargs="?", help="folder of real videos")
    parser.add_argument("others", nargs="?", help="CSV of videos to judge")
    parser.add_argument("--identities", type=int, default=40)
    arguments = parser.parse_args()
    if arguments.reals and not arguments.others:
        parser.error("give the videos to judge as well")
    main(arguments.reals, arguments.others, arguments.identities)
