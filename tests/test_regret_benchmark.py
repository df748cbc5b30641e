"""The benchmark of regret: it runs, and its figures are right."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from ensemble.combiners.registry import default_candidates

BENCHMARKS = Path(__file__).resolve().parents[1] / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def load():
    """Return a function that imports a script of the benchmarks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.fixture(scope="module")
def made(load):
    return load("regret_parts.made").made_tables()


def measured(auc, log_loss, bootstrap=False):
    """What `run` returns of a table, from (seeds, folds) of each strategy."""
    results = {
        name: [
            {"auc": a, "log_loss": b, "seconds": 1.0, "unscored": 0.0, "error": None}
            for a, b in zip(auc[name], log_loss[name], strict=True)
        ]
        for name in auc
    }
    return {"results": results, "bootstrap": bootstrap, "test_share": 0.25}


@pytest.mark.slow
def test_smoke_run_of_every_strategy(load, monkeypatch, tmp_path, capsys):
    regret, out = load("regret"), tmp_path / "out.json"
    words = ["regret.py", "--only", "wine_tiny", "--fast", "--seeds", "1"]
    words += ["--cache", str(tmp_path / "cache"), "--json", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    regret.main()
    found = json.loads(out.read_text())
    table = found["raw"]["tables"]["wine_tiny"]
    assert set(table["strategies"]) == set(regret.strategies(0))
    assert [one["error"] for one in table["strategies"].values()] == [None] * len(
        table["strategies"]
    )
    areas = {name: one["auc"] for name, one in table["strategies"].items()}
    rivals = regret.rivals()
    assert set(regret.peers(0)) <= rivals
    assert len(rivals) == len(regret.peers(0)) + len(default_candidates())
    assert not {"maximum", "AutoCombiner"} & rivals
    ours = areas.pop("AutoCombiner")
    assert table["ours"]["auc"]["regret"] == pytest.approx(max(areas.values()) - ours)
    assert [goal["goal"] for goal in found["goals"]] == [
        "wine_tiny: regret in AUC",
        "wine_tiny: regret in log loss",
        "mean over tables: regret in AUC",
    ]
    out_text, err = capsys.readouterr()
    assert "wine_tiny" in out_text
    assert err == "1 of 1 tables: wine_tiny is measured\n"

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(regret, "measure", fail)
    regret.main()  # all from the cache
    assert json.loads(out.read_text())["goals"] == found["goals"]
    monkeypatch.setattr(sys, "argv", [*words, "--rerun", "AutoCombiner"])
    with pytest.raises(AssertionError, match="measured again"):
        regret.main()


def test_regret_by_hand(load):
    auc = {"AutoCombiner": [[0.90, 0.80]], "a": [[0.92, 0.82]], "b": [[0.70, 0.90]]}
    loss = {"AutoCombiner": [[0.3, 0.4]], "a": [[0.5, 0.4]], "b": [[0.7, 0.3]]}
    summary = load("regret_parts.summary").summarise(measured(auc, loss))
    ours = summary["ours"]
    # means .85, .87, .80: a is the best; a stays .02 ahead in both folds
    assert ours["auc"]["best"] == "a"
    assert ours["auc"]["regret"] == pytest.approx(0.02)
    assert ours["auc"]["interval"] == pytest.approx([0.02, 0.02])
    assert ours["auc"]["above_all"] == 0
    # picked on the second fold b is .2 behind in the first; picked on the first a is
    # .02 ahead in the second
    assert ours["auc"]["elsewhere"] == pytest.approx((-0.2 + 0.02) / 2)
    # log loss .35, .45, .5: regret -.1 to a; fold by fold -.2 and 0:
    # mean -.1 -+ 12.706 x .14142 x sqrt(1/2 + .25)
    assert ours["log_loss"]["regret"] == pytest.approx(-0.1)
    reach = 12.7062 * 0.141421 * 0.866025
    expected = [-0.1 - reach, -0.1 + reach]
    assert ours["log_loss"]["interval"] == pytest.approx(expected, rel=1e-4)
    assert ours["log_loss"]["above_all"] == 0.5
    assert ours["auc"]["to_rivals"] == pytest.approx(0.02)
    known = load("regret_parts.summary").summarise(measured(auc, loss), rivals={"b"})
    assert known["ours"]["auc"]["to_rivals"] == pytest.approx(-0.05)
    assert known["ours"]["auc"]["regret"] == pytest.approx(0.02)
    totals = load("regret_parts.summary").over_tables({"t": summary})
    assert totals["a"]["auc_mean"] == pytest.approx(-0.02)
    assert totals["b"]["auc_worst"] == pytest.approx(0.07)


def test_a_strategy_that_fails_is_reported_and_does_not_count(load):
    auc = {name: [[0.9, 0.8]] for name in ("AutoCombiner", "a", "broken")}
    found = measured(auc, auc)
    found["results"]["broken"] = [
        {"auc": [], "log_loss": [], "seconds": 0, "unscored": 1, "error": "no"}
    ]
    summary = load("regret_parts.summary").summarise(found)
    assert summary["strategies"]["broken"]["error"] == "no"
    assert summary["ours"]["auc"]["best"] == "a"


def test_a_given_split_is_measured_on_the_whole_and_on_draws(load, tmp_path):
    draw = np.random.default_rng(0)
    y = np.arange(120) % 2
    frame = pd.DataFrame({"part": ["dev"] * 60 + ["eval"] * 60, "label": y})
    frame["p_a"] = (y + draw.normal(0, 1, 120)).round(3)
    frame.to_csv(tmp_path / "given.csv.gz", index=False)
    (build,) = load("regret_parts.tables").real_tables(tmp_path).values()
    table = build(seed=0)
    regret = load("regret")
    found = regret.measure(table, load("regret_parts.peers").ByOneNumber("mean"))
    assert len(found["auc"]) == 1 + regret.N_DRAWS
    test = frame[60:]
    ranks, fake = rankdata(test["p_a"]), test["label"] == 1
    by_ranks = (ranks[fake].sum() - 30 * 31 / 2) / 30**2
    assert found["auc"][0] == pytest.approx(by_ranks, abs=1e-9)
    rows = np.random.default_rng(60).integers(60, size=60)  # the first draw
    by_sklearn = roc_auc_score(test["label"].iloc[rows], test["p_a"].iloc[rows])
    assert found["auc"][1] == pytest.approx(by_sklearn)


def test_each_fold_holds_out_one_method(load, tmp_path):
    method = np.repeat(["real", "x", "y"], 40)
    frame = pd.DataFrame({"method": method, "label": (method != "real").astype(int)})
    frame["group"] = np.tile(np.arange(20), 6)
    frame["p_a"] = np.linspace(0, 1, 120)
    frame.to_csv(tmp_path / "t.csv", index=False)
    tables = load("regret_parts.tables").real_tables(tmp_path)
    assert list(tables) == ["t", "t_new_method", "t_new_method_announced"]
    table = tables["t_new_method_announced"](seed=0)
    for train, test in table.splits:
        assert not set(table.groups[train]) & set(table.groups[test])
        assert len(set(method[test]) - {"real"}) == 1
        assert not (set(method[test]) - {"real"}) & set(method[train])
    assert tables["t_new_method"](seed=0).shift is None


def test_an_unseen_method_is_no_other_share_of_fakes(load):
    tables, regret = load("regret_parts.tables"), load("regret")
    y = np.array([1, 1, 1, 0] * 3 + [1, 0, 0, 0])  # 3 of 4 fakes, then 1 of 4
    splits = [(np.arange(12), np.arange(12, 16))]
    scores = np.where(y == 1, 0.6, 0.3)[:, None]
    table = tables.ScoreTable("t", "", scores, y, splits, same_prior=True)
    found = regret.measure(table, load("ensemble.combiners").Voting("soft"))
    by_hand = -(0.75 * np.log(0.6) + 0.25 * np.log(0.7))
    assert found["log_loss"] == pytest.approx([by_hand])


def test_a_folder_without_tables_is_an_error(load, tmp_path):
    tables = load("regret_parts.tables")
    with pytest.raises(FileNotFoundError, match="no table of scores"):
        tables.real_tables(tmp_path)
    (tmp_path / "t.csv").write_text("label,score\n0,1\n")
    with pytest.raises(ValueError, match="columns p_"):
        tables.real_tables(tmp_path)["t"](seed=0)


@pytest.mark.slow
def test_made_tables_are_the_same_for_a_seed_and_honest(made):
    one, again, other = (made["cancer"](seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.scores, again.scores)
    assert not np.array_equal(one.scores, other.scores)
    areas = [roc_auc_score(one.is_fake, column) for column in one.scores.T]
    assert 0.9 < min(areas) <= max(areas) < 0.999  # in sample some would have 1


@pytest.mark.slow
def test_made_tables_are_what_they_are_called(made):
    assert 95 <= len(made["wine_tiny"](0).is_fake) <= 110
    rare = made["digits_rare"](0).is_fake
    assert rare.mean() == pytest.approx(0.02, abs=0.001)
    scales = made["cancer_scales"](0).scores
    assert scales.max() > 50
    assert scales.min() < -1
    stuck = made["cancer_constant"](0).scores
    assert (np.ptp(stuck, axis=0) == 0).sum() == 1
    inverted = made["digits_inverted"](0)
    areas = [roc_auc_score(inverted.is_fake, column) for column in inverted.scores.T]
    assert sum(area < 0.1 for area in areas) == 1
    twins = made["digits_duplicated"](0).scores
    assert len(np.unique(twins, axis=1).T) == twins.shape[1] - 3
    missing = np.isnan(made["digits_missing"](0).scores)
    assert missing.mean() == pytest.approx(0.3, abs=0.02)
    by_source = np.isnan(made["digits_missing_by_source"](0).scores)
    assert (by_source.any(axis=1) == by_source[:, :4].all(axis=1)).all()


@pytest.mark.slow
def test_made_tables_of_shift_test_what_was_not_learnt_from(made):
    told = made["digits_new_digit_announced"](1)
    for train, test in told.splits:
        fakes = test[told.is_fake[test] == 1]
        assert set(told.shift[fakes]) == {3}
        assert 3 not in told.shift[train]
    mixture = made["digits_mixture_announced"](0)
    for train, test in mixture.splits:
        low = mixture.shift < 5
        assert low[train].mean() > 0.7
        assert low[test].mean() < 0.3


def test_a_name_that_no_table_has_is_told(load, monkeypatch, capsys):
    words = ["regret.py", "--only", "wine", "wine_tinny"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit):
        load("regret").main()
    said = " ".join(capsys.readouterr().err.split())
    assert "--only: no table has 'wine_tinny' in its name; known are " in said
    assert "did you mean 'wine_tiny'?" in said
