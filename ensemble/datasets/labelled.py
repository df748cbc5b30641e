"""Labelled videos from a folder or a CSV."""

import csv
import warnings
from pathlib import Path
from typing import NamedTuple

_LABEL_FOLDERS = {
    "real": 0,
    "original": 0,
    "originals": 0,
    "fake": 1,
    "fakes": 1,
    "manipulated": 1,
}
_INDEX = "videos.csv"


class LabelledVideos(NamedTuple):
    """A labelled set of videos; unpacks into its four lists.

    Attributes
    ----------
    videos : list of str
        Paths.
    labels : list of int or str
        0 real and 1 fake, or what the CSV says.
    groups : list of str or None
        Who must not cross folds; None where nobody said.
    methods : list of str
        How each was made, ``"none"`` for a real one, empty where nobody said.
    """

    videos: list
    labels: list
    groups: list | None
    methods: list


def read_videos(path):
    """Read a labelled set of videos from a folder or a CSV.

    Parameters
    ----------
    path : str or Path
        A folder with ``real/`` and ``fake/`` in it (or with a ``videos.csv``), or a
        CSV with the columns ``path`` and ``label``, and, where known, ``group`` and
        ``method``. Paths in it are relative to its own folder.

    Returns
    -------
    LabelledVideos
        Files are not opened.

    Raises
    ------
    ValueError
        If there is neither, or a column is missing.
    FileNotFoundError
        If there is nothing at `path`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.datasets import read_videos
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "set.csv").write_text("path,label,group\\na.mp4,REAL,ann\\n")
    32
    >>> read_videos(folder / "set.csv").groups
    ['ann']
    """
    path = Path(path)
    if path.is_dir():
        index = path / _INDEX
        return _from_csv(index) if index.is_file() else _from_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"nothing at {path}; give a folder with real/ and fake/, or a CSV"
        )
    return _from_csv(path)


def is_labelled(path):
    """Whether a path is a labelled set for `read_videos`, and not just videos.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool
        True for a table, and for a folder with ``real/`` and ``fake/`` (by any of their
        names) or a ``videos.csv`` in it.
    """
    path = Path(path)
    if not path.is_dir():
        return path.suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx")
    return (path / _INDEX).is_file() or set(_label_folders(path).values()) == {0, 1}


def _label_folders(folder):
    return {
        sub: _LABEL_FOLDERS[sub.name.lower()]
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and sub.name.lower() in _LABEL_FOLDERS
    }


def _from_csv(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        missing = {"path", "label"} - set(columns)
        if missing:
            raise ValueError(
                f"{path} must have the columns path and label; "
                f"{' and '.join(sorted(missing))} missing, got {', '.join(columns)}"
            )
        rows = list(reader)
    if not rows:
        raise ValueError(f"{path} has no rows; give one line per video")
    for number, row in enumerate(rows, start=2):
        if not row["path"] or not row["label"]:
            raise ValueError(f"{path}, line {number}: path and label must be given")
    labels = [row["label"].strip() for row in rows]
    if set(labels) <= {"0", "1"}:
        labels = [int(label) for label in labels]
    groups = [row.get("group") or "" for row in rows]
    if not all(groups):
        without = groups.count("")
        if without < len(groups):
            raise ValueError(
                f"{path}: {without} of {len(groups)} videos have no group; give each "
                "one, or leave the column out"
            )
        groups = None
    return LabelledVideos(
        [str(path.parent / row["path"]) for row in rows],
        labels,
        groups,
        [row.get("method") or "" for row in rows],
    )


def _from_folder(folder):
    from base_models.video import list_videos

    found = _label_folders(folder)
    if set(found.values()) != {0, 1}:
        inside = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ValueError(
            f"{folder} must hold the folders real and fake, or a {_INDEX}; got {inside}"
        )
    videos, labels = [], []
    for sub, label in found.items():
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
