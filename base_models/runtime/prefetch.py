"""Makes things ahead of their use, in threads."""

from __future__ import annotations

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
