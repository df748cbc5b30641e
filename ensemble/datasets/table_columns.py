"""The columns of a table of videos, and what may stand in them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from base_models.addresses import public_name
from base_models.groups import clean_groups
from ensemble.datasets.kinds.files import named

_TEXT = (
    "video_id", "path", "method", "compression", "split", "original_id", "group",
    "source", "dataset",
)  # fmt: skip
COLUMNS = (
    "video_id", "path", "label", "method", "compression", "split", "original_id",
    "source_ids", "group", "source", "dataset", "fps", "frames", "seconds",
)  # fmt: skip
BETWEEN_IDS = "|"
_SPLITS = ("train", "val", "test")


def checked_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of videos with all columns in their order, each of its type.

    Parameters
    ----------
    table : DataFrame
        With the columns path and label, and any of the others.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        If a column is missing, or a row has no path, an id of another, or a label that
        is none.
    """
    missing = [name for name in ("path", "label") if name not in table]
    if missing:
        raise ValueError(
            f"a table of videos must have the columns path and label; "
            f"{' and '.join(missing)} missing, got {', '.join(map(str, table.columns))}"
        )
    frame = pd.DataFrame(table).reset_index(drop=True)
    if "video_id" not in frame:
        frame["video_id"] = frame["path"]
    for name in (*_TEXT, "source_ids"):
        if name not in frame:
            frame[name] = None
    for name in _TEXT:
        frame[name] = _as_text(frame[name], name)
    frame["video_id"] = frame["video_id"].map(public_name, na_action="ignore")
    frame["split"] = frame["split"].map(_split_word, na_action="ignore")
    for name in ("video_id", "path"):
        if frame[name].isna().any():
            row = int(np.flatnonzero(frame[name].isna())[0])
            raise ValueError(f"every video needs a {name}; row {row} has none")
    twice = frame["video_id"][frame["video_id"].duplicated()]
    if len(twice):
        raise ValueError(
            f"video_id must name each video once; {len(twice)} are there again, such "
            f"as {twice.iloc[0]!r}"
        )
    if not frame["label"].dropna().isin([0, 1]).all():
        raise ValueError(
            "label must be 0 for real, 1 for fake, or missing; got "
            f"{named(map(repr, pd.unique(frame['label'])))}"
        )
    frame["label"] = pd.array(
        [None if pd.isna(label) else int(label) for label in frame["label"]], "Int64"
    )
    frame["source_ids"] = pd.Series(
        [_ids(entry) for entry in frame["source_ids"]], frame.index, dtype=object
    )
    for name in ("fps", "frames", "seconds"):
        numbers = frame[name] if name in frame else np.full(len(frame), np.nan)
        frame[name] = pd.to_numeric(pd.Series(numbers, frame.index), errors="coerce")
    frame["fps"] = frame["fps"].astype(float)
    frame["seconds"] = frame["seconds"].astype(float)
    frame["frames"] = frame["frames"].astype("Int64")
    others = [name for name in frame.columns if name not in COLUMNS]
    return frame[[*COLUMNS, *others]]


def _as_text(column: pd.Series, name: str) -> pd.Series:
    if name == "group" and column.notna().any():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said where they become groups of a fit
            entries = column.astype(object).to_numpy()
            column = pd.Series(
                clean_groups(entries, len(column), allow_missing=True), column.index
            )
    texts = [None if pd.isna(entry) else str(entry) for entry in column]
    # Names of files may be no UTF-8, which arrow cannot hold.
    return pd.Series(texts, column.index, dtype=pd.StringDtype("python"))


def _split_word(split: str) -> str:
    """Return a split in small letters, if it is one that data sets have."""
    return split.lower() if split.lower() in _SPLITS else split


def _ids(entry: Any) -> tuple[str, ...]:
    if isinstance(entry, str):
        entry = entry.split(BETWEEN_IDS)
    elif not hasattr(entry, "__len__"):  # missing
        return ()
    return tuple(str(name) for name in entry if str(name))
