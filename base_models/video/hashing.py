"""Reads what videos' digests need, many at once, before anyone asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.runtime.file_digest import (
    LEAVE_IT,
    LOOK_AGAIN,
    REPLACED,
    SINCE_REPLACED,
    KnownDigest,
    known_digest,
    latest_digest,
    learn_digest,
    same_file,
)
from base_models.runtime.parallel import n_jobs_here, runs_elsewhere
from base_models.runtime.prefetch import look_ahead
from base_models.runtime.progress import progress_bar
from base_models.runtime.scheduling import run_each
from base_models.video.one_face import whole_video
from base_models.video.paths import findable, video_digest

_THREADS = 8  # a disk gives no more to more


def hash_ahead(
    videos: Iterable[Any], n_jobs: int | None = None, progress: str | None = None
) -> None:
    """Have the digests of files known in this process, the longest read first.

    Where joblib is set to a cluster, its workers read the files, and this process takes
    over what they found for those that look the same from here. Elsewhere threads read
    them. What is known already is not read again; what cannot be read is passed over,
    and said when its digest is asked for.

    Parameters
    ----------
    videos : iterable
        Paths, or faces of such; arrays and what else there may be are passed over.
    n_jobs : int or None, default=None
        As joblib counts; with 1 nothing is done ahead.
    progress : str or None, default=None
        What to write before a progress bar; None shows none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from base_models.runtime.file_digest import known_digest
    >>> from base_models.video.hashing import hash_ahead
    >>> path = Path(tempfile.mkdtemp()) / "a.mp4"
    >>> _ = path.write_bytes(b"abc")
    >>> hash_ahead([path, "absent.mp4"], n_jobs=2)
    >>> known_digest(path).digest[:12]
    'ba7816bf8f01'
    """
    if n_jobs_here(n_jobs) == 1 and not runs_elsewhere(n_jobs):
        return
    found = dict.fromkeys(map(whole_video, _paths(videos)))
    todo = [video for video in found if known_digest(video) is None]
    if not runs_elsewhere(n_jobs):
        hashed = look_ahead(read_digest, todo, min(_THREADS, n_jobs_here(n_jobs)))
        for _ in progress_bar(hashed, progress, len(todo)):
            pass
        return
    tasks = [(video,) for video in findable(todo)]
    came = run_each(read_digest, tasks, work_of(todo), n_jobs)
    for number, known in progress_bar(came, progress, len(todo)):
        if known is not None:
            learn_digest(todo[number], known)


def read_digest(video: str | os.PathLike) -> KnownDigest | None:
    """Return the digest of a file or folder with its stamp; None if unreadable.

    What is behind an address is read for it, too: see `video_digest`.
    """
    try:
        video_digest(video, in_full=True)
    except (VideoReadError, OSError):
        return None
    return known_digest(video)


def work_of(videos: Sequence[Any], seconds: Sequence[Any] | None = None) -> np.ndarray:
    """Return how long videos are, to begin with the longest.

    Parameters
    ----------
    videos : sequence
        Paths, arrays, or faces of either.
    seconds : sequence of float or None, default=None
        How long each lasts, where that is known; NaN or None where it is not.

    Returns
    -------
    ndarray of shape (n_videos,)
        Bytes on the disk or in memory, or what they would be of a video that lasts so
        long; NaN where nothing is known.

    Examples
    --------
    >>> from base_models.video.hashing import work_of
    >>> videos = [np.zeros((n, 1, 1, 3), np.uint8) for n in (2, 4)]
    >>> work_of([*videos, "absent.mp4"]).tolist()
    [6.0, 12.0, nan]
    >>> work_of([*videos, "absent.mp4"], seconds=[1, 2, 10]).tolist()
    [6.0, 12.0, 60.0]
    """
    work = np.array([_size(whole_video(video)) for video in videos], float)
    if seconds is None:
        return work
    lasts = np.array(seconds, float)
    both = ~np.isnan(work) & (lasts > 0)
    pace = np.median(work[both] / lasts[both]) if both.any() else 1.0
    return np.where(lasts > 0, lasts * pace, work)


def _paths(videos):
    return (v for v in videos if isinstance(whole_video(v), (str, os.PathLike)))


def _size(video):
    if isinstance(video, np.ndarray):
        return video.nbytes
    try:
        if not os.path.isdir(video):
            return os.stat(video).st_size
        with os.scandir(video) as files:
            return sum(file.stat().st_size for file in files if file.is_file())
    except (OSError, TypeError, ValueError):
        return np.nan


def content_mark(video: Any) -> Any:
    """Return what changes whenever a video is written to, if only for a while.

    Parameters
    ----------
    video : str, Path, OneFace or ndarray

    Returns
    -------
    hashable
        None of an array, to which nobody may write, and of what cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from base_models.video.hashing import content_mark
    >>> path, marks = Path(tempfile.mkdtemp()) / "a.mp4", []
    >>> for text in ("real", "fake", "real"):
    ...     _ = path.with_suffix(".new").write_text(text)
    ...     _ = path.with_suffix(".new").replace(path)
    ...     marks.append(content_mark(path))
    >>> marks[0] == marks[2], marks[0] == content_mark(path)
    (False, False)
    >>> marks[2] == content_mark(path)
    True
    """
    whole = whole_video(video)
    if isinstance(whole, np.ndarray):
        return None
    try:
        digest = video_digest(whole)
    except (OSError, ValueError, TypeError):  # said by who looks the video up
        return None
    return digest, latest_digest(whole)


@contextmanager
def left_alone(video: Any) -> Iterator[None]:
    """Refuse what a block read of a video that was written to meanwhile.

    What was put back is refused, too: what was read may be of what lay there between.

    Parameters
    ----------
    video : str, Path, OneFace or ndarray

    Raises
    ------
    VideoReadError
        At the end of the block.
    """
    with same_file():
        begun = content_mark(video)
        yield
        check_left_alone(video, begun)


@contextmanager
def held_to(video: Any, digest: str | None) -> Iterator[None]:
    """Refuse what a block reads of a video, unless its content is the one of before.

    Parameters
    ----------
    video : str, Path, OneFace or ndarray
    digest : str or None
        Of what was looked at then; None takes any content.

    Raises
    ------
    VideoReadError
        At the beginning of the block, or at its end.
    """
    with left_alone(video):
        if digest is not None and video_digest(whole_video(video)) != digest:
            raise VideoReadError(whole_video(video), SINCE_REPLACED, LOOK_AGAIN)
        yield


def check_left_alone(video: Any, begun: Any) -> None:
    """Refuse what was read since `content_mark`, if the video was written to since.

    Raises
    ------
    VideoReadError
    """
    if content_mark(video) != begun:
        raise VideoReadError(whole_video(video), REPLACED, LEAVE_IT)


def was_replaced(video: Any, known: Any) -> bool:
    """Whether a file is another by now than when its digest was asked for.

    Parameters
    ----------
    video : str, Path, OneFace or ndarray
    known : KnownDigest, str or None
        From `known_digests`. Only of a `KnownDigest` can it be told. In a block of
        `held_contents` what counts is its content.

    Raises
    ------
    VideoReadError
        If it cannot be read any more.
    """
    if not isinstance(known, KnownDigest):
        return False
    try:
        video_digest(whole_video(video))  # read again only if it looks different
    except VideoReadError as error:
        if error.reason != REPLACED:
            raise
        return True
    return known_digest(whole_video(video)) != known
