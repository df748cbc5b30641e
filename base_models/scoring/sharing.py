"""Scores videos with detectors that share views, one video after another."""

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from base_models.inputs import Videos, as_videos
from base_models.runtime.failures import Failures
from base_models.runtime.progress import progress_bar
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
    looking, *failures = noted or [Failures() for _ in range(len(detectors) + 1)]
    for views in walk_videos(detectors, videos, store, progress):
        errors = [view.error for view in views.values() if view.error is not None]
        if errors or views:
            looking.note(errors[0] if len(errors) == len(views) else None)
        shared, scores, reasons = {}, [], []
        for detector, failed in zip(detectors, failures, strict=True):
            try:
                score, reason, _ = detector.score_views(views, shared)
            except Exception as error:
                score, reason = np.nan, failed.reason(error)
            else:
                if not np.isnan(score):
                    failed.note(None)
                    reason = reason or _note(detector, views)
            scores.append(score)
            reasons.append(reason)
        yield np.array(scores, float), np.array(reasons, dtype=object)
    for each in () if noted else (looking, *failures):
        each.check()


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
