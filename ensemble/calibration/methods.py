"""Platt, temperature, beta and isotonic calibration."""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from ensemble.combiners.parts.nonnegative_logistic import fit_nonnegative_logistic
from ensemble.combiners.parts.reach import fit_reach

_CLIP = 1e-12


def as_probabilities(score):
    score = np.asarray(score, dtype=float)
    if score.ndim != 1:
        raise ValueError(f"score must have shape (n_videos,); got {score.shape}")
    outside = np.flatnonzero((score < 0) | (score > 1))
    if outside.size:
        raise ValueError(
            f"P(fake) must be between 0 and 1; got {score[outside[0]]} at row "
            f"{outside[0]}"
        )
    return score


def log_odds(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.log(score / (1 - score))[:, None]


def beta_features(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.column_stack([np.log(score), -np.log1p(-score)])


def fit_platt(features, target, weight, pull):
    intercept, slope = _fit_slopes(features, target, weight, pull)
    return {"slope": float(slope[0]), "intercept": intercept}


def fit_temperature(features, target, weight, pull):
    # A row and its mirror image, real for fake, cancel in the intercept.
    mirrored = np.concatenate([features, -features])
    targets = np.concatenate([target, 1 - target])
    _, slope = _fit_slopes(mirrored, targets, np.tile(weight, 2), 2 * pull)
    return {"temperature": float(1 / max(slope[0], 1e-6))}


def fit_beta(features, target, weight, pull):
    intercept, slopes = _fit_slopes(features, target, weight, pull)
    return {"a": float(slopes[0]), "b": float(slopes[1]), "c": intercept}


def _fit_slopes(features, target, weight, pull):
    """Fit slopes >= 0, pulled to 0 as if that many videos spoke for it."""
    variance = fit_reach(features, weight)["spread"] ** 2
    return fit_nonnegative_logistic(
        features, target, weight, 0.0, 0.0, to_zero=pull * variance
    )


def fit_isotonic(score, target, weight):
    staircase = IsotonicRegression().fit(score, target, sample_weight=weight)
    return {"scores": staircase.X_thresholds_, "values": staircase.y_thresholds_}
