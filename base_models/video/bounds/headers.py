"""What files say of themselves before anything of them is decoded."""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from base_models.limits import current_limits
from base_models.video.bounds.budget import Clock, check_count, over_limit

_PASSED_OVER = {b"mdat", b"free", b"skip", b"wide", b"uuid"}
_TABLES = re.compile(rb"stsz|stts|trun|elst|cmov")
_WITH_ALPHA_MASK = (b"\x38", b"\x6c", b"\x7c")  # sizes of such a header of a BMP
_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_KIND = re.compile(rb"[\w \xa9-]{4}")
_EDITED = 4  # times the frames allowed: those that an edit list may show again
_MARGIN = 64 * 2**20  # bytes of the index of a file, whatever its limits are
_PER_FRAME = 64  # bytes of an index


def check_index(path: Any, file: Any, size: int, most_boxes: int | None = None) -> None:
    """Refuse an MP4 or MOV whose index stands for more frames than are allowed.

    Of frames that are all alike their number alone is in the file, so that four
    kilobytes may ask FFmpeg for gigabytes before a frame is read. Other files pass.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    file : file-like
        Open for reading bytes.
    size : int
        Of the file, bytes.
    most_boxes : int or None, default=None
        How many parts of the file are looked at; None for all.

    Raises
    ------
    VideoReadError

    Examples
    --------
    >>> import io
    >>> from base_models.video.bounds.headers import check_index
    >>> table = struct.pack(">I4sIII", 20, b"stsz", 0, 40, 2**31)
    >>> file = struct.pack(">I4s", 28, b"moov") + table
    >>> check_index("bomb.mp4", io.BytesIO(file), len(file))
    Traceback (most recent call last):
    base_models.errors.VideoReadError: cannot read video bomb.mp4: it has \
2,147,483,648 frames by its index, and 16,777,216 are allowed; if you trust it, ...
    """
    clock, counted = Clock(path), _Counted(path)
    for number, (kind, start, end) in enumerate(boxes(file, size)):
        clock.check()
        if number == most_boxes:
            break
        if kind in _PASSED_OVER:
            continue
        _check_size(path, end - start)
        file.seek(start)
        counted.add(file.read(end - start))


def _check_size(path, n_bytes):
    allowed = _MARGIN + _PER_FRAME * current_limits().video_frames
    if n_bytes > allowed:
        asked = f"its index has {n_bytes:,} bytes, and {allowed:,} are allowed"
        needed = n_bytes // _PER_FRAME
        raise over_limit(path, asked, "video_frames", needed)


_RAW = b"YUV4MPEG2 "


