"""Resampling: k folds, one hold-out or bootstrap replicas, none of which split a group.

All follow scikit-learn's splitter protocol. Where groups are given, the folds depend on
the labels, the group names and the seed, and not on the order of the rows.
"""

import numbers
from collections.abc import Iterable

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import (
    BaseCrossValidator,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import check_random_state

from base_models.inputs import clean_groups, clean_labels, group_codes
from ensemble.identities import identity_groups
from ensemble.naming import find_name

__all__ = [
    "GroupBootstrap",
    "GroupHoldout",
    "LeakError",
    "StratifiedGroupFolds",
    "averages_replicas",
    "clean_groups",
    "group_codes",
    "identity_groups",
    "resolve_resampling",
    "scores_are",
    "split_rows",
]

_MAX_DRAWS = 1000


class LeakError(ValueError):
    """A group, or a video, is in the training and in the test part of one fold."""


class _GroupSplitter(BaseEstimator, BaseCrossValidator):
    """What the three splitters share: groups are asked for and checked once.

    Attributes
    ----------
    averages_replicas : bool
        Whether a video is in the test part of several splits, so that its score is a
        mean over fewer detectors than those that score a new video.
    sets_aside : bool
        Whether some videos are in no test part on purpose.
    """

    averages_replicas = False
    sets_aside = False

    __metadata_request__split = {"groups": True}  # noqa: RUF012

    def split(self, X, y, groups=None):
        """Yield (train, test) row numbers.

        Parameters
        ----------
        X : array-like with n_videos rows or None
            Only its length counts.
        y : array-like of shape (n_videos,)
            Two labels, any names; one where all videos are real.
        groups : array-like of shape (n_videos,) or None, default=None
            Rows that stay together; None makes each row its own group.

        Yields
        ------
        train, test : int ndarray
        """
        if y is None:
            raise ValueError("folds are stratified by class; expected y, got None")
        y = np.unique(clean_labels(y), return_inverse=True)[1]
        groups = group_codes(groups, len(y))
        if X is not None and len(y) != _length(X):
            raise ValueError(
                f"y must have one label per video; got {len(y)} for {_length(X)}"
            )
        counts = np.zeros((groups.max() + 1, y.max() + 1))  # rows: group x class
        np.add.at(counts, (groups, y), 1)
        yield from self._split(y, groups, counts)


class StratifiedGroupFolds(_GroupSplitter):
    """K folds that keep groups whole and the share of fakes even.

    The folds are those of scikit-learn's ``StratifiedGroupKFold(shuffle=True)`` (of
    release 1.8 and later; before, its shuffling undid the stratification). Without
    groups they are those of ``StratifiedKFold(shuffle=True)``.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds.
    random_state : int, RandomState or None, default=None
        Seed of the shuffling.

    Examples
    --------
    >>> folds = StratifiedGroupFolds(n_splits=2, random_state=0)
    >>> y, groups = [0, 1, 0, 1], ["ann", "ann", "bob", "bob"]
    >>> [test.tolist() for _, test in folds.split(y, y, groups)]
    [[2, 3], [0, 1]]
    """

    def __init__(self, n_splits=5, random_state=None):
        self.n_splits = n_splits
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds."""
        return self.n_splits

    def _split(self, y, groups, counts):
        if not isinstance(self.n_splits, numbers.Integral) or self.n_splits < 2:
            raise ValueError(
                f"n_splits must be a whole number of folds, 2 or more; got "
                f"{self.n_splits!r}"
            )
        possible = int((counts > 0).sum(axis=0).min())
        if possible < self.n_splits:
            raise ValueError(
                f"{self.n_splits} folds need as many groups with each class; "
                f"{_rarest(counts, possible)}: "
                + (
                    f"use n_splits={possible} or fewer, or add videos of other groups"
                    if possible > 1
                    else "no split is possible, add videos of other groups"
                )
            )
        if len(counts) == len(y):
            by_group = np.argsort(groups)
            folds = StratifiedKFold(
                self.n_splits, shuffle=True, random_state=self._rng()
            )
            for _, test in folds.split(y, y[by_group]):
                in_test = np.isin(groups, test)
                yield np.flatnonzero(~in_test), np.flatnonzero(in_test)
            return
        order = np.arange(len(counts))
        self._rng().shuffle(order)
        fold_of_group = np.empty(len(counts), int)
        fold_of_group[order] = _deal_groups(counts[order], self.n_splits)
        folds = fold_of_group[groups]
        for fold in range(self.n_splits):
            yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)

    def _rng(self):
        return check_random_state(self.random_state)


class GroupHoldout(_GroupSplitter):
    """One split: some groups are set aside, both classes on both sides.

    Parameters
    ----------
    test_size : float, default=0.3
        Share of each class's videos to set aside, as nearly as whole groups allow.
    random_state : int, RandomState or None, default=None
        Seed of the choice.

    Examples
    --------
    >>> y, groups = [0, 1] * 5, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    >>> holdout = GroupHoldout(test_size=0.4, random_state=0)
    >>> [(train.size, test.size) for train, test in holdout.split(y, y, groups)]
    [(6, 4)]
    """

    sets_aside = True

    def __init__(self, test_size=0.3, random_state=None):
        self.test_size = test_size
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return 1."""
        return 1

    def _split(self, y, groups, counts):
        if not 0 < self.test_size < 1:
            raise ValueError(
                f"test_size must be a share between 0 and 1; got {self.test_size!r}"
            )
        rarest = int((counts > 0).sum(axis=0).min())
        if rarest < 2:
            raise ValueError(
                "a hold-out needs each class in two groups or more, one for each side; "
                f"{_rarest(counts, rarest)}: add videos of other groups"
            )
        order = check_random_state(self.random_state).permutation(len(counts))
        in_test = _set_aside(counts, self.test_size, order)
        in_test = _with_both_classes(in_test, counts, order)
        in_test = ~_with_both_classes(~in_test, counts, order)
        rows = in_test[groups]
        yield np.flatnonzero(~rows), np.flatnonzero(rows)


class GroupBootstrap(_GroupSplitter):
    """Bootstrap replicas of whole groups, with the groups never drawn as test part.

    Each replica draws as many groups as there are, with replacement; a row of a group
    drawn twice is twice in `train`. A row is out of bag in a share of about 1/e of the
    replicas, so scores averaged over B replicas rest on about B/e of them: use 25
    replicas or more, or some rows may be left without any. A draw without both classes
    in `train`, or without a test part, is drawn anew.

    Parameters
    ----------
    n_replicas : int, default=25
        Number of replicas B. The first replicas are the same for any B.
    random_state : int, RandomState or None, default=None
        Seed of the draws.

    Examples
    --------
    >>> y, groups = [0, 1, 0, 1], [0, 0, 1, 1]
    >>> bootstrap = GroupBootstrap(n_replicas=1, random_state=0)
    >>> for train, test in bootstrap.split(y, y, groups):
    ...     print(train, test)
    [2 2 3 3] [0 1]
    """

    averages_replicas = True

    def __init__(self, n_replicas=25, random_state=None):
        self.n_replicas = n_replicas
        self.random_state = random_state

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of replicas."""
        return self.n_replicas

    def _split(self, y, groups, counts):
        if not isinstance(self.n_replicas, numbers.Integral) or self.n_replicas < 1:
            raise ValueError(
                f"n_replicas must be a whole number, 1 or more; got {self.n_replicas!r}"
            )
        rng = check_random_state(self.random_state)
        n_groups = len(counts)
        for replica in range(self.n_replicas):
            for _ in range(_MAX_DRAWS):
                drawn = rng.randint(n_groups, size=n_groups)
                drawn = np.bincount(drawn, minlength=n_groups)
                if (drawn @ counts > 0).all() and (drawn == 0).any():
                    break
            else:
                raise ValueError(
                    f"replica {replica}: no draw of {n_groups} groups had both classes "
                    f"in train and left a group out, in {_MAX_DRAWS} tries; add videos "
                    "of other groups, or use folds"
                )
            times = drawn[groups]
            yield np.repeat(np.arange(len(y)), times), np.flatnonzero(times == 0)


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


def resolve_resampling(resampling, default="k-fold", random_state=None):
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


def averages_replicas(resampling):
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


def scores_are(splits, n_videos):
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


def split_rows(splitter, y, groups=None):
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


def _rarest(counts, n_groups):
    if counts.shape[1] == 1:
        return f"the only class is in {n_groups}"
    return f"the rarer class is in {n_groups}"


def _deal_groups(counts, n_splits):
    """Deal groups to folds as scikit-learn's StratifiedGroupKFold does, only faster.

    The most uneven groups first, each goes where the classes are then spread most
    evenly over the folds, and of equally good folds to the one with the fewest rows.
    """
    totals = counts.sum(axis=0)
    in_fold = np.zeros((n_splits, counts.shape[1]))
    each = np.eye(n_splits)[:, :, None]  # one candidate fold at a time
    folds = np.empty(len(counts), int)
    for group in np.argsort(-np.std(counts, axis=1), kind="stable"):
        shares = (in_fold + each * counts[group]) / totals
        away = shares - shares.sum(axis=1, keepdims=True) / n_splits
        spreads = np.sqrt((away * away).sum(axis=1) / n_splits).mean(axis=1).tolist()
        rows = in_fold.sum(axis=1).tolist()
        best = 0
        for fold in range(1, n_splits):
            ahead = spreads[best] - spreads[fold]
            tie = abs(ahead) <= 1e-8 + 1e-5 * spreads[best]
            if ahead > 0 or (tie and rows[fold] < rows[best]):
                best = fold
        folds[group] = best
        in_fold[best] += counts[group]
    return folds


def _set_aside(counts, test_size, order):
    """Deal groups, in this order, to the side that keeps both classes' shares."""
    target = test_size / np.maximum(counts.sum(axis=0), 1)
    share = counts / np.maximum(counts.sum(axis=0), 1)
    in_test = np.zeros(len(counts), bool)
    excess = np.zeros(counts.shape[1])  # share set aside beyond test_size, per class
    for group in order:
        if_train = excess - target * counts[group]
        if_test = if_train + share[group]
        in_test[group] = if_test @ if_test < if_train @ if_train
        excess = if_test if in_test[group] else if_train
    return in_test


def _with_both_classes(side, counts, order):
    """Move a group over for each class that a side lacks, the other side keeping it.

    With each class in two groups or more there is always one to move.
    """
    here, there = counts[side].sum(axis=0), counts[~side].sum(axis=0)
    side = side.copy()
    for group in order:
        if (here > 0).all():
            break
        adds = ((counts[group] > 0) & (here == 0)).any()
        if adds and not side[group] and (there > counts[group]).all():
            side[group] = True
            here, there = here + counts[group], there - counts[group]
    return side


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


def _length(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)
