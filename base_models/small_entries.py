"""Entries too small for a file each, in one SQLite file."""

import contextlib
import os
import sqlite3
import threading
import time
from collections import OrderedDict
from pathlib import Path

_TABLE = """
create table if not exists entries (
    kind text, key text, used real, size integer, content blob,
    primary key (kind, key)
) without rowid
"""
_PATIENCE = 30.0  # seconds that others may hold the file
_FRESH = 10.0  # seconds within which a use is not noted again
_MOST_OPEN = 8  # connections of a thread


class SmallEntries:
    """Bytes under a kind and a key, shared by threads and processes.

    Parameters
    ----------
    path : Path
        The SQLite file. It may be deleted at any time; it is made when it is needed.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> entries = SmallEntries(Path(folder.name) / "small.sqlite")
    >>> entries.put("scores", "0a1b", b"content")
    True
    >>> entries.get("scores", "0a1b")
    b'content'
    >>> folder.cleanup()
    """

    def __init__(self, path):
        self.path = path

    def get(self, kind, key):
        """Return the content, or None; note that it was used."""
        found = self._run(
            "select content, used from entries where kind = ? and key = ?", (kind, key)
        )
        if not found:
            return None
        ((content, used),) = found
        now = time.time()
        if now - used > _FRESH:
            text = "update entries set used = ? where kind = ? and key = ?"
            self._run(text, (now, kind, key))
        return content

    def put(self, kind, key, content):
        """Keep bytes, instead of any that were there; say whether that worked."""
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return (
                self._run(
                    "insert or replace into entries values (?, ?, ?, ?, ?)",
                    (kind, key, time.time(), len(content), content),
                    make=True,
                )
                is not None
            )
        return False

    def delete(self, kind, key):
        """Delete an entry, if it is there."""
        self._run("delete from entries where kind = ? and key = ?", (kind, key))

    def list(self):
        """Return (seconds of the last use, bytes, kind, key) of each entry."""
        return self._run("select used, size, kind, key from entries", ()) or []

    def _run(self, statement, values, make=False):
        """Return the rows that a statement gives; None where it cannot be run."""
        try:
            connection = self._connection(make)
            if connection is None:
                return None
            with connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError:  # read-only, full, or held for too long
            return None
        except sqlite3.DatabaseError:  # damaged: what it held is computed again
            self._forget()
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    Path(f"{self.path}{end}").unlink()
            return None

    def _connection(self, make):
        """This thread's connection to the file that is there now."""
        if not hasattr(_own, "open") or _own.process != os.getpid():
            _own.open, _own.process = OrderedDict(), os.getpid()
        try:
            there = self.path.stat().st_ino
        except OSError:
            there = None
        known, connection = _own.open.get(self.path, (None, None))
        if connection is not None and known == there:
            _own.open.move_to_end(self.path)
            return connection
        self._forget()
        if there is None and not make:
            return None
        connection = sqlite3.connect(self.path, timeout=_PATIENCE)
        try:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute(_TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        _own.open[self.path] = self.path.stat().st_ino, connection
        if len(_own.open) > _MOST_OPEN:
            _, (_, oldest) = _own.open.popitem(last=False)
            oldest.close()
        return connection

    def _forget(self):
        _, connection = _own.open.pop(self.path, (None, None))
        if connection is not None:
            connection.close()


_own = threading.local()  # open: path -> (inode, connection); process: whose they are
