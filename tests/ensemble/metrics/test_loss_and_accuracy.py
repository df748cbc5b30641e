import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import binomtest, chi2, norm, pearsonr
from sklearn import metrics as theirs

import ensemble.metrics as ours

ALL = [
    ours.auc,
    ours.average_precision,
    ours.equal_error_rate,
    ours.log_loss,
    ours.brier,
    ours.accuracy,
    ours.balanced_accuracy,
    ours.tpr_at_fpr,
    ours.expected_calibration_error,
]
PROBABILISTIC = [ours.log_loss, ours.brier, ours.expected_calibration_error]


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


@pytest.mark.parametrize("fpr", [0, 0.01, 0.1, 0.37, 1])
def test_tpr_at_fpr_is_the_best_threshold(fpr):
    y, score = some_scores()
    found = [
        (score[y == 1] > threshold).mean()
        for threshold in (-1, *score)
        if (score[y == 0] > threshold).mean() <= fpr
    ]
    assert ours.tpr_at_fpr(y, score, fpr) == max(found)


def test_tpr_at_fpr_wants_a_share():
    with pytest.raises(ValueError, match="share from 0 to 1; got 5"):
        ours.tpr_at_fpr([0, 1], [0.1, 0.9], fpr=5)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_expected_calibration_error_bin_by_bin(strategy):
    y, score = some_scores(decimals=6)
    edges = np.linspace(0, 1, 11)
    if strategy == "quantile":
        edges = np.quantile(score, edges)
    total = 0
    for low, high in itertools.pairwise([-1, *edges[1:-1], 2]):
        here = (score > low) & (score <= high)
        if here.any():
            total += here.mean() * abs(score[here].mean() - y[here].mean())
    ours_is = ours.expected_calibration_error(y, score, 10, strategy)
    assert np.isclose(ours_is, total)


def test_expected_calibration_error_of_the_truth_vanishes():
    draw = np.random.default_rng(0)
    score = draw.random(200_000)
    y = draw.random(200_000) < score
    assert ours.expected_calibration_error(y, score) < 0.005
    assert ours.expected_calibration_error(y, score**2) > 0.1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"n_bins": 0}, "1 or more; got 0"), ({"strategy": "equal"}, "got 'equal'")],
)
def test_bad_bins_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ours.expected_calibration_error([0, 1], [0.1, 0.9], **kwargs)


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
    told = metric in (*PROBABILISTIC, ours.accuracy)
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


@pytest.mark.parametrize("metric", PROBABILISTIC)
def test_what_is_no_probability_is_refused(metric):
    with pytest.raises(ValueError, match=r"got 1.5 at row 1"):
        metric([0, 1], [0.5, 1.5])


@pytest.mark.slow
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


def clustered_scores(seed, n_groups=60, same=0.7, ahead=0.0):
    """Groups of one to four videos, of one or both classes, alike within a group."""
    draw = np.random.default_rng(seed)
    groups = np.arange(n_groups).repeat(draw.integers(1, 5, n_groups))
    y = (draw.random(len(groups)) < draw.choice([0.1, 0.5, 0.9], n_groups)[groups]) * 1
    of_group = draw.normal(size=(n_groups, 2))[groups]
    noise = same * of_group + np.sqrt(1 - same**2) * draw.normal(size=(len(y), 2))
    return y, noise + np.outer(y, [1.0, 1.0 + ahead]), groups


def slow_clustered_test(y, scores, groups):
    """Obuchowski (1997), pair by pair: variance of each AUC, and their covariance."""
    names = np.unique(groups)
    kinds = [np.flatnonzero(y == 1), np.flatnonzero(y == 0)]
    n_fake, n_real = map(len, kinds)
    aucs, fakes, reals = [], [], []
    for score in scores.T:
        wins = np.array(
            [
                [(score[f] > score[r]) + 0.5 * (score[f] == score[r]) for r in kinds[1]]
                for f in kinds[0]
            ]
        )
        aucs.append(wins.mean())
        by_fake, by_real = wins.mean(axis=1) - wins.mean(), wins.mean(axis=0)
        by_real = by_real - wins.mean()
        fakes.append([by_fake[groups[kinds[0]] == g].sum() for g in names])
        reals.append([by_real[groups[kinds[1]] == g].sum() for g in names])
    fakes, reals = np.array(fakes), np.array(reals)
    with_fake = len(np.unique(groups[y == 1]))
    with_real = len(np.unique(groups[y == 0]))

    def covariance(i, j):
        s10 = with_fake / ((with_fake - 1) * n_fake) * (fakes[i] @ fakes[j])
        s01 = with_real / ((with_real - 1) * n_real) * (reals[i] @ reals[j])
        s11 = len(names) / (len(names) - 1) * (fakes[i] @ reals[j])
        s11_turned = len(names) / (len(names) - 1) * (fakes[j] @ reals[i])
        crossed = (s11 + s11_turned) / (n_fake * n_real)
        return s10 / n_fake + s01 / n_real + crossed

    variance = covariance(0, 0) + covariance(1, 1) - 2 * covariance(0, 1)
    return *aucs, (aucs[0] - aucs[1]) / np.sqrt(variance)


