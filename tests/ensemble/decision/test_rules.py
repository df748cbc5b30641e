import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, norm
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from ensemble.decision import (
    Decision,
    ThreeWayDecision,
    adjust_prior,
    hoeffding_bentkus,
    rate_interval,
    threshold_at_false_alarm_rate,
    threshold_by_balanced_accuracy,
    threshold_by_cost,
    verdict_rates,
)
from ensemble.metrics import group_bootstrap_interval


def some_scores(n=200, seed=0, decimals=2, skill=2.0):
    draw = np.random.default_rng(seed)
    y = np.append([0, 1], draw.integers(0, 2, n - 2))
    score = norm.cdf(draw.normal(skill * (y - 0.5), 1))
    return y, score.round(decimals)


def grouped_uniform(seed, n_groups, n_each, same=0.8):
    """Scores that are uniform each, and alike within a group."""
    draw = np.random.default_rng(seed)
    groups = np.arange(n_groups).repeat(n_each)
    of_group, own = draw.normal(size=n_groups)[groups], draw.normal(size=len(groups))
    return norm.cdf(np.sqrt(same) * of_group + np.sqrt(1 - same) * own), groups


def cost_at(threshold, y, score, cost_false_alarm, cost_miss, prior):
    (_, false), (missed, _) = confusion_matrix(y, score > threshold, normalize="true")
    return (1 - prior) * cost_false_alarm * false + prior * cost_miss * missed


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("prior", [None, 0.01, 0.9])
@pytest.mark.parametrize(("false_alarm", "miss"), [(1, 1), (10, 1), (1, 7), (1, 0)])
@pytest.mark.parametrize("decimals", [1, 8])
def test_no_threshold_is_cheaper(false_alarm, miss, prior, decimals):
    y, score = some_scores(decimals=decimals)
    threshold = threshold_by_cost(y, score, false_alarm, miss, prior)
    prior = y.mean() if prior is None else prior
    costs = [
        cost_at(other, y, score, false_alarm, miss, prior) for other in (-1, *score)
    ]
    assert np.isclose(
        cost_at(threshold, y, score, false_alarm, miss, prior), min(costs)
    )


def test_the_threshold_of_calibrated_scores_is_that_of_the_costs():
    draw = np.random.default_rng(0)
    score = draw.random(100_000)
    y = draw.random(100_000) < score
    assert abs(threshold_by_cost(y, score, 4, 1) - 4 / 5) < 0.02


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("seed", range(3))
def test_balanced_accuracy_is_the_highest(seed):
    y, score = some_scores(seed=seed)
    threshold = threshold_by_balanced_accuracy(y, score)
    best = max(balanced_accuracy_score(y, score > other) for other in score)
    assert np.isclose(balanced_accuracy_score(y, score > threshold), best)


def test_a_threshold_lies_between_scores_next_to_each_other():
    reals, fakes = [0.1, 0.5], [np.nextafter(0.5, 1), 0.9]
    threshold = threshold_by_balanced_accuracy([0, 0, 1, 1], reals + fakes)
    assert max(reals) <= threshold < min(fakes)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"cost_miss": -1}, "cost_miss must be 0 or more"),
        ({"cost_miss": 0, "cost_false_alarm": 0}, "above 0"),
        ({"prior": 1}, "prior must be between 0 and 1; got 1"),
    ],
)
def test_bad_costs_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        threshold_by_cost([0, 1], [0.2, 0.8], **kwargs)


@pytest.mark.parametrize("decimals", [1, 8])
@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_the_observed_false_alarm_rate_is_kept_by_the_lowest_threshold(rate, decimals):
    y, score = some_scores(decimals=decimals)
    threshold = threshold_at_false_alarm_rate(y, score, rate)
    reals = score[y == 0]
    assert (reals > threshold).mean() <= rate
    lower = reals[reals < threshold].max()
    assert (reals > lower).mean() > rate


def test_a_certified_threshold_is_the_order_statistic_that_the_binomial_allows():
    y, score = some_scores(decimals=8)
    reals = np.sort(score[y == 0])[::-1]
    allowed = [
        k
        for k in range(len(reals))
        if binomtest(k, len(reals), 0.1, alternative="less").pvalue <= 0.05
    ]
    threshold = threshold_at_false_alarm_rate(y, score, 0.1, confidence=0.95)
    assert threshold == reals[max(allowed)]


