"""Resampling by name: k-fold, hold-out, bootstrap."""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.model_selection import (
    check_cv,
)

from base_models.naming import find_name
from ensemble.resampling.splitters import (
    GroupBootstrap,
    GroupHoldout,
    StratifiedGroupFolds,
)

_NAMES = {
    "k-fold": StratifiedGroupFolds,
    "cv": StratifiedGroupFolds,
    "folds": StratifiedGroupFolds,
    "out-of-fold": StratifiedGroupFolds,
    "hold-out": GroupHoldout,
    "bootstrap": GroupBootstrap,
    "out-of-bag": GroupBootstrap,
    "oob": GroupBootstrap,
}


def resolve_resampling(
    resampling: Any,
    default: Any = "k-fold",
    random_state: int | np.random.RandomState | None = None,
) -> Any:
    """Turn what a user writes for `resampling` into a splitter.

    Parameters
    ----------
    resampling : str, int, splitter, iterable of (train, test) or None
        "k-fold", "holdout" or "bootstrap" (or "out-of-bag"), in any case and with
        hyphens, underscores, spaces or none; a number of folds; anything with
        scikit-learn's ``split``; row numbers of each split. None takes `default`.
    default : as `resampling`, default="k-fold"
    random_state : int, RandomState or None, default=None
        Seed for the splitters made here; a splitter that is given keeps its own.

    Returns
    -------
    splitter : object with ``split`` and ``get_n_splits``

    Examples
    --------
    >>> resolve_resampling(3, random_state=0)
    StratifiedGroupFolds(n_splits=3, random_state=0)
    """
    if resampling is None:
        resampling = default
    if isinstance(resampling, str):
        name = find_name(
            resampling,
            _NAMES,
            "resampling",
            "'k-fold', 'holdout' or 'bootstrap', a number of folds, a splitter or "
            "(train, test) pairs",
        )
        return _NAMES[name](random_state=random_state)
    if isinstance(resampling, numbers.Integral) and not isinstance(resampling, bool):
        return StratifiedGroupFolds(int(resampling), random_state=random_state)
    if hasattr(resampling, "split") and not isinstance(resampling, type):
        return resampling
    if isinstance(resampling, Iterable):
        return check_cv(resampling)
    raise TypeError(
        "resampling must be a name, a number of folds, a splitter or (train, test) "
        f"pairs; got {resampling!r}"
    )


def averages_replicas(resampling: Any) -> bool:
    """Say whether out-of-fold scores will be means over some of many replicas.

    Parameters
    ----------
    resampling : as for `resolve_resampling`
        Pairs of rows are not looked at: see `scores_are`.

    Returns
    -------
    bool

    Examples
    --------
    >>> averages_replicas("out of bag"), averages_replicas("k-fold")
    (True, False)
    """
    if isinstance(resampling, str):
        resampling = resolve_resampling(resampling)
    return bool(getattr(resampling, "averages_replicas", False))


def scores_are(splits: list[tuple[np.ndarray, np.ndarray]], n_videos: int) -> str:
    """Say what the scores of the test parts of some splits are.

    The splits themselves are asked, not the name they came by.

    Parameters
    ----------
    splits : list of (train, test), int ndarrays
    n_videos : int

    Returns
    -------
    kind : {"out-of-fold", "out-of-bag", "hold-out"}
        Out of bag where a training part repeats a video; of a hold-out where one split
        leaves videos that are never tested.

    Examples
    --------
    >>> first, rest = np.array([0, 1]), np.array([2, 3])
    >>> scores_are([(first, rest), (rest, first)], 4), scores_are([(first, rest)], 4)
    ('out-of-fold', 'hold-out')
    >>> scores_are([(np.array([0, 0]), rest)], 4)
    'out-of-bag'
    """
    if any(len(np.unique(train)) < len(train) for train, _ in splits):
        return "out-of-bag"
    if len(splits) == 1 and len(splits[0][1]) < n_videos:
        return "hold-out"
    return "out-of-fold"
