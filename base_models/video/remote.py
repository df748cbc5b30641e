"""A video behind an address, in the places where others are paths."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base_models.addresses import ending
from base_models.errors import VideoReadError
from base_models.limits import check_file
from base_models.runtime.file_digest import check_same_file
from base_models.runtime.remote.facts import RemoteFacts, is_http, remote_facts
from base_models.runtime.remote.filesystems import file_system, plainly
from base_models.runtime.remote.reading import (
    RemoteReader,
    fetch_whole,
    read_range,
    remote_sha256,
    with_version,
)

_FIRST = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp"}
_MOST_BOXES = 64  # boxes of a file whose frames are described in one place


@dataclass(frozen=True)
class RemoteVideo:
    """One file behind an address, of the version that was there when it was asked for.

    Parameters
    ----------
    facts : RemoteFacts
        With a version.
    """

    facts: RemoteFacts

    @classmethod
    def at(cls, address: str) -> RemoteVideo:
        """Ask the server for it."""
        return cls(with_version(remote_facts(address)))

    def __str__(self) -> str:
        return self.facts.name

    @property
    def suffix(self) -> str:
        """The ending of its name."""
        return ending(self.facts.address)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.reader().size if self.facts.size is None else self.facts.size

    @property
    def digest(self) -> str:
        """What stands for its content and is known without reading it."""
        return self.facts.digest

    def sha256(self) -> str:
        """Hash all of it."""
        return remote_sha256(self.facts)

    def reader(self) -> RemoteReader:
        """Open it."""
        return RemoteReader(self.facts)

    def beginning(self, n_bytes: int) -> bytes:
        """Read its first bytes."""
        return read_range(self.facts, 0, n_bytes)

    def read_bytes(self) -> bytes:
        """Read all of it."""
        return self.reader().read()

    def fetch(self) -> None:
        """Bring all of it to the disk, before it is read from end to end."""
        fetch_whole(self.facts)

    def unread_places(self) -> list[tuple[int, int]] | None:
        """Return where the frames of an MP4 lie, which its index describes, or None."""
        if not self.facts.in_parts:
            return None
        return payload_places(self.reader())


def files_below(address: str) -> list[str] | None:
    """List the addresses of the files below a folder; None of what is no folder.

    Hidden files and folders are passed over.

    Parameters
    ----------
    address : str
        Of a bucket, or what else has folders.

    Raises
    ------
    VideoReadError
        For servers of the web, which have no folders, and those that refuse.

    Examples
    --------
    >>> import fsspec
    >>> from base_models.video.remote import files_below
    >>> with fsspec.open("memory://files_below/b/a.mp4", "wb") as file:
    ...     _ = file.write(b"content")
    >>> files_below("memory://files_below")
    ['memory://files_below/b/a.mp4']
    """
    if is_http(address):
        raise VideoReadError(
            address,
            "a web server lists no folders",
            "give the addresses of the videos, or a table with them",
        )
    fs, path = file_system(address)
    with plainly(address):
        fs.invalidate_cache(path)
        if not fs.isdir(path):
            return None
        found = fs.find(path)
    root = path.strip("/")
    below = (name.strip("/").removeprefix(root).strip("/") for name in found)
    shown = (name for name in below if name and "/." not in f"/{name}")
    return sorted(f"{address.rstrip('/')}/{name}" for name in shown)


def beginning(path: Path | RemoteVideo, n_bytes: int) -> bytes:
    """Return the first bytes of a video.

    Parameters
    ----------
    path : Path or RemoteVideo
    n_bytes : int

    Raises
    ------
    OSError
    """
    if isinstance(path, RemoteVideo):
        return path.beginning(n_bytes)
    check_file(path)
    with open(path, "rb") as file:
        return file.read(n_bytes)


def check_same(path: Any) -> None:
    """Refuse a file that a name did not lead to before: see `same_file`.

    What is behind an address is read in one version anyway.
    """
    if not isinstance(path, RemoteVideo):
        check_same_file(path)


def is_folder(path: Path | RemoteVideo) -> bool:
    """Whether a video is a folder, which none behind an address is."""
    return not isinstance(path, RemoteVideo) and path.is_dir()


def n_bytes_of(path: Any) -> int:
    """Return the bytes of a file or of a video behind an address."""
    return path.size if isinstance(path, RemoteVideo) else path.stat().st_size


def payload_places(file: Any) -> list[tuple[int, int]] | None:
    """Return the places of an MP4 or MOV that hold nothing but frames and sound.

    Parameters
    ----------
    file : file-like
        At most some bytes a box are read.

    Returns
    -------
    list of (start, end), or None
        None of another kind of file; of one that is cut off or written in many
        fragments, whose descriptions lie all over it.

    Examples
    --------
    >>> import io, struct
    >>> from base_models.video.remote import payload_places
    >>> boxes = [(16, b"ftyp"), (108, b"mdat"), (8, b"moov")]
    >>> content = [struct.pack(">I4s", n, name) + bytes(n - 8) for n, name in boxes]
    >>> payload_places(io.BytesIO(b"".join(content)))
    [(24, 124)]
    """
    size = file.seek(0, 2)
    at, places, is_described = 0, [], False
    for _ in range(_MOST_BOXES):
        if at >= size:
            break
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return None
        length, kind = struct.unpack(">I4s", head[:8])
        n_head = 8
        if length == 1 and len(head) == 16:
            length, n_head = struct.unpack(">Q", head[8:])[0], 16
        if length == 0:
            length = size - at
        is_odd = length < n_head or at + length > size
        if is_odd or (at == 0 and kind not in _FIRST) or kind == b"moof":
            return None
        if kind == b"mdat":
            places.append((at + n_head, at + length))
        is_described |= kind == b"moov"
        at += length
    return places if at >= size and is_described else None
