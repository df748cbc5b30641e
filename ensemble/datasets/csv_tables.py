"""Data sets that are a table, such as a CSV, with one video a line."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.groups import clean_groups
from ensemble.datasets.base import LabelledVideos
from ensemble.scores.formats import TABLE_SUFFIXES, Table, column_named, read_table

INDEX = "videos.csv"  # the table of a folder
_COLUMNS = ("path", "label", "group", "method")


def fits(path: Path) -> bool:
    """Whether it is a table by its name, or a folder with a ``videos.csv`` in it."""
    if path.is_dir():
        return (path / INDEX).is_file()
    return path.suffix.lower() in TABLE_SUFFIXES


def read(path: Path, encoding: str | None = None) -> LabelledVideos:
    """Read the table; paths in it are relative to its own folder."""
    from ensemble.scores.columns import GROUP_NAMES, typed

    if path.is_dir():
        path = path / INDEX
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


def _labels(labels: list) -> list:
    """Return labels as 0/1 or booleans where they are, else as text."""
    if set(labels) <= {0, 1}:
        return labels
    return [str(label) for label in labels]


def _groups(groups: list[str] | None, table: Table) -> list[str] | None:
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
    clean: list[str] = np.asarray(clean_groups(groups, len(groups))).tolist()
    return clean


def _video_at(folder: Path, text: str) -> str:
    """Return the path that a table names; white space around it may be a mistake."""
    path = folder / text
    clean = text.strip().strip("\ufeff\u200b").strip()
    if clean == text and text.isascii():
        return str(path)
    others = [folder / unicodedata.normalize(form, clean) for form in ("NFC", "NFD")]
    return str(next((p for p in (path, *others) if os.path.exists(p)), folder / clean))
