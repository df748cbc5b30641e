"""Voting: the detectors' scores averaged, counted or ranked, each with its weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from base_models.naming import did_you_mean
from ensemble.combiners.base import Combiner
from ensemble.combiners.optimized_weights import convex, learn_weights, weighted_mean
from ensemble.combiners.parts.bounds import Bounded
from ensemble.combiners.registry import Entry, register

_SCALES = {
    "soft": "probability",
    "log_odds": "log_odds",
    "rank": "rank",
    "hard": "probability",
    "median": "probability",
    "max": "probability",
    "min": "probability",
    "trimmed": "probability",
}
_WEIGHTED = ("soft", "log_odds", "rank", "hard")


@register(
    Entry(
        "soft",
        {"kind": "soft"},
        aliases=("mean",),
        label="mean",
        order=1,
    ),
    Entry("log_odds", {"kind": "log_odds"}, label="log-odds mean", order=2),
    Entry("rank", {"kind": "rank"}, label="rank mean", order=4),
    Entry(
        "median",
        {"kind": "median"},
        label="median",
        order=5,
    ),
    Entry("trimmed", {"kind": "trimmed"}, label="trimmed mean", order=6),
    Entry("max", {"kind": "max"}, label="maximum", order=7),
    Entry("min", {"kind": "min"}, label="minimum", order=8),
    Entry(
        "hard",
        {"kind": "hard"},
        aliases=("majority",),
        label="majority vote",
        order=9,
    ),
)
class Voting(Bounded, Combiner):
    """Combine scores by a vote of the detectors.

    A missing score has no vote: the weights of the others are scaled up to make one.

    Parameters
    ----------
    kind : str, default="log_odds"
        - "log_odds": mean of the log-odds, the logarithmic opinion pool.
        - "soft": mean of the scores.
        - "rank": mean of the ranks among the training scores of each detector, for
          scales that cannot be compared; a ranking of videos, no probability.
        - "hard": share of detectors that say fake, those above their `threshold`. A
          detector at its threshold is half a vote; of a tie, 0.5, `predict` makes real.
        - "median", "max", "min" of the scores.
        - "trimmed": mean without the `trim` lowest and highest.
    weights : array-like of shape (n_detectors,), dict, "learned" or None, default=None
        Trust in each detector, >= 0, scaled to sum to 1, also ``{detector: weight}``;
        for the first four kinds. "learned" takes those with the least log loss on the
        training rows. None trusts all alike.
    scale : str or None, default="detect"
        Scale on which scores are combined: "probability" or "log_odds" of P(fake),
        "rank", "standard" (mean 0 and spread 1 in training) or None (as they are, 0
        being neutral); the last three take any numbers. "auto" is the one that `kind`
        speaks of, else "probability". "detect" takes the same, after bringing each
        column with values outside 0 to 1 there: to expit((x - mean) / spread), or to
        the rank in training where it is heavy-tailed. Means of log-odds, of
        standardised and of raw scores are brought back to [0, 1] by the logistic
        function.
    threshold : float, array-like of shape (n_detectors,) or dict, default=0.5
        For "hard": score on its scale above which a detector says fake.
    trim : float, default=0.25
        For "trimmed": share of the scores left out at either end, rounded down.
    shrinkage : float, default=10.0
        For "learned": pull towards equal weights; it outweighs evidence of about as
        many videos.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    weights_ : ndarray of shape (n_detectors,)
        The weights in use; they sum to 1. 0 for a detector that had no score in `fit`.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Genest, Zidek (1986), Combining probability distributions, Statistical Science 1.

    Examples
    --------
    >>> scores = [[0.9, 0.5], [0.1, 0.3]]  # 2 videos x 2 detectors, P(fake)
    >>> combiner = Voting("soft", weights=[3, 1]).fit(scores, [1, 0])
    >>> combiner.fake_score(scores)
    array([0.8 , 0.15])
    """

    def __init__(
        self,
        kind: str = "log_odds",
        weights: ArrayLike | dict | str | None = None,
        scale: str | None = "detect",
        threshold: ArrayLike | dict = 0.5,
        trim: float = 0.25,
        shrinkage: float = 10.0,
        clip: float = 1e-3,
        fake_label: Any = None,
    ) -> None:
        self.kind = kind
        self.weights = weights
        self.scale = scale
        self.threshold = threshold
        self.trim = trim
        self.shrinkage = shrinkage
        self.clip = clip
        self.fake_label = fake_label

    def _scale_name(self):
        if self.kind not in _SCALES:
            raise ValueError(
                f"unknown kind of voting {self.kind!r}; expected one of "
                f"{', '.join(_SCALES)}" + did_you_mean(self.kind, _SCALES)
            )
        own = _SCALES[self.kind]
        if self.kind in ("log_odds", "rank") and self.scale not in (
            "auto",
            "detect",
            own,
        ):
            raise ValueError(
                f'kind="{self.kind}" is the mean on the scale "{own}"; got '
                f'scale={self.scale!r}: use kind="soft" for the mean on another scale'
            )
        if self.scale == "auto" or (self.scale == "detect" and own == "rank"):
            return own  # ranks are those of any numbers
        return self.scale

    def _own_scale(self):
        return _SCALES[self.kind]

    def _fit(self, rows):
        n_detectors = rows.scores.shape[1]
        if self.kind == "hard":
            threshold = self.threshold
            if np.ndim(threshold) == 0 and not isinstance(threshold, dict):
                threshold = np.full(self.n_features_in_, float(threshold))
            self.threshold_ = self._to_table_order(
                self._from_table_order(threshold, "threshold")
            )
        if self.kind == "trimmed" and not 0 <= self.trim < 0.5:
            raise ValueError(f"trim must be a share from 0 to 0.5; got {self.trim!r}")
        if self.weights is None:
            weights = np.full(n_detectors, 1 / n_detectors)
        elif self.kind not in _WEIGHTED:
            raise ValueError(
                f'kind="{self.kind}" has no weights; expected weights=None, or one of '
                f"the kinds {', '.join(_WEIGHTED)}"
            )
        elif isinstance(self.weights, str):
            if self.weights != "learned":
                raise ValueError(
                    f"weights must be numbers, None or 'learned'; got {self.weights!r}"
                )
            votes = self._votes(rows.scores)
            weights = learn_weights(
                votes, rows.is_fake, rows.weight, self.shrinkage, self._as_is()
            )
        else:
            weights = convex(self._from_table_order(self.weights, "weights"))
        self.weights_ = self._to_table_order(weights)

    def _fake_score(self, scores):
        votes = self._votes(scores)
        if self.kind == "median":
            combined = np.nanmedian(votes, axis=1)
        elif self.kind == "max":
            combined = np.nanmax(votes, axis=1)
        elif self.kind == "min":
            combined = np.nanmin(votes, axis=1)
        elif self.kind == "trimmed":
            combined = trimmed_mean(votes, self.trim)
        else:
            combined = weighted_mean(votes, self.weights_[self.detector_order_])
        return combined if self._as_is() else expit(combined)

    def _votes(self, scores):
        if self.kind != "hard":
            return scores
        threshold = self.threshold_[self.detector_order_]
        return np.where(np.isnan(scores), np.nan, np.heaviside(scores - threshold, 0.5))

    def _as_is(self):
        """Whether votes are within [0, 1] and their mean needs no logistic function."""
        return self.kind == "hard" or self.scale_["name"] in ("probability", "rank")


def trimmed_mean(scores: Any, trim: Any) -> Any:
    """Average each row without its floor(trim * n) lowest and highest scores."""
    ordered = np.sort(scores, axis=1)  # NaN last
    n_scores = (~np.isnan(ordered)).sum(axis=1, keepdims=True)
    n_cut = np.floor(trim * n_scores + 1e-9)
    place = np.arange(scores.shape[1])
    kept = (place >= n_cut) & (place < n_scores - n_cut)
    return np.where(kept, ordered, 0).sum(axis=1) / kept.sum(axis=1)
