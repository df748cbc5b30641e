"""Classical face swaps, frame by frame: warp, colour transfer, blending.

The road is the one of the landmark-based tools (M. Kowalski's FaceSwap, one of the
methods of FaceForensics++, and its relatives): the source's face is warped onto
the target's landmarks, its colours are moved towards the target's (Reinhard et al.,
2001), and it is set in with a feathered edge or by Poisson blending (Pérez et al.,
2003). It leaves the traces such tools leave: a face of lower resolution than its
surroundings, noise that was resampled, a seam, a tone that is nearly right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

METHODS = ("swap_poisson", "swap_feathered")

# The 68 points of the iBUG 300-W scheme.
_JAW = slice(0, 17)
_BROWS = slice(17, 27)
_NOSE = 30


@dataclass(frozen=True)
class SwapStyle:
    """How one swap was made; drawn once a clip, so that no two are quite alike.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    resolution : float
        Size at which the swapped face was synthesised, relative to where it goes.
    colour_match : float
        From 0 (the source's own colours) to 1 (mean and spread of the target's).
    tightness : float
        From 0 (swap out to the jaw line) to 1 (nothing left but the nose).
    feather : float
        Width of the soft edge as a share of the face's width.
    grain : float
        Share of the grain missing in the swapped face that is put on again.
    """

    method: str
    resolution: float
    colour_match: float
    tightness: float
    feather: float
    grain: float

    @classmethod
    def draw(cls, rng: np.random.Generator, method: Any) -> Any:
        return cls(
            method=method,
            resolution=np.exp(rng.uniform(np.log(0.28), np.log(1.05))),
            colour_match=rng.uniform(0.6, 1),
            tightness=rng.uniform(0.06, 0.18),
            feather=rng.uniform(0.04, 0.12),
            grain=rng.uniform(0.1, 0.8),
        )


def swap_face(
    target: np.ndarray,
    target_landmarks: np.ndarray,
    source: np.ndarray,
    source_landmarks: np.ndarray,
    style: SwapStyle,
    rng: np.random.Generator,
) -> np.ndarray:
    """Set the source's face into one frame of the target.

    Parameters
    ----------
    target, source : ndarray of shape (H, W, 3), uint8
        RGB frames; they may differ in size.
    target_landmarks, source_landmarks : ndarray of shape (68, 2)
        Their faces' landmarks (x, y), pixels.
    style : SwapStyle
        How to go about it.
    rng : Generator
        Draws the grain that is put on again.

    Returns
    -------
    swapped : ndarray of shape (H, W, 3), uint8
        The target's frame with the source's inner face; as it was if the two faces
        share nothing that can be seen.
    """
    import cv2

    from base_models.augmentation import image_blending as blending

    if style.method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}; got {style.method!r}")
    target_landmarks = np.asarray(target_landmarks, float)
    source_landmarks = np.asarray(source_landmarks, float)
    # All further work is on a box around the face.
    size = target.shape[1::-1]
    brows_height = 0.2 * np.ptp(target_landmarks[:, 1])
    left, top = np.clip(target_landmarks.min(0) - brows_height, 0, size).astype(int)
    right, bottom = np.clip(target_landmarks.max(0) + 8, 0, size).astype(int)
    swapped = target.copy()
    box = swapped[top:bottom, left:right]
    landmarks = target_landmarks - (left, top)
    mask = face_mask(box.shape[:2], landmarks, style.tightness)
    if not mask.any():
        return swapped

    x, y = blending.source_pixels(
        landmarks,
        source_landmarks,
        mask.shape,
        piecewise=style.method == "swap_poisson",
    )
    face = cv2.remap(
        np.float32(source), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    # What lies beside a turned source's face stays out.
    source_mask = face_mask(source.shape[:2], source_landmarks, tightness=0)
    mask &= cv2.remap(source_mask, x, y, cv2.INTER_NEAREST)
    inside = mask > 0
    if not inside.any():
        return swapped
    face = blending.limit_resolution(face, style.resolution)
    face = blending.match_colours(face, box, inside, style.colour_match)
    if style.method == "swap_poisson":
        blended = blending.blend_poisson(face, box, mask)
    else:
        blended = blend_feathered(face, box, mask, style.feather)
    box[inside] = regrain(blended, box, inside, style.grain, rng)[inside]
    return swapped


def swap_clip(
    target: tuple[np.ndarray, np.ndarray],
    source: tuple[np.ndarray, np.ndarray],
    style: SwapStyle,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Set the source's face into each frame of the target.

    Parameters
    ----------
    target, source : tuple of (frames, landmarks)
        Of equal length T: (T, H, W, 3) uint8, and (T, 68, 2) in pixels.
    style : SwapStyle
    rng : Generator

    Returns
    -------
    list of ndarray of shape (H, W, 3), uint8
    """
    return [
        swap_face(*of_target, *of_source, style, rng)
        for of_target, of_source in zip(
            zip(*target, strict=True), zip(*source, strict=True), strict=True
        )
    ]


