"""Which files of a folder are the store's own, so that no other is ever touched."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

from base_models.errors import DeepfakeEnsembleWarning, said
from base_models.runtime.caches import register
from base_models.runtime.ending.unfinished import create, remove_if_dead, this_boot
from base_models.runtime.warn_once import told_to_sender

MARKER = ".deepfake-ensemble-store"
DATABASES = ("small.sqlite", *(f"small.{number}.sqlite" for number in range(1, 10)))
_FORMAT = 1
KINDS = {  # of the entries; stores without a marker hold no others
    "view", "features", "member", "scores", "training", "graph", "landmarks", "judged",
    "faces", "index",
}  # fmt: skip
_KEY = re.compile(r"[0-9a-f]{64}")
_TWO = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"(?P<key>[0-9a-f]{64})\.safetensors")
_TEMPORARY = re.compile(  # the first form was written before the marker existed
    r"tmp[a-z0-9_]{8}\.part"
    r"|(?P<key>[0-9a-f]{64})(\.(?P<boot>[0-9a-f]{8}))?\.[a-z0-9_]{8}\.part"
)
_DATABASE = re.compile(r"small(\.[1-9])?\.sqlite(-wal|-shm|-journal)?")
_OF_THE_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}

_mixed: set[Path] = set()  # folders that this process found to hold files of others
register(f"{__name__}._mixed", _mixed.clear)
_warned: set[tuple[Path, str]] = set()  # (folder, what about)
_damaged: dict[Path, set[tuple[str, str]]] = {}  # folder -> (kind, key) of entries
register(f"{__name__}._damaged", _damaged.clear)
_MOST_NAMED = 5


class StoreFolder:
    """The files of a store within a folder that others may use too.

    A folder that is new, empty, or holds nothing but a store's files belongs to the
    store: a marker file at its root says so from then on, and the store may delete its
    old entries there. In any other folder entries are kept beside the files that are
    there, and nothing is deleted to make room. What does not bear a name that only a
    store gives is never read, replaced or deleted, and deletion follows no links.

    Parameters
    ----------
    path : Path
        The root of the store; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entry(self, kind: str, key: str) -> Path | None:
        """Return ``<kind>/<2 digits>/<64 digits>.safetensors``; None of other keys."""
        if not is_entry_key(kind, key):
            return None
        return self.path / kind / key[:2] / f"{key}.safetensors"

    def claim(self) -> bool:
        """Make the folder, and mark it where it is the store's alone; say whether."""
        if self.is_own():
            return True
        if self.path in _mixed:
            return False
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._holds_nothing_else():
            if self.is_own():  # another process was first, and is at work
                return True
            _mixed.add(self.path)
            return False
        content = {
            "note": "This folder belongs to deepfake-ensemble. Old entries are deleted "
            "as it fills up. Keep nothing of your own here.",
            "format": _FORMAT,
            "id": uuid.uuid4().hex,
        }
        with (
            contextlib.suppress(FileExistsError),  # another process was first
            open(self.path / MARKER, "x", encoding="utf-8") as file,
        ):
            file.write(json.dumps(content, indent=1) + "\n")
        return True

    def is_own(self) -> bool:
        """Say whether the folder is marked as a store's."""
        try:
            return stat.S_ISREG(os.lstat(self.path / MARKER).st_mode)
        except OSError:
            return False

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield (path, stat) of the entries' files, unfinished ones included."""
        for kind in _scan(self.path):
            if not (kind.name in KINDS and kind.is_dir(follow_symlinks=False)):
                continue
            for two in _scan(kind.path):
                if not (_TWO.fullmatch(two.name) and two.is_dir(follow_symlinks=False)):
                    continue
                for file in _scan(two.path):
                    if _is_entry(file, two.name):
                        with contextlib.suppress(FileNotFoundError):  # just deleted
                            yield file.path, file.stat(follow_symlinks=False)

    def keys(self, kind: str) -> set[str]:
        """Return the keys of the kind's entries that have files."""
        matches = (
            _ENTRY.fullmatch(file.name)
            for two in _scan(self.path / kind)
            if _TWO.fullmatch(two.name)
            for file in _scan(two.path)
            if file.name.startswith(two.name)
        )
        return {match["key"] for match in matches if match}

    def write(self, file: Path, content: bytes) -> bool:
        """Write an entry as a whole or not at all; say whether it is there."""
        temporary = handle = None
        try:
            self.claim()
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary, handle = create(lambda: _temporary_name(file))
            left = memoryview(content)
            while left:
                left = left[os.write(handle, left) :]
            if os.name == "nt":  # where nobody renames an open file
                os.close(handle)
                handle = None
            os.replace(temporary, file)
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            self.warn_of_error(error)
            return False
        finally:
            if handle is not None:
                os.close(handle)
        return True

    def is_unfinished(self, path: str, now: float) -> bool:
        """Say whether a file is no entry yet; what a dead process left is deleted."""
        match = _TEMPORARY.fullmatch(os.path.basename(path))
        if match is None:
            return False
        return remove_if_dead(path, match["boot"], now) or match["boot"] is not None

    def remove(self, file: Path) -> bool:
        """Delete an entry's file if it is not behind a link; say whether it is gone."""
        try:
            if file.parent.is_symlink() or file.parent.parent.is_symlink():
                return False
            if not stat.S_ISREG(os.lstat(file).st_mode):
                return False
            os.unlink(file)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def warn_of_size(self, size: int, limit: int) -> None:
        """Say once that a folder of others has outgrown the limit of the store."""
        self.warn_once(
            "size",
            f"the store in {self.path} holds {size / 2**30:.2f} GiB, more than its "
            f"limit of {limit / 2**30:.2f} GiB. That folder holds files of others too, "
            "so nothing in it is deleted. Give the store a folder of its own.",
        )

    def warn_of_error(self, error: OSError) -> None:
        """Say once that nothing can be kept here."""
        advice = "Give another store"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "Free some space there, or give another store"
        self.warn_once(
            "error",
            f"the store in {self.path} cannot be written to "
            f"({error.strerror or error}); the run goes on, and computes again what "
            f"was not kept. {advice}.",
        )

    def warn_once(self, about: str, message: str) -> None:
        """Warn once in a process and folder."""
        told = told_to_sender((self.path, about), message)
        if not told and (self.path, about) not in _warned:
            _warned.add((self.path, about))
            warnings.warn(message, DeepfakeEnsembleWarning, stacklevel=2)

    def _holds_nothing_else(self) -> bool:
        for top in _scan(self.path):
            if top.name in _OF_THE_SYSTEM or top.name == MARKER or _is_database(top):
                continue
            if top.name not in KINDS or not top.is_dir(follow_symlinks=False):
                return False
            for two in _scan(top.path):
                if two.name in _OF_THE_SYSTEM:
                    continue
                if not (_TWO.fullmatch(two.name) and two.is_dir(follow_symlinks=False)):
                    return False
                for file in _scan(two.path):
                    if file.name not in _OF_THE_SYSTEM and not _is_entry(
                        file, two.name
                    ):
                        return False
        return True


