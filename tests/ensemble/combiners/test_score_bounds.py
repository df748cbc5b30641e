"""Bounds of a score hold whatever the detectors say that were not asked."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from ensemble.combiners import resolve_combiner

KINDS = ["log_odds", "soft", "rank", "hard", "median", "max", "min", "trimmed"]
KINDS += ["weighted", "logistic", "calibrated", "free_logistic", "plain_logistic"]
KINDS += ["lightgbm"]  # its trees rise
SCORE = st.one_of(st.floats(0, 1), st.just(np.nan), st.sampled_from([0.0, 0.5, 1.0]))


def learned(name):
    """Fit on four detectors of unlike scale, the last of them wrong, with gaps."""
    draw = np.random.default_rng(3)
    y = np.arange(60) % 2
    pull = np.array([0.5, 0.3, 0.02, -0.3])
    scores = 0.5 + (y[:, None] - 0.5) * pull + 0.15 * draw.normal(size=(60, 4))
    scores[draw.random(scores.shape) < 0.1] = np.nan
    return resolve_combiner(name, 0).fit(np.clip(scores, 0, 1), y)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_no_score_lies_beyond_and_some_lie_at_the_bounds(name):
    combiner = learned(name)

    @settings(max_examples=25, deadline=None)
    @given(arrays(float, (3, 4), elements=SCORE), st.lists(st.booleans(), min_size=4,
                                                           max_size=4))  # fmt: skip
    def holds(rows, asked):
        asked = np.array(asked)
        low, high = combiner.score_bounds(rows, asked)
        reached = combiner.fake_score(rows)
        known = ~np.isnan(reached) & ~np.isnan(low)
        assert (low[known] <= reached[known]).all()
        assert (reached[known] <= high[known]).all()
        (left,) = np.nonzero(~asked)
        ends = []
        for values in product([0.0, 1.0, np.nan], repeat=len(left)):
            rows[:, left] = values
            ends.append(combiner.fake_score(rows))
        known = ~np.isnan(low)
        np.testing.assert_allclose(low[known], np.min(ends, 0)[known], atol=1e-9)
        np.testing.assert_allclose(high[known], np.max(ends, 0)[known], atol=1e-9)

    holds()


@pytest.mark.parametrize("name", ["pairs", "mlp", "free_lightgbm"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_neither_rising_nor_linear_offers_no_bounds(name):
    asked = np.array([True, True, False, True])
    assert learned(name).score_bounds(np.full((1, 4), 0.5), asked) is None
