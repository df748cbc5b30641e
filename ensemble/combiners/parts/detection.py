"""``scale="detect"``: each column of a table brought to where P(fake) is, 0 to 1.

A column whose training values all lie in [0, 1] stays as it is. Of another, a value x
becomes expit((x - mean) / spread), or, where it is heavy-tailed, its mid-rank among the
training values: the first leaves a log-likelihood ratio a log-likelihood ratio, the
second is not squeezed to a point by one far-off value. Labels play no part in it. It is
decided once, on all training rows: combiners inside of another one see what it made.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np
from scipy.special import expit, logit

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.combiners.parts.scales import rank_knots
from ensemble.scores.looks import (
    ANY_SCALE,
    HEAVY_TAILED,
    NEARLY,
    NO_SCORE,
    P_FAKE,
    distribution,
    looks_of,
)

DETECT = "detect"
P_FAKE_SCALES = ("probability", "log_odds")
_MOST_NAMED = 5

# What becomes of each column of a table: None where it stays as it is.
Maps = list[dict[str, Any] | None]


def fit_maps(scores: np.ndarray, weight: np.ndarray, looks: Sequence[str]) -> Maps:
    """Learn how to bring columns to where P(fake) is.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_columns)
        NaN where missing.
    weight : ndarray of shape (n_videos,)
        Above 0.
    looks : sequence of str
        What to take each column for: see `ensemble.scores.looks.looks_of`.

    Returns
    -------
    maps : list of dict or None
        One a column; None for one that stays as it is.
    """
    maps: Maps = []
    for column, look in zip(scores.T, looks, strict=True):
        if look in (P_FAKE, NO_SCORE):
            maps.append(None)
        elif look == HEAVY_TAILED:
            values, ranks = rank_knots(distribution(column, weight))
            maps.append({"name": "rank", "values": values, "ranks": ranks})
        else:
            mean, spread = distribution(column, weight).mean_and_spread()
            maps.append({"name": "standard", "mean": mean, "spread": spread})
    return maps


def to_p_fake(maps: Maps | None, scores: np.ndarray) -> np.ndarray:
    """Bring the columns of a table to where P(fake) is.

    Parameters
    ----------
    maps : list of dict or None
        From `fit_maps`; None leaves all columns as they are.
    scores : ndarray of shape (n_videos, n_columns)

    Returns
    -------
    mapped : ndarray of shape (n_videos, n_columns)
        Rising in the scores, NaN where missing.
    """
    return _mapped(maps, scores, _forth)


def from_p_fake(maps: Maps | None, mapped: np.ndarray) -> np.ndarray:
    """Return scores as they would stand in the table: the reverse of `to_p_fake`."""
    return _mapped(maps, mapped, _back)


def mapped_offsets(maps: Maps, mapped: np.ndarray, offsets: np.ndarray) -> Any:
    """Return how far offsets of the table's scores move a middling mapped one.

    Parameters
    ----------
    maps : list of dict or None
    mapped : ndarray of shape (n_videos, n_columns)
        From `to_p_fake`.
    offsets : ndarray of shape (n_columns,)

    Returns
    -------
    offsets : ndarray of shape (n_columns,)
    """
    moved = offsets.copy()
    for place, how in enumerate(maps):
        if how is not None:
            middle = np.nanmean(mapped[:, place])
            moved[place] = _forth(how, _back(how, middle) + offsets[place]) - middle
    return moved


def looks_for(
    scale: str, scores: np.ndarray, columns: np.ndarray, weight: np.ndarray
) -> list[str]:
    """Say what to take each column for: what it looks like, or what a scale says.

    Parameters
    ----------
    scale : {"detect", "standard", "rank"}
    scores : ndarray of shape (n_videos, n_columns)
    columns : int ndarray
        Those that hold scores.
    weight : ndarray of shape (n_videos,)

    Returns
    -------
    looks : list of str
        One a column; "no score" for the others.
    """
    looks = looks_of(scores, weight)
    taken_for = {"standard": ANY_SCALE, "rank": HEAVY_TAILED}.get(scale)
    for place, look in enumerate(looks):
        if place not in columns:
            looks[place] = NO_SCORE
        elif taken_for is not None and look != NO_SCORE:
            looks[place] = taken_for
    return looks


def warn_of_other_scales(
    scores: np.ndarray, looks: Sequence[str], names: Sequence[Any]
) -> None:
    """Name the columns that are no P(fake), and what becomes of them."""
    parts = []
    for look, done in (
        (ANY_SCALE, "standardised"),
        (HEAVY_TAILED, "ranked, as heavy-tailed"),
    ):
        places = [place for place, one in enumerate(looks) if one == look]
        if places:
            parts.append(f"{_with_ranges(scores, places, names)}: {done}")
    if parts:
        warnings.warn(
            f"columns with values outside 0 to 1 are taken for scores on scales of "
            f"their own, higher meaning fake: {'; '.join(parts)}; rescale them, or set "
            "scale, to decide for yourself",
            DeepfakeEnsembleWarning,
            stacklevel=level_of_the_user(),
        )


def check_p_fake(
    scores: np.ndarray, columns: np.ndarray, scale: str, names: Sequence[Any]
) -> None:
    """Refuse training scores that are no P(fake) where a scale expects it.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_columns)
    columns : int ndarray
        Those that hold scores.
    scale : {"probability", "log_odds"}
    names : sequence
        Of all columns.

    Raises
    ------
    ValueError
        Naming the columns, their values, and what to do.
    """
    if _all_within(scores):
        return
    outside = _is_outside(scores).any(axis=0)
    places = [place for place in columns if outside[place]]
    if places:
        raise ValueError(
            f'with scale="{scale}" scores must be P(fake), 0 to 1, or NaN; got '
            f'{_with_ranges(scores, places, names)}; use scale="detect", which '
            'brings each such column to 0 to 1, or scale="rank" or "standard", or '
            "rescale them"
        )


def clip_rounding(scores: np.ndarray, columns: np.ndarray, maps: Maps) -> np.ndarray:
    """Clip P(fake) that is outside [0, 1] by rounding; columns with a map stay."""
    if _all_within(scores):
        return scores
    scores = scores.copy()
    for place in columns:
        if maps[place] is None:
            scores[:, place] = np.clip(scores[:, place], 0, 1)
    return scores


def without_outside(
    scores: np.ndarray,
    used: np.ndarray,
    maps: Maps | None,
    names: Sequence[Any],
) -> np.ndarray:
    """Take scores outside [0, 1] for missing where P(fake) is expected, with a warning.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_columns)
    used : int ndarray
        The columns that are scores and had some in training.
    maps : list of dict or None
        From `fit_maps`: a column without a map is P(fake).
    names : sequence
        Of all columns.

    Returns
    -------
    scores : ndarray of shape (n_videos, n_columns)
    """
    if _all_within(scores):
        return scores
    expected = np.zeros(scores.shape[1], bool)
    expected[[j for j in used if maps is None or maps[j] is None]] = True
    outside = _is_outside(scores) & expected
    cleaned = np.where(expected, np.clip(scores, 0, 1), scores)
    cleaned[outside] = np.nan
    if outside.any():
        places = np.flatnonzero(outside.any(axis=0))
        ranges = _with_ranges(np.where(outside, scores, np.nan), places, names)
        scored = ~np.isnan(cleaned[:, used]).all(axis=1)
        lost = int((outside.any(axis=1) & ~scored).sum())
        warnings.warn(
            f"{int(outside.sum())} scores outside 0 to 1 count as missing, in columns "
            f"that were P(fake) in training: {ranges}"
            + (f"; {lost} videos have no other score and get NaN" if lost else ""),
            DeepfakeEnsembleWarning,
            stacklevel=level_of_the_user(),
        )
    return cleaned


def level_of_the_user() -> int:
    """Return the stack level, of our caller's warning, of code that is not ours."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_ours(frame):
        frame, level = frame.f_back, level + 1
    return level


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("ensemble.")


