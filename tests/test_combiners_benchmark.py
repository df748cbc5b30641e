"""The benchmark of combiners, part AutoCombiner: it runs, and its figures are right."""

import importlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import StackingClassifier
from sklearn.metrics import log_loss, roc_auc_score

from ensemble.combiners import AutoCombiner
from ensemble.combiners.registry import default_candidates

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def load():
    """Return a function that imports a script of the benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


def small_table(load, n=120):
    scores, y = load("combiners_parts.made").make_table(n, 3)
    groups = np.arange(n) // 4
    splits = [(np.arange(0, n - 40), np.arange(n - 40, n))]
    table = load("regret_parts.tables").ScoreTable
    return table("small", "", scores, y, splits, groups)


@pytest.mark.slow
def test_smoke_run_of_the_part(load, monkeypatch, tmp_path):
    auto, out = load("combiners_parts.auto"), tmp_path / "out.json"
    two = partial(AutoCombiner, ["calibrated", "logistic"])  # the default takes long
    monkeypatch.setattr(auto, "AutoCombiner", two)
    peers = {k: fit for k, fit in auto.strategies().items() if k != "AutoCombiner"}
    monkeypatch.setattr(auto, "KNOWN_ROWS", (100, 200))
    monkeypatch.setattr(auto, "KNOWN_FOR_GOAL", 200)
    monkeypatch.setattr(auto, "SCORED_ROWS", 500)
    monkeypatch.setattr(auto, "MOST_SECONDS", {"60x2": 1000})
    monkeypatch.setattr(auto, "MOST_TIMES", {"60x2": 0})
    monkeypatch.setattr(auto, "tables", lambda folder: [small_table(load)])
    monkeypatch.setattr(auto, "strategies", lambda: peers)
    words = ["combiners.py", "--parts", "AutoCombiner", "--sizes", "60x2"]
    words += ["--times", "1", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    load("combiners").main()
    found = json.loads(out.read_text())
    raw = found["raw"]["AutoCombiner"]
    fits = raw["fits"]["60x2"]
    assert set(fits["candidates"]) == set(default_candidates())
    slow = sorted(fits["candidates"].values())
    assert fits["times"] == pytest.approx(fits["auto"] / (slow[-1] + slow[-2]))
    assert set(raw["dynamic"]) == {"100", "200"}
    assert set(raw["beside_peers"]["small"]) == set(peers)
    met = [goal["met"] for goal in found["goals"]]
    assert met[:2] == [True, False]
    assert len(met) == 4


@pytest.mark.slow
def test_figures_beside_peers_are_those_of_the_test_rows(load):
    auto, table = load("combiners_parts.auto"), small_table(load)
    train, test = table.splits[0]
    fit = auto.strategies()["StackingClassifier, a logistic regression a column"]
    area, loss, _ = auto._measured(fit, table, train, test)
    fitted = fit(table.scores[train], table.is_fake[train], table.groups[train])
    assert isinstance(fitted, StackingClassifier)
    score = fitted.predict_proba(table.scores[test])[:, 1]
    assert area == roc_auc_score(table.is_fake[test], score)
    assert loss == log_loss(table.is_fake[test], score)
    for own, other in fitted.cv:
        assert not set(table.groups[train][own]) & set(table.groups[train][other])


def test_the_naive_loop_takes_the_column_that_helps_most(load):
    draw = np.random.default_rng(0)
    y = np.arange(400) % 2
    good = np.clip(0.5 + 0.3 * (y - 0.5) + 0.1 * draw.normal(size=400), 0.01, 0.99)
    columns = np.column_stack([draw.random(400), good, 20 * good - 7])
    columns[::50, 1] = np.nan
    naive = load("combiners_parts.naive_greedy").NaiveGreedy(n_rounds=30)
    naive.fit(columns[:, :2], y)
    assert naive.weights_[1] > 0.9
    naive.fit(columns, y)
    assert naive.weights_.sum() == pytest.approx(1)
    stretched = (good - good.min()) / (good.max() - good.min())
    filled = np.where(np.isnan(columns[:, 1]), np.nanmean(columns[:, 1]), good)
    mean = naive.weights_ @ [columns[:, 0], filled, stretched]
    np.testing.assert_allclose(naive.predict_proba(columns)[:, 1], mean)
