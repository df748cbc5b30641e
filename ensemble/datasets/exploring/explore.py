"""Explores a data set: what there is, what is missing, what leaks."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from base_models.addresses import file_name, remote_address
from base_models.runtime.file_writing import as_text, write_table, write_text
from ensemble.datasets.exploring.columns import (
    missing_values,
    most_frequent_values,
    unique_values,
    value_counts,
)
from ensemble.datasets.exploring.files import file_census, lists_against_folders
from ensemble.datasets.exploring.leak_hints import leak_hints, not_tested
from ensemble.datasets.indexing.index import index_videos
from ensemble.datasets.indexing.leaks import find_duplicates
from ensemble.datasets.indexing.measuring import MEASURED
from ensemble.datasets.video_table import VideoTable

if TYPE_CHECKING:
    from base_models.faces.face import FaceFinder
    from base_models.store.store import Store

CLASSES = ("real", "fake", "unlabelled")
COUNTED = ("class", "split", "method", "compression", "source", "dataset", "codec")
NUMBERS = (
    "seconds", "fps", "frames", "width", "height", "file_size", "face_size",
    "brightness", "quantiser",
)  # fmt: skip
TABLES = (
    "files", "metadata", "missing", "unique", "most_frequent", "counts",
    "lists_and_folders", "originals", "by_class", "unreadable", "groups",
    "duplicates", "leak_hints",
)  # fmt: skip
_LISTED = ("class", "split", "original_id", "method", "compression", "group", "source")


# Text in Python's own form: pyarrow's holds no names that are no UTF-8.
_any_names = pd.option_context("mode.string_storage", "python")


@dataclass(frozen=True, eq=False, repr=False)
class Exploration:
    """The result of `explore`, as tables.

    Attributes
    ----------
    table : VideoTable
        With the columns of `index_videos`.
    root : Path or None
        The folder of the data set.
    files : DataFrame
        Files, bytes, and how many are masks, by folder and ending.
    metadata : DataFrame, one row a video
        What lists and folders say of it: class (real, fake or unlabelled), split,
        original_id, ... and the columns that the data set has beside these.
    missing : DataFrame, one row a part and column
        Of all videos, the real ones and the fakes: missing values, percent, dtype.
    unique, most_frequent : DataFrame, one row a column
        Of `metadata`: known and different values; the most frequent one.
    counts : DataFrame, one row a column and value
        count, percent.
    lists_and_folders : DataFrame
        Videos that are only in a list, or only in a folder.
    originals : DataFrame, one row an original
        fakes that were made of it, is_there (whether it is in the data set).
    by_class : DataFrame, one row a property and class
        videos, mean, std, min, median, max of seconds, file size, face size, ...
    unreadable : DataFrame, one row a video
        reason.
    groups : DataFrame, one row a group
        videos, real, fake, unlabelled, splits; the largest first.
    duplicates : DataFrame
        From `find_duplicates`.
    leak_hints : DataFrame, one row a property
        From `ensemble.datasets.exploring.leak_hints.leak_hints`.
    """

    table: VideoTable
    root: Path | None
    files: pd.DataFrame
    metadata: pd.DataFrame
    missing: pd.DataFrame
    unique: pd.DataFrame
    most_frequent: pd.DataFrame
    counts: pd.DataFrame
    lists_and_folders: pd.DataFrame
    originals: pd.DataFrame
    by_class: pd.DataFrame
    unreadable: pd.DataFrame
    groups: pd.DataFrame
    duplicates: pd.DataFrame
    leak_hints: pd.DataFrame

    def __repr__(self) -> str:
        return f"<Exploration: {self.summary()}>"

    def summary(self) -> str:
        """Say in a line what there is and what to look at.

        Returns
        -------
        str
        """
        leaks = int(self.duplicates["is_leak"].sum())
        is_leak = self.leak_hints["is_leak"].fillna(False)
        guilty = self.leak_hints.index[is_leak].tolist()
        parts = [self.table.summary(), f"{len(self.unreadable)} cannot be read"]
        parts.append(f"{leaks} pairs leak" if leaks else "no copies leak")
        if guilty:
            parts.append(f"classes told apart by {', '.join(guilty)}")
        if untested := not_tested(self.leak_hints):
            parts.append(untested[0].lower() + untested[1:])
        return "; ".join(parts)

    def siblings(self, original: str) -> VideoTable:
        """Return an original, where it is there, and what was made of it.

        Parameters
        ----------
        original : str
            As in the index of `originals`.

        Returns
        -------
        VideoTable
        """
        frame = self.table.table
        if original not in self.originals.index:
            raise ValueError(
                f"no video says that it was made of {original!r}; originals lists them"
            )
        mine = (frame["original_id"] == original).fillna(False)
        is_it = _is_original(frame, original)
        order = np.argsort(~is_it, kind="stable")
        chosen = order[(mine.to_numpy(bool) | is_it)[order]]
        table = self.table
        return VideoTable(frame.iloc[chosen], table.kind, table.classes, table.lists)

    @_any_names
    def to_csv(self, folder: str | Path) -> list[Path]:
        """Write each table as a CSV into a folder.

        Parameters
        ----------
        folder : str or Path

        Returns
        -------
        list of Path
        """
        folder, written = Path(folder), []
        for name in TABLES:
            path = folder / f"{name}.csv"
            write_table(path, getattr(self, name), index=True)
            written.append(path)
        return written

    @_any_names
    def to_dict(self) -> dict[str, Any]:
        """Return the tables as what JSON can hold: a list of rows each.

        Returns
        -------
        dict
        """
        found: dict[str, Any] = {"summary": self.summary(), "kind": self.table.kind}
        for name in TABLES:
            frame = getattr(self, name)
            if frame.index.names != [None]:
                frame = frame.reset_index()
            found[name] = json.loads(as_text(frame).to_json(orient="records"))
        return found

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` as JSON.

        Parameters
        ----------
        path : str or Path
        """
        write_text(path, self.as_json())

    def as_json(self) -> str:
        """Return `to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    @_any_names
    def to_html(
        self, path: str | Path, embed: bool = False, random_state: int = 0
    ) -> Path:
        """Write all of it, with pictures, as one HTML page that loads nothing.

        Parameters
        ----------
        path : str or Path
            Folders that are missing are made.
        embed : bool, default=False
            Put the shown clips into the page, small and up to ten seconds of each, so
            that they play there; else a picture of each leads to its file.
        random_state : int, default=0
            Which videos are shown.

        Returns
        -------
        Path

        Raises
        ------
        ImportError
            If jinja2 or matplotlib is not installed.
        """
        from ensemble.datasets.exploring.page import write_exploration

        return write_exploration(self, path, embed, random_state)


@_any_names
def explore(
    table: VideoTable,
    root: str | Path | None = None,
    n_jobs: int | None = None,
    finder: FaceFinder | str | None = "dlib",
    store: Store | str | Path | None = None,
    verbose: bool = False,
) -> Exploration:
    """Show what a data set contains, what is missing, and what leaks.

    Parameters
    ----------
    table : VideoTable
        Best read with ``missing="keep"`` and ``duplicates="allow"``, so that what is
        wrong is listed. Videos are opened where `index_videos` has not done so.
    root : str, Path or None, default=None
        The folder of the data set, below which files are counted; None counts in the
        folders of the videos alone.
    n_jobs, finder, store, verbose
        As for `index_videos`.

    Returns
    -------
    Exploration

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import write_video
    >>> from ensemble.datasets import explore, load_dataset
    >>> folder = tempfile.mkdtemp()
    >>> for name, level in {"real/a": 90, "fake/b": 60, "fake/c": 60}.items():
    ...     frames = np.full((5, 48, 64, 3), level, np.uint8)
    ...     _ = write_video(f"{folder}/{name}.mp4", frames)
    >>> table = load_dataset("folder", folder, duplicates="allow")
    >>> found = explore(table, folder, finder=None)
    >>> int(found.counts.loc[("class", "fake"), "count"])
    2
    >>> found.duplicates[["first", "second", "what"]].to_numpy().tolist()
    [['fake/b.mp4', 'fake/c.mp4', 'same content']]
    """
    if not isinstance(table, VideoTable):
        raise TypeError(
            "explore takes a VideoTable, as load_dataset gives it; got "
            f"{type(table).__name__}"
        )
    folders = None
    if root is None:
        here = (path for path in table.videos if remote_address(path) is None)
        folders = {os.path.dirname(os.path.abspath(path)) for path in here}
        root = _common(folders) if folders else None
    root = None if root is None else Path(root)
    if not set(MEASURED) <= set(table.table.columns):
        table = index_videos(table, n_jobs, None, finder, store, verbose)
    metadata = listed_columns(table)
    is_dir = root is not None and root.is_dir()
    where = root if is_dir else None
    empty = pd.DataFrame(columns=["folder", "ending", "files", "bytes", "masks"])
    frame = table.table
    broken = frame.loc[~frame["readable"], ["video_id", "reason"]]
    return Exploration(
        table=table,
        root=root,
        files=file_census(where, folders) if where is not None
        else empty.set_index(["folder", "ending"]),
        metadata=metadata,
        missing=_missing_by_part(metadata),
        unique=unique_values(metadata),
        most_frequent=most_frequent_values(metadata),
        counts=value_counts(metadata.assign(codec=frame["codec"].to_numpy()), COUNTED),
        lists_and_folders=lists_against_folders(table, where, folders),
        originals=_originals(table),
        by_class=_by_class(table),
        unreadable=broken.set_index("video_id"),
        groups=_groups(table),
        duplicates=find_duplicates(table),
        leak_hints=leak_hints(table),
    )  # fmt: skip


def listed_columns(table: VideoTable) -> pd.DataFrame:
    """Return what lists and folders say of the videos, without what was measured.

    Parameters
    ----------
    table : VideoTable

    Returns
    -------
    DataFrame, one row a video
        Its index is the id of the video.
    """
    frame = table.table
    others = [
        name
        for name in frame.columns
        if name not in (*MEASURED, "video_id", "path", "label", "source_ids", *_LISTED)
    ]
    listed = frame.assign(**{"class": classes_of(table)})[[*_LISTED, *others]]
    known = [name for name in listed if name != "dataset" or listed[name].nunique() > 1]
    listed = listed[[n for n in known if n == "class" or listed[n].notna().any()]]
    return listed.set_axis(pd.Index(frame["video_id"], name="video"))


def classes_of(table: VideoTable) -> np.ndarray:
    """Return real, fake or unlabelled for each video."""
    codes = table.table["label"].fillna(2).to_numpy(int)
    return np.array(CLASSES, dtype=object)[codes]


def _common(folders: Collection[str]) -> str | None:
    """The folder that all lie in."""
    try:
        return os.path.commonpath(folders)
    except ValueError:  # several drives, or no video
        return None


def _missing_by_part(metadata: pd.DataFrame) -> pd.DataFrame:
    parts: dict[str, pd.DataFrame] = {"all": metadata}
    parts |= {name: metadata[metadata["class"] == name] for name in CLASSES}
    found = {name: missing_values(part) for name, part in parts.items() if len(part)}
    if not found:
        found = {"all": missing_values(metadata)}
    return pd.concat(found, names=["part"])


def _is_original(frame: pd.DataFrame, original: str) -> np.ndarray:
    """Whether each video is the original of this name, as a file or as an id."""
    stem = os.path.splitext(original)[0]
    is_real = (frame["label"] == 0).fillna(False).to_numpy(bool)
    names = [os.path.basename(file_name(path)) for path in frame["path"]]
    stems = [os.path.splitext(name)[0] for name in names]
    return is_real & np.array(
        [
            name == original or own == stem
            for name, own in zip(names, stems, strict=True)
        ],
        bool,
    )


def _originals(table: VideoTable) -> pd.DataFrame:
    frame = table.table
    counts = frame["original_id"].value_counts()
    is_real = (frame["label"] == 0).fillna(False).to_numpy(bool)
    there = {os.path.basename(file_name(path)) for path in frame.loc[is_real, "path"]}
    there |= {os.path.splitext(name)[0] for name in there}
    index = pd.Index(counts.index.astype(str), name="original")
    is_there = [name in there or os.path.splitext(name)[0] in there for name in index]
    return pd.DataFrame({"fakes": counts.to_numpy(int), "is_there": is_there}, index)


def _by_class(table: VideoTable) -> pd.DataFrame:
    classes, frame = classes_of(table), table.table
    rows = []
    for name in NUMBERS:
        for part in CLASSES:
            values = frame.loc[classes == part, name].dropna().astype(float)
            if len(values):
                spread = values.std() if len(values) > 1 else np.nan
                rows.append(
                    (name, part, len(values), values.mean(), spread, values.min(),
                     values.median(), values.max())
                )  # fmt: skip
    columns = ["property", "class", "videos", "mean", "std", "min", "median", "max"]
    return pd.DataFrame(rows, columns=columns).set_index(["property", "class"])


def _groups(table: VideoTable) -> pd.DataFrame:
    frame = table.table
    counts: pd.DataFrame = pd.crosstab(
        frame["group"].fillna("(no group)").astype(object), classes_of(table)
    ).reindex(columns=list(CLASSES), fill_value=0)
    splits: Sequence[str] = (
        frame.assign(group=frame["group"].fillna("(no group)"))
        .groupby("group")["split"]
        .agg(lambda values: ", ".join(sorted(set(values.dropna()))))
        .reindex(counts.index)
    )
    found = counts.assign(videos=counts.sum(axis=1), splits=splits)
    found = found[["videos", *CLASSES, "splits"]].rename_axis(
        index="group", columns=None
    )
    return found.sort_values("videos", ascending=False, kind="stable")
