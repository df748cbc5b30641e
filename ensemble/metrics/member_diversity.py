"""How differently detectors err: correlation, Q, disagreement, double fault, oracle."""

import itertools

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.inputs import encode_labels


def diversity(
    table: pd.DataFrame | ArrayLike,
    y: ArrayLike,
    threshold: ArrayLike = 0.5,
    fake_label: object = None,
) -> pd.DataFrame:
    """Compare each pair of detectors: how alike their scores and errors are.

    Each pair is judged on the videos that both have scored. With a, b, c and d the
    shares that both have right, only the first, only the second, and neither:

    - "correlation" of being right, (ad - bc) / sqrt((a + b)(c + d)(a + c)(b + d));
    - "q_statistic", Yule's (ad - bc) / (ad + bc): 0 if they err independently, below 0
      if on different videos;
    - "disagreement", b + c;
    - "double_fault", d, what no vote of the two can mend.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_videos, n_detectors)
        P(fake); NaN where there is none.
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    threshold : float or array-like of shape (n_detectors,), default=0.5
        A video is called fake above it.
    fake_label : label or None, default=None

    Returns
    -------
    pairs : DataFrame
        One row a pair: first, second, n_videos, score_correlation (Pearson's), and the
        four above. NaN where it cannot be told, such as a correlation with a detector
        that is always right.

    See Also
    --------
    oracle_accuracy : share of videos that at least one detector has right.

    References
    ----------
    Kuncheva, Whitaker (2003), Measures of diversity in classifier ensembles and their
    relationship with the ensemble accuracy, Machine Learning 51.

    Examples
    --------
    >>> table = pd.DataFrame({"a": [0.1, 0.2, 0.9, 0.4], "b": [0.3, 0.7, 0.8, 0.9]})
    >>> pairs = diversity(table, [0, 0, 1, 1]).set_index(["first", "second"])
    >>> pairs.loc[("a", "b"), ["disagreement", "double_fault"]].tolist()
    [0.5, 0.0]
    """
    names, scores, right = rights(table, y, threshold, fake_label)
    rows = []
    for i, j in itertools.combinations(range(len(names)), 2):
        here = ~(np.isnan(scores[:, i]) | np.isnan(scores[:, j]))
        first, second = right[here, i], right[here, j]
        rows.append(
            {"first": names[i], "second": names[j], "n_videos": int(here.sum())}
            | {"score_correlation": _pearson(scores[here, i], scores[here, j])}
            | _pair_diversity(first, second)
        )
    columns = ["first", "second", "n_videos", "score_correlation"]
    columns += ["correlation", "q_statistic", "disagreement", "double_fault"]
    return pd.DataFrame(rows, columns=columns)


def oracle_accuracy(
    table: pd.DataFrame | ArrayLike,
    y: ArrayLike,
    threshold: ArrayLike = 0.5,
    fake_label: object = None,
) -> float:
    """Return the share of videos that at least one detector has right.

    No choice of one detector for each video can be right more often.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n_videos, n_detectors)
        P(fake); NaN where there is none. Videos without any score are left out.
    y : array-like of shape (n_videos,)
    threshold : float or array-like of shape (n_detectors,), default=0.5
    fake_label : label or None, default=None

    Returns
    -------
    value : float

    Examples
    --------
    >>> table = [[0.1, 0.7], [0.6, np.nan], [0.2, 0.3], [0.9, 0.8]]
    >>> oracle_accuracy(table, [0, 0, 1, 1])
    0.5
    """
    _, scores, right = rights(table, y, threshold, fake_label)
    scored = ~np.isnan(scores).all(axis=1)
    return float(right[scored].any(axis=1).mean()) if scored.any() else np.nan


def rights(
    table: pd.DataFrame | ArrayLike,
    y: ArrayLike,
    threshold: ArrayLike,
    fake_label: object,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return the detectors' names, scores and whether each is right."""
    scores = np.asarray(table, dtype=float)
    if scores.ndim != 2:
        raise ValueError(
            f"table must have shape (n_videos, n_detectors); got {scores.shape}"
        )
    names = list(getattr(table, "columns", range(scores.shape[1])))
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    if len(is_fake) != len(scores):
        raise ValueError(
            f"y must have one label per row of the table; got {len(is_fake)} for "
            f"{len(scores)}"
        )
    threshold = np.asarray(threshold, dtype=float)
    if threshold.shape not in ((), (scores.shape[1],)):
        raise ValueError(
            f"threshold must be a number or have shape ({scores.shape[1]},), one per "
            f"detector; got {threshold.shape}"
        )
    right = (scores > threshold) == is_fake[:, None]
    return names, scores, right & ~np.isnan(scores)


def _pair_diversity(first, second):
    if not len(first):
        return {}
    both, neither = (first & second).mean(), (~first & ~second).mean()
    only_first, only_second = (first & ~second).mean(), (~first & second).mean()
    cross = both * neither - only_first * only_second
    total = both * neither + only_first * only_second
    spread = first.mean() * (~first).mean() * second.mean() * (~second).mean()
    return {
        "correlation": cross / np.sqrt(spread) if spread > 0 else np.nan,
        "q_statistic": cross / total if total > 0 else np.nan,
        "disagreement": only_first + only_second,
        "double_fault": neither,
    }


def _pearson(first, second):
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(np.corrcoef(first, second)[0, 1])
