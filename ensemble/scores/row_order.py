"""Rows by id: labels, groups and metadata in the order of the scores or videos."""

import os
from typing import Any

import numpy as np
import pandas as pd

from base_models.inputs import with_labels


def in_row_order(values: Any, rows: Any, what: str) -> Any:
    """Put what is said of videos into their order, where both carry ids.

    Ids are the index of a pandas object, or the paths in a list of videos. An index
    that counts from 0 holds no ids, and whole numbers are row numbers where the other
    side has names: there both are taken to be in the same order.

    Parameters
    ----------
    values : Series, DataFrame or any sequence
        One entry a video; only the first two can be put into another order.
    rows : DataFrame, Series or sequence of length n_videos
        The table of scores, or the videos.
    what : str
        What the values are, for the error.

    Returns
    -------
    Series, DataFrame or sequence
        In the order of `rows`; what has another length comes back as it is.

    Raises
    ------
    ValueError
        If both have ids and these are not the same.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.scores.row_order import in_row_order
    >>> scores = pd.DataFrame({"a": [0.9, 0.2]}, index=["v0", "v1"])
    >>> in_row_order(pd.Series([0, 1], ["v1", "v0"]), scores, "y").tolist()
    [1, 0]
    """
    is_pandas = isinstance(values, pd.Series | pd.DataFrame)
    if not is_pandas or not hasattr(rows, "__len__") or len(values) != len(rows):
        return values
    ids, index = _ids(rows), _plain(values.index)
    if ids is None or index.equals(ids) or _count(ids) or _count(index):
        return values
    if pd.api.types.is_integer_dtype(ids) != pd.api.types.is_integer_dtype(index):
        return values
    unknown = ids[~ids.isin(index)]
    if len(unknown) == len(ids) and not isinstance(rows, pd.Series | pd.DataFrame):
        return values  # names of another kind than paths
    advice = (
        f"give {what} the index of the videos, or none (reset_index(drop=True)) if "
        "they are in the same order"
    )
    if len(unknown):
        stranger = index[~index.isin(ids)]
        stray = f", but of {stranger[0]!r}" if len(stranger) else ""
        raise ValueError(
            f"{what} must be of the same videos as the scores or videos; nothing is "
            f"said of {len(unknown)} of {len(ids)}, such as {unknown[0]!r}{stray}; "
            f"{advice}"
        )
    if not (ids.is_unique and index.is_unique):
        twice = ids[ids.duplicated()].append(index[index.duplicated()])
        raise ValueError(
            f"{what} cannot be put into the order of the videos: the id {twice[0]!r} "
            f"is there twice; {advice}"
        )
    return values.iloc[index.get_indexer(ids)]


def all_in_row_order(rows: Any, **values: Any) -> list[Any]:
    """Put several things that are said of videos into their order.

    Parameters
    ----------
    rows : DataFrame, Series or sequence of length n_videos
    **values : Series, DataFrame or any sequence
        By what they are, for the error.

    Returns
    -------
    list
        As `in_row_order` returns each.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.scores.row_order import all_in_row_order
    >>> scores = pd.DataFrame({"a": [0.9, 0.2]}, index=["v0", "v1"])
    >>> y, groups = all_in_row_order(
    ...     scores, y=pd.Series([0, 1], ["v1", "v0"]), groups=None
    ... )
    >>> y.tolist()
    [1, 0]
    """
    return [in_row_order(value, rows, what) for what, value in values.items()]


def labelled_by_id(
    videos: Any, y: Any, groups: Any, sample_weight: Any
) -> tuple[list[Any], Any, Any, Any]:
    """Return videos with labels, groups and weights in their order.

    Parameters
    ----------
    videos : sequence, Series, or a data set that brings labels
    y, groups, sample_weight : array-like of shape (n_videos,) or None

    Returns
    -------
    videos : list
    y, groups, sample_weight
        As `in_row_order` returns each; of the data set where none are given.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.scores.row_order import labelled_by_id
    >>> y = pd.Series([0, 1], ["b.mp4", "a.mp4"])
    >>> videos, y, _, _ = labelled_by_id(["a.mp4", "b.mp4"], y, None, None)
    >>> y.tolist()
    [1, 0]
    """
    given = {"y": y, "groups": groups, "sample_weight": sample_weight}
    y, groups, sample_weight = all_in_row_order(videos, **given)
    return *with_labels(videos, y, groups), sample_weight


def _ids(rows: Any) -> "pd.Index | None":
    """Return the index of a pandas object, or the paths of videos, or None."""
    if isinstance(rows, pd.Series | pd.DataFrame):
        return _plain(rows.index)
    rows = getattr(rows, "videos", rows)
    if all(isinstance(row, str | os.PathLike) for row in rows):
        return _plain(pd.Index(list(rows), dtype=object))
    return None


def _plain(index: pd.Index) -> pd.Index:
    """Return an index with its paths as text."""
    if not any(isinstance(row, os.PathLike) for row in index):
        return index
    plain = [os.fspath(row) if isinstance(row, os.PathLike) else row for row in index]
    return pd.Index(plain, dtype=object)


def _count(index: pd.Index) -> bool:
    """Whether an index counts its rows from 0, and says nothing of them."""
    is_whole = pd.api.types.is_integer_dtype(index)
    return bool(is_whole) and np.array_equal(index, np.arange(len(index)))
