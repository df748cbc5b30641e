"""Greedy selection: detectors are added, again and again, as long as that helps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from base_models.naming import did_you_mean
from ensemble.combiners.base import Combiner
from ensemble.combiners.optimized_weights import weighted_auc, weighted_mean
from ensemble.combiners.parts.checks import check_flags, check_whole
from ensemble.combiners.registry import Entry, register
from ensemble.metrics.ties import above

_METRICS = ("log_loss", "auc", "accuracy")
_TIE = 1e-10  # values that differ by less are equal but for rounding
_CLIP = 1e-15
_BLOCK = 512  # videos of which the table is turned over at once
_CHUNK = 8192  # videos added up at once in single precision
_FEW = 4  # detectors tried in a round for which old bounds are good enough
_BINS = 2**12  # that scores are counted in to bound an AUC
_FACTORS = 16  # probabilities multiplied before one logarithm of them is taken
_MAX_LOG_ODDS = 30.0  # the product of _FACTORS odds stays finite
_FIXED_POINT = 2.0**40


@register(
    Entry(
        "best_single_auc",
        {"metric": "auc", "n_rounds": 1},
        label="best member, chosen in training",
        order=0,
    ),
    Entry("best_single", {"n_rounds": 1}, order=0, complexity=4),
    Entry("greedy", label="greedy selection", order=11),
)
class GreedySelection(Combiner):
    """Average the detectors that greedy selection picks, each as often as picked.

    Starts from the best few detectors, then adds the one, with replacement, that makes
    the mean of all added best on the training rows, and keeps the best prefix of what
    was added. Equally good detectors are taken in an order of their content.

    Parameters
    ----------
    metric : {"log_loss", "auc", "accuracy"} or callable, default="log_loss"
        What is best. A callable is ``metric(is_fake, score)``, or ``metric(is_fake,
        score, sample_weight=...)``, higher being better.
    n_rounds : int, default=100
        Number of additions, those of the start included.
    sorted_start : bool, default=True
        Start from the N best detectors, N being where their mean is best; False starts
        from none.
    n_bags : int, default=1
        With more than one, selection is repeated in as many bags, random parts of the
        detectors, and the weights found are averaged: fewer chances to overfit.
    bag_fraction : float, default=0.5
        Share of the detectors in a bag, rounded up.
    scale : str or None, default="detect"
        Scale on which scores are averaged: "probability" or "log_odds" of P(fake),
        "rank", "standard" or None; the last three take any numbers. "detect" takes
        P(fake), after bringing each column with values outside 0 to 1 there. Means of
        log-odds, of standardised and of raw scores are brought back to [0, 1] by the
        logistic function.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    random_state : int, RandomState or None, default=0
        Seed of the bags.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    weights_ : ndarray of shape (n_detectors,)
        Share of the additions kept, averaged over the bags; they sum to 1.
    trajectory_ : list of dict, one a bag
        "detector", the column added at each round, and "value", the metric after it
        (log loss with a minus sign); "n_start" and "n_kept" say how many of them were
        the start and how many were kept.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Caruana, Niculescu-Mizil, Crew, Ksikes (2004), Ensemble selection from libraries of
    models, ICML.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> good = np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * rng.normal(size=60), 0, 1)
    >>> scores = np.column_stack([good, rng.random(60)])  # the second knows nothing
    >>> combiner = GreedySelection().fit(scores, y)
    >>> combiner.weights_
    array([1., 0.])
    >>> combiner.trajectory_[0]["detector"][:3]
    array([0, 0, 0])
    """

    def __init__(
        self,
        metric: Any = "log_loss",
        n_rounds: int = 100,
        sorted_start: bool = True,
        n_bags: int = 1,
        bag_fraction: float = 0.5,
        scale: str | None = "detect",
        clip: float = 1e-3,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.metric = metric
        self.n_rounds = n_rounds
        self.sorted_start = sorted_start
        self.n_bags = n_bags
        self.bag_fraction = bag_fraction
        self.scale = scale
        self.clip = clip
        self.random_state = random_state
        self.fake_label = fake_label

    def _fit(self, rows):
        check_whole(self, "n_rounds", 1)
        check_whole(self, "n_bags", 1)
        check_flags(self, "sorted_start")
        if not 0 < self.bag_fraction <= 1:
            raise ValueError(
                f"bag_fraction must be a share above 0 up to 1; got "
                f"{self.bag_fraction!r}"
            )
        n_detectors = rows.scores.shape[1]
        bags = [np.arange(n_detectors)]
        if self.n_bags > 1:
            rng = check_random_state(self.random_state)
            size = int(np.ceil(self.bag_fraction * n_detectors - 1e-9))
            bags = [
                np.sort(rng.permutation(n_detectors)[:size]) for _ in range(self.n_bags)
            ]
        weights, self.trajectory_ = np.zeros(n_detectors), []
        for bag in bags:
            library = Library(
                rows.scores[:, bag],
                rows.is_fake,
                rows.weight,
                self.metric,
                self.scale_["name"] in ("probability", "rank"),
            )
            added, values, n_start, n_kept = select_greedily(
                library, self.n_rounds, self.sorted_start
            )
            kept = np.bincount(bag[added[:n_kept]], minlength=n_detectors)
            weights += kept / n_kept / len(bags)
            self.trajectory_.append(
                {
                    "detector": self.detector_order_[bag[added]],
                    "value": values,
                    "n_start": n_start,
                    "n_kept": n_kept,
                }
            )
        self.weights_ = self._to_table_order(weights)

    def _fake_score(self, scores):
        combined = weighted_mean(scores, self.weights_[self.detector_order_])
        as_is = self.scale_["name"] in ("probability", "rank")
        return combined if as_is else expit(combined)


def select_greedily(
    library: Library, n_rounds: int, sorted_start: bool
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Add detectors one by one, each time the one that does the mean the most good.

    Parameters
    ----------
    library : Library
    n_rounds : int
    sorted_start : bool

    Returns
    -------
    added : int ndarray of shape (n_rounds,)
    values : ndarray of shape (n_rounds,)
        Value of the mean after each addition.
    n_start, n_kept : int
        Length of the sorted start, and of the best prefix.
    """
    added, values = [], []
    if sorted_start:
        singles = library.values_of_adding_each()
        order = np.argsort(-np.round(singles / _TIE), kind="stable")[:n_rounds]
        for detector in order:
            library.add(detector)
            values.append(library.value())
        n_start = _first_best(values) + 1
        library.clear()
        for detector in order[:n_start]:
            library.add(detector)
        added, values = list(order[:n_start]), values[:n_start]
    n_start = len(added)
    while len(added) < n_rounds:
        each = library.values_of_adding_each()
        detector = _first_best(each)
        library.add(detector)
        added.append(detector)
        values.append(each[detector])
    return np.array(added), np.array(values), n_start, _first_best(values) + 1


