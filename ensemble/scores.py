"""The score table: one row a video, one column a detector, NaN for a missing score.

Label, group, fold and reason lie beside the scores in ``DataFrame.attrs``, keyed by
row id, where no combiner can take them for scores and where they survive slicing,
sorting, copying and parquet.
"""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from base_models.file_writing import replacing
from base_models.inputs import clean_groups
from ensemble.orientation import invert_scores
from ensemble.score_columns import (
    COMPANIONS,
    RESERVED,
    check_not_labels,
    companion_columns,
    pool_table,
    score_columns,
    score_values,
    some_names,
    typed,
)
from ensemble.tables import Table, read_table


def score_table(
    scores,
    index,
    columns,
    label=None,
    group=None,
    fold=None,
    reasons=None,
    provenance=None,
    probabilities=True,
):
    """Build a score table and lay its companions beside it.

    Parameters
    ----------
    scores : array-like of shape (n_videos, n_detectors)
        P(fake), 0 to 1; NaN where a detector has no score.
    index : sequence of str or Path
        One id a video, unique.
    columns : sequence of str
        One name a detector, unique.
    label, group, fold : array-like of shape (n_videos,) or None, default=None
        Numbers, strings or booleans; missing entries allowed.
    reasons : mapping, array-like of shape (n_videos, n_detectors) or None, default=None
        Why scores are missing: ``{detector: {video: text}}``, or texts laid out as
        `scores` with None or "" elsewhere.
    provenance : dict or None, default=None
        What was fitted on what; anything that JSON can hold.
    probabilities : bool, default=True
        Whether scores outside [0, 1] are refused. If False any finite number goes.

    Returns
    -------
    table : DataFrame of shape (n_videos, n_detectors)
        The scores alone; see `companions` and `reasons` for what lies beside them.

    Examples
    --------
    >>> table = score_table(
    ...     [[0.9, 0.8], [0.2, np.nan]],
    ...     index=["a.mp4", "b.mp4"],
    ...     columns=["xception_frame", "xception_face"],
    ...     label=["FAKE", "REAL"],
    ...     reasons={"xception_face": {"b.mp4": "no face found"}},
    ... )
    >>> companions(table.loc[["b.mp4"]]).label.tolist()
    ['REAL']
    >>> reasons(table)
       video       detector         reason
    0  b.mp4  xception_face  no face found
    """
    ids = _checked_ids(index)
    columns = _checked_columns(columns)
    values = np.array(scores, dtype=float)
    if values.ndim != 2 or values.shape != (len(ids), len(columns)):
        raise ValueError(
            f"scores must have shape ({len(ids)}, {len(columns)}), one row per id "
            f"and one column per detector; got {values.shape}"
        )
    _check_values(values, ids, columns, probabilities)
    table = pd.DataFrame(values, index=pd.Index(ids, name="video"), columns=columns)
    given = {"label": label, "group": group, "fold": fold}
    for name, entries in given.items():
        if entries is not None:
            table.attrs[name] = _by_row(entries, ids, name)
    table.attrs["reason"] = _by_detector(reasons, ids, columns)
    table.attrs["provenance"] = _json_dict(provenance)
    return table


def companions(table):
    """Return label, group and fold of each row of a score table.

    Parameters
    ----------
    table : DataFrame
        A score table, or any rows of one in any order.

    Returns
    -------
    beside : DataFrame with columns label, group, fold
        Aligned with the rows of `table`; None where there is none.
    """
    beside = {}
    for name in COMPANIONS:
        known = table.attrs.get(name, {})
        entries = [known.get(row) for row in table.index]
        if known and len(entries) and all(entry is None for entry in entries):
            raise ValueError(
                f"no row of the table has a {name}, though {len(known)} are stored; "
                f"row ids were expected, such as {next(iter(known))!r}, got "
                f"{table.index[0]!r}: keep the video ids as the index"
            )
        column = pd.Series(entries, index=table.index, dtype=object)
        beside[name] = column if None in entries else column.infer_objects()
    return pd.DataFrame(beside, index=table.index)


def check_complete(column, name, advice):
    """Refuse a column in which some entries are missing, naming their rows.

    Parameters
    ----------
    column : Series
        By row id.
    name : str
        What the entries are.
    advice : str
        What to do about missing ones.

    Examples
    --------
    >>> check_complete(pd.Series(["ann", None], ["a", "b"]), "group", "fill it in")
    Traceback (most recent call last):
    ValueError: 1 of 2 videos have no group: 'b'; fill it in
    """
    missing = column.index[column.isna()].tolist()
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(column)} videos have no {name}: "
            f"{', '.join(map(repr, missing[:10]))}"
            + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
            + f"; {advice}"
        )


