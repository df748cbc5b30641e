"""Pooling against hand-computed vectors and the sources' own loops."""

import math

import numpy as np
import pytest

from base_models.scoring.pooling import POOLINGS, pool_scores


@pytest.mark.parametrize(
    ("pooling", "scores", "expected"),
    [
        ("mean", [0.1, 0.2, 0.9], 0.4),
        ("median", [0.1, 0.2, 0.9], 0.2),
        ("median", [0.1, 0.2, 0.4, 0.9], 0.3),
        ("max", [0.1, 0.9, 0.2], 0.9),
        # Odds 1/9 and 9 cancel; odds 1/4 and 4 and 4 leave the cube root of 4.
        ("logit_mean", [0.1, 0.9], 0.5),
        ("logit_mean", [0.2, 0.8, 0.8], 4 ** (1 / 3) / (1 + 4 ** (1 / 3))),
        # A certain 0 and a certain 1 are held at the same distance and cancel.
        ("logit_mean", [0.0, 1.0], 0.5),
        # 12 of 30 are sure fakes, and 12 > 30 // 2.5 does not hold: plain mean.
        ("confident", [0.9] * 12 + [0.5] * 18, (12 * 0.9 + 18 * 0.5) / 30),
        # 13 of 30 are: their mean.
        ("confident", [0.9] * 13 + [0.5] * 17, 0.9),
        # 11 of 12 are, yet 11 is too few.
        ("confident", [0.9] * 11 + [0.5], (11 * 0.9 + 0.5) / 12),
        # 12 of 12 are.
        ("confident", [0.9] * 12, 0.9),
        # 0.8 itself is not above 0.8.
        ("confident", [0.8] * 20 + [0.4] * 5, (20 * 0.8 + 5 * 0.4) / 25),
        # 10 of 11 sure reals are more than 9 in 10; 9 of 10 are not.
        ("confident", [0.1] * 10 + [0.6], 0.1),
        ("confident", [0.1] * 9 + [0.6], 0.15),
        # One frame: 0.5 + 0.25 ** 0.65.
        ("power", [0.75], 0.5 + 0.25**0.65),
        # Held at 0.99 and 0.01, weights 0.5 + 1e-4 each.
        ("power", [1.0, 0.0], 0.5),
        ("power", [1.0], 0.99),
        ("power", [0.5, 0.5], 0.5),
        # Pushed to 0.906126 and 0.276128, weights 0.2501 and 0.1001.
        ("power", [0.75, 0.4], 0.726050),
    ],
)
def test_pools_as_computed_by_hand(pooling, scores, expected):
    assert pool_scores(scores, pooling) == pytest.approx(expected, abs=1e-6)


def power_as_published(probabilities):
    """The lines of predict.py, one frame at a time."""
    total = weights = 0.0
    for p in probabilities:
        delta = p - 0.5
        pushed = p
        if delta > 0:
            pushed = min(max(0.5 + abs(delta) ** 0.65, 0.01), 0.99)
        elif delta < 0:
            pushed = min(max(0.5 - abs(delta) ** 0.65, 0.01), 0.99)
        weight = abs(delta) + 1e-4
        total += pushed * weight
        weights += weight
    return total / weights


def test_power_agrees_with_a_naive_loop():
    rng = np.random.default_rng(0)
    for n in [1, 2, 7, 50]:
        scores = rng.beta(0.5, 0.5, n)
        assert pool_scores(scores, "power") == pytest.approx(power_as_published(scores))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_named_pooling_keeps_to_the_contract(pooling):
    scores = np.random.default_rng(1).random(40)
    pooled = pool_scores(scores, pooling)
    assert type(pooled) is float
    assert 0 <= pooled <= 1
    assert pool_scores(np.append(scores, np.nan), pooling) == pooled
    assert pool_scores(scores[::-1], pooling) == pytest.approx(pooled)
    assert math.isnan(pool_scores([], pooling))
    assert math.isnan(pool_scores([np.nan, np.nan], pooling))


def test_a_callable_gets_the_scores_without_nan():
    seen = []
    pooled = pool_scores([0.3, np.nan, 0.1], lambda s: seen.append(s) or s[0])
    assert pooled == 0.3
    np.testing.assert_array_equal(seen[0], [0.3, 0.1])


@pytest.mark.parametrize(
    ("scores", "pooling", "message"),
    [
        ([0.5], "meen", "unknown pooling 'meen'; did you mean 'mean'"),
        ([0.5], "xyz", r"unknown pooling 'xyz'; choose from \['mean'"),
        ([], "meen", "did you mean 'mean'"),
        ([[0.5]], "mean", r"shape \(n_frames,\).*got \(1, 1\)"),
        ([0.5, 3.2], "mean", "0 to 1; got 3.2"),
        ([-np.inf], "mean", "0 to 1; got -inf"),
    ],
)
def test_bad_input_is_refused(scores, pooling, message):
    with pytest.raises(ValueError, match=message):
        pool_scores(scores, pooling)
