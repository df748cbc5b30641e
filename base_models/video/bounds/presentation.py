"""What a container has players do with the pictures, which nothing here does."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from base_models.video.bounds.headers import boxes, file_size

_SHARE_CUT = 0.1  # cameras state a few lines at the borders that need not be shown
_MATROSKA = b"\x1a\x45\xdf\xa3"
# Matroska's elements, by number: those that hold others, and whose content counts.
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_HOLDERS = {_SEGMENT, 0x1654AE6B, 0xAE, 0xE0, 0x7670, 0x1043A770, 0x45B9, 0xB6}
_SIDES = {0x54CC: 0, 0x54DD: 0, 0x54BB: 1, 0x54AA: 1}  # left, right, top, bottom
_ORDERED, _OTHER_FILE, _ALPHA = 0x45DD, 0x6E67, 0x53C0
_OUTER = re.compile(
    rb"\x1f\x43\xb6\x75|\x16\x54\xae\x6b|\x10\x43\xa7\x70|\x18\x53\x80\x67"
)
_MOST_NUMBER, _STEP = 8, 2**16  # bytes
_MP4_HOLDERS = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_ENTRY = 78  # bytes of an entry of `stsd` before its boxes
# Of FFmpeg: two pictures in one (side by side, above each other, ...), flat ones.
_PACKED, _FLAT = {1, 2, 4, 5, 6, 7}, {4}
_ALWAYS_ALPHA = {"gif", "apng", "webp"}


def shown_otherwise(
    file: Any,
    width: int,
    height: int,
    check: Callable[[], None] = lambda: None,
    most_boxes: int | None = None,
) -> str:
    """Say that a container has players show something else than its frames; else "".

    Parameters
    ----------
    file : file-like
        Open for reading bytes.
    width, height : int
        Of its pictures, in pixels.
    check : callable, optional
        Called for each part of the file; it may raise.
    most_boxes : int or None, default=None
        So many parts of an MP4 are looked at; None for all.

    Examples
    --------
    >>> import io
    >>> from base_models.video.bounds.presentation import shown_otherwise
    >>> crop = bytes.fromhex("1654ae6b8a ae88 e086 54dd83 000180")  # 384 of 512
    >>> file = io.BytesIO(bytes.fromhex("1a45dfa380 18538067 8f") + crop)
    >>> shown_otherwise(file, 512, 128)
    'players show 25% of each picture, as its container says, and all of it was looked \
at'
    """
    file.seek(0)
    if file.read(4) == _MATROSKA:
        found = _Matroska(width, height)
        for element, content in _elements(file, check):
            found.add(element, content)
        return found.said()
    for number, (kind, start, end) in enumerate(boxes(file, file_size(file))):
        check()
        if number == most_boxes:
            break
        if kind == b"moov":
            file.seek(start)
            index = file.read(end - start)
            for area in _clean_apertures(index, check):
                said = _cropped(area, width * height)
                if said:
                    return said
            said = _held_or_turned(index, check)
            if said:
                return said
    return ""


def _cropped(shown, whole):
    share = shown / whole if whole else 0.0
    if share >= 1 - _SHARE_CUT:
        return ""
    return (
        f"players show {max(share, 0):.0%} of each picture, as its container says, and "
        "all of it was looked at"
    )


class _Matroska:
    """Gathers what the elements of a file ask for."""

    def __init__(self, width, height):
        self._size, self._cut = (width, height), {}
        self._said = ""

    def add(self, element, content):
        number = int.from_bytes(content, "big")
        if element in _SIDES:
            self._cut[element] = max(number, self._cut.get(element, 0))
        elif element == _ORDERED and number:
            self._said = (
                "its chapters say in which order players show its parts, and it was "
                "looked at from its beginning to its end"
            )
        elif element == _OTHER_FILE:
            self._said = "its chapters are parts of other files, which were not read"
        elif element == _ALPHA and number:
            self._said = self._said or (
                "its pictures are transparent in parts, and were looked at as if they "
                "were not"
            )

    def said(self):
        left = list(self._size)
        for element, n_pixels in self._cut.items():
            left[_SIDES[element]] -= n_pixels
        if not any(self._cut.values()):
            return self._said
        shown = max(left[0], 0) * max(left[1], 0)
        return self._said or _cropped(shown, self._size[0] * self._size[1])


def _elements(file, check) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of a Matroska file that hold a number, and their content."""
    at, size = 0, file_size(file)
    while at < size:
        check()
        file.seek(at)
        head = file.read(12)
        n_name = _n_bytes(head, 0, 4)
        n_length = _n_bytes(head, n_name, 8)
        if not n_name or not n_length:  # damage, after which players go on
            at = _next_outer(file, at + 1, check)
            continue
        element = int.from_bytes(head[:n_name], "big")
        length = int.from_bytes(head[n_name : n_name + n_length], "big")
        length &= 2 ** (7 * n_length) - 1
        at += n_name + n_length
        is_open = length == 2 ** (7 * n_length) - 1  # not known when it was written
        if element in _HOLDERS or (element == _CLUSTER and is_open):
            continue
        if length <= _MOST_NUMBER or element == _OTHER_FILE:
            file.seek(at)
            yield element, file.read(min(length, _MOST_NUMBER))
        at += 0 if is_open else length


def _n_bytes(head, at, most):
    """Return how many bytes a number has by its first bits; 0 of what is none."""
    if at >= len(head) or not head[at]:
        return 0
    found = 9 - head[at].bit_length()
    return found if found <= most else 0


