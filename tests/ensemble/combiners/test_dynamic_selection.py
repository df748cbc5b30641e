import numpy as np
import pytest
from scipy.special import expit, logit

from ensemble.combiners import DynamicSelection, Voting
from ensemble.metrics import log_loss


def make_regions(n=600, seed=0):
    """Two detectors, each right where the third score says so, and a hint which."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    first = draw.random(n) < 0.5
    right = expit(draw.normal(0, 0.7, n) + np.where(y == 1, 1.5, -1.5))
    noise = draw.random(n)
    hint = np.where(first, 0.999, 0.001)
    return np.column_stack(
        [np.where(first, right, noise), np.where(first, noise, right), hint]
    ), y


def make_scores(n=80, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return expit(draw.normal(0, 1.5, (n, 3)) + np.outer(y - 0.5, [3, 2, 1])), y


def neighbours_of(video, scores, k):
    distance = ((logit(scores) - logit(video)) ** 2).mean(axis=1)
    return np.argsort(distance)[:k]


def test_log_loss_weights_are_likelihoods_of_the_neighbours():
    scores, y = make_scores()
    fresh, _ = make_scores(10, seed=1)
    combiner = DynamicSelection(n_neighbors=9, sharpness=2.0).fit(scores, y)
    for video, weights in zip(fresh, combiner.local_weights(fresh), strict=True):
        near = neighbours_of(video, scores, 9)
        likely = np.where(y[near, None] == 1, scores[near], 1 - scores[near])
        expected = np.exp(2.0 * np.log(likely).mean(axis=0))
        np.testing.assert_allclose(weights, expected / expected.sum())


def test_union_counts_the_neighbours_a_detector_gets_right():
    scores, y = make_scores()
    fresh, _ = make_scores(10, seed=1)
    combiner = DynamicSelection("union", n_neighbors=9).fit(scores, y)
    for video, weights in zip(fresh, combiner.local_weights(fresh), strict=True):
        near = neighbours_of(video, scores, 9)
        votes = ((scores[near] > 0.5) == (y[near, None] == 1)).sum(axis=0)
        np.testing.assert_allclose(weights, votes / votes.sum())


def test_eliminate_keeps_detectors_that_get_all_of_the_nearest_right():
    scores, y = make_scores()
    fresh, _ = make_scores(20, seed=1)
    combiner = DynamicSelection("eliminate", n_neighbors=9).fit(scores, y)
    for video, weights in zip(fresh, combiner.local_weights(fresh), strict=True):
        for k in range(9, 0, -1):
            near = neighbours_of(video, scores, k)
            oracle = ((scores[near] > 0.5) == (y[near, None] == 1)).all(axis=0)
            if oracle.any():
                break
        expected = oracle if oracle.any() else np.ones(3)
        np.testing.assert_allclose(weights, expected / expected.sum())


def test_all_neighbours_are_all_known_videos():
    scores, y = make_scores(300)
    fresh, _ = make_scores(5, seed=1)
    likely = np.where(y[:, None] == 1, scores, 1 - scores)
    expected = np.exp(2.0 * np.log(likely).mean(axis=0))
    combiner = DynamicSelection(n_neighbors=np.inf, sharpness=2.0).fit(scores, y)
    for weights in combiner.local_weights(fresh):
        np.testing.assert_allclose(weights, expected / expected.sum())


def test_elimination_among_all_takes_who_errs_farthest():
    scores, y = make_scores(300)
    fresh, _ = make_scores(20, seed=1)
    combiner = DynamicSelection("eliminate", n_neighbors=np.inf).fit(scores, y)
    for video, weights in zip(fresh, combiner.local_weights(fresh), strict=True):
        near = neighbours_of(video, scores, 300)
        wrong = (scores[near] > 0.5) != (y[near, None] == 1)
        first = wrong.argmax(axis=0)
        farthest = first == first.max() if first.max() else np.ones(3)
        np.testing.assert_allclose(weights, farthest / farthest.sum())


def test_the_score_is_the_locally_weighted_mean():
    scores, y = make_scores()
    combiner = DynamicSelection(n_neighbors=9).fit(scores, y)
    mean = (logit(scores) * combiner.local_weights(scores)).sum(axis=1)
    np.testing.assert_allclose(combiner.fake_score(scores), expit(mean))


def test_each_region_is_left_to_the_detector_that_knows_it():
    scores, y = make_regions()
    fresh, truth = make_regions(seed=1)
    combiner = DynamicSelection().fit(scores, y)
    weights = combiner.local_weights(fresh)
    first = fresh[:, 2] > 0.5
    assert combiner.n_neighbors_ < np.inf
    assert weights[first, 0].mean() > 2 * weights[first, 1].mean()
    assert weights[~first, 1].mean() > 2 * weights[~first, 0].mean()
    global_loss = log_loss(
        truth, Voting(weights="learned").fit(scores, y).fake_score(fresh)
    )
    assert log_loss(truth, combiner.fake_score(fresh)) < 0.9 * global_loss


def test_neighbours_of_the_own_group_do_not_count_in_fit():
    """Copies of each video flatter few neighbours; by group nothing is gained."""
    draw = np.random.default_rng(0)
    groups = np.arange(60).repeat(8)
    y = draw.integers(0, 2, 60)[groups]
    scores = draw.random((60, 3))[groups] + draw.uniform(-1e-3, 1e-3, (480, 3))
    scores = scores.clip(0.01, 0.99)
    assert DynamicSelection(sharpness=20).fit(scores, y).n_neighbors_ == 7
    by_group = DynamicSelection(sharpness=20).fit(scores, y, groups=groups)
    assert by_group.n_neighbors_ > 60


def test_missing_scores_have_no_weight_and_no_say():
    scores, y = make_scores()
    combiner = DynamicSelection(n_neighbors=9).fit(scores, y)
    row = np.array([[0.9, np.nan, 0.3], [np.nan, np.nan, np.nan]])
    weights = combiner.local_weights(row)
    assert weights[0, 1] == 0
    assert np.isclose(weights[0].sum(), 1)
    assert not weights[1].any()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"competence": "unions"}, "did you mean 'union'"),
        ({"n_neighbors": 0}, "above 0 or 'auto'; got 0"),
        ({"n_neighbors": "all"}, "above 0 or 'auto'; got 'all'"),
        ({"sharpness": -1}, "sharpness must be >= 0 and finite; got -1"),
    ],
)
def test_bad_parameters_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DynamicSelection(**kwargs).fit(*make_scores(20))
