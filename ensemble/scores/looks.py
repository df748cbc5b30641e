"""What the values of a column look like: P(fake), or numbers on another scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

P_FAKE = "P(fake)"
ANY_SCALE = "any scale"
HEAVY_TAILED = "any scale, heavy-tailed"
NO_SCORE = "no score"

# Single precision makes 1.0000001 of a softmax that is sure of itself.
NEARLY = 1e-6
_HEAVY = 2.0  # times the spread of a normal distribution of this interquartile range
_NORMAL = 1.349  # interquartile range of the standard normal distribution


@dataclass
class Distribution:
    """The different values of a column, rising, and how much each of them weighs.

    It is the same for a row of weight 2 and for two rows, in any order of the rows, to
    the last bit.

    Attributes
    ----------
    values, mass : ndarray of shape (n_values,)
    """

    values: np.ndarray
    mass: np.ndarray

    def ranks(self) -> np.ndarray:
        """Return the mid-rank of each value, from 0 to 1."""
        ranks: np.ndarray = (np.cumsum(self.mass) - self.mass / 2) / self.mass.sum()
        return ranks

    def mean_and_spread(self) -> tuple[float, float]:
        """Return mean and standard deviation; a spread of 0 is 1."""
        unit = float(np.abs(self.values).max()) or 1.0  # squares of 1e200 are infinite
        share = self.mass / self.mass.sum()
        values = self.values / unit
        mean = float(share @ values)
        spread = math.sqrt(float(share @ (values - mean) ** 2))
        if len(values) == 1 or spread == 0:
            return float(self.values[0]), 1.0
        return mean * unit, spread * unit

    def is_heavy_tailed(self) -> bool:
        """Say whether the spread is over twice what the middle half lets expect.

        That half, the interquartile range, is 1.349 spreads of a normal distribution.
        """
        if len(self.values) == 1:
            return False
        up_to = np.cumsum(self.mass) / self.mass.sum()
        low = self.values[np.searchsorted(up_to, 0.25 - 1e-12)]
        high = self.values[np.searchsorted(up_to, 0.75 + 1e-12)]
        return bool(self.mean_and_spread()[1] > _HEAVY * (high - low) / _NORMAL)


def distribution(column: np.ndarray, weight: np.ndarray | None = None) -> Distribution:
    """Sum up the values of a column.

    Parameters
    ----------
    column : ndarray of shape (n_videos,)
        NaN where missing; not all of it.
    weight : ndarray of shape (n_videos,) or None, default=None
        None weighs all alike.
    """
    here = ~np.isnan(column)
    column = column[here] + 0.0  # -0.0 is 0.0
    weight = np.ones(len(column)) if weight is None else weight[here]
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return Distribution(ordered[starts], exact_sums(weight[order], starts))


def exact_sums(weight: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sum weights from each start to the next, whatever their order within.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
    starts : int ndarray of shape (n_sums,)
        Rising from 0.

    Returns
    -------
    sums : ndarray of shape (n_sums,)
    """
    sums: np.ndarray = np.add.reduceat(weight, starts)
    if (weight != np.round(weight)).any():
        ends = np.append(starts[1:], len(weight))
        for row in np.flatnonzero(ends - starts > 1):
            sums[row] = math.fsum(weight[starts[row] : ends[row]])
    return sums


def looks_of(scores: np.ndarray, weight: np.ndarray | None = None) -> list[str]:
    """Say what each column of a table looks like, without its labels.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_columns)
        NaN where missing.
    weight : ndarray of shape (n_videos,) or None, default=None
        Above 0. None weighs all alike.

    Returns
    -------
    looks : list of str
        "P(fake)" where all values lie in [0, 1], but for rounding; else "any scale", or
        "any scale, heavy-tailed" where the standard deviation is more than twice the
        interquartile range over 1.349, which it is of a normal distribution; "no score"
        where all are missing.

    Examples
    --------
    >>> x = np.linspace(0, 1, 99)
    >>> looks_of(np.column_stack([x, 9 * x - 4, np.exp(30 * x)]))
    ['P(fake)', 'any scale', 'any scale, heavy-tailed']
    """
    low, high = np.fmin.reduce(scores, axis=0), np.fmax.reduce(scores, axis=0)
    looks = []
    for place, column in enumerate(scores.T):
        if np.isnan(low[place]):
            looks.append(NO_SCORE)
        elif low[place] >= -NEARLY and high[place] <= 1 + NEARLY:
            looks.append(P_FAKE)
        else:
            heavy = distribution(column, weight).is_heavy_tailed()
            looks.append(HEAVY_TAILED if heavy else ANY_SCALE)
    return looks
