import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from ensemble import metrics as ours

ALL = [
    ours.auc,
    ours.average_precision,
    ours.equal_error_rate,
    ours.log_loss,
    ours.brier,
    ours.accuracy,
    ours.balanced_accuracy,
]


def some_scores(n=200, seed=0, decimals=2):
    draw = np.random.default_rng(seed)
    y = np.append([0, 1], draw.integers(0, 2, n - 2))
    return y, (draw.normal(0.4 + 0.2 * y, 0.25, n)).clip(0, 1).round(decimals)


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_scikit_learn(seed):
    y, score = some_scores(seed=seed)
    said = score > 0.5
    assert np.isclose(ours.auc(y, score), theirs.roc_auc_score(y, score))
    assert np.isclose(
        ours.average_precision(y, score), theirs.average_precision_score(y, score)
    )
    clipped = score.clip(1e-15, 1 - 1e-15)
    assert np.isclose(ours.log_loss(y, score), theirs.log_loss(y, clipped))
    assert np.isclose(ours.brier(y, score), theirs.brier_score_loss(y, score))
    assert np.isclose(ours.accuracy(y, score), theirs.accuracy_score(y, said))
    assert np.isclose(
        ours.balanced_accuracy(y, score), theirs.balanced_accuracy_score(y, said)
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 12), decimals=st.integers(0, 2))
def test_auc_counts_pairs(seed, n, decimals):
    y, score = some_scores(n, seed, decimals)
    pairs = score[y == 1][:, None] - score[y == 0][None]
    assert np.isclose(ours.auc(y, score), np.mean((pairs > 0) + 0.5 * (pairs == 0)))


@pytest.mark.parametrize(
    ("y", "score", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], 1.0),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([0] * 10 + [1] * 10, [*range(1, 10), 15, 5, *range(11, 20)], 0.1),
    ],
)
def test_equal_error_rate_by_hand(y, score, expected):
    assert np.isclose(ours.equal_error_rate(y, np.array(score) / 20), expected)


def test_equal_error_rate_lies_where_the_error_rates_cross():
    draw = np.random.default_rng(0)
    y = np.arange(4000) % 2
    score = draw.normal(y, 1)  # at 0.5 both errors are those of a normal beyond 0.5
    accused = (score[y == 0] > 0.5).mean()
    missed = (score[y == 1] <= 0.5).mean()
    rate = ours.equal_error_rate(y, score)
    assert min(accused, missed) - 0.005 <= rate <= max(accused, missed) + 0.005


@pytest.mark.parametrize("metric", ALL)
def test_videos_without_a_score_are_left_out(metric):
    y, score = some_scores()
    gappy = score.copy()
    gappy[::3] = np.nan
    scored = ~np.isnan(gappy)
    assert metric(y, gappy) == metric(y[scored], score[scored])


@pytest.mark.parametrize("metric", ALL)
def test_words_for_labels_give_the_same(metric):
    y, score = some_scores()
    assert metric(np.where(y == 1, "FAKE", "REAL"), score) == metric(y, score)
    named = metric(np.where(y == 1, "a", "b"), score, fake_label="a")
    assert named == metric(y, score)


@pytest.mark.parametrize("metric", ALL)
def test_what_cannot_be_told_is_nan(metric):
    assert np.isnan(metric([0, 1], [np.nan, np.nan]))
    of_one_class = metric([1, 1], [0.2, 0.9])
    told = metric in (ours.log_loss, ours.brier, ours.accuracy)
    assert np.isfinite(of_one_class) == told


def test_evaluate_reports_coverage_and_every_metric():
    y, score = some_scores()
    score[:50] = np.nan
    values = ours.evaluate(y, score)
    assert (values["n"], values["n_scored"], values["coverage"]) == (200, 150, 0.75)
    for metric in ALL:
        assert values[metric.__name__] == metric(y, score)
    stricter = ours.evaluate(y, score, threshold=0.8)
    assert stricter["accuracy"] == ours.accuracy(y, score, 0.8)


@pytest.mark.parametrize("metric", ALL)
def test_lengths_must_agree(metric):
    with pytest.raises(ValueError, match="one entry per label"):
        metric([0, 1, 1], [0.5, 0.5])


@pytest.mark.parametrize("metric", [ours.log_loss, ours.brier])
def test_what_is_no_probability_is_refused(metric):
    with pytest.raises(ValueError, match=r"got 1.5 at row 1"):
        metric([0, 1], [0.5, 1.5])


def test_the_interval_has_its_coverage():
    """Of 200 intervals of level 0.8 for a mean of groups, about 160 hold the truth."""
    held = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        score = draw.normal(0, 1, 40).repeat(3)
        interval = ours.group_bootstrap_interval(
            lambda y, s: s.mean(),
            np.zeros(120),
            score,
            np.arange(40).repeat(3),
            n_boot=200,
            level=0.8,
            random_state=seed,
        )
        held += interval.low <= 0 <= interval.high
    assert 140 <= held <= 180


def test_the_interval_of_groups_is_wider_than_that_of_videos():
    y, score = some_scores(60)
    y, score, groups = y.repeat(5), score.repeat(5), np.arange(60).repeat(5)
    of_groups = ours.group_bootstrap_interval(
        ours.auc, y, score, groups, n_boot=300, random_state=0
    )
    of_videos = ours.group_bootstrap_interval(
        ours.auc, y, score, n_boot=300, random_state=0
    )
    assert of_groups.estimate == of_videos.estimate == ours.auc(y, score)
    width = of_groups.high - of_groups.low
    assert width > 1.8 * (of_videos.high - of_videos.low)


def test_the_interval_of_a_difference_is_paired():
    y, score = some_scores()
    both = np.column_stack([score, score + 0.001])
    interval = ours.group_bootstrap_interval(
        lambda y, s: ours.auc(y, s[:, 0]) - ours.auc(y, s[:, 1]),
        y,
        both,
        n_boot=50,
        random_state=0,
    )
    assert interval == (0, 0, 0)


def test_intervals_are_seeded_and_refuse_what_cannot_be_told():
    y, score = some_scores(30)

    def interval(**kwargs):
        return ours.group_bootstrap_interval(ours.auc, y, score, n_boot=20, **kwargs)

    assert interval(random_state=1) == interval(random_state=1)
    assert interval(random_state=1) != interval(random_state=2)
    with pytest.raises(ValueError, match="level must be"):
        interval(level=95)
    with pytest.raises(ValueError, match="more groups of both classes"):
        ours.group_bootstrap_interval(
            ours.auc, [0, 1, 1], [0.1, 0.2, 0.3], [0, 1, 1], random_state=0
        )
