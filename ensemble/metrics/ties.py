"""Ties: numbers that differ by rounding alone are equal to every verdict."""

import numpy as np
from numpy.typing import ArrayLike

# Sums of a few scores differ by some 1e-16 in another order of terms. Scores of
# networks that are sure of themselves lie within 1e-10 of 1 and do differ.
ROUNDING = 1e-12


def above(score: ArrayLike, threshold: float) -> np.ndarray:
    """Say which scores are above a threshold by more than rounding.

    Parameters
    ----------
    score : array-like
        P(fake); NaN is not above anything.
    threshold : float

    Returns
    -------
    ndarray of bool

    Examples
    --------
    >>> above([0.5, 0.5000000000000001, 0.51], 0.5).tolist()
    [False, False, True]
    """
    return np.asarray(score, float) > threshold + ROUNDING


def below(score: ArrayLike, threshold: float) -> np.ndarray:
    """Say which scores are below a threshold by more than rounding; as `above`."""
    return np.asarray(score, float) < threshold - ROUNDING
