"""Training on real videos alone."""

import warnings

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble, LeakError, load, out_of_fold_scores
from ensemble.combiners import SpreadLogOdds, Voting
from ensemble.decision import threshold_at_false_alarm_rate
from ensemble.out_of_fold.reals_only import reals_threshold
from ensemble.scores import companions

few = pytest.mark.filterwarnings("ignore:a false-alarm rate of")


class FromReals(BaseEstimator):
    """Calls fake what is brighter than the reals it saw.

    As a detector that makes its fakes of the reals it is given, it records of whom.
    """

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


class NeedsFakes(FromReals):
    fits_on_reals = False


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
    assert isinstance(model.combiner_, SpreadLogOdds)
    score = model.fake_score([*genuine, *fakes])
    assert score[len(genuine) :].mean() > score[: len(genuine)].mean() + 0.1
    table = model.predict_proba(fakes)
    np.testing.assert_allclose(table[:, classes.index(model.fake_class_)], score[12:])
    assert (score[len(genuine) :] > model.threshold_).mean() > 0.6
    verdicts = model.judge(fakes, doubts=False)["verdict"]
    assert (verdicts == "FAKE TRACES").mean() > 0.6
    with pytest.raises(ValueError, match="FAKE TRACES or UNSURE and never REAL"):
        model.predict(fakes)


@few
def test_pseudo_fakes_are_made_of_other_groups_than_the_judged(reals):
    genuine, _, groups = reals
    groups = groups // 2  # two videos each
    FromReals.seen = []
    model = DeepfakeEnsemble({"one": FromReals()}, resampling=3, verbose=False)
    model.fit(genuine, [0] * 12, groups=groups)
    beside = companions(model.oof_scores_)
    judged = []
    for number, sources in enumerate(FromReals.seen[:3]):
        held = set(beside["group"][beside["fold"] == number])
        assert held | sources == set(groups)
        assert not held & sources
        judged += held
    assert sorted(judged) == sorted(set(groups))
    assert FromReals.seen[3:] == [set(groups)]


def test_a_split_that_shares_a_group_is_refused(reals):
    genuine, _, groups = reals
    rows = [(np.arange(11), np.array([11]))]
    model = DeepfakeEnsemble(MEMBERS, resampling=rows, verbose=False)
    with pytest.raises(LeakError, match="on both sides"):
        model.fit(genuine, [0] * 12, groups=groups // 2)


def test_the_table_alone_can_be_had_of_reals(reals):
    genuine, _, groups = reals
    given = {"groups": groups, "resampling": 3}
    table = out_of_fold_scores(MEMBERS, genuine, ["REAL"] * 12, **given)
    model = DeepfakeEnsemble(
        MEMBERS, resampling=3, false_alarm_rate=0.1, verbose=False
    ).fit(genuine, ["REAL"] * 12, groups=groups)
    np.testing.assert_array_equal(table, model.oof_scores_)
    assert set(companions(table)["label"]) == {"REAL"}
    with pytest.raises(ValueError, match="cannot learn: callabledetector"):
        out_of_fold_scores(
            [("callabledetector", NeedsFakes())], genuine, [0] * 12, **given
        )


@few
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_threshold_keeps_the_false_alarms_of_unseen_reals(reals, rate):
    genuine, _, groups = reals
    model = DeepfakeEnsemble(MEMBERS, false_alarm_rate=rate, verbose=False)
    model.fit(genuine, [0] * 12, groups=groups)
    score = model.combine(model.oof_scores_)
    share = (score > model.threshold_).mean()
    assert share <= rate
    assert model.false_alarms_.estimate == pytest.approx(share)
    assert model.false_alarms_.low <= share <= model.false_alarms_.high
    # the next lower score would be one false alarm too many
    lower = score[score < model.threshold_].max()
    assert (score > lower).mean() > rate
    table = model.judge(genuine, doubts=False)
    accused = table["suspicion"] > model.threshold_
    assert ((table["verdict"] == "FAKE TRACES") == accused).all()
    assert (table["verdict"][~accused] == "UNSURE").all()


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.33])
def test_the_threshold_is_that_of_a_decision_at_a_false_alarm_rate(rate):
    score = np.random.default_rng(0).integers(0, 40, 100) / 40  # with ties
    expected = threshold_at_false_alarm_rate(
        np.append(np.zeros(100), 1), np.append(score, 1), rate
    )
    assert reals_threshold(score, rate) == expected
    assert reals_threshold(score, 0) == score.max()


