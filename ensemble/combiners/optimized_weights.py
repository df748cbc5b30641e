"""Convex weights of the detectors, found by optimisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, softmax

from ensemble.combiners.base import Combiner
from ensemble.combiners.parts.bounds import Bounded
from ensemble.combiners.parts.rows import sample_rows
from ensemble.combiners.registry import Entry, register

_MAX_SEARCHED = 5000  # different rows of each class that the search for an AUC needs
_STEPS = (0.5, 0.25, 0.1, 0.05, 0.02, 0.01)  # shares of the weight moved at once
_BOUNDED = ("probability", "rank")


@register(
    Entry(
        "weighted",
        aliases=("optimized",),
        label="weighted vote",
        order=10,
    )
)
class OptimizedWeights(Bounded, Combiner):
    """Average scores with the convex weights that fit the training rows best.

    Parameters
    ----------
    metric : {"log_loss", "auc"}, default="log_loss"
        What is best. Log loss is minimised by L-BFGS on the softmax of free numbers;
        these are the weights of ``Voting(weights="learned")``. AUC, a staircase in the
        weights, is maximised itself and not a smooth stand-in: a coordinate search from
        equal weights moves a share of the whole weight, half at first and 1 % at last,
        to one detector or back from it, as long as the AUC rises.
    scale : str or None, default="detect"
        Scale on which scores are averaged: "probability" or "log_odds" of P(fake),
        "rank", "standard" or None; the last three take any numbers. "detect" takes
        log-odds, after bringing each column with values outside 0 to 1 there. Means of
        log-odds, of standardised and of raw scores are brought back to [0, 1] by the
        logistic function.
    shrinkage : float, default=10.0
        Pull towards equal weights: the Kullback-Leibler divergence of the weights from
        equal ones costs as much as a change of the metric on this many videos.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    weights_ : ndarray of shape (n_detectors,)
        They sum to 1. 0 for a detector that had no score in `fit`.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Genest, Zidek (1986), Combining probability distributions, Statistical Science 1;
    Hooke, Jeeves (1961), "Direct search" solution of numerical and statistical
    problems, Journal of the ACM 8, for the search.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> good = np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * rng.normal(size=60), 0, 1)
    >>> scores = np.column_stack([good, rng.random(60)])  # the second knows nothing
    >>> OptimizedWeights().fit(scores, y).weights_.round(1)
    array([0.8, 0.2])
    """

    def __init__(
        self,
        metric: Any = "log_loss",
        scale: str | None = "detect",
        shrinkage: float = 10.0,
        clip: float = 1e-3,
        fake_label: Any = None,
    ) -> None:
        self.metric = metric
        self.scale = scale
        self.shrinkage = shrinkage
        self.clip = clip
        self.fake_label = fake_label

    def _own_scale(self):
        return "log_odds"

    def _fit(self, rows):
        if self.metric == "log_loss":
            weights = learn_weights(
                rows.scores, rows.is_fake, rows.weight, self.shrinkage, self._as_is()
            )
        elif self.metric == "auc":
            total = rows.weight.sum()
            rows = sample_rows(rows, _MAX_SEARCHED)
            weights = search_auc_weights(
                rows.scores, rows.is_fake, rows.weight, self.shrinkage, total
            )
        else:
            raise ValueError(f"metric must be 'log_loss' or 'auc'; got {self.metric!r}")
        self.weights_ = self._to_table_order(weights)

    def _fake_score(self, scores):
        combined = weighted_mean(scores, self.weights_[self.detector_order_])
        return combined if self._as_is() else expit(combined)

    def _as_is(self):
        return self.scale_["name"] in _BOUNDED


def weighted_mean(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average each row over the scores it has, with the weights scaled to sum to 1.

    Where all the weight is on missing scores the others count alike.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        NaN where missing; no row is all NaN.
    weights : ndarray of shape (n_detectors,)

    Returns
    -------
    mean : ndarray of shape (n_videos,)
    """
    missing = np.isnan(scores)
    filled = np.where(missing, 0.0, scores)
    plain = filled @ (weights / weights.sum())
    whole = ~missing.any(axis=1)
    if whole.all():
        return plain
    total = ~missing @ weights
    with np.errstate(invalid="ignore"):
        mean = (filled @ weights) / total
    weightless = total <= 0
    mean[weightless] = filled[weightless].sum(axis=1) / (~missing[weightless]).sum(
        axis=1
    )
    mean[whole] = plain[whole]  # the same bits, whether others lack scores or not
    return mean