def warn_of_damage(
    folder: Path, kind: str, key: str, error: Exception, is_local: bool
) -> None:
    """Name an entry that is damaged: once in a process, and of many the first few.

    Parameters
    ----------
    folder : Path
        The store.
    kind, key : str
        Of the entry.
    error : Exception
        What is wrong with it.
    is_local : bool
        Whether it is a file or a row on this machine, and no object of a bucket.
    """
    named = _damaged.setdefault(folder, set())
    if (kind, key) in named or len(named) > _MOST_NAMED:
        return
    named.add((kind, key))
    file = StoreFolder(folder).entry(kind, key)
    if file is None or (is_local and not file.exists()):
        file = folder / DATABASES[0]
    more = " (more are, which are not named)" if len(named) > _MOST_NAMED else ""
    message = (
        f"{file} is damaged: {kind} {key[:8]}, {said(error)}{more}. It is not used, "
        "and what it held is computed again. Is that disk whole?"
    )
    if not told_to_sender((folder, kind, key), message):
        warnings.warn(message, DeepfakeEnsembleWarning, stacklevel=3)


def is_entry_key(kind: str, key: str) -> bool:
    """Say whether an entry of this kind and key may have a file of its own."""
    return kind in KINDS and _KEY.fullmatch(key) is not None


def _is_entry(file: os.DirEntry[str], two: str) -> bool:
    match = _ENTRY.fullmatch(file.name) or _TEMPORARY.fullmatch(file.name)
    if match is None or not (match["key"] or two).startswith(two):
        return False
    return file.is_file(follow_symlinks=False)


def _is_database(file: os.DirEntry[str]) -> bool:
    from base_models.store.sqlite_blobs import is_ours

    match = _DATABASE.fullmatch(file.name)
    if match is None or not file.is_file(follow_symlinks=False):
        return False
    return bool(match[2]) or is_ours(file.path)


def _temporary_name(file: Path) -> Path:
    return file.with_name(f"{file.stem}.{this_boot()}.{uuid.uuid4().hex[:8]}.part")


def _scan(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder; one that went away or cannot be read is empty."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that lies in its place has nobody who writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
