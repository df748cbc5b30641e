"""Thresholds whose error rate is certified (Hoeffding and Bentkus)."""

import math

import numpy as np
from scipy.stats import binom

TOLERANCE = 1e-9  # of sums of shares


def hoeffding_bentkus(risk: np.ndarray, n: int, rate: float) -> np.ndarray:
    """Return p-values of means of n losses within [0, 1], were their mean above `rate`.

    Parameters
    ----------
    risk : ndarray
        Observed means.
    n : int
        Number of independent losses.
    rate : float

    Returns
    -------
    p_value : ndarray

    References
    ----------
    Bates et al. (2021), Distribution-free, risk-controlling prediction sets, JACM 68.

    Examples
    --------
    >>> hoeffding_bentkus(np.array([0.0, 0.05]), n=100, rate=0.1).round(5)
    array([3.0000e-05, 1.5651e-01])
    """
    below = np.minimum(risk, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(below > 0, below * np.log(below / rate), 0)
        divergence += (1 - below) * np.log((1 - below) / (1 - rate))
    hoeffding = np.exp(-n * divergence)
    bentkus = math.e * binom.cdf(np.ceil(n * risk - TOLERANCE), n, rate)
    p_value: np.ndarray = np.minimum(hoeffding, bentkus)
    return p_value
