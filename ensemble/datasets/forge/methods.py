"""The ways of forging by name: two clips in, the frames of the target's fake out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from base_models.naming import did_you_mean
from ensemble.choices import FORGERIES
from ensemble.datasets.forge.face_swap import METHODS, SwapStyle, swap_clip
from ensemble.datasets.forge.lip_reenactment import (
    LipStyle,
    followed_opening,
    mouth_opening,
    reenact_lips,
)


@dataclass(frozen=True)
class Film:
    """A clip that was filmed, and the face in it.

    Attributes
    ----------
    frames : ndarray of shape (T, H, W, 3), uint8
    landmarks : ndarray of shape (T, 68, 2)
        x, y in pixels.
    fps : float
    """

    frames: np.ndarray
    landmarks: np.ndarray
    fps: float

    def around_the_face(self) -> tuple[slice, slice]:
        """Rows and columns of a box that the face stays in, with room to spare."""
        height, width = self.frames.shape[1:3]
        room = 0.5 * np.ptp(self.landmarks[..., 0], axis=1).max()
        left, top = np.clip(
            self.landmarks.min((0, 1)) - room, 0, (width, height)
        ).astype(int)
        right, bottom = np.clip(
            self.landmarks.max((0, 1)) + room, 0, (width, height)
        ).astype(int)
        return slice(top, bottom), slice(left, right)


Forgery = Callable[[Film, Film, np.random.Generator], tuple[np.ndarray, dict[str, Any]]]


def methods_named(methods: str | Sequence[str] | None) -> list[str]:
    """Names of methods, checked and in the order of `FORGERIES`; None is all.

    Examples
    --------
    >>> from ensemble.datasets.forge.methods import methods_named
    >>> methods_named(["SelfBlend", "LandmarkSwap"])
    ['LandmarkSwap', 'SelfBlend']
    """
    names = [methods] if isinstance(methods, str) else list(methods or FORGERIES)
    for name in names:
        if name not in FORGERIES:
            raise ValueError(
                f"methods must be some of {', '.join(FORGERIES)}; got {name!r}"
                f"{did_you_mean(name, FORGERIES)}"
            )
    return [name for name in FORGERIES if name in names]


def changed_region(fake: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Masks of a fake: where it differs from its original.

    Parameters
    ----------
    fake, real : ndarray of shape (T, H, W, 3), uint8

    Returns
    -------
    ndarray of shape (T, H, W), uint8
        255 in the region that was changed, and 0 where nothing was. Pixels within the
        region that happen to be as before belong to it.

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.datasets.forge.methods import changed_region
    >>> real = np.zeros((1, 8, 8, 3), np.uint8)
    >>> fake = real.copy()
    >>> fake[0, 2:5, 2:5] = 9
    >>> fake[0, 3, 3] = 0
    >>> int((changed_region(fake, real) == 255).sum())
    9
    """
    import cv2

    side = max(3, round(0.02 * min(real.shape[1:3])) // 2 * 2 + 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    masks = np.uint8(255 * (fake != real).any(axis=-1))
    for mask in masks:
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc)
        outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(mask, outlines, -1, 255, cv2.FILLED)
    return masks


def _swap(target, source, rng):
    style = SwapStyle.draw(rng, METHODS[rng.integers(len(METHODS))])
    frames = swap_clip(
        (target.frames, target.landmarks), (source.frames, source.landmarks), style, rng
    )
    return np.stack(frames), asdict(style)


def _reenact(target, source, rng):
    style = LipStyle.draw(rng)
    openings = followed_opening(
        mouth_opening(target.landmarks),
        mouth_opening(source.landmarks),
        style,
        target.fps,
        rng,
    )
    frames = [
        reenact_lips(frame, landmarks, opening, style, rng)
        for frame, landmarks, opening in zip(
            target.frames, target.landmarks, openings, strict=True
        )
    ]
    return np.stack(frames), asdict(style) | {"opening": openings.round(4).tolist()}


def _blend(target, source, rng, kind):
    """Replace a region of the face as `PseudoFakes` does, on all frames alike."""
    from base_models.augmentation.pseudo_fakes import PseudoFakes

    rows, columns = target.around_the_face()
    face = target.frames[:, rows, columns]
    landmarks = target.landmarks - (columns.start, rows.start)
    donor_rows, donor_columns = source.around_the_face()
    donor = (
        source.frames[:, donor_rows, donor_columns],
        source.landmarks - (donor_columns.start, donor_rows.start),
    )
    frames = target.frames.copy()
    _, frames[:, rows, columns] = PseudoFakes([kind])(
        face, landmarks, rng, donor if kind == "swapped" else None, keep_real=True
    )
    return frames, {"kind": kind}


# Of each: whether a part of the source gets into the fake, and how it is made.
METHOD: dict[str, tuple[bool, Forgery]] = {
    "LandmarkSwap": (True, _swap),
    "BlendedRegion": (True, partial(_blend, kind="swapped")),
    "LipReenactment": (True, _reenact),
    "SelfBlend": (False, partial(_blend, kind="self_blended")),
}
