"""Chooses the frames of a video that are looked at."""

import operator

import numpy as np


def sample_indices(total, n_frames):
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


def check_n_frames(n_frames):
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
