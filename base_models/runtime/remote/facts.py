"""What a server says of a file: asked once in a call, and what stands for its content.

Nothing is taken for the same content on trust: a version is an entity tag or a
generation that servers change with every content, or a time of change that is settled.
Where a server states neither, the content is read as a whole and hashed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from base_models.addresses import content_name, public_name
from base_models.errors import VideoReadError
from base_models.runtime.remote import http_requests
from base_models.runtime.remote.filesystems import file_system, plainly

_asked: ContextVar[dict[str, RemoteFacts] | None] = ContextVar("asked", default=None)


@dataclass(frozen=True)
class RemoteFacts:
    """A file behind an address, in the version that is there now.

    Attributes
    ----------
    address : str
        With all that it takes to read it; never to be shown.
    size : int or None
        Bytes.
    version : str or None
        None where the server states nothing that changes with every content.
    in_parts : bool
        Whether the server gives parts of it.
    of_content : bool
        Whether equal versions mean equal content also at other addresses.
    """

    address: str = field(repr=False)
    size: int | None
    version: str | None
    in_parts: bool
    of_content: bool = False

    @property
    def name(self) -> str:
        """The address without what grants access."""
        return public_name(self.address)

    @property
    def digest(self) -> str:
        """SHA-256 of what stands for the content, hexadecimal; of a known version."""
        where = "" if self.of_content else content_name(self.address)
        text = f"remote {where}\n{self.size}\n{self.version}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def remote_facts(address: str) -> RemoteFacts:
    """Ask a server for the facts of a file, or return those that this call knows.

    Parameters
    ----------
    address : str

    Returns
    -------
    RemoteFacts

    Raises
    ------
    VideoReadError
        If there is no such file, or its server cannot be reached.

    Examples
    --------
    >>> import fsspec
    >>> from base_models.runtime.remote.facts import remote_facts
    >>> with fsspec.open("memory://facts/a.mp4", "wb") as file:
    ...     _ = file.write(b"content")
    >>> remote_facts("memory://facts/a.mp4").size
    7
    """
    known = _asked.get()
    if known is not None and address in known:
        return known[address]
    facts = _of_http(address) if is_http(address) else _of_fsspec(address)
    if facts.size == 0:
        raise VideoReadError(
            facts.name, "the file is empty (0 bytes)", "upload it again"
        )
    remember_facts(facts)
    return facts


def remember_facts(facts: RemoteFacts) -> None:
    """Have facts known for the rest of a call that asks once."""
    known = _asked.get()
    if known is not None:
        known[facts.address] = facts


@contextmanager
def asking_once() -> Iterator[None]:
    """Ask of each address once inside of the block, which is one call of the user."""
    if _asked.get() is not None:
        yield
        return
    token = _asked.set({})
    try:
        yield
    finally:
        _asked.reset(token)


def is_http(address: str) -> bool:
    """Whether a server of the web is asked."""
    return address.startswith(("http://", "https://"))


def _of_http(address):
    return RemoteFacts(address, *http_requests.stated(address))


def _of_fsspec(address):
    fs, path = file_system(address)
    with plainly(address):
        fs.invalidate_cache(path)  # a listing may be old
        said: dict[str, Any] = fs.info(path)
    if said.get("type") == "directory":
        raise VideoReadError(
            public_name(address),
            "it is a folder, and a video by address is one file",
            "list_videos finds the videos in it; folders of frame images are read from "
            "this machine's disk only",
        )
    size = said.get("size")
    version, of_content = stated_version(said)
    is_known = size is not None
    size = int(size) if is_known else None
    return RemoteFacts(address, size, version, is_known, of_content)


def stated_version(said: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the version that a file system states, and whether it is of the content.

    An MD5 is, and so is S3's tag of what was uploaded in one piece. The tag of an
    encrypted object is another for every copy, so that at worst a copy is not seen.
    """
    if said.get("md5Hash"):
        return f"md5 {said['md5Hash']}", True
    if said.get("generation"):
        return f"generation {said['generation']}", False
    tag = said.get("ETag") or said.get("etag")
    if isinstance(tag, str) and tag.strip('"') and not tag.startswith("W/"):
        return f"etag {tag}", said.get("StorageClass") is not None
    return None, False
