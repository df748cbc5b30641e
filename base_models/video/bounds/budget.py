"""What one reading of a video may take: pixels, frames, memory and seconds."""

from __future__ import annotations

import errno
import math
import mmap
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import numpy as np

from base_models.errors import VideoReadError, is_of_the_machine
from base_models.limits import current_limits
from base_models.runtime.file_digest import same_file
from base_models.runtime.prefetch import check_wanted, take_room

_MARGIN, _LITTLE = 2**26, 2**21  # bytes
_is_bounded: ContextVar[bool] = ContextVar("is_bounded", default=False)
_MOST_IDLE = 5.0  # seconds from look to look: more is a process that was stopped
_SELDOM = 1e-2  # seconds between two looks at the clock of CPU time, at least
_clock: ContextVar[Clock | None] = ContextVar("clock", default=None)
# How frames are made that are handed to another process; None: as any array.
_make_frames: ContextVar[Callable | None] = ContextVar("make_frames", default=None)


class TookTooLong(VideoReadError):
    """A video was read for longer than is allowed."""


def over_limit(path: Any, asked: str, setting: str, needed: Any) -> VideoReadError:
    """Return the error of a video that asks for more than is allowed.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    asked : str
        What it asks for, and what is allowed.
    setting : str
        Of `base_models.limits.Limits`.
    needed : number
        What it would have to be.
    """
    return VideoReadError(
        path,
        asked,
        "if you trust it, allow more in a block of "
        f"base_models.reading_limits({setting}={needed}); or drop the video",
    )


def out_of_memory(path: Any) -> VideoReadError:
    """Return the error of a video for whose reading there is no memory."""
    if not _is_bounded.get() and current_limits().isolation is None:
        return VideoReadError(path, "there is not enough memory to read it")
    allowed = current_limits().video_bytes
    asked = f"reading it takes more than the {allowed:,} bytes of memory allowed"
    return over_limit(path, asked, "video_bytes", 4 * allowed)


def is_of_a_decoder(error: BaseException) -> bool:
    """Whether it is an error of a decoder, or one that it stumbled over in a file."""
    if type(error).__module__.split(".")[0] in ("av", "cv2"):
        return True
    if not isinstance(error, LookupError | ArithmeticError | AssertionError):
        return False
    (*_, (innermost, _)) = traceback.walk_tb(error.__traceback__)
    # Compiled modules name their sources as these lay when they were built.
    return innermost.f_code.co_filename.replace("\\", "/").startswith("av/")


def unreadable(path: Any, error: Exception) -> Exception:
    """Return the error of a video that a decoder, or the system, cannot read."""
    if is_of_the_machine(error):
        return too_many_files(path, error)
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    kind = type(error).__name__
    return VideoReadError(path, f"{kind}: {said}" if said else kind)


def too_many_files(path: Any, error: Any) -> OSError:
    """Return the error of a machine that opens no more files: this one, as it came."""
    return OSError(
        error.errno,
        "too many files are open; raise `ulimit -n`, or use fewer jobs",
        str(path),
    )


def check_picture(path: Any, width: int, height: int, which: str = "its pictures have"):
    """Refuse a picture that has more pixels than are allowed.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    width, height : int
    which : str, default="its pictures have"
        How the sentence begins.

    Raises
    ------
    VideoReadError

    Examples
    --------
    >>> from base_models.video.bounds.budget import check_picture
    >>> check_picture("wide.mp4", 1920, 1080)
    >>> check_picture("wide.mp4", 12_000, 12_000)
    Traceback (most recent call last):
    base_models.errors.VideoReadError: cannot read video wide.mp4: its pictures have \
12,000 x 12,000 pixels (144,000,000), and 67,108,864 are allowed; if you trust it, ...
    """
    allowed = current_limits().video_pixels
    if width * height > allowed:
        raise over_limit(
            path,
            f"{which} {width:,} x {height:,} pixels ({width * height:,}), and "
            f"{allowed:,} are allowed",
            "video_pixels",
            width * height,
        )


def check_count(path: Any, n_frames: int, what: str = "frames"):
    """Refuse more frames, or images, than are allowed.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    n_frames : int
    what : str, default="frames"

    Raises
    ------
    VideoReadError
    """
    allowed = current_limits().video_frames
    if n_frames > allowed:
        asked = f"it has {n_frames:,} {what}, and {allowed:,} are allowed"
        raise over_limit(path, asked, "video_frames", n_frames)


