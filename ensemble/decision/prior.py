"""P(fake) where fakes are rarer or more frequent than in training."""

import numbers

import numpy as np
from numpy.typing import ArrayLike


def adjust_prior(score: ArrayLike, fitted_prior: float, prior: float) -> np.ndarray:
    """Correct P(fake) for another share of fakes, by Bayes' rule.

    A model fitted where half the videos are fake is far too sure of fakes where one in
    a thousand is. Right if only the share differs, and not how fakes or reals look.

    Parameters
    ----------
    score : array-like
        Calibrated P(fake); NaN stays.
    fitted_prior : float
        Share of fakes among the videos that the calibration was fitted on.
    prior : float
        Share of fakes where it will be used.

    Returns
    -------
    adjusted : ndarray
        P(fake) of the same shape.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning; Saerens, Latinne,
    Decaestecker (2002), Adjusting the outputs of a classifier to new a priori
    probabilities, Neural Computation 14.

    Examples
    --------
    >>> adjust_prior([0.5, 0.99], fitted_prior=0.5, prior=0.01).round(2)
    array([0.01, 0.5 ])
    """
    for name, share in (("fitted_prior", fitted_prior), ("prior", prior)):
        check_share(name, share)
    score = np.asarray(score, dtype=float)
    outside = score[(score < 0) | (score > 1)]
    if outside.size:
        raise ValueError(f"P(fake) must be between 0 and 1; got {outside[0]}")
    fake = score * (prior / fitted_prior)
    real = (1 - score) * ((1 - prior) / (1 - fitted_prior))
    return fake / (fake + real)


def check_prior(prior: object) -> None:
    """Refuse what is no share of fakes.

    Parameters
    ----------
    prior : float or None
    """
    if prior is None or (isinstance(prior, numbers.Real) and 0 < float(prior) < 1):
        return
    raise ValueError(f"prior must be a share between 0 and 1; got {prior!r}")


def check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"{name} must be between 0 and 1; got {share!r}")
