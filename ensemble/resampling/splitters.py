"""Resampling: k folds, one hold-out or bootstrap replicas, none of which split a group.

All follow scikit-learn's splitter protocol. Where groups are given, the folds depend on
the labels, the group names and the seed, and not on the order of the rows.
"""

import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.model_selection import (
    BaseCrossValidator,
    StratifiedKFold,
)
from sklearn.utils import check_random_state

from base_models.groups import group_codes
from base_models.inputs import clean_labels

_MAX_DRAWS = 1000


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

    def split(
        self, X: Any, y: ArrayLike, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
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

    def __init__(
        self, n_splits: int = 5, random_state: int | np.random.RandomState | None = None
    ) -> None:
        self.n_splits = n_splits
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
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

    def __init__(
        self,
        test_size: float = 0.3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.test_size = test_size
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
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
    """Bootstrap samples of whole groups; groups not drawn are the test part.

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

    def __init__(
        self,
        n_replicas: int = 25,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_replicas = n_replicas
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
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


def _length(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)
