"""The last steps of every clip, real or fake: grain, the codec at rising strength, and
a tag that says that it is synthetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble.datasets.forge.camera import add_grain

CRF = {"raw": 3, "c23": 23, "c40": 40}
LEVELS = {crf: level for level, crf in CRF.items()}
# x264's slower presets use its macroblock tree, whose AVX-512 code reads past the end
# of a row unless the width is a multiple of 128: the same frames then do not always
# give the same bytes.
_PRESET = "superfast"


def crfs_of(compression: str | Sequence[str]) -> dict[str, int]:
    """Constant rate factors by name, in rising order.

    Parameters
    ----------
    compression : str or list of str
        Of raw, c23, c40.

    Returns
    -------
    dict of str to int
    """
    names = [compression] if isinstance(compression, str) else list(compression)
    unknown = [name for name in names if name not in CRF]
    if unknown or not names:
        raise ValueError(
            f"compression must be one or more of {', '.join(CRF)}; got {compression!r}"
        )
    return {name: crf for name, crf in CRF.items() if name in names}


def with_grain(
    frames: Sequence[np.ndarray] | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Grain over the whole of each frame; its strength belongs to the clip."""
    return add_grain(frames, rng.uniform(0.5, 3), rng)


def write_ladder(
    paths: Mapping[Path, int], frames: np.ndarray, what: str, fps: float
) -> None:
    """Write a clip once for each rate factor.

    Parameters
    ----------
    paths : dict of Path to int
        And the constant rate factor of each.
    frames : ndarray of shape (T, H, W, 3), uint8
    what : str
        How it was made, for its tag.
    fps : float
    """
    from base_models.video.writing import write_video

    tags = {
        "title": "Synthetic sample",
        "comment": f"Synthetic sample made by deepfake-ensemble's forge: {what}",
    }
    for path, crf in paths.items():
        write_video(path, frames, fps=fps, crf=crf, preset=_PRESET, tags=tags)
