"""A data set as a table, one row a video: labels, groups, and what else is known."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.addresses import printable, public_name, remote_address
from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import encode_labels, label_as_given
from base_models.naming import did_you_mean
from base_models.runtime.file_writing import write_table
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import below_root, named, noting_lists
from ensemble.datasets.table_columns import BETWEEN_IDS, COLUMNS, checked_table

METADATA = (
    "method", "family", "source", "compression", "dataset", "time", "date"
)  # fmt: skip


class VideoTable:
    """A data set, one row per video; unpacks into videos, labels and groups.

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
    lists : sequence of Path, default=()
        Files that name the videos and say their labels, which nothing may overwrite.

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
        lists: Sequence[Path] = (),
    ) -> None:
        self.table = checked_table(table)
        self.kind, self.classes, self.lists = kind, classes, tuple(lists)

    @classmethod
    def from_records(
        cls,
        records: Sequence[VideoRecord],
        root: str | Path,
        name: str,
        kind: str | None = None,
        fake_label: Any = None,
        lists: Sequence[Path] = (),
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
        lists : sequence of Path, default=()

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
            record.video_id or printable(public_name(below_root(record.path, root)))
            for record in records
        ]
        columns["dataset"] = [record.dataset or name for record in records]
        columns["label"], classes = _encoded(columns["label"], fake_label)
        frame = pd.DataFrame({key: pd.Series(v, dtype=object)
                              for key, v in columns.items()})  # fmt: skip
        for key in dict.fromkeys(key for record in records for key in record.more):
            frame[key] = pd.Series([record.more.get(key) for record in records])
        return cls(_each_once(frame), kind, classes, lists)

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
        with noting_lists() as lists:
            records = csv_tables.read(path)
        return cls.from_records(records, path, path.stem, "csv", lists=lists)

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

        Raises
        ------
        ValueError
            If one file is real in one and fake in another, or ids and names of the data
            sets are the same.

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
        _check_one_label(frame)
        if frame["video_id"].duplicated().any():
            frame["video_id"] = frame["dataset"].fillna("") + "/" + frame["video_id"]
        again = frame["video_id"].duplicated()
        if again.any():
            raise ValueError(
                f"{int(again.sum())} videos have the id of another and the same name "
                f"of the data set, such as {frame['video_id'][again].iloc[0]!r}: give "
                "each data set a name of its own, load_dataset(..., name=), or take "
                "what both hold from one of them"
            )
        kinds = {table.kind for table in tables}
        classes = {table.classes for table in tables}
        return cls(
            frame,
            kinds.pop() if len(kinds) == 1 else None,
            classes.pop() if len(classes) == 1 else (0, 1),
            list(dict.fromkeys(path for table in tables for path in table.lists)),
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
        ids = list(self.table["video_id"])
        named_so = set(group.dropna())
        taken = {*ids, *named_so}
        alone = [_unlike(name, taken) if name in named_so else name for name in ids]
        return [a if pd.isna(g) else g for g, a in zip(group, alone, strict=True)]

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

    @property
    def description(self) -> str:
        """What the videos are, in a few words: data set, split, compression, methods.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "label": [0, 1]})
        >>> VideoTable(frame.assign(dataset="dfdc", split="train")).description
        'dfdc, train'
        """
        words = []
        for name in ("dataset", "split", "compression", "method"):
            values = self.table[name].dropna().astype(str)
            values = values[values != "none"].unique().tolist()
            if values:
                words.append(named(values))
        return ", ".join(words)

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
        return VideoTable(self.table[keep], self.kind, self.classes, self.lists)

    def to_csv(self, path: str | Path) -> None:
        """Write the table as CSV; `read` and ``load_dataset("csv", ...)`` read it.

        Parameters
        ----------
        path : str or Path
            Paths of videos are written in full, addresses without what grants access,
            ids of `source_ids` with bars between.
        """
        frame = self._to_write()
        frame["source_ids"] = frame["source_ids"].map(BETWEEN_IDS.join)
        write_table(path, frame)

    def to_parquet(self, path: str | Path) -> None:
        """Write the table as parquet, which needs pyarrow.

        Parameters
        ----------
        path : str or Path
        """
        frame = self._to_write()
        frame["source_ids"] = frame["source_ids"].map(list)
        write_table(path, frame)

    def _to_write(self) -> pd.DataFrame:
        _say_odd_names(self.videos)
        return self.table.assign(
            path=[printable(_in_full(path)) for path in self.videos]
        )

    def _is_among(self, column: str, wanted: str | Sequence[str]) -> np.ndarray:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        values = self.table[column]
        present = sorted(set(values.dropna()) - {"none"})
        if names and not present:
            raise ValueError(
                f"{column}={wanted!r} was asked for, and no video has a {column}: "
                f"{self.summary()}"
            )
        spelled = {
            name: name.lower() if column == "split" else name for name in present
        }
        names = [name.lower() if column == "split" else name for name in names]
        for name in names:
            if name not in spelled.values():
                raise ValueError(
                    f"{column}={name!r} is not in the data set; it has {named(present)}"
                    + did_you_mean(name, present)
                )
        return np.asarray(values.map(spelled).isin(names), bool)


def _unlike(name: str, taken: set[str]) -> str:
    """Return a name for the group of one video that no group and no video has."""
    while name in taken:
        name += " (alone)"
    return name


def _in_full(path: str) -> str:
    """Return a path in full; an address without what grants access."""
    return os.path.abspath(path) if remote_address(path) is None else public_name(path)


def _check_one_label(frame: pd.DataFrame) -> None:
    """Refuse a file that is real in one row and fake in another."""
    known = frame[frame["label"].notna()]
    labels = known.groupby(known["path"].map(_in_full))["label"].nunique()
    if (labels > 1).any():
        both = labels.index[labels > 1]
        raise ValueError(
            f"{len(both)} files are real in one data set and fake in another, such as "
            f"{printable(both[0])}; take each out of one of them"
        )


def _say_odd_names(videos: Sequence[str]) -> None:
    """Say of files whose names are no UTF-8 that a table does not lead to them."""
    odd = [video for video in videos if printable(video) != video]
    if odd:
        warnings.warn(
            f"{len(odd)} of {len(videos)} files have names that are no UTF-8, which "
            f"stand escaped in the table, such as {printable(odd[0])}: under such a "
            "name nothing is found; rename them",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


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
        DeepfakeEnsembleWarning,
        stacklevel=4,
    )
    return frame[~again]
