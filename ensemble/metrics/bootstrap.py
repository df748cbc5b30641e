"""Every metric on thousands of weighted draws of the same videos at once."""

import numbers
from collections.abc import Iterable

import numpy as np

METRICS = (
    "auc",
    "average_precision",
    "log_loss",
    "brier",
    "equal_error_rate",
    "tpr_at_fpr_1",
    "tpr_at_fpr_5",
    "tpr_at_fpr_10",
    "balanced_accuracy",
    "expected_calibration_error",
)
RANK_METRICS = (
    "auc",
    "average_precision",
    "equal_error_rate",
    "tpr_at_fpr_1",
    "tpr_at_fpr_5",
    "tpr_at_fpr_10",
)
_FEWEST = 1e-6  # scores are kept this far from 0 and 1 in the log loss
_N_BINS = 15
_AT_ONCE = 2_000_000  # weights, which bounds the memory


def check_n_boot(n_boot: int) -> None:
    """Refuse a number of bootstrap draws that gives no interval.

    Examples
    --------
    >>> from ensemble.metrics.bootstrap import check_n_boot
    >>> check_n_boot(1000)
    """
    if not isinstance(n_boot, numbers.Integral) or n_boot < 1:
        raise ValueError(
            f"n_boot must be a whole number of bootstrap draws, 1 or more; got "
            f"{n_boot!r}"
        )


