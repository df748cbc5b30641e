"""Readers of this process: begun when they are needed, kept warm, replaced, ended."""

from __future__ import annotations

import atexit
import builtins
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.spawn import get_executable
from typing import Any, NamedTuple

import numpy as np

from base_models.limits import current_limits
from base_models.runtime.caches import register
from base_models.runtime.isolation.messages import (
    Garbled,
    receive_plain,
    send,
    taken_over,
)
from base_models.runtime.prefetch import n_cores

# What a reader needs: imported as it begins, before its memory is bounded.
_MODULES = ("base_models.video.reading", "base_models.video.quality", "cv2")
_MODULES += ("av.subtitles.stream", "numpy.ma")  # what these import when they read
_START = 120.0  # seconds
_GRACE = 2.0  # above the time allowed: a reader that looks at it says so itself
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_CODE = (
    "import sys; sys.path[:] = {path!r}; "
    "from base_models.runtime.isolation.worker import main; main({file}, {modules!r})"
)

_idle: list[Reader] = []
_all: set[Reader] = set()
_lock = threading.RLock()


class ReaderLost(Exception):
    """A reader ended while it read, or hung and was ended.

    Parameters
    ----------
    how : str
        As a part of a sentence.
    hung : bool
    """

    def __init__(self, how: str, hung: bool = False) -> None:
        super().__init__(how)
        self.how, self.hung = how, hung


class Refused(Exception):
    """The reader says that a video cannot be read.

    Parameters
    ----------
    kind, video, reason, advice : str
        Name of the error's class, and what it was made with.
    """

    def __init__(self, kind: str, video: str, reason: str, advice: str | None) -> None:
        super().__init__(reason)
        self.kind, self.video, self.reason, self.advice = kind, video, reason, advice


class _Request(NamedTuple):
    content: bytes
    seconds: float

    @classmethod
    def of(cls, name, arguments, is_stream, spent):
        limits = current_limits()
        what = name, arguments, limits, os.getcwd(), is_stream
        return cls(pickle.dumps(what), limits.video_seconds - spent + _GRACE)


def call(name: str, *arguments: Any, spent: float = 0.0) -> Any:
    """Call a function in a reader.

    Parameters
    ----------
    name : str
        "module:function" of ours. It gets what makes frames as its last argument, and
        returns what JSON can hold, or a tuple of frames and that.
    *arguments : object
    spent : float, default=0.0
        Seconds that the file was read before, of those allowed.

    Returns
    -------
    object
        Of a tuple the frames as an array that is shared with nobody.

    Raises
    ------
    Refused
    ReaderLost
        Twice: what an earlier file did to a reader is not the fault of this one.
    """
    request = _Request.of(name, arguments, False, spent)
    try:
        return _called(_taken(), request)
    except ReaderLost as error:
        if error.hung:
            raise
    return _called(_begun(), request)


def stream(
    name: str, *arguments: Any, spent: float = 0.0
) -> Iterator[tuple[np.ndarray | None, Any]]:
    """Call a generator in a reader, which goes some frames ahead.

    Parameters
    ----------
    name, *arguments, spent
        As for `call`. It yields tuples of a frame, or None, and what JSON can hold.

    Yields
    ------
    frame : ndarray or None
    rest : object

    Raises
    ------
    Refused
    ReaderLost
    """
    request = _Request.of(name, arguments, True, spent)
    n_given = 0
    try:
        for item in _streamed(_taken(), request):
            yield item
            n_given += 1
        return
    except ReaderLost as error:
        if error.hung:
            raise
    for number, item in enumerate(_streamed(_begun(), request)):
        if number >= n_given:
            yield item


def _called(reader, request):
    with reader:
        reader.ask(request.content)
        reply, file = reader.hear(request.seconds)
        if "value" not in reply:
            reader.leave_file(file)
            _raise(reader, reply)
        value = reply["value"]
        if file is not None:
            value = reader.array(file, reply.get("shape")), value
        reader.is_free(leaves=reply.get("leaves", False))
    return value


def _streamed(reader, request):
    ring = None
    with reader:
        reader.ask(request.content)
        left = request.seconds
        try:
            while True:
                begin = time.monotonic()
                reply, file = reader.hear(left)
                left -= time.monotonic() - begin
                if file is not None:
                    ring = reader.array(file, reply.get("shape"))
                if "rest" not in reply:
                    break
                frame = None
                if "slot" in reply:
                    frame = reader.frame(ring, reply["slot"])
                    reader.say(b"t")
                yield frame, reply["rest"]
        except GeneratorExit:
            reader.stop()
            raise
        reader.say(b"s")
        if "end" not in reply:
            _raise(reader, reply)
        reader.is_free(leaves=reply.get("leaves", False))


