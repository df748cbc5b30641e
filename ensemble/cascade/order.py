"""In which order members are asked: those first that tell most for their cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from base_models.groups import group_codes
from base_models.runtime.thread_pools import one_blas_thread
from ensemble.resampling.splitters import StratifiedGroupFolds

_N_FOLDS = 5
_DIGITS = 9  # in which gains are compared: beyond is rounding


def greedy_order(
    odds: NDArray,
    target: NDArray,
    costs: NDArray,
    is_fake: NDArray,
    groups: NDArray | None,
) -> list[int]:
    """Order members greedily by how much nearer each brings to the ensemble's score.

    What settles a verdict is to know what the whole ensemble would say. So of the
    members that are left, the one is next with which a linear regression tells most of
    the ensemble's log-odds, on groups that it has not seen, for its cost.

    Parameters
    ----------
    odds : ndarray of shape (n_videos, n_members)
        Out-of-fold scores as log-odds, NaN where missing.
    target : ndarray of shape (n_videos,)
        The ensemble's, by combiners that had not seen the group.
    costs : ndarray of shape (n_members,)
    is_fake : int ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,) or None

    Returns
    -------
    list of int
        Columns. By cost alone where a class has fewer than two groups.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> odds = draw.normal(size=(60, 3))
    >>> target, is_fake = odds @ [0.1, 1.0, 0.9], np.arange(60) % 2
    >>> greedy_order(odds, target, np.array([1.0, 9.0, 1.0]), is_fake, None)
    [2, 1, 0]
    """
    codes = group_codes(groups, len(odds))
    groups_of = [len(np.unique(codes[is_fake == label])) for label in (0, 1)]
    n_folds = min(_N_FOLDS, *groups_of)
    left = list(range(odds.shape[1]))
    if n_folds < 2:
        return sorted(left, key=lambda column: (costs[column], column))
    splits = list(StratifiedGroupFolds(n_folds, 0).split(odds, is_fake, codes))
    order: list[int] = []
    error = float(np.mean((target - target.mean()) ** 2))
    scale = error or 1.0
    while left:
        errors = {
            column: _error(odds[:, [*order, column]], target, splits) for column in left
        }
        gains = {
            column: round((error - errors[column]) / scale, _DIGITS) for column in left
        }
        best = max(
            left,
            key=lambda one: (
                max(gains[one], 0.0) / max(costs[one], 1e-300),
                -costs[one],
                -one,
            ),
        )
        order.append(best)
        left.remove(best)
        error = errors[best]
    return order


def _error(odds, target, splits):
    """Return the mean squared error of a regression on groups that it has not seen."""
    away = np.zeros(len(target))
    with one_blas_thread:
        for train, test in splits:
            with np.errstate(invalid="ignore"):
                total = np.nansum(odds[train], axis=0)
                mean = total / np.maximum((~np.isnan(odds[train])).sum(axis=0), 1)
            filled = np.where(np.isnan(odds), mean, odds) - mean
            centre = target[train].mean()
            line, *_ = np.linalg.lstsq(
                filled[train], target[train] - centre, rcond=None
            )
            away[test] = target[test] - centre - filled[test] @ line
    return float(np.mean(away**2))
