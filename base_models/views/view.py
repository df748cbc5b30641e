"""What was made of a video for a detector: `View`, and many of them: `Views`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class View:
    """The images of one video under one recipe, or the reason there are none.

    Attributes
    ----------
    images : ndarray of shape (n_images, image_size, image_size, 3)
        RGB uint8; with a `clip_length` over 1 (n_images, clip_length, image_size,
        image_size, 3).
    frames : ndarray of shape (n_images,)
        Index in the video of the frame each image comes from, of a clip its middle.
    faces : ndarray of shape (n_images,)
        Which followed face it shows, 0 the first; 0 for whole frames.
    reason : str
        Why there are no images; empty when there are some.
    key : str
        What stands for these images in the store; empty when there is no content.
    error : Exception or None
        What nobody foresaw, where that is why there are no images.
    note : str
        What to know about the images, such as that few frames show the face; empty
        where there is nothing.
    """

    images: np.ndarray
    frames: np.ndarray
    faces: np.ndarray
    reason: str = ""
    key: str = ""
    note: str = ""
    error: Exception | None = field(default=None, compare=False, repr=False)

    @property
    def stills(self) -> Any:
        """One image for each of `frames`: of a clip its middle one."""
        if self.images.ndim == 4:
            return self.images
        return self.images[:, self.images.shape[1] // 2]

    @classmethod
    def missing(
        cls, image_size: Any, reason: Any, key: str = "", error: Exception | None = None
    ) -> Any:
        """A view without images."""
        none = np.zeros(0, np.int64)
        shape = (0, image_size, image_size, 3)
        images = np.zeros(shape, np.uint8)
        return cls(images, none, none, reason, key, error=error)


def view_of(arrays: Any, meta: Any, key: str) -> Any:
    """A view as the store keeps it; older versions kept no note."""
    return View(**arrays, reason=meta["reason"], key=key, note=meta.get("note", ""))
