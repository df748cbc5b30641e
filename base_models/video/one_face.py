"""One face of a video, in place of the video: scored by itself where there are several.

Detectors that look at faces see that face alone; those that look at whole frames see
the same of every face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MOST_FACES = 4  # of a video that are scored by themselves, the largest
SMALLEST_SHARE = 1 / 8  # of the largest face's area, summed over the frames showing it
SAME_FACE = 0.3  # overlap from which two boxes of one moment show one face


@dataclass(frozen=True)
class OneFace:
    """A face of a video, known by where it is in some frames.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
        The whole video.
    number : int
        From 1, the largest face first.
    frames : tuple of int
        Frames of the video that show the face, rising.
    boxes : tuple of (left, top, right, bottom)
        Where it is in each of these.
    """

    video: object
    number: int
    frames: tuple
    boxes: tuple

    def overlap(
        self, frames: Sequence[int] | np.ndarray, boxes: Sequence[Any] | np.ndarray
    ) -> float:
        """Return how well boxes in some frames lie on this face.

        Parameters
        ----------
        frames : sequence of int
        boxes : sequence of (left, top, right, bottom)

        Returns
        -------
        float
            Mean over the frames of the shared part of both boxes, 0 to 1; between
            frames that show the face its box moves evenly.
        """
        edges = np.array(self.boxes, float).T
        own = np.stack([np.interp(frames, self.frames, edge) for edge in edges], axis=1)
        return float(np.mean([box_overlap(a, b) for a, b in
                              zip(own, boxes, strict=True)]))  # fmt: skip

    def track_of(self, tracks: list[Any], indices: np.ndarray) -> Any:
        """Choose the followed face that is this one.

        Parameters
        ----------
        tracks : list of FaceTrack
            By place in `indices`.
        indices : ndarray of int
            Frames of the video.

        Returns
        -------
        FaceTrack or None
            None where no track lies on this face.
        """
        overlaps = [
            self.overlap(indices[t.frames], [face.box for face in t.faces])
            for t in tracks
        ]
        if not overlaps or max(overlaps) < SAME_FACE:
            return None
        return tracks[int(np.argmax(overlaps))]


def whole_video(video: OneFace | str | Path | np.ndarray) -> str | Path | np.ndarray:
    """Return the video that a face is of; any other video as it is.

    Parameters
    ----------
    video : OneFace, str, Path or ndarray

    Returns
    -------
    str, Path or ndarray
    """
    return video.video if isinstance(video, OneFace) else video


def box_overlap(box: Any, other: Any) -> Any:
    """Return the shared part of two boxes: of 1 they are equal, of 0 apart.

    Examples
    --------
    >>> box_overlap((0, 0, 9, 9), (0, 0, 9, 4))
    0.5
    """
    (left, top, right, bottom), (left2, top2, right2, bottom2) = box, other
    width = min(right, right2) - max(left, left2) + 1
    height = min(bottom, bottom2) - max(top, top2) + 1
    shared = max(width, 0) * max(height, 0)
    areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, other)]
    return float(shared / (sum(areas) - shared))
