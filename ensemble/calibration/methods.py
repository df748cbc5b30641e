"""The methods of calibration by name: how each is fitted, and how it maps scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from ensemble.calibration.venn_abers import fit_venn_abers, venn_abers_interval
from ensemble.combiners.meta_models.nonnegative_logistic import fit_nonnegative_logistic
from ensemble.combiners.parts.reach import fit_reach

_CLIP = 1e-12


@dataclass(frozen=True)
class Method:
    """One method of calibration.

    Attributes
    ----------
    fit : callable
        Returns the parameters. A staircase takes ``(score, is_fake, weight)``; one with
        slopes ``(features, target, weight, pull)``: labels that are slightly uncertain,
        and how many videos pull the slopes to 0.
    predict : callable
        ``predict(parameters, score or features)`` returns calibrated P(fake).
    features : callable or None, default=None
        ``features(score)``, shape (n_videos, n_slopes), of a method with slopes.
    """

    fit: Callable[..., dict[str, Any]]
    predict: Callable[[dict[str, Any], NDArray], NDArray]
    features: Callable[[NDArray], NDArray] | None = None


def uncertain_labels(is_fake: NDArray, weight: NDArray) -> NDArray:
    """Return labels as Platt takes them: (n + 1) / (n + 2) and 1 / (n + 2).

    Parameters
    ----------
    is_fake, weight : ndarray of shape (n_videos,)

    Returns
    -------
    target : ndarray of shape (n_videos,)

    Examples
    --------
    >>> uncertain_labels(np.array([0, 1, 1]), np.ones(3))
    array([0.33333333, 0.75      , 0.75      ])
    """
    n_fake, n_real = weight[is_fake == 1].sum(), weight[is_fake == 0].sum()
    return np.where(is_fake == 1, (n_fake + 1) / (n_fake + 2), 1 / (n_real + 2))


def _log_odds(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.log(score / (1 - score))[:, None]


def _logs_of_both(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.column_stack([np.log(score), -np.log1p(-score)])


def _fit_slopes(features, target, weight, pull):
    """Fit slopes >= 0, pulled to 0 as if that many videos spoke for it."""
    variance = fit_reach(features, weight)["spread"] ** 2
    return fit_nonnegative_logistic(
        features, target, weight, 0.0, 0.0, to_zero=pull * variance
    )


def _fit_platt(features, target, weight, pull):
    intercept, slope = _fit_slopes(features, target, weight, pull)
    return {"slope": float(slope[0]), "intercept": intercept}


def _platt(parameters, features):
    return expit(parameters["slope"] * features[:, 0] + parameters["intercept"])


def _fit_temperature(features, target, weight, pull):
    # A row and its mirror image, real for fake, cancel in the intercept.
    mirrored = np.concatenate([features, -features])
    targets = np.concatenate([target, 1 - target])
    _, slope = _fit_slopes(mirrored, targets, np.tile(weight, 2), 2 * pull)
    return {"temperature": float(1 / max(slope[0], 1e-6))}


def _temperature(parameters, features):
    return expit(features[:, 0] / parameters["temperature"])


def _fit_beta(features, target, weight, pull):
    intercept, slopes = _fit_slopes(features, target, weight, pull)
    return {"a": float(slopes[0]), "b": float(slopes[1]), "c": intercept}


def _beta(parameters, features):
    log_p, minus_log_rest = features.T
    return expit(
        parameters["a"] * log_p + parameters["b"] * minus_log_rest + parameters["c"]
    )


def _fit_isotonic(score, is_fake, weight):
    target = uncertain_labels(is_fake, weight)
    staircase = IsotonicRegression().fit(score, target, sample_weight=weight)
    return {"scores": staircase.X_thresholds_, "values": staircase.y_thresholds_}


def _isotonic(parameters, score):
    calibrated = np.interp(score, parameters["scores"], parameters["values"])
    return np.where(np.isnan(score), np.nan, calibrated)


def _venn_abers(parameters, score):
    if_real, if_fake = venn_abers_interval(parameters, score).T
    return if_fake / (1 - if_real + if_fake)


METHODS = {
    "platt": Method(_fit_platt, _platt, _log_odds),
    "temperature": Method(_fit_temperature, _temperature, _log_odds),
    "beta": Method(_fit_beta, _beta, _logs_of_both),
    "isotonic": Method(_fit_isotonic, _isotonic),
    "venn_abers": Method(fit_venn_abers, _venn_abers),
}
