"""Hashes of how a video looks, and the search for those that look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

N_FRAMES = 4  # hashed, spread over the video
N_BITS = 64 * N_FRAMES
# Bits of 256. Of 12 real clips, copies at crf 40 or a third of the size were 2 to 16
# away; of 46, different ones 20 (signers before one fixed camera) and more.
MAX_DISTANCE = 16
_SIDE, _LOW = 32, 8  # the frame is shrunk to 32 x 32; its 8 x 8 lowest frequencies
_FLAT = 4.0  # grey levels: with less deviation a frame shows nothing to compare
_TURNS, _NEIGHBOURS = 16, 32
_ORDER = np.random.default_rng(0).permutation(N_BITS)  # mixes frames and frequencies
_ONES = np.array([number.bit_count() for number in range(2**16)], np.uint8)


def perceptual_hash(frames: Sequence[np.ndarray]) -> str | None:
    """Hash how frames look, by the signs of their low frequencies (pHash).

    Scaling, recompression and a little noise change few bits, other pictures about
    half of them.

    Parameters
    ----------
    frames : sequence of ndarray of shape (H, W, 3)
        RGB uint8, one or `N_FRAMES`.

    Returns
    -------
    str or None
        64 hexadecimal digits; None where a frame is flat (all dark, one colour), whose
        hash would be that of its noise, and like that of any other dark frame.

    References
    ----------
    Zauner (2010), Implementation and benchmarking of perceptual image hash functions.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> len(perceptual_hash([frame])), perceptual_hash([frame // 100])
    (64, None)
    """
    import cv2

    bits = []
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        if small.std() < _FLAT:
            return None
        low = cv2.dct(small)[:_LOW, :_LOW].ravel()
        bits.append(low > np.median(low[1:]))  # the first is the brightness
    bits = bits * N_FRAMES if len(bits) == 1 else bits
    return np.packbits(np.concatenate(bits)).tobytes().hex()


def near_pairs(
    hashes: Sequence[str], max_distance: int = MAX_DISTANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Find hashes that differ in few bits, in time linear in their number.

    The hashes are sorted 16 times, each time from another bit on, and each is compared
    with the 32 that follow it. Of more than 32 that are all alike, each is found with
    some of the others and not with every one.

    Parameters
    ----------
    hashes : sequence of str
        From `perceptual_hash`.
    max_distance : int, default=16
        Bits of 256.

    Returns
    -------
    pairs : int ndarray of shape (n_pairs, 2)
        Rows, the lower one first.
    distances : int ndarray of shape (n_pairs,)

    Examples
    --------
    >>> pairs, distances = near_pairs(["0" * 64, "f" * 64, "0" * 62 + "03"])
    >>> pairs.tolist(), distances.tolist()
    ([[0, 2]], [2])
    """
    none = np.empty((0, 2), int), np.empty(0, int)
    if len(hashes) < 2:
        return none
    given = np.array([list(bytes.fromhex(text)) for text in hashes], np.uint8)
    bits = np.unpackbits(given, axis=1)[:, _ORDER]
    mixed = np.ascontiguousarray(np.packbits(bits, axis=1))
    words = mixed.view(np.uint16)
    found = []
    for turn in range(_TURNS):
        from_here = np.roll(mixed, -turn * mixed.shape[1] // _TURNS, axis=1)
        columns = np.ascontiguousarray(from_here).view(">u8").T
        order = np.lexsort(columns[::-1])
        for step in range(1, min(_NEIGHBOURS, len(order) - 1) + 1):
            one, other = order[:-step], order[step:]
            distance = _ONES[words[one] ^ words[other]].sum(axis=1, dtype=int)
            near = distance <= max_distance
            both = np.sort(np.column_stack([one[near], other[near]]), axis=1)
            found.append(np.column_stack([both, distance[near]]))
    rows = np.unique(np.concatenate(found), axis=0)
    return rows[:, :2], rows[:, 2]
