"""A rule that learned percent, or log-odds, is not given P(fake) without a word."""

import numpy as np
import pandas as pd
import pytest

from ensemble import ScorePipeline
from ensemble.out_of_fold.ensemble_scores import log_odds

SCALES = {
    "percent": lambda p: 100 * p,
    "per mille": lambda p: 1000 * p,
    "log-odds": log_odds,
}


def p_fake_of(n_videos, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n_videos) % 2
    logits = draw.normal(3 * (2 * y[:, None] - 1), 1.5, (n_videos, 2))
    return pd.DataFrame(1 / (1 + np.exp(-logits)), columns=["a", "b"]), y


@pytest.fixture(params=SCALES)
def scale(request):
    return SCALES[request.param]


def test_p_fake_for_another_scale_is_a_doubt(scale):
    known, y = p_fake_of(120)
    rule = ScorePipeline("logistic", n_boot=0).fit(known.apply(scale), y)
    new, _ = p_fake_of(40, seed=1)
    wrong = rule.judge(new)
    assert (wrong["verdict"] == "UNSURE").all()
    assert wrong["reason"].str.contains("a here lie within 0 to 1, in training").all()
    right = rule.judge(new.apply(scale))
    assert not right["reason"].str.contains("another scale").any()
    assert (right["verdict"] != "UNSURE").mean() > 0.8


def test_it_is_told_of_a_few_rows_and_of_one_detector_alone():
    known, y = p_fake_of(120)
    rule = ScorePipeline("logistic", n_boot=0).fit(known * [100, 1], y)
    judged = rule.judge(known[:6])
    assert judged["reason"].str.contains("all scores of a here lie").all()
    assert not judged["reason"].str.contains("scores of b").any()


def test_reals_alone_of_which_nearly_all_are_under_one_percent_are_none():
    known, y = p_fake_of(200)
    known[y == 0] /= 100
    known *= 100
    assert (known[y == 0] <= 1).mean().min() > 0.95
    rule = ScorePipeline("logistic", n_boot=0).fit(known, y)
    reals = known[y == 0][:20]
    reals = reals[(reals <= 1).all(axis=1)]
    assert not rule.judge(reals)["reason"].str.contains("another scale").any()


def test_a_rule_of_an_earlier_version_says_nothing_of_it():
    known, y = p_fake_of(60)
    rule = ScorePipeline("logistic", n_boot=0).fit(100 * known, y)
    del rule.unit_share_
    assert not rule.judge(known)["reason"].str.contains("another scale").any()


def test_rows_within_0_to_1_of_a_column_on_another_scale_are_in_doubt(scale):
    known, y = p_fake_of(120)
    rule = ScorePipeline("logistic", n_boot=0).fit(known, y)
    new = pd.DataFrame({"a": [0.02, 0.4, 0.97], "b": [0.05, 0.5, 0.9]}).apply(scale)
    low = pd.DataFrame({"a": [0.9], "b": [0.8]})  # percent, or log-odds near 0
    judged = rule.judge(pd.concat([low, new], ignore_index=True))
    assert judged["verdict"][0] == "UNSURE"
    assert "a is outside 0 to 1 in other rows, as " in judged["reason"][0]
    assert rule.judge(low)["verdict"].tolist() == ["FAKE"]


def test_whole_negative_numbers_that_differ_are_another_scale():
    known, y = p_fake_of(120)
    rule = ScorePipeline("logistic", n_boot=0).fit(known, y)
    new = pd.DataFrame({"a": [-3, 0.9], "b": [-2, 0.8]})  # log-odds
    judged = rule.judge(new)
    assert judged["verdict"].tolist() == ["UNSURE", "UNSURE"]
    assert "a is outside 0 to 1 in other rows, as -3" in judged["reason"][1]


@pytest.mark.parametrize("mark", [-1, -99])
def test_a_number_that_stands_for_no_score_is_no_other_scale(mark):
    known, y = p_fake_of(120)
    rule = ScorePipeline("logistic", n_boot=0).fit(known, y)
    new = pd.DataFrame({"a": [0.9, mark, mark], "b": [0.9, 0.9, mark]})
    assert rule.judge(new)["verdict"].tolist() == ["FAKE", "FAKE", "UNSURE"]
