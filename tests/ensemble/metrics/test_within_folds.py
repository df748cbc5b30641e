import itertools

import numpy as np
import pytest
from scipy.stats import kstest

from ensemble import metrics
from ensemble.metrics.bootstrap import METRICS, RANK_METRICS, drawn_metrics, group_draws
from ensemble.metrics.within_folds import (
    auc_error,
    fold_auc,
    folds_of_table,
    numbered_folds,
    outranked,
)
from ensemble.scores import score_table

RANKED = {
    "auc": metrics.auc,
    "average_precision": metrics.average_precision,
    "equal_error_rate": metrics.equal_error_rate,
    "tpr_at_fpr": metrics.tpr_at_fpr,
    "tpr_at_fpr_10": lambda y, s, **k: metrics.tpr_at_fpr(y, s, 0.1, **k),
}


def some_scores(seed, n=60, n_folds=4, decimals=1):
    """Scores with ties, whole-number weights, folds of which the last has no fake."""
    draw = np.random.default_rng(seed)
    y, fold = draw.integers(0, 2, n), draw.integers(0, n_folds, n)
    y[fold == n_folds - 1] = 0
    score = draw.normal(0.4 + 0.2 * y, 0.25).clip(0, 1).round(decimals)
    return y, score, fold, draw.integers(0, 4, n).astype(float)


def counted(y, score, fold, weight):
    """Go through all pairs, one by one."""
    won = total = 0.0
    for one, other in itertools.product(range(len(y)), repeat=2):
        if y[one] == 1 and y[other] == 0 and fold[one] == fold[other]:
            pair = weight[one] * weight[other]
            total += pair
            won += pair * (
                (score[one] > score[other]) + (score[one] == score[other]) / 2
            )
    return won / total


@pytest.mark.parametrize("seed", range(8))
def test_auc_within_folds_is_the_share_of_pairs_counted_one_by_one(seed):
    y, score, fold, weight = some_scores(seed)
    ones = np.ones(len(y))
    assert np.isclose(fold_auc(y, score, fold), counted(y, score, fold, ones))
    assert np.isclose(fold_auc(y, score, fold, weight), counted(y, score, fold, weight))
    assert np.isclose(fold_auc(y, score), counted(y, score, 0 * fold, ones))
    names = np.array(["a", "b", "c", "d"])[fold]
    public = metrics.auc(y, score, fold=names, sample_weight=weight)
    assert np.isclose(public, counted(y, score, fold, weight))


def test_each_video_outranks_rivals_of_its_own_fold():
    y, score, fold, weight = some_scores(3)
    won, rivals = outranked(y, score, fold, weight)
    for row in range(len(y)):
        others = (fold == fold[row]) & (y != y[row])
        ahead = score[row] - score[others]
        ahead = ahead if y[row] else -ahead
        expected = weight[others] @ ((ahead > 0) + (ahead == 0) / 2)
        assert np.isclose(won[row], expected)
        assert np.isclose(rivals[row], weight[others].sum())


def test_a_weight_of_two_is_a_video_given_twice():
    y, score, fold, weight = some_scores(5)
    twice = np.repeat(np.arange(len(y)), weight.astype(int))
    repeated = metrics.auc(y[twice], score[twice], fold=fold[twice])
    assert np.isclose(metrics.auc(y, score, fold=fold, sample_weight=weight), repeated)
    whole = auc_error(y[twice], score[twice], fold=fold[twice])
    n = [np.count_nonzero(y[some] == 1) for some in (twice, weight > 0)]
    merged = auc_error(y, score, fold=fold, weight=weight)
    assert np.isclose(whole, merged, rtol=0.1), n


@pytest.mark.parametrize("name", RANKED)
def test_a_rising_transform_of_each_fold_changes_no_rank_metric(name):
    y, score, fold, _ = some_scores(1, n=200, decimals=2)
    bent = (score ** np.array([0.2, 1, 3, 9])[fold] + fold) / 5
    assert RANKED[name](y, score, fold=fold) == RANKED[name](y, bent, fold=fold)
    assert RANKED[name](y, score) != RANKED[name](y, bent)


