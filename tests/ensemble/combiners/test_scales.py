"""Scales on which scores are combined."""

import warnings

import numpy as np
import pytest
from family import fitted, make_scores
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from ensemble.combiners import (
    Stacking,
    Voting,
)


def test_far_off_numbers_are_taken():
    scores, y, _ = make_scores(200)
    for offset, unit in ((1e9, 1), (0, 1e9), (0, 1e-9)):
        combiner = Stacking(scale=None).fit(offset + unit * scores, y)
        assert np.isfinite(combiner.fake_score(offset + unit * scores)).all()


@pytest.mark.parametrize("name", ["log_odds", "soft", "hard", "logistic", "lightgbm"])
def test_scores_out_of_range_are_clipped_with_a_warning(name):
    scores, y, groups = make_scores()
    wild = scores.copy()
    wild[0, 0], wild[1, 1] = 1.5, -3.0
    with pytest.warns(UserWarning, match=r"2 of 240 scores are outside \[0, 1\]"):
        combiner = fitted(name, wild, y, groups)
    tame = fitted(name, wild.clip(0, 1), y, groups)
    np.testing.assert_array_equal(tame.fake_score(scores), combiner.fake_score(scores))
    with pytest.warns(UserWarning, match="outside"):
        np.testing.assert_array_equal(
            combiner.fake_score(wild), combiner.fake_score(wild.clip(0, 1))
        )


@pytest.mark.parametrize("scale", ["rank", "standard", None])
def test_other_scales_take_any_numbers(scale):
    scores, y, groups = make_scores()
    for combiner in (Voting("soft", scale=scale), Stacking(scale=scale)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            combiner.fit(100 * scores - 50, y, groups=groups)
            score = combiner.fake_score(100 * scores - 50)
        assert roc_auc_score(y, score) > 0.7


@pytest.mark.parametrize("scale", ["rank", "standard"])
def test_units_do_not_matter_to_ranks_and_standardised_scores(scale):
    scores, y, groups = make_scores()
    other = scores * [1, 10, 1000, 0.1] + [0, 5, -200, 1]
    for combiner in (Voting("soft", scale=scale), Stacking(scale=scale)):
        np.testing.assert_allclose(
            clone(combiner).fit(other, y, groups=groups).fake_score(other),
            clone(combiner).fit(scores, y, groups=groups).fake_score(scores),
            rtol=1e-6,
        )


@pytest.mark.parametrize("combiner", [Voting("soft", scale="logodds"), Stacking()])
def test_unknown_scales_and_clips_are_refused(combiner):
    combiner = clone(combiner)
    if isinstance(combiner, Voting):
        with pytest.raises(ValueError, match="did you mean 'log_odds'"):
            combiner.fit([[0.1], [0.9]], [0, 1])
    with pytest.raises(ValueError, match="clip must be between 0 and 0.5; got 0.7"):
        combiner.set_params(scale="log_odds", clip=0.7).fit([[0.1], [0.9]], [0, 1])
