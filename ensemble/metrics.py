"""Metrics: how good scores are, on the videos that have one.

Every metric takes labels and P(fake), leaves out videos without a score (NaN), and is
NaN itself where it cannot be told, such as an AUC of one class. Report coverage beside
it: `evaluate` does. Two scores are compared by `delong_test` in AUC, by `mcnemar_test`
in accuracy, and in any metric by `group_bootstrap_interval` of the difference;
`diversity` says how alike detectors err.
"""

import itertools
import numbers
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm
from sklearn.utils import check_random_state

from ensemble.delong import difference_variance
from ensemble.labels import encode_labels
from ensemble.rank_metrics import (
    Interval,
    aligned,
    auc,
    auc_interval,
    average_precision,
    both_classes,
    equal_error_rate,
    tpr_at_fpr,
)
from ensemble.resampling import group_codes
from ensemble.within_folds import auc_difference, numbered_folds

__all__ = [
    "DelongResult",
    "Interval",
    "McnemarResult",
    "accuracy",
    "auc",
    "auc_interval",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "delong_test",
    "diversity",
    "equal_error_rate",
    "evaluate",
    "expected_calibration_error",
    "group_bootstrap_interval",
    "log_loss",
    "mcnemar_test",
    "oracle_accuracy",
    "tpr_at_fpr",
]

_CLIP = 1e-15


class DelongResult(NamedTuple):
    """Two AUCs on the same videos, and what chance makes of their difference."""

    first: float
    second: float
    difference: float  # first - second
    low: float
    high: float
    z: float
    p_value: float  # two-sided
    n_videos: int  # with both scores


class McnemarResult(NamedTuple):
    """Two accuracies on the same videos, and what chance makes of their difference."""

    first: float
    second: float
    difference: float  # first - second
    p_value: float  # two-sided
    n_videos: int  # with both scores


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


def expected_calibration_error(
    y, score, n_bins=15, strategy="uniform", fake_label=None
):
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


def accuracy(y, score, threshold=0.5, fake_label=None):
    """Return the share of right labels; fake is said above `threshold`; as `auc`."""
    is_fake, score = _scored(y, score, fake_label)
    return float(((score > threshold) == is_fake).mean()) if len(score) else np.nan


def balanced_accuracy(y, score, threshold=0.5, fake_label=None):
    """Return the mean of the two classes' shares of right labels; as `accuracy`."""
    is_fake, score = _scored(y, score, fake_label)
    if not both_classes(is_fake):
        return np.nan
    right = (score > threshold) == is_fake
    return float((right[is_fake == 0].mean() + right[is_fake == 1].mean()) / 2)


