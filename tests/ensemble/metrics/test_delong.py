import numpy as np
import pytest

from ensemble.metrics import delong_test
from ensemble.metrics.delong import difference_variance
from ensemble.metrics.within_folds import auc_difference

# DeLong, DeLong, Clarke-Pearson (1988), the 43 patients with all three tests, as in
# SAS/STAT User's Guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic
# Curves": albumin, total protein, K-G score, benefit of surgery
OVARIAN = """
3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0
1.6 5.6 5 1 3.8 5.7 5 1 3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1
4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0 4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1
3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1 4.3 6.5 4 1
3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1
3.5 6.2 5 1 2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1
3.6 6.6 5 1
"""


@pytest.mark.parametrize(
    ("test", "area", "difference", "error", "low", "high", "chi_square", "p_value"),
    [
        (0, 0.7366, 0.0108, 0.0953, -0.1761, 0.1976, 0.0127, 0.9102),
        (1, 0.6478, -0.0780, 0.1046, -0.2830, 0.1271, 0.5554, 0.4561),
    ],
)
def test_the_published_example_comes_out(
    test, area, difference, error, low, high, chi_square, p_value
):
    table = np.array(OVARIAN.split(), float).reshape(-1, 4)
    kg_score = 10 - table[:, 2]
    result = delong_test(table[:, 3].astype(int), table[:, test], kg_score)
    assert result.n_videos == 43
    found = [
        result.first,
        result.second,
        result.difference,
        (result.high - result.low) / (2 * 1.959964),
        result.low,
        result.high,
        result.z**2,
        result.p_value,
    ]
    expected = [area, 0.7258, difference, error, low, high, chi_square, p_value]
    np.testing.assert_allclose(found, expected, atol=5.1e-5)


def some_sets(seed, n_groups=40):
    """Three sets of fakes against the same reals, in groups that span the sets."""
    draw = np.random.default_rng(seed)
    groups = np.arange(n_groups).repeat(6)
    kind = np.tile([0, 0, 0, 1, 2, 3], n_groups)  # 0 is real
    of_group = draw.normal(size=(n_groups, 2))[groups]
    scores = 0.7 * of_group + draw.normal(size=(len(kind), 2)) + (kind > 0)[:, None]
    return groups, kind, scores


def components(groups, kind, scores):
    sets, differences = [], []
    for number in (1, 2, 3):
        rows = (kind == 0) | (kind == number)
        y = (kind[rows] > 0).astype(int)
        first, second, away = auc_difference(y, *scores[rows].T)
        differences.append(first - second)
        sets.append((y, away, groups[rows]))
    return sets, np.mean(differences)


def test_groups_of_one_video_are_no_groups():
    groups, kind, scores = some_sets(0)
    y = (kind > 0).astype(int)
    alone = np.random.default_rng(0).permutation(len(y))
    assert delong_test(y, *scores.T) == delong_test(y, *scores.T, alone)
    assert delong_test(y, *scores.T).z != delong_test(y, *scores.T, groups).z


@pytest.mark.slow
def test_variance_over_sets_is_that_of_fresh_groups():
    """The spread of the mean difference over 400 fresh sets of groups."""
    drawn = [components(*some_sets(seed)) for seed in range(400)]
    spread = np.var([difference for _, difference in drawn])
    told = np.mean([difference_variance(sets) for sets, _ in drawn])
    assert 0.85 < told / spread < 1.15


def test_a_set_given_twice_tells_nothing_new():
    sets, _ = components(*some_sets(1))
    once = difference_variance(sets[:1])
    assert np.isclose(difference_variance([sets[0], sets[0]]), once)
    assert difference_variance(sets) < once
