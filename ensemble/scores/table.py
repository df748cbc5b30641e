"""The score table: one row a video, one column a detector, NaN for a missing score.

Label, group, fold and reason lie beside the scores in ``DataFrame.attrs``, keyed by
row id, where no combiner can take them for scores and where they survive slicing,
sorting, copying and parquet.
"""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.groups import clean_groups
from ensemble.scores.columns import (
    COMPANIONS,
    RESERVED,
)


def score_table(
    scores: ArrayLike,
    index: Iterable[Any],
    columns: Iterable[str],
    label: Iterable[Any] | None = None,
    group: Iterable[Any] | None = None,
    fold: Iterable[Any] | None = None,
    reasons: Mapping[str, Mapping[str, str]] | ArrayLike | None = None,
    provenance: Mapping[str, Any] | None = None,
    probabilities: bool = True,
) -> pd.DataFrame:
    """Build a score table, with labels, groups and folds beside it.

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
    ids = checked_ids(index)
    columns = checked_columns(columns)
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


def companions(table: pd.DataFrame) -> pd.DataFrame:
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


def check_complete(column: pd.Series, name: str, advice: str) -> None:
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


def reasons(table: pd.DataFrame) -> pd.DataFrame:
    """Return why scores are missing, one line per reason.

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


def concat_scores(tables: Iterable[pd.DataFrame], axis: int = 0) -> pd.DataFrame:
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
    known: dict[str, dict[str, Any]] = {name: {} for name in COMPANIONS}
    why: dict[str, dict[str, str]] = {}
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


class _Entries(dict[str, Any]):
    """A read-only dict that copies of a table share.

    pandas deep-copies ``attrs`` on every slice and column access; with a plain dict of
    200,000 rows that costs a quarter of a second each time.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Entries":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "companions of a score table are read-only; build a table with score_table"
        )

    __setitem__ = __delitem__ = update = pop = popitem = clear = _refuse
    setdefault = __ior__ = _refuse


def checked_ids(index: Iterable[Any]) -> list[str]:
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
    _check_spellings(ids)
    return ids


def _check_spellings(ids: list[str]) -> None:
    """Refuse a video that stands in two rows, as ``a/b.mp4`` and ``./a//b.mp4``."""
    known: dict[str, str] = {}
    for row in ids:
        plain = os.path.normpath(row) if "/" in row and "://" not in row else row
        if (other := known.setdefault(plain, row)) != row:
            raise ValueError(
                f"video ids must be unique; {other!r} and {row!r} are one path, "
                "written in two ways: keep one of the two rows"
            )


def checked_columns(columns: Iterable[str]) -> list[str]:
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


def _check_values(
    values: np.ndarray, ids: list[str], columns: list[str], probabilities: bool
) -> None:
    bad = np.isinf(values)
    if probabilities:
        bad |= (values < 0) | (values > 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        expected = "P(fake) between 0 and 1" if probabilities else "finite numbers"
        raise ValueError(
            f"a score is {expected}, or NaN; got {values[row, column]} for "
            f"{ids[row]!r} in column {columns[column]!r} ({int(bad.sum())} such "
            "scores); rescale them, or leave the column out"
            + (", or pass probabilities=False" if probabilities else "")
        )


def _by_row(entries: Iterable[Any], ids: list[str], name: str) -> "_Entries":
    entries = list(entries)
    if len(entries) != len(ids):
        raise ValueError(
            f"{name} must have one entry per video; got {len(entries)} for "
            f"{len(ids)} videos"
        )
    entries = [_plain(entry, name) for entry in entries]
    if name == "group":
        clean = clean_groups(entries, len(ids), allow_missing=True)
        entries = np.asarray(clean).tolist()
    entries = [e.strip() or None if isinstance(e, str) else e for e in entries]
    rows = zip(ids, entries, strict=True)
    return _Entries((row, entry) for row, entry in rows if entry is not None)


def _plain(entry: Any, name: str) -> bool | int | float | str | None:
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


def _by_detector(why: Any, ids: list[str], columns: list[str]) -> dict[str, "_Entries"]:
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


def _json_dict(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return dict(json.loads(json.dumps(dict(provenance or {}))))
    except TypeError as error:
        raise TypeError(f"provenance must hold only what JSON can; {error}") from error


def _agree(known: dict[str, Any], row: str, entry: Any, name: str) -> None:
    if known.setdefault(row, entry) != entry:
        raise ValueError(
            f"the tables disagree on the {name} of {row!r}: {known[row]!r} and "
            f"{entry!r}"
        )


def _shared(dicts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: value
        for key, value in dicts[0].items()
        if all(key in other and other[key] == value for other in dicts[1:])
    }
