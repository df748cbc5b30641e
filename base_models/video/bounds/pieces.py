"""Walks through the pieces of files that list no frames: GIF, animated PNG and Ogg."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

_SHARE_LOST = 0.1  # of the pages of Ogg
_PNG = b"\x89PNG\r\n\x1a\n"
_PIECE = 2**20  # bytes that are read at once
_SHOWN = {b"IHDR", b"PLTE", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND"}


def pieces_missing(file: Any, check: Callable[[], None]) -> str:
    """Say that a file without a list of frames is not whole, if it is so; else ``""``.

    Decoders pass over what they cannot make out. Of a GIF or PNG all pieces must lead
    to the last one, those of a PNG with the checksum that they state; of Ogg nine in
    ten of the pages, which are numbered, must be there.

    Parameters
    ----------
    file : file-like
        Open for reading bytes.
    check : callable
        Raises where there is no more time.

    Examples
    --------
    >>> import io
    >>> gif = b"GIF89a" + bytes(7) + b"\\x21\\xfe\\2hi\\0;"
    >>> pieces_missing(io.BytesIO(gif), list)
    ''
    >>> pieces_missing(io.BytesIO(gif[:-2]), list)
    'it is not whole: its pictures do not lead to the end of a GIF'
    """
    file.seek(0)
    begin = file.read(8)
    file.seek(0)
    for magic, walk in _WALKS.items():
        if begin.startswith(magic):
            said: str = walk(file, check)
            return f"it is not whole: {said}" if said else ""
    return ""


def _of_gif(file, check):
    head = file.read(13)
    file.seek(_n_colours(head[10:11]), 1)
    while kind := file.read(1):
        check()
        if kind == b";":
            return ""
        if kind == b",":
            place = file.read(9)
            file.seek(_n_colours(place[8:9]) + 1, 1)
        elif kind == b"!":
            file.read(1)
        else:
            break
        while (length := file.read(1)) not in (b"", b"\0"):
            if len(file.read(length[0])) < length[0]:
                break
    return "its pictures do not lead to the end of a GIF"


def _n_colours(flags):
    """Return the bytes of a table of colours, where there is one."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _of_png(file, check):
    n_stated, n_frames = 0, 0
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        crc, first = zlib.crc32(kind), b""
        for at in range(0, length, _PIECE):
            check()
            piece = file.read(min(_PIECE, length - at))
            if not piece:
                break
            first, crc = first or piece[:4], zlib.crc32(piece, crc)
        if kind in _SHOWN and file.read(4) != struct.pack(">I", crc):
            break
        if kind not in _SHOWN:
            file.seek(4, 1)
        if kind == b"acTL" and len(first) == 4:
            (n_stated,) = struct.unpack(">I", first)
        n_frames += kind == b"fcTL"
        if kind == b"IEND":
            few = n_frames < n_stated
            return f"it has {n_frames:,} of {n_stated:,} frames" if few else ""
    return "its chunks do not lead to the end of a PNG"


def _of_ogg(file, check):
    last: dict[int, int] = {}
    n_pages = n_missing = 0
    while len(head := file.read(27)) == 27:
        check()
        if not head.startswith(b"OggS"):
            if not _to_the_next_page(file):
                break
            continue
        serial, number, n_lengths = struct.unpack_from("<II4xB", head, 14)
        body = file.seek(sum(file.read(n_lengths)), 1)
        if body > file.seek(0, 2):
            return "its Ogg ends within a page"
        file.seek(body)
        n_missing += max(0, number - last.get(serial, number) - 1)
        last[serial], n_pages = number, n_pages + 1
    if n_missing <= _SHARE_LOST * (n_pages + n_missing):
        return ""
    return f"{n_missing:,} of {n_pages + n_missing:,} pages of its Ogg are missing"


def _to_the_next_page(file):
    """Go on from within what is no page; say whether there is one."""
    file.seek(-26, 1)
    while piece := file.read(_PIECE):
        if (found := piece.find(b"OggS")) >= 0:
            file.seek(found - len(piece), 1)
            return True
        if len(piece) > 3:  # it may begin at the end of one piece
            file.seek(-3, 1)
        if len(piece) < _PIECE:
            break
    return False


_WALKS = {b"GIF8": _of_gif, _PNG: _of_png, b"OggS": _of_ogg}
