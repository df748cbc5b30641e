"""Pools scores over the faces of a video, so that a row is about the same face.

Members look at one face of a video, as a rule the largest. Where several faces of like
size are there, each is scored by itself: all members' scores of a face are set side by
side, and only then are faces pooled, so that the row that a combiner gets is about the
same face in every column.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from ensemble.choices import FACES_POOLINGS
from ensemble.out_of_fold.fitting import FitSettings, OutOfFold, fit_over_splits
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.scores.provenance import stated

_HELD = 1e-6  # from 0 and 1, so that log-odds are finite


def check_faces_pooling(how: str) -> None:
    """Refuse what is no way to pool over faces.

    Parameters
    ----------
    how : str
    """
    if how not in FACES_POOLINGS:
        raise ValueError(f"faces_pooling must be one of {FACES_POOLINGS}; got {how!r}")


def pool_faces(
    scores: np.ndarray, how: Literal["worst", "mean"]
) -> tuple[np.ndarray, int]:
    """Make one row of the scores of several faces.

    Parameters
    ----------
    scores : ndarray of shape (n_faces, n_detectors)
        P(fake), NaN where there is none.
    how : {"worst", "mean"}
        ``"worst"``: the row of the face whose mean of log-odds is highest.
        ``"mean"``: of each detector the mean of its log-odds.

    Returns
    -------
    row : ndarray of shape (n_detectors,)
    face : int
        Which face the row is of; 0 for the mean.

    Examples
    --------
    >>> scores = np.array([[0.2, 0.3], [0.9, 0.4]])
    >>> pool_faces(scores, "worst")
    (array([0.9, 0.4]), 1)
    >>> pool_faces(scores, "mean")[0].round(3)
    array([0.6  , 0.348])
    """
    known = ~np.isnan(scores)
    odds = np.where(known, logit(np.clip(scores, _HELD, 1 - _HELD)), 0)
    axis = 1 if how == "worst" else 0
    n_known = known.sum(axis=axis)
    means = np.where(n_known, odds.sum(axis=axis) / np.maximum(n_known, 1), np.nan)
    if how == "mean":
        return expit(means), 0
    face = 0 if np.isnan(means).all() else int(np.nanargmax(means))
    return scores[face], face


def fit_with_faces(
    named: list, training: TrainingSet, splits: list, how: str, settings: FitSettings
) -> OutOfFold:
    """Fit detectors over splits; score every face, and pool over the faces of a video.

    Detectors learn from the face that they choose themselves: of a fake video with two
    people nobody knows that both are fake. Every face of a test video is scored, as it
    will be in new videos, so that what is set on these scores holds for them.

    Parameters
    ----------
    named, training, splits, settings
        As for `ensemble.out_of_fold.fit_over_splits`.
    how : {"largest", "worst", "mean"}
        As for `DeepfakeEnsemble`.

    Returns
    -------
    OutOfFold
    """
    if how == "largest":
        return fit_over_splits(named, training, splits, settings)
    from base_models.scoring.several_faces import faces_of

    detectors = [detector for _, detector in named]
    _look_at_all(detectors, training.videos, settings)
    faces, owner = [], []
    for row, video in enumerate(training.videos):
        found = faces_of(video, detectors, settings.store)
        faces += found
        owner += [row] * len(found)
    owner, n_videos = np.array(owner, int), len(training)
    outcome = fit_over_splits(
        named,
        _extended(training, faces, owner),
        [
            (train, np.r_[test, n_videos + np.flatnonzero(np.isin(owner, test))])
            for train, test in splits
        ],
        replace(settings, n_trained=n_videos),
    )
    if outcome.failed:  # whose faces must not count: the others lie in the store
        left = [(name, one) for name, one in named if name not in outcome.failed]
        again = fit_with_faces(left, training, splits, how, settings)
        failed = outcome.failed | again.failed
        provenance = again.provenance | stated(failed_detectors=failed)
        return replace(again, provenance=provenance, failed=failed)
    scores, reasons = outcome.scores[:n_videos], outcome.reasons[:n_videos]
    steps = {name: found[:n_videos] for name, found in outcome.steps.items()}
    for row in np.unique(owner):
        for found in steps.values():
            found[row] = np.nan  # such a video is never settled early
        own = n_videos + np.flatnonzero(owner == row)
        scores[row], face = pool_faces(outcome.scores[own], how)
        reasons[row] = outcome.reasons[own[face]]
    provenance = outcome.provenance | stated(
        faces_pooling=how, several_faces=len(np.unique(owner))
    )
    return replace(
        outcome, scores=scores, reasons=reasons, provenance=provenance, steps=steps
    )


def _look_at_all(detectors, videos, settings):
    """Make all views once, ahead of their use; boxes of faces are kept with them."""
    from base_models.runtime.progress import progress_bar
    from base_models.store.store import resolve_store
    from base_models.views.all_videos import keep_views

    recipes = {
        recipe.key: recipe
        for detector in detectors
        if hasattr(detector, "view_recipes")
        for recipe in detector.view_recipes()
    }
    if not any(recipe.view == "face" for recipe in recipes.values()):
        return
    store = resolve_store(settings.store)
    kept = keep_views(videos, recipes.values(), store, settings.n_jobs)
    text = "looking at videos" if settings.verbose else None
    for _ in progress_bar(kept, text, len(videos)):
        pass  # they lie in the store


def _extended(training, faces, owner):
    """Add faces as rows of their own, each like the video that it is of."""
    from base_models.video.paths import video_digest, video_id

    rows = np.r_[np.arange(len(training)), owner]
    return replace(
        training,
        videos=[*training.videos, *faces],
        digests=[
            *training.digests,
            *(video_digest(face, in_full=True) for face in faces),
        ],
        ids=[*training.ids, *map(video_id, faces)],
        is_fake=training.is_fake[rows],
        groups=None if training.groups is None else training.groups[rows],
        weight=None if training.weight is None else training.weight[rows],
    )
