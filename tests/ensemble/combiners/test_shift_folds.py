import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from ensemble import ScorePipeline
from ensemble.combiners import AutoCombiner, Stacking
from ensemble.combiners.parts.rows import Rows, inner_splits
from ensemble.combiners.super_learner.shift_folds import shift_splits


def make_rows(n_groups=12, methods=3, crossed=True, seed=0):
    """Each group has a real, and a fake of every method or of one."""
    draw = np.random.default_rng(seed)
    groups, is_fake, shift = [], [], []
    for group in range(n_groups):
        kinds = range(1, methods + 1) if crossed else [1 + group % methods]
        for method in (0, *kinds):
            groups.append(group)
            is_fake.append(int(method > 0))
            shift.append(method)
    n = len(groups)
    scores, weight = draw.random((n, 2)), np.ones(n)
    codes = [np.array(one) for one in (is_fake, groups, shift)]
    return Rows(scores, codes[0], codes[1], weight, shift=codes[2])


def make_scores(y, n_detectors=3, gap=0.5, seed=0):
    noise = np.random.default_rng(seed).normal(size=(len(y), n_detectors))
    return np.clip(0.5 + gap * (y[:, None] - 0.5) + 0.2 * noise, 0, 1)


@pytest.mark.parametrize("crossed", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_no_group_and_no_method_is_on_both_sides(crossed, seed):
    rows = make_rows(crossed=crossed, seed=seed)
    splits, _ = shift_splits(rows, 5, seed)
    tested = np.concatenate([test for _, test in splits])
    assert len(set(tested)) == len(tested) == len(rows)
    for train, test in splits:
        assert set(rows.is_fake[train]) == {0, 1}
        assert not set(rows.groups[train]) & set(rows.groups[test])
        fakes = test[rows.is_fake[test] == 1]
        assert not set(rows.shift[train]) & set(rows.shift[fakes])


def test_the_name_of_a_method_changes_no_score():
    draw = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    groups = np.tile(np.repeat([0, 1], 20), 2)
    scores = np.clip(
        0.5 + 0.4 * (y[:, None] - 0.5) + 0.2 * draw.normal(size=(80, 3)), 0, 1
    )
    found = []
    for names in (["real", "df", "f2f"], ["real", "f2f", "df"]):
        shift = np.repeat(names, [40, 20, 20])
        found.append(
            AutoCombiner(["calibrated", "logistic"]).fit(scores, y, groups, shift=shift)
        )
        assert "unseen values of shift" in found[-1].reason_
    np.testing.assert_allclose(*(one.fake_score(scores) for one in found), atol=0.02)


def test_shift_that_says_nothing_is_refused():
    scores, y = np.random.default_rng(0).random((20, 2)), np.arange(20) % 2
    for shift, match in (
        (np.zeros(20), "two values or more among the fakes or among the reals"),
        ([None, *["a"] * 19], "1 of 20 have no value"),
        (np.zeros(3), r"one value per video, shape \(20,\)"),
    ):
        with pytest.raises(ValueError, match=match):
            AutoCombiner().fit(scores, y, shift=shift)


@pytest.mark.slow
def test_a_rule_learned_under_shift_errs_on_its_own_videos_as_it_promises():
    draw = np.random.default_rng(0)
    n, y = 3000, (np.arange(3000) % 10 > 0).astype(int)
    part = draw.integers(0, 2, n)
    # reals are alike; part 1 has fakes that look nearly as real
    hard = (part == 1) & (draw.random(n) < 0.2)
    log_odds = np.where(y == 0, -6.0, np.where(hard, -2.0, 7.0))[:, None]
    log_odds = log_odds + draw.normal(0, 1.5, (n, 3))
    scores = expit(log_odds)
    rule = ScorePipeline("logistic", n_boot=20).fit(
        scores, y, groups=np.arange(n), shift=part
    )
    verdict = rule.judge(scores)["verdict"]
    alarms = np.mean(verdict[y == 0] == "FAKE")
    assert alarms <= rule.rates_.loc["false alarm", "high"] + 0.05
    assert rule.doubt_ == ""


def test_a_rule_that_breaks_its_promise_says_nothing():
    draw = np.random.default_rng(0)
    y = np.arange(400) % 2
    scores = np.clip(
        0.5 + 0.5 * (y[:, None] - 0.5) + 0.2 * draw.normal(size=(400, 2)), 0, 1
    )
    rule = ScorePipeline("logistic", n_boot=20)
    rule.fit(scores, y, groups=np.arange(400), shift=np.arange(400) // 2 % 4)
    assert rule.doubt_ == ""
    rule.threshold = 0.001  # calls all fake, held out and seen alike
    assert rule.doubt_ == ""
    rule.threshold = None
    rule._own_score = 1 - rule._own_score
    assert "held out by shift" in rule.doubt_
    assert set(rule.judge(scores)["verdict"]) == {"UNSURE"}


def test_rows_of_equal_scores_are_in_one_fold():
    draw = np.random.default_rng(0)
    y = np.arange(600) % 2
    votes = (draw.random((600, 5)) < np.where(y[:, None] == 1, 0.7, 0.3)).astype(float)
    rows = Rows(votes, y, None, np.ones(600))
    for train, test in inner_splits(rows, 5, 0):
        assert not set(map(tuple, votes[train])) & set(map(tuple, votes[test]))
    table = AutoCombiner(["calibrated", "pairs", "small_trees"]).fit(votes, y).table_
    assert table["auc"].min() > 0.6  # and not far below .5


def test_a_missing_score_is_no_zero_to_trees_that_never_lacked_one():
    draw = np.random.default_rng(0)
    y = np.arange(400) % 2
    scores = np.clip(
        0.5 + 0.5 * (y[:, None] - 0.5) + 0.2 * draw.normal(size=(400, 3)), 0, 1
    )
    new = np.array(
        [[np.nan, np.nan, 0.95], [np.nan, 0.95, 0.95], [0.95, np.nan, np.nan]]
    )
    for meta_model in ("forest", "lightgbm"):
        combiner = Stacking(meta_model, scale=None, monotone=False, n_rounds=30)
        assert combiner.fit(scores, y).fake_score(new).min() > 0.8
    gaps = scores.copy()
    gaps[draw.random(scores.shape) < 0.2] = np.nan
    gaps[np.isnan(gaps).all(axis=1)] = 0.5
    score = Stacking("forest").fit(gaps, y).fake_score(gaps)
    assert roc_auc_score(y, score) > 0.9


def test_a_forest_is_brought_to_probability_by_groups_that_it_has_not_seen():
    draw = np.random.default_rng(0)
    y = np.arange(1200) % 2
    groups = np.arange(1200) // 4
    scores = expit(np.outer(y - 0.5, [1.5, 1.0, 1.0]) + draw.normal(size=(1200, 3)))
    old, new = slice(0, 600), slice(600, None)
    forest = Stacking("forest").fit(scores[old], y[old], groups=groups[old])
    raw = clone(forest).fit(scores[old], y[old], groups=groups[old])
    raw.line_ = np.array([0.0, 1.0])
    assert forest.n_inner_folds_ == 5
    calibrated, plain = (one.fake_score(scores[new]) for one in (forest, raw))
    assert roc_auc_score(y[new], calibrated) == roc_auc_score(y[new], plain)
    best = LogisticRegression(C=np.inf).fit(logit(plain)[:, None], y[new])
    assert forest.line_[1] == pytest.approx(best.coef_[0, 0], abs=0.3)
    assert log_loss(y[new], calibrated) < log_loss(y[new], plain) + 0.005


def test_a_forest_of_few_patterns_knows_what_it_can():
    draw, y = np.random.default_rng(0), np.arange(1000) % 2
    votes = (draw.random((1000, 2)) < 0.1) ^ (y[:, None] == 1)
    forest = Stacking("forest").fit(votes.astype(float), y, groups=np.arange(1000))
    score = forest.fake_score(votes.astype(float))
    assert log_loss(y, score) < 0.3
    merged = Stacking("forest").fit(votes.astype(float), y)  # four rows, weighted
    assert roc_auc_score(y, merged.fake_score(votes.astype(float))) > 0.9
    apart = np.where(np.repeat([0, 1] * 2, 2) == 1, 0.9, 0.1)[:, None]
    few = np.hstack([apart, apart]) + 0.03 * draw.normal(size=(8, 2))
    four = np.arange(8) // 2
    score = Stacking("forest").fit(few, four % 2, groups=four).fake_score(few)
    assert score[four % 2 == 1].min() >= score[four % 2 == 0].max()
    assert score[four % 2 == 0].max() <= 0.6
    same = np.full((100, 2), 0.5)
    score = Stacking("forest").fit(same, (np.arange(100) < 90) * 1).fake_score(same)
    assert score == pytest.approx(np.full(100, 0.9), abs=0.01)


@pytest.mark.slow
def test_under_shift_of_a_public_table_reals_are_not_called_fake(shared):
    table = pd.read_csv(shared / "data/scores/asvspoof19_3systems.csv.gz")
    table = table.sample(3000, random_state=0)
    scores, is_fake = table.filter(like="p_"), table["label"].to_numpy()
    rule = ScorePipeline("calibrated", n_boot=20)
    rule.fit(scores, is_fake, groups=np.arange(3000), shift=table["part"])
    verdict = rule.judge(scores)["verdict"]
    assert np.mean(verdict[is_fake == 0] == "FAKE") < 0.2  # all of them, once
    assert np.mean(verdict[is_fake == 1] == "REAL") < 0.1
