"""Chooses the frames of a video that are looked at."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

import numpy as np


def sample_indices(total: int, n_frames: int | None) -> np.ndarray:
    """Choose frames evenly over a whole video, first and last included.

    Parameters
    ----------
    total : int
        Frames in the video.
    n_frames : int or None
        Frames wanted, at least 1; None for all.

    Returns
    -------
    ndarray of int
        `n_frames` distinct indices in rising order, 0-based; all `total` if there are
        no more. One frame alone is the middle one.

    Examples
    --------
    >>> sample_indices(100, 5)
    array([ 0, 25, 50, 74, 99])
    >>> sample_indices(3, 16)
    array([0, 1, 2])
    >>> sample_indices(101, 1)
    array([50])
    """
    n_frames = check_n_frames(n_frames)
    if n_frames is None or n_frames >= total:
        return np.arange(total)
    if n_frames == 1:
        return np.array([(total - 1) // 2])
    return np.rint(np.linspace(0, total - 1, n_frames)).astype(int)


def clip_indices(indices: np.ndarray, total: int, clip_length: int) -> Any:
    """Choose the frames around each of some frames.

    Parameters
    ----------
    indices : ndarray of int
        Frames, 0-based.
    total : int
        Frames in the video, at least `clip_length`.
    clip_length : int
        Frames in a row.

    Returns
    -------
    ndarray of shape (len(indices), clip_length)
        With the frame in the middle, save at the ends of the video.

    Examples
    --------
    >>> import numpy as np
    >>> clip_indices(np.array([0, 5, 9]), 10, 3).tolist()
    [[0, 1, 2], [4, 5, 6], [7, 8, 9]]
    """
    first = np.clip(indices - clip_length // 2, 0, total - clip_length)
    return first[:, None] + np.arange(clip_length)


@dataclass(frozen=True, order=True)
class FrameChoice:
    """How many frames of a video are looked at, and which.

    Parameters
    ----------
    n_frames : int or None
        None is all.
    sampling : {"even", "keyframes"}
        Spread evenly; or each of these moved to the nearest key frame, where one lies
        less than half way to the next of them.
    offset : int, default=0
        Frames behind a key frame that are taken in its place: the middle of a clip
        that begins with it.

    Examples
    --------
    >>> import numpy as np
    >>> keys = KeyFrames(101, np.array([0, 30, 60, 90]))
    >>> FrameChoice(5, "keyframes").indices(101, keys)
    array([  0,  30,  60,  75,  90])
    >>> FrameChoice(5, "even").indices(101, keys)
    array([  0,  25,  50,  75, 100])
    """

    n_frames: int | None
    sampling: str = "even"
    offset: int = 0

    @classmethod
    def of(cls, n_frames: int | None, sampling: str, clip_length: int) -> FrameChoice:
        """Return the choice of clips of some length."""
        return cls(n_frames, sampling, clip_length // 2 if sampling != "even" else 0)

    def indices(self, total: int, keys: KeyFrames | None = None) -> np.ndarray:
        """Choose frames, 0-based and rising.

        Parameters
        ----------
        total : int
            Frames in the video.
        keys : KeyFrames or None, default=None
            None where no key frames are known: frames are spread evenly then.
        """
        even = sample_indices(total, self.n_frames)
        if self.sampling == "even" or keys is None or keys.total != total:
            return even
        n = len(even)
        if not 1 < n < total or not len(keys.places):
            return even
        wanted = np.minimum(keys.places + self.offset, total - 1)
        after = np.searchsorted(wanted, even)
        before, behind = (wanted.take(at, mode="clip") for at in (after - 1, after))
        nearest = np.where(abs(even - before) <= abs(behind - even), before, behind)
        half = np.diff(even).min() / 2
        return np.where(np.abs(nearest - even) < half, nearest, even)


@dataclass(frozen=True)
class KeyFrames:
    """Where a video can be entered.

    Attributes
    ----------
    total : int
        Frames of the video, as its packets foretell.
    places : ndarray of int
        Its key frames, by their places among these, rising.
    """

    total: int
    places: np.ndarray


def check_n_frames(n_frames: int) -> Any:
    if n_frames is None:
        return None
    try:
        n_frames = operator.index(n_frames)
    except TypeError:
        raise TypeError(
            f"n_frames must be a whole number or None (all); got {n_frames!r}"
        ) from None
    if n_frames < 1:
        raise ValueError(
            f"n_frames must be at least 1, or None for all; got {n_frames}"
        )
    return n_frames


def natural_order(name: str) -> list[str | int]:
    """Return what sorts names of frames as people count: 2 before 10.

    Examples
    --------
    >>> sorted(["10.png", "9.png"], key=natural_order)
    ['9.png', '10.png']
    """
    parts: list[str | int] = list(re.split(r"(\d+)", name.lower()))
    parts[1::2] = map(int, parts[1::2])
    return parts
