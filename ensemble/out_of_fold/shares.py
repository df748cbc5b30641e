"""How much each detector carries of what a combiner says, and who carries too little.

A score by detectors that carry next to nothing is no ground for a verdict. Rules on
tables of scores and ensembles of detectors both ask here.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from ensemble.combiners.parts.rows import Rows
from ensemble.combiners.voting import Voting

_MOST_ROWS = 250  # of each class
_SMALL = 0.02  # share of the whole, below which detectors decide nothing


def learned_shares(
    combiner: Any, table: pd.DataFrame | NDArray, rows: Rows
) -> NDArray | None:
    """Return the share of each detector in what a fitted combiner knows.

    It is how far the detector moves the log-odds of training videos, times how well its
    own scores tell fakes: 2 AUC - 1, less what chance gives. By the first alone noise
    would count that a forest has learned by heart, by the second alone detectors that
    the combiner ignores.

    Parameters
    ----------
    combiner : Combiner
        Fitted.
    table : DataFrame or ndarray of shape (n_videos, n_detectors)
        Scores of `rows`, in the order of the columns of the fit.
    rows : Rows
        Labels and weights.

    Returns
    -------
    shares : ndarray of shape (n_detectors,) or None
        They sum to 1. None for votes, which have weights and learn nothing else, and
        where no detector tells anything.
    """
    if isinstance(combiner, Voting):
        return None
    values = np.array(table, float)
    sample = np.concatenate(
        [_some(np.flatnonzero(rows.is_fake == label)) for label in (0, 1)]
    )
    # where scores are missing, the others weigh more: those of other videos stand in
    filled: Any = _without_gaps(values, rows.is_fake, sample)
    if isinstance(table, pd.DataFrame):
        filled = pd.DataFrame(filled, columns=table.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told in the fit
        moved = np.nan_to_num(np.asarray(combiner.contributions(filled)))
    moved = np.average(np.abs(moved), axis=0, weights=rows.weight[sample])
    parts = moved * [_skill(column, rows) for column in values.T]
    return parts / parts.sum() if parts.sum() > 0 else None


def without_ground(
    names: Sequence[str],
    present: NDArray,
    shares: ArrayLike | None,
    weights: ArrayLike | None,
) -> str:
    """Say that detectors carry too little for a verdict on their scores alone.

    Parameters
    ----------
    names : sequence of str
        Of all detectors.
    present : bool ndarray of shape (n_detectors,)
        Which of them have a score.
    shares : array-like of shape (n_detectors,) or None
        Of `learned_shares`.
    weights : array-like of shape (n_detectors,) or None
        The combiner's; they count where there are no shares.

    Returns
    -------
    str
        Empty where they carry enough, or nothing is known of it.

    Examples
    --------
    >>> without_ground(["a", "b"], np.array([False, True]), [0.99, 0.01], None)
    'only b has a score, and next to no weight'
    """
    parts = weights if shares is None else shares
    if parts is None:
        return ""
    parts = np.abs(np.asarray(parts, float))
    if parts[present].sum() > _SMALL * parts.sum():
        return ""
    listed = ", ".join(name for name, one in zip(names, present, strict=True) if one)
    has = "has" if present.sum() == 1 else "have"
    return f"only {listed} {has} a score, and next to no weight"


def share_of(
    present: NDArray, shares: ArrayLike | None, weights: ArrayLike | None
) -> float:
    """Return how much of what a combiner knows some of its detectors carry.

    Parameters
    ----------
    present : bool ndarray of shape (n_detectors,)
        Which of them.
    shares, weights : array-like of shape (n_detectors,) or None
        As for `without_ground`; without both all carry alike.

    Returns
    -------
    float

    Examples
    --------
    >>> share_of(np.array([True, False]), [0.25, 0.75], None)
    0.25
    """
    parts = weights if shares is None else shares
    parts = np.ones(len(present)) if parts is None else np.abs(np.asarray(parts, float))
    if not parts.sum() > 0:
        return float(np.mean(present))
    return float(parts[present].sum() / parts.sum())


def _skill(column, rows):
    """Return how well scores tell fakes, in either direction, beyond likely chance."""
    there = ~np.isnan(column)
    is_fake, weight = rows.is_fake[there], rows.weight[there]
    codes = (np.arange(len(rows)) if rows.groups is None else rows.groups)[there]
    n_real, n_fake = (len(np.unique(codes[is_fake == label])) for label in (0, 1))
    if not n_real or not n_fake:
        return 0.0
    auc = roc_auc_score(is_fake, column[there], sample_weight=weight)
    chance = np.sqrt((n_real + n_fake + 1) / (3 * n_real * n_fake))  # its deviation
    return max(abs(2 * auc - 1) - chance, 0.0)


def _some(places):
    """Return so many of these at most, evenly spread."""
    n = min(len(places), _MOST_ROWS)
    return places[np.linspace(0, len(places) - 1, n).astype(int)]


def _without_gaps(values, is_fake, sample):
    """Return some rows, each gap filled with the score of a row of the same class."""
    filled = values[sample]
    draw = np.random.RandomState(0)
    for label in (0, 1):
        for place, column in enumerate(values.T):
            known = column[(is_fake == label) & ~np.isnan(column)]
            gaps = (is_fake[sample] == label) & np.isnan(filled[:, place])
            if len(known):
                filled[gaps, place] = draw.choice(known, int(gaps.sum()))
    return filled
