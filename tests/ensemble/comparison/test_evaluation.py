"""Figures of a comparison are those of metrics, folds and loops written out."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
from made_scores import QUICK, some_scores
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from ensemble import compare_strategies
from ensemble.combiners import Stacking, Voting
from ensemble.combiners.strategies import CHOSEN_MEMBER
from ensemble.metrics import auc, auc_interval, delong_test, group_bootstrap_interval
from ensemble.metrics.bootstrap import RANK_METRICS
from ensemble.resampling import StratifiedGroupFolds


def test_scores_are_those_of_a_loop_over_folds_written_out(found):
    scores, y, groups, _ = some_scores()
    for repeat, panel in enumerate(found.panels):
        for name, combiner in (("mean", Voting("soft")), ("stacking", Stacking())):
            expected = np.full(180, np.nan)
            folds = StratifiedGroupFolds(3, repeat)
            for train, test in folds.split(scores, y, groups):
                combiner.fit(scores.iloc[train], y[train], groups=groups[train])
                expected[test] = combiner.fake_score(scores.iloc[test])
            np.testing.assert_allclose(panel.scores[name], expected)
        np.testing.assert_array_equal(panel.scores[["a", "b", "c"]], scores)


def test_figures_are_means_over_repeats(found):
    for name in found.table.index:
        expected = [auc(p.y, p.scores[name], fold=p.fold) for p in found.panels]
        assert np.isclose(found.table.loc[name, "auc"], np.mean(expected))
        losses = [log_loss(p.y, p.scores[name].clip(1e-6)) for p in found.panels]
        assert np.isclose(found.table.loc[name, "log_loss"], np.mean(losses))
    assert found.table["auc"].is_monotonic_decreasing


class Bent(Voting):
    """The mean, on a scale that each fit draws anew; its ranking is the mean's."""

    def fit(self, X, y, groups=None, sample_weight=None):
        self.power_ = 0.2 + 5 * (float(np.asarray(X).sum()) % 1)
        return super().fit(X, y, groups, sample_weight)

    def fake_score(self, X):
        return super().fake_score(X) ** self.power_


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("protocol", ["group-kfold", "leave-method-out"])
def test_a_rising_transform_of_each_fold_changes_no_rank_metric(protocol):
    scores, y, groups, metadata = some_scores()
    found = compare_strategies(
        scores, y, groups, {"bent": Bent("soft")}, metadata, protocol, n_boot=50,
        n_folds=3,
    )  # fmt: skip
    bent, mean = found.table.loc["bent"], found.table.loc["mean"]
    for name in RANK_METRICS:
        for end in ("", "_low", "_high"):
            assert np.isclose(bent[name + end], mean[name + end]), name
    assert bent["over_mean"] == bent["over_mean_low"] == bent["over_mean_high"] == 0
    assert bent["p_mean_alone"] == 1
    assert bent["log_loss"] != mean["log_loss"]
    assert np.isclose(bent["worst"], mean["worst"])
    pooled = [auc(p.y, p.scores[["bent"]].to_numpy()[:, 0]) for p in found.panels]
    assert not np.isclose(np.mean(pooled), bent["auc"])  # what it was punished for


class Share(Voting):
    """Knows nothing but the share of fakes that it learned from."""

    def fit(self, X, y, groups=None, sample_weight=None):
        self.share_ = np.mean(y)
        return super().fit(X, y, groups, sample_weight)

    def fake_score(self, X):
        return np.full(len(X), self.share_)


def noise(seed, n=60):
    draw = np.random.default_rng(seed)
    scores = pd.DataFrame(draw.random((n, 3)), columns=["a", "b", "c"])
    return scores, draw.integers(0, 2, n), np.arange(n) // 4


def test_what_knows_nothing_reads_one_half_and_no_less():
    """One ranking of all folds reads less: a fold of many fakes leaves few to learn."""
    found = compare_strategies(*noise(0), {"share": Share()}, n_boot=20)
    row, (panel,) = found.table.loc["share"], found.panels
    assert row["auc"] == row["auc_low"] == row["auc_high"] == 0.5
    assert auc(panel.y, panel.scores["share"]) < 0.45