def evaluate(y, score, threshold=0.5, fake_label=None, fold=None):
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

    Does a second score rank better? The draws are the same for both:

    >>> second = np.add(score, np.multiply(0.2, y))
    >>> ahead = lambda y, s: auc(y, s[:, 1]) - auc(y, s[:, 0])
    >>> both = np.column_stack([score, second])
    >>> interval = group_bootstrap_interval(ahead, y, both, groups, random_state=0)
    >>> round(interval.estimate, 2), round(interval.low, 2), round(interval.high, 2)
    (0.09, 0.0, 0.39)
    """
    y, score = np.asarray(y), np.asarray(score)
    if len(y) != len(score):
        raise ValueError(
            f"score must have one row per label; got {len(score)} for {len(y)}"
        )
    _check_level(level)
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


def delong_test(y, first, second, groups=None, level=0.95, fake_label=None, fold=None):
    """Compare the AUCs of two scores of the same videos.

    Takes the videos that have both scores. The difference is taken for normal, which
    wants some dozens of groups of each class.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    first, second : array-like of shape (n_videos,)
        Any scores that rise with P(fake); NaN where there is none.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that are not independent, such as those of one source; they may be of
        both classes. None takes each for independent, which is DeLong's test.
    level : float, default=0.95
        Of the interval of the difference.
    fake_label : label or None, default=None
    fold : array-like of shape (n_videos,) or None, default=None
        What videos that one fit has scored have in common; AUCs are then those within
        folds, see `auc`. A group is in one fold only. The error counts how folds
        differ, which makes it a little large where folds are of few groups.

    Returns
    -------
    result : DelongResult
        ``(first, second, difference, low, high, z, p_value, n_videos)``; NaN where it
        cannot be told, with one class or with one group only of a class. Equal scores
        have z 0 and p-value 1.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; Sun, Xu (2014), IEEE Signal
    Processing Letters 21, for the ranks; Obuchowski (1997), Biometrics 53, for groups.

    Examples
    --------
    >>> y = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> first = [0.1, 0.2, 0.3, 0.6, 0.5, 0.7, 0.8, 0.9]
    >>> second = [0.4, 0.1, 0.7, 0.3, 0.2, 0.6, 0.9, 0.5]
    >>> result = delong_test(y, first, second)
    >>> round(result.first, 3), round(result.second, 3), round(result.p_value, 2)
    (0.938, 0.688, 0.22)
    """
    _check_level(level)
    is_fake, first = aligned(y, first, fake_label)
    _, second = aligned(y, second, fake_label)
    codes = group_codes(groups, len(is_fake))
    here = ~(np.isnan(first) | np.isnan(second))
    fold = numbered_folds(fold, len(is_fake), here)[here]
    is_fake, codes = is_fake[here], codes[here]
    if not both_classes(is_fake):
        return DelongResult(*[np.nan] * 7, int(here.sum()))
    *aucs, away = auc_difference(is_fake, first[here], second[here], fold)
    difference = aucs[0] - aucs[1]
    error = np.sqrt(difference_variance([(is_fake, away, codes)]))
    z = _ratio(difference, error)
    reach = norm.ppf((1 + level) / 2) * error
    return DelongResult(
        *aucs,
        float(difference),
        float(difference - reach),
        float(difference + reach),
        z,
        float(2 * norm.sf(abs(z))),
        int(here.sum()),
    )


def mcnemar_test(y, first, second, groups=None, threshold=0.5, fake_label=None):
    """Compare the accuracies of two scores of the same videos.

    Takes the videos that have both scores; what both have right, or both wrong, says
    nothing of which is better.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    first, second : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that are not independent. The groups' differences are then taken for
        normal in sum. None takes each video for independent; that test is exact.
    threshold : float or (float, float), default=0.5
        Fake is said above it; one number, or one for each score.
    fake_label : label or None, default=None

    Returns
    -------
    result : McnemarResult
        ``(first, second, difference, p_value, n_videos)``.

    References
    ----------
    McNemar (1947), Psychometrika 12; Durkalski et al. (2003), Statistics in Medicine
    22, for groups.

    Examples
    --------
    >>> y, first = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]
    >>> second = [0.1, 0.8, 0.7, 0.7, 0.2, 0.3]
    >>> mcnemar_test(y, first, second).p_value
    0.125
    """
    table = np.column_stack(
        [aligned(y, score, fake_label)[1] for score in (first, second)]
    )
    _, _, right = _rights(table, y, threshold, fake_label)
    here = ~np.isnan(table).any(axis=1)
    if not here.any():
        return McnemarResult(np.nan, np.nan, np.nan, np.nan, 0)
    right, codes = right[here].astype(int), group_codes(groups, len(table))[here]
    ahead = right[:, 0] - right[:, 1]
    if groups is None:
        times, of = int((ahead > 0).sum()), int((ahead != 0).sum())
        p_value = binomtest(times, of).pvalue if of else 1.0
    else:
        by_group = np.bincount(codes, ahead)
        z = _ratio(by_group.sum(), np.sqrt(by_group @ by_group))
        p_value = 2 * norm.sf(abs(z))
    accuracies = right.mean(axis=0).tolist()
    difference = float(ahead.mean())
    return McnemarResult(*accuracies, difference, float(p_value), int(here.sum()))


def diversity(table, y, threshold=0.5, fake_label=None):
    """Say of each pair of detectors how alike they score and err.

    Each pair is judged on the videos that both have scored. With a, b, c and d the
    shares that both have right, only the first, only the second, and neither:

    - "correlation" of being right, (ad - bc) / sqrt((a + b)(c + d)(a + c)(b + d));
    - "q_statistic", Yule's (ad - bc) / (ad + bc): 0 if they err independently, below 0
      if on different videos;
    - "disagreement", b + c;
    - "double_fault", d, what no vote of the two can mend.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_videos, n_detectors)
        P(fake); NaN where there is none.
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    threshold : float or array-like of shape (n_detectors,), default=0.5
        Fake is said above it.
    fake_label : label or None, default=None

    Returns
    -------
    pairs : DataFrame
        One row a pair: first, second, n_videos, score_correlation (Pearson's), and the
        four above. NaN where it cannot be told, such as a correlation with a detector
        that is always right.

    See Also
    --------
    oracle_accuracy : share of videos that at least one detector has right.

    References
    ----------
    Kuncheva, Whitaker (2003), Measures of diversity in classifier ensembles and their
    relationship with the ensemble accuracy, Machine Learning 51.

    Examples
    --------
    >>> table = pd.DataFrame({"a": [0.1, 0.2, 0.9, 0.4], "b": [0.3, 0.7, 0.8, 0.9]})
    >>> pairs = diversity(table, [0, 0, 1, 1]).set_index(["first", "second"])
    >>> pairs.loc[("a", "b"), ["disagreement", "double_fault"]].tolist()
    [0.5, 0.0]
    """
    names, scores, right = _rights(table, y, threshold, fake_label)
    rows = []
    for i, j in itertools.combinations(range(len(names)), 2):
        here = ~(np.isnan(scores[:, i]) | np.isnan(scores[:, j]))
        first, second = right[here, i], right[here, j]
        rows.append(
            {"first": names[i], "second": names[j], "n_videos": int(here.sum())}
            | {"score_correlation": _pearson(scores[here, i], scores[here, j])}
            | _pair_diversity(first, second)
        )
    columns = ["first", "second", "n_videos", "score_correlation"]
    columns += ["correlation", "q_statistic", "disagreement", "double_fault"]
    return pd.DataFrame(rows, columns=columns)


def oracle_accuracy(table, y, threshold=0.5, fake_label=None):
    """Return the share of videos that at least one detector has right.

    No choice of one detector for each video can be right more often.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_videos, n_detectors)
        P(fake); NaN where there is none. Videos without any score are left out.
    y : array-like of shape (n_videos,)
    threshold : float or array-like of shape (n_detectors,), default=0.5
    fake_label : label or None, default=None

    Returns
    -------
    value : float

    Examples
    --------
    >>> table = [[0.1, 0.7], [0.6, np.nan], [0.2, 0.3], [0.9, 0.8]]
    >>> oracle_accuracy(table, [0, 0, 1, 1])
    0.5
    """
    _, scores, right = _rights(table, y, threshold, fake_label)
    scored = ~np.isnan(scores).all(axis=1)
    return float(right[scored].any(axis=1).mean()) if scored.any() else np.nan


def _ratio(difference, error):
    if np.isnan(error):
        return np.nan
    if error < 1e-12:
        return (
            0.0 if abs(difference) < 1e-12 else float(np.copysign(np.inf, difference))
        )
    return float(difference / error)


def _rights(table, y, threshold, fake_label):
    """Return the detectors' names, scores and whether each is right."""
    scores = np.asarray(table, dtype=float)
    if scores.ndim != 2:
        raise ValueError(
            f"table must have shape (n_videos, n_detectors); got {scores.shape}"
        )
    names = list(getattr(table, "columns", range(scores.shape[1])))
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    if len(is_fake) != len(scores):
        raise ValueError(
            f"y must have one label per row of the table; got {len(is_fake)} for "
            f"{len(scores)}"
        )
    threshold = np.asarray(threshold, dtype=float)
    if threshold.shape not in ((), (scores.shape[1],)):
        raise ValueError(
            f"threshold must be a number or have shape ({scores.shape[1]},), one per "
            f"detector; got {threshold.shape}"
        )
    right = (scores > threshold) == is_fake[:, None]
    return names, scores, right & ~np.isnan(scores)


def _pair_diversity(first, second):
    if not len(first):
        return {}
    both, neither = (first & second).mean(), (~first & ~second).mean()
    only_first, only_second = (first & ~second).mean(), (~first & second).mean()
    cross = both * neither - only_first * only_second
    total = both * neither + only_first * only_second
    spread = first.mean() * (~first).mean() * second.mean() * (~second).mean()
    return {
        "correlation": cross / np.sqrt(spread) if spread > 0 else np.nan,
        "q_statistic": cross / total if total > 0 else np.nan,
        "disagreement": only_first + only_second,
        "double_fault": neither,
    }


def _pearson(first, second):
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])


def _check_level(level):
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")


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
