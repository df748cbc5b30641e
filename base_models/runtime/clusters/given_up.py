"""Remembers the videos that end the process which works on them."""

from __future__ import annotations

import os
from collections.abc import Mapping

_given_up: dict[tuple[str, int | None], str] = {}  # real path and bytes: why


def give_up_video(video: str | os.PathLike, reason: str) -> None:
    """Have nobody open a video again that ends the process which works on it.

    For as long as this process lives, and in the tasks that it sends.

    Parameters
    ----------
    video : str or Path
        Of a file that is replaced nothing is known any more.
    reason : str
        What `reason_given_up` returns from now on.

    Examples
    --------
    >>> from base_models.runtime.clusters.given_up import give_up_video, reason_given_up
    >>> give_up_video("odd.mp4", "it ended the process")
    >>> reason_given_up("odd.mp4"), reason_given_up("other.mp4")
    ('it ended the process', None)
    """
    _given_up[_file(video)] = reason


def reason_given_up(video: str | os.PathLike) -> str | None:
    """Return why a video is not opened; None of one that may be."""
    return _given_up.get(_file(video)) if _given_up else None


def videos_given_up() -> dict[tuple[str, int | None], str]:
    """Return what another process has to know, for `know_given_up`."""
    return dict(_given_up)


def know_given_up(videos: Mapping[tuple[str, int | None], str]) -> None:
    """Take over what another process has given up."""
    _given_up.update(videos)


def _file(video):
    try:
        return os.path.realpath(video), os.stat(video).st_size
    except (OSError, TypeError, ValueError):  # no file: an address
        return str(video), None
