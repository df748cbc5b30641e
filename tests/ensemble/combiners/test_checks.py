"""What is refused or warned of before anything is learned, alike for all combiners."""

import warnings

import numpy as np
import pandas as pd
import pytest
from family import make_scores
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    Blending,
    DynamicSelection,
    GreedySelection,
    Stacking,
    Voting,
)
from ensemble.comparison import compare_strategies
from ensemble.pipeline.score_pipeline import ScorePipeline

KINDS = [
    Voting(weights="learned"),
    Stacking(),
    GreedySelection(n_rounds=5),
    DynamicSelection(),
    Bagging("soft", n_replicas=3),
    Blending("soft"),
    ScorePipeline("soft", n_boot=0),
]
each = pytest.mark.parametrize("estimator", KINDS, ids=lambda one: type(one).__name__)


@each
@pytest.mark.parametrize("grouped", [True, False])
def test_weights_that_sum_to_one_are_told_once(estimator, grouped):
    scores, y, groups = make_scores()
    groups = groups if grouped else None
    message = "sums to 1 for 60 videos.*sample_weight / sample_weight.mean"
    with pytest.warns(UserWarning, match=message) as caught:
        estimator.fit(scores, y, groups=groups, sample_weight=np.full(60, 1 / 60))
    assert len(caught) == 1
    assert caught[0].filename == __file__


@each
def test_weights_that_count_videos_or_groups_are_not(estimator):
    scores, y, groups = make_scores()
    times = np.arange(60) % 3
    for weight in (np.ones(60), np.full(60, 0.5), np.full(60, 1 / 3), times):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            estimator.fit(scores, y, groups=groups, sample_weight=weight)


@each
def test_columns_of_one_name_are_named(estimator):
    scores, y, _ = make_scores()
    twice = pd.DataFrame(scores, columns=["a", "b", "a", "a"])
    estimator.fit(twice.set_axis(list("abcd"), axis=1), y)
    message = r"'a' names columns 0, 2 and 3: rename them"
    for ask in (estimator.predict, estimator.predict_proba, estimator.fake_score):
        with pytest.raises(ValueError, match=message):
            ask(twice)
    with pytest.raises(ValueError, match=message):
        estimator.fit(twice, y)


def test_a_comparison_names_columns_of_one_name():
    scores, y, _ = make_scores()
    twice = pd.DataFrame(scores, columns=["a", "b", "b", "c"])
    with pytest.raises(ValueError, match="'b' names columns 1 and 2"):
        compare_strategies(twice, y)


@pytest.mark.parametrize(
    ("combiner", "message"),
    [
        (Stacking(n_rounds=2.7), "n_rounds .* 0 or more, or 'auto'; got 2.7"),
        (Stacking(n_rounds=True), "n_rounds .* got True"),
        (Stacking(n_rounds="many"), "n_rounds .* got 'many'"),
        (Stacking(num_leaves=1), "num_leaves .* 2 or more, or None; got 1"),
        (Stacking(inner_folds=2.5), "inner_folds .* got 2.5"),
        (Stacking(monotone="no"), "monotone must be True or False; got 'no'"),
        (Stacking(missing_indicator=1), "missing_indicator must .* got 1"),
        (Stacking(shrinkage=True), "shrinkage must be a number >= 0.*got True"),
        (GreedySelection(n_rounds=2.7), "n_rounds must .* 1 or more; got 2.7"),
        (GreedySelection(n_bags=True), "n_bags must .* got True"),
        (GreedySelection(sorted_start="yes"), "sorted_start must .* got 'yes'"),
        (Bagging(n_replicas=2.5), "n_replicas must .* 1 or more; got 2.5"),
        (Bagging(n_replicas=True), "n_replicas must .* got True"),
        (DynamicSelection(n_neighbors=True), "n_neighbors must .* got True"),
        (DynamicSelection(sharpness="4"), "sharpness must be .* got '4'"),
        (AutoCombiner(n_folds=True), "n_folds must .* 2 or more; got True"),
        (ScorePipeline(n_boot=2.5), "n_boot must .* 0 or more; got 2.5"),
    ],
    ids=repr,
)
def test_odd_parameters_are_named(combiner, message):
    with pytest.raises(ValueError, match=message):
        combiner.fit(*make_scores())


