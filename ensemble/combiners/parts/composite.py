"""What combiners of combiners share: copies, out-of-fold scores, one common scale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from ensemble.combiners.parts.rows import Rows


def common_scale(combiners: Iterable[Any]) -> Literal["probability"] | None:
    """Return the scale of a table that several combiners can read.

    Parameters
    ----------
    combiners : iterable of Combiner

    Returns
    -------
    scale : "probability" or None
        The first where one of them takes scores for P(fake).
    """
    scales = {combiner._scale_name() for combiner in combiners}
    return "probability" if scales & {"probability", "log_odds"} else None


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
