"""Score tables in files: read from CSV, Excel or parquet, and written."""

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError, refusing
from base_models.runtime.file_writing import write_table
from ensemble.scores.columns import (
    COMPANIONS,
    check_not_labels,
    companion_columns,
    pool_table,
    score_columns,
    score_values,
    some_names,
    typed,
)
from ensemble.scores.formats import Table, read_table
from ensemble.scores.looks import looks_of
from ensemble.scores.orientation import invert_scores
from ensemble.scores.provenance import stated
from ensemble.scores.table import (
    checked_columns,
    checked_ids,
    companions,
    reasons,
    score_table,
)


def write_scores(table: pd.DataFrame, path: str | Path) -> None:
    """Write a score table as CSV or parquet, by the suffix of the path.

    One line a video: video, label, group, fold, the detectors, and `reason`, a JSON
    object from detector to text. Parquet also keeps the provenance; it needs pyarrow.

    Parameters
    ----------
    table : DataFrame
        A score table.
    path : str or Path
        Ends in .csv or .parquet.
    """
    path = Path(path)
    columns = checked_columns(table.columns)
    flat = companions(table)
    flat = flat.loc[:, [name for name in COMPANIONS if table.attrs.get(name)]]
    flat.insert(0, "video", checked_ids(table.index))
    flat = pd.concat([flat, table.set_axis(columns, axis=1)], axis=1)
    why: dict[str, dict[str, str]] = {}
    for row, detector, reason in reasons(table).itertuples(index=False):
        why.setdefault(row, {})[detector] = reason
    if why:
        flat["reason"] = [
            json.dumps(why[row], ensure_ascii=False) if row in why else None
            for row in table.index
        ]
    if path.suffix.lower() == ".csv":
        write_table(path, flat)
    elif path.suffix.lower() == ".parquet":
        flat.attrs = {"provenance": table.attrs.get("provenance", {})}
        write_table(path, flat)
    else:
        raise ValueError(
            f"expected a path that ends in .csv or .parquet; got {str(path)!r}"
        )


def read_scores(
    path_or_frame: str | Path | pd.DataFrame | Table,
    scores: str | Sequence[str] | None = None,
    label: str | None = None,
    group: str | None = None,
    index: str | None = None,
    out_of_fold: bool | None = None,
    probabilities: bool = True,
    encoding: str | None = None,
    pool: str | Callable[..., float] | None = None,
    invert: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a score table from a file or a DataFrame.

    Parameters
    ----------
    path_or_frame : str, Path, DataFrame or Table
        A file that `ensemble.scores.formats.read_table` reads (.csv, .tsv, .xlsx,
        .parquet), or a frame with one row a video.
    scores : str, sequence of str or None, default=None
        The detectors' columns: a pattern such as ``"p_*"`` or their names. None takes
        every column that is not an id, a companion or a reason, nor by its name
        something else (``method``, ``n_frames`` ...); a copy of the label is refused.
    label, group : str or None, default=None
        Columns with the label and the group; None takes "label" and "group" where
        there are such columns.
    index : str or None, default=None
        Column with the video ids; None takes "video" or "video_id", else the index of
        a frame, else the row number.
    out_of_fold : bool or None, default=None
        Whether each score comes from a detector that did not see the video's group;
        kept as ``table.attrs["provenance"]["out_of_fold"]``. None leaves it as stored.
    probabilities : bool, default=True
        Whether scores outside [0, 1] are refused. If False any finite number goes:
        combiners bring such columns to where P(fake) is (``scale="detect"``).
    encoding : str or None, default=None
        Of a text file; None finds it out where there is no doubt.
    pool : str, callable or None, default=None
        For a table of frames, several rows a video: how their scores are pooled, such
        as ``"mean"`` (`ensemble.scores.columns.pool_table`). None refuses such tables.
    invert : str, sequence of str or None, default=None
        Columns that are high for real videos, turned round by
        `ensemble.invert_scores`. None turns none.

    Returns
    -------
    table : DataFrame of shape (n_videos, n_detectors)
        A score table, as `score_table` builds it. Its ``attrs["looks"]`` says what each
        column looks like: see `ensemble.scores.looks.looks_of`.

    Raises
    ------
    ScoreTableError
        Naming file, line or column, and what to do.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {"clip": ["a", "b"], "p_one": [0.9, 0.1], "p_two": [0.7, 0.4], "y": [1, 0]}
    ... )
    >>> table = read_scores(frame, scores="p_*", label="y", index="clip")
    >>> table.columns.tolist(), companions(table).label.tolist()
    (['p_one', 'p_two'], [1, 0])
    >>> table.attrs["looks"]
    {'p_one': 'P(fake)', 'p_two': 'P(fake)'}
    """
    table, beside = path_or_frame, {}
    if isinstance(table, pd.DataFrame):
        beside = _unpacked(table)
    elif not isinstance(table, Table):
        table = read_table(table, encoding)
    with _refusing(table):
        if pool is not None:
            table = pool_table(table, scores, label, group, index, pool)
        frame = table.frame if isinstance(table, Table) else table
        if isinstance(table, Table):
            beside["provenance"] = frame.attrs.get("provenance")
        known = companion_columns(list(frame.columns), label, group, index)
        columns = score_columns(list(frame.columns), scores, known)
        ids = checked_ids(_ids_of(table, known.get("index")))
        if not ids:
            raise ScoreTableError(
                "expected one row per video; got a table without rows"
            )
        named = scores is not None and not isinstance(scores, str)
        values = score_values(table, columns, ids, named)
        beside |= _companions_of(frame, known, columns, ids)
        for name, asked in (("label", label), ("group", group)):
            there = beside.get(name, [])
            if asked is not None and all(entry is None for entry in there):
                raise ScoreTableError(
                    f"column {asked!r} is empty: no video has a {name}"
                )
        _warn_of_values(values, columns, ids, beside.get("label"))
        check_not_labels(
            values, columns, beside.get("label"), by_default=scores is None
        )
        provenance = dict(beside.pop("provenance", None) or {})
        if out_of_fold is not None:
            provenance |= stated(out_of_fold=bool(out_of_fold))
        table = score_table(
            values,
            ids,
            columns,
            **beside,
            provenance=provenance,
            probabilities=probabilities,
        )
        if invert is not None:
            table = invert_scores(table, invert, probabilities)
        table.attrs["looks"] = dict(
            zip(columns, looks_of(table.to_numpy()), strict=True)
        )
    return table


def _refusing(table: Table | pd.DataFrame) -> AbstractContextManager[None]:
    """Name the file in errors, where the table came from one."""
    if isinstance(table, Table):
        return refusing(ScoreTableError, table.name, plain=True)
    return nullcontext()


def _companions_of(
    frame: pd.DataFrame, known: dict[str, str], columns: list[str], ids: list[str]
) -> dict[str, Any]:
    """Return what stands beside the scores: labels, groups, folds and reasons."""
    beside: dict[str, Any] = {
        name: typed(frame[known[name]])
        for name in COMPANIONS
        if name in known and known[name] not in columns
    }
    if "reason" in known and known["reason"] not in columns:
        beside["reasons"] = _parsed_reasons(frame[known["reason"]], ids, columns)
    return beside


def _ids_of(table: Table | pd.DataFrame, column: str | None) -> Any:
    """Return the ids of a table's rows, or the numbers of the rows."""
    if not isinstance(table, Table):
        return table.index if column is None else table[column]
    if column is not None:
        return table.frame[column].astype(str)
    unnamed = table.frame.get("")  # pandas writes an index without a name
    if unnamed is not None and not unnamed.duplicated().any():
        return unnamed.astype(str)
    return [str(row) for row in range(len(table.frame))]