def test_numbers_of_numpy_are_numbers():
    settings = {"n_rounds": np.int64(3), "sorted_start": np.bool_(True)}
    plain = GreedySelection(n_rounds=3, sorted_start=True).fit(*make_scores())
    fitted = GreedySelection(**settings).fit(*make_scores())
    np.testing.assert_array_equal(fitted.weights_, plain.weights_)


def test_a_second_fit_leaves_nothing_of_the_first():
    scores, y, groups = make_scores()
    changes = [
        {"meta_model": "lightgbm", "n_rounds": 3},
        {"meta_model": "forest"},
        {"meta_model": "logistic", "monotone": False},
        {"layers": [["soft", "log_odds"]]},
        {"layers": None, "monotone": True},
    ]
    again = Stacking("lightgbm")
    for change in changes:
        again.set_params(**change).fit(scores, y, groups=groups)
        anew = Stacking(**again.get_params(deep=False)).fit(scores, y, groups=groups)
        assert vars(again).keys() == vars(anew).keys()
    assert not hasattr(again, "top_")
    assert not hasattr(again, "trees_")


def test_what_a_subclass_sets_before_the_fit_stays():
    class Named(Voting):
        def fit(self, X, y, groups=None, sample_weight=None):
            self.told_ = len(y)
            super().fit(X, y, groups, sample_weight)
            self.after_ = len(y)
            return self

    scores, y, _ = make_scores()
    for n in (60, 40):
        combiner = Named().fit(scores[:n], y[:n])
        combiner.fit(scores[:n], y[:n])
        assert (combiner.told_, combiner.after_) == (n, n)


def test_a_fit_that_failed_leaves_nothing_to_the_next():
    scores, y, _ = make_scores()
    combiner = Stacking("lightgbm", n_rounds=2).fit(scores, y)
    with pytest.raises(ValueError, match="one class only"):
        combiner.fit(scores, np.ones(60))
    combiner.set_params(meta_model="forest").fit(scores, y)
    assert not hasattr(combiner, "n_rounds_")


@pytest.mark.parametrize(
    "estimator",
    [
        Stacking(),
        AutoCombiner(["soft", "log_odds"]),
        ScorePipeline("soft", n_boot=0),
        Bagging("soft", n_replicas=3),
    ],
    ids=lambda one: type(one).__name__,
)
def test_advice_points_at_the_line_that_asked(estimator):
    scores, y, groups = make_scores(240)
    scores[:, 0] = 1 - scores[:, 0]
    with pytest.warns(UserWarning, match="0 ranks real videos above fake") as told:
        estimator.fit(scores, y, groups=groups)
    assert [one.filename for one in told] == [__file__]


def test_too_few_groups_are_told_where_the_fit_was_asked_for():
    scores, y, _ = make_scores()
    for combiner in (Bagging("soft"), Stacking(layers=[["soft", "log_odds"]])):
        with pytest.warns(UserWarning, match="add videos of other groups") as told:
            combiner.fit(scores, y, groups=y)  # one group a class
        assert told[0].filename == __file__


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    "rule", [Stacking(), AutoCombiner(["log_odds", "logistic"]), ScorePipeline("soft")]
)
def test_a_fit_that_fails_leaves_the_former_one_whole(rule):
    scores, y, _ = make_scores(60)
    rule = clone(rule)
    with pytest.raises(ValueError, match="groups"):
        rule.fit(scores, y, groups=np.zeros(3))
    with pytest.raises(NotFittedError):
        rule.predict(scores)
    before = rule.fit(scores, y).predict_proba(scores)
    with pytest.raises(ValueError, match="groups"):
        rule.set_params(fake_label=0).fit(scores, y, groups=np.zeros(3))
    assert rule.predict_proba(scores).tolist() == before.tolist()
