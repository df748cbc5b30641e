"""The rows of each fold, checked: no group on both sides."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.groups import clean_groups, group_codes
from base_models.inputs import clean_labels
from ensemble.errors import LeakError
from ensemble.resampling.names import resolve_resampling


def split_rows(
    splitter: Any, y: ArrayLike, groups: ArrayLike | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """List the splits of the rows and check each of them.

    Parameters
    ----------
    splitter : object with ``split(X, y, groups)``
    y : array-like of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None, default=None

    Returns
    -------
    splits : list of (train, test), int ndarrays
        Test parts of different splits may overlap (bootstrap, repeated folds), and
        `train` may repeat a row.

    Raises
    ------
    LeakError
        If a group is on both sides of a split.

    Examples
    --------
    >>> from ensemble.resampling import StratifiedGroupFolds
    >>> folds = StratifiedGroupFolds(n_splits=2, random_state=0)
    >>> for train, test in split_rows(folds, [0, 1, 0, 1], [7, 7, 8, 8]):
    ...     print(train, test)
    [0 1] [2 3]
    [2 3] [0 1]
    """
    y = clean_labels(y)
    groups = clean_groups(groups, len(y))
    codes = group_codes(groups, len(y))
    names = np.arange(len(y)) if groups is None else groups
    what = "row" if groups is None else "group"
    if not hasattr(splitter, "split"):
        splitter = resolve_resampling(splitter)
    splits = []
    for fold, (train, test) in enumerate(
        splitter.split(np.zeros((len(y), 1)), y, groups)
    ):
        train = _rows(train, len(y), fold, "training")
        test = _rows(test, len(y), fold, "test")
        _check_no_leak(codes[train], codes[test], names[test], what, fold)
        _check_classes(y, train, fold)
        splits.append((train, test))
    if not splits:
        raise ValueError(f"{splitter!r} made no split")
    return splits


def folds_serve(fold: np.ndarray, is_fake: np.ndarray, codes: np.ndarray) -> bool:
    """Say whether what is learned from all folds but one may be tested on that one.

    Parameters
    ----------
    fold : int ndarray of shape (n_videos,)
        Numbers from 0 on, each taken; -1 for a video in none.
    is_fake : int ndarray of shape (n_videos,)
    codes : int ndarray of shape (n_videos,)
        Numbers of the groups, from 0 on, each taken.

    Returns
    -------
    bool
        Whether all videos are in a fold, groups are whole, and both classes are left.

    Examples
    --------
    >>> is_fake, codes = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    >>> folds_serve(codes, is_fake, codes), folds_serve(is_fake, is_fake, codes)
    (True, False)
    """
    if fold.min() < 0 or fold.max() < 1:
        return False
    groups_of_folds = np.unique(np.column_stack([fold, codes]), axis=0)
    if len(groups_of_folds) > codes.max() + 1:
        return False
    kept = (is_fake[fold != number] for number in range(fold.max() + 1))
    return all(0 < labels.sum() < len(labels) for labels in kept)


def _rows(rows, n_videos, fold, part):
    rows = np.asarray(rows)
    if rows.size == 0:
        raise ValueError(
            f"fold {fold} has an empty {part} part; use fewer folds or another splitter"
        )
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError(
            f"fold {fold}: the {part} part must be a list of row numbers; got an array "
            f"of shape {rows.shape} and type {rows.dtype}"
        )
    outside = rows[(rows < 0) | (rows >= n_videos)]
    if outside.size:
        raise ValueError(
            f"fold {fold}: row {outside[0]} in the {part} part is outside the "
            f"{n_videos} videos; were the splits made for another list?"
        )
    return rows.astype(int)


def _check_no_leak(train, test, test_names, what, fold):
    shared = np.isin(test, train)
    if shared.any():
        leaked = test[shared][0]
        name = test_names[shared].tolist()[0]
        n_shared = len(np.unique(test[shared]))
        raise LeakError(
            f"fold {fold} has {what} {name!r} on both sides, "
            f"{int((train == leaked).sum())} rows in train and "
            f"{int((test == leaked).sum())} in test ({n_shared} {what}s in all); use "
            "a splitter that keeps groups whole, such as StratifiedGroupFolds"
        )


def _check_classes(y, train, fold):
    classes = np.unique(y)
    absent = np.setdiff1d(classes, np.unique(y[train]))
    if absent.size:
        raise ValueError(
            f"fold {fold} has no video of class {absent[0]!s} among its {len(train)} "
            "training rows; use fewer folds, stratified ones, or smaller groups"
        )
