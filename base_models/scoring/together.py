"""Scores several detectors together: each video opened once, its faces found once."""

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError

from base_models.inputs import Videos, as_videos, fake_column
from base_models.runtime.failures import Failures
from base_models.runtime.progress import progress_bar
from base_models.scoring.naming import name_detectors
from base_models.scoring.on_workers import goes_to_workers, score_on_workers
from base_models.scoring.sharing import NO_SCORE, score_sharing
from base_models.store.store import Store
from base_models.video.one_face import whole_video
from base_models.video.paths import hashed_once


def score_videos(
    detectors: Sequence | dict,
    videos: Videos,
    store: Store | str | PathLike | None = None,
    progress: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Score videos with several fitted detectors, sharing what they have in common.

    Where joblib is set to a cluster, its workers score videos that are files, if all
    detectors are of this package.

    Parameters
    ----------
    detectors : sequence of detectors, of (name, detector) pairs, or dict
        Fitted. Those of this package share decoding, faces, views and frozen
        features; of any other only ``predict_proba`` is asked.
    videos : sequence of length n_videos
        Paths, or RGB uint8 arrays of shape (T, H, W, 3).
    store : Store, str, Path or None, default=None
        Where views and features are kept; None is the user's default store.
    progress : str or None, default=None
        What to write before a progress bar; None shows none.

    Returns
    -------
    scores : ndarray of shape (n_videos, n_detectors)
        P(fake), NaN where a detector has none.
    reasons : ndarray of shape (n_videos, n_detectors), dtype object
        Why there is no score, or what to know about it, such as that few frames show
        the face; empty where there is nothing to say.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector, score_videos
    >>> videos = [np.full((8, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> scores, reasons = score_videos([bright.fit(videos, [0, 1])], videos)
    >>> scores
    array([[0.],
           [1.]])
    """
    named = name_detectors(detectors)
    videos = as_videos(videos)
    scores = np.full((len(videos), len(named)), np.nan)
    reasons = np.full(scores.shape, "", dtype=object)
    if goes_to_workers(named, videos):
        scored = score_on_workers(named, videos, store, progress)
        for row, (found, why, _) in enumerate(scored):
            scores[row], reasons[row] = found, why
        return scores, reasons
    with hashed_once(videos):
        sharing = sharing_detectors(named)
        if sharing:
            scored = score_sharing(list(sharing.values()), videos, store, progress)
            columns = list(sharing)
            for row, (found, why) in enumerate(scored):
                scores[row, columns], reasons[row, columns] = found, why
        for column in sorted(set(range(len(named))) - set(sharing)):
            name, detector = named[column]
            scores[:, column], reasons[:, column] = _ask(name, detector, videos)
    reasons[np.isnan(scores) & (reasons == "")] = NO_SCORE
    return scores, reasons


def iter_scores(
    detectors: Sequence | dict,
    videos: Videos,
    store: Store | str | PathLike | None = None,
    progress: str | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score videos with several fitted detectors, one video after another.

    Parameters
    ----------
    detectors, videos, store, progress
        As for `score_videos`, which asks detectors of other packages of all videos at
        once; here they are asked of each by itself.

    Yields
    ------
    scores : ndarray of shape (n_detectors,)
        P(fake), NaN where a detector has none.
    reasons : ndarray of shape (n_detectors,), dtype object
        As for `score_videos`.

    Raises
    ------
    Exception
        After the last video: what a detector raised for every one of them.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector
    >>> from base_models.scoring import iter_scores
    >>> videos = [np.full((8, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> for scores, _ in iter_scores([bright.fit(videos, [0, 1])], videos):
    ...     print(scores)
    [0.]
    [1.]
    """
    named = name_detectors(detectors)
    videos = as_videos(videos)
    if goes_to_workers(named, videos):
        scored = score_on_workers(named, videos, store, progress)
        yield from ((found, why) for found, why, _ in scored)
        return
    sharing = sharing_detectors(named)
    alone = {
        column: Failures() for column in range(len(named)) if column not in sharing
    }
    walked = progress_bar(videos, progress, len(videos))
    if sharing:
        walked = score_sharing(list(sharing.values()), videos, store, progress)
    for row, shared in enumerate(walked):
        scores = np.full(len(named), np.nan)
        reasons = np.full(len(named), "", dtype=object)
        if sharing:
            scores[list(sharing)], reasons[list(sharing)] = shared
        for column, failures in alone.items():
            name, detector = named[column]
            found, why = ask_each(name, detector, [videos[row]], failures)
            scores[column], reasons[column] = found[0], why[0]
        reasons[np.isnan(scores) & (reasons == "")] = NO_SCORE
        yield scores, reasons
    for failures in alone.values():
        failures.check()


def sharing_detectors(named: Sequence[tuple[str, Any]]) -> dict[int, Any]:
    """Return column -> detector of those that share views.

    Parameters
    ----------
    named : sequence of (name, detector)

    Returns
    -------
    dict of int to detector
    """
    return {
        column: detector
        for column, (_, detector) in enumerate(named)
        if hasattr(detector, "score_views")
    }


def _ask(name, detector, videos):
    """Return P(fake) and reasons of a detector that shares no views."""
    if len(videos) > 1:
        try:
            return _answer(name, detector, videos)
        except (NotFittedError, _NoProbabilityError):
            raise
        except Exception as error:  # which one is it?
            together = error
    failures = Failures()
    scores, reasons = ask_each(name, detector, videos, failures)
    failures.check()
    if len(videos) > 1 and not any(reasons):
        raise together  # it is no video's fault
    return scores, reasons


def ask_each(
    name: str, detector: Any, videos: list, failures: Failures
) -> tuple[np.ndarray, np.ndarray]:
    """Ask a detector of one video after another; an error is that video's reason.

    Parameters
    ----------
    name : str
    detector : detector
        Fitted; one that shares no views.
    videos : list
    failures : Failures
        Where errors are noted.

    Returns
    -------
    scores, reasons : ndarray of shape (n_videos,)
    """
    scores = np.full(len(videos), np.nan)
    reasons = np.full(len(videos), "", dtype=object)
    for row, video in enumerate(videos):
        try:
            (scores[row],), (reasons[row],) = _answer(name, detector, [video])
        except _NoProbabilityError:
            raise
        except Exception as error:
            reasons[row] = failures.reason(error)
        else:
            failures.note(None)
    return scores, reasons


def _answer(name, detector, videos):
    if getattr(detector, "gives_reasons", False):
        return detector._score(videos)
    videos = [whole_video(video) for video in videos]  # of faces only views know
    return _checked(name, detector, videos), np.full(len(videos), "", dtype=object)


class _NoProbabilityError(ValueError):
    """A detector's answer is none, whatever video it was asked of."""


def _checked(name, detector, videos):
    table = np.asarray(detector.predict_proba(videos), float)
    if table.shape != (len(videos), 2):
        raise _NoProbabilityError(
            f"{name}: predict_proba must have shape ({len(videos)}, 2); "
            f"got {table.shape}"
        )
    score = table[:, _fake_column(name, detector)]
    wrong = np.flatnonzero((score < 0) | (score > 1))
    if len(wrong):
        raise _NoProbabilityError(
            f"{name}: P(fake) must lie in 0..1; got {score[wrong[0]]:g} for video "
            f"number {wrong[0]}"
        )
    return score


def _fake_column(name, detector):
    """Find P(fake) in what a foreign detector gives; never by the order of labels."""
    try:
        return fake_column(detector.classes_)
    except (AttributeError, ValueError) as error:
        raise _NoProbabilityError(
            f"{name}: which column of predict_proba is P(fake) must be clear from "
            f"classes_; {error}. Fit it on such labels, or choose the column: "
            "CallableDetector(lambda videos: detector.predict_proba(videos)[:, 0])"
        ) from error
