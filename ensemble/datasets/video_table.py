"""A data set as a table, one row a video: labels, groups, and what else is known."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.groups import clean_groups
from base_models.inputs import encode_labels, label_as_given
from base_models.naming import did_you_mean
from base_models.runtime.file_writing import replacing
from base_models.video.paths import printable
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import below_root, named

_TEXT = (
    "video_id", "path", "method", "compression", "split", "original_id", "group",
    "source", "dataset",
)  # fmt: skip
COLUMNS = (
    "video_id", "path", "label", "method", "compression", "split", "original_id",
    "source_ids", "group", "source", "dataset", "fps", "frames", "seconds",
)  # fmt: skip
METADATA = (
    "method", "family", "source", "compression", "dataset", "time", "date"
)  # fmt: skip
_BETWEEN_IDS = "|"


class VideoTable:
    """A data set, one row a video; unpacks into videos, labels and groups.

    What is not known is missing (`pandas.NA` or NaN): the frame rate and the length
    of every video until somebody opens it, the label of a test set.

    Parameters
    ----------
    table : DataFrame
        With the columns ``path`` and ``label`` (1 for fake), and any of ``video_id``,
        ``method`` (``"none"`` for a real video), ``compression``, ``split``,
        ``original_id``, ``source_ids`` (tuples), ``group``, ``source``, ``dataset``,
        ``fps``, ``frames``, ``seconds``; others stay as they are.
    kind : str or None, default=None
        As what it was read, such as faceforensics.
    classes : (real, fake), default=(0, 1)
        The words for the labels, for `labels`.

    Attributes
    ----------
    table : DataFrame
        All columns above, in this order, the others after them.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets import VideoTable
    >>> frame = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "label": [0, 1]})
    >>> table = VideoTable(frame.assign(group="ann", method=["none", "swap"]))
    >>> videos, labels, groups = table
    >>> videos, labels, groups
    (['a.mp4', 'b.mp4'], [0, 1], ['ann', 'ann'])
    >>> table.metadata["method"].tolist()
    ['none', 'swap']
    """

    def __init__(
        self,
        table: pd.DataFrame,
        kind: str | None = None,
        classes: tuple[Any, Any] = (0, 1),
    ) -> None:
        self.table = _checked(table)
        self.kind = kind
        self.classes = classes

    @classmethod
    def from_records(
        cls,
        records: Sequence[VideoRecord],
        root: str | Path,
        name: str,
        kind: str | None = None,
        fake_label: Any = None,
    ) -> VideoTable:
        """Make a table of what a kind of data set read.

        Parameters
        ----------
        records : sequence of VideoRecord
        root : str or Path
            Ids are paths below it.
        name : str
            Of the data set, where a record does not name it.
        kind : str or None, default=None
        fake_label : label or None, default=None

        Returns
        -------
        VideoTable
        """
        root = Path(root)
        root = root if root.is_dir() else root.parent
        columns: dict[str, list] = {
            column: [getattr(record, column) for record in records]
            for column in COLUMNS
            if column not in ("fps", "frames", "seconds")
        }
        columns["video_id"] = [
            record.video_id or printable(below_root(record.path, root))
            for record in records
        ]
        columns["dataset"] = [record.dataset or name for record in records]
        columns["label"], classes = _encoded(columns["label"], fake_label)
        frame = pd.DataFrame({key: pd.Series(v, dtype=object)
                              for key, v in columns.items()})  # fmt: skip
        for key in dict.fromkeys(key for record in records for key in record.more):
            frame[key] = pd.Series([record.more.get(key) for record in records])
        return cls(_each_once(frame), kind, classes)

    @classmethod
    def read(cls, path: str | Path) -> VideoTable:
        """Read a table that `to_csv` or `to_parquet` wrote, or any table of videos.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        VideoTable
        """
        from ensemble.datasets.kinds import csv_tables

        path = Path(path)
        return cls.from_records(csv_tables.read(path), path, path.stem, "csv")

    @classmethod
    def concat(cls, tables: Sequence[VideoTable]) -> VideoTable:
        """Join data sets into one, for training on several or across data sets.

        Parameters
        ----------
        tables : sequence of VideoTable
            Groups of the same name are the same group, also from different data sets. A
            video without one is alone in its own.

        Returns
        -------
        VideoTable
            Labels are 0 and 1 where the words for them differ. Where ids meet, the name
            of the data set stands before each.

        Examples
        --------
        >>> import pandas as pd
        >>> from ensemble.datasets import VideoTable
        >>> frame = pd.DataFrame({"path": ["a.mp4"], "label": [0], "dataset": "one"})
        >>> other = pd.DataFrame({"path": ["b.mp4"], "label": [1], "dataset": "two"})
        >>> both = VideoTable.concat([VideoTable(frame), VideoTable(other)])
        >>> both.table["dataset"].tolist()
        ['one', 'two']
        """
        tables = list(tables)
        if not tables:
            raise ValueError("concat needs at least one table; got none")
        frame = pd.concat([table.table for table in tables], ignore_index=True)
        if frame["video_id"].duplicated().any():
            frame["video_id"] = frame["dataset"].fillna("") + "/" + frame["video_id"]
        kinds = {table.kind for table in tables}
        classes = {table.classes for table in tables}
        return cls(
            frame,
            kinds.pop() if len(kinds) == 1 else None,
            classes.pop() if len(classes) == 1 else (0, 1),
        )

    @property
    def videos(self) -> list[str]:
        """Paths."""
        return list(self.table["path"])

    @property
    def labels(self) -> list[Any]:
        """0 for real and 1 for fake, or the words in which they were written.

        None for a video without a label.
        """
        return [
            None if pd.isna(label) else self.classes[int(label)]
            for label in self.table["label"]
        ]

    @property
    def groups(self) -> list[str] | None:
        """Who must not cross folds; a video without a group is alone in its own.

        None where no video has one.
        """
        group = self.table["group"]
        if group.isna().all():
            return None
        return list(group.fillna(self.table["video_id"]))

    @property
    def metadata(self) -> pd.DataFrame:
        """What `compare_strategies` takes as ``metadata``: a row a video.

        Those of method, family, source, compression, dataset, time and date of which
        something is known; None where it is not.
        """
        columns = [name for name in METADATA if name in self.table]
        known = self.table[[c for c in columns if self.table[c].notna().any()]]
        found = known.astype(object)
        return found.where(found.notna(), None).reset_index(drop=True)

    def __iter__(self) -> Iterator[Any]:
        """Unpack into videos, labels and groups."""
        return iter((self.videos, self.labels, self.groups))

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.table)

    def __repr__(self) -> str:
        """Say in a line what is in it."""
        return f"<VideoTable: {self.summary()}>"

    def summary(self) -> str:
        """Say in a line how many videos there are, of what, in how many groups.

        Returns
        -------
        str

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "label": [0, 1]})
        >>> VideoTable(frame.assign(split="train")).summary()
        '2 videos (1 real, 1 fake), no groups; split: train 2'
        """
        label = self.table["label"]
        counts = {"real": (label == 0).sum(), "fake": (label == 1).sum()}
        counts["unlabelled"] = label.isna().sum()
        labels = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        groups = self.table["group"].nunique()
        parts = [
            f"{len(self)} videos ({labels or 'none'}), "
            + (f"{groups} group{'s' * (groups > 1)}" if groups else "no groups")
        ]
        for name in ("method", "compression", "split", "dataset"):
            values = self.table[name].value_counts(sort=False)
            values = values[values.index != "none"]
            if name == "dataset" and len(values) < 2:
                continue
            if len(values):
                said = named(f"{value} {count}" for value, count in values.items())
                parts.append(f"{name}: {said}")
        return "; ".join(parts)

    def subset(
        self,
        *,
        split: str | Sequence[str] | None = None,
        method: str | Sequence[str] | None = None,
        compression: str | Sequence[str] | None = None,
        labelled: bool | None = None,
        where: Any = None,
    ) -> VideoTable:
        """Take some of the videos.

        Parameters
        ----------
        split, compression : str or sequence of str, default=None
            Videos of these; None takes all.
        method : str or sequence of str, default=None
            Fakes of these methods; the others that are not fake stay.
        labelled : bool or None, default=None
            True takes those with a label, False those without.
        where : boolean array of shape (n_videos,) or None, default=None
            Which to take, in the order of `table`.

        Returns
        -------
        VideoTable

        Raises
        ------
        ValueError
            If there is no such split, method or compression.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "label": [0, 1]})
        >>> table = VideoTable(frame.assign(split=["train", "test"]))
        >>> table.subset(split="test").videos
        ['b.mp4']
        """
        keep = np.ones(len(self), bool)
        if where is not None:
            where = pd.array(where, dtype="boolean")
            if len(where) != len(self):
                raise ValueError(
                    f"where must have one entry per video, {len(self)}; got "
                    f"{len(where)}"
                )
            keep &= where.fillna(False).to_numpy(bool)
        if labelled is not None:
            keep &= self.table["label"].notna().to_numpy() == labelled
        if split is not None:
            keep &= self._is_among("split", split)
        if compression is not None:
            names = [compression] if isinstance(compression, str) else compression
            keep &= self._is_among(
                "compression", ["raw" if name == "c0" else name for name in names]
            )
        if method is not None:
            is_fake = (self.table["label"] == 1).fillna(False).to_numpy(bool)
            keep &= self._is_among("method", method) | ~is_fake
        return VideoTable(self.table[keep], self.kind, self.classes)

    def to_csv(self, path: str | Path) -> None:
        """Write the table as CSV; `read` and ``load_dataset("csv", ...)`` read it.

        Parameters
        ----------
        path : str or Path
            Paths of videos are written in full, ids of `source_ids` with bars between.
        """
        frame = self._to_write()
        frame["source_ids"] = frame["source_ids"].map(_BETWEEN_IDS.join)
        with replacing(Path(path)) as unfinished:
            frame.to_csv(unfinished, index=False)

    def to_parquet(self, path: str | Path) -> None:
        """Write the table as parquet, which needs pyarrow.

        Parameters
        ----------
        path : str or Path
        """
        frame = self._to_write()
        frame["source_ids"] = frame["source_ids"].map(list)
        with replacing(Path(path)) as unfinished:
            frame.to_parquet(unfinished, index=False)

    def _to_write(self) -> pd.DataFrame:
        check_names(self.videos)
        return self.table.assign(path=[os.path.abspath(path) for path in self.videos])

    def _is_among(self, column: str, wanted: str | Sequence[str]) -> np.ndarray:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        values = self.table[column]
        present = sorted(set(values.dropna()) - {"none"})
        for name in names:
            if name not in present:
                there = named(present) or f"no video has one ({self.summary()})"
                raise ValueError(
                    f"{column}={name!r} is not in the data set; it has {there}"
                    + did_you_mean(name, present)
                )
        return np.asarray(values.isin(names), bool)


def check_names(videos: Sequence[str]) -> None:
    """Refuse to write a table of files whose names are no text.

    Parameters
    ----------
    videos : sequence of str

    Raises
    ------
    ValueError
        Naming the first whose bytes are no UTF-8.
    """
    odd = [video for video in videos if printable(video) != video]
    if odd:
        raise ValueError(
            f"{len(odd)} files have names that are no UTF-8 and cannot stand in a "
            f"table, such as {printable(odd[0])}; rename them"
        )


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with all columns in their order, each of its type."""
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


