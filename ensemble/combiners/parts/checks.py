"""Checks of what users give a combiner: parameters, names, order, weights, labels."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.combiners.parts.detection import level_of_the_user

_MOST_NAMED = 5  # columns in a message
_FAR_BELOW = 0.1  # share of the videos below which their weights cannot be counts


def check_whole(estimator: Any, name: str, least: int, *others: Any) -> None:
    """Refuse a parameter that is no whole number from `least` on.

    Parameters
    ----------
    estimator : estimator
    name : str
        Of the parameter.
    least : int
    *others : str or None
        What it may be as well.
    """
    value = getattr(estimator, name)
    if any(value is one or (isinstance(value, str) and value == one) for one in others):
        return
    is_whole = isinstance(value, numbers.Integral) and not _is_flag(value)
    if not is_whole or value < least:
        allowed = "".join(f" or {one!r}" for one in others)
        raise ValueError(
            f"{name} must be a whole number, {least} or more{',' * bool(allowed)}"
            f"{allowed}; got {value!r}"
        )


def check_flags(estimator: Any, *names: str) -> None:
    """Refuse parameters that are neither True nor False."""
    for name in names:
        value = getattr(estimator, name)
        if not _is_flag(value):
            raise ValueError(f"{name} must be True or False; got {value!r}")


def is_number(value: Any) -> bool:
    """Say whether a value is a number, which True and False are not meant as."""
    return isinstance(value, numbers.Real) and not _is_flag(value)


def _is_flag(value):
    return isinstance(value, bool | np.bool_)


def check_different_names(X: Any) -> None:
    """Refuse a DataFrame of which several columns have one name."""
    if not isinstance(X, pd.DataFrame) or not X.columns.has_duplicates:
        return
    places: dict[Any, list[int]] = {}
    for place, name in enumerate(X.columns):
        places.setdefault(name, []).append(place)
    twice = {name: at for name, at in places.items() if len(at) > 1}
    told = "; ".join(
        f"{name!r} names columns {', '.join(map(str, at[:-1]))} and {at[-1]}"
        for name, at in list(twice.items())[:_MOST_NAMED]
    )
    more = "; ..." if len(twice) > _MOST_NAMED else ""
    raise ValueError(
        f"each column needs a name of its own; {told}{more}: rename them, or keep the "
        "first of each with X.loc[:, ~X.columns.duplicated()]"
    )


def check_length(name: str, values: Any, X: np.ndarray) -> None:
    """Refuse what has not one entry per video."""
    if len(values) != len(X):
        raise ValueError(
            f"{name} must have one entry per video; got {len(values)} for {len(X)} "
            "videos"
        )


def checked_weight(sample_weight: Any, X: np.ndarray) -> np.ndarray:
    """Return the weight of each video, 1 where none is given."""
    if sample_weight is None:
        return np.ones(len(X))
    weight = np.asarray(sample_weight, dtype=float)
    if weight.ndim != 1:
        raise ValueError(
            f"sample_weight must have shape ({len(X)},); got {weight.shape}"
        )
    check_length("sample_weight", weight, X)
    bad = np.flatnonzero(~((weight >= 0) & (weight < np.inf)))
    if bad.size:
        raise ValueError(
            f"sample_weight must be >= 0 and finite; got {weight[bad[0]]} at row "
            f"{bad[0]}"
        )
    if not weight.any():
        raise ValueError("sample_weight is zero for all videos; give some a weight > 0")
    return weight


def warn_of_tiny_weights(weight: np.ndarray, codes: np.ndarray | None) -> None:
    """Warn of weights that cannot be meant as counts of videos.

    Parameters
    ----------
    weight : ndarray of shape (n_videos,)
    codes : int ndarray of shape (n_videos,) or None
        Of the groups. Weights that make each group count once are as good as counts.
    """
    counted = weight > 0
    n_videos = int(counted.sum())
    n_units = n_videos if codes is None else len(np.unique(codes[counted]))
    total = weight.sum()
    if total >= min(n_units, max(2, _FAR_BELOW * n_units)):
        return
    warnings.warn(
        f"sample_weight sums to {total:.3g} for {n_videos} videos. A weight counts how "
        f"often a video is there, so that all of them count as {total:.3g}, from which "
        "next to nothing is learned: P(fake) stays about where it starts. For weights "
        "that are shares, give sample_weight / sample_weight.mean()",
        DeepfakeEnsembleWarning,
        stacklevel=level_of_the_user(),
    )


def check_both_classes(is_fake: np.ndarray, used: np.ndarray) -> None:
    """Refuse training rows of one class; `used` says which rows are some."""
    n_fake, n_used = int(is_fake[used].sum()), int(used.sum())
    if not 0 < n_fake < n_used:
        raise ValueError(
            "both classes need videos with a score and a weight above 0; got "
            f"{n_used - n_fake} real and {n_fake} fake of {len(used)} videos"
        )


def check_columns(fitted: Any, X: Any, name: str = "combiner") -> None:
    """Refuse columns of one name, or in another order than those of the fit.

    scikit-learn names renamed ones itself.

    Parameters
    ----------
    fitted : Combiner or ScorePipeline
    X : DataFrame of shape (n_videos, n_detectors) or anything
    name : str, default="combiner"
        What the message calls it.
    """
    check_different_names(X)
    expected = getattr(fitted, "feature_names_in_", None)
    if expected is None or not isinstance(X, pd.DataFrame):
        return
    got = list(X.columns)
    if got != list(expected) and sorted(map(str, got)) == sorted(expected):
        place = next(j for j, name in enumerate(got) if name != expected[j])
        raise ValueError(
            "Feature names must be in the same order as they were in fit.\n"
            f"Expected {expected[place]!r} in column {place}, got {got[place]!r}; "
            f"reorder with X[{name}.feature_names_in_]"
        )
