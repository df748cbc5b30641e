"""Labelled videos from a folder or a CSV."""

import os
import unicodedata
import warnings
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from base_models.groups import clean_groups
from ensemble.scores.formats import TABLE_SUFFIXES, column_named, read_table

_LABEL_FOLDERS = {
    "real": 0,
    "original": 0,
    "originals": 0,
    "fake": 1,
    "fakes": 1,
    "manipulated": 1,
}
_INDEX = "videos.csv"
_COLUMNS = ("path", "label", "group", "method")


class LabelledVideos(NamedTuple):
    """A labelled set of videos; unpacks into its four lists.

    Attributes
    ----------
    videos : list of str
        Paths.
    labels : list of int, bool or str
        0 real and 1 fake, or what the table says.
    groups : list of str or None
        Who must not cross folds; None where nobody said.
    methods : list of str
        How each was made, ``"none"`` for a real one, empty where nobody said.
    """

    videos: list
    labels: list
    groups: list | None
    methods: list


def read_videos(path: str | Path, encoding: str | None = None) -> LabelledVideos:
    """Read a labelled set of videos from a folder or a CSV.

    Parameters
    ----------
    path : str or Path
        A folder with ``real/`` and ``fake/`` in it (or with a ``videos.csv``), or a
        table (.csv, .tsv, .xlsx, .parquet) with the columns ``path`` and ``label``,
        and, where known, ``group`` and ``method``. Paths in it are relative to its own
        folder.
    encoding : str or None, default=None
        Of a text file; None finds it out where there is no doubt.

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
    from base_models.video.paths import is_address

    path = Path(path)
    if path.is_dir():
        index = path / _INDEX
        return _from_table(index, encoding) if index.is_file() else _from_folder(path)
    if is_address(path) and not path.exists():
        raise FileNotFoundError(
            f"{path} is an address, and only files on this machine are read; download "
            "the videos and give their folder, or a CSV"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"nothing at {path}; give a folder with real/ and fake/, or a CSV"
        )
    return _from_table(path, encoding)


def is_labelled(path: str | Path) -> bool:
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
        return path.suffix.lower() in TABLE_SUFFIXES
    return (path / _INDEX).is_file() or set(_label_folders(path).values()) == {0, 1}


def _label_folders(folder):
    return {
        sub: _LABEL_FOLDERS[sub.name.lower()]
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and sub.name.lower() in _LABEL_FOLDERS
    }


def _from_table(path, encoding):
    from ensemble.scores.columns import GROUP_NAMES, typed

    table = read_table(path, encoding)
    names = list(table.frame.columns)
    columns = {name: column_named(names, name) for name in _COLUMNS}
    people = [name for name in names if str(name).strip().lower() in GROUP_NAMES]
    if people and columns["group"] is None:
        raise ValueError(
            f"{path} has no column group, and one called {people[0]!r}: if it says "
            "which videos belong together, call it group, so that nobody is in two "
            "folds; else give it another name, or each video a group of its own"
        )
    missing = [name for name in ("path", "label") if columns[name] is None]
    if missing:
        raise ValueError(
            f"{path} must have the columns path and label; {' and '.join(missing)} "
            f"missing, got {', '.join(map(str, names))}"
        )
    texts = {
        name: ["" if pd.isna(entry) else str(entry) for entry in table.frame[column]]
        for name, column in columns.items()
        if column is not None
    }
    if not texts["path"]:
        raise ValueError(f"{path} has no rows; give one line per video")
    for name in ("path", "label"):
        empty = [i for i, text in enumerate(texts[name]) if not text.strip()]
        if empty:
            lines = ", ".join(str(table.lines[row]) for row in empty[:10])
            more = f" and {len(empty) - 10} more" if len(empty) > 10 else ""
            raise ValueError(
                f"{path}, line {lines}{more}: path and label must be given; fill in "
                f"the {name}, or drop these videos"
            )
    return LabelledVideos(
        [_video_at(path.parent, text) for text in texts["path"]],
        _labels(typed(table.frame[columns["label"]])),
        _groups(texts.get("group"), table),
        [text.strip() for text in texts.get("method", [""] * len(texts["path"]))],
    )


def _labels(labels):
    """Return labels as 0/1 or booleans where they are, else as text."""
    if set(labels) <= {0, 1}:
        return labels
    return [str(label) for label in labels]


def _groups(groups, table):
    """Return the groups, None where there is none at all."""
    if groups is None or not any(group.strip() for group in groups):
        return None
    without = [i for i, group in enumerate(groups) if not group.strip()]
    if without:
        lines = ", ".join(str(table.lines[row]) for row in without[:10])
        raise ValueError(
            f"{table.name}: {len(without)} of {len(groups)} videos have no group (line "
            f"{lines}{' ...' if len(without) > 10 else ''}); give each one, drop these "
            "videos, or leave the column out"
        )
    return clean_groups(groups, len(groups)).tolist()


def _video_at(folder, text):
    """Return the path that a table names; white space around it may be a mistake."""
    path = folder / text
    clean = text.strip().strip("\ufeff\u200b").strip()
    if clean == text and text.isascii():
        return str(path)
    others = [folder / unicodedata.normalize(form, clean) for form in ("NFC", "NFD")]
    return str(next((p for p in (path, *others) if os.path.exists(p)), folder / clean))


def _from_folder(folder):
    from base_models.video.paths import list_videos

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
