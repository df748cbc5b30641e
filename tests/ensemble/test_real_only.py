"""Training on real videos alone."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, load
from ensemble.combiners import Voting


class FromReals(BaseEstimator):
    """Calls fake what is brighter than the reals it saw."""

    fits_on_reals = True
    seen = []  # noqa: RUF012

    def __init__(self, scale=40.0):
        self.scale = scale

    def fit(self, videos, y, groups=None):
        assert not np.any(y)
        self.classes_ = np.array([0, 1])
        self.mean_ = np.mean([video.mean() for video in videos])
        FromReals.seen.append(set(np.asarray(groups).tolist()))
        return self

    def predict_proba(self, videos):
        shade = np.array([video.mean() for video in videos])
        score = 1 / (1 + np.exp(-(shade - self.mean_) / self.scale))
        return np.column_stack([1 - score, score])


@pytest.fixture
def reals(toy_videos):
    videos, y, groups = toy_videos
    genuine = [video for video, label in zip(videos, y, strict=True) if not label]
    fakes = [video for video, label in zip(videos, y, strict=True) if label]
    return genuine, fakes, groups[y == 0]


MEMBERS = {"one": FromReals(), "two": FromReals(10.0)}


@pytest.mark.parametrize("strategy", ["voting", "stacking", "blending", "bagging"])
@pytest.mark.parametrize(
    ("label", "classes"),
    [(0, [0, 1]), (False, [False, True]), ("REAL", ["FAKE", "REAL"])],
)
def test_reals_alone_are_enough(reals, strategy, label, classes):
    genuine, fakes, groups = reals
    model = DeepfakeEnsemble(MEMBERS, strategy, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.fit(genuine, [label] * len(genuine), groups=groups)
    assert model.classes_.tolist() == classes
    assert model.fake_class_ == classes[label != "REAL"]
    assert isinstance(model.combiner_, Voting)
    assert model.combiner_.kind == "log_odds"
    score = model.fake_score([*genuine, *fakes])
    assert score[len(genuine) :].mean() > score[: len(genuine)].mean() + 0.1
    table = model.predict_proba(fakes)
    np.testing.assert_allclose(table[:, classes.index(model.fake_class_)], score[12:])
    assert (model.predict(fakes) == model.fake_class_).mean() > 0.6


def test_no_detector_sees_the_group_it_judges(reals):
    genuine, _, groups = reals
    FromReals.seen = []
    model = DeepfakeEnsemble({"one": FromReals()}, resampling=4, verbose=False)
    model.fit(genuine, [0] * 12, groups=groups)
    fold = model.oof_scores_.attrs["fold"]
    group = model.oof_scores_.attrs["group"]
    for number, seen in enumerate(FromReals.seen[:4]):
        held = {group[row] for row in fold if fold[row] == number}
        assert held
        assert not held & seen
    assert len(FromReals.seen[4]) == 12


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_threshold_keeps_the_false_alarms_of_unseen_reals(reals, rate):
    genuine, _, groups = reals
    model = DeepfakeEnsemble(MEMBERS, false_alarm_rate=rate, verbose=False)
    model.fit(genuine, [0] * 12, groups=groups)
    score = model.combine(model.oof_scores_)
    share = (score >= model.threshold_).mean()
    assert share <= rate
    assert model.false_alarms_.estimate == pytest.approx(share)
    assert model.false_alarms_.low <= share <= model.false_alarms_.high
    # the next lower score would be one false alarm too many
    lower = score[score < model.threshold_].max()
    assert (score >= lower).mean() > rate
    table = model.judge(genuine)
    assert ((table["verdict"] == "FAKE") == (table["p_fake"] >= model.threshold_)).all()


def test_a_threshold_that_was_given_holds(reals):
    genuine, _, groups = reals
    model = DeepfakeEnsemble(MEMBERS, threshold=0.7, verbose=False)
    assert model.fit(genuine, [0] * 12, groups=groups).threshold_ == 0.7
    assert model.set_params(threshold=None).threshold_ != 0.7


def test_what_needs_fakes_is_refused(reals):
    genuine, _, groups = reals
    labels = [0] * len(genuine)
    refusals = [
        (
            {"detectors": {"f": CallableDetector(len), **MEMBERS}},
            "these detectors cannot learn: f",
        ),
        ({"combiner": "logistic"}, "combiner='logistic' learns from fake videos"),
        ({"combiner": "rank"}, "learns from fake videos"),
        ({"combiner": Voting(weights="learned")}, "learns from fake videos"),
        ({"calibration": "platt"}, "calibration='platt' needs fake videos"),
        ({"unscorable": "prior"}, "unscorable='prior' is the share of fakes"),
        ({"false_alarm_rate": 2}, "false_alarm_rate must lie in"),
    ]
    for params, message in refusals:
        model = DeepfakeEnsemble(**({"detectors": MEMBERS} | params), verbose=False)
        with pytest.raises(ValueError, match=message):
            model.fit(genuine, labels, groups=groups)
    with pytest.raises(ValueError, match="fake videos only"):
        DeepfakeEnsemble(MEMBERS).fit(genuine, [1] * 12, groups=groups)
    model = DeepfakeEnsemble(MEMBERS, verbose=False).fit(genuine, labels, groups=groups)
    with pytest.raises(ValueError, match="learns from fake videos"):
        model.refit_combiner("lightgbm")
    assert model.refit_combiner("max").combiner_.kind == "max"


def test_other_labels_take_the_name_of_the_fakes(reals):
    genuine, _, groups = reals
    model = DeepfakeEnsemble(MEMBERS, fake_label="swapped", verbose=False)
    model.fit(genuine, ["genuine"] * 12, groups=groups)
    assert model.classes_.tolist() == ["genuine", "swapped"]
    assert model.fake_class_ == "swapped"


def test_it_is_saved_with_its_threshold(reals, tmp_path):
    genuine, fakes, groups = reals
    members = {"bright": _Bright()}
    model = DeepfakeEnsemble(members, verbose=False).fit(
        genuine, [0] * 12, groups=groups
    )
    model.save(tmp_path / "model.dfe")
    again = load(tmp_path / "model.dfe", detectors={"bright": _Bright()})
    assert again.threshold_ == model.threshold_
    assert again.false_alarms_ == model.false_alarms_
    np.testing.assert_array_equal(again.predict(fakes), model.predict(fakes))


class _Bright(CallableDetector):
    fits_on_reals = True

    def __init__(self, function=None):
        super().__init__(_brightness)

    def fit(self, videos, y):
        self.classes_ = np.array([0, 1])
        return self


def _brightness(videos):
    return [video.mean() / 255 for video in videos]
