"""How sure P(fake) is: its calibration over draws of whole groups.

Of the videos that a rule gives one combined score some share is fake; the calibration
estimates it from the out-of-fold scores. Other videos would have given another
estimate. How far it may be off is measured by drawing the groups again and calibrating
anew, and kept as a band over all scores, so that a row costs one interpolation.

Venn-Abers gives two probabilities of which one is calibrated: its width tells how much
one video more would change, and not how far both are from the truth; groups it does not
know. That is why it is a method of calibration here, and no interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensemble.calibration.calibrator import Calibrator

FEWEST_GROUPS = 5  # of each class; of fewer the draws are all alike
# Draws of staircases cover the truth in 3 of 4 simulations that ask for 95 %.
_DRAWN_BY = {"isotonic": "beta", "venn_abers": "beta"}
_CLIP = 1e-12
_MOST_ROWS = 5000  # of more rows those of like score are drawn together
_N_BINS = 1000
_N_QUANTILES = 201
_N_EVEN = 57


def fit_band(
    score: NDArray,
    is_fake: NDArray,
    weight: NDArray,
    groups: NDArray | None,
    method: str,
    level: float,
    n_boot: int,
    random_state: np.random.RandomState,
) -> dict[str, Any]:
    """Draw groups, calibrate on each draw, and keep the band of the outcomes.

    Parameters
    ----------
    score : ndarray of shape (n_videos,)
        Combined out-of-fold scores, without NaN.
    is_fake, weight : ndarray of shape (n_videos,)
    groups : int ndarray of shape (n_videos,) or None
        Codes from 0. None where each video is its own group; then a weight is the
        number of videos that a row stands for.
    method : str
        Of `Calibrator`. In the place of staircases, whose draws jump together, a "beta"
        curve is drawn.
    level : float
        Share of the draws within the band.
    n_boot : int
        Number of draws.
    random_state : RandomState

    Returns
    -------
    band : dict of str to ndarray
        ``log_odds`` of combined scores, rising, with ``lower`` and ``upper``; all of
        [0, 1] where a class has fewer than five groups.
    """
    method = _DRAWN_BY.get(method, method)
    grid = _grid(score)
    ends = {"lower": np.zeros(len(grid)), "upper": np.ones(len(grid))}
    n_of_class = [
        weight[is_fake == label].sum()
        if groups is None
        else len(np.unique(groups[is_fake == label]))
        for label in (0, 1)
    ]
    if min(n_of_class) >= FEWEST_GROUPS:
        cell, score, is_fake, codes = _cells(score, is_fake, weight, groups)
        draw = _drawn(cell, weight, groups, random_state)
        outcomes = []
        for _ in range(n_boot):
            times = draw()
            here = np.flatnonzero(times)
            if not 0 < is_fake[here].sum() < len(here):
                continue  # no calibration of one class
            known = None if codes is None else codes[here]
            calibrator = Calibrator(method)
            calibrator.fit(score[here], is_fake[here], times[here], known)
            outcomes.append(calibrator(grid))
        if len(outcomes) > n_boot / 2:
            tail = (1 - level) / 2
            lower, upper = np.quantile(outcomes, [tail, 1 - tail], axis=0)
            # calibration rises, and so does every quantile but for rounding
            ends = {
                "lower": np.maximum.accumulate(lower),
                "upper": np.maximum.accumulate(upper),
            }
    return {"log_odds": _log_odds(grid), **ends}


def interval_at(band: dict[str, Any], score: NDArray, p_fake: NDArray) -> NDArray:
    """Return the interval of each video's P(fake).

    Parameters
    ----------
    band : dict
        From `fit_band`.
    score : ndarray of shape (n_videos,)
        Combined scores.
    p_fake : ndarray of shape (n_videos,)
        Calibrated, which the interval always holds.

    Returns
    -------
    interval : ndarray of shape (n_videos, 2)
        NaN where there is no score.
    """
    at = _log_odds(score)
    lower, upper = (
        np.interp(at, band["log_odds"], band[end]) for end in ("lower", "upper")
    )
    interval = np.column_stack([np.minimum(lower, p_fake), np.maximum(upper, p_fake)])
    interval[np.isnan(score)] = np.nan
    return interval


def _drawn(cell, weight, groups, random_state):
    """Return what draws groups, or videos, and gives the weight of each cell."""
    if groups is None:
        of_cell = np.bincount(cell, weight)
        n_videos, shares = round(of_cell.sum()), of_cell / of_cell.sum()
        return lambda: random_state.multinomial(n_videos, shares).astype(float)
    n_groups = int(groups.max()) + 1

    def draw():
        drawn = random_state.randint(n_groups, size=n_groups)
        times = np.bincount(drawn, minlength=n_groups)[groups] * weight
        return np.bincount(cell, times)

    return draw


def _grid(score):
    """Return scores to remember the band at: where the data are, and beyond."""
    quantiles = np.quantile(score, np.linspace(0, 1, _N_QUANTILES))
    end = np.log(1 / _CLIP - 1)
    even = 1 / (1 + np.exp(-np.linspace(-end, end, _N_EVEN)))
    return np.unique(np.clip(np.concatenate([quantiles, even]), _CLIP, 1 - _CLIP))


def _cells(score, is_fake, weight, groups):
    """Return the cell of each row, and score, label and group of the cells.

    A row is its own cell; where rows are many, those of a class with nearly the same
    score share one, which has no group.
    """
    if len(score) <= _MOST_ROWS:
        return np.arange(len(score)), score, is_fake, groups
    edges = np.unique(np.quantile(score, np.linspace(0, 1, _N_BINS + 1)))
    which = 2 * np.searchsorted(edges, score) + is_fake
    cell = np.unique(which, return_inverse=True)[1]
    total = np.bincount(cell, weight)
    mean = np.bincount(cell, weight * score) / total
    is_fake = (np.bincount(cell, is_fake) > 0).astype(int)
    return cell, np.clip(mean, 0, 1), is_fake, None


def _log_odds(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.log(score) - np.log1p(-score)
