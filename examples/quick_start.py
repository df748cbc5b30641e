"""Quick start: forge a few clips, train an ensemble, ask it about people it never saw.

    python examples/quick_start.py [--identities 24]

Takes about a minute on two CPU cores.
"""

import argparse
import tempfile

import numpy as np

from base_models import FrameDetector
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries
from ensemble.metrics import auc


def main(n_identities):
    with tempfile.TemporaryDirectory() as folder:
        clips = make_forgeries(folder, n_identities=n_identities, random_state=0)
        videos, y, groups = (np.array(column) for column in clips[:3])
        new = np.isin(groups, np.unique(groups)[::3])  # a third of the pairs, held out

        # Small members: frozen ImageNet features under a logistic head take seconds.
        # On real data use the defaults, DeepfakeEnsemble(), and a GPU.
        detectors = [
            FrameDetector(
                "efficientnet_lite0", view, train="head", image_size=96, n_frames=4
            )
            for view in ("face", "frame")
        ]
        model = DeepfakeEnsemble(detectors, store=f"{folder}/store", random_state=0)
        model.fit(videos[~new], y[~new], groups=groups[~new])

        print("Out of fold, one row a training clip:")
        print(model.oof_scores_.set_axis(range(len(model.oof_scores_))).head().round(3))
        print("\nWeights:", model.weights_.round(2).to_dict())
        score = model.fake_score(videos[new])
        print(f"\nAUC on {new.sum()} clips of new people: {auc(y[new], score):.3f}")
        print("(These are home-made swaps; it says nothing about the wild.)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=24)
    main(parser.parse_args().identities)
