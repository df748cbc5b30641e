import numpy as np
from scipy.special import expit

from ensemble.combiners import Blending, Stacking


def some_scores(n=90, seed=0):
    draw = np.random.default_rng(seed)
    y = (np.arange(n) // 3) % 2
    scores = expit(draw.normal(0, 1.5, (n, 3)) + np.outer(y - 0.5, [3, 2, 1]))
    return scores, y, np.arange(n) // 3


def test_it_is_its_combiner_fitted_on_the_hold_out_alone():
    scores, y, groups = some_scores()
    combiner = Blending(Stacking(shrinkage=5.0)).fit(scores, y, groups)
    held_out = combiner.held_out_
    assert 0.25 < held_out.mean() < 0.36
    assert not set(groups[held_out]) & set(groups[~held_out])
    plain = Stacking(shrinkage=5.0).fit(
        scores[held_out], y[held_out], groups=groups[held_out]
    )
    np.testing.assert_allclose(combiner.fake_score(scores), plain.fake_score(scores))
    np.testing.assert_allclose(combiner.weights_, plain.weights_)


def test_rows_without_scores_are_not_held_out():
    scores, y, groups = some_scores()
    scores[::7] = np.nan
    combiner = Blending(random_state=3).fit(scores, y, groups)
    assert combiner.held_out_.shape == (90,)
    assert not combiner.held_out_[::7].any()


def test_one_group_a_class_is_taken_whole():
    scores, y, _ = some_scores()
    combiner = Blending("soft").fit(scores, y, groups=y)
    assert combiner.held_out_.all()


def test_the_share_is_as_asked():
    scores, y, groups = some_scores()
    held_out = Blending(test_size=0.5).fit(scores, y, groups).held_out_
    assert abs(held_out.sum() - 45) <= 3  # 15 groups of three a class
