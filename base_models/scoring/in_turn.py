"""Scores videos with detectors one after another, until enough is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_models.inputs import Videos, as_videos
from base_models.runtime.failures import Failures
from base_models.runtime.progress import progress_bar
from base_models.scoring.on_workers import goes_to_workers, score_on_workers
from base_models.scoring.sharing import (
    NO_SCORE,
    note_looking,
    score_shared,
    walk_videos,
)
from base_models.scoring.together import ask_each, sharing_detectors
from base_models.store.store import Store, resolve_store

Enough = Callable[[int, NDArray, int], bool]  # row, scores, turns taken


def iter_in_turn(
    detectors: Sequence[tuple[str, Any]],
    videos: Videos,
    turns: Sequence[Sequence[int]],
    enough: Enough,
    store: Store | str | PathLike | None = None,
    progress: str | None = None,
) -> Iterator[tuple[NDArray, NDArray, int]]:
    """Score videos one by one; of each, ask detectors in turn until it is enough.

    The views of all detectors are made first, as `iter_scores` makes them: each video
    is opened once. A score is that of `iter_scores`, bit for bit. Where joblib is set
    to a cluster, its workers ask every detector and what is beyond enough is left out,
    so that the result is the same.

    Parameters
    ----------
    detectors : sequence of (name, detector)
        Fitted.
    videos : sequence of length n_videos
    turns : sequence of sequence of int
        Places of the detectors that are asked in each turn.
    enough : callable
        ``enough(row, scores, n_turns)``, with NaN for those not asked, says after each
        turn but the last whether to stop.
    store, progress
        As for `base_models.score_videos`.

    Yields
    ------
    scores : ndarray of shape (n_detectors,)
        NaN where there is none, or nobody asked.
    reasons : ndarray of shape (n_detectors,), dtype object
        Empty for those that were not asked.
    n_turns : int
        So many were taken.

    Raises
    ------
    Exception
        After the last video: what a detector that was asked of all of them raised for
        every one.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector
    >>> from base_models.scoring.in_turn import iter_in_turn
    >>> videos = [np.full((8, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> named = [(name, bright.fit(videos, [0, 1])) for name in ("first", "second")]
    >>> sure = lambda row, scores, n_turns: scores[0] > 0.9
    >>> for scores, _, n_turns in iter_in_turn(named, videos, [[0], [1]], sure):
    ...     print(scores, n_turns)
    [0. 0.] 2
    [ 1. nan] 1
    """
    videos = as_videos(videos)
    if goes_to_workers(detectors, videos):
        scored = score_on_workers(detectors, videos, store, progress)
        for row, (found, why, _) in enumerate(scored):
            yield _cut(row, found, why, turns, enough)
        return
    sharing, store = sharing_detectors(detectors), resolve_store(store)
    looking, failures = Failures(), [Failures() for _ in detectors]
    n_asked = np.zeros(len(detectors), int)
    walked = progress_bar(videos, progress, len(videos))
    if sharing:
        walked = walk_videos(list(sharing.values()), videos, store, progress)
    for row, views in enumerate(walked):
        if sharing:
            note_looking(looking, views)
        scores = np.full(len(detectors), np.nan)
        reasons = np.full(len(detectors), "", dtype=object)
        shared: dict = {}
        for taken, turn in enumerate(turns, start=1):
            for place in turn:
                name, detector = detectors[place]
                if place in sharing:
                    scores[place], reasons[place] = score_shared(
                        detector, views, shared, failures[place], store
                    )
                else:
                    (scores[place],), (reasons[place],) = ask_each(
                        name, detector, [videos[row]], failures[place]
                    )
                if np.isnan(scores[place]) and not reasons[place]:
                    reasons[place] = NO_SCORE
                n_asked[place] += 1
            if taken < len(turns) and enough(row, scores.copy(), taken):
                break
        yield scores, reasons, taken
    looking.check()
    for each, times in zip(failures, n_asked, strict=True):
        if times == len(videos):
            each.check()


def _cut(row, found, why, turns, enough):
    """Leave out of a row what is beyond enough."""
    scores = np.full(len(found), np.nan)
    reasons = np.full(len(found), "", dtype=object)
    for taken, turn in enumerate(turns, start=1):
        scores[list(turn)], reasons[list(turn)] = found[list(turn)], why[list(turn)]
        if taken < len(turns) and enough(row, scores.copy(), taken):
            break
    return scores, reasons, taken
