"""Measure nesting: how optimistic are stored scores on pure noise, and is exact honest?

    python examples/benchmarks/nesting.py --seeds 100 --json results.json

Videos and labels that have nothing to do with each other, detectors that learn them by
heart. The mean of per-fold AUC over many seeds is 0.5 where nothing leaks. 60 seeds
take about three minutes on one core.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from goals import Goal, machine, write
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from ensemble import compare_strategies

STRATEGIES = ["stacking", "stacking, plain logistic", "stacking, plain LightGBM"]


class OnPixels(ClassifierMixin, BaseEstimator):
    """A detector that is a classifier of the first pixels."""

    def __init__(self, classifier):
        self.classifier = classifier

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        self.fitted_ = self.classifier.fit(self._features(videos), y)
        return self

    def predict_proba(self, videos):
        return self.fitted_.predict_proba(self._features(videos))

    def _features(self, videos):
        return np.array([video.ravel()[:3] for video in videos], float)


def detectors():
    """Detectors that know their training videos well."""
    trees = RandomForestClassifier(10, random_state=0)
    return {
        "neighbours": OnPixels(KNeighborsClassifier(3)),
        "trees": OnPixels(trees),
        "linear": OnPixels(LogisticRegression()),
    }


def noise(seed, n_videos):
    """Videos, labels and groups of two that tell nothing of each other."""
    draw = np.random.default_rng(seed)
    videos = list(draw.integers(0, 256, (n_videos, 1, 2, 2, 3), np.uint8))
    y = draw.permutation(np.arange(n_videos) % 2)
    return videos, y, np.arange(n_videos) // 2


def per_fold_auc(nesting, seed, n_videos, n_folds=5):
    """Mean AUC over folds of every member and strategy."""
    videos, y, groups = noise(seed, n_videos)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = compare_strategies(
            detectors(), y, groups, STRATEGIES, videos=videos, nesting=nesting,
            n_folds=n_folds, n_boot=2, random_state=seed,
        )  # fmt: skip
    return found.fold_aucs().mean(axis=1)


def measure(n_seeds, n_videos=80):
    """Return the mean over seeds and its standard error, by strategy and nesting."""
    table = {}
    for nesting in ("stored", "exact"):
        runs = pd.concat(
            [per_fold_auc(nesting, seed, n_videos) for seed in range(n_seeds)], axis=1
        )
        table[nesting] = runs.mean(axis=1)
        table[f"{nesting}, s.e."] = runs.std(axis=1) / np.sqrt(n_seeds)
    return pd.DataFrame(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--videos", type=int, default=80)
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    table = measure(options.seeds, options.videos)
    print(machine())
    print(f"mean of per-fold AUC on noise, {options.videos} videos")
    print(table.round(4).to_string())
    optimism = table["stored"] - table["exact"]
    print("optimism of stored nesting:", optimism.round(4).to_dict())
    exact = (table["exact"] - 0.5).abs() / table["exact, s.e."]
    goals = [
        Goal.at_most("exact nesting, largest distance from .5 in s.e.", exact.max(), 3),
        Goal.at_most(
            "exact nesting, largest distance from .5",
            (table["exact"] - 0.5).abs().max(),
            0.03,
        ),
        Goal.at_most("stored nesting, largest optimism", optimism.max(), 0.06),
    ]
    raw = {
        "n_seeds": options.seeds,
        "n_videos": options.videos,
        "mean of per-fold AUC": table.to_dict(),
        "optimism": optimism.to_dict(),
    }
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
