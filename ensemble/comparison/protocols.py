"""Protocols: which videos are judged, and which may be learned from for that.

No group is on both sides of a split, whatever the protocol.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ensemble.errors import LeakError
from ensemble.resampling.row_splits import split_rows
from ensemble.resampling.splitters import GroupHoldout, StratifiedGroupFolds
from ensemble.scores.times import parse_times

_COLUMN = {  # of the metadata, that a protocol needs
    "leave-method-out": "method",
    "leave-source-out": "source",
    "leave-dataset-out": "dataset",
    "time-holdout": "time",
}
PROTOCOLS = ("group-kfold", "group-holdout", *_COLUMN)
_MOST_VALUES = 40  # beyond, leaving each out is folds by another name
_TEST_SIZE = 0.3


@dataclass(frozen=True)
class Split:
    """Videos to judge, and those that may be learned from.

    Attributes
    ----------
    name : str
        What is held out, such as a method; "" where it is groups alone.
    repeat, fold : int
    train, test : int ndarray
        Rows, none in both, nor any group.
    inner : int ndarray of shape (n_train,) or None
        For each training row the fold it is in when it is judged itself; None where a
        split stands alone.
    """

    name: str
    repeat: int
    fold: int
    train: np.ndarray
    test: np.ndarray
    inner: np.ndarray | None = None


def protocol_splits(
    protocol,
    is_fake,
    codes,
    metadata,
    n_folds,
    repeats,
    random_state,
    hold_out=None,
    own_fold=None,
):
    """List the splits of a protocol.

    Parameters
    ----------
    protocol : str
        One of `PROTOCOLS`.
    is_fake, codes : int ndarray of shape (n_videos,)
        1 for fake; the number of each video's group.
    metadata : DataFrame with n_videos rows
    n_folds, repeats, random_state : int
    hold_out : sequence, number, date or None, default=None
        What to hold out: names of methods, sources or data sets; the share of the
        videos, for "group-holdout"; the first moment that is judged, for
        "time-holdout". None holds out each in turn, or three tenths.
    own_fold : int ndarray of shape (n_videos,) or None, default=None
        Folds in which the scores of a table came about. Where they are as many as
        `n_folds` and fit to be judged by turns, the first repeat takes them, so that
        one fit of each member has scored all that is compared.

    Returns
    -------
    splits : list of Split
    notes : dict
        What a reader should know: "not judged", values that lack a class on either
        side; "first judged", the moment of a time hold-out; "left aside", the number of
        rows of earlier moments whose group also comes later.

    Examples
    --------
    >>> y, codes = np.array([0, 1] * 4), np.arange(8) // 2
    >>> splits, _ = protocol_splits("group-kfold", y, codes, pd.DataFrame(), 2, 1, 0)
    >>> [(split.train.tolist(), split.test.tolist()) for split in splits]
    [([0, 1, 6, 7], [2, 3, 4, 5]), ([2, 3, 4, 5], [0, 1, 6, 7])]
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {PROTOCOLS}; got {protocol!r}")
    column = _COLUMN.get(protocol)
    if column == "time" and "time" not in metadata and "date" in metadata:
        column = "date"
    if column is not None and column not in metadata:
        raise ValueError(
            f"protocol {protocol!r} needs metadata with a column {column!r}; got "
            f"{list(metadata.columns)}"
        )
    drawn = ("group-kfold", "group-holdout", "leave-method-out")
    if repeats > 1 and protocol not in drawn:
        raise ValueError(
            f"protocol {protocol!r} draws nothing, so that repeats={repeats} would "
            "judge the same again; leave it at 1"
        )
    notes = {}
    if protocol == "group-kfold":
        splits = _folds(is_fake, codes, n_folds, repeats, random_state, own_fold)
    elif protocol == "group-holdout":
        splits = _holdouts(is_fake, codes, hold_out, repeats, random_state)
    elif protocol == "time-holdout":
        splits = _after(metadata[column], codes, hold_out, notes)
    else:
        value = metadata[column].to_numpy()
        names = _held_out(value, is_fake, column, hold_out)
        if column == "method":
            folds = _folds(is_fake, codes, n_folds, repeats, random_state, own_fold)
            splits = _without_method(folds, value, is_fake, names)
        else:
            splits = _without_value(value, codes, names)
    splits = _judgeable(splits, is_fake, column, notes)
    for split in splits:
        shared = np.intersect1d(codes[split.train], codes[split.test])
        if shared.size:  # cannot happen; were it to, no figure would be worth anything
            raise LeakError(f"group {shared[0]} is on both sides of {split.name!r}")
    return splits, notes


def inner_folds(split, is_fake, codes, n_folds, random_state):
    """Return for each training row of a split the inner fold that scores it.

    Parameters
    ----------
    split : Split
    is_fake, codes : int ndarray of shape (n_videos,)
    n_folds, random_state : int

    Returns
    -------
    int ndarray of shape (n_train,)

    Examples
    --------
    >>> y, codes = np.array([0, 1] * 4), np.arange(8) // 2
    >>> split = Split("", 0, 0, np.arange(6), np.array([6, 7]))
    >>> inner_folds(split, y, codes, 3, 0).tolist()
    [2, 2, 1, 1, 0, 0]
    """
    if split.inner is not None:
        return split.inner
    return _fold_numbers(
        is_fake[split.train], codes[split.train], n_folds, random_state
    )


