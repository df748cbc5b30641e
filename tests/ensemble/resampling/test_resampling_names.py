"""What scores are is asked of the splits, and a name is known however it is written."""

import numpy as np
import pytest
from sklearn.model_selection import RepeatedStratifiedKFold

import ensemble
from base_models import CallableDetector
from ensemble import DeepfakeEnsemble
from ensemble.combiners import Stacking, resolve_combiner
from ensemble.resampling import (
    GroupBootstrap,
    GroupHoldout,
    StratifiedGroupFolds,
    averages_replicas,
    resolve_resampling,
    scores_are,
    split_rows,
)

FOLDS = ("k-fold", "KFold", "k fold", "K_FOLD", "cv", "out-of-fold")
HOLDOUTS = ("holdout", "hold-out", "Hold Out", "hold_out")
BOOTSTRAPS = ("bootstrap", "Bootstrap", "out-of-bag", "out_of bag", "OutOfBag", "oob")


@pytest.fixture(scope="module")
def toy():
    draw = np.random.default_rng(0)
    y = np.arange(24) % 2
    shades = np.clip(draw.normal(100 + 40 * y, 30), 1, 254)
    return [np.full((2, 4, 4, 3), s, np.uint8) for s in shades], y, np.arange(24) // 2


def bright(videos):
    return [video.mean() / 255 for video in videos]


def make_model(**params):
    detectors = [("bright", CallableDetector(bright))]
    return DeepfakeEnsemble(detectors, verbose=False, **params)


@pytest.mark.parametrize(
    ("names", "kind"),
    [(FOLDS, StratifiedGroupFolds), (HOLDOUTS, GroupHoldout),
     (BOOTSTRAPS, GroupBootstrap)],
)  # fmt: skip
def test_a_resampling_is_known_however_it_is_written(names, kind):
    for name in names:
        assert type(resolve_resampling(name)) is kind
        assert averages_replicas(name) == (kind is GroupBootstrap)


@pytest.mark.parametrize(
    "resampling",
    [
        *BOOTSTRAPS,
        GroupBootstrap(5, random_state=0),
        [([0, 0, 1, 2, 3, 3], [4, 5, 6, 7])],
        iter([([0, 0, 1, 2, 3, 3], [4, 5, 6, 7])]),
    ],
    ids=[*BOOTSTRAPS, "splitter", "list", "iterator"],
)
def test_no_name_slips_past_the_guard_against_calibrating_bootstrap_scores(
    resampling, toy
):
    videos, y, groups = toy
    model = make_model(resampling=resampling, calibration="platt")
    with pytest.raises(ValueError, match="cannot be fitted on bootstrap scores"):
        model.fit(videos, y, groups=groups)
    assert not hasattr(model, "detectors_")


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    ("strategy", "resampling", "kind"),
    [
        ("bagging", 3, "out-of-fold"),
        ("stacking", "out of bag", "out-of-bag"),
        ("voting", GroupBootstrap(12, random_state=0), "out-of-bag"),
        ("Stacking", None, "out-of-fold"),
        ("bagging", None, "out-of-bag"),
        ("blending", None, "hold-out"),
        ("stacking", "Hold Out", "hold-out"),
    ],
)
def test_a_threshold_says_what_scores_it_was_set_on(
    strategy, resampling, kind, toy, tmp_path
):
    videos, y, groups = toy
    model = make_model(strategy=strategy, resampling=resampling, threshold="fpr=0.4")
    model.fit(videos, y, groups=groups)
    assert f"set on the {kind} scores of" in model.thresholds_.set_on
    model.save(tmp_path / "model.dfe")
    detectors = {"bright": CallableDetector(bright)}
    again = ensemble.load(tmp_path / "model.dfe", detectors=detectors)
    assert again.thresholds_.set_on == model.thresholds_.set_on


@pytest.mark.parametrize("name", HOLDOUTS)
def test_a_hold_out_lacks_no_rows_however_it_is_written(name, toy, recwarn):
    videos, y, groups = toy
    make_model(resampling=name).fit(videos, y, groups=groups)
    assert not [w for w in recwarn if "in no test part" in str(w.message)]


def test_splits_are_asked_what_their_scores_are():
    y = np.arange(20) % 2
    for splitter, kind in (
        (StratifiedGroupFolds(4, 0), "out-of-fold"),
        (
            RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0),
            "out-of-fold",
        ),
        (GroupHoldout(random_state=0), "hold-out"),
        (GroupBootstrap(3, random_state=0), "out-of-bag"),
    ):
        assert scores_are(split_rows(splitter, y), 20) == kind


def test_combiners_and_strategies_are_known_however_they_are_written():
    assert resolve_combiner("Best Single").n_rounds == 1
    assert resolve_combiner("LightGBM").meta_model == "lightgbm"
    scores, y = np.random.default_rng(0).random((40, 2)), np.arange(40) % 2
    for name in ("hold-out", "Hold_Out"):
        stacking = Stacking(layers=[["soft"]], resampling=name).fit(scores, y)
        assert stacking.top_.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="did you mean 'stacking'"):
        make_model(strategy="staking").fit([], [])