def _raise(reader, reply):
    """Raise what a reader told of, which goes on with the next file."""
    try:
        if "refused" in reply:
            kind, video, reason, advice = reply["refused"]
            error: Exception = Refused(kind, str(video), str(reason), advice)
        else:
            kind, said = reply["raised"]
            found = getattr(builtins, str(kind), None)
            is_error = isinstance(found, type) and issubclass(found, Exception)
            error = found(said) if is_error else RuntimeError(f"{kind}: {said}")
    except (KeyError, TypeError, ValueError):
        raise reader.lost("it answered with what is no answer") from None
    reader.is_free()
    raise error


class Reader:
    """A process that reads; used by one thread at a time, in a `with` block.

    It is ended where the block is left before `is_free` was called.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        code = _CODE.format(path=sys.path, file=theirs.fileno(), modules=_MODULES)
        with theirs:
            self._process = subprocess.Popen(
                [get_executable(), "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1")},
                start_new_session=True,  # Ctrl+C is ours alone
            )
        self._connection, self._is_free = ours, False
        with _lock:
            _all.add(self)
        try:
            self.hear(_START)
        except ReaderLost as error:
            raise RuntimeError(
                f"a process that reads videos cannot be started ({error.how}); run "
                "without isolation='process'"
            ) from None
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Reader:
        self._is_free = False
        return self

    def __exit__(self, *error: object) -> None:
        with _lock:
            is_kept = self._is_free and self in _all and len(_idle) < n_cores()
            if is_kept:
                _idle.append(self)
        if not is_kept:
            self.end()

    def ask(self, content: bytes) -> None:
        """Send a request."""
        self._connection.settimeout(_START)
        try:
            send(self._connection, content)
        except OSError:
            raise self.lost() from None

    def say(self, content: bytes) -> None:
        """Send a sign while it streams; one that is gone is seen when it is heard."""
        with suppress(OSError):
            self._connection.sendall(content)

    def hear(self, seconds: float) -> tuple[dict[str, Any], int | None]:
        """Wait for a message.

        Raises
        ------
        ReaderLost
        """
        try:
            self._connection.settimeout(max(seconds, 0.001))
            return receive_plain(self._connection)
        except TimeoutError:
            raise self.lost("", hung=True) from None
        except Garbled as error:
            raise self.lost(f"it answered with {error}") from None
        except (EOFError, OSError):
            raise self.lost() from None

    def array(self, file: int, shape: Any) -> np.ndarray:
        """Return the array behind an open file that came with a message."""
        try:
            return taken_over(file, shape if isinstance(shape, list) else [])
        except (Garbled, OSError, ValueError) as error:
            raise self.lost(f"it answered with {error}") from None

    def frame(self, ring: np.ndarray | None, slot: Any) -> np.ndarray:
        """Return a copy of one frame of those that it reads ahead."""
        if ring is None or not isinstance(slot, int) or not 0 <= slot < len(ring):
            raise self.lost("it answered with a frame that is none")
        return ring[slot].copy()

    def leave_file(self, file: int | None) -> None:
        """Close a file that came with a message and is of no use."""
        if file is not None:
            os.close(file)

    def stop(self) -> None:
        """Have it stream no more; it is ended if it does not stop soon."""
        self.say(b"s")
        until = time.monotonic() + 1.0
        with suppress(ReaderLost):
            while (left := until - time.monotonic()) > 0:
                reply, file = self.hear(left)
                self.leave_file(file)
                if "rest" not in reply:
                    self.is_free(leaves=reply.get("leaves", False))
                    return

    def is_free(self, leaves: Any = False) -> None:
        """Note that it did what it was asked for: it is kept, unless it grew."""
        self._is_free = not leaves

    def lost(self, how: str = "", hung: bool = False) -> ReaderLost:
        """End it; return the error that says how it ended."""
        if not how and not hung:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        status = self._process.poll()
        self.end()
        return ReaderLost(how or _words(status), hung)

    def end(self) -> None:
        """End the process, whatever it does."""
        with _lock:
            _all.discard(self)
            if self in _idle:
                _idle.remove(self)
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()

    def forget(self) -> None:
        """Let go of it in a copy of this process: it is its parent's."""
        self._connection.close()
        self._process.stdin.close()
        self._process.returncode = 0


def _words(status):
    if status is None:
        return "it no longer answered"
    if status >= 0:
        return f"exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    if name == "SIGKILL":
        name += ", perhaps for want of memory"
    return name


def _begun():
    return Reader()


def _taken():
    with _lock:
        if _idle:
            return _idle.pop()
    return _begun()


def end_readers(idle_alone: bool = True) -> None:
    """End the readers of this process; those at work, too, if it is to end.

    Parameters
    ----------
    idle_alone : bool, default=True
    """
    with _lock:
        readers = list(_idle if idle_alone else _all)
    for reader in readers:
        reader.end()


def _after_fork():
    global _lock
    _lock = threading.RLock()
    for reader in _all:
        reader.forget()
    _all.clear()
    _idle.clear()


atexit.register(end_readers, idle_alone=False)
register(f"{__name__}._idle", end_readers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
