"""Where a combiner has seen scores, and what becomes of those beyond.

A slope that was learned on scores between 0.4999 and 0.5001 says nothing of a score of
0.51: a network that is fitted once more on all videos, or a camera of another make, may
move every score that far. Scores beyond those of `fit` therefore count as little more
than the outermost of them. They keep their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_CHUNK = 4096  # rows summed up at once, to stay in the processor's cache


def fit_reach(scores: np.ndarray, weight: np.ndarray) -> dict[Any, Any]:
    """Learn the range of each detector's training scores.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        NaN where missing; no column is all NaN.
    weight : ndarray of shape (n_videos,)
        Above 0.

    Returns
    -------
    reach : dict
        "low", "high" and "spread", the standard deviation, of each detector.

    Examples
    --------
    >>> reach = fit_reach(np.array([[0.0], [2.0]]), np.ones(2))
    >>> within_reach(reach, np.array([[1.5], [3.0], [50.0]])).round(2).ravel()
    array([1.5 , 2.5 , 2.98])
    """
    n_detectors = scores.shape[1]
    total, summed, squares = np.zeros((3, n_detectors))
    low, high = np.full(n_detectors, np.inf), np.full(n_detectors, -np.inf)
    # sums of squares of numbers near 0 round less
    origin = np.nan_to_num(np.fmin.reduce(scores[:_CHUNK]))
    for start in range(0, len(scores), _CHUNK):
        part, share = scores[start : start + _CHUNK], weight[start : start + _CHUNK]
        low = np.fmin(low, np.fmin.reduce(part))
        high = np.fmax(high, np.fmax.reduce(part))
        away = part - origin
        missing = np.isnan(away)
        if missing.any():
            away[missing] = 0.0
            total += share @ ~missing
        else:
            total += share.sum()
        summed += share @ away
        squares += share @ (away * away)
    variance = squares / total - (summed / total) ** 2
    spread = np.where(high > low, np.sqrt(np.maximum(variance, 0.0)), 0.0)
    return {"low": low, "high": high, "spread": spread}


def within_reach(reach: dict[Any, Any], scores: np.ndarray) -> np.ndarray:
    """Draw scores beyond the training range near to it: one spread beyond at most.

    Parameters
    ----------
    reach : dict
        From `fit_reach`.
    scores : ndarray of shape (n_videos, n_detectors)

    Returns
    -------
    drawn : ndarray of shape (n_videos, n_detectors)
        Rising in the scores; those in the range as they are, NaN where missing.
    """
    low, high = reach["low"], reach["high"]
    if not ((scores < low) | (scores > high)).any():
        return scores
    beyond = scores - np.clip(scores, low, high)
    spread = reach["spread"]
    with np.errstate(invalid="ignore"):
        drawn = beyond / (1 + np.abs(beyond) / np.where(spread > 0, spread, 1.0))
    return np.clip(scores, low, high) + np.where(spread > 0, drawn, 0.0)
