"""Data sets that are a folder of real videos beside one of fakes."""

import warnings
from pathlib import Path

from ensemble.datasets.base import LabelledVideos
from ensemble.datasets.csv_tables import INDEX

_LABEL_FOLDERS = {
    "real": 0,
    "original": 0,
    "originals": 0,
    "fake": 1,
    "fakes": 1,
    "manipulated": 1,
}


def fits(path: Path) -> bool:
    """Whether it is a folder with a folder of reals and one of fakes in it."""
    return path.is_dir() and set(_label_folders(path).values()) == {0, 1}


def read(folder: Path, encoding: str | None = None) -> LabelledVideos:
    """List the videos in both, at any depth."""
    from base_models.video.paths import list_videos

    label_of = _label_folders(folder)
    if set(label_of.values()) != {0, 1}:
        inside = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ValueError(
            f"{folder} must hold the folders real and fake, or a {INDEX}; got {inside}"
        )
    videos, labels = [], []
    for sub, label in label_of.items():
        paths = [str(path) for path in list_videos(sub)]
        if not paths:
            raise ValueError(f"{sub} has no videos in it")
        videos += paths
        labels += [label] * len(paths)
    warnings.warn(
        f"{folder} says nothing of groups, who is seen in which video; if people "
        "appear in several, write a CSV with path,label,group",
        stacklevel=3,
    )
    return LabelledVideos(videos, labels, None, [""] * len(videos))


def _label_folders(folder: Path) -> dict[Path, int]:
    return {
        sub: _LABEL_FOLDERS[sub.name.lower()]
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and sub.name.lower() in _LABEL_FOLDERS
    }
