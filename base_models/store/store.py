"""What was computed once, by content, and the eviction of what was used longest ago."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import json
import logging
import mmap
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from platformdirs import user_cache_path

from base_models.addresses import local_path, public_name, remote_address
from base_models.runtime.caches import Cache, cached
from base_models.store.code import code_digest
from base_models.store.encoding import Entry, decoded, encoded
from base_models.store.folder import (
    DATABASES,
    KINDS,
    StoreFolder,
    is_entry_key,
    warn_of_damage,
    without_waiting,
)
from base_models.store.in_use import default_store
from base_models.store.keys import class_key
from base_models.store.objects import StoreObjects, mapped_copy
from base_models.store.shared_disks import is_shared
from base_models.store.sqlite_blobs import SmallEntries

_FORMAT = 1  # part of every key: raise it when what is stored changes meaning
_SMALL = 2**16  # bytes up to which an entry has no file of its own
# (store path, key) -> object, this process only
_remembered = Cache(f"{__name__}._remembered", maxsize=64)
# (store path, limit) -> bytes written since this process last measured it
_unchecked = Cache(f"{__name__}._unchecked", maxsize=1024)


class Store:
    """A folder or bucket that keeps costly results, found by their key.

    Every entry is a safetensors file with a checksum behind it, written to a temporary
    name and moved into place, so that several processes may share a store and a killed
    one leaves nothing half-written behind; the small ones are rows of one SQLite file.
    The folder may be deleted at any time: what is missing or damaged is computed again.

    A folder that is new or empty becomes the store's own, which a marker file says.
    When it outgrows its limit, the entries used longest ago are deleted. In a folder
    that holds anything else, nothing is deleted to make room.

    Machines may share a store. On a file system of a network (NFS, Lustre, SMB, ...)
    SQLite's log does not hold between machines: there small entries are files as well,
    each moved into place as a whole, and a database that lies there is not touched. An
    entry that was just written may not be seen by another machine for as long as that
    file system remembers what was not there; it is computed again there, and what is
    read is always whole.

    In a bucket (``s3://bucket/store``, ``gs://...``) every entry is an object, which
    is there as a whole or not at all. With other protocols of fsspec an entry that is
    being written may be read in part, is known to be cut off, and counts as none. There
    `size_limit` does not hold and nothing is deleted: use the lifecycle rules of the
    bucket. What cannot be read or written costs the entry and a warning, not the run.

    Parameters
    ----------
    path : str, Path or None, default=None
        The folder, or an address for fsspec (extra ``remote``). None takes the
        environment variable ``DEEPFAKE_ENSEMBLE_STORE``, or a folder in the user's
        cache directory.
    size_limit : int, default=20 * 2**30
        Bytes that the folder may hold.
    shared : bool or None, default=None
        Whether other machines write to the folder, too; None finds out under Linux
        whether it lies on a network's file system. Where you know better, say so.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import Store
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = Store(folder.name)
    >>> store.put("features", "0a1b", {"values": np.arange(3)}, {"reason": ""})
    >>> arrays, meta = store.get("features", "0a1b")
    >>> arrays["values"]
    array([0, 1, 2])
    >>> store.get("features", "ffff") is None
    True
    >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | Path | None = None,
        size_limit: int = 20 * 2**30,
        shared: bool | None = None,
    ) -> None:
        if path is None:
            path = os.environ.get("DEEPFAKE_ENSEMBLE_STORE") or user_cache_path(
                "deepfake-ensemble"
            )
        self.size_limit = int(size_limit)
        address = remote_address(path)
        self._objects = None if address is None else StoreObjects(address)
        if self._objects is not None:
            self.path = Path(public_name(self._objects.address))
            self.size_limit, self.shared = sys.maxsize, True
            self._place = self._objects.address
            return
        self.path = Path(os.path.realpath(os.path.expanduser(local_path(str(path)))))
        self.shared = is_shared(self.path) if shared is None else bool(shared)
        self._place = str(self.path)
        self._folder = StoreFolder(self.path)
        databases = [] if self.shared else [self.path / name for name in DATABASES]
        self._small = SmallEntries(databases)  # without a file it holds nothing

    def __repr__(self) -> str:
        if self._objects is not None:
            return f"Store({public_name(self._objects.address)!r})"
        return f"Store({str(self.path)!r}, size_limit={self.size_limit})"

    def get(self, kind: str, key: str, mapped: bool = False) -> Entry | None:
        """Return the entry as (arrays, meta), or None where there is none.

        Parameters
        ----------
        kind : str
            What it is, one of `base_models.store.folder.KINDS`: ``"view"``,
            ``"features"``, ``"member"``, ``"scores"``...
        key : str
            64 hexadecimal digits, as made by `store_key`. An entry of more than
            64 KiB, or in a store that machines share, must have such a key; a small
            one may have a shorter one.
        mapped : bool, default=False
            Whether large arrays stay on disk until they are looked at, and cannot be
            written to.

        Returns
        -------
        tuple of (dict of str to ndarray, dict) or None
        """
        content = self._read(kind, key, mapped)
        if content is None and self._objects is None:
            content = self._small.get(kind, key)
        if content is None:
            return None
        try:
            return decoded(content if mapped else bytearray(content), f"{kind}/{key}")
        except Exception as error:  # without a checksum it may be anything
            # A disk that failed or a folder copied in part: compute it again.
            warn_of_damage(self.path, kind, key, error, self._objects is None)
            if self._objects is None and self._folder.is_own():
                self.delete(kind, key)
            return None

    def put(
        self,
        kind: str,
        key: str,
        arrays: Mapping[str, ArrayLike],
        meta: dict[str, Any] | None = None,
    ) -> None:
        """Keep arrays and a JSON-able dict under a key.

        A disk that is full or read-only costs the entry, not the run.

        Parameters
        ----------
        kind, key : str
            As for `get`.
        arrays : dict of str to array-like
        meta : dict or None, default=None

        Raises
        ------
        ValueError
            For an entry of more than 64 KiB, or in a store that machines share, whose
            key is none of `store_key`.
        """
        stored = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        content = encoded(stored, meta or {}, f"{kind}/{key}")
        if self._objects is not None:
            if not is_entry_key(kind, key):
                raise _wrong_key(len(content), kind, key)
            self._objects.write(kind, key, content)
            return
        try:
            self._folder.claim()
        except OSError as error:
            self._folder.warn_of_error(error)
            return
        if len(content) <= _SMALL and self._small.put(kind, key, content):
            self._remove_file(kind, key)
        else:
            file = self._folder.entry(kind, key)
            if file is None:
                raise _wrong_key(len(content), kind, key)
            if not self._folder.write(file, content):
                return
            self._small.delete(kind, key)
        self._make_room(len(content))

    def delete(self, kind: str, key: str) -> None:
        """Delete an entry, if there is one.

        Parameters
        ----------
        kind, key : str
            As for `get`.
        """
        if self._objects is not None:
            self._objects.delete(kind, key)
            return
        self._remove_file(kind, key)
        self._small.delete(kind, key)

    def keys(self, kind: str) -> list[str]:
        """List what there is.

        Parameters
        ----------
        kind : str
            As for `get`.

        Returns
        -------
        list of str
            Sorted.
        """
        if self._objects is not None:
            return sorted(self._objects.keys(kind))
        rows = {key for _, _, of, key in self._small.list() if of == kind}
        return sorted(self._folder.keys(kind) | rows)

    def remember(self, key: str, value: Any = None) -> Any:
        """Keep an object that has no portable form, for this process only.

        Parameters
        ----------
        key : str
        value : object or None, default=None
            What to keep: a copy of it. What cannot be copied is not kept.

        Returns
        -------
        object or None
            Without a value, a copy of what was kept, or None.
        """
        if value is not None:
            value = _copied(value)
            if value is not None:
                _remembered[self._place, key] = value
            return None
        return _copied(_remembered.get((self._place, key)))

    def _read(
        self, kind: str, key: str, mapped: bool
    ) -> mmap.mmap | bytearray | bytes | None:
        """Return the bytes of an entry's file or object; None where there is none."""
        content: mmap.mmap | bytearray | bytes | None
        if self._objects is not None:
            if not is_entry_key(kind, key):
                return None
            content = self._objects.read(kind, key)
            return mapped_copy(content) if mapped and content is not None else content
        file = self._folder.entry(kind, key)
        if file is None:
            return None
        try:
            with open(file, "rb", opener=without_waiting) as entry:
                if mapped and self.shared:  # which another machine may delete
                    content = mapped_copy(entry.read())
                elif mapped:
                    content = mmap.mmap(entry.fileno(), 0, access=mmap.ACCESS_READ)
                else:
                    content = bytearray(entry.read())
        except OSError:
            return None
        except ValueError:  # an empty file cannot be mapped
            content = b""
        with contextlib.suppress(OSError):  # deleted meanwhile: we have it
            os.utime(file)
        return content

    def _remove_file(self, kind: str, key: str) -> None:
        file = self._folder.entry(kind, key)
        if file is not None:
            self._folder.remove(file)

    def _make_room(self, n_bytes: int) -> None:
        """Delete what was used longest ago, looking at the folder now and then."""
        # Not `diskcache`: it unpickles whatever its index calls a pickle, deletes only
        # what is in that index, which reading writes to, and maps no file.
        folder = str(self.path), self.size_limit
        unchecked = _unchecked.get(folder, np.inf) + n_bytes
        _unchecked[folder] = unchecked
        if unchecked < self.size_limit / 50:
            return
        _unchecked[folder] = 0
        entries: list[tuple[float, int, Callable]] = []  # last use, bytes, deletion
        is_own, files = self._folder.is_own(), list(self._folder.files())
        now = max((stat.st_mtime for _, stat in files), default=0.0)  # of that disk
        for path, stat in files:
            if is_own and self._folder.is_unfinished(path, now):
                continue
            remove_file = functools.partial(self._folder.remove, Path(path))
            entries.append((stat.st_mtime, stat.st_size, remove_file))
        for used, size, *where in self._small.list():
            entries.append((used, size, functools.partial(self._small.delete, *where)))
        total = sum(size for _, size, _ in entries)
        excess = total - self.size_limit
        if excess <= 0:
            return
        if not is_own:
            self._folder.warn_of_size(total, self.size_limit)
            return
        excess += self.size_limit // 10  # so that not every entry makes us look
        for _, size, remove in sorted(entries, key=lambda entry: entry[:2]):
            if excess <= 0:
                break
            if remove() is not False:
                excess -= size


