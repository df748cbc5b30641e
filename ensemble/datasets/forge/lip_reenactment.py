"""Lip reenactment: the mouth of one clip opens and closes as somebody else's does.

What reenactment of the mouth region does (Face2Face and lip-sync models are its
kin): the lips follow a driver, the rest of the face and of the frame stays. Here the
lips' landmarks are moved and the lower face is warped triangle by triangle; it leaves
stretched skin, a mouth without teeth, and a patch of another resolution and grain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ensemble.datasets.forge.face_swap import blend_feathered, regrain

# Points of the iBUG 300-W scheme: inner and outer lips, from the image's left to right.
_UPPER, _LOWER = [61, 62, 63], [67, 66, 65]
_UPPER_OUTER, _LOWER_OUTER = [49, 50, 51, 52, 53], [59, 58, 57, 56, 55]
_CORNERS, _CAVITY = [[48, 60], [64, 54]], [*range(60, 68)]
_BRIDGE, _CHIN, _EYES = 27, 8, (36, 45)
_LOWER_FACE = [*range(2, 15), *range(31, 36)]

_STILL = 0.04  # lips that open by less, in distances of the eyes, do not speak
_WIDEST = 0.4
_LIP_SHARE = 0.75  # of an opening, how much of it the lower lip makes


@dataclass(frozen=True)
class LipStyle:
    """How the lips of one clip are moved; drawn once a clip.

    Attributes
    ----------
    gain : float
        Share of the driver's movement that the lips follow.
    resolution : float
        Size at which the lower face was synthesised, relative to where it goes.
    feather : float
        Width of the soft edge as a share of the width of the lower face.
    grain : float
        Share of the grain missing in the synthesised part that is put on again.
    """

    gain: float
    resolution: float
    feather: float
    grain: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> LipStyle:
        return cls(
            gain=rng.uniform(0.8, 1.3),
            resolution=np.exp(rng.uniform(np.log(0.4), np.log(1.05))),
            feather=rng.uniform(0.03, 0.08),
            grain=rng.uniform(0.1, 0.8),
        )


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """Distance of the inner lips, in distances of the outer corners of the eyes.

    Parameters
    ----------
    landmarks : ndarray of shape (..., 68, 2)

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.datasets.forge.lip_reenactment import mouth_opening
    >>> landmarks = np.zeros((68, 2))
    >>> landmarks[45, 0] = 100  # the other eye
    >>> landmarks[[65, 66, 67], 1] = 20  # the lower lip
    >>> float(mouth_opening(landmarks))
    0.2
    """
    landmarks = np.asarray(landmarks, float)
    between = landmarks[..., _LOWER, :] - landmarks[..., _UPPER, :]
    opening = np.linalg.norm(between, axis=-1).mean(-1)
    return opening / _eye_distance(landmarks)


def followed_opening(
    target: np.ndarray,
    driver: np.ndarray,
    style: LipStyle,
    fps: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """How far the target's mouth is to open, following the driver over time.

    Both are taken from their own closed mouth: what the driver's opens by, the
    target's does. A driver whose lips are still gets syllables that are made up.

    Parameters
    ----------
    target, driver : ndarray of shape (T,)
        From `mouth_opening`.
    style : LipStyle
    fps : float
        Frames per second, for the syllables.
    rng : Generator
        Draws them.

    Returns
    -------
    ndarray of shape (T,)
    """
    moves = driver - np.quantile(driver, 0.1)
    if np.ptp(moves) < _STILL:
        moves = _syllables(len(driver), fps, rng)
    return np.clip(np.quantile(target, 0.1) + style.gain * moves, 0, _WIDEST)


def moved_lips(landmarks: np.ndarray, opening: float) -> np.ndarray:
    """Landmarks of the same face with its mouth opened so far.

    Parameters
    ----------
    landmarks : ndarray of shape (68, 2)
    opening : float
        As `mouth_opening` measures it, from 0.

    Returns
    -------
    ndarray of shape (68, 2)
        Only points of the lips differ. The lower lip stays clear of the chin.
    """
    moved = np.array(landmarks, float)
    down = moved[_CHIN] - moved[_BRIDGE]
    down /= np.linalg.norm(down)
    between = np.linalg.norm(moved[_LOWER] - moved[_UPPER], axis=-1)  # (3,)
    more = opening * _eye_distance(moved) - between.mean()  # pixels
    room = 0.5 * np.linalg.norm(moved[_CHIN] - moved[_LOWER_OUTER[2]])
    more = min(more, room / _LIP_SHARE)
    # A mouth closes in proportion, so that no part of a lip crosses the other.
    shift = more * (between / max(between.mean(), 1e-6) if more < 0 else np.ones(3))
    outer = shift[[0, 0, 1, 2, 2]] * (0.5, 1, 1, 1, 0.5)
    for points, share, by in (
        (_UPPER, _LIP_SHARE - 1, shift),
        (_LOWER, _LIP_SHARE, shift),
        (_UPPER_OUTER, _LIP_SHARE - 1, outer),
        (_LOWER_OUTER, _LIP_SHARE, outer),
    ):
        moved[points] += share * by[:, None] * down
    across = moved[_CORNERS[1][0]] - moved[_CORNERS[0][0]]
    across /= max(np.linalg.norm(across), 1e-6)
    moved[_CORNERS[0]] += 0.1 * max(more, 0) * across
    moved[_CORNERS[1]] -= 0.1 * max(more, 0) * across
    return moved


def reenact_lips(
    frame: np.ndarray,
    landmarks: np.ndarray,
    opening: float,
    style: LipStyle,
    rng: np.random.Generator,
) -> np.ndarray:
    """Open or close the mouth in one frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
    landmarks : ndarray of shape (68, 2)
        Of the face in it, pixels.
    opening : float
        As `mouth_opening` measures it.
    style : LipStyle
    rng : Generator
        Draws the grain that is put on again.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Outside the lower face, between nose and jaw, as it was.
    """
    import cv2

    from base_models.augmentation import image_blending as blending

    landmarks = np.asarray(landmarks, float)
    size = frame.shape[1::-1]
    left, top = np.clip(landmarks.min(0) - 8, 0, size).astype(int)
    right, bottom = np.clip(landmarks.max(0) + 8, 0, size).astype(int)
    reenacted = frame.copy()
    box = reenacted[top:bottom, left:right]
    before = landmarks - (left, top)
    mask = _lower_face(box.shape[:2], before)
    if not mask.any():
        return reenacted
    after = moved_lips(before, opening)
    x, y = blending.source_pixels(after, before, mask.shape, piecewise=True)
    face = cv2.remap(
        np.float32(box), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    face = _darkened(face, after, float(mouth_opening(before)), opening)
    face = blending.limit_resolution(face, style.resolution)
    blended = blend_feathered(face, box, mask, style.feather)
    inside = mask > 0
    box[inside] = regrain(blended, box, inside, style.grain, rng)[inside]
    return reenacted


def _lower_face(shape, landmarks):
    """What may change: between nose and jaw, 255 inside; the image's edge stays 0."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    if min(shape) > 4:
        hull = cv2.convexHull(np.rint(landmarks[_LOWER_FACE]).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 255)
        mask[:2] = mask[-2:] = 0
        mask[:, :2] = mask[:, -2:] = 0
    return mask


