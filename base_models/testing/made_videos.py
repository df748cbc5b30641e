"""Small videos on disk on which detectors are tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from base_models.video.writing import write_video

_PAIRS = 8  # of a real and a fake; each pair is a group
_SIDE, _LENGTH = 64, 16  # pixels, frames


@dataclass
class LabelledClips:
    """Videos with their labels and groups.

    Attributes
    ----------
    videos : list
    y : ndarray of shape (n_videos,)
        0 real, 1 fake.
    groups : ndarray of shape (n_videos,)
    """

    videos: list[Any]
    y: np.ndarray
    groups: np.ndarray


def made_clips(folder: Path) -> LabelledClips:
    """Write 16 clips of 64 x 64 pixels and 16 frames.

    The fakes are brighter, redder and noisier, and they flicker: enough for any
    detector to learn, and like no forgery.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    LabelledClips

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from base_models.testing.made_videos import made_clips
    >>> with TemporaryDirectory() as folder:
    ...     clips = made_clips(Path(folder))
    >>> len(clips.videos), clips.y.mean().item(), len(set(clips.groups))
    (16, 0.5, 8)
    """
    draw = np.random.default_rng(0)
    y = np.arange(2 * _PAIRS) % 2
    videos = [
        str(write_video(folder / f"clip_{row:02}.mp4", _frames(draw, label), crf=18))
        for row, label in enumerate(y)
    ]
    return LabelledClips(videos, y, np.arange(2 * _PAIRS) // 2)


def _frames(draw, is_fake):
    down, across = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    bright, phase = draw.uniform(70, 100), draw.uniform(0, 6)
    for number in range(_LENGTH):
        shade = 30 * np.sin(6 * across + 3 * down + phase + number / 4)
        flicker = 12 * is_fake * (-1) ** number
        frame = np.repeat((bright + shade + flicker)[..., None], 3, axis=2)
        frame += draw.normal(0, 3 + 12 * is_fake, frame.shape)
        frame += is_fake * np.array([60, 25, 25])
        yield np.clip(frame, 0, 255).astype(np.uint8)


def unreadable_files(folder: Path) -> dict[str, str]:
    """Make files that no detector can score, and one that is not there.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to str
        What is wrong with each, by path.
    """
    (folder / "text.mp4").write_text("no video\n", encoding="utf-8")
    (folder / "empty.mp4").touch()
    return {
        str(folder / "text.mp4"): "a text file",
        str(folder / "gone.mp4"): "a file that is not there",
        str(folder / "empty.mp4"): "an empty file",
    }