def convex(weights: Any) -> Any:
    """Scale weights to sum to 1, and refuse those that cannot be."""
    if not (weights.min() >= 0 and 0 < weights.sum() < np.inf):
        raise ValueError(f"weights must be >= 0, finite, not all 0; got {weights}")
    return weights / weights.sum()


def learn_weights(
    votes: np.ndarray,
    is_fake: np.ndarray,
    weight: np.ndarray,
    shrinkage: float,
    as_is: bool,
) -> np.ndarray:
    """Find convex weights with the least log loss, pulled towards equal ones.

    Minimises the sum of the videos' log losses plus `shrinkage` times the
    Kullback-Leibler divergence of the weights from equal ones.

    Parameters
    ----------
    votes : ndarray of shape (n_videos, n_detectors)
        NaN where missing; no row is all NaN.
    is_fake, weight : ndarray of shape (n_videos,)
    shrinkage : float
    as_is : bool
        Whether the mean vote is P(fake) itself, rather than its log-odds.

    Returns
    -------
    weights : ndarray of shape (n_detectors,)
        They sum to 1.
    """
    _check_shrinkage(shrinkage)
    n_detectors = votes.shape[1]
    present = (~np.isnan(votes)).astype(float)
    filled = np.nan_to_num(votes)
    sign = 1 - 2 * is_fake

    def loss_and_slope(free):
        weights = softmax(free)
        total = present @ weights
        mean = (filled @ weights) / total
        if as_is:
            right = np.clip(np.where(is_fake == 1, mean, 1 - mean), 1e-6, None)
            loss, by_mean = -np.log(right), sign / right
        else:
            loss, by_mean = np.logaddexp(0, sign * mean), sign * expit(sign * mean)
        share = weight * by_mean / total
        by_weight = filled.T @ share - present.T @ (share * mean)
        divergence = -np.log(n_detectors * weights).mean()
        by_free = weights * (by_weight - weights @ by_weight)
        by_free += shrinkage * (weights - 1 / n_detectors)
        return (weight @ loss + shrinkage * divergence) / weight.sum(), (
            by_free / weight.sum()
        )

    found = minimize(
        loss_and_slope,
        np.zeros(n_detectors),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10},
    )
    return softmax(found.x)


def search_auc_weights(
    votes: np.ndarray,
    is_fake: np.ndarray,
    weight: np.ndarray,
    shrinkage: float,
    n_videos: float,
) -> np.ndarray:
    """Search for convex weights with the highest AUC, pulled towards equal ones.

    Maximises the AUC of the mean vote minus `shrinkage` / `n_videos` times the
    Kullback-Leibler divergence of the weights from equal ones.

    Parameters
    ----------
    votes : ndarray of shape (n_videos, n_detectors)
        NaN where missing; no row is all NaN.
    is_fake, weight : ndarray of shape (n_videos,)
    shrinkage : float
    n_videos : float
        How many videos the rows stand for.

    Returns
    -------
    weights : ndarray of shape (n_detectors,)
        They sum to 1.
    """
    _check_shrinkage(shrinkage)
    n_detectors = votes.shape[1]

    def value(weights):
        reached = weighted_auc(is_fake, weighted_mean(votes, weights), weight)
        with np.errstate(divide="ignore"):
            divergence = -np.log(n_detectors * weights).mean()
        return reached - (shrinkage / n_videos * divergence if shrinkage else 0.0)

    weights = np.full(n_detectors, 1 / n_detectors)
    best = value(weights)
    for step in _STEPS:
        risen = n_detectors > 1
        while risen:
            risen = False
            for detector in range(n_detectors):
                for tried in _moved(weights, detector, step):
                    reached = value(tried)
                    if reached > best + 1e-12:
                        weights, best, risen = tried, reached, True
    return weights


def weighted_auc(is_fake: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Return the chance that a fake scores above a real, a tie counting half.

    Parameters
    ----------
    is_fake, score, weight : ndarray of shape (n_videos,)
    """
    order = np.argsort(score)
    ordered = score[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    fake = np.add.reduceat((weight * is_fake)[order], starts)
    real = np.add.reduceat((weight * (1 - is_fake))[order], starts)
    won = fake @ (np.cumsum(real) - real / 2)
    return float(won / (fake.sum() * real.sum()))


def _moved(weights, detector, step):
    """Return the weights with a share moved to one detector, and from it."""
    more = (1 - step) * weights
    more[detector] += step
    less = weights.copy()
    less[detector] *= 1 - step
    return more, less / less.sum()


def _check_shrinkage(shrinkage):
    if not 0 <= shrinkage < np.inf:
        raise ValueError(f"shrinkage must be >= 0 and finite; got {shrinkage!r}")
