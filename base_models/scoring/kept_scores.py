"""Scores that are kept video by video, so that a run that was stopped goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_models.addresses import local_path, remote_address
from base_models.inputs import Videos, as_videos
from base_models.runtime.progress import progress_bar
from base_models.scoring.in_steps import STEPS, split_steps, whole_and_steps
from base_models.scoring.together import iter_scores
from base_models.store.store import Store
from base_models.video.hashing import was_replaced


def known_of(detectors: Iterable[Any], video: Any, digest: str) -> str:
    """Return what a kept score must be known by: all that detectors know of a video.

    Parameters
    ----------
    detectors : iterable of detectors
    video : str, Path, ndarray or what foreign detectors take
        As they are given it.
    digest : str
        Of its content.

    Returns
    -------
    str
        The digest, where they are shown views of the video and nothing else; with its
        name, where one is shown the path: it may read a label there, or a file beside.

    Examples
    --------
    >>> from base_models import CallableDetector, FlickerDetector
    >>> from base_models.scoring.kept_scores import known_of
    >>> named = CallableDetector(lambda videos: ["fake" in name for name in videos])
    >>> known_of([FlickerDetector()], "a/fake.mp4", "9f2c")
    '9f2c'
    >>> known_of([FlickerDetector(), named], "/a/fake.mp4", "9f2c")
    '9f2c of /a/fake.mp4'
    """
    content_alone = all(hasattr(detector, "score_views") for detector in detectors)
    if content_alone or not isinstance(video, (str, os.PathLike)):
        return digest
    path = remote_address(video) or os.path.abspath(local_path(os.fspath(video)))
    return f"{digest} of {path}"


def score_and_keep(
    detector: Any,
    videos: Videos,
    store: Store,
    keys: Sequence[str],
    progress: str | None = None,
    digests: Sequence[Any] | None = None,
) -> tuple[NDArray, NDArray, NDArray]:
    """Score videos with one fitted detector; each score is kept as soon as it is there.

    Scores that the store has are taken from it. Only scores are kept: a video that has
    none is looked at again.

    Parameters
    ----------
    detector : detector
        Fitted.
    videos : sequence of length n_videos
        Paths, or RGB uint8 arrays of shape (T, H, W, 3).
    store : Store
        Where scores, views and features are kept.
    keys : sequence of length n_videos
        Of each score in the store: it stands for the fitted detector and the video.
    progress : str or None, default=None
        What to write before a progress bar; None shows none.
    digests : sequence of length n_videos or None, default=None
        From `known_digests`: of a file that was replaced since, nothing is kept.

    Returns
    -------
    scores : ndarray of shape (n_videos,)
        P(fake), NaN where there is none.
    reasons : ndarray of shape (n_videos,), dtype object
        As of `score_videos`.
    steps : ndarray of shape (n_videos, 2)
        P(fake) after a quarter and after half of the frames, NaN where the detector
        takes no steps; see `base_models.scoring.in_steps`.

    Examples
    --------
    >>> import tempfile
    >>> from base_models import CallableDetector, Store
    >>> from base_models.scoring.kept_scores import score_and_keep
    >>> from base_models.store import store_key
    >>> videos = [np.full((8, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> keys = [store_key(detector="bright", video=number) for number in (0, 1)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(folder)
    ...     scores, *_ = score_and_keep(bright.fit(videos, [0, 1]), videos, store, keys)
    ...     sorted(keys) == store.keys("scores")
    True
    >>> scores
    array([0., 1.])
    """
    videos = as_videos(videos)
    scores = np.full(len(videos), np.nan)
    reasons = np.full(len(videos), "", dtype=object)
    steps = np.full((len(videos), len(STEPS)), np.nan)
    for row, key in enumerate(keys):
        entry = store.get("scores", key)
        if entry is not None:
            scores[row], reasons[row] = entry[0]["scores"][0], entry[1]["reasons"][0]
            steps[row] = steps_of_entry(entry[0], 1)[0]
    missing = np.flatnonzero(np.isnan(scores))
    n_found = len(videos) - len(missing)
    asked = dict(whole_and_steps("detector", detector))
    walked = iter_scores(asked, [videos[row] for row in missing], store)
    with (
        contextlib.closing(walked),
        progress_bar(text=progress, total=len(videos), initial=n_found) as bar,
    ):
        for row in missing:
            found, (reasons[row], *_) = next(walked)
            scores[row], steps[row] = (part[0] for part in split_steps(found[None]))
            known = None if digests is None else digests[row]
            if not np.isnan(scores[row]) and not was_replaced(videos[row], known):
                meta = {"reasons": [reasons[row]]}
                arrays = {"scores": scores[[row]], "steps": steps[[row]]}
                store.put("scores", keys[row], arrays, meta)
            bar.update()
        if not n_found:
            next(walked, None)  # raises what it raised for every one of them
    return scores, reasons, steps


def steps_of_entry(arrays: dict[str, NDArray], n_videos: int) -> NDArray:
    """Return the steps' scores of an entry of the store; older ones kept none.

    Parameters
    ----------
    arrays : dict of str to ndarray
    n_videos : int

    Returns
    -------
    ndarray of shape (n_videos, 2)

    Examples
    --------
    >>> from base_models.scoring.kept_scores import steps_of_entry
    >>> steps_of_entry({}, 1)
    array([[nan, nan]])
    """
    unknown = np.full((n_videos, len(STEPS)), np.nan)
    return arrays.get("steps", unknown)
