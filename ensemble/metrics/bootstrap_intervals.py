"""Intervals of any metric over bootstrap draws of whole groups."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from base_models.groups import group_codes
from ensemble.metrics.bootstrap import check_n_boot


class Interval(NamedTuple):
    """An estimate and the two ends of its interval."""

    estimate: float
    low: float
    high: float


def group_bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    y: ArrayLike,
    score: ArrayLike,
    groups: ArrayLike | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
    method: str = "percentile",
) -> Interval:
    """Return an estimate and its interval over bootstrap draws of groups.

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
    method : {"percentile", "basic"}, default="percentile"
        "basic" is for a metric that draws inflate, such as
        `expected_calibration_error`: see `basic_ends`.

    Returns
    -------
    interval : Interval
        ``(estimate, low, high)``; the estimate is that of the videos as they are.

    Examples
    --------
    >>> from ensemble.metrics import auc
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
    check_level(level)
    check_n_boot(n_boot)
    if method not in ("percentile", "basic"):
        raise ValueError(f"method must be 'percentile' or 'basic'; got {method!r}")
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
    estimate = float(metric(y, score))
    if method == "basic":
        low, high = basic_ends(estimate, low, high)
    return Interval(estimate, float(low), float(high))


def basic_ends(estimate: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray:
    """Turn the percentiles of draws round the estimate: the basic bootstrap.

    A metric that adds up absolute deviations grows on draws, which deviate from the
    videos as these do from all others: its percentiles may lie wholly above the
    estimate, which itself is too high. The basic interval allows for both, though not
    wholly: where the truth is near 0 the interval often lies above it. It is widened
    to hold its estimate and is nowhere below 0.

    Parameters
    ----------
    estimate, low, high : float or ndarray of shape (n_figures,)
        Of a metric that is 0 or more, with percentiles of its draws.

    Returns
    -------
    ends : ndarray of shape (2,) or (2, n_figures)

    References
    ----------
    Davison, Hinkley (1997), Bootstrap Methods and their Application, section 5.2.

    Examples
    --------
    >>> basic_ends(0.05, 0.06, 0.09).round(2).tolist()
    [0.01, 0.05]
    """
    estimate = np.asarray(estimate, float)
    ends = np.stack([2 * estimate - high, 2 * estimate - low])
    lower, upper = np.maximum(ends, 0)
    return np.stack([np.minimum(lower, estimate), np.maximum(upper, estimate)])


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1; got {level!r}")
