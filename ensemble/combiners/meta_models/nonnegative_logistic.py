"""Logistic regression with non-negative weights, pulled towards equal ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from scipy.special import expit

_CHUNK = 16384  # rows summed up at once, to stay in the processor's cache
_MAX_STEPS = 100


def fit_nonnegative_logistic(
    scores: np.ndarray,
    is_fake: np.ndarray,
    weight: np.ndarray,
    shrinkage: float,
    spread: float | np.ndarray = 1.0,
    start: tuple[Any, ...] | None = None,
    tolerance: float = 1e-10,
    to_zero: float | np.ndarray = 0.0,
) -> tuple[float, np.ndarray]:
    """Fit log-odds = intercept + sum of weights times the weighted mean of the scores.

    Without missing scores that is an ordinary linear model; in a row where some are
    missing the mean is over the others, with their weights scaled up.

    Minimises the sum of the videos' log losses plus spread / 8 times, for each of
    `shrinkage` videos, the squared distance of the weights from their mean, and, for
    one more, that of their sum from 1, which keeps the fit finite where the classes are
    separable. (A quarter of its squared score is the most that one video can curve the
    loss.) With a spread for each detector, each distance counts by the detector's own,
    and mean and sum are weighted by it, so that a detector of narrow scores may weigh
    much and one of wide scores is held as before. Each Newton step solves its bounded
    least-squares problem exactly.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        0 is neutral; NaN where missing; no row is all NaN.
    is_fake, weight : ndarray of shape (n_videos,)
        `is_fake` may be anything from 0 to 1.
    shrinkage : float
        From 0 to inf; inf keeps all weights equal.
    spread : float or ndarray of shape (n_detectors,), default=1.0
        Variance of the detectors' scores.
    start : tuple of (intercept, weights) or None, default=None
        Where to start; None is the plain mean.
    tolerance : float, default=1e-10
        The step that promises to lower the mean loss by less is the last.
    to_zero : float or ndarray of shape (n_detectors,), default=0.0
        Half of it times the squared weight is added to the loss for each detector; with
        infinite shrinkage half of it, one number, times the squared sum of the weights.

    Returns
    -------
    intercept : float
    weights : ndarray of shape (n_detectors,)

    Examples
    --------
    >>> scores = np.array([[2.0, 0.1], [1.5, -0.2], [-1.0, 0.3], [-2.0, -0.4]])
    >>> is_fake, weight = np.array([1, 0, 1, 0]), np.ones(4)
    >>> fit_nonnegative_logistic(scores, is_fake, weight, np.inf)[1].round(3)
    array([0.453, 0.453])
    """
    n_detectors = scores.shape[1]
    if np.isinf(shrinkage):
        mean = np.nanmean(scores, axis=1, keepdims=True)
        if start is not None:
            start = start[0], start[1].sum(keepdims=True)
        intercept, total = fit_nonnegative_logistic(
            mean, is_fake, weight, 0.0, np.mean(spread), start, tolerance, to_zero
        )
        return intercept, np.full(n_detectors, total[0] / n_detectors)
    penalty = _penalty(np.broadcast_to(spread, n_detectors), shrinkage, 1.0)
    to_zero = np.broadcast_to(to_zero, n_detectors)
    equal = np.full(n_detectors, 1 / n_detectors)
    intercept, weights = (0.0, equal) if start is None else start

    def at(intercept, weights):
        away = weights - equal
        loss, slope, curvature = _derivatives(
            scores, is_fake, weight, has_missing, intercept, weights
        )
        slope[1:] += penalty @ away + to_zero * weights
        curvature[1:, 1:] += penalty + np.diag(to_zero)
        loss += (away @ penalty @ away + to_zero @ weights**2) / 2
        return loss, slope, curvature

    has_missing = np.isnan(scores).any()
    loss, slope, curvature = at(intercept, weights)
    for _ in range(_MAX_STEPS):
        step = _bounded_newton_step(slope, curvature, weights)
        promised = -slope @ step
        size = 1.0
        while True:
            tried = intercept + size * step[0], weights + size * step[1:]
            if promised <= tolerance * weight.sum() or size < 1e-10:
                return float(tried[0]), np.maximum(tried[1], 0.0)
            tried_loss, slope, curvature = at(*tried)
            if tried_loss <= loss - 1e-4 * size * promised:
                break
            size /= 2
        (intercept, weights), loss = tried, tried_loss
    return float(intercept), weights


def log_odds_of(scores: Any, intercept: Any, weights: Any) -> Any:
    """Return the fitted log-odds of rows of scores, of which none is all NaN."""
    missing = np.isnan(scores)
    whole = intercept + np.where(missing, 0.0, scores) @ weights
    if not missing.any():
        return whole
    mean, _, _ = _mean_of_present(scores, weights)
    # The same bits for a row without missing scores, whether others lack some or not.
    return np.where(missing.any(axis=1), intercept + weights.sum() * mean, whole)


def _penalty(spread, of_difference, of_sum):
    if not spread.any():
        return np.zeros((len(spread), len(spread)))
    mean = np.outer(spread, spread) / spread.sum()
    difference = of_difference * (np.diag(spread) - mean)
    return (difference + of_sum * len(spread) * mean) / 4


def _derivatives(scores, is_fake, weight, has_missing, intercept, weights):
    """Return the loss, its slope and its Gauss-Newton curvature in all parameters."""
    loss, slope = 0.0, np.zeros(len(weights) + 1)
    curvature = np.zeros((len(weights) + 1, len(weights) + 1))
    for start in range(0, len(scores), _CHUNK):
        part = slice(start, start + _CHUNK)
        if has_missing:
            log_odds, by_weights = _linearised(scores[part], intercept, weights)
        else:
            log_odds, by_weights = intercept + scores[part] @ weights, scores[part]
        probability = expit(log_odds)
        residual = weight[part] * (probability - is_fake[part])
        curve = weight[part] * probability * (1 - probability)
        losses = np.logaddexp(0, log_odds) - is_fake[part] * log_odds
        loss += weight[part] @ losses
        slope[0] += residual.sum()
        slope[1:] += residual @ by_weights
        curvature[0, 0] += curve.sum()
        curvature[0, 1:] += curve @ by_weights
        curvature[1:, 1:] += (by_weights * curve[:, None]).T @ by_weights
    curvature[1:, 0] = curvature[0, 1:]
    return loss, slope, curvature


def _linearised(scores, intercept, weights):
    mean, present, share = _mean_of_present(scores, weights)
    ahead = np.where(present, scores - mean[:, None], 0.0)
    by_weights = mean[:, None] + share[:, None] * ahead
    return intercept + weights.sum() * mean, by_weights


def _mean_of_present(scores, weights):
    """Return the weighted mean of the present scores; plain where they weigh nothing.

    Also which are present, and how far their weights are scaled up.
    """
    present = ~np.isnan(scores)
    filled = np.where(present, scores, 0.0)
    total = present.astype(float) @ weights
    weightless = total <= 1e-12 * weights.sum()
    safe = np.where(weightless, 1.0, total)
    mean = np.where(
        weightless, filled.sum(axis=1) / present.sum(axis=1), filled @ weights / safe
    )
    return mean, present, np.where(weightless, 0.0, weights.sum() / safe)


def _bounded_newton_step(slope, curvature, weights):
    """Minimise the quadratic model with weights >= 0, the intercept being free.

    It is solved for weights times the root of their curvature: those of narrow scores
    are large, and would drown in the rounding of the others.
    """
    unit = np.sqrt(np.maximum(curvature.diagonal()[1:], 1e-300))
    free = curvature[0, 0] + 1e-12
    across = curvature[0, 1:] / unit
    reduced = curvature[1:, 1:] / np.outer(unit, unit) - np.outer(across, across) / free
    reduced[np.diag_indices_from(reduced)] += 1e-14 + 1e-10 * reduced.diagonal().max()
    lower = cholesky(reduced, lower=True)
    target = reduced @ (weights * unit) - (slope[1:] / unit - across * slope[0] / free)
    found, _ = nnls(lower.T, solve_triangular(lower, target, lower=True))
    change = found / unit - weights
    return np.concatenate([[-(slope[0] + across @ (change * unit)) / free], change])
