"""Draws of a comparison, measured column by column by workers."""

import joblib
import numpy as np
import pandas as pd
import pytest

from ensemble import compare_strategies
from ensemble.comparison import statistics
from ensemble.metrics import bootstrap


def table_of(n_videos=120):
    draw = np.random.default_rng(1)
    y = np.arange(n_videos) % 2
    scores = np.clip(
        0.5 + 0.2 * (y[:, None] - 0.5) + draw.normal(0, 0.2, (n_videos, 3)), 0, 1
    )

    return pd.DataFrame(scores, columns=list("abc")), y, np.arange(n_videos) // 3


def compared():
    scores, y, groups = table_of()
    return compare_strategies(
        scores, y, groups, ["soft", "log_odds"], n_boot=30, n_folds=3
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)]
)
def test_workers_find_the_intervals_of_one_process(backend, monkeypatch):
    monkeypatch.setattr(statistics, "_PAYS", 0)
    if backend == "threading":  # else workers would not know
        monkeypatch.setattr(bootstrap, "_AT_ONCE", 500)
    alone = compared()
    with monkeypatch.context() as patch:
        if backend == "loky":
            patch.setattr(statistics, "metrics_on_draws", None)  # not here
        with joblib.parallel_config(backend, n_jobs=2):
            other = compared()
    pd.testing.assert_frame_equal(alone.table, other.table, check_exact=True)


def test_draws_in_parts_are_the_draws_in_one(monkeypatch):
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 500)  # weights: several parts
    scores, y, codes = table_of()
    draw = np.random.RandomState(0)
    times = bootstrap.group_draws(codes.max() + 1, 40, draw)
    score, fold = scores["a"].to_numpy(), codes % 3
    parts = bootstrap.metrics_on_draws(y, score, fold, codes, times)
    for number, weights in enumerate(times[:, codes]):
        rows = np.repeat(np.arange(len(y)), weights.astype(int))  # drawn as written
        whole = bootstrap.drawn_metrics(
            y[rows], score[rows], np.ones((1, len(rows))), fold=fold[rows]
        )
        for name, value in whole.items():
            np.testing.assert_allclose(parts[name][number], value[0], rtol=1e-9)