@pytest.mark.slow
def test_noise_reads_one_half():
    """Of 150 tables of 60 videos an AUC strays by .075, their mean by .006."""
    strategies = {
        "logistic": Stacking(LogisticRegression()),
        "stacking": "logistic",
        "greedy": "greedy",
        "weighted": "weighted",
    }
    within, pooled = [], []
    for seed in range(150):
        found = compare_strategies(*noise(seed), strategies, n_boot=2)
        within.append(found.table.loc[found.table["kind"] == "strategy", "auc"])
        (panel,) = found.panels
        pooled.append(auc(panel.y, panel.scores["logistic"]))
    within = pd.concat(within, axis=1).mean(axis=1)
    assert (within - 0.5).abs().max() < 0.02, within
    assert np.mean(pooled) < 0.48


def test_fold_aucs_are_those_of_each_fold(found):
    table = found.fold_aucs()
    assert table.shape == (7, 6)
    panel = found.panels[1]
    here = panel.fold == 2
    expected = roc_auc_score(panel.y[here], panel.scores.loc[here, "stacking"])
    assert np.isclose(table.loc["stacking", ("", 1, 2)], expected)


@pytest.mark.slow
def test_intervals_and_tests_of_one_panel_are_those_of_the_metrics():
    scores, y, groups, _ = some_scores()
    found = compare_strategies(scores, y, groups, QUICK, n_boot=100, n_folds=3)
    panel, row = found.panels[0], found.table.loc["stacking"]
    assert len(np.unique(panel.fold)) == 3
    expected = auc_interval(
        y, panel.scores["stacking"], groups, panel.fold, n_boot=100, random_state=0
    )
    np.testing.assert_allclose(row[["auc_low", "auc_high"]].tolist(), expected[1:])
    both = panel.scores[["stacking", "mean"]].to_numpy()
    expected = group_bootstrap_interval(
        lambda y, s: auc(y, s[:, 0], fold=s[:, 2]) - auc(y, s[:, 1], fold=s[:, 2]),
        y, np.column_stack([both, panel.fold]), groups, n_boot=100, random_state=0,
    )  # fmt: skip
    columns = ["over_mean", "over_mean_low", "over_mean_high"]
    np.testing.assert_allclose(row[columns].tolist(), expected)
    test = delong_test(y, *both.T, groups, fold=panel.fold)
    assert np.isclose(row["p_mean_alone"], test.p_value)
    p = found.table["p_mean_alone"].dropna().sort_values()
    assert list(p.index.sort_values()) == sorted([CHOSEN_MEMBER, *QUICK])
    holm = np.minimum(1, np.maximum.accumulate(p * [3, 2, 1]))
    np.testing.assert_allclose(found.table["p_mean"][p.index], holm)


def test_the_best_member_is_the_one_of_highest_auc_on_what_is_judged(found):
    members = found.table[found.table["kind"] == "member"]
    assert found.how["best member"] == members.index[0] == "a"
    ahead = found.table["auc"] - members["auc"].iloc[0]
    np.testing.assert_allclose(found.table["over_best_member"], ahead)


def test_figures_by_value_are_those_of_its_videos(found):
    _, y, _, metadata = some_scores()
    assert set(found.by_group_of) == {"method", "compression"}
    wide = found.by_group_of["compression"]
    assert list(wide.index) == list(found.table.index)
    assert list(wide.columns) == ["0", "1"]
    rows = (metadata["compression"] == 1).to_numpy()  # reals of the same kind
    for name in ("a", "mean"):
        expected = np.mean(
            [
                auc(y[rows], p.scores[name].to_numpy()[rows], fold=p.fold[rows])
                for p in found.panels
            ]
        )
        assert np.isclose(wide.loc[name, "1"], expected)
    long = found.by_value.set_index(["axis", "value", "strategy"])
    line = long.loc[("method", "swap", "stacking")]
    assert (line["n_videos"], line["n_fakes"]) == (120, 60)  # all reals serve
    assert line["auc_low"] < line["auc"] < line["auc_high"]
    expected = line["auc"] - long.loc[("method", "swap", "mean"), "auc"]
    assert np.isclose(line["over_mean"], expected)


def test_the_worst_value_is_told(found):
    wide = found.by_group_of["method"]
    for name, row in found.table.iterrows():
        assert row["worst"] == wide.loc[name].min()
        assert row["worst_at"] == wide.loc[name].idxmin()


