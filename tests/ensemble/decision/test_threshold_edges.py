"""Where a threshold turns: on ties, at the ends, at the least that can be certified."""

import math

import numpy as np
import pytest

from ensemble.decision.named_thresholds import Thresholds, parse_threshold
from ensemble.decision.thresholds import (
    certified_threshold,
    threshold_at_false_alarm_rate,
    threshold_by_cost,
)


def test_of_equally_cheap_thresholds_it_is_the_middle_one():
    y, score = [0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert threshold_by_cost(y, score, prior=0.5) == pytest.approx(0.35)


def test_thresholds_lie_below_all_between_two_and_at_the_last():
    y, score = [0, 1, 0], [0.1, 0.2, 0.3]
    dear = threshold_by_cost(y, score, cost_false_alarm=1000, cost_miss=1)
    assert dear == 0.3  # nobody is called fake
    cheap = threshold_by_cost(y, score, cost_false_alarm=1, cost_miss=1000)
    assert cheap == pytest.approx(0.15)
    everybody = threshold_by_cost([1, 0, 1], score, cost_false_alarm=1, cost_miss=1000)
    assert everybody == np.nextafter(0.1, -np.inf)
    for last in (0.5, np.nextafter(0.5, 1)):
        beside = np.nextafter(last, 1)  # no number lies between
        assert threshold_by_cost([0, 0, 1], [0.1, last, beside]) == last


@pytest.mark.parametrize("cost", [-1, math.inf, math.nan])
def test_costs_are_finite(cost):
    with pytest.raises(ValueError, match="must be 0 or more and finite"):
        threshold_by_cost([0, 1], [0.1, 0.9], cost_miss=cost)


@pytest.mark.parametrize(
    ("n", "rate", "threshold"),
    [(9, 0.2, 7), (19, 0.1, 17), (20, 0.19, 17), (9, 0.1, 8)],
)
def test_a_rate_on_average_counts_one_more_than_are_above(n, rate, threshold):
    scores = np.arange(float(n))
    found = certified_threshold(scores, np.arange(n), rate, None, "rate", "videos")
    assert found == threshold
    assert (np.sum(scores > found) + 1) / (n + 1) <= rate
    lower = found - 1
    assert (np.sum(scores > lower) + 1) / (n + 1) > rate


def test_what_is_too_few_is_called_by_what_it_is_of():
    y, score = [0] * 9 + [1], np.linspace(0, 1, 10)
    asked = {"rate": 0.05, "confidence": 0.9}
    with pytest.raises(ValueError, match=r"by 9 real videos: \d+ or more"):
        threshold_at_false_alarm_rate(y, score, **asked)
    with pytest.raises(ValueError, match=r"by 3 real groups: \d+ or more"):
        threshold_at_false_alarm_rate(y, score, **asked, groups=[0, 1, 2] * 3 + [3])


def test_thresholds_of_0_and_1_are_numbers_and_shares_lie_between():
    assert parse_threshold("0").value == 0
    assert parse_threshold(1).value == 1
    for share in ("0", "1", "2"):
        with pytest.raises(ValueError, match="takes a share between 0 and 1"):
            parse_threshold(f"fpr=0.05,confidence={share}")


def test_thresholds_say_real_and_are_set_on_others_unless_they_say_so():
    limits = Thresholds(0.2, 0.9, True, "")
    assert limits.verdicts([0.1]).tolist() == ["REAL"]
    assert not limits.on_training
