"""P(fake) of a video is the same bits, however many others come with it."""

import numpy as np
import pytest

from ensemble.combiners import GreedySelection, OptimizedWeights, Stacking, Voting


@pytest.mark.slow_after(3)
@pytest.mark.parametrize(
    "combiner",
    [Voting("log_odds"), OptimizedWeights(), GreedySelection(), Stacking("logistic")],
    ids=str,
)
def test_a_row_alone_has_the_score_that_it_has_among_others(combiner):
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, 80)
    scores = np.clip(
        0.5 + 0.2 * (2 * y[:, None] - 1) + draw.normal(0, 0.2, (80, 5)), 0, 1
    )
    new = draw.random((201, 5))
    new[draw.random(new.shape) < 0.1] = np.nan
    combiner.fit(scores, y, groups=np.arange(80) // 2)
    whole = combiner.fake_score(new)
    for length in (1, 3, 100):
        parts = [
            combiner.fake_score(new[at : at + length]) for at in range(0, 201, length)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
