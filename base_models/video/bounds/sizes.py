"""Whether the pictures of a video change their size on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from base_models.video.bounds.budget import check_refusal, clock_of
from base_models.video.bounds.demuxing import demuxed
from base_models.video.packets import opened, packets
from base_models.video.remote import RemoteVideo
from base_models.video.sampling import sample_indices

_PLACES = 16  # key frames, and sampled frames whose key frames are looked at
# Decoders that read what is before a picture, and skip the pictures if told to.
_HEADERS_ALONE = {"vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4"}
# Decoders that pass over all pictures that are no key frames, whatever a file calls so.
_KEYS_ALONE = {"h264", "hevc", "av1", "libdav1d"}


def sizes_change(path: Any, table: Any) -> str:
    """Say that a video's pictures change their size, if they do; else ``""``.

    Where headers alone do not tell, up to 32 key frames are decoded: those of sampled
    frames, and others spread evenly.

    Parameters
    ----------
    path : Path or RemoteVideo
    table : PacketTable
        Its packets.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import write_video
    >>> from base_models.video.bounds.sizes import sizes_change
    >>> from base_models.video.packets import list_packets
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_video(f"{folder}/a.mp4", np.zeros((9, 32, 32, 3), np.uint8))
    ...     sizes_change(path, list_packets(path))
    ''
    """
    n_packets = len(table.is_key)
    keys = np.flatnonzero(table.is_key)
    if n_packets < 2 or not len(keys):
        return ""
    sampled = np.searchsorted(keys, sample_indices(n_packets, _PLACES), side="right")
    spread = sample_indices(len(keys), _PLACES)
    rows = np.union1d(keys[np.maximum(sampled - 1, 0)], keys[spread])
    found = list(_sizes(path, table, rows))
    if not found:
        return ""
    others = [size for size in found if size != found[0]]
    if not others:
        return ""
    (width, height), (other_width, other_height) = found[0], others[0]
    return (
        f"its frames change size, from {width} x {height} to {other_width} x "
        f"{other_height} pixels, and all were looked at in one size"
    )


def _sizes(path, table, rows) -> Iterator[tuple[int, int]]:
    """Yield each size that the decoder found, in their order."""
    with opened(path) as (container, stream):
        context, last = stream.codec_context, None
        context.thread_count = 1
        is_header = context.name in _HEADERS_ALONE
        context.skip_frame = "ALL" if is_header else "NONKEY"
        for packet in _looked_at(path, container, stream, table, rows):
            if context.name == "vp9":
                size = vp9_size(memoryview(packet)) or last
            else:
                size = _decoded_size(path, context, packet) or last
            if size != last:
                yield size
                last = size


def _decoded_size(path, context, packet):
    try:
        context.decode(packet)
    except av.FFmpegError as error:
        check_refusal(path, context, error)
        return None
    return context.width, context.height


def _looked_at(path, container, stream, table, rows):
    if isinstance(path, RemoteVideo) and path.unread_places():
        yield from _sought(path, container, stream, table, rows)
        return
    # A file may not say which of its pictures are key frames.
    are_wanted = np.zeros(len(table.is_key), bool)
    if stream.codec_context.name in _HEADERS_ALONE:
        are_wanted[:] = True
    elif stream.codec_context.name in _KEYS_ALONE:
        are_wanted[:] = ~table.is_key
    are_wanted[rows] = True
    found = packets(path, container, stream, clock_of(path))
    for packet, is_wanted in zip(found, are_wanted, strict=False):
        if is_wanted:
            yield packet


def _sought(path, container, stream, table, rows):
    """Yield the packets of some rows of what is read in parts alone."""
    if table.pts is None:
        return
    for row in rows:
        try:
            container.seek(int(table.pts[row]), stream=stream)
            found = demuxed(path, container, stream)
            packet = next((each for each in found if each.size), None)
        except av.FFmpegError:
            continue
        if packet is not None and packet.pts == table.pts[row]:
            yield packet


def vp9_size(packet: memoryview) -> tuple[int, int] | None:
    """Return the size that a packet of VP9 states, as key frames do and others may.

    By section 6.2 of the VP9 Bitstream & Decoding Process Specification (version 0.6).
    FFmpeg's decoder reads no headers without decoding what follows.

    Parameters
    ----------
    packet : memoryview of bytes

    Returns
    -------
    tuple of (width, height), or None
        None where it states none: it is that of a frame before.

    Examples
    --------
    >>> from base_models.video.bounds.sizes import vp9_size
    >>> vp9_size(memoryview(bytes.fromhex("82498342000ff00bf0")))  # a key frame
    (256, 192)
    >>> vp9_size(memoryview(bytes.fromhex("860040921c")))  # of the size of another
    """
    bits = _Bits(packet)
    if bits.take(2) != 2:
        return None
    profile = bits.take(1) + 2 * bits.take(1)
    if profile == 3:
        bits.take(1)
    if bits.take(1):  # shows a frame that came before
        return None
    is_key, is_shown, is_resilient = not bits.take(1), bits.take(1), bits.take(1)
    if is_key:
        bits.take(24)
        _skip_colours(bits, profile)
        return 1 + bits.take(16), 1 + bits.take(16)
    is_intra = not is_shown and bits.take(1)
    if not is_resilient:
        bits.take(2)
    if is_intra:
        bits.take(24)
        if profile:
            _skip_colours(bits, profile)
        bits.take(8)
        return 1 + bits.take(16), 1 + bits.take(16)
    bits.take(8 + 3 * 4)
    if any(bits.take(1) for _ in range(3)):  # that of a frame it refers to
        return None
    return 1 + bits.take(16), 1 + bits.take(16)


def _skip_colours(bits, profile):
    bits.take(1 if profile >= 2 else 0)
    is_rgb = bits.take(3) == 7
    if not is_rgb:
        bits.take(1)
    if profile in (1, 3):
        bits.take(1 if is_rgb else 3)


class _Bits:
    """Takes numbers from a packet's first bits; zeros where it has no more."""

    _N_BYTES = 24

    def __init__(self, packet):
        head = bytes(packet[: self._N_BYTES]).ljust(self._N_BYTES, b"\0")
        self._number, self._left = int.from_bytes(head, "big"), 8 * self._N_BYTES

    def take(self, n):
        self._left -= n
        return self._number >> self._left & (1 << n) - 1