def _ids(entry: Any) -> tuple[str, ...]:
    if isinstance(entry, str):
        entry = entry.split(_BETWEEN_IDS)
    elif not hasattr(entry, "__len__"):  # missing
        return ()
    return tuple(str(name) for name in entry if str(name))


def _encoded(labels: list[Any], fake_label: Any) -> tuple[list[Any], tuple[Any, Any]]:
    """Return labels as 0, 1 or None, and the words for both, where there are any."""
    known = [label for label in labels if label is not None]
    if not known:
        return [None] * len(labels), (0, 1)
    fake_label = label_as_given(fake_label, known)
    classes, is_fake = encode_labels(known, fake_label, allow_one_class=True)
    codes = iter(is_fake.tolist())
    encoded = [None if label is None else next(codes) for label in labels]
    words: dict[int, Any] = dict(zip(is_fake.tolist(), known, strict=True))
    both = (words[0], words[1]) if len(words) == 2 and len(classes) == 2 else None
    return encoded, both or (0, 1)


def _each_once(frame: pd.DataFrame) -> pd.DataFrame:
    """Drop videos that a list has again with the same label and group."""
    again = frame["video_id"].duplicated()
    if not again.any():
        return frame
    for name in ("label", "group"):
        differing = frame.groupby("video_id", sort=False)[name].nunique(dropna=False)
        if (differing > 1).any():
            video = differing.index[differing > 1][0]
            raise ValueError(
                f"{video} is listed several times, with another {name}; a video has "
                "one label and one group"
            )
    warnings.warn(
        f"{int(again.sum())} videos are listed again, such as "
        f"{frame['video_id'][again].iloc[0]}; each is taken once",
        stacklevel=4,
    )
    return frame[~again]
