"""Rank metrics: how well scores put fakes above reals, whatever the threshold.

With `fold` a fake is only compared with the reals of its own fold, as out-of-fold
scores must be: each fold was scored by another fit. A figure is then the mean over the
folds, each counting by its pairs of a fake and a real; folds of one class count
nothing.
"""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_curve
from sklearn.utils import check_random_state

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import group_codes
from base_models.inputs import encode_labels
from ensemble.metrics.bootstrap import drawn_metrics, group_draws
from ensemble.metrics.bootstrap_intervals import Interval, check_level
from ensemble.metrics.within_folds import fold_auc, numbered_folds

_AT_ONCE = 2_000_000  # weights of a bootstrap, which bounds the memory


def auc(
    y: ArrayLike,
    score: ArrayLike,
    fake_label: object = None,
    fold: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Return the area under the ROC curve.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    fake_label : label or None, default=None
    fold : array-like of shape (n_videos,) or None, default=None
        What videos that one fit has scored have in common, such as the number of the
        fold; a fake is compared with the reals of its fold alone. None is one fold.
    sample_weight : array-like of shape (n_videos,) or None, default=None
        How often each video counts.

    Returns
    -------
    value : float
        Chance that a fake scores above a real (of its fold), a tie counting half.

    Examples
    --------
    >>> auc(["REAL", "FAKE", "FAKE"], [0.2, 0.7, np.nan])
    1.0
    >>> auc([0, 1, 0, 1], [0.1, 0.2, 0.6, 0.7], fold=["a", "a", "b", "b"])
    1.0
    """
    is_fake, scores, fold, here = _folded(y, score, fake_label, fold)
    weight = None
    if sample_weight is not None:
        weight = np.asarray(sample_weight, float)
        if weight.shape != here.shape or not (weight >= 0).all():
            raise ValueError(
                f"sample_weight must be {len(here)} numbers >= 0, one per video; got "
                f"{sample_weight!r}"
            )
        weight = weight[here]
    if not both_classes(is_fake):
        return np.nan
    value = fold_auc(is_fake, scores, fold, weight)
    if np.isnan(value):
        _warn_of_folds("AUC")
    return value


def average_precision(
    y: ArrayLike,
    score: ArrayLike,
    fake_label: object = None,
    fold: ArrayLike | None = None,
) -> float:
    """Return the mean precision over the ranks of the fakes; parameters as `auc`."""
    return _over_folds(
        lambda y, s: float(average_precision_score(y, s)), y, score, fake_label, fold
    )


def equal_error_rate(
    y: ArrayLike,
    score: ArrayLike,
    fake_label: object = None,
    fold: ArrayLike | None = None,
) -> float:
    """Return the error rate at which misses are as frequent as false alarms.

    Parameters are those of `auc`. Read off the ROC curve with straight lines between
    its points.

    Examples
    --------
    >>> round(equal_error_rate([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]), 2)
    0.5
    """
    return _over_folds(_equal_error_rate, y, score, fake_label, fold)


def tpr_at_fpr(
    y: ArrayLike,
    score: ArrayLike,
    fpr: float = 0.01,
    fake_label: object = None,
    fold: ArrayLike | None = None,
) -> float:
    """Return the share of fakes found at a given false-alarm rate.

    No straight line is drawn between the points of the ROC curve: some threshold has
    this rate.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    fpr : float, default=0.01
        Share of reals that may be accused. With fewer than 1 / `fpr` of them (in a
        fold) none may.
    fake_label : label or None, default=None
    fold : array-like of shape (n_videos,) or None, default=None
        As for `auc`; each fold has a threshold of its own.

    Returns
    -------
    value : float

    Examples
    --------
    >>> tpr_at_fpr([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.5, 0.9], fpr=0.25)
    1.0
    >>> tpr_at_fpr([0, 0, 0, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.5, 0.9], fpr=0.1)
    0.5
    """
    if not 0 <= fpr <= 1:
        raise ValueError(f"fpr must be a share from 0 to 1; got {fpr!r}")

    def of_one(is_fake, score):
        accused, found, _ = roc_curve(is_fake, score, drop_intermediate=False)
        return float(found[accused <= fpr + 1e-12].max())

    return _over_folds(of_one, y, score, fake_label, fold)


def auc_interval(
    y: ArrayLike,
    score: ArrayLike,
    groups: ArrayLike | None = None,
    fold: ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
    fake_label: object = None,
) -> Interval:
    """Return the AUC and its percentile interval over bootstrap draws of groups.

    The same as `ensemble.metrics.group_bootstrap_interval` of `auc`, some fifty times
    faster, and within folds where there are any.
    `ensemble.metrics.within_folds.auc_error` is faster still where groups are many.

    Parameters
    ----------
    y, score, fake_label
        As for `auc`.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that are not independent; None draws single videos.
    fold : array-like of shape (n_videos,) or None, default=None
        As for `auc`.
    n_boot : int, default=1000
    level : float, default=0.95
    random_state : int, RandomState or None, default=None

    Returns
    -------
    interval : Interval
        ``(estimate, low, high)``. All are NaN where no fold has both classes; the ends
        are NaN with one group only of a class, or where most draws lack a class.

    Examples
    --------
    >>> y, score = [0, 1] * 8, [0.1, 0.9, 0.4, 0.3, 0.2, 0.8, 0.5, 0.6] * 2
    >>> interval = auc_interval(y, score, np.repeat(np.arange(8), 2), random_state=0)
    >>> round(interval.estimate, 2), round(interval.low, 2), round(interval.high, 2)
    (0.88, 0.56, 1.0)
    """
    check_level(level)
    estimate = auc(y, score, fake_label, fold)
    is_fake, score, fold, here = _folded(y, score, fake_label, fold)
    codes = group_codes(groups, len(here))[here]
    if np.isnan(estimate):
        return Interval(np.nan, np.nan, np.nan)
    codes = np.unique(codes, return_inverse=True)[1]
    if min(len(np.unique(codes[is_fake == label])) for label in (0, 1)) < 2:
        return Interval(estimate, np.nan, np.nan)
    times = group_draws(codes.max() + 1, n_boot, check_random_state(random_state))
    step = max(1, _AT_ONCE // len(score))
    values = np.concatenate(
        [
            drawn_metrics(
                is_fake, score, times[start : start + step][:, codes], ["auc"], fold
            )["auc"]
            for start in range(0, n_boot, step)
        ]
    )
    told = values[~np.isnan(values)]
    if len(told) <= n_boot / 2:
        return Interval(estimate, np.nan, np.nan)
    tail = (1 - level) / 2
    return Interval(estimate, *map(float, np.quantile(told, [tail, 1 - tail])))


def aligned(
    y: ArrayLike, score: ArrayLike, fake_label: object
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, 1 for fake, and scores of the same length."""
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    score = np.asarray(score, dtype=float)
    if score.shape != is_fake.shape:
        raise ValueError(
            f"score must have one entry per label, shape {is_fake.shape}; got "
            f"{score.shape}"
        )
    return is_fake, score


def both_classes(is_fake: np.ndarray) -> bool:
    """Whether there are reals and fakes."""
    return 0 < is_fake.sum() < len(is_fake)


def _equal_error_rate(is_fake, score):
    accused, found, _ = roc_curve(is_fake, score, drop_intermediate=False)
    ahead = 1 - found - accused  # falls from 1 to -1 along the curve
    last = np.flatnonzero(ahead > 0)[-1]
    along = ahead[last] / (ahead[last] - ahead[last + 1])
    return float(accused[last] + along * (accused[last + 1] - accused[last]))


def _folded(y, score, fake_label, fold):
    """Return label, score and fold of the videos with a score, and which these are."""
    is_fake, score = aligned(y, score, fake_label)
    here = ~np.isnan(score)
    fold = numbered_folds(fold, len(score), here)
    return is_fake[here], score[here], fold[here], here


def _over_folds(of_one, y, score, fake_label, fold):
    is_fake, score, fold, _ = _folded(y, score, fake_label, fold)
    if not both_classes(is_fake):
        return np.nan
    values, n_pairs = [], []
    for number in np.unique(fold):
        rows = fold == number
        if both_classes(is_fake[rows]):
            values.append(of_one(is_fake[rows], score[rows]))
            n_pairs.append(is_fake[rows].sum() * (1 - is_fake[rows]).sum())
    if not values:
        _warn_of_folds("a rank metric")
        return np.nan
    return float(np.average(values, weights=n_pairs)) if values[1:] else values[0]


def _warn_of_folds(what):
    warnings.warn(
        f"no fold has both a real and a fake with a score, so that there is nothing to "
        f"compare and {what} is NaN; use fewer folds",
        DeepfakeEnsembleWarning,
        stacklevel=3,
    )
