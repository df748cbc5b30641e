"""What is made of P(fake) for an answer: two columns, and a word on videos without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble.metrics.ties import above


def class_columns(score: NDArray, fake_index: int) -> NDArray:
    """Return the probability of both classes from that of the fake one.

    Parameters
    ----------
    score : ndarray of shape (n_videos,)
        P(fake), NaN where there is none.
    fake_index : int
        Its column: 0 or 1.

    Returns
    -------
    ndarray of shape (n_videos, 2)
        The larger column is what `predict` says at a threshold of 0.5.

    Examples
    --------
    >>> class_columns(np.array([0.25, 0.5 + 1e-16]), 0)
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    tied = ~above(score, 0.5) & (score > 0.5)  # a tie by all but rounding is one
    score = np.where(tied, 0.5, score)
    columns = [1 - score, score]
    return np.column_stack(columns if fake_index == 1 else columns[::-1])


def check_all_scored(score: NDArray, X: Any, instead: str) -> None:
    """Refuse to label videos without a score, naming the first of them.

    Parameters
    ----------
    score : ndarray of shape (n_videos,)
    X : DataFrame or array-like of shape (n_videos, n_detectors)
        What was scored; videos are named by its index, or else by their row.
    instead : str
        What to use for them, such as "predict_proba, which gives NaN".
    """
    unscored = np.flatnonzero(np.isnan(score))
    if not unscored.size:
        return
    rows = X.index if isinstance(X, pd.DataFrame) else np.arange(len(score))
    names = rows[unscored[:5]].tolist()
    raise ValueError(
        "a label needs at least one score; "
        f"{unscored.size} of {len(score)} videos have none: "
        f"{', '.join(map(repr, names))}{', ...' if unscored.size > 5 else ''}; "
        f"drop them, or use {instead}"
    )