@pytest.mark.slow
def test_unseen_methods_stand_beside_seen_ones():
    scores, y, groups, metadata = some_scores()
    found = compare_strategies(
        scores, y, groups, QUICK, metadata, "leave-method-out", n_boot=50, n_folds=3
    )
    assert [panel.name for panel in found.panels] == ["lips", "swap"]
    assert set(found.by_group_of) == {"held out", "compression"}
    expected = found.by_group_of["held out"].mean(axis=1)
    np.testing.assert_allclose(found.table["auc"], expected[found.table.index])
    assert "under unseen methods" in found.verdict
    plain = compare_strategies(scores, y, groups, QUICK, metadata, n_boot=50, n_folds=3)
    of_method = plain.by_group_of["method"]  # the same fits on the same videos
    for name, row in found.table.iterrows():
        expected = of_method.loc[name, ["lips", "swap"]].mean()
        assert np.isclose(found.seen.loc[name, "auc"], expected)
        assert np.isclose(row["over_seen"], row["auc"] - expected)
        assert row["over_seen_low"] <= row["over_seen"] <= row["over_seen_high"]
    moved = found.table.index[found.table["over_seen_low"] != 0]
    assert list(moved) == ["stacking"]  # the others have learned no weights


@pytest.mark.slow
def test_the_cost_of_unseen_methods_has_the_interval_of_the_bootstrap():
    scores, y, groups, metadata = some_scores()
    found, plain = (
        compare_strategies(
            scores, y, groups, QUICK, metadata, protocol, n_boot=60, n_folds=3
        )
        for protocol in ("leave-method-out", "group-kfold")
    )
    seen = plain.panels[0].scores["stacking"].to_numpy()
    unseen = {panel.name: panel for panel in found.panels}

    def change(y, rows):
        parts = []
        for panel in unseen.values():
            score = pd.Series(np.nan, range(180))
            score[panel.rows] = panel.scores["stacking"]
            own = rows[score[rows].notna()]
            of_own, fold = found.y[own], plain.panels[0].fold[own]
            parts.append(
                auc(of_own, score[own], fold=fold) - auc(of_own, seen[own], fold=fold)
            )
        return np.mean(parts)

    expected = group_bootstrap_interval(
        change, y, np.arange(180), groups, n_boot=60, random_state=0
    )
    columns = ["over_seen", "over_seen_low", "over_seen_high"]
    np.testing.assert_allclose(found.table.loc["stacking", columns].tolist(), expected)


def test_the_reals_of_no_method_do_not_hide_the_methods():
    scores, y, groups, metadata = some_scores(90)
    metadata["method"] = metadata["method"].replace("none", "")
    found = compare_strategies(
        scores, y, groups, ["median"], metadata, n_boot=10, n_folds=3
    )
    assert list(found.by_group_of["method"]) == ["lips", "swap"]


@pytest.mark.slow
def test_log_loss_is_set_against_the_mean_on_the_same_draws():
    scores, y, groups, _ = some_scores(90)
    found = compare_strategies(scores, y, groups, QUICK, n_boot=50, n_folds=3)
    both = found.panels[0].scores[["stacking", "mean"]].to_numpy().clip(1e-6, 1 - 1e-6)
    expected = group_bootstrap_interval(
        lambda y, s: log_loss(y, s[:, 0]) - log_loss(y, s[:, 1]),
        y, both, groups, n_boot=50, random_state=0,
    )  # fmt: skip
    columns = [f"log_loss_over_mean{end}" for end in ("", "_low", "_high")]
    np.testing.assert_allclose(found.table.loc["stacking", columns].tolist(), expected)


@pytest.mark.slow
def test_a_table_shows_progress_where_asked_and_on_a_terminal(monkeypatch):
    scores, y, groups, _ = some_scores()

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for verbose in (False, True):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        compare_strategies(
            scores, y, groups, ["median"], n_boot=5, n_folds=3, verbose=verbose
        )
        # the mean, the best member and the median, on three splits
        assert ("fitting strategies" in terminal.getvalue()) == verbose
        assert ("/9 [" in terminal.getvalue()) == verbose
