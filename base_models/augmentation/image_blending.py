"""Setting one face into another image: where, warped how, in which colours."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import Delaunay

# The 68 points of the iBUG 300-W scheme without the jaw.
_INNER = slice(17, 68)


def source_pixels(
    target_landmarks: np.ndarray,
    source_landmarks: np.ndarray,
    shape: tuple[int, ...],
    piecewise: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Say where in the source each pixel of the target comes from.

    Parameters
    ----------
    target_landmarks, source_landmarks : ndarray of shape (68, 2)
        Of the two faces, x, y in pixels.
    shape : tuple of int
        Height and width of the target.
    piecewise : bool
        One affine map for each triangle between landmarks, or one for the whole face.

    Returns
    -------
    x, y : ndarray of shape (H, W), float32
        For ``cv2.remap``.
    """
    # Row 0 of `maps` is the affine map of the whole face, target -> source; those of
    # the single triangles follow, and `which` says which map a pixel obeys.
    points = np.hstack([target_landmarks, np.ones((len(target_landmarks), 1))])
    whole = np.linalg.lstsq(points[_INNER], source_landmarks[_INNER], rcond=None)[0]
    maps = whole[None]
    which = np.zeros(shape, np.int32)
    if piecewise:
        triangles = Delaunay(target_landmarks).simplices
        doubled_area = np.abs(np.linalg.det(points[triangles]))
        triangles = triangles[doubled_area > 1]  # thinner ones have no pixel to map
        own = np.linalg.solve(points[triangles], source_landmarks[triangles])
        maps = np.concatenate([maps, own])
        outlines = np.rint(16 * target_landmarks[triangles]).astype(np.int32)
        for number, outline in enumerate(outlines, start=1):
            cv2.fillConvexPoly(which, outline, number, shift=4)
    rows, columns = np.indices(shape, np.float32)[..., None]
    maps = np.float32(maps)[which]  # (H, W, 3, 2)
    pixels = columns * maps[..., 0, :] + rows * maps[..., 1, :] + maps[..., 2, :]
    return pixels[..., 0], pixels[..., 1]


def limit_resolution(
    face: np.ndarray, scale: float, how: int = cv2.INTER_CUBIC
) -> np.ndarray:
    """Lose the detail that a face synthesised at `scale` of this size never had.

    Parameters
    ----------
    face : ndarray of shape (H, W, 3)
    scale : float
        From 1 on nothing is lost.
    how : int
        OpenCV's interpolation on the way back.

    Returns
    -------
    ndarray of shape (H, W, 3)
    """
    if scale >= 1:
        return face
    height, width = face.shape[:2]
    small = (max(1, round(scale * width)), max(1, round(scale * height)))
    face = cv2.resize(face, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(face, (width, height), interpolation=how)


def match_colours(
    face: np.ndarray, target: np.ndarray, inside: np.ndarray, strength: float
) -> np.ndarray:
    """Move mean and spread of a face's colours towards the target's, in CIE Lab.

    Parameters
    ----------
    face, target : ndarray of shape (H, W, 3)
        RGB, 0..255.
    inside : ndarray of shape (H, W), bool
        Where the two are compared.
    strength : float
        0 changes nothing, 1 takes the target's mean and spread.

    Returns
    -------
    ndarray of shape (H, W, 3), float32

    References
    ----------
    Reinhard et al. (2001), Color transfer between images.
    """
    lab = cv2.cvtColor(
        np.float32(np.clip(face, 0, 255) / np.float32(255)), cv2.COLOR_RGB2LAB
    )
    goal = cv2.cvtColor(np.float32(target) / np.float32(255), cv2.COLOR_RGB2LAB)[inside]
    own = lab[inside]
    spread = goal.std(0) / np.maximum(own.std(0), 1e-3)
    matched = (lab - own.mean(0)) * np.clip(spread, 0.7, 1.4) + goal.mean(0)
    lab += np.float32(strength) * (matched - lab)
    return np.clip(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 255)


def blend_poisson(face: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Keep the face's gradients, take the colours from around it.

    Parameters
    ----------
    face, target : ndarray of shape (H, W, 3)
        The target uint8.
    mask : ndarray of shape (H, W), uint8
        255 where the face goes; 0 along the edge of the image.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    References
    ----------
    Pérez et al. (2003), Poisson image editing.
    """
    x, y, width, height = cv2.boundingRect(mask)
    return cv2.seamlessClone(
        np.rint(face).astype(np.uint8),
        target,
        mask.copy(),  # OpenCV writes to it
        (x + width // 2, y + height // 2),
        cv2.NORMAL_CLONE,
    )
