from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from ensemble.combiners.strategies import MEAN
from ensemble.comparison.evaluation import Panel
from ensemble.comparison.statistics import holm, interval_ends, measure
from ensemble.metrics import auc
from ensemble.metrics.bootstrap import drawn_metrics, group_draws

LIFT = 1.2  # of the fakes' scores, in standard deviations


def some_panel(draw, lifts, n_groups=80, n_each=3, same=0.6, n_folds=1):
    """Scores alike within groups of one class each, so that the AUC is known.

    Each fold has a scale of its own.
    """
    codes = np.arange(n_groups).repeat(n_each)
    y = codes % 2
    of_group = draw.normal(size=(n_groups, len(lifts)))[codes]
    noise = draw.normal(size=(len(y), len(lifts)))
    scores = np.sqrt(same) * of_group + np.sqrt(1 - same) * noise + np.outer(y, lifts)
    fold = codes // 2 % n_folds
    scores += draw.normal(size=(n_folds, len(lifts)))[fold] * (n_folds > 1)
    names = ["a", "b", "mean"][-len(lifts) :]
    table = pd.DataFrame(norm.cdf(scores, loc=0.5), columns=names)
    rows = np.arange(len(y))
    return Panel("", 0, rows, y, table, fold), codes


def figures(seed, lifts, n_folds, n_boot=200, level=0.9):
    panel, codes = some_panel(np.random.default_rng(seed), lifts, n_folds=n_folds)
    nothing = pd.DataFrame(index=panel.rows)
    names = [name for name in panel.scores if name != "mean"]
    return measure([panel], names, codes, nothing, n_boot, level, seed).table


@pytest.mark.slow
@pytest.mark.parametrize("n_folds", [1, 5])
def test_intervals_hold_the_truth_as_often_as_they_say(monkeypatch, n_folds):
    """Of 300 intervals of level 0.9, about 270: between 251 and 285 by chance."""
    monkeypatch.setattr(
        "ensemble.comparison.statistics.METRICS", ("auc", "log_loss", "brier")
    )
    truth = NormalDist().cdf(LIFT / np.sqrt(2))
    ahead = truth - NormalDist().cdf(0.8 / np.sqrt(2))
    held = {"auc": 0, "over_mean": 0}
    for seed in range(300):
        row = figures(seed, [LIFT, 0.8], n_folds).loc["b"]
        held["auc"] += row["auc_low"] <= truth <= row["auc_high"]
        held["over_mean"] += row["over_mean_low"] <= ahead <= row["over_mean_high"]
    assert all(251 <= times <= 285 for times in held.values()), held


@pytest.mark.slow
@pytest.mark.parametrize("n_folds", [1, 5])
def test_tests_over_several_sets_cry_as_often_as_they_say(monkeypatch, n_folds):
    """Of 300 tests at 10 % of strategies equally good, about 30: 16 to 45 by chance."""
    monkeypatch.setattr("ensemble.comparison.statistics.METRICS", ("auc", "log_loss"))
    cried = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        panel, codes = some_panel(draw, [LIFT, LIFT, LIFT], n_folds=n_folds)
        panels = []
        for number in range(3):  # the reals are in all three sets
            rows = np.flatnonzero((panel.y == 0) | (codes % 3 == number))
            scores = panel.scores.iloc[rows].set_axis(rows)
            y, fold = panel.y[rows], panel.fold[rows]
            panels.append(Panel(f"{number}", 0, rows, y, scores, fold))
        nothing = pd.DataFrame(index=panel.rows)
        table = measure(panels, ["a"], codes, nothing, 2, 0.9, 0).table
        cried += table.loc["b", "p_mean_alone"] < 0.1
    assert 16 <= cried <= 45


def test_holm_by_hand():
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.005])
    corrected = [0.03, 0.06, np.nan, 0.06, 0.02]
    np.testing.assert_allclose(holm(p), corrected)
    assert holm(np.array([0.5, 0.9])).tolist() == [1.0, 1.0]
    assert np.isnan(holm(np.array([np.nan]))).all()


def many_guesses(seed, n_strategies=12):
    """Strategies that know nothing, on 60 groups of two videos."""
    draw = np.random.default_rng(seed)
    y, codes, rows = np.arange(120) // 2 % 2, np.arange(120) // 2, np.arange(120)
    names = ["member", "mean", *(f"s{i}" for i in range(n_strategies))]
    scores = pd.DataFrame(draw.random((120, len(names))), columns=names)
    panel = Panel("", 0, rows, y, scores, 0 * rows)
    found = measure([panel], ["member"], codes, pd.DataFrame(index=rows), 60, 0.9, 0)
    return found.table.loc[names[2:], "auc"].max(), found.chosen_anew


