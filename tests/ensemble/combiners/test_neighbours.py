import tracemalloc

import numpy as np
import pytest
from sklearn.metrics.pairwise import nan_euclidean_distances

from ensemble.combiners import DynamicSelection
from ensemble.combiners.parts.neighbours import Neighbours


def make_rows(kind, n_rows, n_detectors=6, seed=0):
    draw = np.random.default_rng(seed)
    scores = draw.normal(0, 3, (n_rows, n_detectors))
    if kind == "missing":
        scores[draw.random(scores.shape) < 0.5] = np.nan
        scores[np.isnan(scores).all(axis=1), 0] = 1.0
    elif kind == "votes":
        scores = (scores > 0).astype(float)
    elif kind == "one far away":
        scores[0] = 1e30
    elif kind == "close together":
        scores = 1000 + 1e-4 * scores
    return scores


def expected(scores, known, apart=None):
    """Mean squared differences by scikit-learn, those of other rows at infinity."""
    n_detectors = scores.shape[1]
    distance = nan_euclidean_distances(scores, known) ** 2 / n_detectors
    distance = np.where(np.isnan(distance), np.inf, distance)
    return distance if apart is None else np.where(apart, np.inf, distance)


@pytest.mark.parametrize("number", [1, 9, 50, 250, 300])
@pytest.mark.parametrize("kind", ["plain", "missing", "votes"])
def test_the_nearest_rows_are_found(kind, number):
    known, scores = make_rows(kind, 300), make_rows(kind, 40, seed=1)
    order, distance = Neighbours(known).nearest(scores, number)
    everything = expected(scores, known)
    nearest = np.sort(everything, axis=1)[:, :number]
    np.testing.assert_allclose(distance, nearest, atol=1e-10)
    found = np.take_along_axis(everything, order, axis=1)
    in_reach = np.isfinite(distance)
    np.testing.assert_allclose(found[in_reach], distance[in_reach], atol=1e-10)
    assert all(len(set(row)) == number for row in order[in_reach.all(axis=1)])


@pytest.mark.parametrize("kind", ["one far away", "close together"])
def test_rounding_of_the_product_costs_no_neighbour(kind):
    known, scores = make_rows(kind, 500), make_rows(kind, 60, seed=1)
    order, _ = Neighbours(known).nearest(scores, 7)
    squared = ((scores[:, None] - known[None]) ** 2).mean(axis=2)
    np.testing.assert_array_equal(order, np.argsort(squared, axis=1)[:, :7])


def test_equally_near_rows_come_in_the_order_in_which_they_are_known():
    known = np.repeat(make_rows("plain", 100), 3, axis=0)
    order, _ = Neighbours(known).nearest(make_rows("plain", 20, seed=1), 9)
    triples = order.reshape(20, 3, 3)
    assert (triples % 3 == [0, 1, 2]).all()
    assert (triples // 3 == triples[:, :, :1] // 3).all()


@pytest.mark.parametrize("n_groups", [2, 40])
@pytest.mark.parametrize("kind", ["plain", "missing"])
def test_rows_of_the_own_group_are_out_of_reach(kind, n_groups):
    known = make_rows(kind, 400)
    groups = np.random.default_rng(2).integers(0, n_groups, 400)
    neighbours = Neighbours(known, groups)
    order, distance = neighbours.nearest(known[:50], 30, groups[:50])
    own = groups[:50, None] == groups
    nearest = np.sort(expected(known[:50], known, own), axis=1)[:, :30]
    np.testing.assert_allclose(distance, nearest, atol=1e-10)
    in_reach = np.isfinite(distance)
    assert not np.take_along_axis(own, order, axis=1)[in_reach].any()
    values = np.random.default_rng(3).random((400, 2))
    sums = neighbours.sums_in_reach(values, known[:50], groups[:50])
    far = np.isinf(expected(known[:50], known, own))
    np.testing.assert_allclose(sums, np.where(far, 0.0, 1.0) @ values)


def test_fewer_rows_in_reach_than_asked_for_end_at_infinity():
    known = make_rows("plain", 200)
    groups = np.array([0] * 197 + [1] * 3)
    order, distance = Neighbours(known, groups).nearest(known[:5], 20, groups[:5])
    assert np.isfinite(distance).sum(axis=1).tolist() == [3] * 5
    assert set(order[:, :3].ravel()) == {197, 198, 199}


def test_memory_does_not_grow_with_the_rows_that_are_scored():
    draw = np.random.default_rng(0)
    scores, y = draw.random((4000, 5)), np.arange(4000) % 2
    combiner = DynamicSelection(n_neighbors=30).fit(scores, y)
    peaks = []
    for n_rows in (1000, 20_000):
        rows = draw.random((n_rows, 5))
        tracemalloc.start()
        combiner.fake_score(rows)
        copies = 10 * rows.nbytes  # of the table, scores and weights
        peaks.append(tracemalloc.get_traced_memory()[1] - copies)
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_many_detectors_are_looked_at_in_smaller_blocks():
    known = make_rows("plain", 300, n_detectors=200)
    neighbours = Neighbours(known)
    assert neighbours.at_once < 40
    order, _ = neighbours.nearest(known[: neighbours.at_once], 1)
    assert order[:, 0].tolist() == list(range(neighbours.at_once))
