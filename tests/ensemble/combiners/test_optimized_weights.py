import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from ensemble.combiners import OptimizedWeights, Voting
from ensemble.combiners.optimized_weights import weighted_auc


def make_scores(n=200, skill=(2.0, 1.0, 0.0), seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return expit(draw.normal(0, 1.5, (n, len(skill))) + np.outer(y - 0.5, skill)), y


@pytest.mark.parametrize("scale", ["log_odds", "probability"])
def test_weights_of_least_log_loss_are_those_of_learned_voting(scale):
    scores, y = make_scores()
    kind = {"log_odds": "log_odds", "probability": "soft"}[scale]
    voting = Voting(kind, weights="learned", shrinkage=3.0).fit(scores, y)
    ours = OptimizedWeights(scale=scale, shrinkage=3.0).fit(scores, y)
    np.testing.assert_array_equal(ours.weights_, voting.weights_)
    np.testing.assert_array_equal(ours.fake_score(scores), voting.fake_score(scores))


@pytest.mark.parametrize("seed", range(4))
def test_auc_weights_are_the_best_of_all_in_steps_of_a_fiftieth(seed):
    scores, y = make_scores(120, seed=seed)
    ours = OptimizedWeights("auc", shrinkage=0.0).fit(scores, y)
    reached = roc_auc_score(y, ours.fake_score(scores))
    log_odds, steps = logit(scores), np.arange(51) / 50
    weights = [(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1]
    fakes = (log_odds @ np.transpose(weights))[y == 1]
    reals = (log_odds @ np.transpose(weights))[y == 0]
    # an AUC is the share of pairs in which the fake is ahead
    best = (fakes[:, None] > reals).mean(axis=(0, 1)).max()
    assert reached > best - 0.002
    assert reached >= roc_auc_score(y, log_odds.mean(axis=1))


@pytest.mark.parametrize("metric", ["log_loss", "auc"])
def test_shrinkage_pulls_towards_equal_weights(metric):
    scores, y = make_scores()
    away = [
        np.abs(OptimizedWeights(metric, shrinkage=s).fit(scores, y).weights_ - 1 / 3)
        for s in (0.1, 10.0, 1e4)
    ]
    assert away[0].max() > away[1].max() > away[2].max()
    assert away[2].max() < 0.02
    assert np.isclose(OptimizedWeights(metric).fit(scores, y).weights_.sum(), 1)


def test_auc_of_weighted_rows_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    y, score, weight = (
        draw.integers(0, 2, 80),
        draw.random(80).round(1),
        draw.random(80),
    )
    expected = roc_auc_score(y, score, sample_weight=weight)
    assert np.isclose(weighted_auc(y, score, weight), expected)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"metric": "f1"}, "'log_loss' or 'auc'; got 'f1'"),
        ({"shrinkage": -1}, "shrinkage must be >= 0"),
        ({"metric": "auc", "shrinkage": np.inf}, "finite; got inf"),
    ],
)
def test_bad_parameters_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        OptimizedWeights(**kwargs).fit(*make_scores(20))