@dataclasses.dataclass(frozen=True)
class KeptState:
    """One entry of a store that is written again and again, and deleted at the end.

    Parameters
    ----------
    store : Store
    kind, key : str
        As for `Store.get`.
    """

    store: Store
    kind: str
    key: str

    def load(self) -> Entry | None:
        """Return (arrays, meta), or None where nothing is kept."""
        return self.store.get(self.kind, self.key)

    def save(self, arrays: Mapping[str, ArrayLike], meta: dict[str, Any]) -> None:
        """Keep arrays and a JSON-able dict."""
        self.store.put(self.kind, self.key, arrays, meta)

    def clear(self) -> None:
        """Delete what was kept."""
        self.store.delete(self.kind, self.key)


def _wrong_key(n_bytes: int, kind: str, key: str) -> ValueError:
    return ValueError(
        f"an entry of {n_bytes} bytes needs one of the kinds {sorted(KINDS)} and a key "
        f"of 64 hexadecimal digits, as store_key makes it; got kind {kind!r} and key "
        f"{key!r}"
    )


def _copied(value: Any) -> Any:
    """Return a copy, or None of an object whose class cannot be copied."""
    try:
        return copy.deepcopy(value)
    except Exception as error:
        logging.getLogger(__name__).debug("not remembered: %r", error)
        return None


