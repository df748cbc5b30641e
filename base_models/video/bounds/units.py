"""Whether a packet of H.264 or H.265 is made of whole units, seen without decoding."""

from __future__ import annotations

# In these a picture begins with bytes that are not all zero.
_NEVER_ZERO = frozenset(
    ["h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg"]
)  # fmt: skip
_NO_FRAME = 16  # bytes
_LENGTH_AT = {"h264": 4, "hevc": 21}  # in the header that MP4 and Matroska keep apart


def length_of_lengths(codec: str, header: bytes | None) -> int:
    """Return how many bytes state the length of each unit; 0 where none do.

    Parameters
    ----------
    codec : str
        FFmpeg's name.
    header : bytes or None
        What the container keeps apart for the decoder: ``avcC`` or ``hvcC``.

    Examples
    --------
    >>> from base_models.video.bounds.units import length_of_lengths
    >>> length_of_lengths("h264", bytes([1, 100, 0, 31, 255, 225]))
    4
    >>> length_of_lengths("vp9", None)
    0
    """
    at = _LENGTH_AT.get(codec)
    if at is None or not header or header[0] != 1 or len(header) <= at:
        return 0
    return (header[at] & 3) + 1


def is_broken(packet: memoryview, n_length: int) -> bool:
    """Say whether units end beyond their packet, or bear a bit that no unit has.

    Foreign bytes in a file's middle leave its index as it was: the packet is still
    there, and what is in it cannot be decoded.

    Parameters
    ----------
    packet : memoryview of bytes
    n_length : int
        As `length_of_lengths` gives it, not 0.

    Examples
    --------
    >>> from base_models.video.bounds.units import is_broken
    >>> is_broken(memoryview(bytes([0, 0, 0, 2, 101, 7])), 4)
    False
    >>> is_broken(memoryview(b"anything else"), 4)
    True
    """
    at, size = 0, len(packet)
    while at + n_length < size:
        length = int.from_bytes(packet[at : at + n_length], "big")
        at += n_length
        if length and packet[at] & 0x80:
            return True
        at += length
    return at > size or any(packet[at:])


class PacketDamage:
    """Counts frames that hold only zeros, or what no decoder can read.

    Parameters
    ----------
    codec : str
        FFmpeg's name; ``""`` counts nothing.
    header : bytes or None
        As for `length_of_lengths`.

    Examples
    --------
    >>> from base_models.video.bounds.units import PacketDamage
    >>> found = PacketDamage("vp9", None)
    >>> for content in (b"a picture", bytes(20)):
    ...     found.add(memoryview(content))
    >>> found.said(2)
    'it is not whole: 1 of 2 frames hold only zeros'
    """

    def __init__(self, codec: str, header: bytes | None) -> None:
        self._may_be_zero = codec not in _NEVER_ZERO
        self._n_length = length_of_lengths(codec, header)
        self._n_zero = self._n_broken = 0

    def add(self, packet: memoryview) -> None:
        """Look at one packet."""
        if not self._may_be_zero:
            self._n_zero += not any(packet[:_NO_FRAME])
        if self._n_length:
            self._n_broken += is_broken(packet, self._n_length)

    def said(self, n_packets: int) -> str:
        """Return what is wrong with how many of them; ``""`` where nothing is."""
        if self._n_zero:
            said = f"{self._n_zero:,} of {n_packets:,} frames hold only zeros"
        elif self._n_broken:
            said = f"{self._n_broken:,} of {n_packets:,} frames are damaged"
        else:
            return ""
        return f"it is not whole: {said}"
