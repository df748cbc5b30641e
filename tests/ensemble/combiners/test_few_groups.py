"""With few groups no combiner learns from scores that its parts have seen."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss, roc_auc_score

from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    Blending,
    DynamicSelection,
    Stacking,
)

FOREST = RandomForestClassifier(20, random_state=0)  # knows its own rows by heart
LAYERS = [[Stacking(FOREST, scale="probability"), "soft"]]


def noise(seed, groups_of_class, n_videos=40):
    draw = np.random.default_rng(seed)
    y = np.arange(n_videos) % 2
    groups = draw.integers(0, groups_of_class, n_videos) * 2 + y
    groups[:2] = y[:2]
    return draw.random((n_videos, 3)), y, groups


def fresh(seed):
    draw = np.random.default_rng(1000 + seed)
    return draw.random((400, 3)), np.arange(400) % 2


@pytest.mark.slow_after(2)
@pytest.mark.parametrize("resampling", ["k-fold", "holdout"])
@pytest.mark.parametrize("n_groups", [1, 2, 3])
def test_layers_hand_on_nothing_in_sample(n_groups, resampling):
    aucs, losses = [], []
    for seed in range(6):
        scores, y, groups = noise(seed, n_groups)
        combiner = Stacking(layers=LAYERS, resampling=resampling)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            combiner.fit(scores, y, groups=groups)
        new, truth = fresh(seed)
        score = combiner.fake_score(new)
        aucs.append(roc_auc_score(truth, score))
        losses.append(log_loss(truth, score))
    assert abs(np.mean(aucs) - 0.5) < 0.04
    assert np.mean(losses) < 0.8  # .69 is knowing nothing; in sample it was above 1.5


def test_layers_that_cannot_be_scored_out_of_fold_are_left_out_with_a_warning():
    scores, y, groups = noise(0, 1)
    combiner = Stacking(layers=[["soft", "median"], ["soft"]])
    with pytest.warns(UserWarning, match="layer 1 of 2 needs two groups or more"):
        combiner.fit(scores, y, groups=groups)
    assert combiner.layers_ == []
    assert combiner.n_inner_folds_ == 0
    alone = Stacking().fit(scores, y, groups=groups)
    np.testing.assert_allclose(combiner.fake_score(scores), alone.fake_score(scores))
    assert np.isfinite(combiner.contributions(scores)).all()


def test_a_later_layer_is_left_out_where_a_hold_out_leaves_it_one_group():
    draw = np.random.default_rng(0)
    y = np.arange(40) % 2
    groups = y + 2 * (np.arange(40) // 20)  # two of each class, one in the hold-out
    scores = expit(draw.normal(2 * y[:, None] - 1, 1, (40, 3)))
    combiner = Stacking(layers=[["soft", "median"], ["soft"]], resampling="holdout")
    with pytest.warns(UserWarning, match="layer 2 of 2 .* scores of layer 1"):
        combiner.fit(scores, y, groups=groups)
    assert len(combiner.layers_) == 1
    assert combiner.top_.n_features_in_ == 2


def test_layers_left_out_of_a_table_of_any_numbers_leave_it_standardised():
    draw = np.random.default_rng(0)
    y = np.arange(60) % 2
    scores = 50 * (y[:, None] + draw.normal(size=(60, 2)))
    with pytest.warns(UserWarning, match="layer 1 of 1"):
        combiner = Stacking(layers=[["rank"]]).fit(scores, y, groups=y)
    assert roc_auc_score(y, combiner.fake_score(scores)) > 0.8


def test_bagging_says_that_nothing_is_out_of_bag():
    scores, y, groups = noise(0, 1)
    with pytest.warns(UserWarning, match="no group can be left out"):
        combiner = Bagging("soft", n_replicas=5).fit(scores, y, groups=groups)
    assert len(combiner.combiners_) == 1
    assert np.isnan(combiner.oob_scores_).all()


@pytest.mark.slow_after(11)
@pytest.mark.parametrize("n_groups", [1, 2])
@pytest.mark.parametrize(
    "combiner",
    [
        Stacking(),
        Stacking("lightgbm"),
        Bagging(n_replicas=5),
        Blending(),
        DynamicSelection(),
        AutoCombiner(["calibrated", "logistic", "dynamic"]),
    ],
    ids=lambda combiner: type(combiner).__name__,
)
def test_few_groups_of_noise_make_no_sure_verdicts(combiner, n_groups):
    losses = []
    for seed in range(5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores, y, groups = noise(seed, n_groups)
            combiner.fit(scores, y, groups=groups)
        new, truth = fresh(seed)
        losses.append(log_loss(truth, combiner.fake_score(new)))
    assert np.mean(losses) < 0.95  # the mean of log-odds of such noise is .83