def face_mask(
    shape: tuple[int, ...], landmarks: np.ndarray, tightness: float
) -> np.ndarray:
    """The inner face: convex hull of jaw and brows, drawn in towards the nose.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    landmarks : ndarray of shape (68, 2)
        The face's landmarks (x, y), pixels.
    tightness : float
        0 leaves the jaw line where it is, 1 draws it in to the tip of the nose.

    Returns
    -------
    mask : ndarray of shape (H, W), uint8
        255 inside. The image's own edge stays 0: blending needs something to go by.
    """
    import cv2

    nose = landmarks[_NOSE]
    jaw = nose + (1 - tightness) * (landmarks[_JAW] - nose)
    brows = nose + 1.1 * (landmarks[_BROWS] - nose)
    hull = cv2.convexHull(np.vstack([jaw, brows]).astype(np.float32))
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 255)
    mask[:2] = mask[-2:] = 0
    mask[:, :2] = mask[:, -2:] = 0
    return mask


def blend_feathered(
    face: np.ndarray, target: np.ndarray, mask: np.ndarray, feather: float
) -> np.ndarray:
    """Mix the two, with a soft edge that lies inside the mask.

    Parameters
    ----------
    face, target : ndarray of shape (H, W, 3)
        RGB, 0 to 255.
    mask : ndarray of shape (H, W), uint8
        255 where the face goes.
    feather : float
        Width of the edge as a share of the mask's width.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
    """
    import cv2

    sigma = feather * cv2.boundingRect(mask)[2]
    core = cv2.distanceTransform(mask, cv2.DIST_L2, 3) > sigma
    share = cv2.GaussianBlur(np.float32(core), (0, 0), sigma) * (mask > 0)
    return target + share[..., None] * (face - target)


def regrain(
    face: np.ndarray,
    target: np.ndarray,
    inside: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Put grain on a synthesised face, which has less of it than what was there.

    Parameters
    ----------
    face, target : ndarray of shape (H, W, 3)
        RGB, 0 to 255.
    inside : ndarray of shape (H, W), bool
        Where the face is.
    share : float
        Of the grain that is missing.
    rng : Generator

    Returns
    -------
    ndarray of shape (H, W, 3)
        Whole numbers, 0 to 255.
    """
    import cv2

    def grain_of(image):
        fine = image - cv2.GaussianBlur(image, (0, 0), 1.5)
        return 1.48 * np.median(np.abs(fine[inside]))  # blind to edges, unlike std

    face = np.float32(face)
    missing = max(0, grain_of(np.float32(target)) ** 2 - grain_of(face) ** 2) ** 0.5
    noise = cv2.GaussianBlur(rng.standard_normal(inside.shape, np.float32), (3, 3), 0)
    noise *= share * missing / noise.std() * inside
    return np.rint(np.clip(face + noise[..., None], 0, 255))
