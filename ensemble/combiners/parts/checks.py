"""Checks of what users give a combiner beside the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


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


def check_both_classes(is_fake: np.ndarray, used: np.ndarray) -> None:
    """Refuse training rows of one class; `used` says which rows are some."""
    n_fake, n_used = int(is_fake[used].sum()), int(used.sum())
    if not 0 < n_fake < n_used:
        raise ValueError(
            "both classes need videos with a score and a weight above 0; got "
            f"{n_used - n_fake} real and {n_fake} fake of {len(used)} videos"
        )


def check_same_order(combiner: Any, X: Any) -> None:
    """Name the first column out of place; scikit-learn names renamed ones itself."""
    expected = getattr(combiner, "feature_names_in_", None)
    if expected is None or not isinstance(X, pd.DataFrame):
        return
    got = list(X.columns)
    if got != list(expected) and sorted(map(str, got)) == sorted(expected):
        place = next(j for j, name in enumerate(got) if name != expected[j])
        raise ValueError(
            "Feature names must be in the same order as they were in fit.\n"
            f"Expected {expected[place]!r} in column {place}, got {got[place]!r}; "
            "reorder with X[combiner.feature_names_in_]"
        )
