"""Where a combiner has seen scores, and what becomes of those beyond.

A slope that was learned on scores between 0.4999 and 0.5001 says nothing of a score of
0.51: a network that is fitted once more on all videos, or a camera of another make, may
move every score that far. Scores beyond those of `fit` therefore count as little more
than the outermost of them. They keep their order.
"""

import numpy as np


def fit_reach(scores, weight):
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
    here = np.where(np.isnan(scores), 0.0, weight[:, None])
    known = np.nan_to_num(scores)
    total = here.sum(axis=0)
    mean = (here * known).sum(axis=0) / total
    variance = (here * (known - mean) ** 2).sum(axis=0) / total
    return {
        "low": np.nanmin(scores, axis=0),
        "high": np.nanmax(scores, axis=0),
        "spread": np.sqrt(variance),
    }


def within_reach(reach, scores):
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
