"""Data sets that are a table, such as a CSV, with one video a line."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.addresses import is_address, local_path
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import read_list

if TYPE_CHECKING:
    from ensemble.scores.formats import Table

INDEX = "videos.csv"  # the table of a folder
_SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")  # 096 is a name
_OF_A_RECORD = (
    "video_id", "method", "compression", "split", "original_id", "source_ids", "source",
    "dataset",
)  # fmt: skip


def fits(path: Path) -> bool:
    """Whether it is a table by its name, or a folder with a ``videos.csv`` in it."""
    if path.is_dir():
        return (path / INDEX).is_file()
    return path.suffix.lower() in _SUFFIXES


def is_video_table(names: Iterable[str]) -> bool:
    """Whether columns are those of a `VideoTable`, as it writes itself."""
    return {"path", "label", "group", *_OF_A_RECORD} <= set(names)


def read(path: Path, encoding: str | None = None) -> list[VideoRecord]:
    """Read the table; paths in it are relative to its own folder."""
    from ensemble.scores.columns import GROUP_NAMES, typed
    from ensemble.scores.formats import column_named

    if path.is_dir():
        path = path / INDEX
    table = read_list(path, encoding)
    names = list(table.frame.columns)
    columns = {
        name: column_named(names, name, alone=True)
        for name in ("path", "label", "group", *_OF_A_RECORD)
    }
    people = [name for name in names if str(name).strip().lower() in GROUP_NAMES]
    if people and columns["group"] is None:
        raise ValueError(
            f"{path} has no column group, and one called {people[0]!r}: if it says "
            "which videos belong together, call it group, so that nobody is in two "
            "folds; else give it another name, or each video a group of its own"
        )
    if columns["path"] is None:
        raise ValueError(
            f"{path} must have a column path, and label where it is known; got "
            f"{', '.join(map(str, names))}. Call the column with the files path"
        )
    used = set(columns.values())
    texts = {
        name: _texts(table.frame[column])
        for name, column in columns.items()
        if column is not None
    }
    more = {str(name): _typed(table.frame[name]) for name in names if name not in used}
    is_ours = is_video_table(names)  # in which labels and groups may lack
    is_labelled = columns["label"] is not None
    labels: list = [None] * len(texts["path"])
    _check_filled(
        texts, table, ("path",) if is_ours or not is_labelled else ("path", "label")
    )
    if is_labelled:
        labels = _labels(typed(table.frame[columns["label"]]), texts["label"])
    groups = _groups(texts.get("group"), table, allow_missing=is_ours)
    return [
        VideoRecord(
            _video_at(path.parent, text),
            labels[row],
            group=groups[row],
            more={name: column[row] for name, column in more.items()},
            **_described(texts, row),
        )
        for row, text in enumerate(texts["path"])
    ]


def _texts(column: Any) -> list[str]:
    import pandas as pd

    return ["" if _is_missing(entry, pd) else _text(entry) for entry in column]


def _typed(column: Any) -> list:
    """Return fields as numbers and booleans where all of them are, else as text."""
    from ensemble.scores.columns import typed

    entries = typed(column)
    known = [entry for entry in entries if entry is not None]
    if known and all(isinstance(e, str) and _NUMBER.fullmatch(e) for e in known):
        return [None if entry is None else float(entry) for entry in entries]
    return entries


def _is_missing(entry: Any, pd: Any) -> bool:
    return not hasattr(entry, "__len__") and bool(pd.isna(entry))


def _text(entry: Any) -> str:
    """Return a field as text; several names, as parquet may hold them, with bars."""
    if isinstance(entry, str):
        return entry
    return "|".join(map(str, entry)) if hasattr(entry, "__len__") else str(entry)


def _described(texts: dict[str, list[str]], row: int) -> dict[str, Any]:
    """Return what a row says of its video beside path, label and group."""
    found: dict[str, Any] = {
        name: texts[name][row].strip() or None for name in _OF_A_RECORD if name in texts
    }
    if "source_ids" in found:
        ids = found["source_ids"]
        found["source_ids"] = tuple(ids.split("|")) if ids else ()
    return found


def _check_filled(
    texts: dict[str, list[str]], table: Table, needed: tuple[str, ...]
) -> None:
    """Refuse rows without path or label."""
    if not texts["path"]:
        raise ValueError(f"{table.name} has no rows; give one line per video")
    for name in needed:
        empty = [i for i, text in enumerate(texts[name]) if not text.strip()]
        if empty:
            lines = ", ".join(str(table.lines[row]) for row in empty[:10])
            more = f" and {len(empty) - 10} more" if len(empty) > 10 else ""
            raise ValueError(
                f"{table.name}, line {lines}{more}: path and label must be given; fill "
                f"in the {name}, or drop these videos"
            )


def _labels(labels: list, texts: list[str]) -> list:
    """Return labels as 0/1 or booleans where they are, else as text; "" is None."""
    is_known = [bool(text.strip()) for text in texts]
    pairs = list(zip(labels, is_known, strict=True))
    if {label for label, known in pairs if known} <= {0, 1}:
        return [label if known else None for label, known in pairs]
    return [str(label) if known else None for label, known in pairs]


def _groups(
    groups: list[str] | None, table: Table, allow_missing: bool
) -> list[str | None]:
    """Return the groups, None for each where there is none at all."""
    import numpy as np

    from base_models.groups import clean_groups

    if groups is None or not any(group.strip() for group in groups):
        return [None] * len(table.frame)
    without = [i for i, group in enumerate(groups) if not group.strip()]
    if without and not allow_missing:
        lines = ", ".join(str(table.lines[row]) for row in without[:10])
        raise ValueError(
            f"{table.name}: {len(without)} of {len(groups)} videos have no group (line "
            f"{lines}{' ...' if len(without) > 10 else ''}); give each one, drop these "
            "videos, or leave the column out"
        )
    clean: list = np.asarray(clean_groups(groups, len(groups), allow_missing)).tolist()
    return clean


def _video_at(folder: Path, text: str) -> str:
    """Return the path that a table names; white space around it may be a mistake."""
    path = folder / text
    clean = text.strip().strip("\ufeff\u200b").strip()
    if is_address(clean) and not path.exists():
        return local_path(clean)
    if clean == text and text.isascii():
        return str(path)
    others = [folder / unicodedata.normalize(form, clean) for form in ("NFC", "NFD")]
    return str(next((p for p in (path, *others) if os.path.exists(p)), folder / clean))
