"""What a forger sets in the place of a face: the same one changed, or another's."""

from __future__ import annotations

import cv2
import numpy as np

from base_models.augmentation import image_blending as blending
from base_models.augmentation.regions import (
    BROWS,
    MOUTH,
    bend,
    head_outline,
    skin_mask,
)

_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
# Rows (or columns) of a kernel of 4 that meet the last, this and the next pixel.
_PHASES = ((3, 1, None), (None, 2, 0))


def moved(source: np.ndarray, width: float, draw: np.random.Generator) -> np.ndarray:
    """Shift, scale and bend by so little that the features still nearly meet."""
    height, across = source.shape[:2]
    x, y = bend((height, across), 0.012 * width, draw)
    scale = np.exp(draw.uniform(-0.05, 0.05))
    shift = draw.uniform(-0.03, 0.03, 2) * width
    x = (x - across / 2) * np.float32(scale) + np.float32(across / 2 + shift[0])
    y = (y - height / 2) * np.float32(scale) + np.float32(height / 2 + shift[1] / 2)
    return remap(source, x, y)


def other_look(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Other colours, often only just, and another sharpness."""
    far = draw.uniform(0.1, 1) ** 1.5
    shift, (saturation, contrast) = draw.uniform(-18, 18, 3), draw.uniform(-1, 1, 2)
    image = (image - 128) * np.float32(1 + 0.15 * far * contrast) + 128
    gray = image @ np.float32([[0.299], [0.587], [0.114]])
    image = gray + np.float32(1 + 0.3 * far * saturation) * (image - gray)
    image += np.float32(far * shift)
    if draw.random() < 0.5:
        scale = draw.uniform(0.25, 0.6)
        return blending.limit_resolution(image, scale, draw.choice(_INTERPOLATIONS))
    fine = image - cv2.GaussianBlur(image, (0, 0), draw.uniform(0.7, 1.5))
    return image + np.float32(draw.uniform(0.3, 1.2)) * fine


def resynthesised(
    face: np.ndarray, landmarks: np.ndarray, width: float, draw: np.random.Generator
) -> np.ndarray:
    """As a generator whose face is 48 to 160 pixels wide would give it back.

    With equal generators all frames of a clip have the same kernels and chequerboard:
    they are a decoder's, and stay where they are while the face moves.
    """
    scale = np.exp(draw.uniform(np.log(48), np.log(160))) / width
    how_smooth = draw.random()
    if how_smooth < 0.35:
        face = cv2.bilateralFilter(np.clip(face, 0, 255), 5, draw.uniform(8, 30), 2)
    elif how_smooth < 0.65:
        face = with_smooth_skin(face, landmarks, width, draw)
    if draw.random() < 0.4:
        face = transposed_convolutions(face, min(scale, 1.0), draw)
    else:
        face = blending.limit_resolution(face, scale, draw.choice(_INTERPOLATIONS))
    if draw.random() < 0.25:
        period = draw.choice([2, 4])
        tile = draw.normal(0, draw.uniform(0.5, 3), (period, period, 1))
        times = [-(-side // period) for side in face.shape[:2]]
        tile = np.tile(tile, (*times, 1))[: face.shape[0], : face.shape[1]]
        face = face + np.float32(tile)
    if draw.random() < 0.4:
        fine = face - cv2.GaussianBlur(face, (0, 0), 1.2)
        face = face + np.float32(draw.uniform(0.3, 1.5)) * fine
    return face


def with_smooth_skin(
    face: np.ndarray, landmarks: np.ndarray, width: float, draw: np.random.Generator
) -> np.ndarray:
    """Lose the pores of the skin, and keep eyes, brows and mouth as sharp as before."""
    mask = skin_mask(face.shape[:2], landmarks, width)[..., None]
    size, colours = 0.03 * width * draw.uniform(0.5, 1.5), draw.uniform(20, 60)
    reach = int(np.clip(2 * round(size) + 1, 3, 9))
    soft = cv2.bilateralFilter(np.clip(face, 0, 255), reach, colours, size)
    return face + np.float32(draw.uniform(0.6, 1)) * mask * (soft - face)


def transposed_convolutions(
    face: np.ndarray, scale: float, draw: np.random.Generator
) -> np.ndarray:
    """Reduce a face, and enlarge it by transposed convolutions of uneven kernels.

    Parameters
    ----------
    face : ndarray of shape (H, W, 3), float32
    scale : float
        Size of what the last of them gives, in sizes of the face; at most 1.
    draw : numpy.random.Generator
        Decides one or two doublings, and their kernels, of 4 x 4 in steps of 2.

    Returns
    -------
    ndarray of shape (H, W, 3), float32

    References
    ----------
    Odena et al. (2016), Deconvolution and checkerboard artifacts.
    """
    height, width = face.shape[:2]
    doublings = int(draw.integers(1, 3))
    size = [max(2, round(scale * side / 2**doublings)) for side in (width, height)]
    small = cv2.resize(np.float32(face), size, interpolation=cv2.INTER_AREA)
    for _ in range(doublings):
        smooth = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16
        rough = np.exp(draw.uniform(np.log(0.008), np.log(0.05)))
        uneven = 1 + rough * draw.standard_normal((3, 4, 4))
        small = _doubled(small, smooth * uneven)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _doubled(image, kernels):
    """Transposed convolution in steps of 2: (H, W, 3) and (3, 4, 4) to (2H, 2W, 3)."""
    height, width = image.shape[:2]
    large = np.empty((2 * height, 2 * width, 3), np.float32)
    for channel, kernel in enumerate(kernels):
        plane = np.ascontiguousarray(image[..., channel])
        padded = np.pad(kernel, ((0, 1), (0, 1)))  # the last row is of zeros
        for down, rows in enumerate(_PHASES):
            for right, columns in enumerate(_PHASES):
                at = [
                    [-1 if n is None else n for n in each] for each in (rows, columns)
                ]
                part = cv2.filter2D(
                    plane, -1, padded[np.ix_(*at)], borderType=cv2.BORDER_REFLECT_101
                )
                large[down::2, right::2, channel] = part
    return large


def with_new_expression(
    face: np.ndarray,
    landmarks: np.ndarray,
    width: float,
    draw: np.random.Generator,
    time: int = 0,
) -> np.ndarray:
    """Move mouth, eyes, brows and jaw by a smooth warp.

    With equal generators the parts move on from frame to frame, each in a rhythm of its
    own: mouth and eyes get out of step.

    Parameters
    ----------
    face : ndarray of shape (H, W, 3), float32
    landmarks : ndarray of shape (68, 2)
    width : float
        Of the face, pixels.
    draw : numpy.random.Generator
    time : int, default=0
        Number of the frame.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
    """
    moves = np.zeros((68, 2))
    size = width * draw.uniform(0.02, 0.07)
    speaking, blinking, frowning = (_rhythm(draw, time) for _ in range(3))
    across, down = speaking * draw.normal(0, size, 2)
    moves[list(MOUTH)] += (0.4 * across, 0)
    moves[[*range(55, 60), *range(65, 68), *range(5, 12)]] += (0, down)  # opens
    moves[[48, 60]] += (-0.5 * across, 0.3 * speaking * draw.normal(0, size))
    moves[[54, 64]] += (0.5 * across, 0.3 * speaking * draw.normal(0, size))
    moves[list(BROWS)] += (0, frowning * draw.normal(0, 0.5 * size))
    lids = blinking * draw.normal(0, 0.3 * size)
    moves[[37, 38, 43, 44]] += (0, lids)
    moves[[40, 41, 46, 47]] -= (0, lids)
    shape = face.shape[:2]
    rows, columns = np.mgrid[: shape[0] : 8, : shape[1] : 8]
    places = np.stack([columns, rows], -1)[:, :, None]  # (h, w, 1, 2)
    reach = 0.12 * width
    pull = np.exp(-((places - landmarks) ** 2).sum(-1) / (2 * reach**2))
    pull /= np.maximum(pull.sum(-1, keepdims=True), 1.0)
    field = cv2.resize(np.float32(pull @ moves), shape[::-1])
    rows, columns = np.indices(shape, np.float32)
    return remap(face, columns - field[..., 0], rows - field[..., 1])


def with_moved_head(
    face: np.ndarray,
    landmarks: np.ndarray,
    width: float,
    draw: np.random.Generator,
    time: int = 0,
) -> np.ndarray:
    """Move the head against its background, which it drags along at its rim.

    So do drivers that warp a picture as a whole. Parameters are those of
    `with_new_expression`.
    """
    shape = face.shape[:2]
    chin, outline = landmarks[8], head_outline(landmarks)
    shift = _rhythm(draw, time) * draw.normal(0, 0.02 * width, 2)
    angle = _rhythm(draw, time) * draw.normal(0, np.deg2rad(1.5))
    turn = _rhythm(draw, time) * draw.normal(0, 0.025)  # to a side: a smaller width
    inside = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(outline).astype(np.int32)), 1.0)
    share = cv2.GaussianBlur(inside, (0, 0), 0.08 * width)
    rows, columns = np.indices(shape, np.float32)
    x, y = columns - np.float32(chin[0]), rows - np.float32(chin[1])
    right = (np.cos(angle) * np.exp(turn) - 1) * x - np.sin(angle) * y + shift[0]
    down = np.sin(angle) * x + (np.cos(angle) - 1) * y + shift[1]
    return remap(
        face, *(np.float32(a - share * b) for a, b in ((columns, right), (rows, down)))
    )


def _rhythm(draw, time):
    """How far a part has moved at a frame, around 1: a slow swing of its own."""
    period = np.exp(draw.uniform(np.log(8), np.log(60)))  # frames
    phase, depth = draw.uniform(0, 2 * np.pi), draw.uniform(0.1, 0.9)
    return 1 + depth * np.sin(2 * np.pi * time / period + phase)


def donated(
    target: np.ndarray,
    landmarks: np.ndarray,
    donor: np.ndarray,
    donor_landmarks: np.ndarray,
    draw: np.random.Generator,
) -> np.ndarray:
    """Another face on these landmarks, in nearly these colours."""
    x, y = blending.source_pixels(
        landmarks, donor_landmarks, target.shape[:2], draw.random() < 0.7
    )
    face = remap(np.float32(donor), x, y)
    inside = np.zeros(target.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(landmarks).astype(np.int32)), 1)
    return blending.match_colours(face, target, inside > 0, draw.uniform(0.6, 1))


def remap(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Look up pixels at x, y (H, W), mirrored beyond the rim."""
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
