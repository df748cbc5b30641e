"""Protocols: which videos are judged, and which may be learned from for that.

Each is a function under its name and label, and `PROTOCOLS` lists them all. No group is
on both sides of a split, whatever the protocol.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lazy_loader

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.comparison.protocol_registry import (
    PROTOCOLS,
    Split,
    SplitTask,
    protocol,
)
from ensemble.datasets.families import family_of
from ensemble.errors import LeakError

if TYPE_CHECKING:
    from numpy.typing import NDArray

np = lazy_loader.load("numpy")  # the command line reads the names and starts at once
pd = lazy_loader.load("pandas")

_MOST_VALUES = 40  # beyond, leaving each out is folds by another name
_TEST_SIZE = 0.3


@protocol(
    "group-kfold",
    "Group k-fold: tested on groups that were not learned from.",
    draws=True,
)
def group_kfold(task: SplitTask) -> list[Split]:
    """Judge each group fold by turns."""
    splits = []
    for repeat in range(task.repeats):
        if repeat == 0 and _can_judge_by(task.own_fold, task):
            fold = task.own_fold
        else:
            fold = _drawn_folds(
                task.is_fake, task.codes, task.n_folds, task.random_state + repeat
            )
        for number in range(fold.max() + 1):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            splits.append(Split("", repeat, number, train, test, fold[train]))
    return splits


@protocol(
    "group-holdout",
    "Group hold-out: tested on one part of the groups that nothing else was done with.",
    draws=True,
)
def group_holdout(task: SplitTask) -> list[Split]:
    """Judge one drawn part of the groups, and learn from the others."""
    from ensemble.resampling.leak_check import split_rows
    from ensemble.resampling.splitters import GroupHoldout

    test_size = _TEST_SIZE if task.hold_out is None else task.hold_out
    splits = []
    for repeat in range(task.repeats):
        holdout = GroupHoldout(test_size, task.random_state + repeat)
        ((train, test),) = split_rows(holdout, task.is_fake, task.codes)
        splits.append(Split("", repeat, 0, train, test))
    return splits


@protocol(
    "leave-family-out",
    "Leave one family of forgeries out (face swap, reenactment, ...), crossed with "
    "groups: tested on a family and on groups that were both not learned from.",
    columns=("family",),
    unseen="forgery type",
    draws=True,
)
@protocol(  # the first of the two: decorators work upwards
    "leave-method-out",
    "Leave one method out, crossed with groups: tested on a method and on groups that "
    "were both not learned from; the reals are those of the held-out groups.",
    columns=("method",),
    unseen="method",
    draws=True,
)
def leave_method_out(task: SplitTask) -> list[Split]:
    """Learn from other groups and methods, or families; the reals are of the groups."""
    method = task.values.to_numpy()
    names = _values_to_leave_out(task, of_fakes=True)
    folds = group_kfold(task)
    splits = []
    for name in names:
        has_method = (method == name) & (task.is_fake == 1)
        for fold in folds:
            kept = ~has_method[fold.train]
            test = fold.test[has_method[fold.test] | (task.is_fake[fold.test] == 0)]
            splits.append(
                Split(
                    str(name), fold.repeat, fold.fold,
                    fold.train[kept], test, fold.inner[kept],
                )
            )  # fmt: skip
    return splits


@protocol(
    "leave-dataset-out",
    "Leave one data set out: tested on a data set that was not learned from.",
    columns=("dataset",),
    unseen="data set",
)
@protocol(
    "leave-source-out",
    "Leave one source out: tested on a source that was not learned from.",
    columns=("source",),
    unseen="source",
)
def leave_each_value_out(task: SplitTask) -> list[Split]:
    """Learn from all else, without the groups that are also in what is held out."""
    values, splits = task.values.to_numpy(), []
    for name in _values_to_leave_out(task):
        is_test = values == name
        is_train = ~is_test & ~np.isin(task.codes, task.codes[is_test])
        splits.append(
            Split(str(name), 0, 0, np.flatnonzero(is_train), np.flatnonzero(is_test))
        )
    return splits


@protocol(
    "one-family",
    "One against all: learned from one family of forgeries, tested on the others and "
    "on groups that were not learned from.",
    columns=("family",),
    unseen="forgery type",
    draws=True,
)
def one_family(task: SplitTask) -> list[Split]:
    """Learn from the fakes of one family, and judge those of the others."""
    family, is_fake = task.values.to_numpy(), task.is_fake == 1
    return [
        _with_fakes(split, f"learned from {name}", is_fake, family == name)
        for name in _values_to_leave_out(task, of_fakes=True)
        for split in group_kfold(task)
    ]


@protocol(
    "compression-grid",
    "Compression grid: learned from one compression and tested on one, on groups that "
    "were not learned from.",
    columns=("compression",),
    draws=True,
)
def compression_grid(task: SplitTask) -> list[Split]:
    """Learn from each compression in turn, and judge each."""
    level = task.values.to_numpy()
    names, folds = _values_to_leave_out(task), group_kfold(task)
    splits = []
    for learned in names:
        for judged in names:
            for fold in folds:
                kept = level[fold.train] == learned
                splits.append(
                    replace(
                        fold,
                        name=f"{learned} on {judged}",
                        train=fold.train[kept],
                        test=fold.test[level[fold.test] == judged],
                        inner=fold.inner[kept],
                    )
                )
    return splits


@protocol(
    "cross-auc",
    "Reals of one data set against fakes of another, on groups that were not learned "
    "from.",
    columns=("dataset",),
    draws=True,
)
def cross_auc(task: SplitTask) -> list[Split]:
    """Judge reals and fakes of different data sets, learning from all of them."""
    dataset, is_fake = task.values.to_numpy(), task.is_fake == 1
    names, folds = _values_to_leave_out(task), group_kfold(task)
    return [
        replace(
            fold,
            name=f"reals of {of_reals}, fakes of {of_fakes}",
            test=fold.test[
                np.where(
                    is_fake[fold.test],
                    dataset[fold.test] == of_fakes,
                    dataset[fold.test] == of_reals,
                )
            ],
        )
        for of_reals in names
        for of_fakes in names
        if of_reals != of_fakes
        for fold in folds
    ]


@protocol(
    "time-holdout",
    "Hold-out of time: tested on videos later than those learned from.",
    columns=("time", "date"),
)
def time_holdout(task: SplitTask) -> list[Split]:
    """Judge what came from a moment on, and learn from earlier videos of others."""
    from ensemble.scores.times import parse_times

    times, cut = parse_times(task.values), task.hold_out
    if cut is not None and not pd.api.types.is_numeric_dtype(times):
        cut = parse_times(pd.Series([cut], dtype=object)).iloc[0]
    if cut is None:
        cut = times.sort_values().iloc[int(np.ceil(len(times) * (1 - _TEST_SIZE))) - 1]
        later = times[times > cut]
        cut = later.min() if len(later) else times.max()
    is_test = (times >= cut).to_numpy()
    of_both = np.isin(task.codes, task.codes[is_test]) & ~is_test
    task.notes["first judged"] = str(cut)
    task.notes["left aside"] = int(of_both.sum())
    train = np.flatnonzero(~is_test & ~of_both)
    return [Split(f"from {cut}", 0, 0, train, np.flatnonzero(is_test))]


def protocol_splits(
    protocol: str,
    is_fake: NDArray,
    codes: NDArray,
    metadata: pd.DataFrame,
    n_folds: int,
    repeats: int,
    random_state: int,
    hold_out: Any = None,
    own_fold: NDArray | None = None,
) -> tuple[list[Split], dict]:
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
        raise ValueError(
            f"protocol must be one of {tuple(PROTOCOLS)}; got {protocol!r}"
        )
    rules = PROTOCOLS[protocol]
    if "family" in rules.columns and "family" not in metadata and "method" in metadata:
        metadata = metadata.assign(family=_families(metadata["method"], is_fake))
    column = next((name for name in rules.columns if name in metadata), None)
    if rules.columns and column is None:
        raise ValueError(
            f"protocol {protocol!r} needs metadata with a column {rules.columns[0]!r}; "
            f"got {list(metadata.columns)}"
        )
    if repeats > 1 and not rules.draws:
        raise ValueError(
            f"protocol {protocol!r} draws nothing, so that repeats={repeats} would "
            "judge the same again; leave it at 1"
        )
    values, notes = None if column is None else metadata[column], {}
    task = SplitTask(
        is_fake, codes, column, values, n_folds, repeats, random_state, hold_out,
        own_fold, notes,
    )  # fmt: skip
    splits = _that_can_be_judged(rules.splits(task), is_fake, notes)
    for split in splits:
        shared = np.intersect1d(codes[split.train], codes[split.test])
        if shared.size:  # cannot happen; were it to, no figure would be worth anything
            raise LeakError(f"group {shared[0]} is on both sides of {split.name!r}")
    return splits, notes


def inner_folds(
    split: Split,
    is_fake: NDArray,
    codes: NDArray,
    n_folds: int,
    random_state: int,
) -> NDArray:
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
    return _drawn_folds(is_fake[split.train], codes[split.train], n_folds, random_state)


def _drawn_folds(is_fake, codes, n_folds, random_state):
    from ensemble.resampling.leak_check import split_rows
    from ensemble.resampling.splitters import StratifiedGroupFolds

    splits = split_rows(StratifiedGroupFolds(n_folds, random_state), is_fake, codes)
    fold = np.empty(len(is_fake), int)
    for number, (_, test) in enumerate(splits):
        fold[test] = number
    return fold


def _can_judge_by(fold, task):
    """Whether folds hold all videos, keep groups whole and leave both classes."""
    from ensemble.resampling.leak_check import folds_serve

    if fold is None or fold.max() + 1 != task.n_folds:
        return False
    return folds_serve(fold, task.is_fake, task.codes)


def _with_fakes(split, name, is_fake, is_learned):
    """Learn from some fakes and judge the others; the reals are of the groups."""
    kept = ~is_fake[split.train] | is_learned[split.train]
    judged = ~is_fake[split.test] | ~is_learned[split.test]
    return replace(
        split,
        name=name,
        train=split.train[kept],
        test=split.test[judged],
        inner=split.inner[kept],
    )


def _families(method, is_fake):
    """Return the family of each fake's method; those not known are named."""
    found = method.map(family_of, na_action="ignore")
    unknown = method[(is_fake == 1) & found.isna().to_numpy()]
    if len(unknown):
        raise ValueError(
            "no family of forgeries is known of the methods "
            f"{sorted(set(map(str, unknown)))}; say it in a column family"
        )
    return found


