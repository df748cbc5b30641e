"""A face in a frame, and what a face finder is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes
    ----------
    box : tuple of int
        Left, top, right, bottom in pixels. As in dlib, right and bottom are the last
        column and row inside the box, and a box may reach beyond the frame.
    score : float
        The finder's own confidence, higher is surer; not comparable between finders.
    landmarks : ndarray of shape (n_points, 2) or None
        x, y in pixels: dlib's 68 or 5 points, or those of another finder.
    eyes : ndarray of shape (2, 2) or None
        x, y of the centres of the eyes, the one further left in the image first. Not
        needed beside dlib's landmarks, from which they follow.

    Examples
    --------
    >>> Face((10, 20, 109, 119), score=0.8)
    Face(box=(10, 20, 109, 119), score=0.8)
    """

    box: tuple
    score: float
    landmarks: np.ndarray | None = field(default=None, repr=False, compare=False)
    eyes: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        if self.eyes is None and self.landmarks is not None:
            object.__setattr__(self, "eyes", eyes_of(self.landmarks))

    @property
    def area(self) -> Any:
        """Pixels in the box."""
        left, top, right, bottom = self.box
        return (right - left + 1) * (bottom - top + 1)

    @property
    def side(self) -> Any:
        """Longer side of the box, pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top) + 1


@runtime_checkable
class FaceFinder(Protocol):
    """Anything that finds faces in a frame.

    One that several threads may ask at a time says so with ``thread_safe = True``.
    """

    def find(self, frame: np.ndarray) -> list[Face]:
        """Find the faces in a frame.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3)
            RGB uint8.

        Returns
        -------
        list of Face
            Highest score first; empty when there is none.
        """


def eyes_of(landmarks: Any) -> Any:
    points = np.asarray(landmarks, float)
    if points.shape == (68, 2):
        return np.array([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
    if points.shape == (5, 2):
        # dlib's five: both corners of one eye, both of the other, under the nose.
        eyes = [points[:2].mean(axis=0), points[2:4].mean(axis=0)]
        return np.array(sorted(eyes, key=lambda eye: eye[0]))
    return None


def check_frame(frame: Any) -> Any:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise TypeError(f"a frame must be an RGB uint8 array (H, W, 3); got {kind}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(
            f"a frame must be RGB of shape (H, W, 3); got shape {frame.shape}"
        )
    return frame
