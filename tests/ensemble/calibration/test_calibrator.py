import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from ensemble.calibration import Calibrator, check_method, cross_fitted_scores
from ensemble.combiners import Stacking, Voting
from ensemble.combiners.parts.reach import fit_reach, within_reach
from ensemble.resampling import StratifiedGroupFolds

METHODS = ["platt", "temperature", "beta", "isotonic", "venn_abers"]


def overconfident(n=1000, seed=0):
    draw = np.random.default_rng(seed)
    log_odds = draw.normal(0.5, 1.5, n)
    is_fake = (draw.random(n) < expit(log_odds)).astype(int)
    return expit(2.5 * log_odds), is_fake


def targets(is_fake, weight):
    n_fake, n_real = weight[is_fake == 1].sum(), weight[is_fake == 0].sum()
    return np.where(is_fake == 1, (n_fake + 1) / (n_fake + 2), 1 / (n_real + 2))


def by_scipy(features, target, weight, intercept=True):
    """Weighted logistic regression on soft labels, coefficients >= 0."""

    def loss(free):
        z = features @ free[1:] + free[0]
        return weight @ (np.logaddexp(0, z) - target * z)

    found = minimize(
        loss,
        np.append(0, np.ones(features.shape[1])),
        method="L-BFGS-B",
        bounds=[(None, None) if intercept else (0, 0)]
        + [(0, None)] * features.shape[1],
        options={"ftol": 1e-15, "gtol": 1e-9},
    )
    return found.x


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["platt", "temperature", "beta"])
def test_parameters_minimise_the_log_loss(method, weighted):
    score, is_fake = overconfident()
    weight = np.random.default_rng(1).integers(1, 4, 1000).astype(float)
    weight = weight if weighted else np.ones(1000)
    features = {
        "platt": logit(score)[:, None],
        "temperature": logit(score)[:, None],
        "beta": np.column_stack([np.log(score), -np.log1p(-score)]),
    }[method]
    free = by_scipy(features, targets(is_fake, weight), weight, method != "temperature")
    calibrator = Calibrator(method).fit(score, is_fake, sample_weight=weight)
    np.testing.assert_allclose(
        calibrator(score), expit(free[0] + features @ free[1:]), atol=2e-5
    )


def test_platt_is_that_of_scikit_learn():
    score, is_fake = overconfident()
    x = logit(score)[:, None]
    identity = LogisticRegression().fit(x, is_fake)
    identity.coef_[:], identity.intercept_[:] = 1, 0
    theirs = CalibratedClassifierCV(FrozenEstimator(identity), ensemble=False)
    theirs.fit(x, is_fake)
    np.testing.assert_allclose(
        Calibrator("platt").fit(score, is_fake)(score),
        theirs.predict_proba(x)[:, 1],
        atol=1e-4,
    )


def test_isotonic_is_that_of_scikit_learn():
    score, is_fake = overconfident()
    weight = np.random.default_rng(1).integers(1, 4, 1000)
    staircase = IsotonicRegression(out_of_bounds="clip")
    staircase.fit(score, targets(is_fake, weight), sample_weight=weight)
    fresh = np.linspace(0, 1, 50)
    np.testing.assert_allclose(
        Calibrator("isotonic").fit(score, is_fake, weight)(fresh),
        staircase.predict(fresh),
    )


def venn_abers_by_definition(score, is_fake, weight, fresh):
    """Two isotonic regressions for each new score (Vovk, Petej 2014)."""
    return [
        [
            IsotonicRegression()
            .fit([*score, new], [*is_fake, label], [*weight, 1])
            .predict([new])[0]
            for label in (0, 1)
        ]
        for new in fresh
    ]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "decimals"), [(3, 1), (12, 1), (60, 8), (200, 2)])
def test_venn_abers_is_its_definition(n, decimals, weighted):
    for seed in range(6):
        draw = np.random.default_rng(seed)
        score = draw.random(n).round(decimals)
        is_fake = np.append([0, 1], draw.random(n - 2) < score[2:]).astype(int)
        weight = draw.choice([0.3, 1, 2], n) if weighted else np.ones(n)
        fresh = np.concatenate([[0, 1], score[:20], draw.random(20)])
        calibrator = Calibrator("venn_abers").fit(score, is_fake, weight)
        interval = calibrator.interval(fresh)
        expected = venn_abers_by_definition(score, is_fake, weight, fresh)
        np.testing.assert_allclose(interval, expected, atol=1e-12)
        p0, p1 = interval.T
        np.testing.assert_allclose(calibrator(fresh), p1 / (1 - p0 + p1))