def slow_delong(y, scores):
    """DeLong et al. (1988): sample covariances of the structural components."""
    pairs = scores[y == 1][:, None] - scores[y == 0][None]
    wins = (pairs > 0) + 0.5 * (pairs == 0)
    of_fakes = np.cov(wins.mean(axis=1), rowvar=False) / (y == 1).sum()
    of_reals = np.cov(wins.mean(axis=0), rowvar=False) / (y == 0).sum()
    contrast = np.array([1, -1])
    aucs = wins.mean(axis=(0, 1))
    variance = contrast @ (of_fakes + of_reals) @ contrast
    return *aucs, (contrast @ aucs) / np.sqrt(variance)


@pytest.mark.parametrize("decimals", [1, 8])
@pytest.mark.parametrize("seed", range(3))
def test_delong_is_its_slow_definition(seed, decimals):
    y, scores, groups = clustered_scores(seed)
    scores = scores.round(decimals)
    result = ours.delong_test(y, *scores.T)
    np.testing.assert_allclose([*result[:2], result.z], slow_delong(y, scores))
    assert np.isclose(result.p_value, 2 * norm.sf(abs(result.z)))
    grouped = ours.delong_test(y, *scores.T, groups)
    expected = slow_clustered_test(y, scores, groups)
    np.testing.assert_allclose([*grouped[:2], grouped.z], expected)
    assert grouped.difference == result.difference == result.first - result.second


def test_delong_interval_is_that_of_the_bootstrap():
    y, scores, groups = clustered_scores(0, n_groups=300, ahead=0.3)
    result = ours.delong_test(y, *scores.T, groups)
    drawn = ours.group_bootstrap_interval(
        lambda y, s: ours.auc(y, s[:, 0]) - ours.auc(y, s[:, 1]),
        y,
        scores,
        groups,
        n_boot=400,
        random_state=0,
    )
    width = result.high - result.low
    np.testing.assert_allclose([result.low, result.high], drawn[1:], atol=0.12 * width)


@pytest.mark.slow
def test_delong_keeps_its_level_in_groups_only_when_told_of_them():
    """Of 300 tests at 5 % of scores equally good, about 15 should cry."""
    told = untold = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        groups = np.arange(60).repeat(5)
        y = groups % 2
        scores = draw.normal(size=(60, 2))[groups] + 0.3 * draw.normal(size=(300, 2))
        scores += y[:, None]
        told += ours.delong_test(y, *scores.T, groups).p_value < 0.05
        untold += ours.delong_test(y, *scores.T).p_value < 0.05
    assert 5 <= told <= 27
    assert untold > 90


def test_delong_takes_videos_with_both_scores():
    y, scores, groups = clustered_scores(0)
    gappy = scores.copy()
    gappy[::5, 0] = gappy[1::7, 1] = np.nan
    both = ~np.isnan(gappy).any(axis=1)
    result = ours.delong_test(y, *gappy.T, groups)
    assert result == ours.delong_test(y[both], *gappy[both].T, groups[both])
    assert result.n_videos == both.sum()


def test_delong_says_when_it_cannot_tell():
    same = ours.delong_test([0, 0, 1, 1], [1, 3, 2, 4], [1, 3, 2, 4])
    assert (same.difference, same.z, same.p_value) == (0, 0, 1)
    perfect = ours.delong_test([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1])
    assert (perfect.difference, perfect.z, perfect.p_value) == (1, np.inf, 0)
    assert np.isnan(ours.delong_test([1, 1], [1, 2], [2, 1]).p_value)
    one_fake = ours.delong_test([0, 0, 0, 1], [1, 3, 2, 2], [1, 2, 3, 4])
    assert one_fake.difference == -0.5
    assert np.isnan(one_fake.p_value)
    one_group = ours.delong_test([0, 1, 0, 1], [1, 3, 2, 2], [1, 2, 3, 4], [0] * 4)
    assert np.isnan(one_group.p_value)
    with pytest.raises(ValueError, match="level must be"):
        ours.delong_test([0, 1], [0, 1], [0, 1], level=95)


def test_mcnemar_is_the_exact_test_of_the_videos_that_one_has_right():
    y, first = some_scores()
    second = some_scores(seed=1)[1]
    first[:10] = second[5:15] = np.nan
    result = ours.mcnemar_test(y, first, second, threshold=(0.5, 0.6))
    both = slice(15, None)
    right = (first[both] > 0.5) == y[both], (second[both] > 0.6) == y[both]
    only = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
    assert np.isclose(result.p_value, binomtest(only[0], sum(only)).pvalue)
    np.testing.assert_allclose(result[:2], [r.mean() for r in right])
    assert np.isclose(result.difference, result.first - result.second)
    assert result.n_videos == 185
    grouped = ours.mcnemar_test(y, first, second, np.arange(200), (0.5, 0.6))
    asymptotic = chi2.sf((only[0] - only[1]) ** 2 / sum(only), df=1)
    assert np.isclose(grouped.p_value, asymptotic)