def _darkened(face, landmarks, before, opening):
    """The inside of a mouth that was closed is dark, and not lips drawn out.

    One that was open shows what was in it, such as teeth.
    """
    import cv2

    depth = np.clip((opening - before) / 0.15, 0, 1) * np.clip(1 - before / 0.1, 0, 1)
    if depth == 0:
        return face
    cavity = np.zeros(face.shape[:2], np.float32)
    outline = np.rint(16 * landmarks[_CAVITY]).astype(np.int32)
    cv2.fillPoly(cavity, [outline], 1.0, cv2.LINE_8, 4)
    softness = 0.015 * np.ptp(landmarks[:, 0])
    cavity = cv2.GaussianBlur(cavity, (0, 0), max(softness, 0.5))
    return face * (1 - np.float32(0.6 * depth) * cavity[..., None])


def _syllables(n_frames, fps, rng):
    """Openings of a mouth that speaks three to five syllables a second."""
    seconds = np.arange(n_frames) / fps
    beat = np.abs(np.sin(np.pi * (rng.uniform(3, 5) * seconds + rng.uniform())))
    phrase = 0.75 + 0.25 * np.sin(2 * np.pi * (0.4 * seconds + rng.uniform()))
    return rng.uniform(0.1, 0.2) * beat * phrase


def _eye_distance(landmarks):
    across = landmarks[..., _EYES[1], :] - landmarks[..., _EYES[0], :]
    return np.maximum(np.linalg.norm(across, axis=-1), 1e-6)