@pytest.mark.slow
def test_a_certified_rate_holds_as_often_as_it_says():
    """Scores of reals are uniform: above t lies a share 1 - t of all there are."""
    y = np.append(np.zeros(200), 1)
    broken = [
        1 - threshold_at_false_alarm_rate(y, np.append(scores, 0.5), 0.1, 0.8) > 0.1
        for scores in np.random.default_rng(0).random((1000, 200))
    ]
    assert 0.14 < np.mean(broken) < 0.23  # 0.2, less what is lost to whole numbers


@pytest.mark.slow
@pytest.mark.parametrize("n_each", [1, 4])
def test_three_way_rates_hold_as_often_as_they_say(n_each):
    """No skill, uniform scores: the true rates are 1 - high_ and low_."""
    broken = []
    for seed in range(400):
        reals, groups = grouped_uniform(2 * seed, 100, n_each)
        fakes, _ = grouped_uniform(2 * seed + 1, 100, n_each)
        y = np.repeat([0, 1], len(reals))
        decision = ThreeWayDecision(0.1, 0.15, confidence=0.8)
        decision.fit(np.append(reals, fakes), y, np.append(groups, 100 + groups))
        broken.append([1 - decision.high_ > 0.1, decision.low_ > 0.15])
    assert np.any(broken, axis=1).mean() <= 0.2 + 2 * 0.02
    if n_each == 1:  # exact but for whole numbers
        assert np.mean(broken, axis=0).min() > 0.04


def test_groups_taken_for_videos_break_the_promise():
    broken = []
    for seed in range(200):
        reals, groups = grouped_uniform(seed, 60, 10)
        y, score = np.append(np.zeros(600), 1), np.append(reals, 0.5)
        thresholds = [
            threshold_at_false_alarm_rate(y, score, 0.1, 0.9, given)
            for given in (None, np.append(groups, 60))
        ]
        broken.append(1 - np.array(thresholds) > 0.1)
    ignored, kept = np.mean(broken, axis=0)
    assert kept < 0.1 < 0.25 < ignored


@pytest.mark.slow
@pytest.mark.parametrize("n_each", [1, 4])
def test_rates_on_average_are_kept_and_used(n_each):
    rates = []
    for seed in range(500):
        reals, groups = grouped_uniform(2 * seed, 40, n_each)
        fakes, _ = grouped_uniform(2 * seed + 1, 40, n_each)
        y = np.repeat([0, 1], len(reals))
        decision = ThreeWayDecision(0.1, 0.2, confidence=None)
        decision.fit(np.append(reals, fakes), y, np.append(groups, 40 + groups))
        rates.append([1 - decision.high_, decision.low_])
    mean = np.mean(rates, axis=0)
    error = np.std(rates, axis=0) / np.sqrt(500)
    assert (mean <= [0.1, 0.2] + 2 * error).all()
    assert (mean >= [0.1 - 1 / 41, 0.2 - 1 / 41] - 2 * error).all()


@pytest.fixture(scope="module")
def real_scores(shared):
    """Mean log-odds of four detectors on FaceForensics++: method, y, group, score."""
    frame = pd.read_csv(shared / "data/scores/ffpp_4detectors.csv")
    detectors = frame.filter(like="p_").to_numpy().clip(1e-6, 1 - 1e-6)
    score = expit(logit(detectors).mean(axis=1))
    columns = (frame[name].to_numpy() for name in ("method", "label", "group"))
    return *columns, score


def held_out_rates(method, y, groups, score, unseen=None):
    """Fit on half of the groups, judge the other, 100 times; rates of a mean group."""
    draw, rates = np.random.default_rng(0), []
    for _ in range(100):
        half = draw.permutation(groups.max() + 1)[groups] % 2 == 0
        fit = half & (method != unseen)
        decision = ThreeWayDecision(confidence=None).fit(
            score[fit], y[fit], groups[fit]
        )
        wrong = decision.predict(score) == np.where(y == 1, "REAL", "FAKE")
        judged = ~half & ((y == 0) | (unseen is None) | (method == unseen))
        by_group = pd.Series(wrong[judged]).groupby([y[judged], groups[judged]]).mean()
        rates.append(by_group.groupby(level=0).mean())
    return np.mean(rates, axis=0)


def test_rates_hold_on_other_people_in_real_scores(real_scores):
    assert (held_out_rates(*real_scores) < 0.05).all()


def test_a_forgery_that_was_not_there_breaks_the_promise(real_scores):
    false_alarms, misses = held_out_rates(*real_scores, unseen="neuraltextures")
    assert false_alarms < 0.05 < 0.1 < misses


