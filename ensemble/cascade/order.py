"""In which order members are asked: those first that tell most for their cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from base_models.groups import group_codes
from base_models.runtime.thread_pools import one_blas_thread
from base_models.scoring.in_steps import WHOLE
from ensemble.resampling.splitters import StratifiedGroupFolds

_N_FOLDS = 5
_DIGITS = 9  # in which gains are compared: beyond is rounding


class Turn(NamedTuple):
    """One member's turn: after it, it has looked at so many quarters of its frames."""

    name: str
    quarters: int = WHOLE


def greedy_order(
    odds: Mapping[Turn, NDArray],
    target: NDArray,
    costs: Mapping[str, float],
    is_fake: NDArray,
    groups: NDArray | None,
) -> list[Turn]:
    """Order turns greedily by how much nearer each brings to the ensemble's score.

    What settles a verdict is to know what the whole ensemble would say. So of the turns
    that are left, the one is next with which a linear regression tells most of the
    ensemble's log-odds, on groups that it has not seen, for what it costs more.

    Parameters
    ----------
    odds : mapping of Turn to ndarray of shape (n_videos,)
        Out-of-fold scores as log-odds, NaN where missing; of each member those of its
        whole, and of smaller steps where it can take them.
    target : ndarray of shape (n_videos,)
        The ensemble's, by combiners that had not seen the group.
    costs : mapping of str to float
        Of each member's whole.
    is_fake : int ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,) or None

    Returns
    -------
    list of Turn
        Every member's whole is among them. By cost alone, and wholes, where a class
        has fewer than two groups.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> said = draw.normal(size=(60, 3))
    >>> target, is_fake = said @ [0.1, 1.0, 0.9], np.arange(60) % 2
    >>> odds = {Turn(name): column for name, column in zip("abc", said.T)}
    >>> costs = {"a": 1.0, "b": 9.0, "c": 1.0}
    >>> [turn.name for turn in greedy_order(odds, target, costs, is_fake, None)]
    ['c', 'b', 'a']
    """
    codes = group_codes(groups, len(target))
    groups_of = [len(np.unique(codes[is_fake == label])) for label in (0, 1)]
    n_folds = min(_N_FOLDS, *groups_of)
    number = {name: place for place, name in enumerate(costs)}
    if n_folds < 2:
        by_cost = sorted(costs, key=lambda name: (costs[name], number[name]))
        return [Turn(name) for name in by_cost]
    splits = list(StratifiedGroupFolds(n_folds, 0).split(target, is_fake, codes))
    asked: dict[str, int] = {}  # quarters of each member's frames
    order: list[Turn] = []
    error = float(np.mean((target - target.mean()) ** 2))
    scale = error or 1.0
    while left := [turn for turn in odds if turn.quarters > asked.get(turn.name, 0)]:
        errors = {
            turn: _error(
                [odds[Turn(*one)] for one in (asked | dict([turn])).items()],
                target,
                splits,
            )
            for turn in left
        }
        gains = {turn: round((error - errors[turn]) / scale, _DIGITS) for turn in left}
        more = {
            turn: costs[turn.name] * (turn.quarters - asked.get(turn.name, 0)) / WHOLE
            for turn in left
        }
        if max(gains.values()) <= 0:  # a part of what tells nothing tells nothing
            left = [turn for turn in left if turn.quarters == WHOLE]
        best = max(
            left,
            key=lambda turn: (
                max(gains[turn], 0.0) / max(more[turn], 1e-300),
                -more[turn],
                -number[turn.name],
                turn.quarters,
            ),
        )
        order.append(best)
        asked[best.name] = best.quarters
        error = errors[best]
    return order


def _error(columns, target, splits):
    """Return the mean squared error of a regression on groups that it has not seen."""
    odds, away = np.column_stack(columns), np.zeros(len(target))
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
