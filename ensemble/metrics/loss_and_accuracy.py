"""Metrics: how good scores are, on the videos that have one.

Every metric takes labels and P(fake), leaves out videos without a score (NaN), and is
NaN itself where it cannot be told, such as an AUC of one class. Report coverage beside
it: `evaluate` does. Two scores are compared by `delong_test` in AUC, by `mcnemar_test`
in accuracy, and in any metric by `group_bootstrap_interval` of the difference;
`diversity` says how alike detectors err.
"""

import numbers

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import balanced_accuracy_score

from ensemble.metrics.ranking import (
    aligned,
    auc,
    average_precision,
    both_classes,
    equal_error_rate,
    tpr_at_fpr,
)

_CLIP = 1e-15


def log_loss(y: ArrayLike, score: ArrayLike, fake_label: object = None) -> float:
    """Return the mean of -log P(label); parameters as `auc`.

    Scores are clipped to [1e-15, 1 - 1e-15].
    """
    is_fake, score = _scored(y, score, fake_label, probabilities=True)
    if not len(score):
        return np.nan
    # scikit-learn clips at 2e-16, which makes a sure mistake cost more
    right = np.clip(np.where(is_fake == 1, score, 1 - score), _CLIP, 1)
    return float(-np.log(right).mean())


def brier(y: ArrayLike, score: ArrayLike, fake_label: object = None) -> float:
    """Return the mean squared difference of P(fake) and label; parameters as `auc`."""
    # scikit-learn's differs in the last bit, by another order of the sum
    is_fake, score = _scored(y, score, fake_label, probabilities=True)
    return float(((score - is_fake) ** 2).mean()) if len(score) else np.nan


def expected_calibration_error(
    y: ArrayLike,
    score: ArrayLike,
    n_bins: int = 15,
    strategy: str = "uniform",
    fake_label: object = None,
) -> float:
    """Return how far P(fake) is from the share of fakes, over bins of the score.

    It depends on the bins and is above 0 even where P(fake) is right, the more so the
    fewer the videos; compare it on the same videos and bins only.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    n_bins : int, default=15
        Number of bins.
    strategy : {"uniform", "quantile"}, default="uniform"
        Bins of equal width, or of about as many videos each.
    fake_label : label or None, default=None

    Returns
    -------
    value : float
        Mean over the bins, by their videos, of the distance between the mean score and
        the share of fakes.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks.

    Examples
    --------
    >>> round(expected_calibration_error([0, 1, 1, 1], [0.4, 0.4, 0.9, 0.9]), 2)
    0.1
    """
    if not (isinstance(n_bins, numbers.Integral) and n_bins >= 1):
        raise ValueError(f"n_bins must be a whole number, 1 or more; got {n_bins!r}")
    if strategy not in ("uniform", "quantile"):
        raise ValueError(f"strategy must be 'uniform' or 'quantile'; got {strategy!r}")
    is_fake, score = _scored(y, score, fake_label, probabilities=True)
    if not len(score):
        return np.nan
    edges = np.linspace(0, 1, n_bins + 1)
    if strategy == "quantile":
        edges = np.quantile(score, edges)
    bins = np.searchsorted(edges[1:-1], score, side="left")
    return float(np.abs(np.bincount(bins, score - is_fake)).sum() / len(score))


def accuracy(
    y: ArrayLike, score: ArrayLike, threshold: float = 0.5, fake_label: object = None
) -> float:
    """Return the share of correct labels at a threshold; parameters as `auc`."""
    is_fake, score = _scored(y, score, fake_label)
    return float(((score > threshold) == is_fake).mean()) if len(score) else np.nan


def balanced_accuracy(
    y: ArrayLike, score: ArrayLike, threshold: float = 0.5, fake_label: object = None
) -> float:
    """Return the share of correct labels, averaged over classes; as `accuracy`."""
    is_fake, score = _scored(y, score, fake_label)
    if not both_classes(is_fake):
        return np.nan
    return float(balanced_accuracy_score(is_fake, score > threshold))


def evaluate(
    y: ArrayLike,
    score: ArrayLike,
    threshold: float = 0.5,
    fake_label: object = None,
    fold: ArrayLike | None = None,
) -> dict[str, float]:
    """Compute all metrics of some scores, and on how many videos.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    threshold : float, default=0.5
        A video is called fake above it.
    fake_label : label or None, default=None
    fold : array-like of shape (n_videos,) or None, default=None
        What videos that one fit has scored have in common. AUC, average precision,
        equal error rate and TPR are then those within folds, see `auc`; what needs a
        threshold or a probability takes all videos together, as both must serve all.

    Returns
    -------
    values : dict
        "n", "n_scored", "coverage" (their ratio), then one entry a metric:
        "tpr_at_fpr" at 1 % of reals accused.

    Examples
    --------
    >>> values = evaluate([0, 1, 1], [0.2, 0.7, np.nan])
    >>> values["coverage"], values["auc"]
    (0.666..., 1.0)
    """
    _, score = aligned(y, score, fake_label)
    n_scored = int((~np.isnan(score)).sum())
    return {
        "n": len(score),
        "n_scored": n_scored,
        "coverage": n_scored / len(score),
        "auc": auc(y, score, fake_label, fold),
        "log_loss": log_loss(y, score, fake_label),
        "brier": brier(y, score, fake_label),
        "expected_calibration_error": expected_calibration_error(
            y, score, fake_label=fake_label
        ),
        "accuracy": accuracy(y, score, threshold, fake_label),
        "balanced_accuracy": balanced_accuracy(y, score, threshold, fake_label),
        "equal_error_rate": equal_error_rate(y, score, fake_label, fold),
        "average_precision": average_precision(y, score, fake_label, fold),
        "tpr_at_fpr": tpr_at_fpr(y, score, fake_label=fake_label, fold=fold),
    }


def _scored(y, score, fake_label, probabilities=False):
    is_fake, score = aligned(y, score, fake_label)
    here = ~np.isnan(score)
    outside = np.flatnonzero((score < 0) | (score > 1)) if probabilities else here[:0]
    if outside.size:
        raise ValueError(
            f"P(fake) must be between 0 and 1; got {score[outside[0]]} at row "
            f"{outside[0]}"
        )
    return is_fake[here], score[here]