def test_one_end_of_venn_abers_is_calibrated():
    """The end that the label picks, p1 of fakes and p0 of reals, is right on average.

    So it is in the mean over training sets as small as 30, where isotonic regression,
    too sure of itself, is not.
    """
    picked, plain, truth = [], [], []
    for seed in range(300):
        draw = np.random.default_rng(seed)
        score = draw.random(50)
        is_fake = (draw.random(50) < score**2).astype(int)
        is_fake[:2] = 0, 1
        calibrator = Calibrator("venn_abers").fit(score[:30], is_fake[:30])
        interval = calibrator.interval(score[30:])
        picked.append(interval[np.arange(20), is_fake[30:]])
        staircase = IsotonicRegression(out_of_bounds="clip")
        plain.append(staircase.fit(score[:30], is_fake[:30]).predict(score[30:]))
        truth.append(is_fake[30:])
    picked, plain, truth = map(np.concatenate, (picked, plain, truth))

    def worst(probability):
        bins = np.digitize(probability, [0.05, 0.25, 0.5, 0.75, 0.95])
        away = [
            truth[bins == b].mean() - probability[bins == b].mean() for b in set(bins)
        ]
        return np.abs(away).max()

    assert worst(picked) < 0.04 < 0.08 < worst(plain)


def test_only_venn_abers_has_an_interval():
    with pytest.raises(ValueError, match="this calibrator has method='platt'"):
        Calibrator("platt").fit(*overconfident(50)).interval([0.5])


def test_the_interval_of_a_missing_score_is_missing():
    calibrator = Calibrator("venn_abers").fit(*overconfident(50))
    assert np.isnan(calibrator.interval([np.nan])).all()


def test_temperature_finds_the_exaggeration():
    score, is_fake = overconfident(50_000)
    calibrator = Calibrator("temperature").fit(score, is_fake)
    assert abs(calibrator.parameters_["temperature"] - 2.5) < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_calibration_lowers_the_log_loss_of_fresh_scores(method):
    score, is_fake = overconfident(3000)
    fresh, truth = overconfident(3000, seed=1)
    calibrated = Calibrator(method).fit(score, is_fake)(fresh)
    assert log_loss(truth, calibrated) < log_loss(truth, fresh) - 0.05
    best = log_loss(truth, expit(logit(fresh) / 2.5))
    assert log_loss(truth, calibrated) < best + 0.01


@pytest.mark.parametrize("method", METHODS)
def test_the_map_never_falls_and_never_says_0_or_1(method):
    is_fake = np.arange(40) % 2
    for score in (is_fake.astype(float), 1.0 - is_fake):  # perfect, perfectly wrong
        calibrated = Calibrator(method).fit(score, is_fake)(np.linspace(0, 1, 101))
        assert np.diff(calibrated).min() >= 0
        assert calibrated.min() > 0
        assert calibrated.max() < 1


