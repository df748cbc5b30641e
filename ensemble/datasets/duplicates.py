"""Finds videos of the same content in a data set, or of another than a table says."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base_models.addresses import remote_address

if TYPE_CHECKING:
    from ensemble.datasets.video_table import VideoTable

_SHA256 = re.compile("[0-9a-fA-F]{64}")
_PIECE = 65536  # bytes in the middle of a file, where those of other content differ


@dataclass(frozen=True)
class Conflict:
    """Two videos of the same content and different labels or groups.

    Attributes
    ----------
    first, second : str
        Their ids.
    differ_in : str
        What differs, such as ``"label 0 and 1"``.
    """

    first: str
    second: str
    differ_in: str

    def __str__(self) -> str:
        return f"{self.first} and {self.second} ({self.differ_in})"


def same_content(videos: Sequence[str]) -> list[list[int]]:
    """Return the rows of videos that are copies of each other.

    Only files of equal size are read, first a piece of them.

    Parameters
    ----------
    videos : sequence of str
        Files, or folders of frames; those that are not there have no copies, and what
        is behind an address is not read for that.

    Returns
    -------
    list of list of int
        Rows, rising; one list for each content that there is twice or more.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, text in {"a": "one", "b": "two", "c": "one"}.items():
    ...     _ = (folder / name).write_text(text)
    >>> same_content([str(folder / name) for name in "abc"])
    [[0, 2]]
    """
    from base_models.errors import VideoReadError
    from base_models.video.paths import video_digest

    def digest(video: str) -> Hashable:
        try:
            return str(video_digest(video))
        except VideoReadError:
            return None

    rows: Iterable[list[int]] = [list(range(len(videos)))]
    for key in (_size, _piece, digest):
        rows = [those for group in rows for those in _alike(videos, group, key)]
    return sorted(rows)


def conflicts_of_content(table: VideoTable) -> list[Conflict]:
    """Return copies that have different labels, or are in different groups.

    Parameters
    ----------
    table : VideoTable

    Returns
    -------
    list of Conflict
        For each content the first video and each that contradicts it; where a label or
        a group is not known there is nothing to contradict.
    """
    frame, found = table.table, []
    columns = {name: frame[name].tolist() for name in ("label", "group")}
    is_known = {name: frame[name].notna().to_numpy() for name in columns}
    ids = frame["video_id"].tolist()
    for first, *others in same_content(table.videos):
        for other in others:
            differing = [
                f"{name} {values[first]} and {values[other]}"
                for name, values in columns.items()
                if is_known[name][first] and is_known[name][other]
                if values[first] != values[other]
            ]
            if differing:
                found.append(Conflict(ids[first], ids[other], ", ".join(differing)))
    return found


def replaced_since(table: VideoTable) -> list[str]:
    """Return the videos that are not those of which a table has the digest.

    Parameters
    ----------
    table : VideoTable
        `index_videos` gives one with a column ``digest`` (SHA-256, hexadecimal). Videos
        without one, behind an address or not readable are passed over.

    Returns
    -------
    list of str
    """
    if "digest" not in table.table:
        return []
    from base_models.video.hashing import hash_ahead
    from base_models.video.paths import video_digest

    stated = {
        video: str(digest)
        for video, digest in zip(table.videos, table.table["digest"], strict=True)
        if _SHA256.fullmatch(str(digest)) and remote_address(video) is None
    }
    hash_ahead(stated)
    replaced = []
    for video, digest in stated.items():
        with suppress(OSError, ValueError):
            if video_digest(video) != digest.lower():
                replaced.append(video)
    return replaced


def _alike(
    videos: Sequence[str], rows: list[int], key: Callable[[str], Hashable]
) -> list[list[int]]:
    """Split rows by a key of their videos; rows that are alone in it are dropped."""
    found: dict[Any, list[int]] = defaultdict(list)
    for row in rows:
        found[key(videos[row])].append(row)
    return [those for known, those in found.items() if known is not None and those[1:]]


def _size(video: str) -> Hashable:
    try:
        if not os.path.isdir(video):
            return os.stat(video).st_size or None  # an empty file is no video
        with os.scandir(video) as files:
            sizes = sorted(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return None
    return tuple(sizes) or None


def _piece(video: str) -> Hashable:
    if os.path.isdir(video):
        return "folder"
    try:
        with open(video, "rb") as file:
            file.seek(max(0, os.stat(video).st_size // 2 - _PIECE // 2))
            return hashlib.sha256(file.read(_PIECE)).hexdigest()
    except OSError:
        return None