def test_hoeffding_bentkus_p_values_are_valid():
    draw = np.random.default_rng(0)
    means = draw.beta(0.2, 1.8, (20_000, 50)).mean(axis=1)  # of true mean 0.1
    p_value = hoeffding_bentkus(means, 50, 0.1)
    for level in (0.01, 0.05, 0.2):
        assert (p_value <= level).mean() <= level
    assert (np.diff(hoeffding_bentkus(np.linspace(0, 1, 101), 50, 0.1)) >= 0).all()


def test_classes_far_apart_leave_no_video_unsure():
    y, score = some_scores(2000, decimals=8, skill=8)
    decision = ThreeWayDecision(confidence=0.9).fit(score, y)
    assert decision.low_ == decision.high_
    verdict = decision.predict(score)
    assert set(verdict) == {"REAL", "FAKE"}
    assert ((verdict == "FAKE") == y).mean() > 0.99


def test_no_skill_leaves_most_unsure():
    y, score = some_scores(1000, skill=0)
    verdict = ThreeWayDecision(confidence=None).fit(score, y).predict(score)
    assert (verdict == "UNSURE").mean() > 0.85


def test_three_way_verdicts_by_hand():
    decision = ThreeWayDecision()
    decision.low_, decision.high_ = 0.2, 0.7
    verdict = decision.predict([0.1, 0.2, 0.7, 0.8, np.nan])
    assert verdict.tolist() == ["REAL", "UNSURE", "UNSURE", "FAKE", "UNSURE"]


def test_videos_without_scores_and_order_do_not_matter():
    y, score = some_scores()
    groups = np.arange(200) // 2
    plain = ThreeWayDecision(0.2, 0.2, None).fit(score, y, groups)
    order = np.random.default_rng(0).permutation(200)
    for model in (plain, Decision("false_alarm_rate", rate=0.1).fit(score, y, groups)):
        again = clone(model).fit(
            np.append(score[order], np.nan),
            np.append(y[order], 1),
            [*groups[order], -1],
        )
        np.testing.assert_array_equal(model.predict(score), again.predict(score))
    words = np.where(y == 1, "swapped", "clean")
    named = clone(plain).set_params(fake_label="swapped").fit(score, words, groups)
    assert (named.low_, named.high_) == (plain.low_, plain.high_)
    assert named.n_groups_ == plain.n_groups_


def test_the_guarantee_is_said():
    y, score = some_scores()
    said = ThreeWayDecision(0.2, 0.1, 0.9).fit(score, y, np.arange(200)).guarantee_
    n_real, n_fake = (y == 0).sum(), (y == 1).sum()
    assert said == (
        "With a confidence of 90 %, at most 20 % of real videos are called fake and at "
        f"most 10 % of fakes real, as {n_real} real and {n_fake} fake groups certify."
    )
    said = ThreeWayDecision(0.2, 0.1, None).fit(score, y).guarantee_
    assert said.startswith("On average, at most 20 %")


@pytest.mark.parametrize(
    ("confidence", "needed", "possible"), [(0.95, 368, 0.522), (None, 99, 0.167)]
)
def test_too_few_reals_for_a_rate_are_refused(confidence, needed, possible):
    y, score = [0] * 5 + [1] * 500, np.linspace(0, 1, 505)
    decision = ThreeWayDecision(0.01, confidence=confidence)
    with pytest.raises(
        ValueError,
        match=rf"false_alarm_rate=0.01 .* by 5 real videos: {needed} or more are needed"
        rf".* ask for {possible} or more",
    ):
        decision.fit(score, y)
    decision.set_params(false_alarm_rate=possible).fit(score, y)
    decision.set_params(false_alarm_rate=0.01)
    just_enough = [0] * needed + [1] * 500
    decision.fit(np.linspace(0, 1, len(just_enough)), just_enough)
    with pytest.raises(ValueError, match="miss_rate=0.001 .* by 500 fake groups"):
        decision.set_params(miss_rate=0.001).fit(
            np.linspace(0, 1, len(just_enough)),
            just_enough,
            np.arange(len(just_enough)),
        )


def test_just_enough_groups_put_the_threshold_at_the_highest_score():
    """0.5 ** 3 is the doubt of 0.125 to the last digit."""
    reals = [0.1, 0.2, 0.3]
    threshold = threshold_at_false_alarm_rate([0, 0, 0, 1], [*reals, 0.5], 0.5, 0.875)
    assert threshold == 0.3


