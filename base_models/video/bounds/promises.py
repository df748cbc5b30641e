"""How many bytes a file has by its own container: one with fewer was cut short."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from base_models.video.bounds.headers import file_size
from base_models.video.sampling import sample_indices

_BEGINNING = 2**16  # bytes in which a container says how long it is
_MOST_PARTS = 10_000  # of a file that are looked at
_HELD = {b"mdat", b"moof", b"moov"}  # what follows the last of them may be anything
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STEP = 2**16  # bytes
# What may be missing of a video: pauses and sounds that outlast pictures are common.
_LEAST_LOST, _SHARE_LOST = 0.5, 0.1  # seconds; of all
_UNEVEN = 5  # times the usual step from frame to frame
_STRETCHED = 1.25  # a face is found and told in pictures that are squeezed by less
_SHARE_APART = 0.1  # of a video, between where a frame is by number and by time
_SHARE_OF_MEAN = 0.25  # of the time of a frame, for those that are looked at
_LEAST_LOOKED_AT, _MOST_LOOKED_AT = 8, 65  # frames
_NO_SIZE = 0xFFFF0000  # of RIFF: from here on, nobody knew it when it was written


def promised_size(file: Any, most_parts: int = _MOST_PARTS) -> int:
    """Return how many bytes a video's container says that its file has, at least.

    MP4, MOV, Matroska, WebM, AVI, FLV and ASF say it, unless they were written to
    where nobody could go back.

    Parameters
    ----------
    file : file-like
        Open for reading bytes.
    most_parts : int, default=10_000
        So many parts of an MP4 or AVI are looked at.

    Returns
    -------
    int
        0 where it says nothing.

    Examples
    --------
    >>> import io
    >>> from base_models.video.bounds.promises import promised_size
    >>> promised_size(io.BytesIO(struct.pack(">I4s4xI4s", 12, b"ftyp", 500, b"mdat")))
    512
    """
    file.seek(0)
    head = file.read(_BEGINNING)
    for is_it, promised in _KINDS:
        if is_it(head):
            try:
                return promised(file, head, most_parts)
            except (struct.error, IndexError):
                return 0
    return 0


def undecoded(n_lost: int, n_frames: int, seconds: float | None) -> str:
    """Say that pictures cannot be decoded, if more than a video may lack.

    Parameters
    ----------
    n_lost, n_frames : int
        Pictures that the decoder refused, and those in the file.
    seconds : float or None
        What the file lasts; of one that does not say, a part counts however short.

    Returns
    -------
    str

    Examples
    --------
    >>> undecoded(40, 80, 3.2), undecoded(3, 80, 3.2)
    ('it is not whole: 40 of 80 frames cannot be decoded', '')
    """
    lasts = math.inf if seconds is None else seconds * n_lost / max(n_frames, 1)
    if lasts < _LEAST_LOST or n_lost < _SHARE_LOST * n_frames or n_lost <= 0:
        return ""
    return f"it is not whole: {n_lost:,} of {n_frames:,} frames cannot be decoded"


def _of_mp4(file, head, most_parts):
    size, at, promised = file_size(file), 0, 0
    for _ in range(most_parts):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head[:8])
        n_head = 8
        if length == 1:
            length, n_head = struct.unpack(">Q", head[8:])[0], 16
        if length < n_head:  # 0 is to the end of the file
            break
        if kind in _HELD:
            promised = max(promised, at + length)
        elif kind == b"sidx" and length <= min(size - at, _BEGINNING):
            listed = _listed(head[8], file.read(length - 16))
            promised = max(promised, at + length + listed)
        at += length
    return promised


def _listed(version, content):
    """Return the bytes of the fragments that an index of them names."""
    fields = struct.Struct(">12xQ2xH" if version else ">8xI2xH")
    first, n_entries = fields.unpack_from(content)
    sizes = struct.iter_unpack(">I8x", content[fields.size :][: 12 * n_entries])
    return first + sum(size & 2**31 - 1 for (size,) in sizes)


def _of_matroska(file, head, most_parts):
    at = 0
    for kind in (_EBML, _SEGMENT):
        if struct.unpack_from(">I", head, at)[0] != kind:
            return 0
        length, n_bytes = _number(head, at + 4)
        at += 4 + n_bytes + length
        if length == 2 ** (7 * n_bytes) - 1:  # not known when it was written
            return 0
    return at


def _number(content, at):
    """Read a number of Matroska, whose first bits say how many bytes it has."""
    n_bytes = 9 - content[at].bit_length()
    number = int.from_bytes(content[at : at + n_bytes], "big")
    return number & 2 ** (7 * n_bytes) - 1, n_bytes


def _of_avi(file, head, most_parts):
    at, promised = 0, 0
    for _ in range(most_parts):  # files above a gigabyte have several
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX"):
            break
        length = struct.unpack("<I", head[4:8])[0]
        if not 0 < length < _NO_SIZE:
            break
        promised = at = at + 8 + length
        at += length % 2
    return promised


def _of_flv(file, head, most_parts):
    at = head.find(b"\0\x08filesize\0")
    size = struct.unpack_from(">d", head, at + 11)[0] if at >= 0 else 0
    return int(size) if 0 < size < 2**53 else 0


def _of_asf(file, head, most_parts):
    at = head.find(_ASF_FILE)
    return struct.unpack_from("<Q", head, at + 40)[0] if at >= 0 else 0


def zeros_at_end(file: Any) -> int:
    """Count the zeros at the end of a file, as a download leaves that was begun.

    Examples
    --------
    >>> import io
    >>> from base_models.video.bounds.promises import zeros_at_end
    >>> zeros_at_end(io.BytesIO(b"video" + bytes(100_000)))
    100000
    """
    at = size = file_size(file)
    while at > 0:
        begin = max(0, at - _STEP)
        file.seek(begin)
        content = file.read(at - begin).rstrip(b"\0")
        if content:
            return size - begin - len(content)
        at = begin
    return size


def pictures_missing(
    seconds: np.ndarray | None,
    duration: float,
    n_stated: int,
    start: float = 0.0,
    last: float = 0.0,
) -> str:
    """Say that pictures of a video are missing, if they are; else ``""``.

    A file whose middle or end was lost may have all its bytes, zeros among them, and
    containers are read over them without a word.

    Parameters
    ----------
    seconds : ndarray of shape (n_frames,) or None
        When each frame is shown, in any order; None where that is not known.
    duration : float
        Seconds that the container states; 0 where it states none.
    n_stated : int
        Frames that it states; 0 where it states none.
    start : float, default=0.0
        When the container begins, in seconds, sounds included.
    last : float, default=0.0
        For how many seconds the last frame is shown; 0 where that is not known.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.video.bounds.promises import pictures_missing
    >>> at = np.arange(100) / 25
    >>> pictures_missing(at, duration=4.0, n_stated=100)
    ''
    >>> pictures_missing(at[:50], duration=4.0, n_stated=0)
    'it is not whole: its pictures end after 2.0 of 4.0 s'
    >>> pictures_missing(np.delete(at, np.s_[20:60]), duration=4.0, n_stated=0)
    'it is not whole: it has no picture for 1.6 of 4.0 s'

    Frames are sampled by number. Where few of them are shown for most of the time, that
    is no even look at the video, and said too:

    >>> at = np.concatenate([at[:50] / 100, at[:20] / 2])
    >>> pictures_missing(at, duration=0.0, n_stated=0)
    'its frames are shown for very unequal times, and were sampled by number: parts of \
it count up to 68% too much or too little'

