"""Times as people write them -> moments or numbers; doubtful dates are refused."""

import re
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import ScoreTableError

_ISO = re.compile(r"\d{4}-\d{2}(-\d{2}([T ]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?)?)?\s*"
                  r"(Z|[+-]\d{2}(:?\d{2})?)?")  # fmt: skip
_YEAR_FIRST = re.compile(r"(\d{4})([./-])(\d{1,2})\2(\d{1,2})([T ].*)?")
_YEAR_LAST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})([T ].*)?")
_MONTH_NAMED = re.compile(r"(?=.*\b\d{4}\b)(?=.*[A-Za-z]{3})[\w ,.:+-]+")
_WAY_OUT = (
    "write them as 2019-10-08, or give their format: --time-format '%d/%m/%Y', "
    "pandas.to_datetime(column, format='%d/%m/%Y')"
)


def parse_times(column: pd.Series, time_format: str | None = None) -> pd.Series:
    """Read a column of times: numbers, ISO dates, or dates that can mean one day only.

    Parameters
    ----------
    column : Series of shape (n_videos,)
        Numbers and moments stay as they are. Of text are understood: numbers;
        ``2019-10-08``, with a time and zone or without; ``8.10.2019``, day first; names
        of months; ``25/10/2019`` and ``10/25/2019``, where some row shows which comes
        first.
    time_format : str or None, default=None
        As for `datetime.datetime.strptime`, for all else.

    Returns
    -------
    Series of shape (n_videos,)
        Numbers, or moments; those with a time zone in UTC.

    Raises
    ------
    ScoreTableError
        If some are missing, none of these, or may mean two days.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.scores.times import parse_times
    >>> parse_times(pd.Series(["2019-10-08", "2019-11-01"])).dt.month.tolist()
    [10, 11]
    >>> parse_times(pd.Series(["10/08/2019", "11/08/2019"]))
    Traceback (most recent call last):
    base_models.errors.ScoreTableError: '10/08/2019' at row 0 may be 10 August or 8 \
October, and no row shows \
whether day or month comes first; write them as 2019-10-08, or give their format: \
--time-format '%d/%m/%Y', pandas.to_datetime(column, format='%d/%m/%Y')
    """
    if pd.api.types.is_numeric_dtype(column):
        return _complete(column)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _in_utc(_complete(column))
    texts = column.map(lambda entry: "" if pd.isna(entry) else str(entry).strip())
    _complete(texts.where(texts != ""))
    if time_format is not None:
        try:
            return _in_utc(pd.to_datetime(texts, format=time_format))
        except ValueError as error:
            raise ScoreTableError(
                f"a time does not fit {time_format!r}: {error}"
            ) from error
    numbers = pd.to_numeric(texts, errors="coerce")
    if numbers.notna().all():
        return numbers
    for pattern, read in (
        (_ISO, _read_iso),
        (_YEAR_FIRST, _read_year_first),
        (_YEAR_LAST, _read_year_last),
        (_MONTH_NAMED, _read_any),
    ):
        if texts.map(lambda text, p=pattern: p.fullmatch(text) is not None).all():
            return _in_utc(read(texts))
    first = pd.DataFrame({"like": texts.map(lambda text: re.sub(r"\d", "0", text))})
    kinds = first.drop_duplicates("like").index[:3]
    raise ScoreTableError(
        "times must be written in one way, such as 2019-10-08; got "
        f"{' and '.join(repr(texts[row]) for row in kinds)}; {_WAY_OUT}"
    )


def _complete(times: pd.Series) -> pd.Series:
    missing = np.flatnonzero(times.isna())
    if missing.size:
        raise ScoreTableError(
            f"a hold-out of time needs a time for every video; {missing.size} of "
            f"{len(times)} have none, the first at row {missing[0]}"
        )
    return times


def _in_utc(times: pd.Series) -> pd.Series:
    """Bring moments with time zones to UTC, so that they compare."""
    if getattr(times.dt, "tz", None) is None:
        return times
    return times.dt.tz_convert("UTC").dt.tz_localize(None)


def _read_iso(texts: pd.Series) -> pd.Series:
    zoned = texts.map(lambda text: bool(re.search(r"(Z|:\d.*[+-]\d.*)$", text)))
    if zoned.any() and not zoned.all():
        row = np.flatnonzero(~zoned)[0]
        raise ScoreTableError(
            f"some times have a time zone and {texts.iloc[row]!r} (row {row}) has "
            "none; give all or none one"
        )
    return _parsed(texts, format="ISO8601", utc=bool(zoned.all()))


def _read_year_first(texts: pd.Series) -> pd.Series:
    return _parsed(texts.str.replace(r"[./]", "-", regex=True), format="mixed")


def _read_year_last(texts: pd.Series) -> pd.Series:
    parts = texts.str.extract(_YEAR_LAST)
    first, second = parts[0].astype(int), parts[2].astype(int)
    day_first = (first > 12).any() or (parts[1] == ".").all()
    month_first = (second > 12).any()
    if day_first and month_first:
        days, months = (np.flatnonzero(part > 12) for part in (first, second))
        rows = [int(rows[0]) for rows in (days, months) if rows.size]
        raise ScoreTableError(
            "in some rows the day comes first and in others the month: "
            f"{' and '.join(f'{texts.iloc[row]!r} (row {row})' for row in rows)}; "
            f"{_WAY_OUT}"
        )
    if not day_first and not month_first and not (first == second).all():
        row = int(np.flatnonzero(first != second)[0])
        one, two = (
            f"{day} {pd.Timestamp(2000, month, 1).month_name()}"
            for day, month in ((first.iloc[row], second.iloc[row]),
                               (second.iloc[row], first.iloc[row]))
        )  # fmt: skip
        raise ScoreTableError(
            f"{texts.iloc[row]!r} at row {row} may be {one} or {two}, and no row shows "
            f"whether day or month comes first; {_WAY_OUT}"
        )
    day, month = (second, first) if month_first else (first, second)
    dates = (
        parts[3] + "-" + month.astype(str).str.zfill(2)
        + "-" + day.astype(str).str.zfill(2) + parts[4].fillna("")
    )  # fmt: skip
    return _parsed(dates, format="mixed")


def _read_any(texts: pd.Series) -> pd.Series:
    return _parsed(texts, format="mixed")


def _parsed(texts: pd.Series, **how: Any) -> pd.Series:
    try:
        return pd.to_datetime(texts, **how)
    except (ValueError, TypeError) as error:
        raise ScoreTableError(f"a time cannot be read: {error}; {_WAY_OUT}") from error
