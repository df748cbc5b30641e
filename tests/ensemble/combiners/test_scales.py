"""Scales on which scores are combined, as the user states them."""

import warnings

import numpy as np
import pytest
from family import fitted, make_scores
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    GreedySelection,
    Stacking,
    Voting,
)


@pytest.mark.slow
def test_far_off_numbers_are_taken():
    scores, y, _ = make_scores(200)
    for offset, unit in ((1e9, 1), (0, 1e9), (0, 1e-9)):
        combiner = Stacking(scale=None).fit(offset + unit * scores, y)
        assert np.isfinite(combiner.fake_score(offset + unit * scores)).all()


@pytest.mark.parametrize(
    "combiner",
    [
        Voting(scale="auto"),
        Voting("median", scale="probability"),
        Stacking(scale="log_odds"),
        GreedySelection(scale="probability"),
        Bagging(Voting(scale="log_odds"), n_replicas=2),
        AutoCombiner(["soft", "median"], scale="probability"),
        Stacking(layers=[[Voting(scale="auto"), "soft"]]),
    ],
)
def test_stated_scales_of_p_fake_refuse_other_numbers(combiner):
    scores, y, groups = make_scores()
    wild = scores.copy()
    wild[0, 0], wild[1, 2] = 1.5, -3.0
    message = (
        r"scores must be P\(fake\), 0 to 1, or NaN; got column 0 \(.* to 1.5\), column "
        r'2 \(-3 to .*\); use scale="detect"'
    )
    with pytest.raises(ValueError, match=message):
        clone(combiner).fit(wild, y, groups=groups)
    weight = np.ones(len(y))
    weight[:2] = 0  # a row that takes no part is not looked at
    fitted = clone(combiner).fit(wild, y, groups=groups, sample_weight=weight)
    with pytest.warns(UserWarning, match="2 scores outside 0 to 1 count as missing"):
        score = fitted.fake_score(wild)
    wild[0, 0] = wild[1, 2] = np.nan
    np.testing.assert_array_equal(score, fitted.fake_score(wild))


def test_rounding_of_single_precision_is_not_outside():
    scores, y, groups = make_scores()
    above = scores.copy()
    above[:5, 0], above[5:9, 1] = 1.0000002, -1e-7
    for scale in ("probability", "detect"):
        combiner = GreedySelection(n_rounds=9, scale=scale)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            score = combiner.fit(above, y, groups=groups).fake_score(above)
        expected = clone(combiner).fit(above.clip(0, 1), y, groups=groups)
        np.testing.assert_array_equal(score, expected.fake_score(above.clip(0, 1)))


@pytest.mark.parametrize("scale", ["rank", "standard", None])
def test_other_scales_take_any_numbers(scale):
    scores, y, groups = make_scores()
    for combiner in (Voting("soft", scale=scale), Stacking(scale=scale)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            combiner.fit(100 * scores - 50, y, groups=groups)
            score = combiner.fake_score(100 * scores - 50)
        assert roc_auc_score(y, score) > 0.7


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("scale", ["rank", "standard"])
def test_units_do_not_matter_to_ranks_and_standardised_scores(scale):
    scores, y, groups = make_scores()
    other = scores * [1, 10, 1000, 0.1] + [0, 5, -200, 1]
    for combiner in (
        Voting("soft", scale=scale),
        Stacking(scale=scale),
        AutoCombiner(["log_odds", "weighted", "calibrated"], scale=scale),
    ):
        np.testing.assert_allclose(
            clone(combiner).fit(other, y, groups=groups).fake_score(other),
            clone(combiner).fit(scores, y, groups=groups).fake_score(scores),
            rtol=1e-6,
        )


def test_ranks_of_a_table_are_what_candidates_see():
    scores, y, groups = make_scores(61)
    ranks = (np.argsort(np.argsort(scores, axis=0), axis=0) + 0.5) / 61
    one = AutoCombiner(["soft"], scale="rank").fit(9 * scores - 4, y, groups=groups)
    np.testing.assert_allclose(one.fake_score(9 * scores - 4), ranks.mean(axis=1))


def test_a_combiner_inside_may_rank_for_itself():
    scores, y, groups = make_scores(61)
    inner = AutoCombiner(["soft"], scale="rank")
    outer = Stacking(layers=[[inner]], shrinkage=9.0)
    moved = outer.fit(9 * scores - 4, y, groups=groups).contributions(9 * scores - 4)
    middle = np.median(9 * scores - 4, axis=0)  # neutral, as it stands in the table
    without = np.where(np.arange(4) == 2, middle, 9 * scores - 4)
    log_odds = [
        np.log(p / (1 - p)) for p in map(outer.fake_score, [9 * scores - 4, without])
    ]
    np.testing.assert_allclose(moved[:, 2], log_odds[0] - log_odds[1], atol=1e-9)


def test_raw_scores_go_only_to_candidates_that_take_them():
    scores, y, _ = make_scores()
    with pytest.raises(ValueError, match="as they are, and soft expect P"):
        AutoCombiner(["rank", "soft"], scale=None).fit(scores, y)
    with pytest.raises(ValueError, match="did you mean 'standard'"):
        AutoCombiner(["soft"], scale="standart").fit(scores, y)
    fitted = AutoCombiner([Voting("soft", scale=None)], scale=None).fit(5 * scores, y)
    expected = 1 / (1 + np.exp(-5 * scores.mean(axis=1)))
    np.testing.assert_allclose(fitted.fake_score(5 * scores), expected)


@pytest.mark.parametrize("combiner", [Voting("soft", scale="logodds"), Stacking()])
def test_unknown_scales_and_clips_are_refused(combiner):
    combiner = clone(combiner)
    if isinstance(combiner, Voting):
        with pytest.raises(ValueError, match="did you mean 'log_odds'"):
            combiner.fit([[0.1], [0.9]], [0, 1])
    with pytest.raises(ValueError, match="clip must be between 0 and 0.5; got 0.7"):
        combiner.set_params(scale="log_odds", clip=0.7).fit([[0.1], [0.9]], [0, 1])


def test_kinds_of_voting_have_their_own_scale():
    scores, y, groups = make_scores()
    for name in ("log_odds", "soft", "rank", "hard", "median"):
        auto = fitted(name, scores, y, groups)
        stated = clone(auto).set_params(scale="auto").fit(scores, y, groups=groups)
        np.testing.assert_array_equal(
            auto.fake_score(scores), stated.fake_score(scores)
        )
