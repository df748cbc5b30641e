"""Venn-Abers calibration, for all scores at once."""

import numpy as np
from numpy.typing import NDArray


def fit_venn_abers(score: NDArray, is_fake: NDArray, weight: NDArray) -> dict:
    """Return the scores, sorted, with p0 and p1 of each: see `Calibrator`.

    Parameters
    ----------
    score, is_fake, weight : ndarray of shape (n_videos,)

    Returns
    -------
    parameters : dict of str to ndarray of shape (n_different_scores,)
    """
    scores, place = np.unique(score, return_inverse=True)
    total = np.bincount(place, weight)
    fakes = np.bincount(place, weight * is_fake)
    mirrored = _with_one_more_fake(total[::-1], (total - fakes)[::-1])
    return {
        "scores": scores,
        "p0": 1 - mirrored[::-1],
        "p1": _with_one_more_fake(total, fakes),
    }


def venn_abers_interval(parameters: dict, score: NDArray) -> NDArray:
    """Return P(fake) of each video, were it one of the training videos.

    Parameters
    ----------
    parameters : dict
        From `fit_venn_abers`.
    score : ndarray of shape (n_videos,)

    Returns
    -------
    interval : ndarray of shape (n_videos, 2)
        Were it a real one, and a fake one; NaN where `score` is.
    """
    p0 = np.append(0.0, parameters["p0"])
    p1 = np.append(parameters["p1"], 1.0)
    interval = np.column_stack(
        [
            p0[np.searchsorted(parameters["scores"], score, side="right")],
            p1[np.searchsorted(parameters["scores"], score, side="left")],
        ]
    )
    interval[np.isnan(score)] = np.nan
    return interval


def _with_one_more_fake(total, fakes):
    """Return isotonic regression at each score, had it one fake more.

    Isotonic regression is the slope of the greatest convex minorant of the points
    (videos so far, fakes so far). The further fake is a step (1, 1) that wanders along
    these points; of the minorant only the part to its right is kept, as a stack of
    corners with the leftmost on top.

    Parameters
    ----------
    total, fakes : ndarray of shape (n_scores,)
        Weight of all videos and of the fakes with each score, lowest score first.

    Returns
    -------
    values : ndarray of shape (n_scores,)
    """
    x = [-1.0, 0.0, *np.cumsum(total).tolist()]
    y = [-1.0, 0.0, *np.cumsum(fakes).tolist()]
    corners = []
    for point in reversed(list(zip(x, y, strict=True))):
        _add_on_the_left(corners, point)
    values = []
    for i in range(2, len(x)):
        (x0, y0), (x1, y1) = corners[-1], corners[-2]
        values.append((y1 - y0) / (x1 - x0))
        # The fake moves past the next score: the point between them lies elsewhere.
        x[i - 1] = x[i - 2] + x[i] - x[i - 1]
        y[i - 1] = y[i - 2] + y[i] - y[i - 1]
        if _turn((x0, y0), (x[i - 1], y[i - 1]), (x1, y1)) > 0:  # below the minorant
            corners.pop()
            _add_on_the_left(corners, (x[i - 1], y[i - 1]))
    return np.clip(values, 0, 1)


def _add_on_the_left(corners, point):
    while len(corners) > 1 and _turn(point, corners[-1], corners[-2]) <= 0:
        corners.pop()
    corners.append(point)


def _turn(first, second, third):
    """Return a number above 0 where the way over three points turns left."""
    return (second[0] - first[0]) * (third[1] - second[1]) - (second[1] - first[1]) * (
        third[0] - second[0]
    )
