"""Where metrics turn: the least that is enough, and the first beyond."""

import numpy as np
import pytest

from ensemble.decision.error_rates import rate_interval
from ensemble.metrics import accuracy, auc, auc_interval, expected_calibration_error
from ensemble.metrics.bootstrap import check_n_boot, drawn_metrics, group_draws
from ensemble.metrics.bootstrap_intervals import (
    check_level,
    group_bootstrap_interval,
)
from ensemble.metrics.member_diversity import diversity, oracle_accuracy
from ensemble.metrics.within_folds import outranked


@pytest.mark.parametrize("n_boot", [0, -3, 1.5, "9"])
def test_draws_are_whole_numbers_from_one(n_boot):
    check_n_boot(1)
    with pytest.raises(ValueError, match="n_boot must be a whole number"):
        check_n_boot(n_boot)
    with pytest.raises(ValueError, match="n_boot must be a whole number"):
        group_bootstrap_interval(auc, [0, 1], [0.1, 0.9], [0, 1], n_boot=n_boot)


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.1])
def test_a_level_lies_between_0_and_1(level):
    check_level(0.999)
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        check_level(level)


def test_a_fold_with_one_fake_counts_and_one_without_reals_does_not():
    y = np.array([0, 1, 0, 0, 1, 1, 0, 1])
    score = np.array([0.1, 0.2, 0.3, 0.0, 0.9, 0.1, 0.6, 0.5])
    fold = np.array([0, 0, 0, 0, 1, 1, 2, 2])  # of fakes alone, and of one pair
    once = np.ones((1, len(y)))
    (by_fold,) = drawn_metrics(y, score, once, ["auc"], fold)["auc"]
    assert by_fold == pytest.approx(2 / 4)  # 2 of 3 pairs right, and 0 of 1
    assert by_fold == pytest.approx(auc(y, score, fold=fold))
    (one_fold,) = drawn_metrics(y[:6], score[:6], once[:, :6], ["auc"], fold[:6])["auc"]
    assert one_fold == pytest.approx(2 / 3)


def test_two_groups_of_a_class_give_an_interval_and_one_gives_none():
    y, score = [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]
    known = auc_interval(y, score, [0, 1, 2, 3], random_state=0)
    assert known.low <= known.estimate == 0.75 <= known.high
    unknown = auc_interval(y, score, [0, 0, 2, 3], random_state=0)
    assert unknown.estimate == 0.75
    assert np.isnan([unknown.low, unknown.high]).all()


def test_the_interval_of_a_rate_of_groups_leaves_out_half_of_the_rest_at_each_end():
    happened = np.array(4 * [1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1], bool)
    groups = np.arange(48) // 2  # it happened in 16 of them, which are enough
    found = rate_interval(happened, groups, level=0.8, n_boot=50, random_state=3)
    draw = np.random.RandomState(3)
    rates = []
    for _ in range(50):
        drawn = draw.randint(24, size=24)
        rates.append(np.concatenate([happened[groups == g] for g in drawn]).mean())
    assert found.estimate == happened.mean()
    assert (found.low, found.high) == pytest.approx(np.quantile(rates, [0.1, 0.9]))


def test_draws_of_groups_have_as_many_as_there_are():
    times = group_draws(5, 40, np.random.RandomState(0))
    assert times.shape == (40, 5)
    assert (times.sum(axis=1) == 5).all()


def test_one_bin_is_a_mean_and_none_is_refused():
    y, score = [0, 1, 1, 1], [0.4, 0.4, 0.9, 0.9]
    found = expected_calibration_error(y, score, n_bins=1)
    assert found == pytest.approx(abs(np.mean(y) - np.mean(score)))
    with pytest.raises(ValueError, match="n_bins must be a whole number, 1 or more"):
        expected_calibration_error(y, score, n_bins=0)


def test_scores_on_a_scale_of_their_own_have_an_accuracy():
    assert accuracy([0, 1, 1], [-3.0, 4.0, -1.0], 0) == pytest.approx(2 / 3)


def test_two_videos_correlate_and_one_does_not():
    y = [0, 1, 1]
    two = diversity(np.array([[0.1, 0.3], [0.9, 0.4], [np.nan, 0.2]]), y)
    assert two["score_correlation"].iloc[0] == pytest.approx(1)
    one = diversity(np.array([[0.1, 0.3], [0.9, np.nan], [np.nan, 0.2]]), y)
    assert np.isnan(one["score_correlation"].iloc[0])


def test_the_oracle_leaves_out_whom_nobody_scored():
    table = [[0.1, 0.9], [0.9, np.nan], [np.nan, np.nan], [0.2, 0.3]]
    assert oracle_accuracy(np.array(table), [0, 1, 1, 1]) == pytest.approx(2 / 3)


def test_of_no_videos_nothing_is_outranked():
    nothing = np.zeros(0)
    found = outranked(nothing, nothing)
    assert [len(part) for part in found] == [0, 0]
