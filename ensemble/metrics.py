"""Metrics: how good scores are, on the videos that have one.

Every metric takes labels and P(fake), leaves out videos without a score (NaN), and is
NaN itself where it cannot be told, such as an AUC of one class. Report coverage beside
it: `evaluate` does.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_curve
from sklearn.utils import check_random_state

from ensemble.labels import encode_labels
from ensemble.resampling import group_codes

_CLIP = 1e-15


class Interval(NamedTuple):
    """An estimate and the two ends of its interval."""

    estimate: float
    low: float
    high: float


def auc(y, score, fake_label=None):
    """Return the area under the ROC curve.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    fake_label : label or None, default=None

    Returns
    -------
    value : float
        Chance that a fake scores above a real, a tie counting half.

    Examples
    --------
    >>> auc(["REAL", "FAKE", "FAKE"], [0.2, 0.7, np.nan])
    1.0
    """
    is_fake, score = _scored(y, score, fake_label)
    if not _both(is_fake):
        return np.nan
    n_fake = is_fake.sum()
    n_pairs = n_fake * (len(is_fake) - n_fake)
    won = rankdata(score)[is_fake == 1].sum() - n_fake * (n_fake + 1) / 2
    return float(won / n_pairs)


def average_precision(y, score, fake_label=None):
    """Return the mean precision over the ranks of the fakes; parameters as `auc`."""
    is_fake, score = _scored(y, score, fake_label)
    if not _both(is_fake):
        return np.nan
    return float(average_precision_score(is_fake, score))


def equal_error_rate(y, score, fake_label=None):
    """Return the error rate at which as many fakes are missed as reals are accused.

    Parameters are those of `auc`. Read off the ROC curve with straight lines between
    its points.

    Examples
    --------
    >>> round(equal_error_rate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]), 2)
    0.5
    """
    is_fake, score = _scored(y, score, fake_label)
    if not _both(is_fake):
        return np.nan
    accused, found, _ = roc_curve(is_fake, score, drop_intermediate=False)
    ahead = 1 - found - accused  # falls from 1 to -1 along the curve
    last = np.flatnonzero(ahead > 0)[-1]
    along = ahead[last] / (ahead[last] - ahead[last + 1])
    return float(accused[last] + along * (accused[last + 1] - accused[last]))


def log_loss(y, score, fake_label=None):
    """Return the mean of -log P(label); parameters as `auc`.

    Scores are clipped to [1e-15, 1 - 1e-15].
    """
    is_fake, score = _scored(y, score, fake_label, probabilities=True)
    if not len(score):
        return np.nan
    right = np.clip(np.where(is_fake == 1, score, 1 - score), _CLIP, 1)
    return float(-np.log(right).mean())


def brier(y, score, fake_label=None):
    """Return the mean squared distance of P(fake) from the label; as `auc`."""
    is_fake, score = _scored(y, score, fake_label, probabilities=True)
    return float(((score - is_fake) ** 2).mean()) if len(score) else np.nan


def accuracy(y, score, threshold=0.5, fake_label=None):
    """Return the share of right labels; fake is said above `threshold`; as `auc`."""
    is_fake, score = _scored(y, score, fake_label)
    return float(((score > threshold) == is_fake).mean()) if len(score) else np.nan


def balanced_accuracy(y, score, threshold=0.5, fake_label=None):
    """Return the mean of the two classes' shares of right labels; as `accuracy`."""
    is_fake, score = _scored(y, score, fake_label)
    if not _both(is_fake):
        return np.nan
    right = (score > threshold) == is_fake
    return float((right[is_fake == 0].mean() + right[is_fake == 1].mean()) / 2)


