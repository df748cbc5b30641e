"""Which real video a fake is paired with, and what share of training each gets."""

import cv2
import numpy as np


def own_reals(views, is_fake, groups):
    """Find the real video that each fake was made of: the most like it of its group.

    Most like is the least mean difference of its images, frame by frame. A fake whose
    group has no real one has none.

    Parameters
    ----------
    views : Views
    is_fake, groups : ndarray of shape (n_videos,)

    Yields
    ------
    fake, real : int
        Rows.
    """
    for group in np.unique(groups[is_fake == 1]):
        fakes, reals = (
            np.flatnonzero((groups == group) & (is_fake == label)) for label in (1, 0)
        )
        if not len(reals):
            continue
        small = {row: _thumbnails(views[row].stills) for row in (*fakes, *reals)}
        for fake in fakes:
            apart = [_mean_difference(small[fake], small[real]) for real in reals]
            yield int(fake), int(reals[np.argmin(apart)])


def _thumbnails(images, side=64):
    return np.stack(
        [cv2.resize(i, (side, side), interpolation=cv2.INTER_AREA) for i in images]
    ).astype(np.int16)


def _mean_difference(one, other):
    n = min(len(one), len(other))
    return np.abs(one[:n] - other[:n]).mean()


def video_shares(is_fake, groups, balanced):
    """How often each video is drawn; sums to 1."""
    share = np.ones(len(is_fake))
    if balanced:
        for label in np.unique(is_fake):
            rows = np.flatnonzero(is_fake == label)
            _, which, sizes = np.unique(
                groups[rows], return_inverse=True, return_counts=True
            )
            share[rows] = 1 / (sizes[which] * len(sizes))
    return share / share.sum()


def own_share(part, share):
    """This process's share of a batch, which must not be empty."""
    own = part[share]
    if not len(own):
        raise ValueError(
            f"a batch of {len(part)} cannot be shared by {share.step} processes; raise "
            "batch_size or start fewer"
        )
    return own
