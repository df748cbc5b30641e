"""What the videos of a part looked like: one that was replaced since is scored anew."""

from __future__ import annotations

import os
from collections.abc import Sequence

from base_models.addresses import remote_address
from base_models.runtime.file_digest import content_stamp
from base_models.video.paths import video_digest

_LENGTH = 16  # hexadecimal digits of the first half of a mark
_UNREAD = ""


def marks_of(videos: Sequence[str]) -> list[str | None]:
    """Return a mark of each video, to be kept beside its score.

    Parameters
    ----------
    videos : sequence of str
        Full paths or addresses; ``""`` names none.

    Returns
    -------
    list of (str or None)
        What the file looks like, hashed, and its content, hashed. ``""`` of a file that
        is not there or cannot be read. None of addresses: nothing tells later whether
        it is another.

    Examples
    --------
    >>> from base_models.batch.video_marks import marks_of
    >>> marks_of(["", "s3://bucket/clip.mp4", "/nowhere/clip.mp4"])
    [None, None, '']
    """
    return [_mark(video) for video in videos]


def some_were_replaced(videos: Sequence[str], marks: Sequence[str | None]) -> bool:
    """Return whether a video has another content than when it was marked.

    One that was copied or touched is read again to tell. One that is gone counts as
    the same, so that its score stays; one that can be read by now, as another.

    Parameters
    ----------
    videos : sequence of str
    marks : sequence of (str or None)
        As `marks_of` gave them.
    """
    return any(_was_replaced(*pair) for pair in zip(videos, marks, strict=True))


def _mark(video):
    if not video or remote_address(video):
        return None
    try:
        return _stamp(video) + video_digest(video)
    except (OSError, ValueError):
        return _UNREAD


def _was_replaced(video, mark):
    if mark is None or not os.path.exists(video):
        return False
    try:
        if _stamp(video) == mark[:_LENGTH]:
            return False
        return video_digest(video) != mark[_LENGTH:]
    except (OSError, ValueError):  # it cannot be read any more, or still not
        return mark != _UNREAD


def _stamp(video):
    return content_stamp(video)[:_LENGTH]
