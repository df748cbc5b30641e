"""The benchmark of clusters: it runs, and its figures are right."""

import importlib
import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("cluster")


@pytest.mark.slow
def test_small_parts_run_on_threads(benchmark, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    out = tmp_path / "out.json"
    plain = benchmark.order
    monkeypatch.setattr(benchmark, "order", lambda backend: plain(backend, 0.05))
    words = ["--backends", "threading", "--only", "overhead", "order"]
    words += ["memory", "batch", "--empty", "20", "--tasks", "3000"]
    words += ["--json", str(out)]
    benchmark.main(words)
    found = json.loads(out.read_text())
    assert set(found["raw"]["overhead"]) == {"threading"}
    for part, what in (("memory", "tasks"), ("batch", "rows")):
        assert found["raw"][part][what] == 3000
        assert {"10 %", "50 %", "100 %"} <= set(found["raw"][part])
    assert len(found["goals"]) == 2 + 2 + 1 + 1


def test_the_simulation_ends_when_the_last_worker_does(benchmark):
    lasts = [1.0, 1.0, 1.0, 1.0, 4.0]
    assert benchmark.simulated(lasts, range(5), 2) == 6.0  # 2 + 4 on one of them
    assert benchmark.simulated(lasts, [4, 0, 1, 2, 3], 2) == 4.0
    assert benchmark.simulated(lasts, range(5), 1) == sum(lasts)


def test_efficiency_is_what_two_workers_gain_over_one(benchmark):
    seconds = {"plain, 1": {"fit": 3.0, "scoring": 4.0},
               "plain, 2": {"fit": 6.0, "scoring": 4.0},  # the cores gain nothing
               "dask, 1": {"fit": 10.0, "scoring": 4.0},
               "dask, 2": {"fit": 10.0, "scoring": 4.0}}  # fmt: skip
    raw = {"fit": {"seconds": seconds, "bytes": {"dask": {}}, "same": True}}
    assert [goal.value for goal in benchmark.goals_of(raw)] == [1.0, 0.5, 1.0]
    assert [goal.met for goal in benchmark.goals_of(raw)] == [True, False, True]


@pytest.mark.slow
def test_a_small_fit_on_dask(benchmark, tmp_path):
    pytest.importorskip("distributed")
    out = tmp_path / "out.json"
    words = ["--backends", "dask", "--only", "fit", "--videos", "12", "--epochs", "1"]
    benchmark.main([*words, "--json", str(out)])
    raw = json.loads(out.read_text())["raw"]["fit"]
    assert raw["same"]
    travelled = raw["bytes"]["dask"]
    assert {"read_digest", "look_at", "fit_and_score", "score_part"} <= set(travelled)
    assert travelled["look_at"]["tasks"] == travelled["read_digest"]["tasks"] == 12
    assert travelled["fit_and_score"]["tasks"] == 4 * (3 + 1)  # folds and a refit
    for line in travelled.values():
        assert 0 < line["back"] < 50_000  # no videos, no views
        assert 0 < line.get("seconds", 1) < 60