def evaluate(y, score, threshold=0.5, fake_label=None):
    """Measure scores in every way, and say on how many videos.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    threshold : float, default=0.5
        Fake is said above it.
    fake_label : label or None, default=None

    Returns
    -------
    values : dict
        "n", "n_scored", "coverage" (their ratio), then one entry a metric.

    Examples
    --------
    >>> values = evaluate([0, 1, 1], [0.2, 0.7, np.nan])
    >>> values["coverage"], values["auc"]
    (0.666..., 1.0)
    """
    _, score = _aligned(y, score, fake_label)
    n_scored = int((~np.isnan(score)).sum())
    return {
        "n": len(score),
        "n_scored": n_scored,
        "coverage": n_scored / len(score),
        "auc": auc(y, score, fake_label),
        "log_loss": log_loss(y, score, fake_label),
        "brier": brier(y, score, fake_label),
        "accuracy": accuracy(y, score, threshold, fake_label),
        "balanced_accuracy": balanced_accuracy(y, score, threshold, fake_label),
        "equal_error_rate": equal_error_rate(y, score, fake_label),
        "average_precision": average_precision(y, score, fake_label),
    }


def group_bootstrap_interval(
    metric, y, score, groups=None, n_boot=1000, level=0.95, random_state=None
):
    """Return an estimate and its percentile interval over bootstrap draws of groups.

    Whole groups are drawn with replacement, so that videos of one source do not count
    as independent.

    Parameters
    ----------
    metric : callable
        ``metric(y, score) -> float``; NaN for a draw on which it cannot be told.
    y : array-like of shape (n_videos,)
    score : array-like of shape (n_videos,) or (n_videos, n_scores)
        Its rows are drawn along with `y`; with two columns `metric` may be a
        difference between them.
    groups : array-like of shape (n_videos,) or None, default=None
        None draws single videos.
    n_boot : int, default=1000
        Number of draws.
    level : float, default=0.95
        Share of the draws within the interval.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    interval : Interval
        ``(estimate, low, high)``; the estimate is that of the videos as they are.

    Examples
    --------
    >>> y, score = [0, 1] * 8, [0.1, 0.9, 0.4, 0.3, 0.2, 0.8, 0.5, 0.6] * 2
    >>> groups = np.repeat(np.arange(8), 2)
    >>> interval = group_bootstrap_interval(auc, y, score, groups, random_state=0)
    >>> round(interval.estimate, 2), round(interval.low, 2), round(interval.high, 2)
    (0.88, 0.56, 1.0)
    """
    y, score = np.asarray(y), np.asarray(score)
    if len(y) != len(score):
        raise ValueError(
            f"score must have one row per label; got {len(score)} for {len(y)}"
        )
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")
    codes = group_codes(groups, len(y))
    n_groups = codes.max() + 1
    rng = check_random_state(random_state)
    values = np.empty(n_boot)
    for draw in range(n_boot):
        drawn = rng.randint(n_groups, size=n_groups)
        times = np.bincount(drawn, minlength=n_groups)
        rows = np.repeat(np.arange(len(y)), times[codes])
        values[draw] = metric(y[rows], score[rows])
    untold = np.isnan(values).sum()
    if untold > n_boot / 2:
        raise ValueError(
            f"the metric cannot be told on {untold} of {n_boot} draws of "
            f"{n_groups} groups, most likely for want of one class; more groups of "
            "both classes are needed for an interval"
        )
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(float(metric(y, score)), float(low), float(high))


def _aligned(y, score, fake_label):
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    score = np.asarray(score, dtype=float)
    if score.shape != is_fake.shape:
        raise ValueError(
            f"score must have one entry per label, shape {is_fake.shape}; got "
            f"{score.shape}"
        )
    return is_fake, score


def _scored(y, score, fake_label, probabilities=False):
    is_fake, score = _aligned(y, score, fake_label)
    here = ~np.isnan(score)
    outside = np.flatnonzero((score < 0) | (score > 1)) if probabilities else here[:0]
    if outside.size:
        raise ValueError(
            f"P(fake) must be between 0 and 1; got {score[outside[0]]} at row "
            f"{outside[0]}"
        )
    return is_fake[here], score[here]


def _both(is_fake):
    return 0 < is_fake.sum() < len(is_fake)
