import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

import ensemble
from base_models import CallableDetector
from ensemble import DeepfakeEnsemble
from ensemble.calibration import cross_fitted_scores
from ensemble.combiners import Stacking
from ensemble.decision.named_thresholds import Thresholds
from ensemble.out_of_fold.ensemble_scores import labels_of
from ensemble.thresholds import grounds, parse_threshold, resolve_thresholds


def _red(videos):
    return [video[..., 0].mean() / 255 for video in videos]


def _green(videos):
    return [video[..., 1].mean() / 255 for video in videos]


MEMBERS = [("red", CallableDetector(_red)), ("green", CallableDetector(_green))]


def _labelled(n_videos=80, apart=40, seed=0):
    """Videos whose red is brighter in fakes, green the same; groups of two."""
    draw = np.random.default_rng(seed)
    y = np.arange(n_videos) // 2 % 2
    videos = []
    for label in y:
        shade = draw.normal((100 + apart * label, 100, 100), 30)
        videos.append(np.full((2, 4, 4, 3), np.clip(shade, 1, 254), np.uint8))
    return videos, y, np.arange(n_videos) // 2


def _fitted(combiner="logistic", data=None, **params):
    videos, y, groups = data or _labelled()
    model = DeepfakeEnsemble(
        MEMBERS, resampling=2, combiner=combiner, verbose=False, **params
    )
    return model.fit(videos, y, groups=groups)


@pytest.fixture(scope="module")
def model():
    return _fitted()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fpr=2", "between 0 and 1"),
        ("fpr", "between 0 and 1"),
        ("frp=0.1", "did you mean 'fpr'"),
        ("cost=-1", "not both 0"),
        ("cost=0:0", "not both 0"),
        ("cost=x", "two numbers"),
        ("three-way,speed=1", "got 'speed'"),
        ("three-way,fpr=0.1,fpr=0.2", "twice"),
        ("1.5", "0..1"),
        (-0.1, "0..1"),
        ("", "threshold must be"),
    ],
)
def test_what_is_no_threshold_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        parse_threshold(spec)


def test_a_threshold_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="fpr=RATE"):
        parse_threshold([0.5])


def test_numbers_are_read_from_text_too():
    assert parse_threshold("0.25").value == parse_threshold(0.25).value == 0.25
    assert parse_threshold("three-way,confidence=none").confidence is None


def test_a_rule_leaves_out_what_its_kind_does_not_use():
    rule = parse_threshold("fpr=0.1")
    assert rule.false_alarm_rate == 0.1
    assert rule.miss_rate is rule.cost_false_alarm is rule.cost_miss is None


def test_a_threshold_that_nothing_exceeds_is_told():
    assert "No video is called fake" in Thresholds(1.0, 1.0, False, "").where
    assert "fake above 0.999" in Thresholds(0.999, 0.999, False, "").where


def test_thresholds_are_set_on_scores_that_no_combiner_has_seen():
    # One nearest neighbour knows its own rows by heart: in sample its AUC is 1.
    knows_by_heart = Stacking(KNeighborsClassifier(1))
    aucs = []
    for seed in range(4):
        noise = _labelled(60, apart=0, seed=seed)
        fitted = _fitted(knows_by_heart, noise)
        assert roc_auc_score(noise[1], fitted.combine(fitted.oof_scores_)) > 0.9
        aucs.append(roc_auc_score(noise[1], fitted.oof_fake_score_))
    assert abs(np.mean(aucs) - 0.5) < 0.12


def test_unseen_scores_are_the_cross_fitted_ones(model):
    training = model.fit_record_.training
    rows = np.sort(training.rows(model.oof_scores_.index))
    table = model.oof_scores_.loc[[training.ids[row] for row in rows]]
    expected = cross_fitted_scores(
        model.combiner_, table, training.is_fake[rows], groups=training.groups[rows]
    )
    np.testing.assert_allclose(model.oof_fake_score_[table.index], expected)


def test_fpr_keeps_its_share_of_the_unseen_reals(model):
    model.set_params(threshold="fpr=0.1")
    is_fake, _ = labels_of(model)
    reals = model.oof_fake_score_[is_fake == 0]
    assert (reals > model.threshold_).mean() <= 0.1
    below = reals[reals < model.threshold_].max()
    assert (reals > below).mean() > 0.1  # no lower one would do
    assert "40 real and 40 fake videos of 40 groups" in model.thresholds_.set_on
    model.set_params(threshold=None)
    assert model.threshold_ == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["platt", "isotonic", "venn_abers"])
