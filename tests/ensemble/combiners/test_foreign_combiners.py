"""A classifier of somebody else's make combines scores wherever a combiner does."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ensemble
from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.calibration import cross_fitted_scores
from ensemble.combiners import AutoCombiner, Bagging, Blending, Stacking
from ensemble.combiners.stacking import as_combiner
from ensemble.plots import plot_weights


class Plain(BaseEstimator):
    """The least that can be called a classifier; takes no groups and no weights."""

    def fit(self, X, y):
        assert not np.isnan(X).any()
        self.slope_ = X[y == 1].mean() - X[y == 0].mean()
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        fake = np.clip(0.5 + self.slope_ * (X.mean(axis=1) - 0.5), 0, 1)
        return np.column_stack([1 - fake, fake])


FOREIGN = {
    "forest": RandomForestClassifier(8, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "search": GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=GroupKFold(2)),
    "bayes": GaussianNB(),
    "plain": Plain(),
}


def now_and_then(videos):
    return [np.nan if v[0, 0, 0, 1] == 7 else v[..., 0].mean() / 255 for v in videos]


def always(videos):
    return [v[..., 0].mean() / 510 for v in videos]


ONE, TWO = CallableDetector(now_and_then), CallableDetector(always)


@pytest.fixture(scope="module")
def toy():
    draw = np.random.default_rng(0)
    y = np.arange(24) % 2
    videos = [
        np.full((2, 4, 4, 3), np.clip(draw.normal(90 + 80 * one, 30), 1, 254), np.uint8)
        for one in y
    ]
    for video in videos[::5]:
        video[..., 1] = 7  # no score of the first detector
    return videos, y, np.arange(24) // 2


def make_table(n=60, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    scores = np.clip(0.3 * y[:, None] + 0.7 * draw.random((n, 3)), 0, 1)
    scores[draw.random(scores.shape) < 0.1] = np.nan
    scores[np.isnan(scores).all(axis=1)] = 0.5
    return pd.DataFrame(scores, columns=["a", "b", "c"]), y, np.arange(n) // 2


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", FOREIGN)
def test_an_ensemble_takes_any_classifier_for_its_combiner(name, toy, tmp_path):
    videos, y, groups = toy
    model = DeepfakeEnsemble(
        [("one", ONE), ("two", TWO)],
        combiner=FOREIGN[name],
        resampling=2,
        calibration="platt",
        threshold="fpr=0.4",
        verbose=False,
    ).fit(videos, y, groups=groups, sample_weight=np.ones(24))
    score = model.fake_score(videos)
    assert score[y == 1].mean() > score[y == 0].mean()
    if name in ("pipeline", "bayes"):
        model.save(tmp_path / "m.dfe")
        again = ensemble.load(tmp_path / "m.dfe", detectors={"one": ONE, "two": TWO})
        np.testing.assert_array_equal(again.fake_score(videos), score)


@pytest.mark.slow_after(4)
@pytest.mark.parametrize("name", FOREIGN)
def test_cross_fitting_takes_any_classifier_and_missing_scores(name):
    table, y, groups = make_table()
    score = cross_fitted_scores(FOREIGN[name], table, y, groups, np.full(60, 2.0))
    assert np.isfinite(score).all()
    assert score[y == 1].mean() > score[y == 0].mean()


@pytest.mark.slow
def test_a_comparison_and_combiners_of_combiners_take_any_classifier():
    table, y, groups = make_table()
    forest = FOREIGN["forest"]
    found = compare_strategies(
        table, y, groups, {"forest": forest, "plain": Plain()}, n_boot=20
    )
    assert found.table.loc["forest", "auc"] > 0.6
    for combiner in (
        Bagging(forest, n_replicas=3),
        Blending(forest),
        Stacking(layers=[["soft", forest]]),
        AutoCombiner({"forest": forest, "soft": "soft"}),
    ):
        score = combiner.fit(table, y, groups=groups).fake_score(table)
        assert np.isfinite(score).all()


def test_weights_that_a_classifier_cannot_take_are_refused_and_not_dropped():
    table, y, _ = make_table()
    with pytest.raises(ValueError, match="takes no sample_weight; leave the weights"):
        as_combiner(Plain()).fit(table, y, sample_weight=np.full(60, 0.5))


def test_a_regressor_is_no_combiner():
    from sklearn.linear_model import LinearRegression

    table, y, _ = make_table()
    with pytest.raises(TypeError, match="scikit-learn classifier; got LinearRegr"):
        Stacking(LinearRegression()).fit(table, y)
    with pytest.raises(TypeError, match="an object with fit and predict_proba"):
        as_combiner(LinearRegression())


def test_weights_are_drawn_as_a_table_a_series_or_an_array():
    mpl.use("Agg")
    table, y, groups = make_table()
    combiner = Stacking().fit(table, y, groups=groups)
    bars = plot_weights(combiner.weights_)
    assert len(bars.patches) == 3
    assert bars.get_yticklabels()[0].get_text() == "member 0"
    named = plot_weights(pd.Series(combiner.weights_, table.columns))
    assert [label.get_text() for label in named.get_yticklabels()] == list("abc")
    assert len(plot_weights(np.ones((3, 2))).patches) == 6
    with pytest.raises(ValueError, match=r"\(n_members,\) or .*; got \(\)"):
        plot_weights(0.3)


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("threshold", "'threshold', as a parameter of the ensemble is"),
        ("store", "'store', as a parameter of the ensemble is"),
        ("a__b", "must not hold '__'"),
        ("", "must be a text"),
        (3, "must be a text"),
    ],
)
def test_names_that_parameters_have_are_no_names_of_detectors(name, message, toy):
    videos, y, groups = toy
    model = DeepfakeEnsemble([(name, TWO)], resampling=2, verbose=False)
    with pytest.raises(ValueError, match=message):
        model.fit(videos, y, groups=groups)
    fitted = DeepfakeEnsemble([("two", TWO)], resampling=2, verbose=False)
    fitted.fit(videos, y, groups=groups)
    with pytest.raises(ValueError, match=message):
        fitted.add_detector(name, TWO)


def test_set_params_sets_the_parameter_and_never_a_detector_of_its_name():
    detector = TWO
    model = DeepfakeEnsemble({"threshold": detector, "other": detector})
    other = ONE
    model.set_params(threshold=0.3, other=other)
    assert model.threshold == 0.3
    assert model.get_params()["threshold"] == 0.3
    assert model.detectors == {"threshold": detector, "other": other}
