"""Reads videos in another process where limits ask for it, and here where not."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from importlib import import_module
from typing import Any

from base_models.errors import VideoReadError
from base_models.limits import current_limits
from base_models.runtime.caches import Cache
from base_models.runtime.clusters.given_up import give_up_video, reason_given_up
from base_models.runtime.file_digest import begun_as, same_file
from base_models.runtime.isolation.pool import ReaderLost, Refused, call, stream
from base_models.video.bounds.budget import (
    TookTooLong,
    in_bounds,
    one_clock,
    took_too_long,
    waiting,
)
from base_models.video.remote import RemoteVideo

_slow = Cache(f"{__name__}._slow", maxsize=4096)  # (file, limits) -> True


def apart(function: Callable) -> Callable:
    """Have a function that reads a video called in another process, if limits say so.

    Parameters
    ----------
    function : callable
        Of a module; of a path and what can be sent. It returns what JSON can hold, or
        a tuple of frames and that.
    """

    @wraps(function)
    def called(path, *arguments):
        with _remembered(path) as is_apart:
            if not is_apart:
                return function(path, *arguments)
            with waiting() as spent:
                begun = None if isinstance(path, RemoteVideo) else begun_as(path)
                how = f"{__name__}:plainly", spent, begun, _name(function), path
                return call(*how, *arguments, spent=spent)

    return called


def apart_each(function: Callable) -> Callable:
    """Have a generator of a video's frames run in another process, if limits say so.

    Parameters
    ----------
    function : callable
        As for `apart`. It yields tuples of a frame, or None, and what JSON can hold.
    """

    @wraps(function)
    def called(path, *arguments):
        with _remembered(path) as is_apart:
            if is_apart:
                with waiting() as spent:
                    pass  # what comes is counted by who takes the frames
                begun = None if isinstance(path, RemoteVideo) else begun_as(path)
                how = f"{__name__}:plainly_each", spent, begun, _name(function), path
                yield from stream(*how, *arguments, spent=spent)
            else:
                yield from function(path, *arguments)

    return called


def plainly(
    spent: float, begun: Sequence[str] | None, name: str, path: Any, *arguments: Any
) -> Any:
    """Call a function in the other process; the last argument makes its frames."""
    *arguments, make = arguments
    with same_file(path, begun), in_bounds(make), one_clock(path, spent):
        return _function(name)(path, *arguments)


def plainly_each(
    spent: float, begun: Sequence[str] | None, name: str, path: Any, *arguments: Any
) -> Iterator[tuple[Any, Any]]:
    """Run a generator in the other process."""
    *arguments, make = arguments
    with same_file(path, begun), in_bounds(make), one_clock(path, spent):
        yield from _function(name)(path, *arguments)


def _name(function):
    return f"{function.__module__}:{function.__qualname__}"


def _function(name):
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


def read_no_more(path: Any) -> None:
    """Have a video that took too long not be read again in this process.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    """
    _slow[_key(path), current_limits()] = True


@contextmanager
def _remembered(path):
    """Yield whether to read apart; have what ends or delays readers not read again."""
    key = _key(path), current_limits()
    if _slow.get(key):
        raise took_too_long(path, current_limits().video_seconds)
    is_apart = current_limits().isolation is not None and not _is_ours(path)
    if is_apart and (reason := _reason_given_up(path)) is not None:
        raise VideoReadError(path, reason)
    try:
        yield is_apart
    except TookTooLong:
        _slow[key] = True
        raise
    except Refused as error:
        if error.kind == TookTooLong.__name__:
            _slow[key] = True
        raise VideoReadError(error.video, error.reason, error.advice) from None
    except ReaderLost as error:
        if error.hung:
            _slow[key] = True
            raise took_too_long(path, current_limits().video_seconds) from None
        reason = f"it ended the process that read it ({error.how})"
        where = path.facts.address if isinstance(path, RemoteVideo) else path
        give_up_video(where, reason)
        raise VideoReadError(path, reason) from None


def _key(path) -> Hashable:
    if isinstance(path, RemoteVideo):
        return path
    with suppress(OSError):
        status = os.stat(path)
        return os.path.realpath(path), status.st_size, status.st_mtime_ns
    return str(path)


def _is_ours(path):
    """Whether it is in the memory of this process, where no other can read it."""
    return isinstance(path, RemoteVideo) and path.facts.address.startswith("memory:")


def _reason_given_up(path):
    if isinstance(path, RemoteVideo):
        return reason_given_up(path.facts.address, path.digest)
    return reason_given_up(path)
