"""Thresholds by cost, balanced accuracy or false-alarm rate, certified or not."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from base_models.groups import group_codes
from base_models.inputs import encode_labels
from ensemble.decision.prior import check_share

TOLERANCE = 1e-9  # of sums of shares


def threshold_by_cost(
    y: ArrayLike,
    score: ArrayLike,
    cost_false_alarm: float = 1.0,
    cost_miss: float = 1.0,
    prior: float | None = None,
    fake_label: object = None,
) -> float:
    """Return the threshold with the least cost on these videos.

    Where scores are calibrated no data are needed: the threshold is
    ``cost_false_alarm / (cost_false_alarm + cost_miss)`` on probabilities for the right
    prior, see `adjust_prior`.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake), or any score that rises with it; NaN where there is none.
    cost_false_alarm, cost_miss : float, default=1.0
        What a real video called fake costs, and a fake called real.
    prior : float or None, default=None
        Share of fakes where the threshold will be used; None takes that of `y`.
    fake_label : label or None, default=None

    Returns
    -------
    threshold : float
        Halfway between two scores; of equally cheap ones, the middle one.

    Examples
    --------
    >>> y, score = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.7, 0.8]
    >>> round(threshold_by_cost(y, score, cost_false_alarm=5), 2)
    0.65
    >>> round(threshold_by_cost(y, score, cost_miss=5), 2)
    0.35
    """
    is_fake, score, _ = scored_videos(y, score, None, fake_label)
    costs = {"cost_false_alarm": cost_false_alarm, "cost_miss": cost_miss}
    for name, cost in costs.items():
        if not 0 <= cost < math.inf:
            raise ValueError(f"{name} must be 0 or more and finite; got {cost!r}")
    if not any(costs.values()):
        raise ValueError("one of the costs must be above 0; both are 0")
    prior = is_fake.mean() if prior is None else prior
    check_share("prior", prior)
    values, place = np.unique(score, return_inverse=True)
    reals, fakes = (np.bincount(place, is_fake == label) for label in (0, 1))
    alarms = 1 - np.append(0, reals.cumsum()) / reals.sum()
    misses = np.append(0, fakes.cumsum()) / fakes.sum()
    cost = (1 - prior) * cost_false_alarm * alarms + prior * cost_miss * misses
    cheapest = np.flatnonzero(cost <= cost.min() + TOLERANCE * max(costs.values()))
    return float(_cuts(values)[cheapest[(len(cheapest) - 1) // 2]])


def threshold_by_balanced_accuracy(
    y: ArrayLike, score: ArrayLike, fake_label: object = None
) -> float:
    """Return the threshold with the highest balanced accuracy; as `threshold_by_cost`.

    Examples
    --------
    >>> y, score = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.7, 0.8]
    >>> round(threshold_by_balanced_accuracy(y, score), 2)
    0.35
    """
    return threshold_by_cost(y, score, prior=0.5, fake_label=fake_label)


def threshold_at_false_alarm_rate(
    y: ArrayLike,
    score: ArrayLike,
    rate: float = 0.01,
    confidence: float | None = None,
    groups: ArrayLike | None = None,
    fake_label: object = None,
) -> float:
    """Return the lowest threshold with few false alarms.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake), or any score that rises with it; NaN where there is none.
    rate : float, default=0.01
        Share of real videos that may be called fake.
    confidence : float or None, default=None
        None: at most `rate` of these real videos are above the threshold; of others it
        may be more. A number: with this probability, at most `rate` of all real videos,
        in the sense of `ThreeWayDecision`.
    groups : array-like of shape (n_videos,) or None, default=None
        With a `confidence`: videos that are not independent.
    fake_label : label or None, default=None

    Returns
    -------
    threshold : float
        The score of a real video.

    Examples
    --------
    >>> score = np.append(np.arange(100) / 100, 0.99)
    >>> y = np.append(np.zeros(100), 1)  # 100 reals, 1 fake
    >>> threshold_at_false_alarm_rate(y, score, rate=0.1)
    0.89
    >>> threshold_at_false_alarm_rate(y, score, rate=0.1, confidence=0.95)
    0.95
    """
    is_fake, score, codes = scored_videos(y, score, groups, fake_label)
    reals, codes = score[is_fake == 0], codes[is_fake == 0]
    if confidence is not None:
        check_share("confidence", confidence)
        what = "real videos" if groups is None else "real groups"
        return certified_threshold(reals, codes, rate, 1 - confidence, "rate", what)
    check_share("rate", rate)
    if len(reals) * rate < 1 - TOLERANCE:
        raise ValueError(
            f"a false-alarm rate of {rate!r} cannot be told on {len(reals)} real "
            f"videos, {math.ceil(1 / rate - TOLERANCE)} or more are needed; add real "
            f"videos or ask for a rate of {1 / len(reals):.2g} or more"
        )
    share = np.full(len(reals), 1 / len(reals))
    return lowest_threshold(reals, share, lambda above: above <= rate + TOLERANCE)


def hoeffding_bentkus(risk: np.ndarray, n: int, rate: float) -> np.ndarray:
    """Return the p-value of H0: mean loss > rate, from n losses in [0, 1].

    Parameters
    ----------
    risk : ndarray
        Observed means.
    n : int
        Number of independent losses.
    rate : float

    Returns
    -------
    p_value : ndarray

    References
    ----------
    Bates et al. (2021), Distribution-free, risk-controlling prediction sets, JACM 68.

    Examples
    --------
    >>> hoeffding_bentkus(np.array([0.0, 0.05]), n=100, rate=0.1).round(5)
    array([3.0000e-05, 1.5651e-01])
    """
    below = np.minimum(risk, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(below > 0, below * np.log(below / rate), 0)
        divergence += (1 - below) * np.log((1 - below) / (1 - rate))
    hoeffding = np.exp(-n * divergence)
    bentkus = math.e * binom.cdf(np.ceil(n * risk - TOLERANCE), n, rate)
    p_value: np.ndarray = np.minimum(hoeffding, bentkus)
    return p_value


def p_value_of_rate(risk: np.ndarray, n: int, rate: float, single: bool) -> np.ndarray:
    """Return the p-value of H0: mean loss > rate, from n groups' mean losses.

    Parameters
    ----------
    risk : ndarray
        Observed means over groups.
    n : int
        Number of groups.
    rate : float
    single : bool
        Whether every group has one video, so that its loss is 0 or 1 and the exact
        binomial test holds; else it is `hoeffding_bentkus`.

    Returns
    -------
    p_value : ndarray

    Examples
    --------
    >>> p_value_of_rate(np.array([0.0]), 59, 0.05, single=True).round(4)
    array([0.0485])
    """
    if single:
        return np.asarray(binom.cdf(np.round(n * risk), n, rate))
    return hoeffding_bentkus(risk, n, rate)


def fewest_groups(rate: float, doubt: float) -> float:
    """Return how many groups certify a rate if nothing ever goes wrong in them.

    Examples
    --------
    >>> round(fewest_groups(0.005, 0.05), 1)
    597.6
    """
    return math.log(doubt) / math.log1p(-rate)


def scored_videos(
    y: ArrayLike, score: ArrayLike, groups: ArrayLike | None, fake_label: object
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return is_fake, score and group codes of the videos with a score."""
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    score = np.asarray(score, dtype=float)
    if score.shape != is_fake.shape:
        raise ValueError(
            f"score must have one entry per label, shape {is_fake.shape}; got "
            f"{score.shape}"
        )
    codes = group_codes(groups, len(is_fake))
    scored = ~np.isnan(score)
    is_fake = is_fake[scored]
    if not 0 < is_fake.sum() < len(is_fake):
        raise ValueError(
            "a decision needs scores of both classes; got "
            f"{(is_fake == 0).sum()} real and {(is_fake == 1).sum()} fake"
        )
    return is_fake, score[scored], codes[scored]


