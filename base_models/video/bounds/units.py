"""Whether a packet of H.264 or H.265 is made of whole units, seen without decoding."""

from __future__ import annotations

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
