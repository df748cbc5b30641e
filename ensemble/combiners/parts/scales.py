"""Scales on which scores are combined: probability, log-odds, rank, standard."""

from __future__ import annotations

from typing import Any

import numpy as np

from base_models.naming import did_you_mean
from ensemble.scores.looks import Distribution, distribution

# the value on each scale that speaks neither for real nor for fake
NEUTRAL = {"probability": 0.5, "log_odds": 0.0, "rank": 0.5, "standard": 0.0, None: 0.0}

_MAX_KNOTS = 1001
_CHUNK = 4096  # rows transformed at once, to stay in the processor's cache


def fit_scale(
    name: Any,
    scores: np.ndarray,
    columns: np.ndarray | slice,
    weight: np.ndarray,
    clip: float | None = None,
) -> dict[Any, Any]:
    """Learn what a scale needs from the training scores.

    Parameters
    ----------
    name : {"probability", "log_odds", "rank", "standard", None}
    scores : ndarray of shape (n_videos, n_detectors)
        NaN where missing.
    columns : int ndarray or slice
        The columns to take, in this order; none is all NaN.
    weight : ndarray of shape (n_videos,)
    clip : float or None
        For "log_odds": they are those of scores clipped to [clip, 1 - clip].

    Returns
    -------
    scale : dict
        Its "name", and what `to_scale` needs.
    """
    if name not in NEUTRAL:
        raise ValueError(
            f"unknown scale {name!r}; expected 'probability', 'log_odds', 'rank', "
            "'standard' or None" + did_you_mean(name, filter(None, NEUTRAL))
        )
    scale = {"name": name}
    if name == "log_odds":
        if not 0 < clip < 0.5:
            raise ValueError(f"clip must be between 0 and 0.5; got {clip!r}")
        scale["clip"] = float(clip)
    elif name == "rank":
        knots = [
            rank_knots(distribution(column, weight)) for column in scores[:, columns].T
        ]
        scale["values"] = [values for values, _ in knots]
        scale["ranks"] = [ranks for _, ranks in knots]
    elif name == "standard":
        scores = scores[:, columns]
        here = np.where(np.isnan(scores), 0.0, weight[:, None])
        total = here.sum(axis=0)
        filled = np.nan_to_num(scores)
        scale["mean"] = (here * filled).sum(axis=0) / total
        variance = (here * (filled - scale["mean"]) ** 2).sum(axis=0) / total
        scale["spread"] = np.where(variance > 0, np.sqrt(variance), 1.0)
    return scale


def to_scale(scale: Any, scores: Any, columns: Any) -> Any:
    """Bring some columns of scores of shape (n_videos, n_detectors) onto a scale."""
    if scale["name"] == "log_odds":
        log_odds = np.empty((len(scores), scores[:1, columns].shape[1]))
        for start in range(0, len(scores), _CHUNK):
            part = slice(start, start + _CHUNK)
            odds = np.clip(scores[part][:, columns], scale["clip"], 1 - scale["clip"])
            odds /= 1 - odds
            np.log(odds, out=log_odds[part])
        return log_odds
    scores = scores[:, columns]
    if scale["name"] == "rank":
        ranks = np.full(scores.shape, np.nan)
        for j, column in enumerate(scores.T):
            here = ~np.isnan(column)
            ranks[here, j] = np.interp(
                column[here], scale["values"][j], scale["ranks"][j]
            )
        return ranks
    if scale["name"] == "standard":
        return (scores - scale["mean"]) / scale["spread"]
    return scores


def neutral_scores(scale: dict[Any, Any]) -> float | np.ndarray:
    """Return the score, before it is brought onto a scale, that becomes neutral there.

    Parameters
    ----------
    scale : dict
        From `fit_scale`.

    Returns
    -------
    scores : float or ndarray of shape (n_detectors,)
    """
    if scale["name"] == "rank":
        return np.array(
            [
                np.interp(0.5, ranks, values)
                for ranks, values in zip(scale["ranks"], scale["values"], strict=True)
            ]
        )
    if scale["name"] == "standard":
        return scale["mean"]
    return 0.0 if scale["name"] is None else 0.5


def rank_knots(found: Distribution) -> tuple[np.ndarray, np.ndarray]:
    """Return a detector's training scores and their mid-ranks, 0 to 1.

    Parameters
    ----------
    found : Distribution

    Returns
    -------
    values, ranks : ndarray of shape (n_knots,)
        Of at most 1,001 scores; `numpy.interp` gives the others.
    """
    values, ranks = found.values, found.ranks()
    if len(values) > _MAX_KNOTS:
        kept = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _MAX_KNOTS))
        kept = np.unique(kept)
        values, ranks = values[kept], ranks[kept]
    return values, ranks