def test_few_reals_are_told_with_the_interval(reals):
    genuine, _, groups = reals
    highest = beta.ppf(0.975, 1, 12)  # Clopper and Pearson, none of 12 groups
    model = DeepfakeEnsemble(MEMBERS, verbose=False)
    with pytest.warns(
        UserWarning,
        match=rf"0\.05 cannot be told on 12 real videos, 20 .* {100 * highest:.0f} %",
    ):
        model.fit(genuine, [0] * 12, groups=groups)
    assert model.threshold_ == model.combine(model.oof_scores_).max()
    assert model.false_alarms_ == (0, 0, pytest.approx(highest))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(false_alarm_rate=0.1).refit_combiner("voting")


@pytest.mark.slow
def test_fresh_reals_are_called_fake_about_as_often_as_was_asked():
    """Mean over 60 seeds of 20 fresh reals: its standard error is about 0.02."""
    draw = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        videos = list(draw.integers(0, 256, (50, 1, 4, 4, 3), np.uint8))
        model = DeepfakeEnsemble(
            {"one": FromReals()}, resampling=3, false_alarm_rate=0.2, verbose=False
        )
        model.fit(videos[:30], [0] * 30, groups=np.arange(30))
        shares.append((model.fake_score(videos[30:]) > model.threshold_).mean())
    assert abs(np.mean(shares) - 0.2) < 0.06


@few
def test_videos_that_nobody_can_score_do_not_set_the_threshold(reals):
    genuine, _, groups = reals
    model = DeepfakeEnsemble({"shy": _Shy()}, resampling=3, verbose=False)
    model.fit([*genuine, np.zeros_like(genuine[0])], [0] * 13, groups=[*groups, 99])
    assert np.isnan(model.oof_scores_["shy"]).sum() == 1
    known = model.combine(model.oof_scores_.dropna())
    assert model.threshold_ == pytest.approx(known.max())
    with pytest.raises(ValueError, match="unscorable='prior' is the share"):
        model.set_params(unscorable="prior").fake_score([np.zeros_like(genuine[0])])


