"""Reads bytes of files behind an address: blocks of them, or all by way of the disk."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from base_models.errors import VideoReadError
from base_models.limits import current_limits
from base_models.runtime.caches import Cache, cached
from base_models.runtime.remote import http_requests
from base_models.runtime.remote.facts import (
    RemoteFacts,
    is_http,
    remember_facts,
    stated_version,
)
from base_models.runtime.remote.filesystems import file_system, plainly

BLOCK = 2**18  # bytes that are asked for at once, and kept
_MOST_BLOCKS = 48  # of a file that are kept: 12 MiB
_MOST_AHEAD = 16  # blocks in one request, where a file is read from end to end
_PIECE = 2**22
_SPARE = 2**30  # bytes of the disk that are left to others

# (process, facts) -> blocks, or the whole file on disk
_in_blocks = Cache(f"{__name__}._in_blocks", maxsize=8)
_on_disk = Cache(f"{__name__}._on_disk", maxsize=4)


def read_range(facts: RemoteFacts, start: int, end: int) -> bytes:
    """Read bytes of a file from `start` to before `end`, or to where it ends.

    Parameters
    ----------
    facts : RemoteFacts
    start, end : int

    Returns
    -------
    bytes
    """
    return _source(facts).read(start, end)


def fetch_whole(facts: RemoteFacts) -> None:
    """Bring a file to the disk of this machine, where it is read from henceforth.

    It is a temporary file without a name, which is gone when the process ends; of the
    last four files of a process.

    Parameters
    ----------
    facts : RemoteFacts
    """
    _whole(facts)


def remote_sha256(facts: RemoteFacts) -> str:
    """Return the SHA-256 of a file's content, which is read as a whole for that.

    Parameters
    ----------
    facts : RemoteFacts

    Returns
    -------
    str
        Hexadecimal; each version of a file is read once by a process.
    """
    return _sha256(facts)


def with_version(facts: RemoteFacts) -> RemoteFacts:
    """Return facts with a version: where the server states none, of the content.

    Parameters
    ----------
    facts : RemoteFacts

    Returns
    -------
    RemoteFacts
    """
    if facts.version is not None:
        return facts
    whole = _Whole(facts)
    known = replace(
        facts, version=f"sha256 {whole.sha256}", in_parts=False, of_content=True
    )
    _on_disk[os.getpid(), known] = whole
    remember_facts(known)
    return known


class RemoteReader(io.RawIOBase):
    """A file behind an address, as PyAV and others read files.

    Parameters
    ----------
    facts : RemoteFacts

    Attributes
    ----------
    unread : sequence of (start, end)
        Places of which zeros are given and nothing is read.
    error : Exception or None
        What went wrong: a decoder may take it for the end of the file.
    """

    def __init__(self, facts: RemoteFacts) -> None:
        super().__init__()
        self._source, self._at = _source(facts), 0
        self.size = self._source.size
        self.unread: Sequence[tuple[int, int]] = ()
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        start = {0: 0, 1: self._at, 2: self.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, n: int = -1) -> bytes:
        end = self.size if n is None or n < 0 else min(self.size, self._at + n)
        if end <= self._at:
            return b""
        start, self._at = self._at, end
        for first, last in self.unread:
            if first <= start < last:
                end = min(end, last)
                self._at = end
                return bytes(end - start)
            if start < first < end:
                end = first
        self._at = end
        try:
            return self._source.read(start, end)
        except Exception as error:
            self.error = error
            raise

    def readall(self) -> bytes:
        return self.read()

    def stop(self) -> None:
        """Read nothing more: the file ends where it was read to."""
        self.size = 0


def _source(facts):
    found = _on_disk.get((os.getpid(), facts))
    if found is not None:
        return found
    if not facts.in_parts:
        return _whole(facts)
    key = os.getpid(), facts
    return _in_blocks.get(key) or _in_blocks.setdefault(key, _Blocks(facts))


def _whole(facts):
    key = os.getpid(), facts
    whole = _on_disk.get(key)
    if whole is None:
        whole = _Whole(facts)
        known = (facts.version or "").startswith("sha256 ")
        if known and facts.version != f"sha256 {whole.sha256}":
            raise VideoReadError(
                facts.name, "it was changed while it was read", "try again"
            )
        _on_disk[key] = whole
        _in_blocks.pop(key)
    return whole


class _Blocks:
    """Blocks of a file, those used last kept."""

    def __init__(self, facts):
        self.facts, self.size = facts, facts.size
        self._read_part: Callable[[int, int], bytes] | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next, self._ahead = -1, 1
        self._lock = threading.Lock()

    def read(self, start, end):
        end = min(end, self.size)
        if end <= start:
            return b""
        with self._lock:
            numbers = range(start // BLOCK, (end - 1) // BLOCK + 1)
            content = b"".join(map(self._block, numbers))
        at = start - numbers[0] * BLOCK
        return content[at : at + end - start]

    def _block(self, number):
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if number == self._next else 1
        first, last = number * BLOCK, min((number + self._ahead) * BLOCK, self.size)
        self._read_part = self._read_part or _part_reader(self.facts)
        content = self._read_part(first, last)
        for at in range(0, len(content), BLOCK):
            self._blocks[number + at // BLOCK] = content[at : at + BLOCK]
        self._next = number + self._ahead
        while len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]


class _Whole:
    """All of a file, in a temporary one."""

    def __init__(self, facts):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (kept)
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        _check_room(facts)
        digest, written = hashlib.sha256(), 0

        def write(piece):
            nonlocal written
            digest.update(piece)
            self._file.write(piece)
            if facts.size is None and written >> 28 != written + len(piece) >> 28:
                _check_room(facts)
            written += len(piece)

        try:
            _read_all(facts, write)
        except BaseException:
            self._file.close()
            raise
        self.size, self.sha256 = written, digest.hexdigest()
        if not written:
            raise VideoReadError(
                facts.name, "the file is empty (0 bytes)", "upload it again"
            )

    def read(self, start, end):
        with self._lock:
            self._file.seek(start)
            return self._file.read(max(0, min(end, self.size) - start))


def _check_room(facts):
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free - _SPARE
    if (facts.size or 0) > free:
        raise VideoReadError(
            facts.name,
            "it must be read as a whole, and there is no room for it in "
            f"{folder} ({max(free, 0) / 2**30:.1f} GiB)",
            "set TMPDIR to a larger disk, or convert it to MP4 on a server that gives "
            "parts of files",
        )


def _part_reader(facts) -> Callable[[int, int], bytes]:
    if is_http(facts.address):
        return lambda start, end: http_requests.read_part(
            facts.address, start, end, facts.size, facts.version
        )
    fs, file = _opened(facts)

    def read(start, end, _fs=fs):  # held: an archive is closed with it
        with plainly(facts.address):
            file.seek(start)
            content = file.read(end - start)
        if len(content) != end - start:
            raise VideoReadError(
                facts.name,
                f"the server ended in the middle of it (byte {start + len(content)})",
                "try again, or download it",
            )
        return content

    return read


def _opened(facts):
    """Open a file and its file system; S3's and GCS's hold on to the version."""
    from fsspec.asyn import AsyncFileSystem

    fs, path = file_system(facts.address)
    uncached = {"cache_type": "none"} if isinstance(fs, AsyncFileSystem) else {}
    with plainly(facts.address):
        fs.invalidate_cache(path)
        file: Any = fs.open(path, "rb", **uncached)
    details = getattr(file, "details", None)
    states = isinstance(details, dict) and facts.version is not None
    if states and stated_version(details)[0] != facts.version:
        raise VideoReadError(
            facts.name, "it was changed while it was read", "try again"
        )
    return fs, file


def _read_all(facts, write):
    write = _in_time(facts, write)
    if is_http(facts.address):
        http_requests.read_all(facts.address, write, facts.size, facts.version)
        return
    _fs, file = _opened(facts)  # held: an archive is closed with it
    with plainly(facts.address), file:
        while piece := file.read(_PIECE):
            write(piece)


def _in_time(facts, write):
    """Return `write`, which ends what takes longer than reading a video may.

    Some answers never end, and a few bytes of an archive unpack to very many.
    """
    begun, allowed = time.monotonic(), current_limits().video_seconds

    def write_in_time(piece):
        if time.monotonic() - begun > allowed:
            raise VideoReadError(
                facts.name,
                f"fetching it takes longer than the {allowed:g} s allowed",
                "if it is worth that, allow more in a block of "
                f"base_models.reading_limits(video_seconds={10 * allowed:g}), or "
                "download it",
            )
        write(piece)

    return write_in_time


@cached(maxsize=65536)
def _sha256(facts):
    if facts.version and facts.version.startswith("sha256 "):
        return facts.version.removeprefix("sha256 ")
    on_disk = _on_disk.get((os.getpid(), facts))
    if on_disk is not None or not facts.in_parts:
        return (on_disk or _whole(facts)).sha256
    digest = hashlib.sha256()
    _read_all(facts, digest.update)
    return digest.hexdigest()
