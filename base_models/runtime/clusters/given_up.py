"""Remembers the videos that end the process which works on them."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import NamedTuple

from base_models.addresses import remote_address
from base_models.runtime.file_digest import file_stamp, folder_stamp
from base_models.runtime.remote.facts import remote_facts
from base_models.runtime.remote.reading import with_version


class GivenUp(NamedTuple):
    """Why a video is not opened, and what its file looked like."""

    stamp: Hashable
    reason: str


_given_up: dict[str, GivenUp] = {}  # by real path or address


def give_up_video(video: str | os.PathLike, reason: str) -> None:
    """Have nobody open a video again that ends the process which works on it.

    For as long as this process lives, and in the tasks that it sends.

    Parameters
    ----------
    video : str or Path
        Or an address. What is changed or replaced is opened again: a file of another
        size or time of change, a folder with such a file, another version on a server.
    reason : str
        What `reason_given_up` returns from now on.

    Examples
    --------
    >>> from base_models.runtime.clusters.given_up import give_up_video, reason_given_up
    >>> give_up_video("odd.mp4", "it ended the process")
    >>> reason_given_up("odd.mp4"), reason_given_up("other.mp4")
    ('it ended the process', None)
    """
    _given_up[_place(video)] = GivenUp(_stamp(video), reason)


def reason_given_up(
    video: str | os.PathLike, stamp: Hashable | None = None
) -> str | None:
    """Return why a video is not opened; None of one that may be.

    Parameters
    ----------
    video : str or Path
        Or an address.
    stamp : str or None, default=None
        Of what is behind an address the digest of the version, where it is known.
    """
    known = _given_up.get(_place(video)) if _given_up else None
    if known is None or known.stamp != (stamp or _stamp(video)):
        return None
    return known.reason


def videos_given_up() -> dict[str, GivenUp]:
    """Return what another process has to know, for `know_given_up`."""
    return dict(_given_up)


def know_given_up(videos: Mapping[str, GivenUp]) -> None:
    """Take over what another process has given up."""
    _given_up.update(videos)


def _place(video):
    try:
        return remote_address(video) or os.path.realpath(video)
    except (TypeError, ValueError):  # no path: who opens it says so
        return str(video)


def _stamp(video):
    """Return what changes with the content; None where nothing is there."""
    try:
        if (address := remote_address(video)) is not None:
            return with_version(remote_facts(address)).digest
        return folder_stamp(video) if os.path.isdir(video) else file_stamp(video)
    except (OSError, TypeError, ValueError):
        return None
