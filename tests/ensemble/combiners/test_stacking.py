import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier

from ensemble.calibration import cross_fitted_scores
from ensemble.combiners import Stacking, Voting
from ensemble.combiners.meta_models.nonnegative_logistic import (
    fit_nonnegative_logistic,
    log_odds_of,
)
from ensemble.resampling import StratifiedGroupFolds
from ensemble.scores import companions, read_scores


def make_log_odds(n=200, skill=(2.0, 1.0, 0.3, 0.0), seed=0, missing=0.0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    log_odds = np.outer(2 * y - 1, skill) + draw.normal(0, 1.5, (n, len(skill)))
    log_odds[draw.random(log_odds.shape) < missing] = np.nan
    log_odds[np.isnan(log_odds).all(axis=1), 0] = 0.1
    return log_odds, y


def fitted_by_scipy(log_odds, y, weight, shrinkage, spread):
    """Minimise the documented objective by another road: finite differences."""
    present = ~np.isnan(log_odds)
    filled = np.nan_to_num(log_odds)

    def loss(free):
        intercept, w = free[0], free[1:]
        z = intercept + w.sum() * (filled @ w) / (present @ w)
        penalty = shrinkage * ((w - w.mean()) ** 2).sum() + (w.sum() - 1) ** 2
        return weight @ np.logaddexp(0, (1 - 2 * y) * z) + spread / 8 * penalty

    n_detectors = log_odds.shape[1]
    best = minimize(
        loss,
        np.append(0, np.full(n_detectors, 1 / n_detectors)),
        method="L-BFGS-B",
        bounds=[(None, None)] + [(1e-9, None)] * n_detectors,
        options={"ftol": 1e-15, "gtol": 1e-8, "maxfun": 100_000},
    )
    return best.x[0], best.x[1:]


@pytest.mark.parametrize("shrinkage", [0.0, 5.0, 300.0])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_logistic_minimises_the_stated_loss(shrinkage, missing):
    log_odds, y = make_log_odds(missing=missing)
    weight = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    intercept, weights = fit_nonnegative_logistic(log_odds, y, weight, shrinkage, 3.0)
    expected = fitted_by_scipy(log_odds, y, weight, shrinkage, 3.0)
    np.testing.assert_allclose(intercept, expected[0], atol=2e-4)
    np.testing.assert_allclose(weights, expected[1], atol=2e-4)
    assert weights.min() >= 0


def test_infinite_shrinkage_calibrates_the_mean():
    log_odds, y = make_log_odds(missing=0.2)
    _, weights = fit_nonnegative_logistic(log_odds, y, np.ones(200), np.inf)
    assert np.ptp(weights) == 0
    _, near = fit_nonnegative_logistic(log_odds, y, np.ones(200), 1e9)
    np.testing.assert_allclose(weights, near, rtol=1e-4)


def test_without_shrinkage_it_is_a_plain_logistic_regression():
    log_odds, y = make_log_odds(2000, skill=(1.5, 1.0, 0.5))
    ours = Stacking(shrinkage=0.0, clip=1e-12).fit(expit(log_odds), y)
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(log_odds, y)
    np.testing.assert_allclose(ours.weights_, theirs.coef_[0], rtol=0.02)
    np.testing.assert_allclose(
        ours.predict_proba(expit(log_odds)), theirs.predict_proba(log_odds), atol=0.01
    )


def test_a_missing_score_hands_its_weight_to_the_others():
    log_odds, y = make_log_odds()
    combiner = Stacking().fit(expit(log_odds), y)
    w, row = combiner.weights_, np.array([0.9, np.nan, 0.3, 0.6])
    here = ~np.isnan(row)
    mean = np.average(logit(row[here]), weights=w[here])
    expected = expit(combiner.intercept_ + w.sum() * mean)
    np.testing.assert_allclose(combiner.fake_score([row]), [expected])


def test_where_only_weightless_detectors_have_scores_they_count_alike():
    scores = np.array([[np.nan, 0.5, -1.5]])
    score = log_odds_of(scores, 0.3, np.array([2.0, 0.0, 0.0]))
    np.testing.assert_allclose(score, [0.3 + 2.0 * -0.5])


def test_a_detector_that_points_the_wrong_way_is_silenced():
    log_odds, y = make_log_odds(skill=(2.0, 2.0, -2.0))
    combiner = Stacking(shrinkage=0.0).fit(expit(log_odds), y)
    assert combiner.weights_[2] == 0
    assert combiner.weights_[:2].min() > 0.5


def test_shrinkage_is_strong_for_equals_and_weak_for_unequals():
    equal, y = make_log_odds(skill=(1.0, 1.0, 1.0, 1.0))
    unequal, _ = make_log_odds(skill=(2.5, 0.0, 0.0, 0.0))
    of_equal = Stacking().fit(expit(equal), y)
    of_unequal = Stacking().fit(expit(unequal), y)
    assert of_equal.shrinkage_ >= 30
    assert of_unequal.shrinkage_ <= 3
    assert of_equal.n_inner_folds_ == 5


@pytest.mark.parametrize("meta_model", ["logistic", "lightgbm"])
def test_inner_folds_never_split_a_group(meta_model, monkeypatch):
    log_odds, y = make_log_odds()
    groups = np.arange(200) // 5
    shared_groups = []
    original = StratifiedGroupFolds.split

    def watched(self, X, y, groups=None):
        for train, test in original(self, X, y, groups):
            shared_groups.append(set(groups[train]) & set(groups[test]))
            yield train, test

    monkeypatch.setattr(StratifiedGroupFolds, "split", watched)
    Stacking(meta_model).fit(expit(log_odds), y, groups=groups)
    assert shared_groups == [set()] * 5


@pytest.mark.slow
def test_a_leak_would_show():
    """A nearest neighbour knows a source again; whole groups keep it from doing so."""
    draw = np.random.default_rng(0)
    whole, split = [], []
    for _ in range(50):
        groups = np.repeat(np.arange(30), 3)
        y = draw.permutation(30)[groups] % 2
        scores = draw.random((30, 3))[groups] + draw.uniform(-1e-3, 1e-3, (90, 3))
        scores = scores.clip(0, 1)
        combiner = Stacking(KNeighborsClassifier(1))
        for known, values in ((groups, whole), (None, split)):
            score = cross_fitted_scores(combiner, scores, y, known, random_state=0)
            folds = StratifiedGroupFolds(5, random_state=0)
            per_fold = [
                roc_auc_score(y[test], score[test])
                for _, test in folds.split(scores, y, groups)
                if 0 < y[test].sum() < len(test)
            ]
            values.append(np.mean(per_fold))
    assert abs(np.mean(whole) - 0.5) < 0.03
    assert np.mean(split) > 0.9


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("meta_model", ["logistic", "lightgbm"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_fake_score_rises_with_every_score(meta_model, missing):
    log_odds, y = make_log_odds(missing=missing)
    combiner = Stacking(meta_model).fit(expit(log_odds), y)
    fresh = np.random.default_rng(5).random((50, 4))
    for column in range(4):
        raised = np.tile(fresh[:, None, :], (1, 21, 1))
        raised[:, :, column] = np.linspace(0, 1, 21)
        score = combiner.fake_score(raised.reshape(-1, 4)).reshape(50, 21)
        assert np.diff(score, axis=1).min() >= -1e-12


def test_trees_correct_what_a_mean_cannot_say():
    draw = np.random.default_rng(0)
    scores = draw.random((600, 2))
    y = ((scores[:, 0] > 0.9) | (scores[:, 1] > 0.9)).astype(int)  # either is sure
    fresh = draw.random((600, 2))
    truth = ((fresh[:, 0] > 0.9) | (fresh[:, 1] > 0.9)).astype(int)
    trees = Stacking("lightgbm").fit(scores, y)
    assert trees.n_rounds_ > 0
    assert log_loss(truth, trees.fake_score(fresh)) < 0.5 * log_loss(
        truth, Stacking().fit(scores, y).fake_score(fresh)
    )


def test_no_trees_are_grown_on_noise():
    scores, y = np.random.default_rng(0).random((200, 3)), np.arange(200) % 2
    trees = Stacking("lightgbm").fit(scores, y)
    assert trees.n_rounds_ <= 10
    assert isinstance(trees.trees_, str)


def test_too_few_groups_fall_back_on_the_calibrated_mean():
    log_odds, y = make_log_odds(40)
    groups = y  # one group a class
    for model in ("logistic", "lightgbm"):
        combiner = Stacking(model).fit(expit(log_odds), y, groups=groups)
        assert combiner.n_inner_folds_ == 0
        assert np.ptp(combiner.weights_) < 1e-12
    assert combiner.trees_ == ""


def test_fewer_groups_make_fewer_inner_folds():
    log_odds, y = make_log_odds(40)
    groups = y + 2 * (np.arange(40) // 14)
    assert Stacking().fit(expit(log_odds), y, groups=groups).n_inner_folds_ == 3


def test_separable_videos_keep_the_weights_finite():
    y = np.arange(20) % 2
    scores = np.column_stack([y, y]).astype(float)
    combiner = Stacking().fit(scores, y)
    assert np.isfinite(combiner.weights_).all()
    assert combiner.weights_.sum() < 2
    assert (combiner.predict(scores) == y).all()


def test_a_scikit_learn_classifier_sees_log_odds_and_row_means():
    log_odds, y = make_log_odds(missing=0.2)
    model = LogisticRegression(C=3.0)
    ours = Stacking(model, clip=1e-12).fit(expit(log_odds), y)
    mean = np.nanmean(log_odds, axis=1, keepdims=True)
    filled = np.where(np.isnan(log_odds), mean, log_odds)
    theirs = LogisticRegression(C=3.0).fit(filled, y)
    np.testing.assert_allclose(
        ours.fake_score(expit(log_odds)),
        theirs.predict_proba(filled)[:, 1],
        atol=1e-3,
    )
    assert not hasattr(model, "coef_")


def test_a_classifier_without_weights_gets_repeated_rows():
    log_odds, y = make_log_odds(40)
    scores = expit(log_odds)
    weight = np.random.default_rng(0).integers(1, 3, 40)
    combiner = Stacking(KNeighborsClassifier(3))
    weighted = combiner.fit(scores, y, sample_weight=weight).fake_score(scores)
    repeated = combiner.fit(scores.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_array_equal(repeated.fake_score(scores), weighted)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        combiner.fit(scores, y, sample_weight=weight + 0.5)


def test_random_classifiers_are_seeded():
    log_odds, y = make_log_odds(60)
    scores = expit(log_odds)

    def score(seed):
        model = RandomForestClassifier(5)
        return Stacking(model, random_state=seed).fit(scores, y).fake_score(scores)

    np.testing.assert_array_equal(score(1), score(1))
    assert (score(1) != score(2)).any()


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_a_search_inside(routing):
    log_odds, y = make_log_odds(60)
    groups = np.arange(60) // 4
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=GroupKFold(3))
    with config_context(enable_metadata_routing=routing):
        combiner = Stacking(search).fit(expit(log_odds), y, groups=groups)
    assert combiner.classifier_.best_params_["C"] in (0.1, 1)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"meta_model": "logistik"}, ValueError, "did you mean 'logistic'"),
        ({"meta_model": 3}, TypeError, "scikit-learn classifier; got 3"),
        ({"meta_model": RidgeClassifier()}, TypeError, "no predict_proba"),
        ({"shrinkage": -1}, ValueError, "number >= 0, inf or 'auto'; got -1"),
        ({"shrinkage": "strong"}, ValueError, "inf or 'auto'; got 'strong'"),
    ],
)
def test_bad_parameters_are_refused(kwargs, error, message):
    log_odds, y = make_log_odds(20)
    with pytest.raises(error, match=message):
        Stacking(**kwargs).fit(expit(log_odds), y)


