"""What combiners of combiners share: copies, out-of-fold scores, one common scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from base_models.naming import did_you_mean
from ensemble.combiners.parts.rows import Rows


def common_scale(combiners: Iterable[Any]) -> Literal["probability", "detect"] | None:
    """Return the scale of a table that several combiners can read.

    Parameters
    ----------
    combiners : iterable of Combiner

    Returns
    -------
    scale : "probability", "detect" or None
        The first where one of them expects P(fake), else the second where one of them
        brings columns to where P(fake) is.
    """
    scales = {combiner._scale_name() for combiner in combiners}
    if scales & {"probability", "log_odds"}:
        return "probability"
    return "detect" if "detect" in scales else None


def table_scale(scale: str | None, combiners: Mapping[str, Any]) -> str | None:
    """Return the scale of a table that combiners inside of another one are given.

    Parameters
    ----------
    scale : {"detect", "probability", "log_odds", "rank", "standard", None}
        As the user says.
    combiners : dict of str to Combiner

    Raises
    ------
    ValueError
        For None, naming combiners that do not take any numbers.
    """
    allowed = ("detect", "probability", "log_odds", "rank", "standard", None)
    if scale not in allowed:
        raise ValueError(
            f"unknown scale {scale!r}; expected 'detect', 'probability', 'log_odds', "
            "'rank', 'standard' or None" + did_you_mean(scale, allowed[:-1])
        )
    common = common_scale(combiners.values())
    if scale is None and common is not None:
        unable = [n for n, one in combiners.items() if common_scale([one]) is not None]
        raise ValueError(
            f"scale=None hands scores on as they are, and {', '.join(unable)} expect "
            'P(fake); use scale="detect", or give them scale="rank", "standard" or None'
        )
    return "probability" if scale == "log_odds" else scale


def fit_copy(combiner: Any, rows: Rows) -> Any:
    """Fit a copy of a combiner on rows.

    Parameters
    ----------
    combiner : Combiner
    rows : Rows

    Returns
    -------
    fitted : Combiner
    """
    return clone(combiner).set_params(fake_label=None)._fit_inside(rows)


def out_of_fold(combiner: Any, rows: Rows, splits: list[Any]) -> np.ndarray:
    """Score rows by copies of a combiner that saw none of their group.

    Parameters
    ----------
    combiner : Combiner
    rows : Rows
    splits : list of (train, test)

    Returns
    -------
    score : ndarray of shape (n_rows,)
        NaN for a row that is in no test part, or that has no score a copy can use.
    """
    score = np.full(len(rows), np.nan)
    for train, test in splits:
        score[test] = fit_copy(combiner, rows[train])._score_inside(rows.scores[test])
    return score