def test_too_few_reals_to_tell_a_rate_are_refused():
    with pytest.raises(ValueError, match="on 5 real videos, 100 or more are needed"):
        threshold_at_false_alarm_rate([0] * 5 + [1], np.arange(6) / 10, 0.01)


@pytest.mark.parametrize(
    ("model", "score", "y", "message"),
    [
        (ThreeWayDecision(), [0.1, np.nan], [0, 1], "got 1 real and 0 fake"),
        (ThreeWayDecision(), [0.1], [0, 1], "one entry per label"),
        (ThreeWayDecision(confidence=95), [0.1, 0.9], [0, 1], "confidence must be"),
        (ThreeWayDecision(0), [0.1, 0.9], [0, 1], "false_alarm_rate must be between"),
        (Decision("costs"), [0.1, 0.9], [0, 1], "rule must be one of"),
    ],
)
def test_bad_input_is_refused(model, score, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(score, y)


@pytest.mark.parametrize(
    ("model", "threshold"),
    [
        (Decision(), threshold_by_balanced_accuracy),
        (
            Decision("cost", cost_false_alarm=3, prior=0.1),
            lambda y, score: threshold_by_cost(y, score, 3, prior=0.1),
        ),
        (
            Decision("false_alarm_rate", rate=0.1, confidence=0.9),
            lambda y, score: threshold_at_false_alarm_rate(y, score, 0.1, 0.9),
        ),
    ],
)
def test_a_decision_has_the_threshold_of_its_rule_and_its_error_rates(model, threshold):
    y, score = some_scores()
    model.fit(score, y)
    assert model.threshold_ == threshold(y, score)
    said_fake = model.predict(score) == "FAKE"
    interval = model.false_alarm_rate_
    assert interval.estimate == said_fake[y == 0].mean()
    exact = binomtest(said_fake[y == 0].sum(), (y == 0).sum()).proportion_ci(0.95)
    np.testing.assert_allclose(interval[1:], [exact.low, exact.high])
    assert np.isclose(model.miss_rate_.estimate, (~said_fake[y == 1]).mean())
    assert model.predict([np.nan, 2, -1]).tolist() == ["", "FAKE", "REAL"]


def test_rate_intervals_are_those_of_scipy():
    for times, n in [(0, 7), (3, 7), (7, 7), (1, 500)]:
        interval = rate_interval(np.arange(n) < times, level=0.9)
        exact = binomtest(times, n).proportion_ci(0.9)
        expected = [times / n, exact.low, exact.high]
        np.testing.assert_allclose(interval, expected, atol=1e-12)
    assert np.isnan(rate_interval([]).estimate)


@pytest.mark.parametrize("of_each", [1, 3])
def test_more_alarms_never_bound_their_rate_lower(of_each):
    groups = np.repeat(np.arange(36), of_each)
    ends = [rate_interval(groups < times, groups) for times in range(10)]
    assert (np.diff([end.high for end in ends]) > 0).all()
    assert ends[1].high == pytest.approx(rate_interval(np.arange(36) < 1).high)
    turned = [rate_interval(groups >= times, groups) for times in range(10)]
    assert [1 - end.high for end in ends] == pytest.approx([t.low for t in turned])


def test_rate_intervals_know_groups():
    happened = np.random.default_rng(0).random(40).repeat(5) < 0.3
    groups = np.arange(40).repeat(5)
    by_video, by_group = rate_interval(happened), rate_interval(happened, groups)
    assert by_video.estimate == by_group.estimate
    assert by_group.high - by_group.low > 1.7 * (by_video.high - by_video.low)
    drawn = group_bootstrap_interval(
        lambda _, drawn: drawn.mean(), happened, happened, groups, random_state=0
    )
    assert by_group == drawn  # of the groups' counts, or video by video
    never = rate_interval(np.zeros(200, bool), groups)
    assert never == rate_interval(np.zeros(40, bool))
    assert rate_interval([True, False], [7, 7]) == (0.5, 0, 1)


@pytest.mark.parametrize(
    ("happened", "message"),
    [
        ([True, np.nan], "got nan at row 1"),
        ([True, None], "got None at row 1"),
        (["FAKE", "REAL"], "got 'FAKE' at row 0"),
        ([0.4, 1], "got 0.4 at row 0"),
        ([[True], [False]], "one entry per video"),
    ],
)
def test_what_is_not_known_has_not_happened(happened, message):
    with pytest.raises(ValueError, match=message):
        rate_interval(happened)


def test_what_happened_may_be_written_as_numbers():
    expected = rate_interval([True, False, False])
    assert rate_interval([1, 0, 0]) == rate_interval([1.0, 0.0, 0.0]) == expected
    assert rate_interval(np.array([True, False, False], object)) == expected


def test_verdict_rates_count_what_they_say():
    y, score = some_scores()
    verdict = ThreeWayDecision(0.1, 0.1, None).fit(score, y).predict(score)
    rates = verdict_rates(y, verdict)
    counts = pd.crosstab(y, verdict)
    assert rates.loc["false alarm", "rate"] == counts.loc[0, "FAKE"] / (y == 0).sum()
    assert rates.loc["miss", "rate"] == counts.loc[1, "REAL"] / (y == 1).sum()
    sure = (verdict != "UNSURE").sum()
    wrong = counts.loc[0, "FAKE"] + counts.loc[1, "REAL"]
    assert rates.loc["wrong", "rate"] == wrong / sure
    assert rates.loc["unsure", "rate"] == (verdict == "UNSURE").mean()
    expected = [(y == 0).sum(), (y == 1).sum(), sure, 200, 200]
    assert rates["n_videos"].tolist() == expected
    grouped = verdict_rates(y, verdict, np.arange(200) // 4)
    assert grouped["rate"].equals(rates["rate"])
    assert not grouped["high"].equals(rates["high"])


def test_verdict_rates_of_one_class_and_of_none_sure():
    rates = verdict_rates([0, 0], ["UNSURE", ""])
    assert rates["rate"].isna().tolist() == [False, True, True, False, False]
    assert rates.loc["unsure", "rate"] == rates.loc["no verdict", "rate"] == 0.5
    with pytest.raises(ValueError, match="one entry per label"):
        verdict_rates([0, 1], ["FAKE"])


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ([1, 1, 0], "got 1 at row 0: labels and scores are no verdicts"),
        ([True, False, True], "got True at row 0: labels and scores are no verdicts"),
        (["FAKE", 0.7, "REAL"], "got 0.7 at row 1"),
        (["REAL", "REAL", "fake"], "got 'fake' at row 2: did you mean 'FAKE'"),
        (["REAL", " REAL", "FAKE"], "got ' REAL' at row 1: did you mean 'REAL'"),
        (["banana", "FAKE", "REAL"], "got 'banana' at row 0"),
        ([b"FAKE", "FAKE", "REAL"], "got b'FAKE' at row 0"),
        ([["FAKE"], ["REAL"], [""]], "one entry per label"),
    ],
)
def test_what_is_no_verdict_is_not_counted_as_unsure(verdict, message):
    with pytest.raises(ValueError, match=message):
        verdict_rates([1, 1, 0], verdict)


