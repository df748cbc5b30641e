"""Trees grown by LightGBM: boosted on top of given log-odds, or a forest."""

from __future__ import annotations

from typing import Any

import numpy as np

from base_models.runtime.caches import cached
from ensemble.combiners.parts.line import calibration_line, flattened
from ensemble.combiners.parts.rows import Rows

MAX_ROUNDS = 300

_SETTINGS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # the machine's load must not show in the result
    "verbosity": -1,
}
_MONOTONE = {
    "num_leaves": 4,
    "min_data_in_leaf": 10,
    "monotone_constraints_method": "intermediate",
}
_FREE = {"num_leaves": 7, "min_data_in_leaf": 20}
_FOREST = {
    "objective": "regression",  # leaves hold shares of fakes
    "boost_from_average": False,
    "boosting": "rf",
    "extra_trees": True,
    "bagging_freq": 1,
    "bagging_fraction": 0.63,
    "num_leaves": 127,
    "min_data_in_leaf": 1,
    "lambda_l2": 0.0,
    "seed": 0,
}
_N_TREES = 100
_LEAST_SHARE = 1e-3
_MOST_ROWS = 20_000
_LEAF = 3  # rows of mean weight, which a sample of many has scaled


def grow_trees(
    scores: np.ndarray,
    is_fake: np.ndarray,
    weight: np.ndarray,
    offset: np.ndarray,
    n_rounds: int = MAX_ROUNDS,
    judge: tuple[Any, ...] | None = None,
    n_free: int = 0,
    monotone: bool = True,
    num_leaves: int | None = None,
) -> tuple[str, np.ndarray | None]:
    """Boost trees on top of given log-odds.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        NaN, a missing score, goes where it does least harm in training.
    is_fake, weight, offset : ndarray of shape (n_videos,)
        `offset` is the log-odds to correct.
    n_rounds : int
        Number of trees.
    judge : tuple of (scores, is_fake, weight, offset) or None, default=None
        Other videos to measure each round's log loss on.
    n_free : int, default=0
        Number of last columns that are no scores and may push either way.
    monotone : bool, default=True
        Whether P(fake) rises in every score.
    num_leaves : int or None, default=None
        Of a tree; None is 4, or 7 for trees that are not monotone.

    Returns
    -------
    text : str
        The trees as LightGBM writes them; "" for no trees.
    losses : ndarray of shape (n_rounds + 1,) or None
        Mean log loss on `judge` after 0, 1, ... trees.
    """
    if n_rounds == 0:
        return "", None
    import lightgbm

    def dataset(scores, is_fake, weight, offset):
        return lightgbm.Dataset(
            scores, is_fake, weight=weight, init_score=offset, params={"verbosity": -1}
        )

    losses = {}
    settings = _SETTINGS | (_MONOTONE if monotone else _FREE)
    if monotone:
        directions = [1] * (scores.shape[1] - n_free) + [0] * n_free
        settings["monotone_constraints"] = directions
    if num_leaves is not None:
        settings["num_leaves"] = num_leaves
    booster = lightgbm.train(
        settings,
        dataset(scores, is_fake, weight, offset),
        n_rounds,
        valid_sets=None if judge is None else [dataset(*judge)],
        callbacks=None if judge is None else [lightgbm.record_evaluation(losses)],
    )
    if judge is None:
        return booster.model_to_string(), None
    _, is_fake, weight, offset = judge
    before = np.average(np.logaddexp(0, (1 - 2 * is_fake) * offset), weights=weight)
    after = losses["valid_0"]["binary_logloss"]
    return booster.model_to_string(), np.array([before, *after])


def grow_forest(scores: np.ndarray, is_fake: np.ndarray, weight: np.ndarray) -> str:
    """Grow a forest of extremely randomised trees, each on 63 % of the videos.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_inputs)
        NaN, a missing score, goes where it does least harm in training.
    is_fake, weight : ndarray of shape (n_videos,)

    Returns
    -------
    text : str
        The trees as LightGBM writes them; their value is P(fake) itself. "" where
        nothing tells the videos apart.

    References
    ----------
    Geurts, Ernst, Wehenkel (2006), Extremely randomized trees, Machine Learning 63.
    """
    import lightgbm

    # Equal videos are one row: a tree that leaves some of them out needs them apart.
    times = np.clip(weight, 1, max(1, _MOST_ROWS // len(weight))).astype(int)
    each = np.repeat(np.arange(len(weight)), times)
    weight = (weight / times)[each]
    data = lightgbm.Dataset(
        scores[each], is_fake[each], weight=weight, params={"verbosity": -1}
    )
    leaf = {"min_sum_hessian_in_leaf": _LEAF * weight.mean()}
    forest = lightgbm.train(_SETTINGS | _FOREST | leaf, data, _N_TREES)
    return forest.model_to_string() if forest.feature_importance().any() else ""


def forest_line(
    text: str, inputs: np.ndarray, rows: Rows, splits: list[Any]
) -> np.ndarray:
    """Measure how far a forest's shares of fakes are from P(fake) on unseen groups.

    Shares are means over leaves, so that they stay too near the middle.

    Parameters
    ----------
    text : str
        The forest of all videos.
    inputs : ndarray of shape (n_videos, n_inputs)
    rows : Rows
    splits : list of (train, test)
        Without any in which trees can grow, shares are taken as they are.

    Returns
    -------
    line : ndarray of shape (2,)
        Intercept and slope for log-odds of the shares.
    """
    if not text:
        prior = np.average(rows.is_fake, weights=rows.weight)
        return np.array([np.log(prior / (1 - prior)), 1.0])
    share = np.full(len(rows), np.nan)
    for train, test in splits:
        inner = grow_forest(inputs[train], rows.is_fake[train], rows.weight[train])
        if inner:
            share[test] = _forest_share(inner, inputs[test])
    seen = ~np.isnan(share)
    if len(np.unique(rows.is_fake[seen])) < 2:
        return np.array([0.0, 1.0])
    return calibration_line(_log_odds(share[seen]), rows[seen])


def forest_log_odds(text: str, line: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Return a forest's log-odds of fake by the line, never surer than 999 to 1."""
    share = _forest_share(text, inputs) if text else np.full(len(inputs), 0.5)
    straight = line[0] + line[1] * _log_odds(share)
    return flattened(straight, -np.log(_LEAST_SHARE))


def _log_odds(share):
    share = np.clip(share, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return np.log(share) - np.log1p(-share)


def trees_log_odds(text: str, scores: np.ndarray) -> np.ndarray:
    """Return what boosted trees add to the log-odds of each row of scores."""
    if not text:
        return np.zeros(len(scores))
    return _parsed(text).predict(scores, raw_score=True, num_threads=1)


def _forest_share(text, scores):
    return _parsed(text).predict(scores, num_threads=1)  # raw ones are sums


@cached(maxsize=16)
def _parsed(text):
    import lightgbm

    return lightgbm.Booster(model_str=text)