def empty_frames(path: Any, n_frames: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return room for frames, if they do not take more memory than is allowed.

    In threads that share a `Room` it waits until there is some.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    n_frames : int
    shape : tuple of int
        Of one.

    Returns
    -------
    ndarray of shape (n_frames, *shape), uint8

    Raises
    ------
    VideoReadError
    """
    n_bytes, allowed = n_frames * math.prod(shape), current_limits().video_bytes
    if n_bytes > allowed:
        height, width = shape[:2]
        asked = (
            f"{n_frames:,} frames of {width:,} x {height:,} pixels take {n_bytes:,} "
            f"bytes of memory, and {allowed:,} are allowed"
        )
        raise over_limit(path, asked, "video_bytes", n_bytes)
    clock = _clock.get()
    with nullcontext() if clock is None else clock.standing():
        take_room(n_bytes)
    make = _make_frames.get() or np.empty
    return make((n_frames, *shape), np.uint8)


@contextmanager
def in_bounds(make_frames: Callable) -> Iterator[None]:
    """Read in a process that gets no more memory than a video may take.

    Parameters
    ----------
    make_frames : callable
        Called as ``make_frames(shape, dtype)`` by `empty_frames`.
    """
    tokens = _make_frames.set(make_frames), _is_bounded.set(True)
    try:
        yield
    finally:
        _make_frames.reset(tokens[0])
        _is_bounded.reset(tokens[1])


class Clock:
    """Counts the seconds that a video is read.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    spent : float, default=0.0
        Those that it was read before.
    """

    def __init__(self, path: Any, spent: float = 0.0) -> None:
        self._path, self._allowed = path, current_limits().video_seconds
        self._spent, self._since = spent, self._now()
        self._seldom = _SELDOM * min(1.0, self._allowed)

    def check(self) -> None:
        """Refuse to go on where it was read for longer than is allowed.

        Raises
        ------
        VideoReadError
        """
        check_wanted()
        passed = time.monotonic() - self._since[0]
        if passed < self._seldom and self._spent <= self._allowed:
            return  # asking for CPU time after each packet would cost more than it
        self._count()
        if self._spent > self._allowed:
            raise took_too_long(self._path, self._allowed)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Do not count what a block takes: that of who uses the frames."""
        self._count()
        try:
            yield
        finally:
            self._since = self._now()

    @contextmanager
    def waiting(self) -> Iterator[float]:
        """Count all that a block takes, in which another process reads.

        Yields
        ------
        float
            Seconds until then.
        """
        self.check()
        begun = time.monotonic()
        try:
            yield self._spent
        finally:
            self._spent += time.monotonic() - begun
            self._since = self._now()

    def _count(self):
        """Add what passed, but not that this process was stopped for a while."""
        now = self._now()
        wall, cpu = (at - then for at, then in zip(now, self._since, strict=True))
        self._spent += min(wall, cpu + _MOST_IDLE)
        self._since = now

    @staticmethod
    def _now():
        return time.monotonic(), time.process_time()


def took_too_long(path: Any, allowed: float) -> VideoReadError:
    """Return the error of a video that was read for longer than is allowed."""
    asked = f"reading it takes longer than the {allowed:g} s allowed"
    error = over_limit(path, asked, "video_seconds", f"{10 * allowed:g}")
    return TookTooLong(path, error.reason, error.advice)


@contextmanager
def one_clock(path: Any, spent: float = 0.0) -> Iterator[Clock]:
    """Count all that is read of a video within the block by one clock.

    The block holds no `yield` to who uses frames. One within another counts by that
    one's clock.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    spent : float, default=0.0
        Seconds that it was read before.

    Yields
    ------
    Clock
    """
    clock = _clock.get() or Clock(path, spent)
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


def clock_of(path: Any) -> Clock:
    """Return the clock of the block, or a new one."""
    return _clock.get() or Clock(path)


@contextmanager
def one_reading(video: Any) -> Iterator[Any]:
    """Count all that is read of a video, and done to see what is in it, by one clock.

    All of it is read of one file, wherever its name may lead meanwhile.

    Parameters
    ----------
    video : str, Path or ndarray
        An array was read by the caller, and has no limit.
    """
    if isinstance(video, np.ndarray):
        yield None
        return
    with same_file(), one_clock(video) as clock:
        yield clock


@contextmanager
def waiting() -> Iterator[float]:
    """Count a block, in which another process reads, by the clock of the block around.

    Yields
    ------
    float
        Seconds that the video was read before.
    """
    clock = _clock.get()
    if clock is None:
        yield 0.0
        return
    with clock.waiting() as spent:
        yield spent


def check_refusal(path: Any, context: Any, error: Any) -> None:
    """Raise what a decoder's error stands for, if it is not damage but a limit.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    context : CodecContext
        Whose ``max_pixels`` is set.
    error : FFmpegError

    Raises
    ------
    VideoReadError
    MemoryError
        There is no more memory. FFmpeg says so too where it has too few pictures.
    """
    width, height = context.width, context.height
    check_picture(path, width, height, "one of its pictures has")
    if error.errno == errno.EINVAL and not width and context.is_open:
        # FFmpeg forgets the size that it refused.
        allowed = current_limits().video_pixels
        asked = f"one of its pictures has more pixels than the {allowed:,} allowed"
        raise over_limit(path, asked, "video_pixels", "...")
    needed = 16 * width * height  # of a decoder's pictures
    check_memory(error, needed)
    if _is_bounded.get() and not _is_room(needed + _LITTLE):
        raise MemoryError  # which some decoders take for damage


def check_memory(error: Any, n_bytes: int) -> None:
    """Raise MemoryError if FFmpeg says so, and there is no room for so many bytes."""
    if error.errno == errno.ENOMEM and not _is_room(n_bytes + _MARGIN):
        raise MemoryError


def _is_room(n_bytes):
    try:
        mmap.mmap(-1, n_bytes).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