def _values_to_leave_out(task, of_fakes=False):
    """Return the values to leave out, each in turn; only those of fakes if so said."""
    column, values = task.column, task.values.to_numpy()
    counts = task.is_fake == 1 if of_fakes else np.ones(len(values), bool)
    unnamed = np.flatnonzero(pd.isna(values) & counts)
    if unnamed.size:
        raise ValueError(
            f"splits by {column} need one for every "
            f"{'fake' if of_fakes else 'video'}; {unnamed.size} have "
            f"none, the first at row {unnamed[0]}"
        )
    present = pd.unique(values[counts])
    if task.hold_out is None:
        names = sorted(present, key=str)
    else:
        only_one = isinstance(task.hold_out, str)
        names = [task.hold_out] if only_one else list(task.hold_out)
        unknown = [name for name in names if name not in set(present)]
        if unknown:
            raise ValueError(
                f"hold_out names {unknown[0]!r}, which is none of the {column}s "
                f"{sorted(map(str, present))}"
            )
    if len(present) < 2:
        raise ValueError(
            f"splits by {column} need two or more of them; got {sorted(present)}"
        )
    if len(names) > _MOST_VALUES:
        raise ValueError(
            f"there are {len(names)} {column}s, too many to be judged one by one; give "
            f"them as groups with protocol='group-kfold', or name some in hold_out="
        )
    return names


def _that_can_be_judged(splits, is_fake, notes):
    """Keep what has both classes to learn from and, over its folds, to judge."""
    reasons = {}
    for name in dict.fromkeys(split.name for split in splits):
        folds = [split for split in splits if split.name == name]
        judged = {label for split in folds for label in is_fake[split.test].tolist()}
        learned = [set(is_fake[split.train].tolist()) for split in folds]
        for side, lacking in (
            ("judge", {0, 1} - judged),
            ("learn from", {0, 1} - set.intersection(*learned)),
        ):
            if lacking:
                kind = "fake" if 1 in lacking else "real"
                reasons[name] = f"no {kind} to {side}"
    if reasons:
        text = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        splits = [split for split in splits if split.name not in reasons]
        if not splits:
            raise ValueError(
                f"nothing can be judged ({text}); what is held out, and what is left "
                "without it, must both hold reals and fakes"
            )
        warnings.warn(f"not judged: {text}", DeepfakeEnsembleWarning, stacklevel=4)
        notes["not judged"] = reasons
    return [split for split in splits if len(split.test)]