@pytest.mark.parametrize("nothing", ["", None, np.nan, pd.NA, pd.NaT])
def test_a_missing_verdict_is_no_verdict_and_not_unsure(nothing):
    rates = verdict_rates([0, 1, 1], np.array(["REAL", nothing, "FAKE"], object))
    assert rates["rate"].tolist() == [0, 0, 0, 0, 1 / 3]
    assert rates["n_videos"].tolist() == [1, 2, 2, 3, 3]
    frame = pd.Series(["REAL", None, "FAKE"], dtype="string")
    assert verdict_rates([0, 1, 1], frame).equals(rates)


def test_an_adjusted_prior_is_that_of_bayes():
    """Two classes of known densities: the posterior at any prior is known."""
    x = np.linspace(-3, 3, 13)

    def posterior(prior):
        fake, real = prior * norm.pdf(x, 1), (1 - prior) * norm.pdf(x, -1)
        return fake / (fake + real)

    adjusted = adjust_prior(posterior(0.4), 0.4, 0.02)
    np.testing.assert_allclose(adjusted, posterior(0.02))
    np.testing.assert_allclose(adjust_prior(adjusted, 0.02, 0.4), posterior(0.4))
    ends = adjust_prior([[0, 1, np.nan]], 0.5, 0.01)
    np.testing.assert_array_equal(ends, [[0, 1, np.nan]])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([0.5], 0, 0.5), "fitted_prior must be"),
        (([0.5], 0.5, 1), "prior must be"),
        (([1.5], 0.5, 0.5), "got 1.5"),
    ],
)
def test_bad_priors_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        adjust_prior(*args)
