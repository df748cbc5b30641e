"""The process that reads: its loop, what bounds it, and how it ends with its caller."""

from __future__ import annotations

import os
import pickle
import resource
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.limits import within
from base_models.runtime.ending.callers import end_with_pipe
from base_models.runtime.isolation.messages import SharedArray, receive, send_plain

_GROWN = 2**29  # bytes above which it ends, and another one begins
_SLOTS, _SLOT_BYTES = 16, 2**25  # frames that are read ahead, and their bytes
_NO_ROOM = "failed to map segment"  # what the system says of a library
_CPU_MARGIN = 60  # seconds above those allowed, after which the system ends it


def main(descriptor: int, modules: Sequence[str]) -> None:
    """Read what is asked for until nobody asks any more.

    Parameters
    ----------
    descriptor : int
        Of the socket to the caller.
    modules : sequence of str
        Imported before it is ready.
    """
    end_with_pipe()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=descriptor)
    for module in modules:
        import_module(module)
    began_with = _memory_in_use()
    send_plain(connection, {"ready": True})
    while True:
        try:
            content, _ = receive(connection)
        except (EOFError, OSError):
            return
        name, arguments, limits, folder, is_stream = pickle.loads(content)
        with suppress(OSError):
            os.chdir(folder)
        _bound(limits)
        function = _function(name)
        with within(replace(limits, isolation=None)):
            answer = _stream if is_stream else _call
            answer(connection, function, arguments, began_with)


def _call(connection, function, arguments, began_with):
    frames = _Frames()
    try:
        value = function(*arguments, frames.make)
    except Exception as error:
        frames.close()
        send_plain(connection, _told(error))
        return
    shared = None
    if isinstance(value, tuple) and isinstance(value[0], np.ndarray):
        shared, value = frames.of(value[0]), value[1]
    reply = {"value": value, "leaves": _memory_in_use() - began_with > _GROWN}
    if shared is None:
        send_plain(connection, reply)
    else:
        reply["shape"] = shared.array.shape
        send_plain(connection, reply, frames=shared.file)
    del shared, value
    frames.close()


def _stream(connection, function, arguments, began_with):
    """Send frames one by one, some ahead of those that were taken."""
    ring, slot, free, stopped = None, 0, 0, False
    items: Iterator[Any] = iter(())
    try:
        items = function(*arguments, np.empty)
        for frame, rest in items:
            message, files = {"rest": rest}, {}
            stopped, n_taken = _taken(connection, wait=False)
            free += n_taken  # also of an item without a frame, or its slot is lost
            if frame is not None:
                if ring is None:
                    n_slots = max(2, min(_SLOTS, _SLOT_BYTES // frame.nbytes))
                    ring, free = SharedArray((n_slots, *frame.shape)), n_slots
                    files = {"frames": ring.file}
                    message["shape"] = ring.array.shape
                while not free and not stopped:
                    stopped, n_taken = _taken(connection, wait=True)
                    free += n_taken
                if not stopped:
                    ring.array[slot] = frame
                    message["slot"], free = slot, free - 1
                    slot = (slot + 1) % len(ring.array)
            if stopped:
                break
            send_plain(connection, message, **files)
            del frame
        leaves = _memory_in_use() - began_with > _GROWN
        send_plain(connection, {"end": True, "leaves": leaves})
    except Exception as error:
        send_plain(connection, _told(error))
    finally:
        while not stopped:  # signs that are still on their way
            stopped, _ = _taken(connection, wait=True)
        if hasattr(items, "close"):
            items.close()
        if ring is not None:
            ring.close()


def _taken(connection, wait):
    """Return whether no more is wanted, and how many more frames were taken.

    One sign is read at a time: after the last one the next request may follow.
    """
    if not wait and not select.select([connection], [], [], 0)[0]:
        return False, 0
    sign = connection.recv(1)
    return sign in (b"", b"s"), len(sign)


class _Frames:
    """Shared arrays that a function fills."""

    def __init__(self):
        self._made = []

    def make(self, shape, dtype):
        self._made.append(SharedArray(shape))
        return self._made[-1].array

    def of(self, array):
        for shared in self._made:
            if shared.array is array:
                return shared
        self.make(array.shape, array.dtype)[:] = array
        return self._made[-1]

    def close(self):
        for shared in self._made:
            shared.close()
        self._made = []


def _told(error):
    """Return an error as the caller can have it."""
    if isinstance(error, VideoReadError):
        return {"refused": [type(error).__name__, error.video, error.reason,
                            error.advice]}  # fmt: skip
    if isinstance(error, ImportError) and _NO_ROOM in str(error):
        error = MemoryError(str(error))
    return {"raised": [type(error).__name__, str(error)]}


def _function(name):
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def _bound(limits):
    """Let the system bound what one reading takes, beside our own looking at it."""
    with suppress(OSError, ValueError):
        most = _memory_in_use() + limits.video_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = used.ru_utime + used.ru_stime + 2 * limits.video_seconds
        most = int(min(seconds + _CPU_MARGIN, 2**40))
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))


def _memory_in_use():
    """Return the bytes of this process's addresses, which is what Linux bounds."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