def test_a_threshold_that_was_given_holds(reals):
    genuine, _, groups = reals
    model = DeepfakeEnsemble(MEMBERS, threshold=0.3, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing was chosen, nothing is to be told
        model.fit(genuine, [0] * 12, groups=groups)
    assert model.threshold_ == 0.3
    score = model.combine(model.oof_scores_)
    assert model.false_alarms_.estimate == (score > 0.3).mean() > 0
    assert model.set_params(threshold=None).threshold_ == score.max()


def test_two_classes_keep_the_half(toy_videos):
    videos, y, groups = toy_videos
    bright = CallableDetector(_brightness)
    model = DeepfakeEnsemble({"bright": bright}, false_alarm_rate=0.3, verbose=False)
    model.fit(videos, y, groups=groups)
    assert model.threshold_ == 0.5
    assert model.false_alarms_ is None


@few
def test_what_needs_fakes_is_refused(reals):
    genuine, _, groups = reals
    labels = [0] * len(genuine)
    refusals = [
        (
            {"detectors": {"f": NeedsFakes(), **MEMBERS}},
            "these detectors cannot learn: f",
        ),
        ({"combiner": "logistic"}, "combiner='logistic' learns from fake videos"),
        ({"combiner": "rank"}, "learns from fake videos"),
        ({"combiner": Voting(weights="learned")}, "learns from fake videos"),
        ({"combiner": Voting("soft", scale="standard")}, "learns from fake videos"),
        ({"calibration": "platt"}, "calibration='platt' needs fake videos"),
        ({"unscorable": "prior"}, "unscorable='prior' is the share of fakes"),
        ({"false_alarm_rate": 2}, "false_alarm_rate must lie in"),
    ]
    for params, message in refusals:
        model = DeepfakeEnsemble(**({"detectors": MEMBERS} | params), verbose=False)
        with pytest.raises(ValueError, match=message):
            model.fit(genuine, labels, groups=groups)
    with pytest.raises(ValueError, match="1, fake"):
        DeepfakeEnsemble(MEMBERS).fit(genuine, [1] * 12, groups=groups)
    model = DeepfakeEnsemble(MEMBERS, verbose=False).fit(genuine, labels, groups=groups)
    threshold, score = model.threshold_, model.fake_score(genuine)
    with pytest.raises(ValueError, match="learns from fake videos"):
        model.refit_combiner("lightgbm")
    with pytest.raises(ValueError, match="cannot learn: f"):
        model.add_detector("f", NeedsFakes())
    assert model.threshold_ == threshold  # as if nothing had been asked
    np.testing.assert_array_equal(model.fake_score(genuine), score)
    assert model.refit_combiner("max").combiner_.kind == "max"
    assert model.threshold_ == model.oof_scores_.max(axis=None)
    for strategy in ("stacking", "blending", "voting", "bagging"):
        assert isinstance(model.refit_combiner(strategy).combiner_, SpreadLogOdds)
        assert model.threshold_ == threshold


@few
def test_fixed_votes_are_what_they_are_with_two_classes(reals):
    genuine, _, groups = reals
    expected = {
        "soft": lambda table: table.mean(axis=1),
        "median": lambda table: table.median(axis=1),
        Voting("soft", weights=[3, 1]): lambda table: table @ [0.75, 0.25],
    }
    for combiner, by_hand in expected.items():
        model = DeepfakeEnsemble(MEMBERS, combiner=combiner, verbose=False)
        model.fit(genuine, [0] * 12, groups=groups)
        table = model.detector_scores(genuine)
        np.testing.assert_allclose(model.fake_score(genuine), by_hand(table))


@few
def test_members_fitted_before_go_with_those_that_make_their_fakes(reals):
    genuine, fakes, groups = reals
    before = FrozenEstimator(FromReals().fit(genuine, [0] * 12, groups))
    model = DeepfakeEnsemble({"before": before, **MEMBERS}, verbose=False)
    with pytest.warns(UserWarning, match="before was trained on .* the threshold"):
        model.fit(genuine, [0] * 12, groups=groups)
    before.card_ = {"trained_on": []}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*was trained on")
        model.fit(genuine, [0] * 12, groups=groups)
    more = model.add_detector("three", FromReals(20.0))
    assert (more.fake_score(fakes) > more.threshold_).any()


@few
def test_other_labels_take_the_name_of_the_fakes(reals):
    genuine, _, groups = reals
    model = DeepfakeEnsemble(MEMBERS, fake_label="swapped", verbose=False)
    model.fit(genuine, ["genuine"] * 12, groups=groups)
    assert model.classes_.tolist() == ["genuine", "swapped"]
    assert model.fake_class_ == "swapped"


@few
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
    assert again.false_alarms_.high == model.false_alarms_.high
    assert again.classes_.tolist() == [0, 1]
    assert again.fake_class_ == 1
    again.refit_combiner("stacking")
    assert again.threshold_ == model.threshold_
    judged = again.judge(fakes, doubts=False)
    assert judged.equals(model.judge(fakes, doubts=False))
    assert set(judged["verdict"]) <= {"FAKE TRACES", "UNSURE"}
    assert again.card_.score_name == "suspicion"


class _Shy(FromReals):
    """Has no score for a black video."""

    def predict_proba(self, videos):
        table = super().predict_proba(videos)
        table[[not video.any() for video in videos]] = np.nan
        return table


class _Bright(CallableDetector):
    fits_on_reals = True

    def __init__(self, function=None):
        super().__init__(_brightness)

    def fit(self, videos, y):
        self.classes_ = np.array([0, 1])
        return self


def _brightness(videos):
    return [video.mean() / 255 for video in videos]
