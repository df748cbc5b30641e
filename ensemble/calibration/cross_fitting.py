"""Scores of a combiner on rows that it has not seen, and what is fitted on them."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from base_models.groups import group_codes
from base_models.inputs import encode_labels
from ensemble.calibration.calibrator import Calibrator
from ensemble.combiners.parts.rows import (
    Rows,
    canonical_columns,
    fold_codes,
    score_keys,
    stated_offsets,
)
from ensemble.combiners.stacking import as_combiner
from ensemble.combiners.super_learner.shift_folds import shift_codes, shift_splits
from ensemble.metrics.within_folds import folds_of_table
from ensemble.resampling.leak_check import folds_serve
from ensemble.resampling.splitters import StratifiedGroupFolds

_CLIP = 1e-6
_LEAST = 20  # rows that a line is drawn through


def cross_fitted_scores(
    combiner: Any,
    scores: ArrayLike | pd.DataFrame,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_folds: int = 5,
    random_state: Any = 0,
    shift: ArrayLike | None = None,
    aligned_to: Any = None,
) -> NDArray:
    """Score every training video by a combiner fitted on the other groups.

    These are the scores to fit a `Calibrator` on: a combiner is too sure of the rows it
    was fitted on.

    Parameters
    ----------
    combiner : Combiner, name or classifier
        Cloned for each fold, not fitted itself.
    scores : array-like or DataFrame of shape (n_videos, n_detectors)
        Out-of-fold scores.
    y : array-like of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None, default=None
        None keeps only rows of equal scores together.
    sample_weight : array-like of shape (n_videos,) or None, default=None
    n_folds : int, default=5
        Fewer are used where a class has fewer groups. Folds of the detectors that lie
        beside a score table are taken instead, where they keep groups whole: scores of
        one fold are then of one fit of every detector and of one combiner.
    random_state : int, RandomState or None, default=0
        Seed of the folds.
    shift : array-like of shape (n_videos,) or None, default=None
        What will be new in use, such as the method of a fake: folds hold out whole
        values of it, as those of `AutoCombiner.fit` do.
    aligned_to : Combiner or None, default=None
        Fitted on all rows: the log-odds of each fold's copy are brought onto its scale
        by a line. A copy that saw other sources and another share of fakes may be far
        surer, and a calibration learned from its scores is then wrong for the combiner
        in use. The line knows what that combiner scores, and no label.

    Returns
    -------
    score : ndarray of shape (n_videos,)
        P(fake); NaN where no detector has a score, or no fold could hold a row out.

    Examples
    --------
    >>> from ensemble.combiners import Voting
    >>> scores, y = [[0.9, 0.5], [0.1, 0.3], [0.8, 0.6], [0.2, 0.4]], [1, 0, 1, 0]
    >>> cross_fitted_scores(Voting("soft"), scores, y)
    array([0.7, 0.2, 0.7, 0.3])
    """
    return scored_apart(
        combiner,
        scores,
        y,
        groups,
        sample_weight,
        n_folds,
        random_state,
        shift,
        aligned_to,
    ).score


class CrossFit(NamedTuple):
    """Scores of a combiner on rows that it has not seen.

    Attributes
    ----------
    score : ndarray of shape (n_videos,)
        As `cross_fitted_scores` returns it.
    fold : int ndarray of shape (n_videos,) or None
        Which copy of the combiner scored a video: scores of different copies are of
        different scales, and an AUC over all of them reads below .5 where there is
        nothing to know. None where `shift` was held out: see there, `aligned_to`.
    """

    score: NDArray
    fold: NDArray | None


def scored_apart(
    combiner: Any,
    scores: ArrayLike | pd.DataFrame,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_folds: int = 5,
    random_state: Any = 0,
    shift: ArrayLike | None = None,
    aligned_to: Any = None,
) -> CrossFit:
    """Score every training video by a combiner fitted on the other groups.

    Parameters
    ----------
    combiner, scores, y, groups, sample_weight, n_folds, random_state, shift, aligned_to
        As for `cross_fitted_scores`.

    Returns
    -------
    CrossFit

    Examples
    --------
    >>> from ensemble.combiners import Voting
    >>> scores, y = [[0.9, 0.5], [0.1, 0.3], [0.8, 0.6], [0.2, 0.4]], [1, 0, 1, 0]
    >>> scored_apart(Voting("soft"), scores, y).fold
    array([1, 1, 0, 0])
    """
    values = np.asarray(scores, dtype=float)
    fake_label = getattr(combiner, "fake_label", None)
    _, is_fake = encode_labels(y, fake_label, strict=False)
    y = np.asarray(y).ravel()
    combiner = as_combiner(combiner, random_state)
    per_row = {"groups": groups, "sample_weight": sample_weight}
    per_row = {k: np.asarray(v) for k, v in per_row.items() if v is not None}
    if shift is None:
        fold = cross_fitting_folds(scores, is_fake, groups, n_folds, random_state)
        splits = [
            (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
            for number in range(fold.max() + 1)
        ]
    else:
        rows, _ = _grouped(values, is_fake, groups)
        fold, rows = None, replace(rows, shift=shift_codes(shift, len(values)))
        splits, _ = shift_splits(rows, n_folds, random_state)
    origin, offsets = fold_codes(scores), stated_offsets(scores)
    score = np.full(len(values), np.nan)
    for train, test in splits:
        if len(test) == 0:
            continue
        fitted = clone(combiner)
        # no advice on a part of the rows, whose scales it learns itself
        fitted._inside = (None if origin is None else origin[train], offsets, True)
        fitted.fit(
            _take(scores, train),
            y[train],
            **{name: entries[train] for name, entries in per_row.items()},
            **_shift_for(fitted, is_fake[train], shift, train),
        )
        held_out = _take(scores, test)
        score[test] = fitted.fake_score(held_out)
        if aligned_to is not None:
            score[test] = _aligned(score[test], aligned_to.fake_score(held_out))
    if shift is not None and len(set(is_fake[~np.isnan(score)].tolist())) < 2:
        raise ValueError(
            "shift and groups leave no folds in which both classes are held out and "
            "both are left to learn from; give fewer values of shift, groups that hold "
            "fewer of them, or no shift"
        )
    return CrossFit(score, fold)


def cross_fitting_folds(
    scores: ArrayLike | pd.DataFrame,
    is_fake: NDArray,
    groups: ArrayLike | None = None,
    n_folds: int = 5,
    random_state: Any = 0,
) -> NDArray:
    """Return the folds by which `scored_apart` fits the copies of a combiner.

    Parameters
    ----------
    scores, groups, n_folds, random_state
        As for `cross_fitted_scores`.
    is_fake : int ndarray of shape (n_videos,)

    Returns
    -------
    fold : int ndarray of shape (n_videos,)
        Those of the detectors, if they serve, or else drawn.

    Examples
    --------
    >>> is_fake = np.array([1, 0, 1, 0])
    >>> cross_fitting_folds([[0.9], [0.1], [0.8], [0.2]], is_fake, groups=[3, 3, 4, 4])
    array([1, 1, 0, 0])
    """
    rows, possible = _grouped(np.asarray(scores, dtype=float), is_fake, groups)
    of_table = folds_of_table(scores) if isinstance(scores, pd.DataFrame) else None
    if of_table is not None and folds_serve(of_table, rows.is_fake, rows.groups):
        return of_table
    fold = np.full(len(rows), -1)
    drawn = StratifiedGroupFolds(min(n_folds, possible), random_state)
    for number, (_, test) in enumerate(
        drawn.split(rows.scores, rows.is_fake, rows.groups)
    ):
        fold[test] = number
    return fold


def _grouped(values, is_fake, groups):
    """Return rows with their groups, and in how many the rarer class is; refuse one."""
    rows = Rows(values, is_fake, None, np.ones(len(values)))
    rows.scores = values[:, canonical_columns(rows)]
    apart = score_keys(rows.scores) if groups is None else groups
    rows = replace(rows, groups=group_codes(apart, len(values)))
    possible = min(
        len(np.unique(rows.groups[rows.is_fake == label])) for label in (0, 1)
    )
    if possible < 2:
        raise ValueError(
            "cross-fitting needs two groups or more with each class; the rarer class "
            "is in one: add videos of other groups, or go without calibration"
        )
    return rows, possible


def _aligned(score, reference):
    """Bring scores onto the scale of others of the same rows, in their own order."""
    known = ~np.isnan(score) & ~np.isnan(reference)
    own, other = (logit(np.clip(one, _CLIP, 1 - _CLIP)) for one in (score, reference))
    if known.sum() < _LEAST or np.ptp(own[known]) == 0:
        return score
    slope, intercept = np.polyfit(own[known], other[known], 1)
    return expit(intercept + slope * own) if slope > 0 else score


class CalibratedFit(NamedTuple):
    """A combiner, what calibrates it, and the scores that this was learned from.

    Attributes
    ----------
    combiner : Combiner
        Fitted on all rows.
    calibrator : Calibrator or None
        Fitted on `score`.
    score : ndarray of shape (n_videos,) or None
        Of each row by a combiner that had not seen its group, before calibration.
    fold : int ndarray of shape (n_videos,) or None, default=None
        Which copy of the combiner that was; see `CrossFit`.
    """

    combiner: Any
    calibrator: Calibrator | None
    score: NDArray | None
    fold: NDArray | None = None


def fit_calibrated(
    unfitted: Any,
    scores: ArrayLike | pd.DataFrame,
    is_fake: NDArray,
    calibration: str | None,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    cross_fit: bool = False,
    shift: ArrayLike | None = None,
) -> CalibratedFit:
    """Fit a combiner on all rows, and its calibration on scores of unseen groups.

    Parameters
    ----------
    unfitted : Combiner
        It is fitted itself; copies of it score the rows.
    scores : array-like or DataFrame of shape (n_videos, n_detectors)
        Out-of-fold scores, each row with one at least.
    is_fake : int ndarray of shape (n_videos,)
    calibration : str or None
        A method of `Calibrator`; None goes without.
    groups, sample_weight : array-like of shape (n_videos,) or None, default=None
    cross_fit : bool, default=False
        Whether the scores are wanted without a calibration as well.
    shift : array-like of shape (n_videos,) or None, default=None
        As for `cross_fitted_scores`; the combiner gets it where it folds by it itself.

    Returns
    -------
    CalibratedFit

    Examples
    --------
    >>> from ensemble.combiners import Voting
    >>> scores, y = [[0.9, 0.5], [0.1, 0.3], [0.8, 0.6], [0.2, 0.4]], [1, 0, 1, 0]
    >>> fit_calibrated(Voting("soft"), scores, y, None, cross_fit=True).score
    array([0.7, 0.2, 0.7, 0.3])
    """
    beside = {"groups": groups, "sample_weight": sample_weight}
    rows = np.arange(len(is_fake))
    of_shift = _shift_for(unfitted, is_fake, shift, rows)
    fitted = unfitted.fit(scores, is_fake, **beside, **of_shift)
    if calibration is None and not cross_fit:
        return CalibratedFit(fitted, None, None)
    score, fold = scored_apart(
        fitted,
        scores,
        is_fake,
        **beside,
        shift=shift,
        aligned_to=None if shift is None else fitted,
    )
    if calibration is None:
        return CalibratedFit(fitted, None, score, fold)
    calibrator = Calibrator(calibration)
    calibrator.fit(score, is_fake, sample_weight, groups)
    return CalibratedFit(fitted, calibrator, score, fold)


def _shift_for(combiner, is_fake, shift, rows):
    """Return what a combiner gets of shift: nothing if it could not fold by it."""
    if shift is None or not has_fit_parameter(combiner, "shift"):
        return {}
    shift = np.asarray(shift)[rows]
    several = [len(np.unique(shift[is_fake == label])) > 1 for label in (0, 1)]
    return {"shift": shift} if any(several) else {}


def _take(scores, rows):
    return scores.iloc[rows] if hasattr(scores, "iloc") else np.asarray(scores)[rows]
