"""Nearest rows of a score table: found by a matrix product, and exact.

One product in single precision gives the distances to all known rows. Its rounding is
bounded: whatever may be among the nearest within that bound is measured again in double
precision. Rows that are left with too many candidates, as those of hard votes, are
sorted whole.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

_FEW = 4  # rows for which sorting all distances is faster than making the product
_MOST_AT_ONCE = 256  # rows looked for at once: 4 MB of distances to 4,000 known rows
_PIECE = 16  # known rows in one of the small products, and the largest bin
_ONE_THREAD = 2**18  # products m * n * k that BLAS does not spread over threads
_ROUNDING = 2.0**-24  # of single precision
_FARTHEST = 1e9  # beyond, every known row is a candidate; its square is no overflow


class Neighbours:
    """Find the known rows nearest to others.

    Nearest by the mean squared difference of the scores that both have. Memory does
    not depend on how many rows are looked for, threads are not used.

    Parameters
    ----------
    known : ndarray of shape (n_known, n_detectors)
        NaN where a score is missing.
    groups : int ndarray of shape (n_known,) or None, default=None
        Codes of the groups of known rows.

    Attributes
    ----------
    at_once : int
        How many rows `nearest` and `sums_in_reach` take.

    Examples
    --------
    >>> known = np.array([[0.0, 0.0], [1.0, 1.0], [np.nan, 3.0]])
    >>> order, distance = Neighbours(known).nearest(np.array([[0.9, 2.5]]), 2)
    >>> order.tolist(), distance.round(2).tolist()
    ([[2, 1]], [[0.25, 1.13]])
    """

    def __init__(self, known: np.ndarray, groups: np.ndarray | None = None) -> None:
        self._known, self._groups = known, groups
        self._columns = np.ascontiguousarray(known.T)
        n_known, n_detectors = known.shape
        most = _ONE_THREAD // (max(3 * n_detectors, 1) * _PIECE)
        self.at_once = int(np.clip(most, 1, _MOST_AT_ONCE))
        shape = self.at_once, -(-n_known // _PIECE) * _PIECE
        self._distances = np.empty(shape, np.float32)
        self._n_both = np.empty(shape, np.float32)
        self._is_near = np.empty(shape, bool)

    @cached_property
    def _here(self):
        return _in_pieces(~np.isnan(self._columns))

    @cached_property
    def _all_known(self):
        return not np.isnan(self._known).any()

    @cached_property
    def _scale(self):
        """Return the centre and the unit of what goes into the product."""
        here = ~np.isnan(self._known)
        n_scores = np.maximum(here.sum(axis=0), 1)
        centre = np.where(here, self._known, 0.0).sum(axis=0) / n_scores
        largest = np.abs(np.where(here, self._known - centre, 0.0)).max(initial=0)
        return centre, largest if largest > 0 else 1.0

    @cached_property
    def _terms(self):
        """Return the known rows' part of the product, and the largest square.

        (x - z)**2 = -2 x z + z**2 + x**2, each 0 where either is missing; where nothing
        is, x**2 of the row that is looked for does not matter.
        """
        centred = self._centred(self._known)
        size = (centred**2).sum(axis=1)
        if self._all_known:
            short = np.hstack([centred, size[:, None]])
            return _in_pieces(short.T), size.max(initial=0)
        return None, size.max(initial=0)

    @cached_property
    def _all_terms(self):
        centred, here = self._centred(self._known), ~np.isnan(self._known)
        return _in_pieces(np.hstack([centred, centred**2, here]).T)

    def nearest(
        self, scores: np.ndarray, number: int, groups: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the nearest known rows of each row, and how far they are.

        Parameters
        ----------
        scores : ndarray of shape (n_rows, n_detectors)
            At most `at_once` rows.
        number : int
            How many known rows to find for each.
        groups : int ndarray of shape (n_rows,) or None, default=None
            Known rows of the same group are out of reach.

        Returns
        -------
        order : int ndarray of shape (n_rows, number)
            Nearest first; equally near ones in the order in which they are known.
        distance : ndarray of shape (n_rows, number)
            inf where no further row is in reach: of the same group, or no detector
            scored both.
        """
        if 2 * number > len(self._known) or len(scores) <= _FEW:
            return self._sorted_whole(scores, number, groups)
        whole, n_near, column, apart = self._candidates(scores, number, groups)
        row = np.repeat(np.arange(len(scores)), n_near)
        place = np.arange(len(row)) - np.repeat(np.cumsum(n_near) - n_near, n_near)
        shape = (len(scores), max(number, n_near.max(initial=0)))
        known, distance = np.zeros(shape, int), np.full(shape, np.inf)
        known[row, place] = column
        distance[row, place] = apart
        nearest = _sorted_stably(distance)[:, :number]
        known = np.take_along_axis(known, nearest, axis=1)
        distance = np.take_along_axis(distance, nearest, axis=1)
        if whole.any():
            own = None if groups is None else groups[whole]
            found = self._sorted_whole(scores[whole], number, own)
            known[whole], distance[whole] = found
        return known, distance

    def sums_in_reach(
        self, values: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None
    ) -> np.ndarray:
        """Return sums over all known rows but those that are out of reach.

        Parameters
        ----------
        values : ndarray of shape (n_known, n_values)
            What is summed.
        scores, groups
            As in `nearest`.

        Returns
        -------
        sums : ndarray of shape (n_rows, n_values)
        """
        in_reach = self._count_both(scores) > 0
        in_reach = in_reach[:, : len(self._known)]
        if groups is not None:
            in_reach &= groups[:, None] != self._groups
        size = max(_ONE_THREAD // (max(values.shape[1], 1) * self.at_once), 1)
        sums = np.zeros((len(scores), values.shape[1]))
        for start in range(0, len(values), size):
            part = slice(start, start + size)
            sums += in_reach[:, part].astype(float) @ values[part]
        return sums

    def _centred(self, scores):
        centre, unit = self._scale
        moved = np.nan_to_num((scores - centre) / unit)
        return np.clip(moved, -_FARTHEST, _FARTHEST)

    def _count_both(self, scores):
        here = ~np.isnan(scores)
        return _multiply(here, self._here, out=self._n_both[: len(scores)])

    def _candidates(self, scores, number, groups):
        """Find the known rows that can be among the nearest, by more than rounding.

        The nearest of each bin of known rows is taken; `number` bins are no farther
        than the bound, and so are as many rows.
        """
        n_known, n_both = len(self._known), None
        centred, here = self._centred(scores), ~np.isnan(scores)
        known_terms, largest = self._terms
        distance = self._distances[: len(scores)]
        if self._all_known and here.all():
            terms = np.hstack([-2 * centred, np.ones((len(scores), 1))])
            _multiply(terms, known_terms, out=distance)
        else:
            terms = np.hstack([-2 * centred, here, centred**2])
            _multiply(terms, self._all_terms, out=distance)
            n_both = self._count_both(scores)
            with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: out of reach
                distance /= n_both
        if groups is not None:
            own = groups[:, None] == self._groups
            np.copyto(distance[:, :n_known], np.nan, where=own)
        distance[:, n_known:] = np.nan
        in_bin = 1
        while in_bin < _PIECE and 8 * in_bin * number <= n_known:
            in_bin *= 2
        bins = np.fmin.reduce(distance.reshape(len(scores), in_bin, -1), axis=1)
        bins.partition(number - 1, axis=1)  # NaN last
        size = (centred**2).sum(axis=1) + largest
        rounding = 2 * (3 * scores.shape[1] + 12) * _ROUNDING * size
        bound = np.fmin(bins[:, number - 1] + 2 * rounding, np.finfo(np.float32).max)
        near = self._is_near[: len(scores)]
        np.less_equal(distance, bound[:, None].astype(np.float32), out=near)
        place = np.flatnonzero(near)
        row, column = np.divmod(place, near.shape[1])
        n_near = np.bincount(row, minlength=len(scores))
        whole = n_near > 4 * number + 64
        if whole.any():
            kept = ~whole[row]
            place, column, n_near = (
                place[kept],
                column[kept],
                np.where(whole, 0, n_near),
            )
        counted = scores.shape[1] if n_both is None else n_both.ravel()[place]
        return whole, n_near, column, self._squared(scores, n_near, column) / counted

    def _squared(self, scores, n_near, column):
        """Return the sum of squared differences of each row and its candidates."""
        total = np.zeros(len(column))
        for own, known in zip(scores.T, self._columns, strict=True):
            squared = known.take(column)
            squared -= np.repeat(own, n_near)
            squared *= squared
            total += np.fmax(squared, 0.0, out=squared)  # NaN is 0
        return total

    def _sorted_whole(self, scores, number, groups):
        total = np.zeros((len(scores), len(self._known)))
        n_both = np.zeros(total.shape)
        for own, known in zip(scores.T, self._columns, strict=True):
            squared = (own[:, None] - known[None, :]) ** 2
            both = ~np.isnan(squared)
            total += np.where(both, squared, 0.0)
            n_both += both
        distance = np.full(total.shape, np.inf)
        np.divide(total, n_both, out=distance, where=n_both > 0)
        if groups is not None:
            distance[groups[:, None] == self._groups] = np.inf
        order = np.argsort(distance, axis=1, kind="stable")[:, :number]
        return order, np.take_along_axis(distance, order, axis=1)


def _sorted_stably(distance):
    """Sort each row: fast, and again by the slower stable sort where there are ties."""
    order = np.argsort(distance, axis=1)
    ranked = np.take_along_axis(distance, order, axis=1)
    tied = ((ranked[:, 1:] == ranked[:, :-1]) & (ranked[:, 1:] < np.inf)).any(axis=1)
    if tied.any():
        order[tied] = np.argsort(distance[tied], axis=1, kind="stable")
    return order


def _in_pieces(terms):
    """Lay (n_terms, n_known) out as (n_pieces, n_terms, known rows of a piece)."""
    n_terms, n_known = terms.shape
    n_pieces = -(-n_known // _PIECE)
    padded = np.zeros((n_terms, n_pieces * _PIECE), np.float32)
    padded[:, :n_known] = terms
    return np.ascontiguousarray(
        padded.reshape(n_terms, n_pieces, _PIECE).transpose(1, 0, 2)
    )


def _multiply(terms, pieces, out):
    """Multiply piece by piece: on threads BLAS spends more than the product takes."""
    laid_out = out.reshape(len(out), len(pieces), _PIECE).transpose(1, 0, 2)
    np.matmul(terms.astype(np.float32)[None], pieces, out=laid_out)
    return out
