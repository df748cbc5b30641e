"""Members and strategies that failed in a comparison: their rows, and what is said."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from pandas.api.types import is_numeric_dtype

from ensemble.errors import listed_failures


def with_failures(
    table: pd.DataFrame, failed: dict[str, str], members: Sequence[str]
) -> pd.DataFrame:
    """Add a row without figures for each that failed, below all others.

    Parameters
    ----------
    table : DataFrame
        One row a member or strategy, as of `ensemble.comparison.Comparison`.
    failed : dict of str to str
        Name -> where it failed and why.
    members : sequence of str
        Which names are of members.

    Returns
    -------
    DataFrame
        With a column ``failed``; the same table where nothing failed.

    Examples
    --------
    >>> table = pd.DataFrame({"kind": ["member"], "auc": [0.9]}, index=["a"])
    >>> with_failures(table, {"b": "split 1 of 2: MemoryError"}, ["a", "b"])
         kind  auc                     failed
    a  member  0.9
    b  member  NaN  split 1 of 2: MemoryError
    """
    if not failed:
        return table
    rows = table.assign(failed="").reindex([*table.index, *failed])
    for name, why in failed.items():
        kind = "member" if name in members else "strategy"
        rows.loc[name, ["kind", "failed"]] = kind, why
        for column in rows.columns.difference(["kind", "failed"]):
            if not is_numeric_dtype(rows[column]):
                rows.loc[name, column] = ""
    rows.attrs = dict(table.attrs)
    return rows


def say_failed(failed: dict[str, str], n_others: int) -> str:
    """Return the sentence of a verdict on those that failed; empty where none did.

    Examples
    --------
    >>> say_failed({"b": "split 1 of 2: MemoryError"}, 5)
    'b failed (split 1 of 2: MemoryError): not judged, and not among the 5 others.'
    """
    if not failed:
        return ""
    return (
        f"{listed_failures(failed)}: not judged, and not among the {n_others} others."
    )