So it is where those are shown for a moment alone that are looked at:

    >>> steps = np.full(200, 0.04)
    >>> steps[np.rint(np.linspace(0, 199, 8)).astype(int)] = 0.001
    >>> pictures_missing(np.cumsum(steps) - steps, duration=0.0, n_stated=0)
    'its frames are shown for very unequal times, and were sampled by number: 8 spread \
evenly are shown for 15% of the mean'
    """
    if seconds is not None and len(seconds) < min(2, (1 - _SHARE_LOST) * n_stated):
        return f"it is not whole: it has {len(seconds):,} of {n_stated:,} frames"
    if seconds is None or len(seconds) < 2:
        return ""
    at = np.sort(seconds)
    steps = np.diff(at)
    step = float(np.median(steps))
    lasts = float(at[-1] - min(start, at[0])) + max(step, last)
    least = max(_LEAST_LOST, _SHARE_LOST * max(lasts, duration))
    gap = float(steps.max())
    paused = float((steps[steps > _UNEVEN * step] - step).sum())
    if gap > max(least, _UNEVEN * step):
        of = max(lasts, duration)
        return f"it is not whole: it has no picture for {gap - step:.1f} of {of:.1f} s"
    if duration - lasts > least:
        return (
            f"it is not whole: its pictures end after {lasts:.1f} of {duration:.1f} s"
        )
    if len(seconds) < (1 - _SHARE_LOST) * n_stated:
        return f"it is not whole: it has {len(seconds):,} of {n_stated:,} frames"
    if said := _unequal_times(at, at[-1] + max(step, last)):
        return said
    if paused > least:
        of = max(lasts, duration)
        return (
            f"it has no picture for {paused:.1f} of {of:.1f} s, a part here and there"
        )
    return ""


def _unequal_times(at, end):
    """Say that frames even by number are not even in time, if it is so; else ``""``."""
    if end <= at[0]:
        return "all its frames are shown at the same time"
    by_time = (at - at[0]) / (end - at[0])
    apart = np.abs(by_time - np.arange(len(at)) / len(at)).max()
    said = "its frames are shown for very unequal times, and were sampled by number: "
    if apart > _SHARE_APART:
        return f"{said}parts of it count up to {apart:.0%} too much or too little"
    # Who knows which are sampled may have them pass unseen; a long one makes up for
    # none of the others.
    times = np.minimum(np.diff(by_time, append=1.0) * len(at), 1.0)
    for n in range(_LEAST_LOOKED_AT, min(_MOST_LOOKED_AT, len(at))):
        looked_at = times[sample_indices(len(at), n)].mean()
        if looked_at < _SHARE_OF_MEAN:
            return f"{said}{n} spread evenly are shown for {looked_at:.0%} of the mean"
    return ""


def more_tracks(n_tracks: int) -> str:
    """Say that a file holds another video beside the one that is looked at.

    Examples
    --------
    >>> from base_models.video.bounds.promises import more_tracks
    >>> more_tracks(2)
    'it holds 2 video tracks, and one was looked at'
    """
    return f"it holds {n_tracks} video tracks, and one was looked at" * (n_tracks > 1)


def stretched_pixels(ratio: Any) -> str:
    """Say that a player stretches the pictures, which nothing here does; else ``""``.

    Parameters
    ----------
    ratio : Fraction or None
        Width of a pixel over its height; None or 0 where that is not known.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from base_models.video.bounds.promises import stretched_pixels
    >>> stretched_pixels(Fraction(16, 15))  # of PAL
    ''
    >>> stretched_pixels(Fraction(2, 1))
    'its pixels are 2 times as wide as high, and were looked at as if they were square'
    """
    if not ratio or 1 / _STRETCHED <= ratio <= _STRETCHED:
        return ""
    return (
        f"its pixels are {float(ratio):.3g} times as wide as high, and were looked at "
        "as if they were square"
    )


_KINDS: list[tuple[Callable[[bytes], bool], Callable]] = [
    (lambda head: head[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"wide"),
     _of_mp4),
    (lambda head: head[:4] == struct.pack(">I", _EBML), _of_matroska),
    (lambda head: head[:4] == b"RIFF", _of_avi),
    (lambda head: head[:3] == b"FLV", _of_flv),
    (lambda head: head.startswith(_ASF), _of_asf),
]  # fmt: skip