@pytest.mark.parametrize("method", METHODS)
def test_weights_mean_repetition(method):
    score, is_fake = overconfident(100)
    weight = np.random.default_rng(0).integers(0, 3, 100)
    weighted = Calibrator(method).fit(score, is_fake, sample_weight=weight)
    repeated = Calibrator(method).fit(score.repeat(weight), is_fake.repeat(weight))
    np.testing.assert_allclose(weighted(score), repeated(score), atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_missing_scores_stay_missing(method):
    score, is_fake = overconfident(100)
    gappy = score.copy()
    gappy[:10] = np.nan
    calibrator = Calibrator(method).fit(gappy, is_fake)
    np.testing.assert_array_equal(np.isnan(calibrator(gappy)), np.isnan(gappy))
    without = Calibrator(method).fit(score[10:], is_fake[10:])
    np.testing.assert_array_equal(calibrator(score), without(score))


def test_a_calibrator_is_a_scikit_learn_estimator():
    assert clone(Calibrator("beta")).get_params() == {"method": "beta"}


@pytest.mark.parametrize(
    ("method", "score", "is_fake", "message"),
    [
        ("plat", [0.1, 0.9], [0, 1], "did you mean 'platt'"),
        ("platt", [0.1, 1.9], [0, 1], "got 1.9 at row 1"),
        ("platt", [[0.1], [0.9]], [0, 1], r"shape \(n_videos,\)"),
        ("platt", [0.1, 0.9], [0, 1, 1], "is_fake must have one entry per score"),
        ("platt", [0.1, 0.9], [1, 1], "both classes; got 0 real and 2 fake"),
        ("platt", [0.1, np.nan], [0, 1], "both classes; got 1 real and 0 fake"),
    ],
)
def test_bad_input_is_refused(method, score, is_fake, message):
    with pytest.raises(ValueError, match=message):
        Calibrator(method).fit(score, is_fake)


def test_a_method_can_be_checked_beforehand():
    check_method("beta")
    with pytest.raises(ValueError, match="did you mean 'isotonic'"):
        check_method("isotonc")


def make_scores(n=90, seed=0):
    draw = np.random.default_rng(seed)
    groups = np.arange(n) // 3
    y = groups % 2
    return expit(draw.normal(0, 1.5, (n, 3)) + y[:, None] - 0.5), y, groups


@pytest.mark.parametrize("combiner", [Stacking(), LogisticRegression()])
def test_each_score_comes_from_other_groups(combiner):
    scores, y, groups = make_scores()
    score = cross_fitted_scores(combiner, scores, y, groups, random_state=3)
    folds = StratifiedGroupFolds(5, random_state=3)
    for train, test in folds.split(scores, y, groups):
        ours = isinstance(combiner, Stacking)
        given = {"groups": groups[train]} if ours else {}
        by_hand = clone(combiner).fit(scores[train], y[train], **given)
        unseen, seen = scores[test], scores[train]
        if not ours:  # a classifier sees no score far beyond those it learned from
            unseen = within_reach(fit_reach(seen, np.ones(len(seen))), unseen)
        np.testing.assert_allclose(
            score[test], by_hand.predict_proba(unseen)[:, 1], rtol=0 if ours else 1e-9
        )


@pytest.mark.slow
def test_names_and_labels_are_kept():
    scores, y, groups = make_scores()
    frame = pd.DataFrame(scores, columns=["a", "b", "c"])
    labels = np.where(y == 1, "FAKE", "REAL")
    plain = cross_fitted_scores(Stacking(), scores, y, groups)
    for combiner in (Stacking(), Stacking(fake_label="FAKE")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            named = cross_fitted_scores(combiner, frame, labels, groups)
        np.testing.assert_array_equal(named, plain)
    foreign = cross_fitted_scores(LogisticRegression(), scores, labels, groups)
    assert roc_auc_score(y, foreign) > 0.5


def test_equal_rows_stay_together_without_groups():
    draw = np.random.default_rng(0)
    scores = draw.random((20, 2)).repeat(2, axis=0)
    y = (np.arange(20) % 2).repeat(2)
    score = cross_fitted_scores(Stacking(), scores, y)
    np.testing.assert_array_equal(score[::2], score[1::2])


@pytest.mark.slow
def test_order_does_not_matter():
    scores, y, groups = make_scores()
    order = np.random.default_rng(0).permutation(90)
    columns = [2, 0, 1]
    for known in (groups, None):
        straight = cross_fitted_scores(Stacking(), scores, y, known)
        moved = cross_fitted_scores(
            Stacking(),
            scores[order][:, columns],
            y[order],
            None if known is None else known[order],
        )
        np.testing.assert_allclose(moved, straight[order], rtol=1e-9)


def test_videos_without_scores_get_none():
    scores, y, groups = make_scores()
    scores[4] = np.nan
    score = cross_fitted_scores(Voting(), scores, y, groups)
    assert np.flatnonzero(np.isnan(score)).tolist() == [4]


def test_too_few_groups_are_refused():
    with pytest.raises(ValueError, match="two groups or more with each class"):
        cross_fitted_scores(Voting(), [[0.1], [0.2], [0.9]], [0, 0, 1])


@pytest.mark.slow
def test_noise_is_not_calibrated_into_skill():
    values = []
    for seed in range(12):
        draw = np.random.default_rng(seed)
        groups = np.arange(240) // 2
        y = draw.permutation(120)[groups] % 2
        scores = draw.random((240, 3))
        score = cross_fitted_scores(Stacking(), scores, y, groups)
        calibrated = Calibrator("platt").fit(score, y)(score)
        folds = StratifiedGroupFolds(5, random_state=0)
        values += [
            roc_auc_score(y[test], calibrated[test])
            for _, test in folds.split(scores, y, groups)
        ]
    assert abs(np.mean(values) - 0.5) < 0.03
