import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.metrics import brier_score_loss, roc_auc_score

from ensemble.combiners import GreedySelection
from ensemble.combiners.greedy_selection import Library, select_greedily

TIE = 1e-10


def make_scores(n=150, n_detectors=5, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    skill = np.linspace(2.5, 0.3, n_detectors)
    log_odds = np.outer(y - 0.5, skill) + draw.normal(0, 1.5, (n, n_detectors))
    return expit(log_odds + draw.normal(0, 1, (n, 1))), y


def log_loss(y, score):
    right = np.where(y == 1, score, 1 - score)
    return np.log(np.clip(right, 1e-15, 1)).mean()


def auc(y, score):
    n_fake = y.sum()
    won = rankdata(score)[y == 1].sum() - n_fake * (n_fake + 1) / 2
    return won / (n_fake * (len(y) - n_fake))


def accuracy(y, score):
    return np.mean((score > 0.5 + 1e-12) == y)


METRICS = {"log_loss": log_loss, "auc": auc, "accuracy": accuracy}


def naive(scores, y, metric, n_rounds, sorted_start, mean_to_score=lambda mean: mean):
    """The loop as Caruana et al. tell it, every mean made anew."""

    def value(added):
        return metric(y, mean_to_score(np.mean([scores[:, j] for j in added], axis=0)))

    def first_best(values):
        return int(np.flatnonzero(np.array(values) >= max(values) - TIE)[0])

    added = []
    if sorted_start:
        singles = np.array([value([j]) for j in range(scores.shape[1])])
        order = np.argsort(-np.round(singles / TIE), kind="stable").tolist()
        n_start = first_best([value(order[: n + 1]) for n in range(len(order))]) + 1
        added = order[:n_start]
    while len(added) < n_rounds:
        values = [value([*added, j]) for j in range(scores.shape[1])]
        added.append(first_best(values))
    values = [value(added[: n + 1]) for n in range(n_rounds)]
    return added, values, first_best(values) + 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("sorted_start", [True, False])
@pytest.mark.parametrize("scale", ["probability", "log_odds"])
@pytest.mark.parametrize("seed", range(3))
def test_trajectory_is_that_of_the_naive_loop(metric, sorted_start, scale, seed):
    scores, y = make_scores(seed=seed)
    combiner = GreedySelection(
        metric, n_rounds=25, sorted_start=sorted_start, scale=scale
    ).fit(scores, y)
    columns = combiner.detector_order_  # ties go to the first of these
    by_content = scores[:, columns]
    if scale == "log_odds":
        by_content = logit(by_content)
    mean_to_score = expit if scale == "log_odds" else lambda mean: mean
    added, values, n_kept = naive(
        by_content, y, METRICS[metric], 25, sorted_start, mean_to_score
    )
    (found,) = combiner.trajectory_
    assert found["detector"].tolist() == columns[added].tolist()
    np.testing.assert_allclose(found["value"], values, rtol=1e-12)
    assert found["n_kept"] == n_kept
    expected = np.bincount(columns[added[:n_kept]], minlength=5) / n_kept
    np.testing.assert_allclose(combiner.weights_, expected)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("metric", ["log_loss", "auc"])
@pytest.mark.parametrize("as_is", [True, False])
def test_bounds_do_not_change_the_trajectory_of_many_videos(metric, as_is):
    scores, y = make_scores(2 * 4096, 8, seed=3)  # more than the bins of its bounds
    scores = scores if as_is else logit(scores)
    library = Library(scores, y, np.ones(len(y)), metric, as_is)
    added, values, _, _ = select_greedily(library, 40, sorted_start=False)
    to_score = (lambda mean: mean) if as_is else expit
    expected, expected_values, _ = naive(
        scores, y, METRICS[metric], 40, False, to_score
    )
    assert added.tolist() == expected
    np.testing.assert_allclose(values, expected_values, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_votes_tie_and_are_told_as_the_naive_loop_tells_them(metric):
    draw = np.random.default_rng(0)
    y = np.arange(90) % 2
    votes = np.where(draw.random((90, 6)) < 0.3, 1 - y[:, None], y[:, None]).astype(
        float
    )
    library = Library(votes, y, np.ones(90), metric, as_is=True)
    added, values, _, n_kept = select_greedily(library, 12, sorted_start=True)
    expected = naive(votes, y, METRICS[metric], 12, True)
    assert added.tolist() == expected[0]
    np.testing.assert_allclose(values, expected[1], rtol=1e-12)
    assert n_kept == expected[2]


@pytest.mark.parametrize("metric", METRICS)
def test_weighted_rows_count_as_often_as_they_weigh(metric):
    scores, y = make_scores(60)
    weight = np.random.default_rng(1).integers(1, 4, 60)
    weighted = GreedySelection(metric, n_rounds=20).fit(scores, y, sample_weight=weight)
    library = Library(
        scores.repeat(weight, axis=0)[:, weighted.detector_order_],
        y.repeat(weight),
        np.ones(weight.sum()),
        metric,
        as_is=True,
    )
    added, values, _, _ = select_greedily(library, 20, sorted_start=True)
    (found,) = weighted.trajectory_
    assert found["detector"].tolist() == weighted.detector_order_[added].tolist()
    np.testing.assert_allclose(found["value"], values, rtol=1e-9)


def test_any_scorer_will_do():
    scores, y = make_scores()

    def minus_brier(is_fake, score):
        return -brier_score_loss(is_fake, score)

    def area(is_fake, score, sample_weight=None):
        return roc_auc_score(is_fake, score, sample_weight=sample_weight)

    combiner = GreedySelection(minus_brier, n_rounds=10).fit(scores, y)
    added, _, _ = naive(
        scores[:, combiner.detector_order_], y, minus_brier, 10, sorted_start=True
    )
    expected = combiner.detector_order_[added].tolist()
    assert combiner.trajectory_[0]["detector"].tolist() == expected
    weight = np.full(len(y), 1.5)
    by_area = GreedySelection(area, n_rounds=10).fit(scores, y, sample_weight=weight)
    ours = GreedySelection("auc", n_rounds=10).fit(scores, y)
    np.testing.assert_allclose(by_area.weights_, ours.weights_)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        combiner.fit(scores, y, sample_weight=weight)


def test_the_best_prefix_is_kept():
    scores, y = make_scores()
    combiner = GreedySelection("accuracy", n_rounds=30).fit(scores, y)
    (found,) = combiner.trajectory_
    assert found["value"][found["n_kept"] - 1] == found["value"].max()
    reached = np.mean(combiner.predict(scores) == y)
    assert np.isclose(reached, found["value"].max())


def test_missing_scores_leave_the_mean_to_the_others():
    scores, y = make_scores()
    scores[np.random.default_rng(0).random(scores.shape) < 0.2] = np.nan
    scores[:, 0] = np.where(np.isnan(scores).all(axis=1), 0.5, scores[:, 0])
    combiner = GreedySelection("log_loss", n_rounds=8, sorted_start=False)
    (found,) = combiner.fit(scores, y).trajectory_

    def value(added):
        chosen = scores[:, added]
        nothing = np.isnan(chosen).all(axis=1)
        chosen[nothing] = np.nanmean(scores[nothing], axis=1, keepdims=True)
        return log_loss(y, np.nanmean(chosen, axis=1))

    for n in range(8):
        added = found["detector"][: n + 1].tolist()
        np.testing.assert_allclose(found["value"][n], value(added), rtol=1e-9)
        others = [value([*added[:-1], j]) for j in range(5)]
        assert found["value"][n] >= max(others) - TIE


def test_bags_are_parts_of_the_detectors_and_their_weights_are_averaged():
    scores, y = make_scores(n_detectors=6)
    combiner = GreedySelection(n_bags=8, bag_fraction=0.4, n_rounds=10).fit(scores, y)
    assert len(combiner.trajectory_) == 8
    weights = np.zeros(6)
    for found in combiner.trajectory_:
        assert len(set(found["detector"].tolist())) <= 3
        kept = found["detector"][: found["n_kept"]]
        weights += np.bincount(kept, minlength=6) / len(kept) / 8
    np.testing.assert_allclose(combiner.weights_, weights)
    again = GreedySelection(n_bags=8, bag_fraction=0.4, n_rounds=10, random_state=1)
    assert (again.fit(scores, y).weights_ != weights).any()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"metric": "log_los"}, "did you mean 'log_loss'"),
        ({"n_rounds": 0}, "n_rounds must be a whole number, 1 or more; got 0"),
        ({"n_bags": 0}, "n_bags must be a whole number, 1 or more; got 0"),
        ({"bag_fraction": 0}, "share above 0 up to 1; got 0"),
    ],
)
def test_bad_parameters_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GreedySelection(**kwargs).fit(*make_scores(20))
