"""The logistic meta-model: how strongly its weights are pulled, and where to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ensemble.combiners.meta_models.nonnegative_logistic import (
    fit_nonnegative_logistic,
    log_odds_of,
)
from ensemble.combiners.parts.detector_skill import (
    doubt,
    measure_evidence,
    skill_beside_others,
)
from ensemble.combiners.parts.rows import Rows, sample_rows
from ensemble.combiners.parts.scales import fit_scale

SHRINKAGES = (np.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.0)
_SLACK = 1.0  # standard errors that stronger shrinkage may cost
_FEW = 750  # different rows of each class that show what is far from chance
_CLEAR = 4.0  # standard errors that are far


@dataclass(frozen=True)
class Pull:
    """What the weights of a table's detectors are pulled by.

    Attributes
    ----------
    spread : ndarray of shape (n_detectors,)
        Variance of each detector's scores: makes shrinkage a number of videos.
    to_zero : ndarray of shape (n_detectors,)
        Curvature of the pull of each weight to 0: for doubt about a detector.
    total_to_zero : float
        The same for their sum, where all weights are equal.
    """

    spread: np.ndarray
    to_zero: np.ndarray
    total_to_zero: float


def measure_pull(rows: Rows, n_rows: int | None = None) -> Pull:
    """Measure how far the scores of some rows are to be followed.

    A detector that is less than three standard errors away from chance, by itself and
    beside the others, is pulled to 0 by the doubt about it
    (`ensemble.combiners.parts.detector_skill.doubt`); the sum of equal weights by the
    doubt about the mean. Where it is known how far off the refitted detector scores,
    that counts as noise of that size.

    Parameters
    ----------
    rows : Rows
        Scores counted from the neutral one, without features.
    n_rows : int or None, default=None
        How many rows they were drawn from, if they are a sample.
    """
    weight = rows.weight * (1.0 if n_rows is None else min(1, len(rows) / n_rows))
    mean = np.nanmean(rows.scores, axis=1, keepdims=True)
    scores = np.hstack([rows.scores, mean])
    spread = fit_scale("standard", scores, slice(None), rows.weight)["spread"] ** 2
    surely = _above_chance(replace(rows, scores=scores), weight)
    filled = np.where(np.isnan(rows.scores), mean, rows.scores)
    beside = skill_beside_others(filled, rows.is_fake, weight, rows.groups)
    surely[:-1] = np.maximum(surely[:-1], beside)
    doubts = doubt(surely)
    if rows.offsets is not None:
        offsets = np.append(rows.offsets, rows.offsets.mean())
        doubts += offsets**2 / spread
    pull = doubts * rows.weight.sum() * spread / 4
    return Pull(spread[:-1], pull[:-1], float(pull[-1]))


def _above_chance(rows, weight):
    """Return by how many standard errors each column differs from chance.

    Of many rows a part shows what is far from it; the others are measured on all.
    """
    surely, unsure = np.zeros(rows.scores.shape[1]), slice(None)
    part = sample_rows(rows, _FEW)
    if len(part) < len(rows) / 2:
        share = weight.sum() / rows.weight.sum() * len(part) / len(rows)
        evidence = measure_evidence(
            part.scores, part.is_fake, part.weight * share, part.groups, part.folds
        )
        surely = np.abs(evidence.above_chance())
        unsure = np.flatnonzero(surely < _CLEAR)
    evidence = measure_evidence(
        rows.scores[:, unsure], rows.is_fake, weight, rows.groups, rows.folds
    )
    surely[unsure] = np.abs(evidence.above_chance())
    return surely


def fit_shrunk_logistic(
    rows: Rows,
    shrinkage: float,
    pull: Pull | None = None,
    start: tuple[Any, ...] | None = None,
) -> tuple[float, np.ndarray]:
    """Fit the logistic meta-model on rows.

    Parameters
    ----------
    rows : Rows
    shrinkage : float
        Of the weights towards equal ones, in videos; inf for the calibrated mean.
    pull : Pull or None, default=None
        None measures it on `rows`.
    start : tuple of (intercept, weights) or None, default=None

    Returns
    -------
    intercept : float
    weights : ndarray of shape (n_detectors,)
    """
    pull = measure_pull(rows) if pull is None else pull
    return fit_nonnegative_logistic(
        rows.scores,
        rows.is_fake,
        rows.weight,
        shrinkage,
        pull.spread,
        start,
        to_zero=pull.total_to_zero if np.isinf(shrinkage) else pull.to_zero,
    )


def choose_shrinkage(rows: Rows, splits: list[Any]) -> float:
    """Take the strongest shrinkage that is about as good as the best on unseen groups.

    The standard error is that of the difference to the best, over groups.

    Parameters
    ----------
    rows : Rows
    splits : list of (train, test)

    Returns
    -------
    shrinkage : float
        inf without splits.
    """
    if not splits:
        return np.inf
    losses = np.zeros((len(SHRINKAGES), len(rows)))
    for train, test in splits:
        seen, unseen, model = rows[train], rows[test], None
        pull = measure_pull(seen)
        sign = 1 - 2 * unseen.is_fake
        for loss, shrinkage in zip(losses, SHRINKAGES, strict=True):
            model = fit_shrunk_logistic(seen, shrinkage, pull, model)
            log_odds = log_odds_of(unseen.scores, *model)
            loss[test] = unseen.weight * np.logaddexp(0, sign * log_odds)
    best = losses.sum(axis=1).argmin()
    for loss, shrinkage in zip(losses, SHRINKAGES, strict=True):
        worse = loss - losses[best]
        by_group = worse if rows.groups is None else np.bincount(rows.groups, worse)
        if worse.sum() <= _SLACK * np.sqrt((by_group**2).sum()):
            return shrinkage
