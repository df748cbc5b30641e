"""Tables of what columns hold: missing, different and most frequent values, counts."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd


def missing_values(frame: pd.DataFrame) -> pd.DataFrame:
    """Count what is missing in each column.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    DataFrame, one row a column
        missing, percent (of the rows), dtype.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets.exploring.columns import missing_values
    >>> frame = pd.DataFrame({"label": ["REAL", "FAKE"], "original": [None, "a.mp4"]})
    >>> missing_values(frame)["percent"].to_dict()
    {'label': 0.0, 'original': 50.0}
    """
    missing = frame.isna().sum()
    percent = 100 * missing / max(len(frame), 1)
    return pd.DataFrame(
        {"missing": missing, "percent": percent, "dtype": frame.dtypes.astype(str)}
    ).rename_axis("column")


def unique_values(frame: pd.DataFrame) -> pd.DataFrame:
    """Count the values that are known in each column, and the different ones.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    DataFrame, one row a column
        known, unique.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets.exploring.columns import unique_values
    >>> frame = pd.DataFrame({"original": ["a.mp4", "a.mp4", None]})
    >>> unique_values(frame).loc["original"].tolist()
    [2, 1]
    """
    return pd.DataFrame(
        {"known": frame.count(), "unique": frame.nunique()}
    ).rename_axis("column")


def most_frequent_values(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the most frequent value of each column.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    DataFrame, one row a column
        value, count, percent (of the values that are known). Of equally frequent
        values the one that comes first; None where nothing is known.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets.exploring.columns import most_frequent_values
    >>> frame = pd.DataFrame({"label": ["FAKE", "REAL", "FAKE", "FAKE"]})
    >>> print(*most_frequent_values(frame).loc["label"])
    FAKE 3 75.0
    """
    rows = []
    for name in frame.columns:
        counts = frame[name].value_counts(sort=False)
        if counts.empty:
            rows.append((name, None, 0, float("nan")))
            continue
        value, count = counts.idxmax(), int(counts.max())
        rows.append((name, value, count, 100 * count / int(counts.sum())))
    columns = ["column", "value", "count", "percent"]
    return pd.DataFrame(rows, columns=columns).set_index("column")


def value_counts(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Count the values of some columns.

    Parameters
    ----------
    frame : DataFrame
    columns : iterable of str
        Those that there are not, and of which nothing is known, are passed over.

    Returns
    -------
    DataFrame, one row a column and value
        count, percent (of the rows); the most frequent first. What is missing counts as
        "unknown".

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets.exploring.columns import value_counts
    >>> frame = pd.DataFrame({"label": ["FAKE", "REAL", "FAKE", "FAKE"]})
    >>> value_counts(frame, ["label"])["percent"].to_dict()
    {('label', 'FAKE'): 75.0, ('label', 'REAL'): 25.0}
    """
    parts = []
    for name in columns:
        if name in frame and frame[name].notna().any():
            values = frame[name].astype(object).where(frame[name].notna(), "unknown")
            counts = values.value_counts()
            parts.append(
                pd.DataFrame(
                    {
                        "column": name,
                        "value": counts.index.map(str),
                        "count": counts.to_numpy(),
                        "percent": 100 * counts.to_numpy() / len(frame),
                    }
                )
            )
    if not parts:
        parts = [pd.DataFrame(columns=["column", "value", "count", "percent"])]
    return pd.concat(parts).set_index(["column", "value"])
