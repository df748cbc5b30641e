"""Makes things ahead of their use, in threads."""

from __future__ import annotations

import contextlib
import contextvars
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

# Set when nobody waits any more for what is made: one for each `look_ahead` around.
_ended: ContextVar[tuple[threading.Event, ...]] = ContextVar("ended", default=())


# Memory that threads share, and how much of it this one holds, in a list of one.
_room: ContextVar[tuple[Room, list[int]] | None] = ContextVar("room", default=None)


class NoLongerWanted(BaseException):
    """Who asked for it has ended: no error of what was being made."""


def check_wanted() -> None:
    """End work in a thread for which nobody waits any more; called in long loops.

    Raises
    ------
    NoLongerWanted
    """
    if any(event.is_set() for event in _ended.get()):
        raise NoLongerWanted


class Room:
    """Memory that threads share, each of which works on one thing at a time.

    Parameters
    ----------
    n_bytes : int
        So much of it there is.

    Examples
    --------
    >>> from base_models.runtime.prefetch import Room, take_room
    >>> room = Room(100)
    >>> with room.shared():
    ...     take_room(80)
    ...     room.taken
    80
    >>> room.taken
    0
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes, self.taken = n_bytes, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Let a block `take_room`, and give back at its end what it took."""
        held = [0]
        before = _room.set((self, held))
        try:
            yield
        finally:
            _room.reset(before)
            with self._changed:
                self.taken -= held[0]
                self._changed.notify_all()

    def take(self, n_bytes: int, held: list[int]) -> None:
        """Wait for room; who holds some does not, since others may wait for that."""
        with self._changed:
            while not held[0] and self.taken and self.taken + n_bytes > self.n_bytes:
                self._changed.wait(0.1)
                check_wanted()
            self.taken += n_bytes
            held[0] += n_bytes


def take_room(n_bytes: int) -> None:
    """Wait until others need so little memory that there is room for so much.

    Parameters
    ----------
    n_bytes : int
        What is made next. What needs more than all there is waits until it is alone.
        Outside of `Room.shared` nothing waits.
    """
    shared = _room.get()
    if shared is not None:
        room, held = shared
        room.take(n_bytes, held)


def n_cores() -> Any:
    """Return the number of CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def look_ahead(
    make: Callable[..., Any],
    things: Iterable[Any],
    n_workers: int | None = None,
    depth: int | None = None,
    size: Callable[..., Any] = lambda made: 0,
    memory: int = 2**28,
) -> Iterator[object]:
    """Yield ``make(thing)`` of each thing in order, made in threads ahead of its use.

    Work goes on while the consumer computes, and stops where what is ready would take
    too much memory: neither the number of things nor a slow consumer makes it grow.

    Parameters
    ----------
    make : callable
    things : iterable
    n_workers : int or None, default=None
        Threads; 0 makes each thing when it is asked for. None is one for each core, at
        most 8; but one in a process that was started beside others, by joblib.
    depth : int or None, default=None
        Most things that are being made or ready. None is three for each worker.
    size : callable, default=nothing
        Bytes of a thing that was made; those that are being made count as the largest
        so far.
    memory : int, default=2**28
        Bytes that all of them may take; one is made in any case.

    Yields
    ------
    object
        In the order of `things`. An error of `make` comes where its result would, and
        ends the work: what is being made then ends at its next `check_wanted`.

    Examples
    --------
    >>> from base_models.runtime.prefetch import look_ahead
    >>> list(look_ahead(abs, [-1, 2, -3], n_workers=2))
    [1, 2, 3]
    """
    if n_workers is None:
        alone = multiprocessing.parent_process() is None
        n_workers = min(8, n_cores()) if alone else 1
    if n_workers == 0:
        yield from map(make, things)
        return
    depth = 3 * n_workers if depth is None else depth
    things, waiting, end = iter(things), deque(), object()
    largest = None  # bytes of one; nobody knows before one is there
    pool, ended = ThreadPoolExecutor(n_workers), threading.Event()

    def fill():
        ready = [size(each.result()) for each in waiting if _is_ready(each)]
        larger = max([largest or 0, *ready])
        while len(waiting) < (n_workers if largest is None else depth):
            ahead = sum(ready) + (len(waiting) - len(ready) + 1) * larger
            if waiting and ahead > memory:
                break
            if (thing := next(things, end)) is end:
                break
            context = contextvars.copy_context()
            context.run(_ended.set, (*_ended.get(), ended))
            waiting.append(pool.submit(context.run, make, thing))

    try:
        fill()
        while waiting:
            made = waiting.popleft().result()
            largest = max(largest or 0, size(made))
            fill()
            yield made
    finally:
        ended.set()
        pool.shutdown(cancel_futures=True)


def _is_ready(future):
    return future.done() and future.exception() is None