def test_calibration_and_prior_move_the_threshold_with_the_scores(calibration):
    videos, *_ = _labelled(seed=1)
    plain = _fitted(threshold="fpr=0.1")
    scaled = _fitted(threshold="fpr=0.1", calibration=calibration, prior=0.02)
    before, after = plain.judge(videos), scaled.judge(videos)
    assert after["p_fake"].mean() < before["p_fake"].mean()
    if calibration == "platt":  # strictly rising: the same verdicts
        assert (before["verdict"] == after["verdict"]).all()
    else:  # ties are real
        assert not ((after["verdict"] == "FAKE") & (before["verdict"] == "REAL")).any()


@pytest.mark.slow
def test_prior_follows_bayes_rule():
    plain, rare = _fitted(), _fitted(prior=0.01)
    videos, *_ = _labelled(seed=1)
    p = plain.fake_score(videos)
    odds = p / (1 - p) * (0.01 / 0.99) / (plain.prior_ / (1 - plain.prior_))
    np.testing.assert_allclose(rare.fake_score(videos), odds / (1 + odds))


def test_votes_are_corrected_from_one_half():
    data = _labelled(60)
    y = np.array(data[1])
    keep = np.flatnonzero((y == 1) | (np.arange(60) % 12 < 4))  # most are fake
    data = ([data[0][i] for i in keep], y[keep], data[2][keep])
    plain, same = _fitted("soft", data), _fitted("soft", data, prior=0.5)
    assert plain.prior_ > 0.6
    np.testing.assert_allclose(
        same.fake_score(data[0]), plain.fake_score(data[0]), rtol=1e-12
    )


def test_a_dearer_false_alarm_raises_the_threshold(model):
    at = {}
    for spec in ("cost=1:10", "cost=1", "cost=10"):
        at[spec] = model.set_params(threshold=spec).threshold_
    model.set_params(threshold=None)
    assert at["cost=1:10"] < at["cost=1"] < at["cost=10"]


@pytest.mark.slow
def test_three_way_leaves_some_unsure_and_predict_refuses_it():
    fitted = _fitted(data=_labelled(120, apart=50), threshold="three-way=0.2")
    videos, *_ = _labelled(60, apart=50, seed=5)
    found = fitted.judge(videos)
    assert set(found["verdict"]) == {"REAL", "UNSURE", "FAKE"}
    cut = fitted.thresholds_
    assert (found["p_fake"][found["verdict"] == "FAKE"] > cut.high).all()
    assert (found["p_fake"][found["verdict"] == "REAL"] < cut.low).all()
    assert "confidence of 95 %" in cut.set_on
    with pytest.raises(ValueError, match="`judge` says"):
        fitted.predict(videos)


def test_what_cannot_be_certified_is_told_at_the_fit():
    with pytest.raises(ValueError, match="threshold='three-way=0.01'.*cannot be"):
        _fitted(threshold="three-way=0.01")


@pytest.mark.slow
def test_a_loaded_model_sets_thresholds_on_what_it_keeps(tmp_path):
    fitted = _fitted(calibration="platt", threshold="fpr=0.1")
    fitted.save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe", detectors=dict(MEMBERS))
    assert again.thresholds_ == fitted.thresholds_
    record = again.fit_record_  # as a file of before the scores were kept
    record.cross_fitted = record.evidence = None
    assert again.thresholds_ == fitted.thresholds_
    assert grounds(again) == grounds(fitted)
    assert "calibrated (platt) on the out-of-fold scores" in grounds(again)[1]


def test_reals_alone_know_fpr_and_nothing_of_fakes():
    videos, y, _ = _labelled(40)
    reals = [video for video, label in zip(videos, y, strict=True) if not label]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = DeepfakeEnsemble(MEMBERS, resampling=2, verbose=False).fit(
            reals, np.zeros(len(reals)), groups=np.arange(len(reals))
        )
    fitted.set_params(threshold="fpr=0.2")
    assert (fitted.oof_fake_score_ > fitted.threshold_).mean() <= 0.2
    assert (
        "How many fakes are above it is not known" in resolve_thresholds(fitted).set_on
    )
    for bad in ({"threshold": "cost=2"}, {"threshold": "three-way"}):
        with pytest.raises(ValueError, match="real videos alone"):
            _ = fitted.set_params(**bad).thresholds_
    with pytest.raises(ValueError, match="fitted on fakes"):
        fitted.set_params(threshold=None, prior=0.1).fake_score(reals)