class Library:
    """Scores to select from, and the sum of those selected so far.

    Keeping the sum makes a round as expensive as the number of detectors, whatever was
    added before. Without missing scores and with rows of equal weight, bounds leave
    only a few detectors to be tried in a round. Log loss then takes one logarithm for
    16 videos, of the product of their probabilities; and AUC sorts sums in fixed point,
    whose last bit is the label, so that ranks and ties are read off the sorted numbers.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        NaN where missing; a row without any score in it is left out.
    is_fake, weight : ndarray of shape (n_videos,)
    metric : str or callable
    as_is : bool
        Whether the mean score is P(fake) itself, rather than its log-odds.
    """

    def __init__(
        self,
        scores: np.ndarray,
        is_fake: np.ndarray,
        weight: np.ndarray,
        metric: str | Callable[..., Any],
        as_is: bool,
    ) -> None:
        missing = np.isnan(scores)
        any_missing = missing.any()
        if any_missing:
            known = ~missing.all(axis=1)
            scores, is_fake, weight = scores[known], is_fake[known], weight[known]
        self.as_is = as_is
        self.metric = _weighted_metric(metric, is_fake, weight)
        plain = not any_missing and np.ptp(weight) == 0
        self.scores = scores
        self.plain = None
        if plain and metric == "log_loss":
            highest = 0.0 if as_is else np.abs(scores).max()
            if highest <= _MAX_LOG_ODDS:
                self.plain = _LogLosses(scores, is_fake, as_is)
        elif plain and metric == "auc":
            self.plain = _Areas(scores, is_fake)
        self.clear()

    def clear(self) -> None:
        """Take all detectors out again."""
        self.times = np.zeros(self.scores.shape[1])
        if self.plain is not None:
            self.plain.clear()

    def add(self, detector: Any) -> None:
        """Add one more time the scores of a detector."""
        self.times[detector] += 1
        if self.plain is not None:
            self.plain.add(detector)

    def value(self) -> Any:
        """Return how good the mean of what was added is."""
        if self.plain is not None:
            return self.plain.value()
        return self._value_of(self.times)

    def values_of_adding_each(self) -> Any:
        """Return how good the mean would be with each detector added."""
        if self.plain is not None:
            return self.plain.values_of_adding_each()
        return np.array(
            [self._value_of(self.times + one) for one in np.eye(len(self.times))]
        )

    def _value_of(self, times):
        mean = weighted_mean(self.scores, times)
        return self.metric(mean if self.as_is else expit(mean))


