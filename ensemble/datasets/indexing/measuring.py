"""Measures one video: what its file says, and what a few of its frames show."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.addresses import remote_address
from base_models.errors import VideoReadError
from base_models.runtime.failures import reason_of
from base_models.runtime.file_digest import content_stamp
from base_models.runtime.remote.facts import asking_once
from ensemble.datasets.indexing.perceptual_hash import N_FRAMES, perceptual_hash
from ensemble.datasets.kinds.files import is_there

if TYPE_CHECKING:
    from base_models.faces.face import FaceFinder

CODE_VERSION = 1  # raise it when the same videos give other values
MEASURED = (
    "fps", "frames", "seconds", "width", "height", "codec", "file_size", "quantiser",
    "brightness", "readable", "reason", "face", "face_size", "digest", "phash",
)  # fmt: skip
_QP_PLACES, _QP_FRAMES = 2, 6  # where the quantiser is read


def measure_video(
    video: str | Path, finder: FaceFinder | None
) -> tuple[dict[str, Any], Exception | None]:
    """Measure a video; whatever is wrong with it is a reason and no error.

    Parameters
    ----------
    video : str or Path
    finder : FaceFinder or None
        None looks for no faces.

    Returns
    -------
    row : dict
        The names in `MEASURED`; None where a value is not known.
    error : Exception or None
        What made it unreadable.
    """
    row: dict[str, Any] = dict.fromkeys(MEASURED) | {"readable": False}
    try:
        from base_models.video.bounds.budget import one_reading
        from base_models.video.hashing import left_alone

        is_remote = remote_address(video) is not None  # which is one version
        alone = nullcontext() if is_remote else left_alone(video)
        with asking_once(), one_reading(video), alone:
            _measure(video, finder, row)
    except Exception as error:  # a decoder's, a lack of memory: of this video alone
        return row | {"reason": reason_of(error)}, error
    return row | {"readable": True}, None


def stamp(video: str | Path) -> str | None:
    """Return what changes with a file's or a folder's content, in this place.

    None where it cannot be looked at, and of what is behind an address.
    """
    try:
        return content_stamp(video)
    except OSError:
        return None


def _measure(video: str | Path, finder: FaceFinder | None, row: dict[str, Any]) -> None:
    from base_models.faces.finding_time import looking_in_time
    from base_models.video.paths import video_digest
    from base_models.video.quality import estimate_qp
    from base_models.video.reading import probe_video, sample_clips

    if remote_address(video) is None:
        if not is_there(video):
            raise VideoReadError(video, "there is no such file")
        with suppress(OSError):  # its folder may not be entered, as is said below
            if not os.path.isdir(video):
                row["file_size"] = os.path.getsize(video)
    row["digest"] = video_digest(video, in_full=True)
    info = probe_video(video)
    row |= {
        "fps": None if info.fps is None else float(info.fps),
        "frames": info.n_frames,
        "seconds": None if info.seconds is None else float(info.seconds),
        "width": info.width,
        "height": info.height,
        "codec": info.codec,
        "file_size": info.file_size,
    }
    places = (np.arange(N_FRAMES) + 0.5) / N_FRAMES  # not its ends, where it may fade
    at = np.unique((places * info.n_frames).astype(int))
    frames = sample_clips(video, N_FRAMES, at=at).frames
    row["brightness"] = round(_brightness(frames), 2)
    shown = [frames[number * len(frames) // N_FRAMES] for number in range(N_FRAMES)]
    row["phash"] = perceptual_hash(shown)
    qp = estimate_qp(video, _QP_PLACES, _QP_FRAMES)
    row["quantiser"] = None if np.isnan(qp) else round(qp, 2)
    if finder is not None:
        with looking_in_time(finder, video) as finder:
            sides = (_largest_face(frame, finder) for frame in frames)
            row["face_size"] = next((side for side in sides if side), None)
        row["face"] = row["face_size"] is not None


def _brightness(frames: np.ndarray) -> float:
    """Mean luma of RGB frames, 0 to 255 (ITU-R BT.601)."""
    red, green, blue = np.mean([frame.mean(axis=(0, 1)) for frame in frames], axis=0)
    return float(0.299 * red + 0.587 * green + 0.114 * blue)


def _largest_face(frame: np.ndarray, finder: FaceFinder) -> int | None:
    """Longer side of the largest face in pixels, or None."""
    return max((int(face.side) for face in finder.find(frame)), default=None)