@pytest.mark.parametrize("name", RANKED)
def test_a_rank_metric_is_the_mean_over_folds_by_their_pairs(name):
    y, score, fold, _ = some_scores(2, n=200)
    values, pairs = [], []
    for one in range(3):  # the last has no fake, and counts nothing
        rows = fold == one
        values.append(RANKED[name](y[rows], score[rows]))
        pairs.append(y[rows].sum() * (1 - y[rows]).sum())
    expected = np.average(values, weights=pairs)
    assert np.isclose(RANKED[name](y, score, fold=fold), expected)


@pytest.mark.parametrize("name", METRICS)
def test_a_draw_within_folds_is_measured_as_the_videos_repeated(name):
    y, score, fold, _ = some_scores(4, n=80)
    codes = fold * 100 + np.random.default_rng(0).integers(0, 6, 80)
    codes = np.unique(codes, return_inverse=True)[1]
    times = group_draws(codes.max() + 1, 12, np.random.RandomState(0))[:, codes]
    reference = {
        "auc": metrics.auc,
        "average_precision": metrics.average_precision,
        "equal_error_rate": metrics.equal_error_rate,
    } | {
        f"tpr_at_fpr_{p}": lambda y, s, p=p, **k: metrics.tpr_at_fpr(y, s, p / 100, **k)
        for p in (1, 5, 10)
    }
    drawn = drawn_metrics(y, score, times, [name], fold)[name]
    if name not in RANK_METRICS:  # a threshold must serve all folds
        np.testing.assert_array_equal(drawn, drawn_metrics(y, score, times)[name])
        return
    for weight, value in zip(times.astype(int), drawn, strict=True):
        rows = np.repeat(np.arange(80), weight)
        assert np.isclose(value, reference[name](y[rows], score[rows], fold=fold[rows]))


def test_the_fast_interval_is_that_of_the_bootstrap():
    y, score, fold, _ = some_scores(6, decimals=3)
    groups = np.arange(60) // 3
    slow = metrics.group_bootstrap_interval(
        metrics.auc, y, score, groups, n_boot=50, random_state=0
    )
    fast = metrics.auc_interval(y, score, groups, n_boot=50, random_state=0)
    np.testing.assert_allclose(fast, slow)
    both = np.column_stack([score, fold])
    slow = metrics.group_bootstrap_interval(
        lambda y, s: fold_auc(y, s[:, 0], s[:, 1].astype(int)),
        y, both, groups, n_boot=50, random_state=0,
    )  # fmt: skip
    fast = metrics.auc_interval(y, score, groups, fold, n_boot=50, random_state=0)
    np.testing.assert_allclose(fast, slow)


def test_threshold_metrics_take_all_folds_together():
    y, score, fold, _ = some_scores(7)
    pooled, within = metrics.evaluate(y, score), metrics.evaluate(y, score, fold=fold)
    moved = {name for name in pooled if pooled[name] != within[name]}
    assert moved == {"auc", "equal_error_rate", "average_precision", "tpr_at_fpr"}


@pytest.mark.parametrize("name", RANKED)
def test_without_a_fold_of_both_classes_there_is_no_figure_and_a_reason(name):
    with pytest.warns(UserWarning, match="no fold has both a real and a fake"):
        assert np.isnan(RANKED[name]([0, 1], [0.1, 0.9], fold=[0, 1]))
    assert np.isnan(
        auc_error(np.array([0, 1]), np.array([0.1, 0.9]), fold=np.arange(2))
    )


def test_an_interval_that_cannot_be_told_is_nan():
    with pytest.warns(UserWarning, match="no fold has both"):
        nothing = metrics.auc_interval([0, 1], [0.1, 0.9], fold=[0, 1])
    assert np.isnan(nothing).all()
    one_group_each = metrics.auc_interval(
        [0, 0, 1], [0.1, 0.2, 0.9], [0, 0, 1], n_boot=200, random_state=0
    )
    assert one_group_each.estimate == 1
    assert np.isnan(one_group_each.low)


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        ([0, None, 1], "1 of 3 have none, the first at row 1"),
        ([0, 1], "one entry per video, 3; got 2"),
    ],
)
def test_a_scored_video_needs_a_fold(fold, message):
    with pytest.raises(ValueError, match=message):
        metrics.auc([0, 1, 1], [0.1, 0.2, 0.3], fold=fold)


def test_an_unscored_video_needs_no_fold_and_a_fold_may_be_any_name():
    assert (
        metrics.auc([0, 1, 1], [0.1, 0.9, np.nan], fold=[("a", 0), ("a", 0), None]) == 1
    )
    assert numbered_folds([("a", 1), ("a", 0), ("a", 1)], 3).tolist() == [0, 1, 0]