def lowest_threshold(
    score: np.ndarray, share: np.ndarray, is_allowed: Callable[[np.ndarray], Any]
) -> float:
    """Return the lowest score such that the shares above it sum to what is allowed.

    That nothing lies above the highest score is always allowed.
    """
    values, place = np.unique(score, return_inverse=True)
    at = np.bincount(place, share)
    above = np.cumsum(at[::-1])[::-1][1:]  # each value but the highest
    refused = np.flatnonzero(~is_allowed(above))
    return float(values[refused[-1] + 1 if refused.size else 0])


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def certified_threshold(
    score: np.ndarray,
    codes: np.ndarray,
    rate: float,
    doubt: float | None,
    name: str,
    what: str,
) -> float:
    """Return the lowest threshold whose rate of scores above it is certified.

    `doubt` is the chance that it is not kept, or None for rates kept on average.
    """
    check_share(name, rate)
    codes, sizes = np.unique(codes, return_inverse=True, return_counts=True)[1:]
    n = len(sizes)
    if doubt is None:
        least, lowest = 1 / rate - 1, 1 / (n + 1)
        how = "on average"
    else:
        least, lowest = fewest_groups(rate, doubt), 1 - doubt ** (1 / n)
        how = f"with a chance of {percent(1 - doubt)}"
    if n < least - TOLERANCE:
        raise ValueError(
            f"{name}={rate!r} cannot be certified {how} by {n} {what}: "
            f"{math.ceil(least - TOLERANCE)} or more are needed; add {what}, or ask "
            f"for {math.ceil(1000 * lowest) / 1000} or more"
            + ("" if doubt is None else ", or for less confidence")
        )

    def is_certified(risk: np.ndarray) -> Any:
        if doubt is None:
            return (n * risk + 1) / (n + 1) <= rate + TOLERANCE
        return p_value_of_rate(risk, n, rate, single=sizes.max() == 1) <= doubt

    return lowest_threshold(score, 1 / (n * sizes[codes]), is_certified)


def _cuts(values: np.ndarray) -> np.ndarray:
    """Return a threshold below all values, one between any two, and the last value."""
    between = (values[:-1] + values[1:]) / 2
    between = np.where(between < values[1:], between, values[:-1])  # no float between
    return np.concatenate([[np.nextafter(values[0], -np.inf)], between, [values[-1]]])