def boxes(file: Any, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the outermost parts, as far as they make sense."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:  # it is shorter by now
            return
        length, kind = struct.unpack(">I4s", head[:8])
        n_head = 8
        if length == 1 and len(head) == 16:
            length, n_head = struct.unpack(">Q", head[8:])[0], 16
        if length == 0:
            length = size - at
        if length < n_head or (at == 0 and not _KIND.fullmatch(kind)):
            return
        if at == 0 and head.startswith(_RAW):  # which looks like a box of that length
            return
        end = min(size, at + length)
        yield kind, at + n_head, end
        at += length


class _Counted:
    """Counts the frames that the tables of a file stand for."""

    def __init__(self, path):
        self._path, self._n_frames = path, 0

    def add(self, content):
        n_samples = n_edits = 0
        for match in _TABLES.finditer(content):
            kind, at = match.group(), match.end()
            if _number(content, max(0, match.start() - 4)) == 1:
                at += 8  # its length stands there, in 64 bits
            if kind == b"stsz":
                n_samples = max(n_samples, self._samples(content, at))
            elif kind == b"stts":
                self._timed(content, at)
            elif kind == b"trun":
                self._count(_number(content, at + 4))
            elif kind == b"elst":
                n_edits = max(n_edits, min(_number(content, at + 4), len(content)))
            else:
                self.add(_unpacked(self._path, content, at))
        if n_samples * n_edits > _EDITED * current_limits().video_frames:
            check_count(self._path, n_samples * n_edits, "frames by its edit list")

    def _samples(self, content, at):
        """Return how many frames a table of sizes has, and count those all alike."""
        alike, n_samples = _number(content, at + 4), _number(content, at + 8)
        if not alike:  # each has its size in the file
            return min(n_samples, len(content) // 4)
        if not _is_plain_sound(content, at):
            self._count(n_samples)
        return n_samples

    def _timed(self, content, at):
        n_entries = min(_number(content, at + 4), (len(content) - at) // 8)
        if n_entries > 1 or _number(content, at + 12) != 1:
            entries = content[at + 8 : at + 8 + 8 * n_entries]
            counts = struct.iter_unpack(">II", entries[: len(entries) // 8 * 8])
            check_count(self._path, sum(n for n, _ in counts), "frames by its index")

    def _count(self, n_frames):
        self._n_frames += n_frames
        check_count(self._path, self._n_frames, "frames by its index")


def _number(content, at):
    return int.from_bytes(content[at : at + 4], "big")


def _is_plain_sound(content, at):
    """Whether the track of a table is sound of one sample a tick, read by chunks."""
    before = content.rfind(b"hdlr", 0, at)
    times = content.rfind(b"stts", before, at) if before >= 0 else -1
    return (
        before >= 0
        and content[before + 12 : before + 16] == b"soun"
        and times >= 0
        and _number(content, times + 8) == 1
        and _number(content, times + 16) == 1
    )


def _unpacked(path, content, at):
    """Unpack a compressed index (of QuickTime 3), as far as is allowed."""
    found = content.find(b"cmvd", at)
    if found < 0:
        return b""
    asked = _number(content, found + 4)
    _check_size(path, asked)
    try:
        return zlib.decompressobj().decompress(content[found + 8 :], asked or 1)
    except zlib.error:
        return b""


def holds_several_pictures(content: bytes) -> bool:
    r"""Whether an image has more pages (TIFF), or is animated, as it states.

    Of PNG, WebP, GIF and AVIF, whatever the file is called.

    Parameters
    ----------
    content : bytes
        Of an image; of another kind of file the answer is no.

    Examples
    --------
    >>> holds_several_pictures(b"II*\0" + bytes([8, 0, 0, 0, 0, 0, 20, 0, 0, 0]))
    True
    >>> holds_several_pictures(b"II*\0" + bytes([8, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    False
    """
    if content.startswith(b"RIFF") and content[8:16] == b"WEBPVP8X":
        return bool(content[20:21] and content[20] & 2)
    if content.startswith(b"GIF8"):
        return content.count(b"\0\x21\xf9\4") > 1  # what stands before each picture
    if content[4:8] == b"ftyp":
        return b"avis" in content[8 : int.from_bytes(content[:4], "big")]
    with suppress(struct.error):
        if content[:4] in _TIFF:
            order = _TIFF[content[:4]]
            (at,) = struct.unpack_from(f"{order}I", content, 4)
            (n_tags,) = struct.unpack_from(f"{order}H", content, at)
            return bool(
                struct.unpack_from(f"{order}I", content, at + 2 + 12 * n_tags)[0]
            )
        at = 8 if content.startswith(b"\x89PNG\r\n\x1a\n") else len(content)
        while at < len(content):
            length, kind = struct.unpack_from(">I4s", content, at)
            if kind in (b"acTL", b"IDAT"):
                return bool(kind == b"acTL")
            at += 12 + length
    return False


def ends_in_a_chunk(content: bytes) -> bool:
    r"""Whether a PNG ends before one of its chunks does; the decoder makes room for it.

    Parameters
    ----------
    content : bytes
        Of an image; of another kind of file the answer is no.

    Examples
    --------
    >>> begin = b"\x89PNG\r\n\x1a\n"
    >>> ends_in_a_chunk(begin + b"\x7f\0\0\0IDAT")
    True
    >>> ends_in_a_chunk(begin + b"\0\0\0\0IEND" + bytes(4) + b"what follows")
    False
    """
    at = 8 if content.startswith(b"\x89PNG\r\n\x1a\n") else len(content)
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        at += 12 + length
        if kind == b"IEND":
            return False
    return at > len(content)


def may_be_transparent(content: bytes) -> bool:
    """Whether an image may have pixels that let through what is behind it.

    Parameters
    ----------
    content : bytes
        Of an image: a PNG or WebP states it, of a TIFF nothing is read.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> image = np.zeros((8, 8, 4), np.uint8)
    >>> may_be_transparent(cv2.imencode(".png", image)[1].tobytes())
    True
    >>> may_be_transparent(cv2.imencode(".png", image[..., :3])[1].tobytes())
    False
    """
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        before = content[: content.find(b"IDAT")]
        return content[25:26] in (b"\4", b"\6") or b"tRNS" in before
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        kind, flags = content[12:16], content[20:25]
        if kind == b"VP8X":
            return bool(flags[:1] and flags[0] & 0x10)
        return kind == b"VP8L" and len(flags) == 5 and bool(flags[4] & 0x10)
    if content.startswith(b"BM") and content[14:15] in _WITH_ALPHA_MASK:
        return any(content[66:70])  # else the fourth byte of a pixel means nothing
    return content[:4] in _TIFF


def image_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of an image as its beginning states them.

    Parameters
    ----------
    content : bytes
        Of a PNG, JPEG, BMP, WebP, TIFF, GIF, JPEG 2000 or AVIF file.

    Returns
    -------
    tuple of int, or None
        None of another kind of file, or one that is cut off before.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from base_models.video.bounds.headers import image_size
    >>> image = np.zeros((48, 64, 3), np.uint8)
    >>> [image_size(cv2.imencode(s, image)[1].tobytes()) for s in (".png", ".jpg")]
    [(64, 48), (64, 48)]
    """
    try:
        for beginning, read in _SIZES.items():
            if re.match(beginning, content, re.DOTALL):
                return read(content)
    except (struct.error, IndexError, ValueError):
        pass
    return None


def _of_jpeg(content):
    at, found = 2, []
    while at < len(content):
        at = content.index(b"\xff", at)
        while content[at] == 0xFF:
            at += 1
        marker, at = content[at], at + 1
        if 0xD0 <= marker <= 0xD8 or marker == 0x01 or marker == 0:
            continue
        if marker in (0xD9, 0xDA):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 3)
            found.append((width, height))
        at += struct.unpack_from(">H", content, at)[0]
    return max(found, key=lambda size: size[0] * size[1]) if found else None


def _of_bmp(content):
    if struct.unpack_from("<I", content, 14)[0] == 12:
        return struct.unpack_from("<HH", content, 18)
    width, height = struct.unpack_from("<ii", content, 18)
    return abs(width), abs(height)


def _of_webp(content):
    kind = content[12:16]
    if kind == b"VP8X":
        packed = int.from_bytes(content[24:30], "little")
        return (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
    if kind == b"VP8L":
        packed = struct.unpack_from("<I", content, 21)[0]
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _of_tiff(content):
    order = "<" if content[:2] == b"II" else ">"
    at = struct.unpack_from(f"{order}I", content, 4)[0]
    tags = {}
    for number in range(struct.unpack_from(f"{order}H", content, at)[0]):
        entry = at + 2 + 12 * number
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        form = {3: "H", 4: "I"}.get(kind)
        if form is not None and tag in (256, 257, 322, 323):
            tags[tag] = struct.unpack_from(order + form, content, entry + 8)[0]
    sizes = [(tags.get(256, 0), tags.get(257, 0)), (tags.get(322, 0), tags.get(323, 0))]
    return max(sizes, key=lambda size: size[0] * size[1])


def _of_jpeg2000(content):
    at = content.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">IIII", content, at + 8)
    return max(0, right - left), max(0, bottom - top)


def _of_avif(content):
    sizes = [
        struct.unpack_from(">II", content, match.end() + 4)
        for match in re.finditer(b"ispe", content[: 2**20])
    ]
    return max(sizes, key=lambda size: size[0] * size[1]) if sizes else None


_SIZES = {
    rb"\x89PNG\r\n\x1a\n": lambda content: struct.unpack_from(">II", content, 16),
    rb"\xff\xd8\xff": _of_jpeg,
    rb"BM": _of_bmp,
    rb"RIFF....WEBP": _of_webp,
    rb"II\*\0|MM\0\*": _of_tiff,
    rb"GIF8": lambda content: struct.unpack_from("<HH", content, 6),
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": _of_jpeg2000,
    rb"....ftyp(avif|avis|heic|mif1)": _of_avif,
}


def file_size(file: Any) -> int:
    """Return the bytes of an open file."""
    return file.seek(0, os.SEEK_END)
