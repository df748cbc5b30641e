import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from base_models import CallableDetector, FrameDetector, UnscorableVideoError
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Stacking, Voting
from ensemble.decision import Decision
from ensemble.deepfake_ensemble import STRATEGIES
from ensemble.resampling import GroupBootstrap
from ensemble.scores import companions

HEAD = FrameDetector("test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1)
FITS = {"voting": 6, "stacking": 6, "blending": 2, "bagging": 25}


def _bright(videos):
    return [0.1 + 0.8 * np.mean(video) / 255 for video in videos]


def _shy(videos):
    """Scores only the darker half."""
    return [np.nan if np.mean(video) > 125 else 0.4 for video in videos]


def _yes(videos):
    return [0.9] * len(videos)


def _no(videos):
    return [0.2] * len(videos)


def _mute(videos):
    return [np.nan] * len(videos)


@pytest.fixture
def fitted(toy_videos):
    """Return a function that fits toy detectors on toy videos."""

    def fit(detectors=None, y=None, **kwargs):
        videos, labels, groups = toy_videos
        if detectors is None:
            detectors = {"bright": CallableDetector(_bright), "head": HEAD}
        model = DeepfakeEnsemble(detectors, verbose=False, **kwargs)
        return model.fit(videos, labels if y is None else y, groups=groups)

    return fit


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("strategy", FITS)
def test_each_detector_is_fitted_as_often_as_the_strategy_says(
    strategy, noise, memoriser
):
    videos, y, groups = noise(0)
    detectors = [("a", memoriser()), ("b", memoriser(channel=1))]
    model = DeepfakeEnsemble(detectors, strategy, verbose=False)
    model.fit(videos, y, groups=groups)
    assert len(memoriser.fits) == 2 * FITS[strategy]
    model.predict(videos)
    model.refit_combiner("median").refit_combiner("voting").fake_score(videos)
    assert len(memoriser.fits) == 2 * FITS[strategy]
    model.add_detector("c", memoriser(channel=2))
    assert len(memoriser.fits) == 3 * FITS[strategy]


@pytest.mark.slow
def test_more_layers_and_calibration_fit_no_detector_more(noise, memoriser):
    videos, y, groups = noise(0)
    for options, expected in (
        ({"resampling": 3}, 4),
        ({"resampling": 3, "refit": False}, 3),
        ({"resampling": 3, "calibration": "platt", "combiner": "lightgbm"}, 4),
        ({"resampling": GroupKFold(4)}, 5),
        ({"strategy": "blending", "refit": False}, 1),
    ):
        memoriser.fits.clear()
        model = DeepfakeEnsemble([memoriser()], verbose=False, **options)
        model.fit(videos, y, groups=groups)
        assert len(memoriser.fits) == expected, options


@pytest.mark.slow
def test_a_grid_over_combiners_fits_detectors_as_often_as_one(
    noise, memoriser, tmp_path
):
    videos, y, groups = noise(0)
    model = DeepfakeEnsemble([memoriser()], resampling=3, store=tmp_path, verbose=False)
    combiners = ["soft", "hard", "log_odds", "median", "logistic"]
    with sklearn.config_context(enable_metadata_routing=True):
        grid = GridSearchCV(
            model, {"combiner": combiners}, cv=GroupKFold(2), scoring="roc_auc"
        )
        grid.fit(videos, y, groups=groups)
    # 3 folds + 1 on each of 2 outer splits, and on all videos at the end
    assert len(memoriser.fits) == 3 * 4
    assert grid.best_params_["combiner"] in combiners


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_use_the_videos_each_in_its_way(strategy, fitted):
    model = fitted(strategy=strategy)
    rows = len(model.oof_scores_)
    assert (rows < 12) == (strategy == "blending")
    members = model.detectors_["bright"]
    assert (len(members) if isinstance(members, list) else 1) == (
        25 if strategy == "bagging" else 1
    )
    assert companions(model.oof_scores_)["fold"].isna().all() == (strategy == "bagging")


def test_replicas_are_averaged(noise, memoriser):
    videos, y, groups = noise(0)
    model = DeepfakeEnsemble([memoriser()], "bagging", verbose=False)
    model.fit(videos, y, groups=groups)
    fresh, _, _ = noise(1)
    (members,) = model.detectors_.values()
    expected = np.mean([m.predict_proba(fresh)[:, 1] for m in members], axis=0)
    np.testing.assert_allclose(model.detector_scores(fresh)["memoriser"], expected)
    np.testing.assert_allclose(model.fake_score(fresh), expected)


def _fold_aucs(model, videos, y, groups):
    with sklearn.config_context(enable_metadata_routing=True):
        return cross_val_score(
            model, videos, y, params={"groups": groups}, cv=GroupKFold(2),
            scoring="roc_auc",
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [name if name == "stacking" else pytest.param(name, marks=pytest.mark.slow)
     for name in STRATEGIES],
)  # fmt: skip
def test_noise_is_chance_inside_a_pipeline(strategy, noise, memoriser):
    """Mean of per-fold AUC over 12 seeds: its standard error is about 0.01."""
    few = GroupBootstrap(8, random_state=0) if strategy == "bagging" else None
    aucs = []
    for seed in range(12):
        videos, y, groups = noise(seed, 160)
        model = DeepfakeEnsemble(
            [("a", memoriser()), ("b", memoriser(1, 3))],
            strategy,
            resampling=few,
            random_state=seed,
            verbose=False,
        )
        with sklearn.config_context(enable_metadata_routing=True):
            pipeline = Pipeline(
                [("as they are", FunctionTransformer(list)), ("e", model)]
            )
            aucs += _fold_aucs(pipeline, videos, y, groups).tolist()
    assert abs(np.mean(aucs) - 0.5) < 0.035


@pytest.mark.slow
def test_noise_is_chance_on_fresh_videos_after_every_kind_of_refit(noise, memoriser):
    aucs = {"stacking": [], "lightgbm": [], "added": [], "kept folds": []}
    for seed in range(50):
        videos, y, groups = noise(seed)
        fresh, fresh_y, _ = noise(1000 + seed)
        model = DeepfakeEnsemble([("a", memoriser())], resampling=3, verbose=False)
        model.fit(videos, y, groups=groups)
        aucs["stacking"].append(roc_auc_score(fresh_y, model.fake_score(fresh)))
        model.add_detector("b", memoriser(1))
        aucs["added"].append(roc_auc_score(fresh_y, model.fake_score(fresh)))
        model.refit_combiner("lightgbm")
        aucs["lightgbm"].append(roc_auc_score(fresh_y, model.fake_score(fresh)))
        model.set_params(refit=False).fit(videos, y, groups=groups)
        aucs["kept folds"].append(roc_auc_score(fresh_y, model.fake_score(fresh)))
    for name, values in aucs.items():
        assert abs(np.mean(values) - 0.5) < 0.04, name


def test_the_combiner_learns_nothing_from_noise_that_was_memorised(noise, memoriser):
    """A memoriser is perfect in sample; out of fold the stacker must see chance."""
    shifts = []
    for seed in range(8):
        videos, y, groups = noise(seed, 160)
        model = DeepfakeEnsemble([memoriser()], resampling=4, verbose=False)
        model.fit(videos, y, groups=groups)
        inside = model.detector_scores(videos).iloc[:, 0]
        assert roc_auc_score(y, inside) == 1.0  # refitted: it knows these videos
        score = model.fake_score(videos)
        shifts.append(score[y == 1].mean() - score[y == 0].mean())
    assert np.mean(shifts) < 0.3  # far from the 0.9 between its own scores


@pytest.mark.slow
def test_order_of_videos_and_detectors_changes_nothing(toy_videos, fitted):
    videos, y, groups = toy_videos
    model = fitted(random_state=3)
    order = np.random.default_rng(0).permutation(len(videos))
    other = DeepfakeEnsemble(
        {"head": HEAD, "bright": CallableDetector(_bright)},
        random_state=3,
        verbose=False,
    ).fit([videos[i] for i in order], y[order], groups=groups[order])
    np.testing.assert_array_equal(
        other.oof_scores_[["bright", "head"]], model.oof_scores_.to_numpy()[order]
    )
    np.testing.assert_allclose(
        other.fake_score(videos), model.fake_score(videos), rtol=1e-12
    )


@pytest.mark.slow
def test_a_detector_without_any_score_changes_nothing(fitted, toy_videos):
    videos, _, _ = toy_videos
    detectors = {"bright": CallableDetector(_bright), "head": HEAD}
    model = fitted(detectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = fitted({**detectors, "mute": CallableDetector(_mute)})
        score = other.fake_score(videos)
    np.testing.assert_array_equal(score, model.fake_score(videos))
    assert other.weights_["mute"] == 0


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("names", "options"),
    [
        ((0, 1), {}),
        ((False, True), {}),
        (("REAL", "FAKE"), {}),
        (("real", "fake"), {}),
        (("camera", "swap"), {"fake_label": "swap"}),
        (("z", "a"), {"fake_label": "a"}),
    ],
)
def test_any_labels_give_the_same_scores(names, options, fitted, toy_videos):
    videos, y, _ = toy_videos
    words = [names[label] for label in y]
    model = fitted(y=words, **options)
    expected = fitted()
    np.testing.assert_array_equal(model.fake_score(videos), expected.fake_score(videos))
    assert model.classes_.tolist() == sorted(names)
    fake = model.classes_.tolist().index(names[1])
    proba = model.predict_proba(videos)
    np.testing.assert_array_equal(proba[:, fake], model.fake_score(videos))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    predicted = model.predict(videos)
    assert set(predicted.tolist()) <= set(names)
    np.testing.assert_array_equal(predicted == names[1], model.fake_score(videos) > 0.5)
    second = model.classes_[1]
    np.testing.assert_array_equal(
        model.decision_function(videos) > 0, predicted == second
    )
    assert companions(model.oof_scores_)["label"].tolist() == words


def test_other_labels_need_to_be_explained(fitted, toy_videos):
    _, y, _ = toy_videos
    with pytest.raises(ValueError, match="fake_label"):
        fitted(y=np.where(y == 1, "swap", "camera"))
    without = {"head": clone(HEAD).set_params(pseudo_fakes=False)}
    with pytest.raises(ValueError, match="one class"):
        fitted(without, y=np.zeros(24, int))


@pytest.mark.slow
def test_threshold_moves_the_verdict_and_the_decision(fitted, toy_videos):
    videos, _, _ = toy_videos
    model = fitted()
    score = model.fake_score(videos)
    model.set_params(threshold=float(np.median(score)))
    np.testing.assert_array_equal(model.predict(videos) == 1, score > np.median(score))
    np.testing.assert_array_equal(
        model.decision_function(videos) > 0, score > np.median(score)
    )


def test_a_tie_and_a_score_at_the_threshold_are_real_as_everywhere(fitted, toy_videos):
    videos, _, _ = toy_videos
    halves = {"yes": CallableDetector(_yes), "no": CallableDetector(_no)}
    model = fitted(halves, combiner="hard")
    assert (model.fake_score(videos) == 0.5).all()
    assert not model.predict(videos).any()
    np.testing.assert_array_equal(
        model.predict(videos), model.combiner_.predict(model.detector_scores(videos))
    )
    one = fitted({"bright": CallableDetector(_bright)}, combiner="soft")
    training = one.fit_record_.training
    y = training.is_fake[training.given]
    decision = Decision("false_alarm_rate", rate=0.25).fit(
        one.combine(one.oof_scores_), y
    )
    one.set_params(threshold=decision.threshold_)
    verdicts = one.judge(videos, doubts=False)
    assert (verdicts["p_fake"] == decision.threshold_).any()
    assert verdicts["verdict"].tolist() == decision.predict(verdicts["p_fake"]).tolist()


def test_a_video_that_nobody_can_score(fitted, toy_videos, tmp_path):
    videos, _, _ = toy_videos
    broken = str(tmp_path / "broken.mp4")
    model = fitted({"head": HEAD})
    with pytest.warns(UserWarning, match=r"1 of 25 videos get NaN: .*broken\.mp4"):
        score = model.fake_score([broken, *videos])
    assert np.isnan(score[0])
    assert not np.isnan(score[1:]).any()
    with pytest.raises(UnscorableVideoError, match=r"broken\.mp4 \(.*\)"):
        model.predict([broken, *videos])
    with pytest.warns(UserWarning, match=r"share of fakes in training, 0\.500"):
        assert model.set_params(unscorable="prior").fake_score([broken])[0] == 0.5
    with pytest.warns(UserWarning, match="share of fakes"):
        model.predict([broken])
    table = model.judge([broken, videos[0]])
    assert table["status"].tolist() == ["unscorable", "scored"]
    assert "no such file" in table["reason"].iloc[0].lower()


def test_a_partly_scored_video_uses_what_there_is(fitted, toy_videos):
    videos, _, _ = toy_videos
    model = fitted(
        {"bright": CallableDetector(_bright), "shy": CallableDetector(_shy)},
        combiner="soft",
    )
    table = model.judge(videos)
    alone = table["shy"].isna()
    assert 0 < alone.sum() < 24
    np.testing.assert_allclose(table["p_fake"][alone], table["bright"][alone])
    assert (table["status"] == np.where(alone, "partial", "scored")).all()
    assert (table["reason"][alone] == "it gave no score").all()


@pytest.mark.slow
def test_one_bad_file_need_not_spoil_a_cross_validation(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    videos = [*videos, str(tmp_path / "absent.mp4")]
    y, groups = np.r_[y, 1], np.r_[groups, 99]
    model = DeepfakeEnsemble(
        {"head": HEAD}, resampling=2, unscorable="prior", verbose=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = _fold_aucs(model, videos, y, groups)
    assert not np.isnan(scores).any()


def test_groups_are_asked_for_and_routed(noise, memoriser):
    videos, y, groups = noise(0)
    model = DeepfakeEnsemble([memoriser()], resampling=2, verbose=False)
    with pytest.warns(UserWarning, match="enable_metadata_routing"):
        cross_validate(model, videos, y, cv=2, scoring="roc_auc")
    memoriser.fits.clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="no groups given")
        assert len(_fold_aucs(model, videos, y, groups)) == 2
    groups_of = {np.mean(v[..., 0]): g for v, g in zip(videos, groups, strict=True)}
    for means in memoriser.fits:
        seen = [groups_of[mean] for mean in means]
        assert all(seen.count(group) == 2 for group in seen)  # whole groups only


def test_parameters_are_scikit_learns(memoriser):
    model = DeepfakeEnsemble([("a", memoriser()), ("b", HEAD)], combiner=Voting("soft"))
    params = model.get_params()
    assert params["a__n_neighbors"] == 1
    assert params["b__backbone"] == "test_resnet"
    assert params["combiner__kind"] == "soft"
    model.set_params(a__n_neighbors=3, combiner__kind="hard", threshold=0.4)
    assert model.detectors[0][1].n_neighbors == 3
    model.set_params(b=memoriser(2))
    assert model.detectors[1][1].channel == 2
    copy = clone(model)
    assert copy.get_params()["a__n_neighbors"] == 3
    assert copy.detectors[0][1] is not model.detectors[0][1]
    by_class = DeepfakeEnsemble([HEAD]).set_params(test_resnet_frame__epochs=3)
    assert by_class.detectors[0].epochs == 3
    with pytest.raises(ValueError, match="Invalid parameter 'c'"):
        model.set_params(c__channel=1)


@pytest.mark.slow
def test_constructor_parameters_survive_a_fit(fitted):
    detectors = {"bright": CallableDetector(_bright), "head": HEAD}
    combiner = Stacking("logistic")
    model = fitted(detectors, combiner=combiner)
    assert model.detectors is detectors
    assert model.combiner is combiner
    assert not hasattr(HEAD, "module_")
    assert not hasattr(combiner, "classes_")


def test_an_added_detector_is_a_column_like_the_others(fitted, toy_videos):
    videos, _, _ = toy_videos
    one = fitted({"bright": CallableDetector(_bright)})
    one.add_detector("head", HEAD)
    both = fitted({"bright": CallableDetector(_bright), "head": HEAD})
    pd.testing.assert_frame_equal(one.oof_scores_, both.oof_scores_)
    np.testing.assert_array_equal(one.fake_score(videos), both.fake_score(videos))
    with pytest.raises(ValueError, match="'head' is twice"):
        one.add_detector("head", HEAD)


@pytest.mark.slow
def test_another_combiner_on_the_same_scores(fitted, toy_videos):
    videos, _, _ = toy_videos
    model = fitted()
    table = model.oof_scores_
    model.refit_combiner("median")
    assert model.oof_scores_ is table
    np.testing.assert_allclose(
        model.fake_score(videos), model.detector_scores(videos).median(axis=1)
    )
    assert model.weights_ is None or len(model.weights_) == 2
    voting = fitted(strategy="voting")
    model.refit_combiner("voting")
    np.testing.assert_array_equal(model.fake_score(videos), voting.fake_score(videos))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["platt", "temperature", "beta", "isotonic"])
def test_calibration_keeps_or_nearly_keeps_the_ranking(method, fitted, toy_videos):
    videos, _, _ = toy_videos
    plain, calibrated = fitted(), fitted(calibration=method)
    before, after = plain.fake_score(videos), calibrated.fake_score(videos)
    assert (np.diff(after[np.argsort(before)]) >= -1e-12).all()
    assert ((after >= 0) & (after <= 1)).all()


def test_the_default_detectors_are_three_networks_on_two_views():
    named = DeepfakeEnsemble(n_frames=5)._named_detectors()
    assert [name for name, _ in named] == [
        "xception_frame",
        "xception_face",
        "efficientnet_frame",
        "efficientnet_face",
        "resnet_frame",
        "resnet_face",
    ]
    assert all(detector.n_frames == 5 for _, detector in named)
    assert all(detector.train == "full" for _, detector in named)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "stackin"}, "did you mean 'stacking'"),
        ({"combiner": "logistc"}, "did you mean 'logistic'"),
        ({"resampling": "kfold5"}, "unknown resampling"),
        ({"unscorable": "half"}, "'nan' or 'prior'; got 'half'"),
        ({"threshold": 2}, "threshold must lie in 0..1; got 2"),
        ({"calibration": "plat"}, "did you mean 'platt'"),
        (
            {"strategy": "bagging", "calibration": "platt"},
            "cannot be fitted on bootstrap scores",
        ),
        ({"detectors": []}, "detectors is empty"),
        ({"detectors": {"verdict": HEAD}}, "cannot be called 'verdict'"),
        ({"detectors": {"a": HEAD, "a_reason": HEAD}}, "cannot be called 'a_reason'"),
    ],
)
def test_mistakes_are_named_before_any_work(options, message, toy_videos, memoriser):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble(
        **{"detectors": [memoriser()], "verbose": False, **options}
    )
    with pytest.raises(ValueError, match=message):
        model.fit(videos, y, groups=groups)
    assert not memoriser.fits


def test_nothing_works_before_fit(toy_videos):
    model = DeepfakeEnsemble([HEAD])
    for use in (model.predict, model.fake_score, model.refit_combiner):
        with pytest.raises(NotFittedError):
            use(toy_videos[0])


def test_too_few_groups_say_how_many_folds_there_can_be(toy_videos, memoriser):
    videos, y, _ = toy_videos
    model = DeepfakeEnsemble([memoriser()], verbose=False)
    with pytest.raises(ValueError, match="n_splits=3 or fewer"):
        model.fit(videos, y, groups=np.arange(24) % 3)
