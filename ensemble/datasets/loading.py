"""Reads data sets: `load_dataset` into a table, `read_videos` into lists."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from base_models.addresses import remote_address
from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError, refusing
from ensemble.choices import DUPLICATES, MISSING
from ensemble.datasets.duplicates import conflicts_of_content, replaced_since
from ensemble.datasets.kinds.base import LabelledVideos, VideoRecord
from ensemble.datasets.kinds.files import (
    LABEL_FOLDERS,
    below_root,
    is_there,
    named,
    noting_lists,
)
from ensemble.datasets.kinds.registry import AUTO, kind_called, kind_for, kind_of
from ensemble.datasets.video_table import VideoTable


def load_dataset(
    kind: str,
    root: str | Path,
    *,
    split: str | Sequence[str] | None = None,
    compression: str | Sequence[str] | None = None,
    methods: str | Sequence[str] | None = None,
    missing: str = "refuse",
    duplicates: str = "refuse",
    name: str | None = None,
    fake_label: Any = None,
    encoding: str | None = None,
) -> VideoTable:
    """Read a data set from disk, without opening a video.

    Parameters
    ----------
    kind : str
        faceforensics, dfdc, ... (`ensemble.datasets.kinds.registry.KINDS`); csv, a
        table with the columns path and, where it is known, label; folder, with real/
        and fake/ in it; or auto, which finds out what it is: ``.kind`` of the table
        names it.
    root : str or Path
        The folder into which the data set was unpacked, or the table.
    split : str or sequence of str, default=None
        Of train, val, test: what the authors put there; None takes all.
    compression : str or sequence of str, default=None
        Of raw, c23, c40.
    methods : str or sequence of str, default=None
        Fakes of these methods alone; the reals stay.
    missing : {"refuse", "drop", "keep"}, default="refuse"
        What to do about videos that a list names and that are not there.
    duplicates : {"refuse", "warn", "allow"}, default="refuse"
        What to do about the same content under two labels or in two groups, for which
        files are read where their sizes are equal; and about files of another content
        than the table says, where it has a column ``digest`` as `index` writes it.
    name : str or None, default=None
        Of the data set, for the column dataset; None takes the kind, or for csv and
        folder the name of the file or folder.
    fake_label : label or None, default=None
        Which label of a table means fake, where it is not 0/1, REAL/FAKE ...
    encoding : str or None, default=None
        Of a text table; None finds it out where there is no doubt.

    Returns
    -------
    VideoTable

    Raises
    ------
    ScoreTableError
        If the tree is another or not whole: what was looked for and what was found.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from ensemble.datasets import load_dataset
    >>> folder = Path(tempfile.mkdtemp())
    >>> for clip in ("a.mp4", "b.mp4"):
    ...     _ = (folder / clip).write_text(clip)
    >>> fake = {"label": "FAKE", "split": "train", "original": "b.mp4"}
    >>> real = {"label": "REAL", "split": "train"}
    >>> metadata = {"a.mp4": fake, "b.mp4": real}
    >>> _ = (folder / "metadata.json").write_text(json.dumps(metadata))
    >>> table = load_dataset("auto", folder)
    >>> videos, labels, groups = table
    >>> table.kind, labels, groups
    ('dfdc', [1, 0], ['dfdc/b.mp4', 'dfdc/b.mp4'])
    """
    for option, value, choices in (
        ("missing", missing, MISSING),
        ("duplicates", duplicates, DUPLICATES),
    ):
        if value not in choices:
            raise ValueError(f"{option} must be one of {choices}; got {value!r}")
    root = Path(root)
    kind = kind_for(kind, root)
    how = kind_called(kind)
    if name is None:
        name = kind if how.is_public else root.resolve().stem
    with noting_lists() as lists, refusing(ScoreTableError, root, plain=True):
        records = list(how.read(root, encoding))
        table = VideoTable.from_records(records, root, name, kind, fake_label, lists)
    if not how.is_public:
        _warn_of_folders(table, root)
    if split is not None and table.table["split"].isna().all() and how.no_splits:
        raise ValueError(
            f"no video of {root} has a split: {how.no_splits}; got split={split!r}"
        )
    table = table.subset(split=split, method=methods, compression=compression)
    if missing != "keep":
        table = _that_are_there(table, root, missing)
    if duplicates != "allow":
        _check_content(table, root, duplicates)
    return table


def _warn_of_folders(table: VideoTable, root: Path) -> None:
    """Warn where a table calls real what lies in a folder fake/, or the reverse."""
    top = root if root.is_dir() else root.parent
    known = table.table.dropna(subset="label")
    contradicted = [
        f"{inner} as {'FAKE' if label else 'REAL'}"
        for path, label in zip(known["path"], known["label"], strict=True)
        if _label_of_folder(inner := below_root(path, top)) not in (None, label)
    ]
    if contradicted:
        warnings.warn(
            f"{root} contradicts the folders that {len(contradicted)} of {len(table)} "
            f"videos lie in: it lists {named(contradicted)}; the table counts: see "
            "whether it is right",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )


def _label_of_folder(path: str) -> int | None:
    """Return the label that the nearest folder of a class gives a video, if any."""
    for folder in reversed(path.lower().split("/")[:-1]):
        if folder in LABEL_FOLDERS:
            return LABEL_FOLDERS[folder]
    return None


def _that_are_there(table: VideoTable, root: Path, missing: str) -> VideoTable:
    # Servers are asked when their videos are read, and not all of them now.
    found = [
        is_there(video) or remote_address(video) is not None for video in table.videos
    ]
    lost = [v for v, there in zip(table.videos, found, strict=True) if not there]
    if not lost:
        return table
    text = f"{root} names {len(lost)} of {len(table)} videos that are not there"
    if missing == "refuse" or len(lost) == len(table):
        raise ValueError(
            f"{text}: {', '.join(lost[:3])}"
            + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
            + "; mend the paths (those of a table start at its own folder), finish the "
            "download, or leave these videos out with missing='drop'"
        )
    warnings.warn(
        f"{text}: {named(lost)}; they are left out",
        DeepfakeEnsembleWarning,
        stacklevel=3,
    )
    return table.subset(where=found)


def _check_content(table: VideoTable, root: Path, duplicates: str) -> None:
    if replaced := replaced_since(table):
        text = (
            f"{root} describes {len(replaced)} videos that are others by now: their "
            f"content has not the digest that stands there: {named(replaced)}"
        )
        if duplicates == "refuse":
            raise ValueError(f"{text}. Index them again, and look at their labels")
        warnings.warn(text, DeepfakeEnsembleWarning, stacklevel=3)
    conflicts = conflicts_of_content(table)
    if not conflicts:
        return
    text = f"{root} holds the same content under two labels or in two groups: " + (
        "; ".join(map(str, conflicts[:5]))
        + (f"; and {len(conflicts) - 5} more" if len(conflicts) > 5 else "")
    )
    if duplicates == "refuse":
        raise ValueError(
            f"{text}. Copies on both sides of a split are learned by heart: take one "
            "of each out, give them one group, or say duplicates='allow'"
        )
    warnings.warn(text, DeepfakeEnsembleWarning, stacklevel=3)


def read_videos(path: str | Path, encoding: str | None = None) -> LabelledVideos:
    """Read a labelled set of videos from a folder or a CSV.

    Parameters
    ----------
    path : str or Path
        A folder with ``real/`` and ``fake/`` in it (or with a ``videos.csv``), or a
        table (.csv, .tsv, .xlsx, .parquet) with the columns ``path`` and ``label``,
        and, where known, ``group`` and ``method``. Paths in it are relative to its own
        folder. Other kinds of data sets are read as `load_dataset` reads them.
    encoding : str or None, default=None
        Of a text file; None finds it out where there is no doubt.

    Returns
    -------
    LabelledVideos
        Files are not opened; labels are as they were written.

    Raises
    ------
    ScoreTableError
        If there is neither, a column is missing, or a table has no labels.
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
    kind = kind_for(AUTO, path)
    with refusing(ScoreTableError, path, plain=True):
        records: Sequence[VideoRecord] = list(kind_called(kind).read(path, encoding))
        if records and all(record.label is None for record in records):
            raise ValueError(
                f"{path} gives no video a label; a column label says which are real "
                "and which are fake"
            )
    groups = [record.group for record in records]
    return LabelledVideos(
        [record.path for record in records],
        [record.label for record in records],
        None if all(group is None for group in groups) else groups,
        [record.method or "" for record in records],
    )


def is_labelled(path: str | Path) -> bool:
    """Whether a path is a data set that `load_dataset` knows, and not just videos.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool
        True for a table, for a folder with ``real/`` and ``fake/`` (by any of their
        names) or a ``videos.csv`` in it, and for the root of a known data set.
    """
    return kind_of(Path(path)) is not None