@pytest.mark.slow
def test_mcnemar_keeps_its_level_in_groups_only_when_told_of_them():
    """Of 300 tests at 5 % of scores equally good, about 15 should cry."""
    told = untold = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        groups = np.arange(60).repeat(5)
        scores = draw.random((60, 2))[groups]  # one score for all five videos
        y = groups % 2
        told += ours.mcnemar_test(y, *scores.T, groups).p_value < 0.05
        untold += ours.mcnemar_test(y, *scores.T).p_value < 0.05
    assert 5 <= told <= 27
    assert untold > 90


def test_mcnemar_of_equal_scores_and_of_none():
    for groups in (None, [1, 1, 2]):
        same = ours.mcnemar_test([0, 1, 1], [0.1, 0.9, 0.2], [0.1, 0.9, 0.2], groups)
        assert (same.difference, same.p_value) == (0, 1)
    assert np.isnan(ours.mcnemar_test([0, 1], [0.1, np.nan], [np.nan, 1]).p_value)


def test_diversity_pair_by_pair():
    y, first = some_scores()
    second, third = some_scores(seed=1)[1], np.where(y == 1, 0.9, 0.1)
    first[:20] = second[10:40] = np.nan
    table = pd.DataFrame({"a": first, "b": second, "c": third})
    pairs = ours.diversity(table, y)
    assert pairs[["first", "second"]].to_numpy().tolist() == [
        ["a", "b"],
        ["a", "c"],
        ["b", "c"],
    ]
    both = ~np.isnan(first) & ~np.isnan(second)
    right = [(s[both] > 0.5) == y[both] for s in (first, second)]
    (d, only_second), (only_first, a) = theirs.confusion_matrix(*right) / both.sum()
    row = pairs.iloc[0]
    assert row["n_videos"] == both.sum() == 160
    expected = pearsonr(first[both], second[both]).statistic
    assert np.isclose(row["score_correlation"], expected)
    # the correlation of two yes-or-no answers is Matthews' coefficient
    assert np.isclose(row["correlation"], theirs.matthews_corrcoef(*right))
    cross, total = a * d - only_first * only_second, a * d + only_first * only_second
    assert np.isclose(row["q_statistic"], cross / total)
    assert np.isclose(row["disagreement"], only_first + only_second)
    assert np.isclose(row["double_fault"], d)
    always_right = pairs.iloc[1]
    assert always_right[["correlation", "q_statistic"]].isna().all()
    assert always_right["double_fault"] == 0


def test_diversity_takes_a_threshold_per_detector_and_names_of_labels():
    y, first = some_scores()
    table = np.column_stack([first, some_scores(seed=1)[1]])
    moved = ours.diversity(np.add(table, [0.0, 0.2]), y, threshold=[0.5, 0.7])
    pd.testing.assert_frame_equal(moved, ours.diversity(table, y))
    named = ours.diversity(table, np.where(y == 1, "x", "y"), fake_label="x")
    pd.testing.assert_frame_equal(named, ours.diversity(table, y))


def test_the_oracle_is_right_where_any_detector_is():
    y, first = some_scores()
    second = some_scores(seed=1)[1]
    table = np.column_stack([first, second])
    double_fault = ours.diversity(table, y)["double_fault"][0]
    assert np.isclose(ours.oracle_accuracy(table, y), 1 - double_fault)
    table[:, 1] = np.nan
    assert np.isclose(ours.oracle_accuracy(table, y), ours.accuracy(y, first))
    assert np.isnan(ours.oracle_accuracy(np.full((2, 2), np.nan), [0, 1]))


def test_detectors_without_common_videos_have_no_diversity():
    pairs = ours.diversity([[0.1, np.nan], [np.nan, 0.9]], [0, 1])
    assert pairs["n_videos"].tolist() == [0]
    assert pairs.iloc[0, 3:].isna().all()
    assert ours.diversity([[0.1], [0.9]], [0, 1]).empty


@pytest.mark.parametrize(
    ("table", "y", "threshold", "message"),
    [
        ([0.1, 0.9], [0, 1], 0.5, r"shape \(n_videos, n_detectors\)"),
        ([[0.1, 0.9]], [0, 1], 0.5, "one label per row of the table; got 2 for 1"),
        ([[0.1, 0.9]], [0], [0.5], r"shape \(2,\)"),
    ],
)
def test_bad_tables_are_refused(table, y, threshold, message):
    with pytest.raises(ValueError, match=message):
        ours.diversity(table, y, threshold)