def reasons(table):
    """Return why scores are missing, one line a reason.

    Parameters
    ----------
    table : DataFrame
        A score table, or any part of one.

    Returns
    -------
    why : DataFrame with columns video, detector, reason
    """
    known = table.attrs.get("reason", {})
    lines = [
        (row, detector, known[detector][row])
        for detector in table.columns
        if detector in known
        for row in table.index
        if row in known[detector]
    ]
    return pd.DataFrame(lines, columns=["video", "detector", "reason"])


def concat_scores(tables, axis=0):
    """Put score tables together with their companions.

    ``pandas.concat`` keeps companions only where all parts share the same ones (parts
    of one table do); this keeps them for any tables.

    Parameters
    ----------
    tables : sequence of DataFrame
        Score tables.
    axis : {0, 1}, default=0
        0 stacks videos, 1 sets more detectors beside the first table's, on its rows.

    Returns
    -------
    table : DataFrame

    Examples
    --------
    >>> first = score_table([[0.9]], ["a.mp4"], ["resnet_face"], label=[1])
    >>> second = score_table([[0.2]], ["b.mp4"], ["resnet_face"], label=[0])
    >>> companions(concat_scores([first, second])).label.tolist()
    [1, 0]
    """
    tables = list(tables)
    known = {name: {} for name in COMPANIONS}
    why = {}
    for table in tables:
        beside = companions(table)
        for name in COMPANIONS:
            for row, entry in beside[name].items():
                if pd.notna(entry):
                    _agree(known[name], row, _plain(entry, name), name)
        for row, detector, reason in reasons(table).itertuples(index=False):
            why.setdefault(detector, {})[row] = reason
    if axis == 1:
        first = tables[0].index
        for position, table in enumerate(tables[1:], start=1):
            if set(table.index) != set(first) or len(table) != len(first):
                raise ValueError(
                    "tables set side by side must have the same rows; table "
                    f"{position} has {len(table)} and the first {len(first)}, "
                    f"{len(set(first) ^ set(table.index))} not shared"
                )
        tables = [tables[0], *(table.reindex(first) for table in tables[1:])]
    plain = [
        pd.DataFrame(table.to_numpy(), table.index, table.columns) for table in tables
    ]
    joined = pd.concat(plain, axis=axis)
    ids = joined.index.tolist()
    return score_table(
        joined.to_numpy(float),
        ids,
        joined.columns.tolist(),
        **{
            name: [entries.get(row) for row in ids] if entries else None
            for name, entries in known.items()
        },
        reasons=why,
        provenance=_shared([table.attrs.get("provenance", {}) for table in tables]),
        probabilities=False,
    )


def write_scores(table, path):
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
    columns = _checked_columns(table.columns)
    flat = companions(table)
    flat = flat.loc[:, [name for name in COMPANIONS if table.attrs.get(name)]]
    flat.insert(0, "video", _checked_ids(table.index))
    flat = pd.concat([flat, table.set_axis(columns, axis=1)], axis=1)
    why = {}
    for row, detector, reason in reasons(table).itertuples(index=False):
        why.setdefault(row, {})[detector] = reason
    if why:
        flat["reason"] = [
            json.dumps(why[row], ensure_ascii=False) if row in why else None
            for row in table.index
        ]
    if path.suffix.lower() == ".csv":
        with replacing(path) as unfinished:
            flat.to_csv(unfinished, index=False)
    elif path.suffix.lower() == ".parquet":
        flat.attrs = {"provenance": table.attrs.get("provenance", {})}
        with replacing(path) as unfinished:
            flat.to_parquet(unfinished, index=False)
    else:
        raise _suffix_error(path)


