"""Folds that hold out what will be new in use: methods of fakes, sources of reals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.groups import group_codes
from ensemble.combiners.parts.rows import Rows, fold_groups, inner_splits
from ensemble.resampling.splitters import StratifiedGroupFolds

_CROSSED = 3  # folds of groups and of values, where groups hold several values


def shift_codes(shift: ArrayLike | None, n_videos: int) -> np.ndarray | None:
    """Return codes of what `fit` is given as `shift`; refuse what has gaps.

    Examples
    --------
    >>> shift_codes(["swap", "real", "swap"], 3)
    array([1, 0, 1])
    """
    if shift is None:
        return None
    values = np.asarray(shift)
    if values.shape != (n_videos,):
        raise ValueError(
            f"shift must have one value per video, shape ({n_videos},); got "
            f"{values.shape}"
        )
    n_missing = int(pd.isna(values).sum())
    if n_missing:
        raise ValueError(
            f"shift must say of every video what may be new in it, a method or a "
            f"source; {n_missing} of {n_videos} have no value: give reals one of "
            'their own, such as "real"'
        )
    return group_codes(values, n_videos)


def shift_splits(
    rows: Rows, n_folds: int, random_state: int | np.random.RandomState | None
) -> tuple[list[Any], str]:
    """Split rows so that no value of `shift` and no group is on both sides.

    Values of a class that has two or more are dealt to folds; a class with one value
    is folded by group. Where groups hold several values, as source clips do that were
    forged by every method, three folds of groups are crossed with three of values: the
    fakes of a method and a source are scored by what saw neither.

    Parameters
    ----------
    rows : Rows
        With `shift`, codes.
    n_folds : int
        At most.
    random_state : int, RandomState or None

    Returns
    -------
    splits : list of (train, test)
        Both classes are in each `train`, and each row is in one `test` at most. Empty
        where there are too few groups.
    held_out : str
        In words.

    Raises
    ------
    ValueError
        If neither class has two values.

    Examples
    --------
    >>> is_fake, method = np.array([0, 0, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 2, 2])
    >>> scores = np.arange(6.0)[:, None]
    >>> rows = Rows(scores, is_fake, None, np.ones(6), shift=method)
    >>> splits, held_out = shift_splits(rows, 5, 0)
    >>> [np.unique(method[test]).tolist() for _, test in splits]
    [[0, 1], [0, 2]]
    >>> held_out
    'unseen values of shift (2 among fakes; reals by group)'
    """
    n_values = [len(np.unique(rows.shift[rows.is_fake == label])) for label in (0, 1)]
    several = np.array([n >= 2 for n in n_values])
    if not several.any():
        raise ValueError(
            "shift must have two values or more among the fakes or among the reals, to "
            f"hold one out; got {n_values[1]} and {n_values[0]}"
        )
    held_out = _in_words(*n_values)
    groups = fold_groups(rows)
    counted = several[rows.is_fake]
    n_folds = min(n_folds, *(n for n in n_values if n >= 2))
    by_value = np.where(counted, _dealt(rows.shift, counted, n_folds), -1)
    crossed = _spread_of_values(groups[counted], by_value[counted])
    if crossed:
        n_folds = min(n_folds, _CROSSED)
        by_value = np.where(counted, by_value % n_folds, -1)
    by_group = _folds_of_groups(rows, n_folds, random_state)
    if not crossed:  # a real goes with the fakes of its group
        of_group = np.full(groups.max() + 1, -1)
        of_group[groups[counted]] = by_value[counted]
        by_group = np.where(of_group[groups] >= 0, of_group[groups], by_group)
    if (by_group < 0).any():
        return [], held_out
    splits = []
    for number in range(n_folds):
        for turn in range(n_folds if crossed else 1):
            value = (number + turn) % n_folds
            of_value = counted & (by_value == value)
            alone = ~counted & (by_group == number) & (turn == 0)
            test = alone | (of_value & (by_group == number) if crossed else of_value)
            left = ~np.isin(groups, groups[test]) & ~of_value
            left &= ~np.isin(rows.shift, rows.shift[test & counted])
            train, test = np.flatnonzero(left), np.flatnonzero(test)
            if len(test) and 0 < rows.is_fake[train].sum() < len(train):
                splits.append((train, test))
    return splits, held_out


def _dealt(values, which, n_folds):
    """Deal values to folds, the most frequent first, each to the emptiest."""
    counts = np.bincount(values[which], minlength=values.max() + 1)
    fold, filled = np.zeros(len(counts), int), np.zeros(n_folds)
    for value in np.argsort(-counts, kind="stable"):
        fold[value] = np.argmin(filled)
        filled[fold[value]] += counts[value]
    return fold[values]


def _spread_of_values(groups, folds):
    """Say whether some group is in several folds of values."""
    pairs = np.unique(np.column_stack([groups, folds]), axis=0)
    return len(pairs) > len(np.unique(groups))


def _folds_of_groups(rows, n_folds, random_state):
    if not inner_splits(rows, n_folds, random_state):
        return np.full(len(rows), -1)
    fold = np.zeros(len(rows), int)
    groups = fold_groups(rows)
    n_groups = min(len(np.unique(groups[rows.is_fake == label])) for label in (0, 1))
    folds = StratifiedGroupFolds(min(n_folds, n_groups), random_state)
    for number, (_, test) in enumerate(folds.split(None, rows.is_fake, groups)):
        fold[test] = number
    return fold


def _in_words(n_real, n_fake):
    parts = [
        f"{n} among {who}" if n >= 2 else f"{who} by group"
        for n, who in ((n_fake, "fakes"), (n_real, "reals"))
    ]
    return f"unseen values of shift ({'; '.join(parts)})"