def test_many_rows_are_fitted_as_few_are():
    """Beyond 200,000 rows nothing is sorted and shrinkage is chosen on a sample."""
    log_odds, y = make_log_odds(1000)
    times = 300
    scores = expit(log_odds)
    weighted = Stacking().fit(scores, y, sample_weight=np.full(1000, times))
    many = Stacking().fit(np.tile(scores, (times, 1)), np.tile(y, times))
    assert many.shrinkage_ == weighted.shrinkage_
    np.testing.assert_allclose(many.weights_, weighted.weights_, rtol=1e-6)


@pytest.mark.slow
def test_public_set_gives_the_known_figures(shared):
    table = read_scores(shared / "data/scores/ffpp_4detectors.csv", scores="p_*")
    beside = companions(table)
    y, groups = beside.label.to_numpy(), beside.group.to_numpy()
    combiners = {
        "non-negative": Stacking(shrinkage=0.0, clip=1e-6),
        "plain": Stacking(LogisticRegression(), clip=1e-6),
        "on probabilities": Stacking(LogisticRegression(), scale="probability"),
        "default": Stacking(clip=1e-6),
        "mean": Voting(clip=1e-6),
    }
    areas, losses = ({name: [] for name in combiners} for _ in range(2))
    for seed in range(10):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        score = pd.DataFrame(index=table.index, columns=list(combiners), dtype=float)
        for train, test in folds.split(table, y, groups):
            for name, combiner in combiners.items():
                combiner.fit(table.iloc[train], y[train], groups=groups[train])
                fold_score = combiner.fake_score(table.iloc[test])
                score.iloc[test, score.columns.get_loc(name)] = fold_score
        for name in combiners:
            areas[name].append(roc_auc_score(y, score[name]))
            losses[name].append(log_loss(y, score[name]))
    area = {name: np.mean(values) for name, values in areas.items()}
    loss = {name: np.mean(values) for name, values in losses.items()}
    assert abs(area["non-negative"] - 0.9910) < 5e-4
    assert abs(area["plain"] - 0.9910) < 5e-4
    assert abs(area["on probabilities"] - 0.9894) < 5e-4
    assert abs(area["default"] - 0.9910) < 5e-4
    assert abs(loss["non-negative"] - 0.091) < 1e-3
    assert loss["default"] < loss["mean"]


