"""Reads new tables by the columns that a rule was fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError, refusing
from base_models.naming import did_you_mean
from ensemble.scores.columns import RESERVED, companion_columns, pool_table, some_names
from ensemble.scores.files import read_scores
from ensemble.scores.formats import Table, read_table
from ensemble.scores.orientation import invert_scores
from ensemble.scores.table import companions


def read_columns(
    rule: Any,
    path: str | Path,
    index: str | None = None,
    pool: str | None = None,
    encoding: str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the scores that a rule takes from a table, by the names of its columns.

    Parameters
    ----------
    rule : ScorePipeline
        Fitted on a DataFrame.
    path : str or Path
        As for `ensemble.read_scores`, as are the others.
    index, pool, encoding : str or None, default=None

    Returns
    -------
    scores : DataFrame of shape (n_videos, n_detectors)
        In the order of the rule; columns that were turned round for the fit are turned
        round.
    others : DataFrame of n_videos rows
        All other columns as they are in the table, in its order; where none of them
        holds ids, ``video`` with the numbers of the rows comes first.

    Raises
    ------
    ValueError
        If a column is missing.

    Warns
    -----
    UserWarning
        Naming columns that the rule does not use.
    """
    if not hasattr(rule, "feature_names_in_"):
        raise ValueError(
            "the rule was fitted on an array without names of columns, so that those "
            "of a table cannot be matched; fit it on a DataFrame"
        )
    names = list(rule.feature_names_in_)
    with refusing(ScoreTableError, path, plain=True):
        table = read_table(path, encoding)
        if pool is not None:
            there = [name for name in names if name in table.frame]
            pooled = pool_table(table, there, index=index, pool=pool)
            assert isinstance(pooled, Table)
            table = pooled
        columns = list(table.frame.columns)
        missing = [name for name in names if name not in columns]
        if missing:
            raise ValueError(
                f"{path} has no column {some_names(missing)}, which the rule was "
                f"fitted on; it has {some_names(columns)}"
                + did_you_mean(missing[0], map(str, columns))
                + "; rename the column, or add an empty one for a detector without "
                "scores"
            )
        known = companion_columns(columns, index=index)
        aside = {*names, *known.values(), *RESERVED, "", "path"}
        extra = [name for name in columns if name not in aside]
        if extra:
            warnings.warn(
                f"the rule does not use the columns {some_names(extra)}; they are "
                "handed on as they are",
                DeepfakeEnsembleWarning,
                stacklevel=2,
            )
        scores = read_scores(table, names, index=index, probabilities=False)
        for name in rule.inverted_:
            scores = invert_scores(scores, name, name not in negated_columns(rule))
        others = table.frame.drop(columns=names)
        if "index" not in known and "" not in columns:
            others.insert(0, "video", scores.index)
        return scores, others


def negated_columns(rule: Any) -> list[str]:
    """Return which columns of a rule were turned round by their sign, not as 1 - x.

    Parameters
    ----------
    rule : ScorePipeline
        Fitted; of a file from before this was kept, the range of the scores tells.

    Returns
    -------
    list of str
    """
    if hasattr(rule, "negated_"):
        return rule.negated_
    ranges = dict(zip(rule.detector_names_, rule.score_range_, strict=True))
    return [name for name in rule.inverted_ if not _is_share(ranges[name])]


def read_training(
    path: str | Path,
    scores: str | Sequence[str] | None = None,
    label: str | None = None,
    group: str | None = None,
    index: str | None = None,
    shift: str | None = None,
    pool: str | None = None,
    encoding: str | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a table of scores on any scale, and what a fit needs beside them.

    Parameters
    ----------
    path : str or Path
        As for `ensemble.read_scores`, as are the others but one.
    scores, label, group, index, pool, encoding
    shift : str or None, default=None
        Column of what will be new in use.

    Returns
    -------
    table : DataFrame of shape (n_videos, n_detectors)
    beside : DataFrame of shape (n_videos, ...)
        ``label`` and ``group``, and ``shift`` where it was named.
    """
    with refusing(ScoreTableError, path, plain=True):
        table = read_table(path, encoding)
        if pool is not None:
            aside = () if shift is None else (shift,)
            pooled = pool_table(table, scores, label, group, index, pool, aside)
            assert isinstance(pooled, Table)
            table = pooled
        if shift is None:
            read = read_scores(table, scores, label, group, index, probabilities=False)
            return read, companions(read)
        known = companion_columns(list(table.frame), label, group, index)
        values = shift_values(table.frame, shift, known.get("label"))
        if shift not in known.values():
            table = table._replace(frame=table.frame.drop(columns=shift))
        read = read_scores(table, scores, label, group, index, probabilities=False)
        return read, companions(read).assign(shift=values)


def shift_values(
    frame: pd.DataFrame, shift: str, label: str | None = None
) -> NDArray[np.object_]:
    """Return what a column says of what will be new in use, as text.

    Parameters
    ----------
    frame : DataFrame of n_videos rows
    shift : str
        The column.
    label : str or None, default=None
        The column of labels, which says nothing of what is new.

    Returns
    -------
    ndarray of shape (n_videos,)
        None where an entry is empty, which a fit refuses.

    Examples
    --------
    >>> shift_values(pd.DataFrame({"method": ["swap", None]}), "method").tolist()
    ['=swap', None]
    """
    columns = list(frame.columns)
    if shift not in columns:
        raise ValueError(
            f"shift={shift!r} is none of the columns {some_names(columns)}"
            + did_you_mean(shift, map(str, columns))
        )
    if shift == label:
        raise ValueError(
            f"shift={shift!r} is the column of the labels, which are the same in use; "
            "name a column of what will be new there, such as the method of a fake or "
            "the source of a real"
        )
    values = frame[shift]
    text = values.where(values.notna(), "").astype(str).str.strip()
    return ("=" + text).astype(object).where(text != "", None).to_numpy(object)


def turn_round(table: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Turn columns round that are high for reals: 1 - x within [0, 1], else -x.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        A score table.
    names : iterable of str

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors)
        Its provenance names the columns; see `ensemble.invert_scores`.

    Examples
    --------
    >>> from ensemble.scores import score_table
    >>> table = score_table(
    ...     [[0.25, 3.0]], ["a.mp4"], ["real", "distance"], probabilities=False
    ... )
    >>> turn_round(table, ["real", "distance"]).to_numpy().tolist()
    [[0.75, -3.0]]
    """
    for name in names:
        values = table[name].dropna() if name in table else []
        table = invert_scores(table, name, _is_share(values))
    return table


def _is_share(values):
    values = np.asarray(values, float)
    return bool(((values >= 0) & (values <= 1)).all())
