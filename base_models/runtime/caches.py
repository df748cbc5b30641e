"""What a process keeps so that it need not be computed again, and `clear_caches`.

Every cache of the process is made or registered here: it has a name and a bound (or
holds its entries weakly), threads may share it, and one call empties them all. Memory
that is free again goes back to the system by `give_back_memory`.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable)

_emptying = {}  # name of a cache -> what empties it
_lock = threading.RLock()  # an entry that goes may take others with it


def _after_fork():
    global _lock
    _lock = threading.RLock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def clear_caches() -> None:
    """Empty all caches of this process, so that their memory is free again.

    Results stay the same: what is needed again is computed, or read, again. What is in
    use at that moment, by this thread or another, lives until it is let go. Stores on
    disk are not touched.

    Examples
    --------
    >>> from base_models import clear_caches
    >>> clear_caches()
    """
    for empty in list(_emptying.values()):
        empty()
    give_back_memory()


def give_back_memory() -> None:
    """Give free memory back to the system, where the C library keeps it.

    That of Linux (glibc) keeps what a training has let go, in hundreds of megabytes,
    and between the passages that stay in use it may take more for the next one. Where
    there is no such function, nothing happens.

    Examples
    --------
    >>> from base_models.runtime.caches import give_back_memory
    >>> give_back_memory()
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@functools.lru_cache(1)
def _trim():
    """glibc's ``malloc_trim``, or None."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl; macOS; Windows
        return None


def register(name: str, empty: Callable[[], Any]) -> None:
    """Let `clear_caches` empty a cache that is none of the kinds here.

    Parameters
    ----------
    name : str
        Its module and its name.
    empty : callable
        Called without arguments, by any thread.
    """
    _emptying[name] = empty


def cached(maxsize: int) -> Callable[[Function], Function]:
    """Keep the last results of a function, as `functools.lru_cache` does.

    Parameters
    ----------
    maxsize : int
        Results that are kept.

    Examples
    --------
    >>> from base_models.runtime.caches import cached
    >>> @cached(maxsize=2)
    ... def squared(x):
    ...     return x * x
    >>> squared(3), squared(3), squared.cache_info().hits
    (9, 9, 1)
    """

    def decorate(function):
        keeping = functools.lru_cache(maxsize)(function)
        register(f"{function.__module__}.{function.__qualname__}", keeping.cache_clear)
        return keeping

    return decorate


class Cache:
    """A mapping of what was used last.

    Parameters
    ----------
    name : str
        Its module and its name.
    maxsize : int
        Entries that are kept.

    Examples
    --------
    >>> from base_models.runtime.caches import Cache
    >>> shades = Cache("example", maxsize=2)
    >>> shades["red"], shades["green"], shades["blue"] = 1, 2, 3
    >>> shades.get("red"), shades.get("blue"), len(shades)
    (None, 3, 2)
    """

    def __init__(self, name: str, maxsize: int) -> None:
        self.maxsize = maxsize
        self._entries = OrderedDict()
        register(name, self.clear)

    def __len__(self):
        return len(self._entries)

    def __setitem__(self, key, value):
        with _lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self.maxsize:
                self._entries.popitem(last=False)

    def get(self, key: Hashable, default: Any = None) -> Any:
        """Return what is kept under a key."""
        with _lock:
            if key not in self._entries:
                return default
            self._entries.move_to_end(key)
            return self._entries[key]

    def setdefault(self, key: Hashable, value: Any) -> Any:
        """Return what is kept under a key; keep the value where there is nothing."""
        with _lock:
            if key not in self._entries:
                self[key] = value
            return self.get(key)

    def pop(self, key: Hashable, default: Any = None) -> Any:
        """Return what was kept under a key, and keep it no more."""
        with _lock:
            return self._entries.pop(key, default)

    def clear(self) -> None:
        """Keep nothing of what there is."""
        with _lock:
            self._entries.clear()


class PerThread:
    """What each thread of each process loads for itself, since no two may share it.

    Parameters
    ----------
    name : str
        Its module and its name.
    maxsize : int
        Things that are kept for each thread.

    Examples
    --------
    >>> from base_models.runtime.caches import PerThread
    >>> lists = PerThread("example of lists", maxsize=2)
    >>> lists.get(list, "ab") is lists.get(list, "ab")
    True
    """

    def __init__(self, name: str, maxsize: int) -> None:
        self.maxsize = maxsize
        self._own = threading.local()
        self._of_threads = weakref.WeakSet()
        register(name, self.clear)

    def get(self, load: Callable, *arguments: Hashable) -> Any:
        """Return ``load(*arguments)``, called once by this thread."""
        if getattr(self._own, "process", None) != os.getpid():
            self._own.process, self._own.things = os.getpid(), _Things()
            with _lock:
                self._of_threads.add(self._own.things)
        things, key = self._own.things, (load, *arguments)
        with _lock:
            thing = things.get(key)
        if thing is None:
            thing = load(*arguments)
            with _lock:
                things[key] = thing
                while len(things) > self.maxsize:
                    things.popitem(last=False)
        return thing

    def clear(self) -> None:
        """Keep nothing for any thread."""
        with _lock:
            for things in list(self._of_threads):
                things.clear()


class _Things(OrderedDict):
    __hash__ = object.__hash__  # may be in a weak set
