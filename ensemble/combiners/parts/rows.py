"""Rows and detectors in an order of their own, equal rows merged.

What a combiner learns must not depend on the order in which videos or detectors come,
nor on whether a row of weight 2 is one row or two. Sorting by content before anything
is learned settles both, for every combiner, down to ties and random draws.

Content is told apart by 64-bit hashes; that two different rows of a million share one
has a chance of 3e-8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble.resampling.splitters import StratifiedGroupFolds
from ensemble.scores.looks import exact_sums
from ensemble.scores.provenance import Provenance

_MIX = np.uint64(0x9E3779B97F4A7C15)
_OF_CODES = np.arange(1, 4, dtype=np.uint64) * _MIX
_HIGHEST = ~np.uint64(0)
_CHUNK = 4096  # rows hashed at once, to stay in the processor's cache


@dataclass
class Rows:
    """Training rows."""

    scores: np.ndarray  # (n_rows, n_detectors), then any features beside the scores
    is_fake: np.ndarray  # (n_rows,)
    groups: np.ndarray | None  # codes, or None where each row is its own group
    weight: np.ndarray  # (n_rows,)
    place: np.ndarray | None = None  # (n_videos,): row of each video of fit, or -1
    folds: np.ndarray | None = None  # codes of the folds that the scores come from
    offsets: np.ndarray | None = None  # (n_detectors,): of new scores, where measured
    shift: np.ndarray | None = None  # codes of what will be new in use

    def __len__(self):
        return len(self.scores)

    def __getitem__(self, which):
        groups, folds, shift = (
            None if codes is None else codes[which]
            for codes in (self.groups, self.folds, self.shift)
        )
        return Rows(
            self.scores[which],
            self.is_fake[which],
            groups,
            self.weight[which],
            folds=folds,
            offsets=self.offsets,
            shift=shift,
        )


def fold_codes(X: Any) -> np.ndarray | None:
    """Return the codes of the folds that lie beside a score table.

    Parameters
    ----------
    X : DataFrame of shape (n_videos, n_detectors) or anything

    Returns
    -------
    codes : int ndarray of shape (n_videos,) or None
        None where the fold of a row is not known.
    """
    folds = getattr(X, "attrs", {}).get("fold")
    if not isinstance(folds, dict) or not folds:
        return None
    known = [folds.get(row) for row in X.index]
    if any(fold is None for fold in known):
        return None
    return np.unique(np.array(known, dtype=str), return_inverse=True)[1]


def stated_offsets(X: Any) -> np.ndarray | None:
    """Return the offsets of refitted detectors that a score table's provenance states.

    Parameters
    ----------
    X : DataFrame of shape (n_videos, n_detectors) or anything

    Returns
    -------
    offsets : ndarray of shape (n_detectors,) or None
        0 for a detector of which none is stated. See
        `ensemble.out_of_fold.refit_offsets`.
    """
    offsets = Provenance.of(X).refit_offsets
    if not offsets:
        return None
    return np.array([float(offsets.get(str(name), 0.0)) for name in X.columns])


def canonical_columns(rows: Rows) -> np.ndarray:
    """Order the detectors that have a score by their content.

    Returns
    -------
    order : int ndarray
        Columns of the scores, without those that are all NaN. Columns with the same
        scores on the same labels keep the order of the table.
    """
    n_columns = rows.scores.shape[1]
    low = np.full(n_columns, _HIGHEST)
    high = np.zeros(n_columns, np.uint64)
    seen = np.zeros(n_columns, bool)
    for part in _parts(rows):
        hashed = _content(rows, part)
        here = ~np.isnan(rows.scores[part])
        seen |= here.any(axis=0)
        low = np.minimum(low, hashed.min(axis=0, where=here, initial=_HIGHEST))
        high = np.maximum(high, hashed.max(axis=0, where=here, initial=0))
    keys = list(zip(low.tolist(), high.tolist(), strict=True))
    if len({keys[j] for j in np.flatnonzero(seen)}) < seen.sum():  # columns of votes
        keys = [(*key, _exact_sum(rows, j)) for j, key in enumerate(keys)]
    return np.array(sorted(np.flatnonzero(seen), key=lambda j: keys[j]))


def merge_rows(rows: Rows) -> Rows:
    """Merge rows equal in scores, label and codes, and order them by content.

    Returns
    -------
    merged : Rows
        Weights are summed exactly, so that the order of addition does not show. Its
        `place` is where each of the rows went.
    """
    keys = row_keys(rows)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    weight = rows.weight[order]
    if not first.all():
        weight = exact_sums(weight, np.flatnonzero(first))
    merged = rows[order[first]]
    merged.weight = weight
    merged.place = np.empty(len(rows), int)
    merged.place[order] = np.cumsum(first) - 1
    return merged


def sample_rows(rows: Rows, at_most: int) -> Rows:
    """Draw rows of each class, equal ones together, by their content.

    Parameters
    ----------
    rows : Rows
    at_most : int
        Number of different rows of each class.

    Returns
    -------
    sample : Rows
        Merged; weights are scaled so that each class keeps its total.
    """
    if len(rows) <= at_most:
        return rows
    keys = row_keys(rows)
    kept = []
    for label in (0, 1):
        members = np.flatnonzero(rows.is_fake == label)
        ordered = np.sort(keys[members])
        different = ordered[np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))]
        last = different[min(at_most, len(different)) - 1]
        kept.append(members[keys[members] <= last])
    sample = rows[np.concatenate(kept)]
    for label in (0, 1):
        sample.weight[sample.is_fake == label] *= (
            rows.weight[rows.is_fake == label].sum()
            / sample.weight[sample.is_fake == label].sum()
        )
    return merge_rows(sample)


def inner_splits(
    rows: Rows, n_folds: int, random_state: int | np.random.RandomState | None
) -> list[Any]:
    """Split training rows into inner folds, as many as their groups allow.

    Without groups, rows of equal scores stay together: rows are merged, and if all
    reals of some scores were in one fold and all fakes of the same scores in another,
    each would be judged by what saw the opposite alone.

    Returns
    -------
    splits : list of (train, test)
        Both classes are in each `train`. Empty where a class has one group only.
    """
    groups = fold_groups(rows)
    n_groups = min(len(np.unique(groups[rows.is_fake == label])) for label in (0, 1))
    if min(n_folds, n_groups) < 2:
        return []
    folds = StratifiedGroupFolds(min(n_folds, n_groups), random_state)
    return [
        (train, test)
        for train, test in folds.split(rows.scores, rows.is_fake, groups)
        if len(test) and 0 < rows.is_fake[train].sum() < len(train)
    ]


def fold_groups(rows: Rows) -> np.ndarray:
    """Return codes of what must not be in two folds: groups, or else equal scores.

    Examples
    --------
    >>> scores = np.array([[0.2], [0.7], [0.2]])
    >>> fold_groups(Rows(scores, np.array([0, 1, 1]), None, np.ones(3)))
    array([0, 1, 0])
    """
    if rows.groups is not None:
        return rows.groups
    _, first, codes = np.unique(
        score_keys(rows.scores), return_index=True, return_inverse=True
    )
    return np.argsort(np.argsort(first))[codes]  # numbered as they come


def score_keys(scores: np.ndarray) -> np.ndarray:
    """Return a hash of the scores of each row, whatever its label."""
    n_rows = len(scores)
    return row_keys(Rows(scores, np.zeros(n_rows, int), None, np.ones(n_rows)))


def row_keys(rows: Rows) -> Any:
    """Return a hash of scores, label and any codes (group, fold, shift) of each row."""
    n_columns = rows.scores.shape[1]
    salt = _mixed(np.arange(1, n_columns + 1, dtype=np.uint64))
    keys = np.empty(len(rows), np.uint64)
    for part in _parts(rows):
        key = _mixed(_content(rows, part) + salt).sum(axis=1)
        for number, codes in enumerate((rows.groups, rows.folds, rows.shift)):
            if codes is not None:
                key += _mixed(codes[part].astype(np.uint64) + _OF_CODES[number])
        keys[part] = _mixed(key)
    return keys


def _parts(rows):
    return (slice(i, i + _CHUNK) for i in range(0, len(rows), _CHUNK))


def _content(rows, part):
    """Hash each score of some rows together with the row's label."""
    scores = rows.scores[part] + 0.0  # -0.0 is 0.0
    scores[np.isnan(scores)] = np.nan
    return _mixed(scores.view(np.uint64) + rows.is_fake[part, None].astype(np.uint64))


def _mixed(bits):
    bits = (bits ^ (bits >> np.uint64(32))) * _MIX
    return bits ^ (bits >> np.uint64(29))


def _exact_sum(rows, column):
    one = Rows(rows.scores[:, [column]], rows.is_fake, None, rows.weight)
    hashed = _content(one, slice(None))[:, 0] >> np.uint64(44)
    present = ~np.isnan(rows.scores[:, column])
    return math.fsum((rows.weight * hashed.astype(float))[present])
