"""Log-odds of each detector in spreads of the real videos, averaged with weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from ensemble.combiners.base import Combiner
from ensemble.combiners.optimized_weights import convex, learn_weights, weighted_mean
from ensemble.combiners.registry import Entry, register

_NORMAL = 1.349  # interquartile range of the standard normal distribution
_LEAST = 0.1  # log-odds: detectors that call all reals alike are not blown up


@register(Entry("spread_log_odds"))
class SpreadLogOdds(Combiner):
    """Average log-odds, each detector scaled by its spread over real videos.

    Detectors that are surer of themselves than others would decide a plain mean. Here
    each one's log-odds are taken less their median over the real videos of training,
    in parts of their spread there (interquartile range over 1.349): 1 is one spread
    above the middle of the reals, whoever says it. Fakes play no part in that, so that
    it can be fitted on real videos alone.

    Parameters
    ----------
    weights : array-like of shape (n_detectors,), dict, "learned" or None, default=None
        As for `Voting`; "learned" takes those with the least log loss on the training
        rows, where fakes are among these.
    shrinkage : float, default=20.0
        For "learned": pull towards equal weights; it outweighs evidence of about as
        many videos.
    scale : str or None, default="detect"
        "detect" and "log_odds" take log-odds, the first after bringing each column with
        values outside 0 to 1 there.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    weights_ : ndarray of shape (n_detectors,)
        They sum to 1.
    centre_, spread_ : ndarray of shape (n_detectors,)
        Of the log-odds of real videos.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    Examples
    --------
    >>> scores = [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6], [0.9, 0.7]]  # the last is fake
    >>> combiner = SpreadLogOdds().fit(scores, [0, 0, 0, 1])
    >>> combiner.fake_score(scores).round(2)
    array([0.32, 0.5 , 0.65, 0.92])
    """

    def __init__(
        self,
        weights: ArrayLike | dict | str | None = None,
        shrinkage: float = 20.0,
        scale: str | None = "detect",
        clip: float = 1e-3,
        fake_label: Any = None,
    ) -> None:
        self.weights = weights
        self.shrinkage = shrinkage
        self.scale = scale
        self.clip = clip
        self.fake_label = fake_label

    def _own_scale(self):
        return "log_odds"

    def _scale_name(self):
        if self.scale not in ("detect", "log_odds"):
            raise ValueError(
                "scale must be 'detect' or 'log_odds', of which spreads are taken; "
                f"got {self.scale!r}"
            )
        return self.scale

    def _fit(self, rows):
        reals = rows.is_fake == 0
        n_detectors = rows.scores.shape[1]
        measured = [
            _middle_and_spread(rows.scores[reals, j], rows.weight[reals])
            for j in range(n_detectors)
        ]
        centre, spread = np.array(measured).reshape(n_detectors, 2).T
        self.centre_ = self._to_table_order(centre)
        self.spread_ = self._to_table_order(spread, 1.0)
        if self.weights is None:
            weights = np.full(n_detectors, 1 / n_detectors)
        elif isinstance(self.weights, str):
            if self.weights != "learned":
                raise ValueError(
                    f"weights must be numbers, None or 'learned'; got {self.weights!r}"
                )
            votes = (rows.scores - centre) / spread
            weights = learn_weights(
                votes, rows.is_fake, rows.weight, self.shrinkage, as_is=False
            )
        else:
            weights = convex(self._from_table_order(self.weights, "weights"))
        self.weights_ = self._to_table_order(weights)

    def _fake_score(self, scores):
        order = self.detector_order_
        votes = (scores - self.centre_[order]) / self.spread_[order]
        return expit(weighted_mean(votes, self.weights_[order]))


def _middle_and_spread(column, weight):
    """Weighted median and interquartile spread; 0 and 1 without a score."""
    here = ~np.isnan(column)
    if not here.any():
        return 0.0, 1.0
    order = np.argsort(column[here], kind="stable")
    values, mass = column[here][order], weight[here][order]
    up_to = np.cumsum(mass) / mass.sum()  # a row of weight 2 is two rows
    low, middle, high = (
        values[np.searchsorted(up_to, share - 1e-12)] for share in (0.25, 0.5, 0.75)
    )
    return float(middle), max(float(high - low) / _NORMAL, _LEAST)