def read_scores(
    path_or_frame,
    scores=None,
    label=None,
    group=None,
    index=None,
    out_of_fold=None,
    probabilities=True,
    encoding=None,
    pool=None,
    invert=None,
):
    """Read a score table from a file or a frame, ours or anyone's.

    Parameters
    ----------
    path_or_frame : str, Path, DataFrame or Table
        A file that `ensemble.tables.read_table` reads (.csv, .tsv, .xlsx, .parquet), or
        a frame with one row a video.
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
        Whether scores outside [0, 1] are refused. If False any finite number goes,
        for combiners with ``scale="rank"``, ``"standard"`` or None.
    encoding : str or None, default=None
        Of a text file; None finds it out where there is no doubt.
    pool : str, callable or None, default=None
        For a table of frames, several rows a video: how their scores are pooled, such
        as ``"mean"`` (`ensemble.score_columns.pool_table`). None refuses such tables.
    invert : str, sequence of str or None, default=None
        Columns that are high for real videos, turned round by
        `ensemble.invert_scores`. None turns none.

    Returns
    -------
    table : DataFrame of shape (n_videos, n_detectors)
        A score table, as `score_table` builds it.

    Raises
    ------
    ValueError
        Naming file, line or column, and what to do.

    Examples
    --------
    >>> frame = pd.DataFrame(
    ...     {"clip": ["a", "b"], "p_one": [0.9, 0.1], "p_two": [0.7, 0.4], "y": [1, 0]}
    ... )
    >>> table = read_scores(frame, scores="p_*", label="y", index="clip")
    >>> table.columns.tolist(), companions(table).label.tolist()
    (['p_one', 'p_two'], [1, 0])
    """
    table, beside = path_or_frame, {}
    if isinstance(table, pd.DataFrame):
        beside = _unpacked(table)
    elif not isinstance(table, Table):
        table = read_table(table, encoding)
    if pool is not None:
        table = pool_table(table, scores, label, group, index, pool)
    frame = table.frame if isinstance(table, Table) else table
    if isinstance(table, Table):
        beside["provenance"] = frame.attrs.get("provenance")
    known = companion_columns(list(frame.columns), label, group, index)
    columns = score_columns(list(frame.columns), scores, known)
    ids = _checked_ids(_ids_of(table, known.get("index")))
    if not ids:
        raise ValueError("expected one row per video; got a table without rows")
    values = score_values(table, columns, ids)
    _warn_of_empty_columns(values, columns)
    for name in COMPANIONS:
        if name in known and known[name] not in columns:
            beside[name] = typed(frame[known[name]])
    for name, asked in (("label", label), ("group", group)):
        if asked is not None and not any(e is not None for e in beside.get(name, [])):
            raise ValueError(f"column {asked!r} is empty: no video has a {name}")
    if "reason" in known and known["reason"] not in columns:
        beside["reasons"] = _parsed_reasons(frame[known["reason"]], ids, columns)
    check_not_labels(values, columns, beside.get("label"), by_default=scores is None)
    provenance = dict(beside.pop("provenance", None) or {})
    if out_of_fold is not None:
        provenance["out_of_fold"] = bool(out_of_fold)
    table = score_table(
        values,
        ids,
        columns,
        **beside,
        provenance=provenance,
        probabilities=probabilities,
    )
    return table if invert is None else invert_scores(table, invert, probabilities)


def _ids_of(table, column):
    """Return the ids of a table's rows, or the numbers of the rows."""
    if not isinstance(table, Table):
        return table.index if column is None else table[column]
    if column is not None:
        return table.frame[column].astype(str)
    unnamed = table.frame.get("")  # pandas writes an index without a name
    if unnamed is not None and not unnamed.duplicated().any():
        return unnamed.astype(str)
    return [str(row) for row in range(len(table.frame))]


class _Entries(dict):
    """A read-only dict that copies of a table share.

    pandas deep-copies ``attrs`` on every slice and column access; with a plain dict of
    200,000 rows that costs a quarter of a second each time.
    """

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return type(self), (dict(self),)

    def _refuse(self, *args, **kwargs):
        raise TypeError(
            "companions of a score table are read-only; build a table with score_table"
        )

    __setitem__ = __delitem__ = update = pop = popitem = clear = _refuse
    setdefault = __ior__ = _refuse


def _checked_ids(index):
    ids = [os.fspath(row) if isinstance(row, os.PathLike) else row for row in index]
    ids = [row if isinstance(row, str) else str(_plain(row, "id")) for row in ids]
    empty = [position for position, row in enumerate(ids) if row in ("", "None")]
    if empty:
        raise ValueError(f"every video needs an id; row {empty[0]} has none")
    if len(set(ids)) < len(ids):
        counts = pd.Series(ids).value_counts()
        counts = counts[counts > 1]
        raise ValueError(
            f"video ids must be unique; {counts.index[0]!r} occurs {counts.iloc[0]} "
            f"times and {len(counts)} ids more than once: use full paths; rows that "
            "are frames of one video are pooled by read_scores(..., pool='mean') or "
            "--pool mean"
        )
    return ids