def with_feature(n=300, seed=0):
    """A detector that says fake of long videos, whatever they are."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 2
    length = draw.uniform(1, 100, n)
    shift = (length - 50) / 12
    log_odds = 2.0 * (y - 0.5) + shift + draw.normal(0, 0.7, n)
    table = pd.DataFrame({"a": expit(log_odds), "length": length, "b": 0.5})
    return table, y


def short_videos():
    table, y = with_feature(40)
    return table.assign(length=table["length"] / 100), y


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("model", ["lightgbm", "mlp", LogisticRegression()])
@pytest.mark.parametrize("by", ["name", "number"])
def test_features_pass_through_beside_scores(model, by):
    table, y = with_feature()
    fresh, truth = with_feature(seed=1)
    if by == "number":
        table, fresh = table.to_numpy(), fresh.to_numpy()
    passthrough = ["length"] if by == "name" else [1]
    told = Stacking(model, passthrough=passthrough).fit(table, y)
    scores_only = [0, 2]
    plain = Stacking(model).fit(np.asarray(table)[:, scores_only], y)
    knows = roc_auc_score(truth, told.fake_score(fresh))
    ignores = roc_auc_score(truth, plain.fake_score(np.asarray(fresh)[:, scores_only]))
    assert knows > ignores + 0.05
    moved = np.asarray(told.contributions(fresh))
    assert not moved[:, 1].any()


def test_features_are_standardised_beside_the_scores():
    table, y = with_feature()
    ours = Stacking(LogisticRegression(), passthrough=["length"]).fit(table, y)
    length = (table["length"] - table["length"].mean()) / table["length"].std(ddof=0)
    inputs = np.column_stack([logit(table[["a", "b"]]), length])
    theirs = LogisticRegression().fit(inputs, y)
    np.testing.assert_allclose(
        ours.fake_score(table), theirs.predict_proba(inputs)[:, 1], atol=1e-3
    )
    unknown = table.assign(length=np.nan)
    inputs[:, 2] = 0
    np.testing.assert_allclose(
        ours.fake_score(unknown), theirs.predict_proba(inputs)[:, 1], atol=1e-3
    )


def test_a_video_with_features_alone_has_no_score():
    table, y = with_feature()
    table.loc[[3], ["a", "b"]] = np.nan
    combiner = Stacking(LogisticRegression(), passthrough=["length"]).fit(table, y)
    score = combiner.fake_score(table)
    assert np.flatnonzero(np.isnan(score)).tolist() == [3]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("order", [[0, 2, 1], [2, 1, 0]])
def test_the_order_of_columns_does_not_matter_to_features(order):
    table, y = with_feature(60)
    straight = Stacking("lightgbm", passthrough=["length"]).fit(table, y)
    moved = Stacking("lightgbm", passthrough=["length"])
    moved.fit(table.iloc[::-1, order], y[::-1])
    np.testing.assert_array_equal(
        moved.fake_score(table.iloc[:, order]), straight.fake_score(table)
    )


@pytest.mark.parametrize("model", ["lightgbm", "mlp", LogisticRegression()])
def test_what_is_missing_is_a_feature_on_request(model):
    log_odds, y = make_log_odds(400)
    gone = np.random.default_rng(1).random(400) < np.where(y == 1, 0.9, 0.1)
    scores = expit(log_odds)
    scores[gone, 3] = np.nan
    row = np.array([[0.5, 0.5, 0.5, np.nan], [0.5, 0.5, 0.5, 0.5]])
    told = Stacking(model, missing_indicator=True).fit(scores, y).fake_score(row)
    assert told[0] > told[1] + 0.2
    ignores = Stacking(model).fit(scores, y).fake_score(row)
    np.testing.assert_allclose(ignores[0], ignores[1], atol=1e-9)


def test_layers_are_out_of_fold_by_group():
    log_odds, y = make_log_odds(120)
    scores, groups = expit(log_odds), np.arange(120) // 4
    combiner = Stacking(layers=[[Stacking(shrinkage=3.0), "best_single"]])
    combiner.fit(scores, y, groups=groups)
    inside = scores[:, combiner.detector_order_]
    layer = combiner.layers_[0]
    handed_on = np.column_stack([one.fake_score(inside) for one in layer])
    np.testing.assert_allclose(
        combiner.fake_score(scores), combiner.top_.fake_score(handed_on)
    )
    by_hand = Stacking(shrinkage=3.0).fit(scores, y, groups=groups)
    np.testing.assert_allclose(layer[0].fake_score(inside), by_hand.fake_score(scores))


@pytest.mark.parametrize("resampling", ["k-fold", "holdout"])
def test_no_layer_hands_on_a_score_of_a_group_it_saw(resampling):
    """Layers of nearest neighbours on noise: in-sample scores would be all right."""
    totals = []
    for seed in range(8):
        draw = np.random.default_rng(seed)
        groups = np.repeat(np.arange(100), 3)
        y = draw.permutation(100)[groups] % 2
        scores = draw.random((100, 3))[groups] + draw.uniform(-1e-3, 1e-3, (300, 3))
        knows_again = Stacking(KNeighborsClassifier(1))
        layer = ["log_odds", knows_again]
        combiner = Stacking(
            shrinkage=0.0,
            layers=[layer, layer] if resampling == "k-fold" else [layer],
            resampling=resampling,
        ).fit(scores.clip(0, 1), y, groups=groups)
        totals.append(combiner.top_.weights_.sum())
    assert np.mean(totals) < 0.6  # it was learned that the layers know nothing
    assert Stacking(shrinkage=0.0).fit(y[:, None], y).weights_.sum() > 0.9


def test_layers_take_features_and_missing_scores_along():
    table, y = with_feature()
    table.loc[::7, "a"] = np.nan
    combiner = Stacking(
        LogisticRegression(),
        passthrough=["length"],
        missing_indicator=True,
        layers=[["log_odds", "best_single"]],
    ).fit(table, y)
    assert combiner.top_.n_features_in_ == 2 + 1 + 2
    assert np.isfinite(combiner.fake_score(table)).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"passthrough": ["length"]}, 'use monotone=False, or "pairs"'),
        ({"missing_indicator": True}, "neither passthrough nor missing_indicator"),
        ({"meta_model": "mlp", "passthrough": ["size"]}, r"got \['size'\] for a, len"),
        ({"meta_model": "mlp", "passthrough": [0, 1, 2]}, "but not all of them"),
        ({"layers": [["logistc"]]}, "did you mean 'logistic'"),
        ({"layers": [["soft"]], "resampling": "loo"}, "or 'holdout'; got 'loo'"),
    ],
)
def test_bad_passthrough_and_layers_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Stacking(**kwargs).fit(*short_videos())
