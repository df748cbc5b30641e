"""What reading a file of others may take, in one place: it is refused before it does.

A few bytes can ask for gigabytes, or for hours. Each reader looks at what a file says
of itself first, and refuses one that asks for more than is allowed here.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from base_models.addresses import public_name

ISOLATIONS = ("process", None)
_SLACK = 2**20  # bytes that may unpack to more than the file has room for
_RATIO = 20  # weights are hard to compress: what unpacks to more is a bomb


@dataclass(frozen=True)
class Limits:
    """What one file of others may take while it is read.

    Attributes
    ----------
    model_bytes : int, default=8 * 2**30
        Of memory, for all that a file of weights or a saved model holds.
    model_parts : int, default=100_000
        Tensors, or files inside of a file.
    model_depth : int, default=100
        Modules, lists and the like inside of each other.
    table_bytes : int, default=2**29
        Of a table as it is read: of text, or what parquet and Excel unpack to.
    table_columns : int, default=10_000
    table_cells : int, default=20_000_000
        Rows times columns.
    video_pixels : int, default=2**26
        Of a picture: a frame of a video, or an image. 8192 x 8192, twice 8K.
    video_frames : int, default=2**24
        Packets of a video, or images of a folder. A day at 190 a second.
    video_bytes : int, default=4 * 2**30
        Of memory: for the frames of a video that are asked for at once; and with
        ``isolation="process"``, under Linux, for all that reading it takes.
    video_seconds : float, default=1800.0
        That one look at a video takes: all that is read of it for its views, further
        frames where the first show no face, and finding faces; or its length and
        quantiser. Without what detectors do with its frames. It is looked at after each
        packet and each picture, so that a call of a decoder or of a face finder which
        never comes back is not stopped, but for a decoder with
        ``isolation="process"``, which ends then. A video that took too long is not
        read again in that process within the same limits. Of a file behind an address
        that must be fetched as a whole, fetching it may take as long again.
    isolation : "process" or None, default=None
        Whether videos are read in another process, kept for the next ones, which may
        die of a file: that is the reason of this file, and the run goes on. Frames are
        the same.

    Examples
    --------
    >>> from base_models.limits import Limits
    >>> Limits().model_depth
    100
    """

    model_bytes: int = 8 * 2**30
    model_parts: int = 100_000
    model_depth: int = 100
    table_bytes: int = 2**29
    table_columns: int = 10_000
    table_cells: int = 20_000_000
    video_pixels: int = 2**26
    video_frames: int = 2**24
    video_bytes: int = 4 * 2**30
    video_seconds: float = 1800.0
    isolation: str | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "isolation":
                _check_isolation(value)
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number; got {value!r}")
            elif not value > 0:
                raise ValueError(f"{name} must be above 0; got {value!r}")


def _check_isolation(value):
    if value not in ISOLATIONS:
        raise ValueError(f"isolation must be 'process' or None; got {value!r}")
    if value is not None and os.name != "posix":
        raise ValueError("isolation='process' needs Linux or macOS; got Windows")


_DEFAULT = Limits()
_current: ContextVar[Limits | None] = ContextVar("limits", default=None)


def current_limits() -> Limits:
    """Return the limits that hold here.

    Examples
    --------
    >>> from base_models.limits import current_limits
    >>> current_limits().model_parts
    100000
    """
    return _current.get() or _DEFAULT


@contextmanager
def reading_limits(**changed: Any) -> Iterator[Limits]:
    """Read files within other limits, in this block and in the tasks that it sends.

    Parameters
    ----------
    **changed : int or float
        By the names of `Limits`; ``isolation`` is "process" or None.

    Raises
    ------
    TypeError
        For a name that is none of them, or what is no number.
    ValueError
        For a number that is not above 0.

    Examples
    --------
    >>> from base_models import load_checkpoint
    >>> from base_models.limits import reading_limits
    >>> with reading_limits(model_bytes=64 * 2**30):
    ...     detector = load_checkpoint("huge.pth")  # doctest: +SKIP
    >>> with reading_limits(video_seconds=60, isolation="process") as limits:
    ...     limits.video_seconds, limits.video_pixels
    (60, 67108864)
    """
    with within(replace(current_limits(), **changed)) as limits:
        yield limits


@contextmanager
def within(limits: Limits) -> Iterator[Limits]:
    """Read files within these limits: those of who sent the task.

    Parameters
    ----------
    limits : Limits

    Examples
    --------
    >>> from base_models.limits import Limits, current_limits, within
    >>> with within(Limits(model_depth=7)):
    ...     current_limits().model_depth
    7
    """
    token = _current.set(limits)
    try:
        yield limits
    finally:
        _current.reset(token)


NO_FILE = "it is a pipe, a socket or a device, and no file"


def is_special(path: str | os.PathLike) -> bool:
    """Whether a path, or what it links to, is there and neither a file nor a folder.

    Reading it may wait for ever, or never end.

    Examples
    --------
    >>> from base_models.limits import is_special
    >>> is_special("/dev/null"), is_special("/"), is_special("not there")
    (True, False, False)
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # who opens it says why that cannot be done
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def check_file(path: str | os.PathLike, kind: type[Exception] = OSError) -> None:
    """Refuse a pipe, a socket, a device, or a link to one, before it is opened.

    Parameters
    ----------
    path : str or Path
        A file of the user. What is not there is passed over, as is a folder.
    kind : class, default=OSError
        Of the error.

    Raises
    ------
    Exception
        Of this kind, naming the path.

    Examples
    --------
    >>> from base_models.limits import check_file
    >>> check_file("/dev/zero")
    Traceback (most recent call last):
    OSError: /dev/zero: it is a pipe, a socket or a device, and no file; save what it \
gives as a file, and give that
    """
    if is_special(path):
        raise kind(
            f"{public_name(path)}: {NO_FILE}; save what it gives as a file, and give "
            "that"
        )


def check_zip(archive: zipfile.ZipFile) -> None:
    """Refuse an archive that would unpack to too much, or names a part twice.

    Parameters
    ----------
    archive : ZipFile
        Open for reading.

    Raises
    ------
    zipfile.BadZipFile
        Saying what it asks for and what is allowed.

    Examples
    --------
    >>> import io
    >>> from base_models.limits import check_zip
    >>> content = io.BytesIO()
    >>> with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
    ...     archive.writestr("zeros", bytes(2**26))
    >>> with zipfile.ZipFile(content) as archive:
    ...     check_zip(archive)
    Traceback (most recent call last):
    zipfile.BadZipFile: its parts unpack to 67,108,864 bytes, and for a file of 65,... \
bytes 2,355,... are allowed
    """
    allowed = current_limits()
    entries = archive.infolist()
    if len(entries) > allowed.model_parts:
        raise zipfile.BadZipFile(
            f"it has {len(entries):,} parts, and {allowed.model_parts:,} are allowed"
        )
    twice = [name for name, n in Counter(e.filename for e in entries).items() if n > 1]
    if twice:
        raise zipfile.BadZipFile(f"its part {twice[0]!r} is there twice")
    asked = sum(entry.file_size for entry in entries)
    size = _size(archive)
    most = min(allowed.model_bytes, _RATIO * size + _SLACK)
    if asked > most:
        raise zipfile.BadZipFile(
            f"its parts unpack to {asked:,} bytes, and for a file of {size:,} bytes "
            f"{most:,} are allowed"
        )


def _size(archive):
    at = archive.fp.tell()
    size = archive.fp.seek(0, os.SEEK_END)
    archive.fp.seek(at)
    return size