def _checked_columns(columns):
    columns = list(columns)
    for name in columns:
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"detectors are named by text, <backbone>_<view>; got {name!r}"
            )
        if name in RESERVED:
            raise ValueError(
                f"a detector cannot be called {name!r}, which names what lies beside "
                "the scores; rename it"
            )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise ValueError(f"detector names must be unique; got {repeated} repeatedly")
    if not columns:
        raise ValueError("expected one column per detector; got none")
    return columns


def _check_values(values, ids, columns, probabilities):
    bad = np.isinf(values)
    if probabilities:
        bad |= (values < 0) | (values > 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        expected = "P(fake) between 0 and 1" if probabilities else "finite numbers"
        raise ValueError(
            f"scores must be {expected}, or NaN; got {values[row, column]} for "
            f"{ids[row]!r} in column {columns[column]!r} ({int(bad.sum())} such "
            "scores); rescale them, or leave the column out"
            + (", or pass probabilities=False" if probabilities else "")
        )


def _by_row(entries, ids, name):
    entries = list(entries)
    if len(entries) != len(ids):
        raise ValueError(
            f"{name} must have one entry per video; got {len(entries)} for "
            f"{len(ids)} videos"
        )
    entries = [_plain(entry, name) for entry in entries]
    if name == "group":
        entries = clean_groups(entries, len(ids), allow_missing=True).tolist()
    entries = [e.strip() or None if isinstance(e, str) else e for e in entries]
    rows = zip(ids, entries, strict=True)
    return _Entries((row, entry) for row, entry in rows if entry is not None)


def _plain(entry, name):
    """Return what JSON can hold: a bool, int, float or str; None for missing."""
    if isinstance(entry, np.generic):
        entry = entry.item()
    if entry is None or entry is pd.NA or entry is pd.NaT:
        return None
    if isinstance(entry, float):
        return None if np.isnan(entry) else entry
    if isinstance(entry, str | int):  # bool is an int
        return entry
    raise TypeError(
        f"{name} must hold numbers, strings or booleans; got {entry!r} of type "
        f"{type(entry).__name__}"
    )


def _by_detector(why, ids, columns):
    if why is None:
        return {}
    if not isinstance(why, Mapping):
        texts = np.asarray(why, dtype=object)
        if texts.shape != (len(ids), len(columns)):
            raise ValueError(
                f"reasons must have shape ({len(ids)}, {len(columns)}) as the scores "
                f"have; got {texts.shape}"
            )
        why = {
            name: {
                row: text
                for row, text in zip(ids, texts[:, j], strict=True)
                if isinstance(text, str) and text
            }
            for j, name in enumerate(columns)
        }
    known = set(ids)
    for name, by_row in why.items():
        strange = [row for row in by_row if row not in known]
        if name not in columns or strange:
            what = f"video {strange[0]!r}" if name in columns else f"detector {name!r}"
            raise ValueError(f"reasons speak of {what}, which the table does not have")
    return {
        name: _Entries({row: str(text) for row, text in by_row.items()})
        for name, by_row in why.items()
        if by_row
    }


def _json_dict(provenance):
    provenance = dict(provenance or {})
    try:
        return json.loads(json.dumps(provenance))
    except TypeError as error:
        raise TypeError(f"provenance must hold only what JSON can; {error}") from error


def _agree(known, row, entry, name):
    if known.setdefault(row, entry) != entry:
        raise ValueError(
            f"the tables disagree on the {name} of {row!r}: {known[row]!r} and "
            f"{entry!r}"
        )


def _shared(dicts):
    return {
        key: value
        for key, value in dicts[0].items()
        if all(key in other and other[key] == value for other in dicts[1:])
    }


def _suffix_error(path):
    return ValueError(
        f"expected a path that ends in .csv or .parquet; got {str(path)!r}"
    )


def _unpacked(table):
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


def _warn_of_empty_columns(values, columns):
    empty = np.isnan(values).all(axis=0)
    if empty.all():
        raise ValueError(
            f"no score at all in {some_names(columns)}; every entry is missing"
        )
    if empty.any():
        names = [
            name for name, is_empty in zip(columns, empty, strict=True) if is_empty
        ]
        warnings.warn(
            f"no video has a score in {some_names(names)}; such a detector changes "
            "nothing",
            stacklevel=3,
        )


def _parsed_reasons(column, ids, columns):
    why = {}
    for row, text in zip(ids, column, strict=True):
        if pd.isna(text) or text == "":
            continue
        try:
            by_detector = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"reason of {row!r} must be a JSON object from detector to text; got "
                f"{text!r}: rename the column if it means something else"
            ) from error
        for detector, reason in by_detector.items():
            if detector in columns:
                why.setdefault(detector, {})[row] = reason
    return why
