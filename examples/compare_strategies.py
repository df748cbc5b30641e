"""Compare strategies: fit each on the same clips, judge all on people held out.

    python examples/compare_strategies.py [--identities 40] [--plot strategies.png]

Detectors are fitted as often as the strategies need and no more: voting and stacking
share all their fits. Takes about a minute on two CPU cores.
"""

import argparse
import tempfile

import numpy as np
import pandas as pd

from base_models import FrameDetector
from ensemble import DeepfakeEnsemble
from ensemble.datasets import make_forgeries
from ensemble.metrics import auc, evaluate, group_bootstrap_interval


def main(n_identities, plot=None):
    with tempfile.TemporaryDirectory() as folder:
        clips = make_forgeries(folder, n_identities=n_identities, random_state=0)
        videos, y, groups = (np.array(column) for column in clips[:3])
        held_out = np.isin(groups, np.unique(groups)[::3])
        detectors = [
            (f"lite0_{view}_{size}", FrameDetector("efficientnet_lite0", view,
             train="head", image_size=size, n_frames=4))
            for view, size in (("face", 64), ("face", 128), ("frame", 128))
        ]  # fmt: skip

        rows: dict[str, np.ndarray] = {}
        for strategy in ("voting", "bagging", "blending", "stacking"):
            model = DeepfakeEnsemble(
                detectors, strategy, store=f"{folder}/store", random_state=0
            )
            model.fit(videos[~held_out], y[~held_out], groups=groups[~held_out])
            if not rows:
                members = model.detector_scores(videos[held_out])
                for name in members:
                    rows[name] = members[name].to_numpy()
                rows["mean"] = members.mean(axis=1).to_numpy()
            rows[strategy] = model.fake_score(videos[held_out])
            if (
                strategy == "stacking"
            ):  # other meta-models, on the scores that are there
                for combiner in ("lightgbm", "mlp"):
                    model.refit_combiner(combiner)
                    rows[f"stacking, {combiner}"] = model.fake_score(videos[held_out])

        table = []
        for name, score in rows.items():
            figures = evaluate(y[held_out], score)
            interval = group_bootstrap_interval(
                auc, y[held_out], score, groups[held_out], random_state=0
            )
            table.append(
                {
                    "name": name,
                    "AUC": round(figures["auc"], 3),
                    "95 %": f"{interval.low:.3f} to {interval.high:.3f}",
                    "log loss": round(figures["log_loss"], 3),
                    "accuracy": round(figures["accuracy"], 3),
                }
            )
        print(pd.DataFrame(table).to_string(index=False))
        print(
            f"\n{held_out.sum()} clips of held-out people; "
            "home-made swaps, not the wild."
        )
        if plot:
            plot_intervals(pd.DataFrame(table), plot)


def plot_intervals(table, path):
    """Draw each AUC with its interval over people."""
    import matplotlib.pyplot as plt

    table = table[::-1]
    ends = table["95 %"].str.split(" to ", expand=True).astype(float).to_numpy().T
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.hlines(table["name"], *ends, color="0.6", linewidth=3)
    axes.plot(table["AUC"], table["name"], "o", color="tab:blue")
    axes.axvline(0.5, color="0.6", linestyle=":")
    axes.set(xlabel="AUC on people held out, 95 % interval (0.5 is chance)")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=40)
    parser.add_argument("--plot", help="picture of the figures to write")
    given = parser.parse_args()
    main(given.identities, given.plot)