def _fold_numbers(is_fake, codes, n_folds, random_state):
    splits = split_rows(StratifiedGroupFolds(n_folds, random_state), is_fake, codes)
    fold = np.empty(len(is_fake), int)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    return fold


def _folds(is_fake, codes, n_folds, repeats, random_state, own_fold=None):
    splits = []
    for repeat in range(repeats):
        if repeat == 0 and _may_judge(own_fold, is_fake, codes, n_folds):
            fold = own_fold
        else:
            fold = _fold_numbers(is_fake, codes, n_folds, random_state + repeat)
        for number in range(fold.max() + 1):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            splits.append(Split("", repeat, number, train, test, fold[train]))
    return splits


def _may_judge(own_fold, is_fake, codes, n_folds):
    """Whether folds hold all videos, keep groups whole and leave both classes."""
    if own_fold is None or own_fold.min() < 0 or own_fold.max() + 1 != n_folds:
        return False
    if len(np.unique(np.column_stack([own_fold, codes]), axis=0)) > codes.max() + 1:
        return False
    return all(
        0 < is_fake[own_fold != one].sum() < (own_fold != one).sum()
        for one in range(n_folds)
    )


def _holdouts(is_fake, codes, test_size, repeats, random_state):
    test_size = _TEST_SIZE if test_size is None else test_size
    splits = []
    for repeat in range(repeats):
        holdout = GroupHoldout(test_size, random_state + repeat)
        ((train, test),) = split_rows(holdout, is_fake, codes)
        splits.append(Split("", repeat, 0, train, test))
    return splits


def _after(times, codes, cut, notes):
    """One split: what came before a moment, and what came from it on."""
    times = parse_times(times)
    if cut is not None and not pd.api.types.is_numeric_dtype(times):
        cut = parse_times(pd.Series([cut], dtype=object)).iloc[0]
    if cut is None:
        cut = times.sort_values().iloc[int(np.ceil(len(times) * (1 - _TEST_SIZE))) - 1]
        later = times[times > cut]
        cut = later.min() if len(later) else times.max()
    is_test = (times >= cut).to_numpy()
    of_both = np.isin(codes, codes[is_test]) & ~is_test
    notes["first judged"] = str(cut)
    notes["left aside"] = int(of_both.sum())
    train = np.flatnonzero(~is_test & ~of_both)
    return [Split(f"from {cut}", 0, 0, train, np.flatnonzero(is_test))]


def _held_out(value, is_fake, column, hold_out):
    """Return the values to leave out, each in turn."""
    unnamed = np.flatnonzero(pd.isna(value) & ((is_fake == 1) | (column != "method")))
    if unnamed.size:
        what = "fake" if column == "method" else "video"
        raise ValueError(
            f"leaving a {column} out needs one for every {what}; {unnamed.size} have "
            f"none, the first at row {unnamed[0]}"
        )
    there = pd.unique(value[is_fake == 1] if column == "method" else value)
    if hold_out is None:
        names = sorted(there, key=str)
    else:
        names = [hold_out] if isinstance(hold_out, str) else list(hold_out)
        unknown = [name for name in names if name not in set(there)]
        if unknown:
            raise ValueError(
                f"hold_out names {unknown[0]!r}, which is none of the {column}s "
                f"{sorted(map(str, there))}"
            )
    if len(there) < 2:
        raise ValueError(
            f"leaving a {column} out needs two or more of them; got {sorted(there)}"
        )
    if len(names) > _MOST_VALUES:
        raise ValueError(
            f"there are {len(names)} {column}s, too many to be judged one by one; give "
            f"them as groups with protocol='group-kfold', or name some in hold_out="
        )
    return names


def _without_method(folds, method, is_fake, names):
    """Learn from other groups and other methods; the reals are of the groups."""
    splits = []
    for name in names:
        own = (method == name) & (is_fake == 1)
        for fold in folds:
            kept = ~own[fold.train]
            test = fold.test[own[fold.test] | (is_fake[fold.test] == 0)]
            splits.append(
                Split(
                    str(name), fold.repeat, fold.fold,
                    fold.train[kept], test, fold.inner[kept],
                )
            )  # fmt: skip
    return splits


def _without_value(value, codes, names):
    """Learn from all else, without the groups that are also in what is held out."""
    splits = []
    for name in names:
        is_test = value == name
        is_train = ~is_test & ~np.isin(codes, codes[is_test])
        splits.append(
            Split(str(name), 0, 0, np.flatnonzero(is_train), np.flatnonzero(is_test))
        )
    return splits


def _judgeable(splits, is_fake, column, notes):
    """Keep what has both classes to learn from and, over its folds, to judge."""
    why = {}
    for name in dict.fromkeys(split.name for split in splits):
        own = [split for split in splits if split.name == name]
        judged = {label for split in own for label in is_fake[split.test].tolist()}
        learned = [set(is_fake[split.train].tolist()) for split in own]
        for side, lacking in (
            ("judge", {0, 1} - judged),
            ("learn from", {0, 1} - set.intersection(*learned)),
        ):
            if lacking:
                kind = "fake" if 1 in lacking else "real"
                why[name] = f"no {kind} to {side}"
    if why:
        text = "; ".join(f"{name}: {reason}" for name, reason in why.items())
        splits = [split for split in splits if split.name not in why]
        if not splits:
            raise ValueError(
                f"nothing can be judged ({text}); what is held out, and what is left "
                "without it, must both hold reals and fakes"
            )
        warnings.warn(f"not judged: {text}", stacklevel=4)
        notes["not judged"] = why
    return [split for split in splits if len(split.test)]
