"""Entries too small for a file each, in one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import urllib.parse
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

from base_models.errors import DeepfakeEnsembleWarning
from base_models.runtime.caches import register

_TABLE = """
create table if not exists entries (
    kind text, key text, used real, size integer, content blob,
    primary key (kind, key)
) without rowid
"""
_PATIENCE = 30.0  # seconds that others may hold the file
_HELD = 600.0  # seconds for which nobody waits again, where one has waited in vain
_FRESH = 10.0  # seconds within which a use is not noted again
_MOST_OPEN = 8  # connections of a thread
_COLUMNS = ["kind", "key", "used", "size", "content"]
_DAMAGED = ("file is not a database", "malformed")  # what SQLite says of such a file

# (path, inode) of files that are damaged, or not ours
_left_alone: set[tuple[Path, int | None]] = set()
register(f"{__name__}._left_alone", _left_alone.clear)
# path -> until when, by the monotonic clock, its file is not waited for
_held: dict[Path, float] = {}
register(f"{__name__}._held", _held.clear)


class SmallEntries:
    """Bytes under a kind and a key, shared by threads and processes.

    A file that is damaged, or is another program's, is left as it is, since other
    processes may have it open: the next name is used instead.

    Parameters
    ----------
    paths : list of Path
        The names that the SQLite file may have, in order; the first that can be used
        is taken. It may be deleted at any time; it is made when it is needed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> entries = SmallEntries([Path(folder.name) / "small.sqlite"])
    >>> entries.put("scores", "0a1b", b"content")
    True
    >>> entries.get("scores", "0a1b")
    b'content'
    >>> folder.cleanup()
    """

    def __init__(self, paths: list[Path]) -> None:
        self.paths = list(paths)

    @property
    def path(self) -> Path | None:
        """The first file that is not left alone; None if all are."""
        for path in self.paths:
            if not _left_alone or (path, _inode(path)) not in _left_alone:
                return path
        return None

    def get(self, kind: str, key: str) -> bytes | None:
        """Return the content, or None; note that it was used."""
        rows = self._run(
            "select content, used from entries where kind = ? and key = ?", (kind, key)
        )
        if not rows:
            return None
        content: bytes
        ((content, used),) = rows
        if not isinstance(content, bytes):  # a damaged row
            return None
        now = time.time()
        if not isinstance(used, float) or now - used > _FRESH:
            text = "update entries set used = ? where kind = ? and key = ?"
            self._run(text, (now, kind, key))
        return content

    def put(self, kind: str, key: str, content: bytes) -> bool:
        """Keep bytes, instead of any that were there; say whether that worked."""
        text = "insert or replace into entries values (?, ?, ?, ?, ?)"
        values = (kind, key, time.time(), len(content), content)
        return self._run(text, values, make=True) is not None

    def delete(self, kind: str, key: str) -> None:
        """Delete an entry, if it is there."""
        self._run("delete from entries where kind = ? and key = ?", (kind, key))

    def list(self) -> list[Any]:
        """Return (seconds of the last use, bytes, kind, key) of each entry."""
        text = "select used, size, kind, key from entries where typeof(used) = 'real'"
        text += " and typeof(size) = 'integer' and typeof(kind || key) = 'text'"
        return self._run(text, ()) or []  # without rows that are damaged

    def _run(self, statement: str, values: tuple[Any, ...], make: bool = False) -> Any:
        """Return the rows that a statement gives; None where it cannot be run."""
        for _ in self.paths:
            path = self.path
            if path is None:
                return None
            try:
                connection = _connection(path, make)
                if connection is None:
                    return None
                patience = 0 if time.monotonic() < _held.get(path, 0) else _PATIENCE
                connection.execute(f"pragma busy_timeout = {int(1000 * patience)}")
                with connection:
                    return connection.execute(statement, values).fetchall()
            except (sqlite3.OperationalError, OSError) as error:
                if "locked" in str(error):  # as by a process that was stopped
                    _held[path] = time.monotonic() + _HELD
                return None  # read-only, full, or held for too long
            except sqlite3.DatabaseError as error:
                if not any(words in str(error) for words in _DAMAGED):
                    raise
                _forget(path)
                _leave_alone(path, f"is damaged ({error})")
            except _Foreign:
                _leave_alone(path, "is another program's database")
        return None


def is_ours(path: str | Path) -> bool:
    """Say whether a file is a database that `SmallEntries` wrote, or an empty one."""
    try:
        connection = sqlite3.connect(
            f"file:{urllib.parse.quote(os.path.abspath(path))}?mode=rw",
            uri=True,
            timeout=_PATIENCE,
        )
    except sqlite3.Error:
        return False
    with contextlib.closing(connection):
        try:
            _check_ours(connection)
        except (sqlite3.Error, _Foreign):
            return False
    return True


class _Foreign(Exception):
    """A database that holds something else."""


def _check_ours(connection: sqlite3.Connection) -> None:
    try:
        tables = connection.execute(
            "select name from sqlite_master "
            "where name not like 'sqlite\\_%' escape '\\'"
        ).fetchall()
        columns = connection.execute("pragma table_info(entries)").fetchall()
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"{_DAMAGED[0]}: {error}") from error
    if not tables:
        return
    if tables != [("entries",)] or [column[1] for column in columns] != _COLUMNS:
        raise _Foreign


def _connection(path: Path, make: bool) -> sqlite3.Connection | None:
    """This thread's connection to the file that is there now."""
    if not hasattr(_own, "open") or _own.process != os.getpid():
        _own.open, _own.process = OrderedDict(), os.getpid()
    there = _inode(path)
    inode, connection = _own.open.get(path, (None, None))
    if connection is not None and inode == there:
        _own.open.move_to_end(path)
        return connection
    _forget(path)
    if there is None and not make:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    if there is None:  # SQLite would leave out the rights of others, and of the group
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o666))
    connection = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        _check_ours(connection)
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute(_TABLE)
    except (sqlite3.Error, _Foreign):
        connection.close()
        raise
    _own.open[path] = _inode(path), connection
    if len(_own.open) > _MOST_OPEN:
        _, (_, oldest) = _own.open.popitem(last=False)
        oldest.close()
    return connection


def _forget(path: Path) -> None:
    _, connection = _own.open.pop(path, (None, None))
    if connection is not None:
        connection.close()


def _leave_alone(path: Path, why: str) -> None:
    if (path, _inode(path)) not in _left_alone:
        _left_alone.add((path, _inode(path)))
        warnings.warn(
            f"{path} {why}; it is left as it is, and small entries of the store are "
            "kept in another file. Delete it when no process uses the store.",
            DeepfakeEnsembleWarning,
            stacklevel=2,
        )


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


class _OfThread(threading.local):
    open: OrderedDict[Path, tuple[int | None, sqlite3.Connection]]
    process: int  # whose they are


_own = _OfThread()
