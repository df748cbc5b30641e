import numpy as np
import pytest
from scipy.special import expit

from ensemble.combiners import Bagging, Stacking, Voting
from ensemble.resampling import GroupBootstrap


def make_scores(n=90, seed=0):
    draw = np.random.default_rng(seed)
    y = (np.arange(n) // 3) % 2
    scores = expit(draw.normal(0, 1.5, (n, 3)) + np.outer(y - 0.5, [3, 2, 1]))
    return scores, y, np.arange(n) // 3


def test_replicas_are_fitted_on_drawn_groups_and_averaged():
    scores, y, groups = make_scores()
    combiner = Bagging(Stacking(shrinkage=5.0), n_replicas=6).fit(scores, y, groups)
    assert len(combiner.combiners_) == 6
    inside = scores[:, combiner.detector_order_]
    mean = np.mean([one.fake_score(inside) for one in combiner.combiners_], axis=0)
    np.testing.assert_allclose(combiner.fake_score(scores), mean)
    weights = np.mean([one.weights_ for one in combiner.combiners_], axis=0)
    np.testing.assert_allclose(combiner.weights_[combiner.detector_order_], weights)


def test_out_of_bag_scores_come_from_replicas_without_the_group():
    scores, y, groups = make_scores()
    shuffled = np.random.default_rng(1).permutation(90)
    scores, y, groups = scores[shuffled], y[shuffled], groups[shuffled]
    made = []

    class Spy(Stacking):
        def fit(self, X, y, groups=None, sample_weight=None):
            made.append(self)
            self.seen_ = set(map(tuple, X))
            return super().fit(X, y, groups, sample_weight)

    combiner = Bagging(Spy(shrinkage=5.0), n_replicas=8).fit(scores, y, groups)
    inside = scores[:, combiner.detector_order_]
    expected = np.full(90, np.nan)
    for video, row in enumerate(inside):
        unseen = [one for one in made if tuple(row) not in one.seen_]
        for one in unseen:  # nor any other video of the group
            assert not {tuple(r) for r in inside[groups == groups[video]]} & one.seen_
        if unseen:
            expected[video] = np.mean([one.fake_score([row])[0] for one in unseen])
    np.testing.assert_allclose(combiner.oob_scores_, expected)
    known = ~np.isnan(expected)
    accuracy = np.mean((expected[known] > 0.5) == y[known])
    assert np.isclose(combiner.oob_score_, accuracy)
    assert 0.9 < known.mean() <= 1


def test_draws_are_those_of_the_group_bootstrap():
    scores, y, groups = make_scores()
    combiner = Bagging("rank", n_replicas=3, random_state=5).fit(scores, y, groups)
    n_left_out = [
        len(test)
        for _, test in GroupBootstrap(3, random_state=5).split(scores, y, groups)
    ]
    known = ~np.isnan(combiner.oob_scores_)
    assert max(n_left_out) <= known.sum() <= sum(n_left_out)


def test_out_of_bag_scores_keep_the_order_and_say_what_has_none():
    scores, y, groups = make_scores()
    scores[4] = np.nan
    weight = np.ones(90)
    weight[7] = 0
    combiner = Bagging("soft").fit(scores, y, groups, weight)
    assert np.isnan(combiner.oob_scores_[[4, 7]]).all()
    known = ~np.isnan(combiner.oob_scores_)
    plain = Voting("soft").fit(scores, y).fake_score(scores)
    np.testing.assert_allclose(combiner.oob_scores_[known], plain[known])


def test_one_group_a_class_leaves_nothing_out_of_bag():
    scores, y, _ = make_scores()
    combiner = Bagging("soft").fit(scores, y, groups=y)
    assert len(combiner.combiners_) == 1
    assert np.isnan(combiner.oob_score_)
    assert np.isnan(combiner.oob_scores_).all()


def test_units_do_not_matter_to_bagged_ranks():
    scores, y, groups = make_scores()
    plain = Bagging("rank", n_replicas=3).fit(scores, y, groups)
    other = Bagging("rank", n_replicas=3).fit(50 * scores - 7, y, groups)
    np.testing.assert_allclose(
        other.contributions(50 * scores - 7), plain.contributions(scores), atol=1e-9
    )
    assert (plain.contributions([[0.99] * 3]) > 0).all()


def test_no_number_of_replicas_is_refused():
    with pytest.raises(ValueError, match="n_replicas must be a whole number"):
        Bagging(n_replicas=0).fit(*make_scores()[:2])