def _mapped(
    maps: Maps | None, scores: np.ndarray, how: Callable[[Any, Any], Any]
) -> np.ndarray:
    if maps is None or all(one is None for one in maps):
        return scores
    scores = np.array(scores, dtype=float)
    for place, one in enumerate(maps):
        if one is not None:
            scores[..., place] = how(one, scores[..., place])
    return scores


def _forth(how: dict[str, Any], column: Any) -> Any:
    if how["name"] == "rank":
        return np.interp(column, how["values"], how["ranks"])  # NaN stays NaN
    return expit((column - how["mean"]) / how["spread"])


def _back(how: dict[str, Any], column: Any) -> Any:
    if how["name"] == "rank":
        return np.interp(column, how["ranks"], how["values"])
    return how["mean"] + how["spread"] * logit(column)


def _all_within(scores: np.ndarray) -> bool:
    low, high = np.fmin.reduce(scores, axis=None), np.fmax.reduce(scores, axis=None)
    return bool(np.isnan(low) or (low >= 0 and high <= 1))


def _is_outside(scores: np.ndarray) -> np.ndarray:
    return (scores < -NEARLY) | (scores > 1 + NEARLY)


def _with_ranges(
    scores: np.ndarray, places: Sequence[int] | np.ndarray, names: Sequence[Any]
) -> str:
    """Return columns and their ranges, such as ``a (-3 to 5.2), b (1 to 40)``."""
    named = [
        f"{names[place]} ({np.nanmin(scores[:, place]):.4g} to "
        f"{np.nanmax(scores[:, place]):.4g})"
        for place in places[:_MOST_NAMED]
    ]
    more = len(places) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
