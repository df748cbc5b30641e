"""Cuts the square around a face out of a frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from base_models.faces.face import check_frame

if TYPE_CHECKING:
    from base_models.faces.face import Face

# Crops


def face_square(
    box: tuple[int, ...], width: int, height: int, margin: float = 1.3
) -> tuple[int, int, int]:
    """Enlarge a face box to a square inside the frame, as FaceForensics++ does.

    At the left and top edge the square is moved, at the right and bottom it shrinks; it
    is never padded.

    Parameters
    ----------
    box : tuple of int
        Left, top, right, bottom.
    width, height : int
        Size of the frame in pixels.
    margin : float, default=1.3
        Side of the square, in longer sides of the box.

    Returns
    -------
    x, y, size : int
        The square is ``frame[y : y + size, x : x + size]``.

    Examples
    --------
    >>> face_square((175, 76, 265, 166), width=512, height=512)
    (162, 63, 117)
    """
    left, top, right, bottom = box
    size = int(max(right - left, bottom - top) * margin)
    x = max(int((left + right) // 2 - size // 2), 0)
    y = max(int((top + bottom) // 2 - size // 2), 0)
    size = min(width - x, height - y, size)
    if size < 1:
        raise ValueError(
            f"the box {tuple(box)} with margin {margin} leaves no square in a frame of "
            f"{width} x {height} pixels; box and frame must belong together"
        )
    return x, y, size


def crop_face(
    frame: np.ndarray,
    face: Face,
    margin: float = 1.3,
    size: int | None = None,
    align: bool = False,
) -> np.ndarray:
    """Cut a square around a face out of a frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    face : Face
    margin : float, default=1.3
        As in `face_square`.
    size : int or None, default=None
        Side of the result in pixels, reached as FaceForensics++ does (Pillow's bilinear
        filter); None leaves it as it is.
    align : bool, default=False
        Turn the frame about the middle of the box until the eyes are level.

    Returns
    -------
    ndarray of shape (size, size, 3)
        RGB uint8.

    Examples
    --------
    >>> from base_models.faces import Face
    >>> frame = np.zeros((480, 640, 3), np.uint8)
    >>> crop_face(frame, Face((100, 100, 199, 199), score=1.0), size=299).shape
    (299, 299, 3)
    """
    frame = check_frame(frame)
    height, width = frame.shape[:2]
    x, y, side = face_square(face.box, width, height, margin)
    if align:
        crop = _levelled(frame, face, x, y, side)
    else:
        crop = frame[y : y + side, x : x + side]
    if size is None:
        return np.ascontiguousarray(crop)
    crop = Image.fromarray(np.ascontiguousarray(crop))
    return np.array(crop.resize((size, size), Image.Resampling.BILINEAR))


def _levelled(frame, face, x, y, side):
    if face.eyes is None:
        raise ValueError(
            "to align a crop the face needs landmarks; this one has none. Use a finder "
            "that gives them, such as DlibFaceFinder(landmarks='5'), or align=False"
        )
    (x_left, y_left), (x_right, y_right) = face.eyes
    angle = math.degrees(math.atan2(y_right - y_left, x_right - x_left))
    left, top, right, bottom = face.box
    middle = ((left + right) / 2, (top + bottom) / 2)
    turn = cv2.getRotationMatrix2D(middle, angle, 1.0)
    turn[:, 2] -= x, y
    return cv2.warpAffine(
        frame,
        turn,
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
