"""Scores videos on the workers of a cluster, to which the networks travel once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np

from base_models.runtime.clusters.given_up import give_up_video
from base_models.runtime.clusters.sending import Shared
from base_models.runtime.devices import uses_gpu
from base_models.runtime.failures import Failures
from base_models.runtime.parallel import n_jobs_here, run_tasks, shares_arguments
from base_models.runtime.progress import progress_bar
from base_models.runtime.scheduling import longest_first
from base_models.scoring.sharing import NO_SCORE, score_sharing
from base_models.store.store import Store, resolve_store
from base_models.video.hashing import work_of
from base_models.video.one_face import whole_video
from base_models.video.paths import findable

_MOST = 8  # videos in a task: what a worker that dies has to do again
_TASKS = 4  # at least, for each that runs at once
_AHEAD = 16  # parts for each, among which the longest is begun first


def goes_to_workers(named: Sequence[tuple[str, Any]], videos: Sequence[Any]) -> bool:
    """Return whether workers of a cluster score videos, and not this process.

    Parameters
    ----------
    named : sequence of (name, detector)
        Those of other packages are asked here, of all videos at once.
    videos : sequence
        Arrays stay here: only files can be read where they are scored.

    Examples
    --------
    >>> from base_models.scoring.on_workers import goes_to_workers
    >>> goes_to_workers([], ["a.mp4"])  # joblib is set to this machine
    False
    """
    return (
        shares_arguments()
        and all(hasattr(detector, "score_views") for _, detector in named)
        and not any(isinstance(whole_video(video), np.ndarray) for video in videos)
    )


def score_on_workers(
    named: Sequence[tuple[str, Any]],
    videos: Sequence[Any],
    store: Store | str | PathLike | None = None,
    progress: str | None = None,
    after: Callable[..., Any] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, Any]]:
    """Score videos on a cluster; the scores are those of one process, bit for bit.

    Parameters
    ----------
    named, videos
        Of which `goes_to_workers` is true.
    store, progress
        As for `base_models.score_videos`. Views are kept as each video is scored.
    after : callable or None, default=None
        Called by the worker as ``after(named, video, store, scores, reasons)``; of a
        module.

    Yields
    ------
    scores : ndarray of shape (n_detectors,)
    reasons : ndarray of shape (n_detectors,), dtype object
    more : object
        What `after` returned.

    Raises
    ------
    Exception
        After the last video: what was raised for every one of them.
    """
    members, store = Shared(list(named)), resolve_store(store)
    sent = findable(videos)
    length = min(_MOST, max(1, len(sent) // (_TASKS * n_jobs_here(None))))
    parts = [sent[at : at + length] for at in range(0, len(sent), length)]
    came, ready, noted = {}, 0, _noted(named)
    order = _order(parts, _AHEAD * n_jobs_here(None))
    scored = _scored([parts[number] for number in order], members, store, after)
    with progress_bar(text=progress, total=len(sent)) as bar:
        for place, (rows, failed) in scored:
            bar.update(len(rows))
            came[order[place]] = rows
            for each, more in zip(noted, failed, strict=True):
                each.add(more)
            while ready in came:
                yield from came.pop(ready)
                ready += 1
    for each in noted:
        each.check()


def _order(parts, ahead):
    """Begin long parts before their turn, though not so early that rows wait long."""
    order = []
    for at in range(0, len(parts), ahead):
        work = [np.nansum(work_of(part)) for part in parts[at : at + ahead]]
        order += (at + longest_first(work, len(work))).tolist()
    return order


def _scored(parts, members, store, after):
    """Score parts; the videos of one that ends its worker are scored one by one."""
    tasks = ((members, part, store, after) for part in parts)
    how = {"give_up": _lost, "needs_gpu": any(uses_gpu(d) for _, d in members.value)}
    lost = []
    for number, came in run_tasks(score_part, tasks, **how):
        if came is None:
            lost.append(number)
        else:
            yield number, came
    alone = [(number, video) for number in lost for video in parts[number]]
    tasks = ((members, [video], store, after) for _, video in alone)
    scored = dict(run_tasks(score_part, tasks, **how))
    together = {number: ([], _noted(members.value)) for number in lost}
    for place, (number, _) in enumerate(alone):
        rows, failed = together[number]
        more_rows, more_failed = scored[place]
        rows += more_rows
        for each, more in zip(failed, more_failed, strict=True):
            each.add(more)
    yield from together.items()


def _lost(task, reason):
    """Return what came of a part that ends its worker: nothing, or a missing score."""
    members, videos, *_ = task
    if len(videos) > 1:
        return None
    give_up_video(whole_video(videos[0]), reason)
    n_detectors = len(members.value)
    reasons = np.full(n_detectors, reason, object)
    row = np.full(n_detectors, np.nan), reasons, None
    return [row], [each.to_send() for each in _noted(members.value)]


def score_part(
    members: Sequence[tuple[str, Any]],
    videos: Sequence[Any],
    store: Store,
    after: Callable[..., Any] | None,
) -> tuple[list[tuple], list[Failures]]:
    """Score some videos in a task; return a row of each, and what failed."""
    # Copies: other threads of this worker have the members in the midst of a video.
    named = [(name, copy.copy(detector)) for name, detector in members]
    detectors, noted = [detector for _, detector in named], _noted(named)
    rows = []
    scored = score_sharing(detectors, videos, store, noted=noted)
    for video, (scores, reasons) in zip(videos, scored, strict=True):
        reasons[np.isnan(scores) & (reasons == "")] = NO_SCORE
        more = None if after is None else after(named, video, store, scores, reasons)
        rows.append((scores, reasons, more))
    return rows, [each.to_send() for each in noted]


def _noted(named):
    return [Failures() for _ in range(len(named) + 1)]
