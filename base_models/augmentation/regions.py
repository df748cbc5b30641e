"""Which part of a face is replaced, and how softly: masks from 68 landmarks."""

from __future__ import annotations

import cv2
import numpy as np

# Points of the iBUG 300-W scheme.
JAW, BROWS = (*range(17),), (*range(17, 27),)
NOSE, EYES, MOUTH = (*range(27, 36),), (*range(36, 48),), (*range(48, 68),)

# Which points span the region that is replaced, and how often it is.
REGIONS = {
    "face": ((*JAW, *BROWS), 0.45),
    "inner": ((*BROWS, *NOSE, *MOUTH), 0.15),
    "lower": ((*range(2, 15), *range(31, 36)), 0.18),
    "mouth": ((*MOUTH, *range(6, 11), *range(31, 36)), 0.12),
    "eyes": ((*BROWS, *EYES, 28), 0.10),
}
_SHARES = (0.4, 0.7, 0.9, 1.0, 1.0, 1.0)


def region_mask(
    shape: tuple[int, ...],
    points: np.ndarray,
    width: float,
    draw: np.random.Generator,
    opaque: bool = False,
) -> np.ndarray:
    """Soft outline (H, W) of a region, float32 in 0..1; bent anew each time."""
    centre = points.mean(0)
    grown = centre + draw.uniform(0.85, 1.12) * (points - centre)
    mask = np.zeros(shape, np.float32)
    hull = cv2.convexHull(np.float32(grown))
    cv2.fillConvexPoly(mask, np.rint(16 * hull).astype(np.int32), 1.0, shift=4)
    x, y = bend(shape, 0.06 * width, draw)
    mask = cv2.remap(mask, x, y, cv2.INTER_LINEAR)
    sigma = width * np.exp(draw.uniform(np.log(0.004), np.log(0.07)))
    mask = cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3))
    if draw.random() < 0.5:  # the soft edge inside the outline, as blending tools do
        mask = np.clip(2 * mask - 1, 0, 1)
    share = np.float32(draw.choice(_SHARES))
    return mask if opaque else mask * share


def bend(
    shape: tuple[int, ...], amplitude: float, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where to look for each pixel, x and y (H, W): a smooth random displacement."""
    height, width = shape
    grid = draw.uniform(-amplitude, amplitude, (2, draw.integers(3, 7), 5))
    moved = [cv2.resize(np.float32(g), (width, height), None, 0, 0, 2) for g in grid]
    rows, columns = np.indices(shape, np.float32)
    return columns + moved[0], rows + moved[1]


def head_outline(landmarks: np.ndarray) -> np.ndarray:
    """Points around the head, (27, 2): the jaw, and the brows lifted to the hair."""
    up = landmarks[27] - landmarks[33]  # along the nose
    return np.concatenate([landmarks[list(JAW)], landmarks[list(BROWS)] + 1.2 * up])


def skin_mask(
    shape: tuple[int, ...], landmarks: np.ndarray, width: float
) -> np.ndarray:
    """Soft mask (H, W) of the skin: the face without eyes, brows and mouth, 0..1."""
    mask = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(mask, _hull(landmarks), 1.0)
    features = np.zeros(shape, np.uint8)
    for part in (MOUTH, EYES[:6], EYES[6:], BROWS[:5], BROWS[5:], NOSE[4:]):
        cv2.fillConvexPoly(features, _hull(landmarks[list(part)]), 1)
    side = 2 * max(1, round(0.02 * width)) + 1
    mask[cv2.dilate(features, np.ones((side, side), np.uint8)) > 0] = 0
    return cv2.GaussianBlur(mask, (0, 0), max(0.015 * width, 0.5))


def _hull(points):
    return cv2.convexHull(np.rint(points).astype(np.int32))
