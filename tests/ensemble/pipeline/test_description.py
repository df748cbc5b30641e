"""What `describe` says is the rule: a linear one is computed from the text alone."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from score_tables import NAMES, make_scores

from ensemble import ScorePipeline
from ensemble.combiners import AutoCombiner, Stacking, Voting

NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"


def numbers_of(pattern, text):
    """Return the numbers wherever the text is like the pattern, "#" being one."""
    found = re.findall(re.escape(pattern).replace(r"\#", NUMBER), text)
    return [tuple(map(float, [one] if isinstance(one, str) else one)) for one in found]


def drawn_near(value, low, high, spread):
    end = min(max(value, low), high)
    away = value - end
    return end + (away / (1 + abs(away) / spread) if spread else 0)


def by_hand(text, row):
    """Compute P(fake) of one row as somebody would who has only the description."""
    x = {}
    for name in NAMES:
        p = row[name]
        if math.isnan(p):
            continue
        for mean, spread in numbers_of(
            f"{name}: p = 1 / (1 + exp(-z)) with z = (score - #) / #", text
        ):
            p = 1 / (1 + math.exp(-(p - mean) / spread))
        for (clip,) in numbers_of("each score p is kept # or more away", text):
            p = min(max(p, clip), 1 - clip)
            p = math.log(p / (1 - p))
        for mean, spread in numbers_of(f"{name}: x = (p - #) / #", text):
            p = (p - mean) / spread
        for ends in numbers_of(f"{name}: ends # and #, spread #", text):
            p = drawn_near(p, *ends)
        for (neutral,) in numbers_of("then x is counted from #", text):
            p -= neutral
        x[name] = p
    if not x:
        return math.nan
    line = re.search(r"^  (log-odds|score) = (.*)$", text, re.M)
    intercept = float(re.match(NUMBER, line[2])[1])
    terms = re.findall(rf"([+-]) {NUMBER} \* x\[(\w+)\]", line[2])
    weights = {name: float(sign + number) for sign, number, name in terms}
    there = sum(weights[name] for name in x)
    combined = intercept + sum(weights[name] * x[name] for name in x) * (
        sum(weights.values()) / there
    )
    s = 1 / (1 + math.exp(-combined)) if line[1] == "log-odds" else combined
    s = min(max(s, 1e-12), 1 - 1e-12)
    t = {"t": math.log(s / (1 - s)), "t1": math.log(s), "t2": -math.log(1 - s)}
    for name in t:
        for ends in numbers_of(f"  {name} beyond # or # counts for less, by a spread "
                               "of #:", text):  # fmt: skip
            t[name] = drawn_near(t[name], *ends)
    odds = None
    for intercept, slope in numbers_of(
        "calibrated log-odds = # + # * t  (platt)", text
    ):
        odds = intercept + slope * t["t"]
    for (divisor,) in numbers_of("calibrated log-odds = t / #  (temp", text):
        odds = t["t"] / divisor
    for c, a, b in numbers_of("calibrated log-odds = # + # * t1 + # * t2  (beta", text):
        odds = c + a * t["t1"] + b * t["t2"]
    if odds is None:
        assert "Calibration: none; P(fake) = s" in text
        return s
    found = re.search(rf"log-odds of P\(fake\) ([+-]) {NUMBER}", text)
    if found:
        odds += float(found[1] + found[2])
    return 1 / (1 + math.exp(-odds))


RULES = [
    ScorePipeline("logistic"),
    ScorePipeline(Stacking(shrinkage=0.0), prior=0.03),
    ScorePipeline(Stacking(scale="probability", shrinkage=1.0)),
    ScorePipeline("log_odds", "temperature"),
    ScorePipeline("soft", "beta"),
    ScorePipeline(Voting("soft", weights=[3, 2, 1]), None),
    ScorePipeline("weighted"),
    ScorePipeline("greedy"),
]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_p_fake_of_a_linear_rule_can_be_computed_by_hand(rule):
    rule = rule.set_params(n_boot=5).fit(*make_scores())
    draw = np.random.default_rng(9)
    new = pd.DataFrame(draw.random((40, 3)), columns=NAMES)
    new.iloc[:10] **= 6  # beyond what training held
    new.iloc[10:14, 0] = np.nan
    new.iloc[14, :2] = np.nan
    new.iloc[15] = np.nan
    new.iloc[16] = [0.0, 1.0, 1.0]
    text = rule.describe()
    expected = [by_hand(text, row) for _, row in new.iterrows()]
    np.testing.assert_allclose(rule.fake_score(new), expected, atol=2e-5)


@pytest.mark.slow_after(1)
@pytest.mark.filterwarnings("ignore:columns with values outside 0 to 1")
@pytest.mark.parametrize("scale", ["standard", "detect"])
def test_numbers_on_scales_of_their_own_are_computed_by_hand(scale):
    scores, y, groups = make_scores()
    raw = 3 + 2 * np.log(scores / (1 - scores))
    raw["resnet"] = scores["resnet"]
    rule = ScorePipeline(Stacking(scale=scale), n_boot=5).fit(raw, y, groups)
    text = rule.describe()
    expected = [by_hand(text, row) for _, row in raw.iterrows()]
    np.testing.assert_allclose(rule.fake_score(raw), expected, atol=2e-5)


def test_says_what_it_was_learned_from_and_how_often_it_errs():
    rule = ScorePipeline("log_odds", threshold="fpr=0.1", n_boot=5)
    text = rule.fit(*make_scores()).describe()
    assert "3 detectors, learned from 80 real and 80 fake videos (40 groups)" in text
    assert f"FAKE is said where P(fake) is above {rule.threshold_:.6g}" in text
    rate, low, high = rule.rates_.loc["miss"][:3]
    assert f"miss: {100 * rate:.3g} % ({100 * low:.3g} % to {100 * high:.3g} %)" in text
    assert "out of fold" in text
    assert "simulated scores only" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("combiner", "calibration", "words"),
    [
        ("lightgbm", "isotonic", "by lightgbm is no weighted sum"),
        ("free_logistic", "platt", "with monotone=False fills missing scores"),
        ("median", "venn_abers", "a vote of kind 'median' is no sum"),
        ("rank", "platt", "between these points by straight lines (some of"),
    ],
)
def test_other_rules_are_described_as_far_as_they_can_be(combiner, calibration, words):
    rule = ScorePipeline(combiner, calibration, n_boot=5).fit(*make_scores())
    assert words in rule.describe()


@pytest.mark.slow
def test_a_mixture_says_scale_and_shares_and_only_what_holds_of_it():
    scores, y, _ = make_scores()
    scores = scores.fillna(0.5).assign(mesonet=300 * scores["mesonet"])
    mixture = AutoCombiner(["logistic", "free_logistic"], verbose=True)
    rule = ScorePipeline(mixture, prior=0.02, n_boot=5).fit(scores, y)
    text = rule.describe()
    assert "Scale:\n  mesonet: p = 1 / (1 + exp(-z)) with z = (score - " in text
    assert "verbose" not in text
    assert "group" not in text.replace("no groups were given", "")
    shares = ", ".join(
        f"{w:.6g} {n}" for w, n in zip(rule.weights_, scores, strict=True)
    )
    assert f"share of each detector in how far the score moves: {shares}" in text
    assert "These videos are 50 % fake; wrong and unsure are of this mix, not" in text
    assert "least log loss" in text
    assert "but for a pull towards equal weights" in text


def test_a_rule_in_doubt_says_so():
    scores, y, _ = make_scores(40)
    with pytest.warns(UserWarning, match="one group"):
        rule = ScorePipeline("soft").fit(scores, y, np.where(y == 1, 0, range(40)))
    assert "Errors: unknown; a class was in one group" in rule.describe()


def test_one_detector_is_one_and_what_is_not_said_has_no_errors():
    scores, y, groups = make_scores()
    one = ScorePipeline("log_odds", n_boot=0).fit(scores[["xception"]], y, groups)
    text = one.describe()
    assert "on the scores of 1 detector, learned" in text
    assert "Errors of these verdicts out of fold" in text
    y = np.random.default_rng(0).permutation(y)
    chance = ScorePipeline("log_odds", n_boot=0).fit(scores, y, groups)
    text = chance.describe()
    assert "But every verdict is UNSURE" in text
    assert "Errors of what the verdicts would be, were they not all UNSURE," in text