@pytest.mark.slow
def test_the_best_of_many_guesses_is_a_guess_where_it_was_not_chosen():
    picked, anew = zip(*(many_guesses(seed) for seed in range(12)), strict=True)
    assert np.mean(picked) > 0.56
    assert abs(np.mean([one["auc"] for one in anew]) - 0.5) < 0.03
    assert abs(np.mean([one["over_mean"] for one in anew])) < 0.04


def test_a_strategy_that_is_really_best_is_so_where_it_was_not_chosen():
    draw = np.random.default_rng(0)
    panel, codes = some_panel(draw, [0.5, 0.5, 0.5])
    panel.scores["good"] = norm.cdf(draw.normal(size=len(codes)) + 2 * panel.y, 1)
    panel.scores["poor"] = draw.random(len(codes))
    nothing = pd.DataFrame(index=panel.rows)
    found = measure([panel], ["a", "b"], codes, nothing, 100, 0.9, 0)
    assert found.chosen_anew["most often"] == "good"
    assert found.chosen_anew["share"] == 1
    assert np.isclose(
        found.chosen_anew["auc"], found.table.loc["good", "auc"], atol=0.02
    )


def test_an_interval_that_most_draws_cannot_tell_is_none():
    draws = np.array([[0.5, np.nan], [0.6, np.nan], [0.7, 0.6], [np.nan, 0.7]])
    low, high = interval_ends(draws, 0.5)
    np.testing.assert_allclose([low[0], high[0]], [0.55, 0.65])
    assert np.isnan([low[1], high[1]]).all()


def test_a_value_is_measured_by_the_panels_that_can_tell():
    """In the second repeat the fakes of one method are in folds without a real."""
    draw = np.random.default_rng(0)
    panel, codes = some_panel(draw, [LIFT, LIFT], n_folds=2)
    method = pd.DataFrame({"method": np.where(codes < 8, "rare", "common")})
    fold = np.where((panel.y == 1) & (codes < 8), 2, panel.fold)
    other = Panel("", 1, panel.rows, panel.y, panel.scores, fold)
    found = measure([panel, other], ["b"], codes, method, 20, 0.9, 0).by_value
    alone = measure([panel], ["b"], codes, method, 20, 0.9, 0).by_value
    figures, expected = (
        table.set_index(["value", "strategy"])["auc"] for table in (found, alone)
    )
    assert figures["rare"].notna().all()
    pd.testing.assert_series_equal(figures["rare"], expected["rare"])


def test_folds_count_by_their_pairs_and_those_of_one_class_not_at_all():
    panel, codes = some_panel(np.random.default_rng(1), [LIFT, LIFT], n_folds=2)
    fold = np.where(panel.y == 1, panel.fold, np.where(codes < 40, panel.fold, 2))
    whole = Panel("", 0, panel.rows, panel.y, panel.scores, fold)
    found = measure([whole], ["b"], codes, pd.DataFrame(index=panel.rows), 5, 0.9, 0)
    kept = fold < 2
    assert np.isclose(found.ranked, kept.mean())
    expected = auc(panel.y[kept], panel.scores["b"][kept], fold=fold[kept])
    assert np.isclose(found.table.loc["b", "auc"], expected)


def calibration_of(bend, n_videos, seed):
    """Interval and estimate of a score's calibration error, and the percentiles."""
    draw = np.random.default_rng(seed)
    score = np.clip(draw.beta(0.7, 0.7, n_videos), 1e-6, 1 - 1e-6)
    y = (draw.random(n_videos) < bend(score)).astype(int)
    rows = np.arange(n_videos)
    scores = pd.DataFrame({"a": score, MEAN: score})
    panel = Panel("", 0, rows, y, scores, np.zeros(n_videos, int))
    measured = measure([panel], ["a"], rows, pd.DataFrame(index=rows), 200, 0.95, seed)
    row = measured.table.loc["a"]
    key = "expected_calibration_error"
    drawn = group_draws(n_videos, 200, np.random.RandomState(seed))
    percentiles = np.quantile(
        drawn_metrics(y, score, drawn, [key])[key], [0.025, 0.975]
    )
    return row[f"{key}_low"], row[key], row[f"{key}_high"], percentiles


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("power", [1, 1.5])
def test_the_interval_of_the_calibration_error_holds_its_estimate(power):
    def bend(score):
        return expit(power * logit(score))

    draw = np.random.default_rng(0)
    many = draw.beta(0.7, 0.7, 200_000)
    place = np.minimum((many * 15).astype(int), 14)
    truth = np.abs(np.bincount(place, many - bend(many))).sum() / len(many)
    held, held_by_percentiles = 0, 0
    for seed in range(25):
        low, estimate, high, percentiles = calibration_of(bend, 150, seed)
        assert 0 <= low <= estimate <= high
        held += low <= truth <= high
        held_by_percentiles += percentiles[0] <= truth <= percentiles[1]
    assert held >= held_by_percentiles
    if power > 1:
        assert held >= 0.65 * 25
