"""Data sets that are a folder of real videos beside one of fakes."""

import warnings
from pathlib import Path

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.datasets.kinds import csv_tables
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import (
    LABEL_FOLDERS,
    entries,
    folders,
    what_is_in,
)


def fits(path: Path) -> bool:
    """Whether it is a folder with a folder of reals and one of fakes in it."""
    return path.is_dir() and set(_label_folders(path).values()) == {0, 1}


def read(folder: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List the videos in both, at any depth; images directly in them are videos.

    A table in the folder, ``videos.csv``, says more, and is read in their place.
    """
    if csv_tables.fits(folder):
        return csv_tables.read(folder, encoding)
    label_of = _label_folders(folder)
    if set(label_of.values()) != {0, 1}:
        raise ValueError(
            f"{folder} must hold the folders real and fake, or a videos.csv, or be the "
            f"root of a data set; got {what_is_in(folder)}"
        )
    records = []
    for sub, label in label_of.items():
        paths = _videos_of(sub)
        if not paths:
            raise ValueError(f"{sub} has no videos in it")
        records += [VideoRecord(str(path), label) for path in paths]
    warnings.warn(
        f"{folder} says nothing of groups, who is seen in which video; if people "
        "appear in several, write a CSV with path,label,group",
        DeepfakeEnsembleWarning,
        stacklevel=4,
    )
    return records


def videos_below(folder: Path) -> list[Path]:
    """List all videos below a folder, as `read` takes those in folders of a class."""
    from base_models.video.paths import list_videos

    classes = _label_folders(folder) if fits(folder) else {}
    listed = [
        _videos_of(video) if video in classes else [video]
        for video in list_videos(folder)
    ]
    return [video for videos in listed for video in videos]


def _videos_of(folder: Path) -> list[Path]:
    """Videos below a folder; images in the folder of a class are not frames of one."""
    from base_models.video.paths import IMAGE_SUFFIXES, list_videos

    videos = list_videos(folder)
    if videos != [folder]:
        return videos
    return [path for path in entries(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def _label_folders(folder: Path) -> dict[Path, int]:
    return {
        sub: LABEL_FOLDERS[sub.name.lower()]
        for sub in folders(folder)
        if sub.name.lower() in LABEL_FOLDERS
    }