def resolve_store(store: str | Path | Store | None) -> Store:
    """Return the `Store` that a ``store`` parameter means.

    Parameters
    ----------
    store : None, str, Path or Store
        None is that of `store_in_use`, else the default store of this user.

    Returns
    -------
    Store

    Examples
    --------
    >>> from base_models.store import Store, resolve_store
    >>> resolve_store("somewhere").path.name
    'somewhere'
    """
    if isinstance(store, Store):
        return store
    if store is None:
        return default_store() or Store()
    address = remote_address(store)
    if address is not None:
        return _store_at(address)
    if isinstance(store, (str, os.PathLike)):
        path = os.path.expanduser(local_path(os.fspath(store)))
        return _store_at(os.path.abspath(path))
    raise TypeError(
        "store must be None, an address, a folder or a Store; got "
        f"{type(store).__name__}"
    )


@cached(maxsize=64)
def _store_at(path: str) -> Store:
    return Store(path)  # following links takes longer than reading a small entry


def store_key(**parts: Any) -> str:
    """Return a key (64 hexadecimal digits) that stands for all the parts.

    Parameters
    ----------
    **parts
        Numbers, strings, paths, arrays, dataclasses, scikit-learn estimators, and
        dicts and lists of these.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        For an object that has no stable description.

    Examples
    --------
    >>> from base_models.store import store_key
    >>> store_key(size=299, view="face") == store_key(view="face", size=299)
    True
    """
    described = json.dumps(_describe([_FORMAT, parts]), sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def fingerprint(thing: object) -> str:
    """Return a digest of an object of any class: its code and its state.

    Parameters
    ----------
    thing : object
        See `base_models.store.code.code_digest`.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If not all of its code and state can be told, as those of a lambda cannot.

    Examples
    --------
    >>> from base_models.store import fingerprint
    >>> fingerprint(max) == fingerprint(min)
    False
    """
    return code_digest(thing)


def _describe(part: Any) -> Any:
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    if isinstance(part, os.PathLike):
        return os.fspath(part)
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.ndarray) and part.dtype != object:
        contiguous: Any = np.ascontiguousarray(part)
        digest = hashlib.sha256(contiguous).hexdigest()
        return ["array", str(part.dtype), list(part.shape), digest]
    if isinstance(part, dict):
        return {str(name): _describe(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_describe(value) for value in part]
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = dataclasses.fields(part)
        return [
            class_key(type(part)),
            {f.name: _describe(getattr(part, f.name)) for f in fields},
        ]
    if hasattr(part, "get_params"):
        # parameters that are files count by what is in them
        params = getattr(part, "key_params", functools.partial(part.get_params, False))
        return [class_key(type(part)), _describe(params())]
    raise TypeError(
        f"{type(part).__module__}.{type(part).__qualname__} has no stable description"
    )
