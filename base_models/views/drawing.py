"""Draws frames and crops around faces from sampled frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from base_models.faces.crops import crop_face
from base_models.faces.tracking import largest_track
from base_models.limits import current_limits
from base_models.video.sampling import clip_indices
from base_models.views.view import View

if TYPE_CHECKING:
    from base_models.faces.face import Face
    from base_models.video.reading import SampledFrames
    from base_models.views.spec import ViewRecipe


def render(sample: Any, recipe: Any, search: Any, face: Any = None) -> Any:
    """Return the images, the frames and faces they show, and what is said of them."""
    if recipe.view != "face":
        images, at, reason = draw_images(sample, recipe, range(len(sample.indices)))
        meta = {"reason": reason, "note": "", "face_side": None, "lost": sample.lost}
        return images, at, np.zeros(len(at), np.int64), meta
    surest = recipe.faces == "first" and face is None
    found = search.faces(recipe.finder, recipe.finder_key, surest)
    followed, reason = found.tracks, found.reason
    if face is not None:
        track = face.track_of(followed, found.sample.indices)
        followed = [] if track is None else [track]
        reason = reason or f"the face is in none of its {len(sample.indices)} frames"
    meta = {"reason": reason * (not followed), "note": "",
            "face_side": _face_side(followed), "unscored": found.unscored,
            "lost": sample.lost}  # fmt: skip
    if not followed:
        nothing = View.missing(recipe.image_size, "")
        return nothing.images, nothing.frames, nothing.faces, meta
    if recipe.faces == "largest":
        followed = [largest_track(followed)]
    drawn = [draw_images(found.sample, recipe, t.frames, t.faces) for t in followed]
    *arrays, reasons = zip(*drawn, strict=True)
    images, at = map(np.concatenate, arrays)
    faces = np.repeat(np.arange(len(drawn)), [len(own) for _, own, _ in drawn])
    meta |= {"note": found.note} if len(at) else {"reason": reasons[0]}
    return images, at, faces, meta


def draw_images(
    sample: SampledFrames,
    recipe: ViewRecipe,
    places: Sequence[int] | np.ndarray,
    faces: Sequence[Face] | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Draw what a detector sees of some of the sampled frames.

    Parameters
    ----------
    sample : SampledFrames
    recipe : ViewRecipe
    places : sequence of int
        Which of ``sample.indices``.
    faces : sequence of Face or None, default=None
        Where the face is in each of them; None is the whole frame.

    Returns
    -------
    images : ndarray of shape (n, image_size, image_size, 3)
        uint8; of clips (n, clip_length, image_size, image_size, 3), without those in
        which an image repeats the one before: files repeat frames to keep their pace.
    at : ndarray of shape (n,)
        Index in the video of the frame of each.
    reason : str
        Why there are none; empty where there are some.
    """
    size, length = recipe.image_size, recipe.clip_length
    if sample.total < length:
        nothing = np.zeros((0, *recipe.image_shape), np.uint8), np.zeros(0, np.int64)
        return *nothing, f"{sample.total} frames, and it takes {length} in a row"

    def drawn(frame, face):
        if face is None:
            return _squeeze(frame, size)
        return crop_face(frame, face, recipe.margin, size, recipe.align)

    n_bytes, allowed = (
        len(places) * math.prod(recipe.image_shape),
        current_limits().video_bytes,
    )
    if n_bytes > allowed:
        raise ValueError(
            f"{len(places):,} images of {size} x {size} pixels take {n_bytes:,} bytes "
            f"of memory, and {allowed:,} are allowed (base_models.limits, video_bytes)"
        )
    at = sample.indices[np.asarray(places, int)].astype(np.int64)
    around = clip_indices(at, sample.total, length)
    faces = [None] * len(at) if faces is None else faces
    clips = np.stack(
        [
            [drawn(sample.frames[row], face) for row in rows]
            for rows, face in zip(sample.rows(around), faces, strict=True)
        ]
    )
    if length == 1:
        return clips[:, 0], at, ""
    moves = (clips[:, 1:] != clips[:, :-1]).any(axis=(2, 3, 4)).all(axis=1)
    return clips[moves], at[moves], "" if moves.any() else STILL


def _squeeze(frame, size):
    """Resize a whole frame to a square; the aspect ratio is not kept."""
    image = Image.fromarray(frame).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


STILL = "nothing moves in it: each frame repeats one before"


def _face_side(tracks):
    """Median side of the largest followed face's box, None where none is followed."""
    if not tracks:
        return None
    return largest_track(tracks).side
