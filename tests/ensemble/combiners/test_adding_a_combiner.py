"""The walk-through of CONTRIBUTING.md: one file and one import add a combiner."""

import importlib
import json
import sys

import numpy as np
import pandas as pd
import pytest

import ensemble
import ensemble.combiners
from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.cli.app import main
from ensemble.combiners import Bagging, Voting, registry, resolve_combiner
from ensemble.persistence.classes import COMBINERS, saved_name


@pytest.fixture
def trimmed_log_odds(walk_through, tmp_path, monkeypatch):
    """Add the file and import it, as `ensemble/combiners/__init__.py` would."""
    name = "ensemble.combiners.trimmed_log_odds"
    (tmp_path / "trimmed_log_odds.py").write_text(
        walk_through("class TrimmedLogOdds"), encoding="utf-8"
    )
    monkeypatch.setattr(
        ensemble.combiners, "__path__", [*ensemble.combiners.__path__, str(tmp_path)]
    )
    known, classes = list(registry.ENTRIES), dict(registry.COMBINER_CLASSES)
    yield importlib.import_module(name).TrimmedLogOdds
    del sys.modules[name], ensemble.combiners.trimmed_log_odds
    registry.ENTRIES[:] = known
    del registry.COMBINER_CLASSES["TrimmedLogOdds"]
    assert classes == registry.COMBINER_CLASSES


@pytest.fixture(scope="module")
def table():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 2
    scores = np.clip(0.3 * y[:, None] + 0.7 * draw.random((60, 4)), 0.01, 0.99)
    return pd.DataFrame(scores, columns=list("abcd")), y, np.arange(60) // 3


def test_it_is_found_by_name(trimmed_log_odds, table):
    scores, y, _ = table
    combiner = resolve_combiner("Trimmed log-odds")
    assert type(combiner) is trimmed_log_odds
    middle = np.sort(np.log(scores / (1 - scores)), axis=1)[:, 1:3].mean(axis=1)
    score = combiner.fit(scores, y).fake_score(scores)
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-middle)))
    with pytest.raises(ValueError, match="did you mean 'trimmed_log_odds'"):
        resolve_combiner("trimed_log_odds")
    inner = Bagging("trimmed_log_odds", n_replicas=2).fit(scores, y).combiners_[0]
    assert type(inner) is trimmed_log_odds


@pytest.mark.usefixtures("trimmed_log_odds")
def test_it_is_compared_under_its_label(table):
    scores, y, groups = table
    assert "trimmed log-odds mean" in registry.named_strategies()
    strategies = ["trimmed log-odds mean", "trimmed_log_odds"]
    found = compare_strategies(scores, y, groups, strategies, n_folds=3, n_boot=10)
    assert found.table.loc["trimmed log-odds mean", "auc"] > 0.6
    assert "trimmed_log_odds" not in found.table.index  # the same, under its label


@pytest.mark.usefixtures("trimmed_log_odds")
def test_the_command_line_offers_it(table, tmp_path, capsys):
    scores, y, _ = table
    path = tmp_path / "scores.csv"
    scores.assign(label=y).to_csv(path, index=False)
    few = ["--scores", "a,b,c,d", "--draws", "10", "--folds", "3", "--quiet"]
    with pytest.raises(SystemExit) as left:
        main(["compare", str(path), *few, "--strategies", "trimed_log_odds"])
    assert left.value.code == 2
    assert "trimmed_log_odds" in registry.combiner_names()
    assert "trimmed_log_odds" in capsys.readouterr().err
    chosen = ["--strategies", "trimmed_log_odds", "--json", "-"]
    with pytest.raises(SystemExit) as left:
        main(["compare", str(path), *few, *chosen])
    assert left.value.code == 0
    assert "trimmed log-odds mean" in json.dumps(json.loads(capsys.readouterr().out))


def test_it_is_saved_and_loaded(trimmed_log_odds, toy_videos, tmp_path):
    videos, labels, groups = toy_videos[:3]
    detector = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    model = DeepfakeEnsemble(
        {"bright": detector}, combiner="trimmed_log_odds", verbose=False, store=None
    ).fit(videos, labels, groups=groups)
    model.save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe", detectors={"bright": detector})
    assert type(again.combiner_) is trimmed_log_odds
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))


def test_no_name_is_registered_twice():
    names = [
        name
        for _, entry in registry.ENTRIES
        for name in (entry.name, *entry.aliases)
        if name is not None
    ]
    labels = [entry.label for _, entry in registry.ENTRIES if entry.label]
    assert len(set(names)) == len(names)
    assert len(set(labels)) == len(labels)


def test_a_subclass_is_not_registered_by_accident():
    class Louder(Voting):
        pass

    assert Louder.__name__ not in registry.COMBINER_CLASSES
    assert saved_name(Louder, COMBINERS) is None
    assert all(cls is not Louder for cls, _ in registry.ENTRIES)
