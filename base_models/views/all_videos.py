"""Makes the views of many videos ahead of their use: here, or on workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from base_models.runtime.clusters.given_up import give_up_video
from base_models.runtime.parallel import runs_elsewhere
from base_models.runtime.scheduling import run_each
from base_models.store.store import Store
from base_models.video.hashing import work_of
from base_models.video.one_face import whole_video
from base_models.video.paths import findable, hashed_once, known_digests
from base_models.views.making import iter_views, make_views
from base_models.views.spec import ViewRecipe


def keep_views(
    videos: Sequence[Any],
    recipes: Iterable[ViewRecipe],
    store: Store,
    n_jobs: int | None = None,
) -> Iterator[tuple[int, list[str]]]:
    """Have the views of videos in the store, and say of each video what it lacks.

    Where joblib is set to a cluster, workers open the videos, the longest first; arrays
    stay here. Elsewhere threads of this process do.

    Parameters
    ----------
    videos : sequence
        Paths, arrays, or faces of either.
    recipes, store
        As for `base_models.views.make_views`.
    n_jobs : int or None, default=None
        As joblib counts; with 1 all is done here.

    Yields
    ------
    number : int
        Of the video, from 0; on a cluster in any order.
    reasons : list of str
        Why views cannot be made, sorted.

    Examples
    --------
    >>> import tempfile
    >>> from base_models import Store
    >>> from base_models.views import ViewRecipe
    >>> videos = [np.zeros((8, 48, 64, 3), np.uint8), "absent.mp4"]
    >>> recipe = ViewRecipe("frame", image_size=32, n_frames=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     list(keep_views(videos, [recipe], Store(folder)))
    [(0, []), (1, ['No such file or directory'])]
    """
    recipes = list(recipes)
    if not runs_elsewhere(n_jobs):
        for number, views in enumerate(iter_views(list(videos), recipes, store)):
            yield number, _reasons(views)
        return
    is_array = [isinstance(whole_video(video), np.ndarray) for video in videos]
    here = np.flatnonzero(is_array)
    for number, views in zip(
        here, iter_views([videos[n] for n in here], recipes, store), strict=True
    ):
        yield int(number), _reasons(views)
    there = np.flatnonzero(~np.array(is_array, bool))
    sent = findable(videos[number] for number in there)
    tasks = list(zip(sent, known_digests(sent), strict=True))
    for place, reasons in run_each(
        look_at, tasks, work_of(sent), n_jobs, (recipes, store), _given_up
    ):
        yield int(there[place]), reasons


def _given_up(task, reason):
    """Return the reason of a video that ends workers, and have it left alone."""
    give_up_video(whole_video(task[0]), reason)
    return [reason]


def look_at(
    video: Any, known: Any, recipes: Sequence[ViewRecipe], store: Store
) -> list[str]:
    """Keep the views of one video and return why some cannot be made, sorted."""
    with hashed_once([video], [known]):
        return _reasons(make_views(video, recipes, store))


def _reasons(views):
    return sorted({view.reason for view in views.values() if view.reason})
