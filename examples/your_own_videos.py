"""Your own folder of videos: fit, save, load, and read the verdicts.

    python examples/your_own_videos.py videos/          (videos/real, videos/fake)
    python examples/your_own_videos.py videos.csv       (path,label,group)
    python examples/your_own_videos.py                  (forged clips stand in)

Takes about a minute on forged clips, on two CPU cores.
"""

import argparse
import tempfile
from pathlib import Path

import ensemble
from base_models import FrameDetector
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries, read_videos


def main(data, n_identities):
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if data is None:
            data = folder / "clips"
            make_forgeries(data, n_identities=n_identities, random_state=0)
        videos, labels, groups, _ = read_videos(data)
        # The clips of two people are kept apart: a model knows those it learned from.
        people = [str(row) for row in range(len(videos))] if groups is None else groups
        kept = sorted(set(people))[-2:]
        new = [row for row, person in enumerate(people) if person in kept]
        old = [row for row, person in enumerate(people) if person not in kept]

        # Names become the columns of every table. A GPU takes larger ones.
        detectors = {
            "lite0_face": FrameDetector(
                "efficientnet_lite0",
                view="face",
                image_size=96,
                n_frames=4,
                epochs=1,
                learning_rate=1e-3,
                n_threads=1,
            ),
            "lite0_frame_head": FrameDetector(
                "efficientnet_lite0",
                view="frame",
                train="head",
                image_size=96,
                n_frames=4,
            ),
        }
        model = DeepfakeEnsemble(
            detectors,
            resampling=3,
            n_jobs=-1,
            unscorable="nan",  # a video without a score says so; "prior" fills it in
            store=folder / "store",
        )
        model.fit(
            [videos[row] for row in old],
            [labels[row] for row in old],
            groups=[people[row] for row in old],
        )
        model.save(folder / "model.dfe")

        again = ensemble.load(folder / "model.dfe")
        verdicts = again.judge([videos[row] for row in new])
        verdicts.index = ["/".join(Path(v).parts[-2:]) for v in verdicts.index]
        verdicts.insert(0, "label", [labels[row] for row in new])
        print(verdicts.drop(columns=["reason", "doubts"]).round(3).to_string())
        for video, doubts in verdicts["doubts"].items():
            if doubts:
                print(f"{video} is in doubt: {doubts}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="folder with real/ and fake/, or CSV")
    parser.add_argument("--identities", type=int, default=16)
    arguments = parser.parse_args()
    main(arguments.data, arguments.identities)