def group_draws(
    n_groups: int, n_boot: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Draw whole groups with replacement.

    Parameters
    ----------
    n_groups, n_boot : int
    random_state : RandomState

    Returns
    -------
    times : float ndarray of shape (n_boot, n_groups)
        How often each group was drawn.

    Examples
    --------
    >>> group_draws(5, 3, np.random.RandomState(0)).sum(axis=1).tolist()
    [5.0, 5.0, 5.0]
    """
    check_n_boot(n_boot)
    drawn = random_state.randint(n_groups, size=(n_boot, n_groups))
    drawn += n_groups * np.arange(n_boot)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n_boot * n_groups)
    return times.reshape(n_boot, n_groups).astype(float)


def metrics_on_draws(
    y: np.ndarray,
    score: np.ndarray,
    fold: np.ndarray | None,
    codes: np.ndarray,
    times: np.ndarray,
    wanted: Iterable[str] = METRICS,
) -> dict[str, np.ndarray]:
    """Measure one score on many draws of groups; the weights are made in parts.

    Parameters
    ----------
    y, score, fold, wanted
        As for `drawn_metrics`.
    codes : int ndarray of shape (n_videos,)
        Numbers of the groups.
    times : ndarray of shape (n_draws, n_groups)
        From `group_draws`.

    Returns
    -------
    dict of str to ndarray of shape (n_draws,)

    Examples
    --------
    >>> y, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    >>> times = np.array([[1.0, 1.0], [1.0, 0.0]])  # the second without the second
    >>> found = metrics_on_draws(y, score, None, np.array([0, 1, 0, 0]), times, ["auc"])
    >>> found["auc"].tolist()
    [0.75, 1.0]
    """
    step = _draws_at_once(len(y))
    parts = [
        drawn_metrics(y, score, times[start : start + step][:, codes], wanted, fold)
        for start in range(0, len(times), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def _draws_at_once(n_videos):
    return max(1, _AT_ONCE // max(1, n_videos))


def drawn_metrics(
    y: np.ndarray,
    score: np.ndarray,
    times: np.ndarray,
    wanted: Iterable[str] = METRICS,
    fold: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure one score on many draws, each a weighting of the videos.

    The figures are those of `ensemble.metrics` on videos repeated as often as they were
    drawn, except that the log loss clips scores to [1e-6, 1 - 1e-6], so that a single
    vote does not outweigh all others.

    Parameters
    ----------
    y : int ndarray of shape (n_videos,)
        1 for fake.
    score : ndarray of shape (n_videos,)
        P(fake), no NaN.
    times : ndarray of shape (n_draws, n_videos)
        Weights, >= 0.
    wanted : sequence of str
        Some of `METRICS`.
    fold : int ndarray of shape (n_videos,) or None, default=None
        Rank metrics (`RANK_METRICS`) compare a fake with the reals of its fold alone:
        they are means over the folds, each counting by its pairs on that draw, see
        `ensemble.metrics.within_folds`. The other metrics take all videos together.

    Returns
    -------
    dict of str to ndarray of shape (n_draws,)
        NaN where it cannot be told, as without one class.

    Examples
    --------
    >>> y, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    >>> drawn_metrics(y, score, np.array([[1, 1, 1, 1], [1, 0, 1, 1]]))["auc"].tolist()
    [0.75, 1.0]
    """
    step = _draws_at_once(len(y))
    parts_of_fold = [np.arange(len(y))]
    if fold is not None:
        parts_of_fold = [np.flatnonzero(fold == one) for one in np.unique(fold)]
    parts = [
        _measure(y, score, times[start : start + step], wanted, parts_of_fold)
        for start in range(0, len(times), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def _measure(y, score, times, wanted, folds):
    with np.errstate(divide="ignore", invalid="ignore"):
        fakes, reals = times @ y, times @ (1 - y)
        total = fakes + reals
        values = {}
        curve = set(RANK_METRICS) & set(wanted)
        if curve:
            values |= _over_folds(y, score, times, curve, folds)
        if "log_loss" in wanted:
            right = np.clip(np.where(y == 1, score, 1 - score), _FEWEST, 1 - _FEWEST)
            values["log_loss"] = times @ -np.log(right) / total
        if "brier" in wanted:
            values["brier"] = times @ (score - y) ** 2 / total
        if "balanced_accuracy" in wanted:
            right = (score > 0.5) == y
            values["balanced_accuracy"] = (
                times @ (right & (y == 1)) / fakes + times @ (right & (y == 0)) / reals
            ) / 2
        if "expected_calibration_error" in wanted:
            edges = np.linspace(0, 1, _N_BINS + 1)[1:-1]
            bins = np.searchsorted(edges, score, side="left")
            away = np.zeros((len(y), _N_BINS))
            away[np.arange(len(y)), bins] = score - y
            error = np.abs(times @ away).sum(axis=1) / total
            values["expected_calibration_error"] = error
    return values


def _over_folds(y, score, times, wanted, folds):
    """Average what hangs on the ROC curve over folds, each counting by its pairs."""
    folds = [rows for rows in folds if 0 < y[rows].sum() < len(rows)]
    total = {name: np.zeros(len(times)) for name in wanted}
    n_pairs = np.zeros(len(times))
    for rows in folds:
        own = y[rows]
        weight = times if len(rows) == len(y) else times[:, rows]
        fakes, reals = weight @ own, weight @ (1 - own)
        pairs = fakes * reals
        n_pairs += pairs
        of_fold = _of_curve(own, score[rows], weight, fakes, reals, wanted)
        if len(folds) == 1:
            return {name: np.where(pairs > 0, v, np.nan) for name, v in of_fold.items()}
        for name, value in of_fold.items():
            total[name] += np.where(pairs > 0, value * pairs, 0)
    return {name: np.where(n_pairs > 0, one / n_pairs, np.nan)
            for name, one in total.items()}  # fmt: skip


def _of_curve(y, score, times, fakes, reals, wanted):
    """Read what hangs on the ROC curve off its points, one for each different score."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    weight = times[:, order]
    found = np.cumsum(weight * y[order], axis=1)[:, ends]  # fakes above the threshold
    accused = np.cumsum(weight, axis=1)[:, ends] - found  # reals above it
    steps = np.diff(accused, axis=1, prepend=0)
    rises = np.diff(found, axis=1, prepend=0)
    values = {}
    if "auc" in wanted:
        values["auc"] = ((found - rises / 2) * steps).sum(axis=1) / (fakes * reals)
    if "average_precision" in wanted:
        precision = np.nan_to_num(found / (found + accused))
        values["average_precision"] = (rises * precision).sum(axis=1) / fakes
    tpr = np.pad(found, ((0, 0), (1, 0))) / fakes[:, None]
    fpr = np.pad(accused, ((0, 0), (1, 0))) / reals[:, None]
    for percent in (1, 5, 10):
        name = f"tpr_at_fpr_{percent}"
        if name in wanted:
            allowed = fpr <= percent / 100 + 1e-12
            values[name] = np.where(allowed, tpr, 0).max(axis=1)
    if "equal_error_rate" in wanted:
        ahead = 1 - tpr - fpr  # falls from 1 to -1 along the curve
        last = np.maximum((ahead > 0).sum(axis=1) - 1, 0)
        row = np.arange(len(times))
        here, there = (row, last), (row, np.minimum(last + 1, ahead.shape[1] - 1))
        along = ahead[here] / (ahead[here] - ahead[there])
        values["equal_error_rate"] = fpr[here] + along * (fpr[there] - fpr[here])
    return values
