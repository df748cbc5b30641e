"""What `compare` is given: a table of scores, or videos to train on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import typer

from ensemble.cli.inputs import labelled_videos_at, split_names
from ensemble.datasets.kinds.csv_tables import is_video_table
from ensemble.datasets.kinds.registry import AUTO, KINDS, kind_of
from ensemble.datasets.video_table import VideoTable
from ensemble.pipeline.tables import shift_values, turn_round
from ensemble.scores.columns import companion_columns, pool_table
from ensemble.scores.files import read_scores
from ensemble.scores.formats import (
    TABLE_SUFFIXES,
    Table,
    column_named,
    read_table,
    to_numbers,
)
from ensemble.scores.table import companions
from ensemble.scores.times import parse_times

# Columns that describe a video, whatever numbers they hold.
_NEVER_SCORES = (
    "path", "video", "video_id", "label", "group", "fold", "reason", "method", "family",
    "source", "compression", "dataset", "time",
)  # fmt: skip


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table hold what, as far as the user says.

    Attributes
    ----------
    scores : str or None
        Those of P(fake): a pattern, or names by comma.
    label, group, index : str or None
    described : dict of str to (str or None)
        Name that protocols know, such as ``method`` -> column.
    time_format : str or None
        Of the column that `described` has for ``time``.
    shift : str or None, default=None
        What will be new in use.
    """

    scores: str | None
    label: str | None
    group: str | None
    index: str | None
    described: Mapping[str, str | None]
    time_format: str | None
    shift: str | None = None

    def no_scores(self) -> list[str]:
        """Columns that were named as something else than scores."""
        names = (
            *self.described.values(),
            self.label,
            self.group,
            self.index,
            self.shift,
        )
        return [name for name in names if name]


@dataclass(frozen=True)
class ComparisonInputs:
    """What members and strategies are compared on.

    Attributes
    ----------
    labels : list
        As written.
    metadata : DataFrame or None
        Columns that describe the videos, under the names that protocols know.
    scores : DataFrame or None
        Scores of the members; None where detectors are trained on videos.
    videos : VideoTable or None
        None where there are scores.
    shift : ndarray of shape (n_videos,) or None
    index : str or None
        Column of the ids, where it was not left to its name.
    used : dict of str to str
        Which columns of a table of scores were taken for what.
    """

    labels: list
    metadata: pd.DataFrame | None
    scores: pd.DataFrame | None = None
    videos: VideoTable | None = None
    shift: np.ndarray | None = None
    index: str | None = None
    used: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str | Path]:
        """The videos, and the lists that name them."""
        return [] if self.videos is None else [*self.videos.lists, *self.videos.videos]


def read_inputs(
    data: Path,
    columns: TableColumns,
    reading: Mapping[str, Any],
    as_videos: bool = False,
    pool: str | None = None,
    invert: str | None = None,
) -> ComparisonInputs:
    """Read a data set of videos, or a table of videos or scores.

    Parameters
    ----------
    data : Path
    columns : TableColumns
    reading : dict
        How a data set is read: arguments of `labelled_videos_at`.
    as_videos : bool, default=False
        Whether the user says that a table lists videos.
    pool : str or None, default=None
        How several rows of scores a video become one.
    invert : str or None, default=None
        Columns of scores that are high for real videos, by comma.
    """
    if as_videos and columns.scores is not None:
        raise typer.BadParameter("--videos and --scores are two kinds; choose one")
    if columns.scores is not None and data.is_dir():
        raise typer.BadParameter(
            f"--scores names columns of a table, and {data} is a folder; give the "
            "table, or leave --scores out to train on the folder's videos"
        )
    as_set = reading["kind"] != AUTO or reading["split"] is not None
    if as_set and columns.scores is not None:
        raise typer.BadParameter("--kind and --split are for videos, not for --scores")
    as_videos = as_videos or as_set
    is_public = (found := kind_of(data)) is not None and KINDS[found].is_public
    is_set = data.is_dir() or as_videos or is_public
    table = None if is_set else _table(data, reading["encoding"])
    if columns.scores is None and (
        as_videos
        or table is None
        or lists_videos(table.frame, data, columns.no_scores())
    ):
        if invert is not None:
            raise typer.BadParameter("--invert is for a table of scores, not videos")
        return _videos(data, columns, reading)
    return _scores(data, table, columns, pool, invert)