class _LogLosses:
    """Minus log losses of the mean, of rows that all count alike.

    They are concave in the weights of the mean, so a plane that touches them anywhere
    bounds them everywhere, as in Kelley's cutting-plane method: detectors are tried by
    that bound until none is left that could be the best.
    """

    def __init__(self, scores, is_fake, as_is):
        n_videos, n_detectors = scores.shape
        padded = -(-n_videos // _FACTORS) * _FACTORS
        self.n_videos, self.as_is = n_videos, as_is
        # of the right label: its probability, or minus its log-odds
        self.right = np.full((n_detectors, padded), 1.0 if as_is else -np.inf)
        flip = np.where(is_fake == 1, 0.0, 1.0) if as_is else 0.0
        sign = np.where(is_fake == 1, 1.0, -1.0) * (1 if as_is else -1)
        right = self.right[:, :n_videos]
        for start in range(0, n_videos, _BLOCK):  # turned over within the cache
            part = slice(start, start + _BLOCK)
            np.multiply(scores[part].T, sign[part], out=right[:, part])
        if as_is:
            right += flip
            np.maximum(right, _CLIP, out=right)
        self.coarse = right.astype(np.float32)
        self.buffer = np.empty(padded)
        self.clear()

    def clear(self):
        self.total = np.zeros(self.right.shape[1])
        self.times = np.zeros(len(self.right))
        self.planes, self.n_tried = [], len(self.right)

    def add(self, detector):
        self.total += self.right[detector]
        self.times[detector] += 1

    def value(self):
        return self._value(0.0, self.times.sum())

    def values_of_adding_each(self):
        n_added = self.times.sum() + 1
        bounds = np.full(len(self.right), np.inf)
        if n_added > 1 and self.n_tried > _FEW:
            self._add_plane()
        for height, slope in self.planes:
            at = height + (slope @ self.times + slope) / n_added
            bounds = np.minimum(bounds, at)
        values, best = np.full(len(bounds), -np.inf), -np.inf
        self.n_tried = 0
        for detector in np.argsort(-bounds):
            if bounds[detector] < best - _TIE:
                break
            values[detector] = self._value(self.right[detector], n_added)
            best = max(best, values[detector])
            self.n_tried += 1
        return values

    def _add_plane(self):
        """Keep the plane that touches at the mean so far, raised by its rounding."""
        mean = self.total[: self.n_videos] / self.times.sum()
        fall = 1 / mean if self.as_is else -expit(mean)  # of the loss, as it rises
        coarse = fall.astype(np.float32)
        slope = np.zeros(len(self.right))
        for start in range(0, self.n_videos, _CHUNK):
            part = slice(start, start + _CHUNK)
            slope += self.coarse[:, part] @ coarse[part]
        slope /= self.n_videos
        terms = np.abs(slope).max()
        if not self.as_is:  # of both signs, so the sum is less than its terms
            terms = np.abs(fall).mean() * np.abs(self.coarse).max()
        rounding = 2e-6 * terms
        at = slope @ self.times / self.times.sum()
        self.planes.append((self.value() - at + rounding, slope))

    def _value(self, more, n_added):
        """Return minus the mean loss of the sum so far and some more."""
        total = np.add(self.total, more, out=self.buffer)
        if not self.as_is:
            total /= n_added
            np.exp(total, out=total)
            total += 1
        while len(total) * _FACTORS > len(self.total):
            half = len(total) // 2
            total = np.multiply(total[:half], total[half:], out=total[:half])
        logs = np.log(total, out=total).sum()
        if not self.as_is:
            return -logs / self.n_videos
        return (logs - len(self.total) * np.log(n_added)) / self.n_videos


class _Areas:
    """AUC of the mean, of rows that all count alike.

    Sums are in fixed point. Counting them in bins bounds the AUC from both sides, and
    detectors are tried by that bound until none is left that could be the best.
    """

    def __init__(self, scores, is_fake):
        highest = np.abs(scores).max()
        unit = _FIXED_POINT / 2 ** np.ceil(np.log2(highest)) if highest else 1.0
        by_label = np.argsort(-is_fake, kind="stable")
        self.n_fake = int(is_fake.sum())
        self.fixed = np.empty(scores.T.shape, np.int64)
        for start in range(0, len(scores), _BLOCK):  # turned over within the cache
            part = slice(start, start + _BLOCK)
            self.fixed[:, part] = np.rint(scores[by_label[part]].T * unit)
        self.fixed -= self.fixed.min(axis=1, keepdims=True)
        self.highest = self.fixed.max(axis=1)
        self.buffer = np.empty_like(self.fixed[0])
        self.clear()

    def clear(self):
        self.total = np.zeros(self.fixed.shape[1], np.int64)
        self.highest_total = 0

    def add(self, detector):
        self.total += self.fixed[detector]
        self.highest_total += self.highest[detector]

    def value(self):
        return self._value(self.total.copy())

    def values_of_adding_each(self):
        bounds = np.full(len(self.fixed), np.inf)
        if len(self.total) > _BINS:
            bounds = np.array(
                [self._bound(detector) for detector in range(len(bounds))]
            )
        values, best = np.full(len(bounds), -np.inf), -np.inf
        for detector in np.argsort(-bounds):
            if bounds[detector] < best - _TIE:
                break
            values[detector] = self._value(self.total + self.fixed[detector])
            best = max(best, values[detector])
        return values

    def _bound(self, detector):
        """Return no less than the AUC with one detector added."""
        bins = np.add(self.total, self.fixed[detector], out=self.buffer)
        n_bits = int(self.highest_total + self.highest[detector]).bit_length()
        bins >>= max(n_bits - _BINS.bit_length() + 1, 0)
        fake = np.bincount(bins[: self.n_fake], minlength=_BINS)
        real = np.bincount(bins[self.n_fake :], minlength=_BINS)
        n_real = len(bins) - self.n_fake
        return fake @ np.cumsum(real) / (self.n_fake * n_real)

    def _value(self, score):
        """Count pairs, in numbers whose last bit is the label."""
        keys = 2 * score
        keys[: self.n_fake] += 1
        high_bits = keys >> max(int(keys.max()).bit_length() - 16, 0)
        keys = keys[np.argsort(high_bits.astype(np.uint16), kind="stable")]
        keys.sort(kind="stable")  # after a radix sort, little is left to do
        n_fake, n_videos = self.n_fake, len(keys)
        fake = np.flatnonzero(keys & 1)
        won = int(fake.sum()) - n_fake * (n_fake - 1) // 2
        # of equal scores all pairs were counted as won
        mixed = np.flatnonzero((keys[1:] ^ keys[:-1]) == 1)
        if mixed.size:
            real = keys[mixed]  # the fakes of the same score are one higher
            low, middle, high = (np.searchsorted(keys, real + up) for up in (0, 1, 2))
            won -= ((middle - low) * (high - middle)).sum() / 2
        return won / (n_fake * (n_videos - n_fake))


def _first_best(values):
    values = np.nan_to_num(values, nan=-np.inf)
    return int(np.flatnonzero(values >= values.max() - _TIE)[0])


def _weighted_metric(metric, is_fake, weight):
    """Return the metric as a function of P(fake) alone, higher being better."""
    if callable(metric):
        return _scorer(metric, is_fake, weight)
    if metric not in _METRICS:
        raise ValueError(
            f"unknown metric {metric!r}; expected 'log_loss', 'auc', 'accuracy' or a "
            "callable" + did_you_mean(metric, _METRICS)
        )

    def value(score):
        if metric == "auc":
            return weighted_auc(is_fake, score, weight)
        if metric == "accuracy":
            right = above(score, 0.5) == is_fake
            return weight @ right / weight.sum()
        right = np.where(is_fake == 1, score, 1 - score)
        return weight @ np.log(np.clip(right, _CLIP, 1)) / weight.sum()

    return value


def _scorer(metric, is_fake, weight):
    try:
        takes_weight = "sample_weight" in inspect.signature(metric).parameters
    except ValueError:  # some functions written in C do not say
        takes_weight = False
    if takes_weight:
        return lambda score: float(metric(is_fake, score, sample_weight=weight))
    if (weight != np.round(weight)).any():
        raise ValueError(
            f"metric {metric!r} takes no sample_weight; leave the weights out, give "
            "whole numbers, or another metric"
        )
    times = weight.astype(int)
    repeated = is_fake.repeat(times)
    return lambda score: float(metric(repeated, score.repeat(times)))
