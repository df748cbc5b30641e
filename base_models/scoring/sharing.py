"""Scores videos with detectors that share views, one video after another."""

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from base_models.inputs import Videos, as_videos
from base_models.runtime.failures import Failures
from base_models.runtime.progress import progress_bar
from base_models.store.in_use import store_in_use
from base_models.store.store import Store, resolve_store
from base_models.views.making import iter_views
from base_models.views.view import View

NO_SCORE = "it gave no score"


def score_sharing(
    detectors: Sequence[Any],
    videos: Videos,
    store: Store | str | PathLike | None = None,
    progress: str | None = None,
    noted: Sequence[Failures] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield scores and reasons of each video by detectors that share views.

    Parameters
    ----------
    detectors : sequence of VideoDetector
        Fitted; each has ``score_views``.
    videos, store, progress
        As for `base_models.score_videos`.
    noted : sequence of Failures or None, default=None
        Of looking at videos, and of each detector: errors are noted there, and whoever
        gave them checks. None raises an error that all videos have in common.

    Yields
    ------
    scores, reasons : ndarray of shape (n_detectors,)
    """
    store = resolve_store(store)
    looking, *failures = noted or [Failures() for _ in range(len(detectors) + 1)]
    for views in walk_videos(detectors, videos, store, progress):
        note_looking(looking, views)
        shared, scores, reasons = {}, [], []
        for detector, failed in zip(detectors, failures, strict=True):
            score, reason = score_shared(detector, views, shared, failed, store)
            scores.append(score)
            reasons.append(reason)
        yield np.array(scores, float), np.array(reasons, dtype=object)
    for each in () if noted else (looking, *failures):
        each.check()


def score_shared(
    detector: Any,
    views: dict[str, View],
    shared: dict,
    failed: Failures,
    store: Store,
) -> tuple[float, str]:
    """Score one video by one detector, from views that are made.

    Parameters
    ----------
    detector : VideoDetector
    views : dict of str to View
        From `walk_videos`.
    shared : dict
        What detectors leave for each other while one video is scored.
    failed : Failures
        Where the detector's error is noted.
    store : Store
        Where features are kept, if the detector names no store of its own.

    Returns
    -------
    score : float
    reason : str
    """
    try:
        with store_in_use(store):
            score, reason, _ = detector.score_views(views, shared)
    except Exception as error:
        return np.nan, failed.reason(error)
    if not np.isnan(score):
        failed.note(None)
        reason = reason or _note(detector, views)
    return score, reason


def note_looking(looking: Failures, views: dict[str, View]) -> None:
    """Note whether a video could be looked at.

    Parameters
    ----------
    looking : Failures
    views : dict of str to View
        Of one video.
    """
    errors = [view.error for view in views.values() if view.error is not None]
    if errors or views:
        looking.note(errors[0] if len(errors) == len(views) else None)


def walk_videos(
    detectors: Sequence | dict,
    videos: Videos,
    store: Store | str | PathLike | None = None,
    progress: str | None = None,
) -> Iterator[dict[str, View]]:
    """Yield the views of one video after another, all that the detectors need.

    Decoding and face finding for the next videos go on while networks run on this one.

    Parameters
    ----------
    detectors : sequence of VideoDetector
        Fitted.
    videos, store, progress
        As for `score_videos`.

    Yields
    ------
    dict of str to View
        By the recipes' keys.
    """
    store = resolve_store(store)
    videos = as_videos(videos)
    recipes = {r.key: r for d in detectors for r in d.view_recipes()}.values()
    made = iter_views(videos, recipes, store)
    yield from progress_bar(made, progress, len(videos))


def _note(detector, views):
    """What to know about the views that a detector looked at."""
    recipes = getattr(detector, "recipes_in_use", detector.view_recipes)()
    notes = (views[recipe.key].note for recipe in recipes)
    return "; ".join(dict.fromkeys(note for note in notes if note))