def _unpacked(table: pd.DataFrame) -> dict[str, Any]:
    """Return what the attrs of a frame hold, if it is a score table already."""
    beside = {
        name: companions(table)[name].tolist()
        for name in COMPANIONS
        if table.attrs.get(name)
    }
    if table.attrs.get("reason"):
        known = set(table.index)
        beside["reasons"] = {
            detector: {row: text for row, text in by_row.items() if row in known}
            for detector, by_row in table.attrs["reason"].items()
            if detector in table.columns
        }
    beside["provenance"] = table.attrs.get("provenance")
    return beside


def _warn_of_values(
    values: np.ndarray,
    columns: list[str],
    ids: list[str],
    labels: Sequence[Any] | None,
) -> None:
    _warn_of_empty_columns(values, columns)
    _warn_of_one_video_twice(values, ids, labels)


def _warn_of_empty_columns(values: np.ndarray, columns: list[str]) -> None:
    empty = np.isnan(values).all(axis=0)
    if empty.all():
        raise ScoreTableError(
            f"no score at all in {some_names(columns)}; every entry is missing"
        )
    if empty.any():
        names = [
            name for name, is_empty in zip(columns, empty, strict=True) if is_empty
        ]
        warnings.warn(
            f"no video has a score in {some_names(names)}; such a detector changes "
            "nothing",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def _warn_of_one_video_twice(
    values: np.ndarray, ids: list[str], labels: Sequence[Any] | None
) -> None:
    """Say that rows have the same scores to the last digit, and opposite labels."""
    with np.errstate(invalid="ignore"):  # infinite scores are refused elsewhere
        is_exact = (values * 1000 % 1 > 0).sum(axis=1) > 1  # few digits may be chance
    rows = np.flatnonzero(is_exact)
    if labels is None or len(rows) < 2:
        return
    columns = list(range(values.shape[1]))
    known = pd.DataFrame(values[rows])
    known = known[known.duplicated(keep=False)]
    known = known.assign(label=[labels[row] for row in rows[known.index]])
    n_labels = known.groupby(columns, dropna=False)["label"].transform("nunique")
    if not (n_labels > 1).any():
        return
    twins = known[n_labels > 1]
    same = (twins[columns].fillna(-1) == twins[columns].fillna(-1).iloc[0]).all(axis=1)
    one, other = (ids[rows[row]] for row in twins.index[same][:2])
    warnings.warn(
        f"{len(twins)} rows have the same scores as another one with another label, "
        f"such as {one!r} and {other!r}: they may be one video, which then is in both "
        "classes, and in training and test; look at them",
        DeepfakeEnsembleWarning,
        stacklevel=4,
    )


def _parsed_reasons(
    column: pd.Series, ids: list[str], columns: list[str]
) -> dict[str, dict[str, str]]:
    why: dict[str, dict[str, str]] = {}
    for row, text in zip(ids, column, strict=True):
        if pd.isna(text) or text == "":
            continue
        try:
            by_detector = dict(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise ScoreTableError(
                f"reason of {row!r} must be a JSON object from detector to text; got "
                f"{str(text)[:200]!r}: rename the column if it means something else"
            ) from error
        for detector, reason in by_detector.items():
            if detector in columns:
                why.setdefault(detector, {})[row] = reason
    return why