def _next_outer(file, at, check):
    """Return where the next of the outermost elements begins, or the file ends."""
    while True:
        check()
        file.seek(at)
        content = file.read(_STEP)
        found = _OUTER.search(content)
        if found:
            return at + found.start()
        if len(content) < _STEP:
            return at + len(content)
        at += _STEP - 3


def _clean_apertures(index, check) -> Iterator[float]:
    """Yield the pixels of a picture that are shown, where an index of MP4 says so."""
    for start, end in _entries(index, check):
        for kind, at, _ in _inside(index, start + _ENTRY, end, check):
            with suppress(struct.error):
                if kind == b"clap":
                    width, by, height, of = struct.unpack_from(">4i", index, at)
                    if by > 0 and of > 0:
                        yield width / by * height / of


def _held_or_turned(index, check):
    """Say that an MP4 holds a frame or turns its pictures, which FFmpeg passes over."""
    for kind, at, end in _inside(index, 0, len(index), check):
        if kind != b"trak":
            continue
        for inner, start, stop in _inside(index, at, end, check):
            if inner == b"tkhd" and _is_askew(index, start):
                return (
                    "players turn or stretch its pictures, as its container says, and "
                    "they were looked at as they are stored"
                )
            if inner != b"edts":
                continue
            for name, first, last in _inside(index, start, stop, check):
                if name == b"elst" and _holds(index, first, last):
                    return (
                        "players show a part of it for another time than its frames "
                        "last, as its edit list says"
                    )
    return ""


def _holds(index, at, end):
    """Whether an edit list plays something at another speed; at none, a frame stays."""
    long = index[at : at + 1] == b"\1"
    entry = struct.Struct(">QqhH" if long else ">IihH")
    content = index[at + 8 : end]
    whole = content[: len(content) // entry.size * entry.size]
    return any(
        lasts and begins >= 0 and (rate, fraction) != (1, 0)
        for lasts, begins, rate, fraction in entry.iter_unpack(whole)
    )


def _is_askew(index, at):
    """Whether pictures are turned by no quarter turn, sheared, or scaled unevenly."""
    long = index[at : at + 1] == b"\1"
    place = at + (52 if long else 40)
    if place + 36 > len(index):
        return False
    a, b, u, c, d, v = struct.unpack_from(">6i", index, place)
    upright, aside = b == c == 0 and abs(a) == abs(d), a == d == 0 and abs(b) == abs(c)
    return not (upright or aside) or bool(u or v)


def _entries(index, check):
    """Yield where the descriptions of an MP4's tracks are."""
    places = [(0, len(index))]
    for holder in _MP4_HOLDERS:
        places = [
            (start, end)
            for place in places
            for kind, start, end in _inside(index, *place, check)
            if kind == holder
        ]
    for at, end in places:
        for _, start, stop in _inside(index, at + 8, end, check):
            yield start, stop


def _inside(index, at, end, check):
    """Yield kind, start and end of the boxes in a part of an index."""
    while at + 8 <= end:
        check()
        length, kind = struct.unpack_from(">I4s", index, at)
        n_head = 8
        if length == 1 and at + 16 <= end:
            length, n_head = struct.unpack_from(">Q", index, at + 8)[0], 16
        if length == 0:
            length = end - at
        if length < n_head:
            return
        yield kind, at + n_head, min(end, at + length)
        at += length


def several_in_one(frame: Any) -> str:
    """Say that players make another picture of a frame: one of two, or part of a globe.

    Parameters
    ----------
    frame : av.VideoFrame
        As it was decoded; what its container says of all frames is known of it.

    Returns
    -------
    str
        ``""`` where it is shown as it is.

    Examples
    --------
    >>> import av
    >>> from base_models.video.bounds.presentation import several_in_one
    >>> several_in_one(av.VideoFrame(64, 48, "yuv420p"))
    ''
    """
    with suppress(ValueError):  # PyAV may stumble over newer kinds beside it
        stereo = frame.side_data.get(SideDataType.STEREO3D)
        if stereo is not None and _kind_of(stereo) in _PACKED:
            return "each frame holds two pictures (stereo), and was looked at as one"
        globe = frame.side_data.get(SideDataType.SPHERICAL)
        if globe is not None and _kind_of(globe) not in _FLAT:
            return "its frames show all around (spherical), and were looked at as flat"
    return ""


def see_through(frame: Any, codec: str) -> str:
    """Say that players show what is behind a frame; else ``""``.

    Its colours alone are looked at. Of kinds whose frames always come with an alpha
    channel, that of the first one counts.

    Parameters
    ----------
    frame : av.VideoFrame
        The first one, as it was decoded.
    codec : str
        FFmpeg's name.

    Examples
    --------
    >>> import av
    >>> see_through(av.VideoFrame(64, 48, "yuv420p"), "h264")
    ''
    >>> see_through(av.VideoFrame(64, 48, "yuva420p"), "prores")[:41]
    'its frames may have transparent parts, wh'
    """
    if not any(component.is_alpha for component in frame.format.components):
        return ""
    if codec in _ALWAYS_ALPHA and frame.to_ndarray(format="rgba")[..., 3].min() == 255:
        return ""
    return (
        "its frames may have transparent parts, whose colours were looked at as if "
        "they were shown"
    )


def _kind_of(data):
    return int(np.frombuffer(data, np.int32)[0])