def a_table(fold=(1, 1, 2, 2), **provenance):
    scores = [[0.1, 0.2], [0.8, np.nan], [0.3, 0.4], [0.7, 0.6]]
    return score_table(scores, "abcd", ["m", "n"], fold=fold, provenance=provenance)


def test_a_table_has_the_folds_that_lie_beside_it():
    assert folds_of_table(a_table()).tolist() == [0, 0, 1, 1]
    assert folds_of_table(a_table(out_of_fold=True)).tolist() == [0, 0, 1, 1]
    mixed = a_table(out_of_fold=True, prefit=["m"])  # the other has folds
    assert folds_of_table(mixed).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "table",
    [
        a_table(fold=None),  # means over replicas, or none known
        a_table(fold=[1, 1, 1, 1]),  # one hold-out
        a_table(fold=[1, 1, None, 2]),
        a_table(out_of_fold=False),
        a_table(out_of_fold=True, prefit=["m", "n"]),
    ],
)
def test_what_one_fit_has_scored_has_no_folds(table):
    assert folds_of_table(table) is None


def test_a_video_without_a_score_may_lack_a_fold():
    table = a_table(fold=[1, 1, 2, None])
    table.iloc[3] = np.nan
    assert folds_of_table(table).tolist() == [0, 0, 1, -1]


@pytest.mark.parametrize("weight", [[1, 1], [1, 1, -1], [1, 1, np.nan]])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match="3 numbers >= 0"):
        metrics.auc([0, 1, 1], [0.1, 0.2, 0.3], sample_weight=weight)


def of_folds(seed, lift, n_folds=5, n_groups=8, n_each=3, n_scores=1):
    """Scores alike within groups, on a scale that differs from fold to fold."""
    draw = np.random.default_rng(seed)
    codes = np.arange(n_folds * n_groups).repeat(n_each)
    y = codes % 2
    fold = codes // n_groups
    of_group = draw.normal(size=(n_folds * n_groups, n_scores))[codes]
    score = 0.7 * of_group + 0.7 * draw.normal(size=(len(y), n_scores))
    return (
        y,
        score + lift * y[:, None] + draw.normal(size=n_folds)[fold, None],
        codes,
        fold,
    )


def coverage(times, n_boot, n_groups):
    from statistics import NormalDist

    truth = NormalDist().cdf(1 / np.sqrt(2 * 0.98))
    held = {"bootstrap": 0, "DeLong": 0}
    for seed in range(times):
        y, score, codes, fold = of_folds(seed, 1, n_groups=n_groups)
        estimate, low, high = metrics.auc_interval(
            y, score[:, 0], codes, fold, n_boot, random_state=0
        )
        held["bootstrap"] += low <= truth <= high
        error = auc_error(y, score[:, 0], codes, fold)
        held["DeLong"] += abs(estimate - truth) <= 1.96 * error
    return {name: number / times for name, number in held.items()}


def test_intervals_within_folds_hold_the_truth():
    held = coverage(60, 150, n_groups=16)
    assert min(held.values()) >= 0.88, held


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [4, 8, 16])
def test_intervals_within_folds_hold_the_truth_as_often_as_they_say(n_groups):
    """Of 500 intervals of level .95; few groups make them a little wide or narrow."""
    held = coverage(500, 400, n_groups)
    assert all(0.9 <= share <= 0.995 for share in held.values()), held


def p_values(times, n_groups=8):
    for seed in range(times):
        y, scores, codes, fold = of_folds(seed, 1, n_groups=n_groups, n_scores=2)
        yield metrics.delong_test(y, *scores.T, codes, fold=fold).p_value


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [4, 8, 16])
def test_p_values_of_equally_good_scores_are_even(n_groups):
    p = np.array(list(p_values(600, n_groups)))
    assert (p < 0.05).mean() <= 0.07, (p < 0.05).mean()  # .05 and chance
    if n_groups == 16:  # fewer make them cautious
        assert kstest(p, "uniform").pvalue > 0.01


def test_p_values_of_equally_good_scores_are_seldom_low():
    p = np.array(list(p_values(150)))
    assert (p < 0.05).mean() <= 0.09
    assert 0.4 < p.mean() < 0.62
