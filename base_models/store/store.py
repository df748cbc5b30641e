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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from platformdirs import user_cache_path
from safetensors.numpy import save as encode_arrays

from base_models.runtime.caches import Cache, cached
from base_models.store.code import code_digest
from base_models.store.folder import DATABASES, KINDS, StoreFolder
from base_models.store.keys import class_key
from base_models.store.sqlite_blobs import SmallEntries

Entry: TypeAlias = tuple[dict[str, np.ndarray], dict[str, Any]]  # arrays, meta

_FORMAT = 1  # part of every key: raise it when what is stored changes meaning
_SMALL = 2**16  # bytes up to which an entry has no file of its own
_TYPES = {  # of safetensors
    "BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32,
    "U64": np.uint64, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip

# (store path, key) -> object, this process only
_remembered = Cache(f"{__name__}._remembered", maxsize=64)
# (store path, limit) -> bytes written since this process last measured it
_unchecked = Cache(f"{__name__}._unchecked", maxsize=1024)


class Store:
    """A folder of arrays that were costly to compute, found again by their key.

    Every entry is a safetensors file, written to a temporary name and moved into
    place, so that several processes may share a store and a killed one leaves nothing
    half-written behind; the small ones are rows of one SQLite file. The folder may be
    deleted at any time: what is missing is computed again.

    A folder that is new or empty becomes the store's own, which a marker file says.
    When it outgrows its limit, the entries used longest ago are deleted. In a folder
    that holds anything else, nothing is deleted to make room.

    Parameters
    ----------
    path : str, Path or None, default=None
        The folder. None takes the environment variable
        ``DEEPFAKE_ENSEMBLE_STORE``, or a folder in the user's cache directory.
    size_limit : int, default=20 * 2**30
        Bytes that the folder may hold.

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
        self, path: str | Path | None = None, size_limit: int = 20 * 2**30
    ) -> None:
        if path is None:
            path = os.environ.get("DEEPFAKE_ENSEMBLE_STORE") or user_cache_path(
                "deepfake-ensemble"
            )
        self.path = Path(path).expanduser().resolve()
        self.size_limit = int(size_limit)
        self._folder = StoreFolder(self.path)
        self._small = SmallEntries([self.path / name for name in DATABASES])

    def __repr__(self) -> str:
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
            64 KiB must have such a key; a small one may have a shorter one.
        mapped : bool, default=False
            Whether large arrays stay on disk until they are looked at, and cannot be
            written to.

        Returns
        -------
        tuple of (dict of str to ndarray, dict) or None
        """
        content = self._read(kind, key, mapped)
        if content is None:
            content = self._small.get(kind, key)
        if content is None:
            return None
        try:
            return _decoded(content if mapped else bytearray(content))
        except (ValueError, KeyError, TypeError):
            # A disk that filled up or a folder copied in part: compute it again.
            if self._folder.is_own():
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
            For an entry of more than 64 KiB whose key is none of `store_key`.
        """
        stored = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        content = encode_arrays(stored, {"meta": json.dumps(meta or {})})
        try:
            self._folder.claim()
        except OSError:
            return
        if len(content) <= _SMALL and self._small.put(kind, key, content):
            self._remove_file(kind, key)
        else:
            file = self._folder.entry(kind, key)
            if file is None:
                raise ValueError(
                    f"an entry of {len(content)} bytes needs one of the kinds "
                    f"{sorted(KINDS)} and a key of 64 hexadecimal digits, as store_key "
                    f"makes it; got kind {kind!r} and key {key!r}"
                )
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
                _remembered[str(self.path), key] = value
            return None
        return _copied(_remembered.get((str(self.path), key)))

    def _read(
        self, kind: str, key: str, mapped: bool
    ) -> mmap.mmap | bytearray | bytes | None:
        """Return the bytes of an entry's file, or None where there is none."""
        file = self._folder.entry(kind, key)
        if file is None:
            return None
        content: mmap.mmap | bytearray | bytes
        try:
            with open(file, "rb") as entry:
                if mapped:
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
        is_due = unchecked >= self.size_limit / 50
        _unchecked[folder] = 0 if is_due else unchecked
        if not is_due:
            return
        # (seconds of last use, bytes, how to delete it)
        entries: list[tuple[float, int, Callable[[], bool | None]]] = []
        for path, stat in self._folder.files():
            remove_file = functools.partial(self._folder.remove, Path(path))
            entries.append((stat.st_mtime, stat.st_size, remove_file))
        for used, size, *where in self._small.list():
            entries.append((used, size, functools.partial(self._small.delete, *where)))
        total = sum(size for _, size, _ in entries)
        excess = total - self.size_limit
        if excess <= 0:
            return
        if not self._folder.is_own():
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


def _copied(value: Any) -> Any:
    """Return a copy, or None of an object whose class cannot be copied."""
    try:
        return copy.deepcopy(value)
    except Exception as error:
        logging.getLogger(__name__).debug("not remembered: %r", error)
        return None


def _decoded(content: mmap.mmap | bytearray | bytes) -> Entry:
    """Return (arrays, meta) of safetensors bytes, without copying them."""
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= len(content):
        raise ValueError("no header")
    header = json.loads(bytes(content[8:start]))
    meta = json.loads(header.pop("__metadata__", {}).get("meta", "{}"))
    arrays = {}
    for name, described in header.items():
        kind, shape = np.dtype(_TYPES[described["dtype"]]), described["shape"]
        begin, end = described["data_offsets"]
        if start + end > len(content):
            raise ValueError("cut short")
        part = memoryview(content)[start + begin : start + end]
        arrays[name] = np.frombuffer(part, kind).reshape(shape)
    return arrays, meta


def resolve_store(store: str | Path | Store | None) -> Store:
    """Return the `Store` that a ``store`` parameter means.

    Parameters
    ----------
    store : None, str, Path or Store
        None is the default store of this user.

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
        return Store()
    if isinstance(store, (str, os.PathLike)):
        return _store_at(os.path.abspath(os.path.expanduser(store)))
    raise TypeError(
        f"store must be None, a folder or a Store; got {type(store).__name__}"
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
