"""Finds a second video behind the end of the first one, which no decoder opens."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

_SAID = "another video follows behind its end in the same file"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_PNG = b"\x89PNG\r\n\x1a\n"
_GIFS = b"GIF87a", b"GIF89a"
_FIRST_BOXES = b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"


def another_behind(file: Any, check: Callable[[], None]) -> str:
    """Say that a second video follows the first one in a file, if so; else ``""``.

    Of MP4, FLV, AVI, WMV, GIF and PNG a decoder opens the first alone, or plays both
    as one; who joins two of them has the second pass unseen.

    Parameters
    ----------
    file : file-like
        Open for reading bytes.
    check : callable
        Raises where there is no more time.

    Examples
    --------
    >>> import io
    >>> from base_models.video.bounds.behind import another_behind
    >>> one = b"\\0\\0\\0\\x0cftypisom\\0\\0\\0\\x08moov"
    >>> another_behind(io.BytesIO(one), list)
    ''
    >>> another_behind(io.BytesIO(one + one), list)
    'another video follows behind its end in the same file'
    """
    file.seek(0)
    begin = file.read(16)
    file.seek(0)
    for is_of_kind, walk in _KINDS:
        if is_of_kind(begin):
            return _SAID if walk(file, check) else ""
    return ""


def _in_boxes(file, check):
    """Whether there are two heads, or two indexes, in an MP4."""
    seen = set()
    while len(head := file.read(8)) == 8:
        check()
        size, kind = struct.unpack(">I4s", head)
        if kind in seen and kind in (b"ftyp", b"moov"):
            return True
        seen.add(kind)
        begun = 8
        if size == 1:
            size, begun = int.from_bytes(file.read(8), "big"), 16
        if size < begun:  # to the end, or none of its format
            return False
        file.seek(size - begun, 1)
    return False


def _in_tags(file, check):
    """Whether a head of FLV stands where a tag should."""
    file.seek(int.from_bytes(file.read(9)[5:], "big") + 4)
    while len(tag := file.read(11)) == 11:
        check()
        if tag.startswith(b"FLV\x01"):
            return True
        file.seek(int.from_bytes(tag[1:4], "big") + 4, 1)
    return False


def _in_chunks(file, check):
    """Whether there is a second AVI, which is no further part (AVIX) of the first."""
    first = True
    while len(head := file.read(12)) == 12:
        check()
        if head[8:] == b"AVI " and head.startswith(b"RIFF") and not first:
            return True
        first, size = False, int.from_bytes(head[4:8], "little")
        file.seek(size + size % 2 - 4, 1)
    return False


def _in_objects(file, check):
    """Whether there is a second head of ASF."""
    first = True
    while len(head := file.read(24)) == 24:
        check()
        if head.startswith(_ASF) and not first:
            return True
        first, size = False, int.from_bytes(head[16:], "little")
        if size < 24:
            return False
        file.seek(size - 24, 1)
    return False


def _in_gif(file, check):
    from base_models.video.bounds.pieces import pieces_missing

    return not pieces_missing(file, check) and file.read(6) in _GIFS


def _in_png(file, check):
    from base_models.video.bounds.pieces import pieces_missing

    return not pieces_missing(file, check) and file.read(8) == _PNG


_KINDS = (
    (lambda begin: begin[4:8] in _FIRST_BOXES, _in_boxes),
    (lambda begin: begin.startswith(b"FLV\x01"), _in_tags),
    (lambda begin: begin.startswith(b"RIFF") and begin[8:12] == b"AVI ", _in_chunks),
    (lambda begin: begin == _ASF, _in_objects),
    (lambda begin: begin.startswith(_GIFS), _in_gif),
    (lambda begin: begin.startswith(_PNG), _in_png),
)
