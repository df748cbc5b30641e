"""Intervals of P(fake), on simulated scores of which the truth is known."""

import numpy as np
import pytest
from scipy.special import expit, logit

from ensemble import ScorePipeline

SHIFT = 0.5  # spread of what the videos of a group share, in log-odds
SKILL = 1.5  # how far the classes are apart


def draw_scores(seed, n_groups=50, size=4):
    """Two detectors; each group has one label and one shift of its own."""
    draw = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), size)
    y = draw.permutation(np.arange(n_groups) % 2)[groups]
    shared = draw.normal(0, SHIFT, n_groups)[groups] + SKILL * (y - 0.5)
    return expit(shared[:, None] + draw.normal(size=(len(y), 2))), y, groups


def true_p_fake(scores):
    """Bayes' rule: the mean of the log-odds is normal in each class."""
    variance = SHIFT**2 + 1 / 2
    return expit(SKILL * logit(scores).mean(axis=1) / variance)


def coverage(method, seeds, **groups):
    covered = []
    for seed in seeds:
        rule = ScorePipeline("log_odds", method, n_boot=60)
        rule.fit(*draw_scores(seed, **groups))
        new = draw_scores(1000 + seed)[0]
        judged = rule.judge(new, contributions=False)
        truth = true_p_fake(new)
        covered.append(judged["lower"].le(truth) & judged["upper"].ge(truth))
    return np.mean(covered)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["platt", pytest.param("isotonic", marks=pytest.mark.slow)]
)
def test_intervals_cover_the_truth_of_simulated_scores(method):
    assert coverage(method, range(15)) > 0.87


@pytest.mark.slow
@pytest.mark.parametrize("method", ["platt", "beta", "isotonic", "venn_abers"])
@pytest.mark.parametrize("n_groups", [20, 50, 200])
def test_intervals_cover_the_truth_with_few_and_many_groups(method, n_groups):
    assert coverage(method, range(60), n_groups=n_groups) > 0.9


@pytest.mark.slow
def test_intervals_are_narrower_with_more_groups_and_lower_levels():
    def width(n_groups, level=0.95):
        rule = ScorePipeline("log_odds", level=level, n_boot=60)
        judged = rule.fit(*draw_scores(0, n_groups)).judge(draw_scores(1)[0])
        return (judged["upper"] - judged["lower"]).mean()

    assert width(20) > 1.5 * width(100)
    assert width(100) > 1.3 * width(100, level=0.7)


@pytest.mark.slow
def test_videos_of_a_group_count_once():
    """The same 40 groups with each video four times are known no better."""
    scores, y, groups = draw_scores(3, 40, 1)
    times = np.repeat(np.arange(40), 4)
    jitter = np.random.default_rng(0).normal(0, 1e-6, (160, 2))
    few = ScorePipeline("log_odds").fit(scores, y, groups)
    many = ScorePipeline("log_odds").fit(
        np.clip(scores[times] + jitter, 0, 1), y[times], groups[times]
    )
    new = draw_scores(1)[0]
    widths = [
        (judged["upper"] - judged["lower"]).mean()
        for judged in (rule.judge(new) for rule in (few, many))
    ]
    assert widths[1] > 0.8 * widths[0]


@pytest.mark.slow
def test_many_rows_have_the_interval_that_they_have_one_by_one(monkeypatch):
    rule = ScorePipeline("log_odds", n_boot=60)
    new = draw_scores(1)[0]
    together = rule.fit(*draw_scores(0, 600, 10)).judge(new)
    monkeypatch.setattr("ensemble.pipeline.intervals._MOST_ROWS", 10_000)
    one_by_one = rule.fit(*draw_scores(0, 600, 10)).judge(new)
    for end in ("lower", "upper"):
        np.testing.assert_allclose(together[end], one_by_one[end], atol=5e-3)


@pytest.mark.slow
def test_equal_videos_without_groups_count_each():
    """Thousands of hard votes are a few different rows, and known like thousands."""
    draw = np.random.default_rng(0)
    y = np.arange(4000) % 2
    votes = (draw.random((4000, 3)) < np.where(y == 1, 0.7, 0.3)[:, None]).astype(float)
    width = []
    for groups in (None, np.arange(4000)):
        rule = ScorePipeline("log_odds", n_boot=60).fit(votes, y, groups)
        judged = rule.judge(np.unique(votes, axis=0))
        width.append((judged["upper"] - judged["lower"]).mean())
    assert width[0] < 0.06
    assert width[0] == pytest.approx(width[1], rel=0.4)
    weighted = ScorePipeline("log_odds", n_boot=60)
    different, weight = np.unique(
        np.column_stack([votes, y]), axis=0, return_counts=True
    )
    weighted.fit(different[:, :3], different[:, 3], sample_weight=weight)
    judged = weighted.judge(np.unique(votes, axis=0))
    assert (judged["upper"] - judged["lower"]).mean() < 0.06


def test_few_groups_and_no_calibration_give_no_interval():
    judged = ScorePipeline("log_odds").fit(*draw_scores(0, 8, 10)).judge([[0.9, 0.8]])
    assert judged[["lower", "upper"]].to_numpy().tolist() == [[0.0, 1.0]]
    rule = ScorePipeline("log_odds", calibration=None).fit(*draw_scores(0))
    assert np.isnan(rule.judge([[0.9, 0.8]])[["lower", "upper"]].to_numpy()).all()
