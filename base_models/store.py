"""What was computed once: sampled views, features and fitted members, by content."""

import contextlib
import copy
import dataclasses
import functools
import hashlib
import inspect
import json
import mmap
import os
import pickle
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
from platformdirs import user_cache_path
from safetensors.numpy import save as encode_arrays

from base_models.small_entries import SmallEntries

_FORMAT = 1  # part of every key: raise it when what is stored changes meaning
_IN_MEMORY = 64  # objects that a process remembers for one store
_SMALL = 2**16  # bytes up to which an entry has no file of its own
_TYPES = {  # of safetensors
    "BOOL": np.bool_, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32,
    "U64": np.uint64, "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "F16": np.float16, "F32": np.float32, "F64": np.float64,
}  # fmt: skip

_remembered = {}  # store path -> OrderedDict of key -> object, this process only
_unchecked = {}  # (path, limit) -> bytes written since this process last measured it
_lock = threading.Lock()


class Store:
    """A folder of arrays that were costly to compute, found again by their key.

    Every entry is a safetensors file, written to a temporary name and moved into
    place, so that several processes may share a store and a killed one leaves nothing
    half-written behind; the small ones are rows of one SQLite file. When the folder
    outgrows its limit, what was used longest ago is deleted. The folder may be deleted
    at any time: what is missing is computed again.

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

    def __init__(self, path=None, size_limit=20 * 2**30):
        if path is None:
            path = os.environ.get("DEEPFAKE_ENSEMBLE_STORE") or user_cache_path(
                "deepfake-ensemble"
            )
        self.path = Path(path).expanduser().resolve()
        self.size_limit = int(size_limit)
        self._small = SmallEntries(self.path / "small.sqlite")

    def __repr__(self):
        return f"Store({str(self.path)!r}, size_limit={self.size_limit})"

    def get(self, kind, key, mapped=False):
        """Return the entry as (arrays, meta), or None where there is none.

        Parameters
        ----------
        kind : str
            What it is: ``"view"``, ``"features"``, ``"member"``, ``"scores"``.
        key : str
            Hexadecimal, as made by `store_key`.
        mapped : bool, default=False
            Whether large arrays stay on disk until they are looked at, and cannot be
            written to.

        Returns
        -------
        tuple of (dict of str to ndarray, dict) or None
        """
        file = self._file(kind, key)
        try:
            with open(file, "rb") as content:
                if mapped:
                    content = mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ)
                else:
                    content = bytearray(content.read())
            with contextlib.suppress(OSError):  # deleted meanwhile: we have it
                os.utime(file)
        except OSError:
            content = self._small.get(kind, key)
            if content is None:
                return None
        except ValueError:  # an empty file cannot be mapped
            content = b""
        try:
            return _decoded(content if mapped else bytearray(content))
        except (ValueError, KeyError, TypeError):
            # A disk that filled up or a folder copied in part: compute it again.
            self.delete(kind, key)
            return None

    def put(self, kind, key, arrays, meta=None):
        """Keep arrays and a JSON-able dict under a key.

        A disk that is full or read-only costs the entry, not the run.
        """
        arrays = {name: np.asarray(value, order="C") for name, value in arrays.items()}
        content = encode_arrays(arrays, {"meta": json.dumps(meta or {})})
        file = self._file(kind, key)
        if len(content) <= _SMALL and self._small.put(kind, key, content):
            file.unlink(missing_ok=True)
        else:
            if not _written(file, content):
                return
            self._small.delete(kind, key)
        self._make_room(len(content))

    def delete(self, kind, key):
        """Delete an entry, if there is one.

        Parameters
        ----------
        kind, key : str
            As for `get`.
        """
        with contextlib.suppress(OSError):
            self._file(kind, key).unlink(missing_ok=True)
        self._small.delete(kind, key)

    def keys(self, kind):
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
        files = {file.stem for file in (self.path / kind).glob("*/*.safetensors")}
        rows = {key for _, _, of, key in self._small.list() if of == kind}
        return sorted(files | rows)

    def remember(self, key, value=None):
        """Keep an object that has no portable form, for this process only.

        With a value, keep it; without, return what was kept, or None.
        """
        with _lock:
            memory = _remembered.setdefault(str(self.path), OrderedDict())
            if value is not None:
                memory[key] = value
                while len(memory) > _IN_MEMORY:
                    memory.popitem(last=False)
            elif key in memory:
                memory.move_to_end(key)
            return copy.deepcopy(memory.get(key))

    def _file(self, kind, key):
        return self.path.joinpath(kind, key[:2], f"{key}.safetensors")

    def _make_room(self, n_bytes):
        """Delete what was used longest ago, looking at the folder now and then."""
        folder = str(self.path), self.size_limit
        with _lock:
            if folder in _unchecked:
                _unchecked[folder] += n_bytes
                if _unchecked[folder] < self.size_limit / 50:
                    return
            _unchecked[folder] = 0
        entries = []  # (seconds of last use, bytes, how to delete it)
        for file in self.path.glob("*/*/*"):
            with contextlib.suppress(FileNotFoundError):  # another process was first
                stat = file.stat()
                entries.append((stat.st_mtime, stat.st_size, file.unlink))
        for used, size, *where in self._small.list():
            entries.append((used, size, functools.partial(self._small.delete, *where)))
        excess = sum(size for _, size, _ in entries) - self.size_limit
        if excess <= 0:
            return
        excess += self.size_limit // 10  # so that not every entry makes us look
        for _, size, remove in sorted(entries, key=lambda entry: entry[:2]):
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                remove()
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

    def load(self):
        """Return (arrays, meta), or None where nothing is kept."""
        return self.store.get(self.kind, self.key)

    def save(self, arrays, meta):
        """Keep arrays and a JSON-able dict."""
        self.store.put(self.kind, self.key, arrays, meta)

    def clear(self):
        """Delete what was kept."""
        self.store.delete(self.kind, self.key)


def _written(file, content):
    """Write a file as a whole or not at all; say whether it is there."""
    temporary = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, suffix=".part")
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.replace(temporary, file)
    except OSError:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        return False
    return True


def _decoded(content):
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


def resolve_store(store):
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


@functools.lru_cache(maxsize=64)
def _store_at(path):
    return Store(path)  # following links takes longer than reading a small entry


def store_key(**parts):
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


def fingerprint(thing):
    """Return a digest of an object of any class: its code and its state.

    Parameters
    ----------
    thing : object
        Anything that can be pickled.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If it cannot be pickled, as a lambda cannot.

    Examples
    --------
    >>> from base_models.store import fingerprint
    >>> fingerprint(max) == fingerprint(min)
    False
    """
    coded = thing if inspect.isroutine(thing) else type(thing)
    try:
        source = inspect.getsource(coded)
    except (OSError, TypeError):  # compiled, or typed into a prompt
        source = ""
    try:
        state = joblib.hash(thing, hash_name="sha1")
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(f"{coded!r} has no stable description: {error}") from error
    return hashlib.sha256(
        f"{coded.__module__}.{coded.__qualname__}\n{source}\n{state}".encode()
    ).hexdigest()


def _describe(part):
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    if isinstance(part, os.PathLike):
        return os.fspath(part)
    if isinstance(part, np.generic):
        return part.item()
    if isinstance(part, np.ndarray) and part.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(part)).hexdigest()
        return ["array", str(part.dtype), list(part.shape), digest]
    if isinstance(part, dict):
        return {str(name): _describe(value) for name, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_describe(value) for value in part]
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = dataclasses.fields(part)
        return [_name(part), {f.name: _describe(getattr(part, f.name)) for f in fields}]
    if hasattr(part, "get_params"):
        return [_name(part), _describe(part.get_params(deep=False))]
    raise TypeError(
        f"{type(part).__module__}.{type(part).__qualname__} has no stable description"
    )


def _name(thing):
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