def _table(path, encoding):
    """A table as it is in its file."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        *most, last = TABLE_SUFFIXES
        raise typer.BadParameter(
            f"{path} is neither a folder nor a {', '.join(most)} or {last} file"
        )
    return read_table(path, encoding)


def _videos(data, columns, reading):
    videos = labelled_videos_at(data, **reading)
    known = videos.table.astype(object)
    known = known.where(known.notna(), None).dropna(axis="columns", how="all")
    return ComparisonInputs(
        videos.labels,
        _described(known, columns, data),
        videos=videos,
        shift=_shift(videos.table, columns, "label"),
    )


def _shift(frame, columns, label):
    return None if columns.shift is None else shift_values(frame, columns.shift, label)


def _scores(data: Path, table: Table, columns, pool, invert):
    names = columns.scores
    label, group, index = columns.label, columns.group, columns.index
    if names is not None and "," in names:
        names = split_names(names)
    elif names is None and "path" in table.frame:
        names, _ = score_columns(table.frame, columns.no_scores())
        if not {"video", "video_id"} & set(table.frame):
            index = index or "path"
    used = companion_columns(list(table.frame), label, group, index)
    said = used | _described_by(table.frame, columns, data)
    aside = {*columns.described.values(), columns.shift} - set(used.values())
    if pool is not None:
        table = pool_table(table, names, label, group, index, pool, aside)
    frame = table.frame
    scored = frame.drop(columns=[name for name in frame if name in aside])
    scores = read_scores(
        table._replace(frame=scored),
        names,
        label,
        group,
        index,
        probabilities=False,
    )
    if invert is not None:
        scores = turn_round(scores, split_names(invert))
    return ComparisonInputs(
        companions(scores)["label"].dropna().tolist(),
        _described(frame, columns, data),
        scores=scores,
        shift=_shift(frame, columns, used.get("label")),
        index=index,
        used={"scores": ", ".join(map(str, scores)), **said},
    )


def _described_by(table, columns, path):
    """Say which column holds what protocols know of videos, where there is one."""
    named = {
        name: column_named(list(table), column or name, alone=not column)
        for name, column in columns.described.items()
    }
    missing = [c for name, c in columns.described.items() if c and named[name] is None]
    if missing:
        raise typer.BadParameter(
            f"{path} has no column {missing[0]!r}; it has {', '.join(map(str, table))}"
        )
    return {name: column for name, column in named.items() if column is not None}


def _described(table, columns, path):
    """The columns that describe videos, under the names that protocols know."""
    described = {
        name: table[column].where(table[column] != "", None)
        for name, column in _described_by(table, columns, path).items()
    }
    if columns.time_format is not None and "time" in described:
        described["time"] = parse_times(described["time"], columns.time_format)
    return pd.DataFrame(described).reset_index(drop=True) if described else None


def lists_videos(
    frame: pd.DataFrame, path: str | Path, beside: Collection[str] = ()
) -> bool:
    """Whether a table lists videos, and not scores of them.

    Parameters
    ----------
    frame : DataFrame
    path : str or Path
        Where it comes from, for the message.
    beside : sequence of str
        Columns that were named as something else than scores.

    Returns
    -------
    bool
        True for ``path`` and ``label`` beside nothing that could be P(fake).

    Raises
    ------
    ValueError
        If it may be either.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"path": ["a.mp4"], "label": [1], "mine": [0.9]})
    >>> lists_videos(frame, "scores.csv"), lists_videos(frame[["path", "label"]], "")
    (False, True)
    """
    if "path" not in frame:
        return False
    if is_video_table(frame):
        return True
    scores, others = score_columns(frame, beside)
    if scores and not others:
        return False
    doubtful = [name for name in others if _is_share(_values(frame[name])[0])]
    if not scores and not doubtful and "label" in frame:
        return True
    numbers = ", ".join(map(str, [*scores, *others])) or "no other numbers"
    raise ValueError(
        f"{path} may be a table of scores or a list of videos: it has a column path, "
        f"and beside it {numbers}. Name the columns of scores with --scores, or say "
        "--videos to train on the videos that it lists"
    )


def score_columns(
    frame: pd.DataFrame, beside: Collection[str] = ()
) -> tuple[list, list]:
    """Return which columns of numbers look like P(fake), and which do not.

    Parameters
    ----------
    frame : DataFrame
    beside : sequence of str
        Columns that are not to be looked at.

    Returns
    -------
    scores : list of str
        All within 0 to 1, and not just 0 and 1.
    others : list of str
        Numbers beyond that, or only 0 and 1, which may be anything; and columns of
        which some entries, and not most, are no numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": ["0,73", "0,1"], "b": ["0.7x", "0.1"]})
    >>> score_columns(frame.assign(n_frames=300))
    (['a'], ['b', 'n_frames'])
    """
    scores, others = [], []
    for name in frame:
        if name in beside or str(name).strip().lower() in _NEVER_SCORES:
            continue
        values, n_wrong = _values(frame[name])
        if not len(values) or n_wrong > len(values):
            continue
        is_score = (
            not n_wrong and _is_share(values) and not np.isin(values, (0, 1)).all()
        )
        (scores if is_score else others).append(name)
    return scores, others


def _values(column):
    """Return the numbers in a column, and how many entries are none."""
    numbers, wrong = to_numbers(column.astype(object).where(column.notna(), ""))
    return numbers[~np.isnan(numbers)], len(wrong)


def _is_share(values):
    return bool(len(values)) and bool(((values >= 0) & (values <= 1)).all())
