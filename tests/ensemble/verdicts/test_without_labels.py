"""Ensembles of trained detectors that no labelled video was shown to."""

import json
import warnings

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

import ensemble
from base_models import CallableDetector, FrameDetector, write_video
from ensemble import DeepfakeEnsemble, UnscorableVideoError, scan_video, watch


def bright(videos):
    return [video.mean() / 255 for video in videos]


def red(videos):
    return [video[..., 0].mean() / 255 for video in videos]


def blind(videos):
    return [np.nan for _ in videos]


@pytest.fixture
def model():
    return DeepfakeEnsemble.from_detectors(
        {"bright": CallableDetector(bright), "red": CallableDetector(red)}
    )


def test_the_score_is_the_mean_of_log_odds(model, toy_videos):
    videos = toy_videos[0][:5]
    expected = expit((logit(bright(videos)) + logit(red(videos))) / 2)
    np.testing.assert_allclose(model.fake_score(videos), expected)


def test_another_vote_may_be_taken(toy_videos):
    videos = toy_videos[0][:3]
    named = [("bright", CallableDetector(bright)), ("red", CallableDetector(red))]
    model = DeepfakeEnsemble.from_detectors(named, "max")
    expected = np.maximum(bright(videos), red(videos))
    np.testing.assert_allclose(model.fake_score(videos), expected)
    model.refit_combiner("min")
    np.testing.assert_allclose(
        model.fake_score(videos), np.minimum(bright(videos), red(videos))
    )


def test_every_verdict_is_in_doubt_and_says_why(model, toy_videos):
    table = model.judge(toy_videos[0][:4])
    assert set(table["verdict"]) == {"UNSURE"}
    assert table["doubts"].str.contains("unknown calibration").all()
    assert set(table["calibration"]) == {"unknown"}
    assert set(table["status"]) == {"scored"}
    by_threshold = model.judge(toy_videos[0][:4], doubts=False)
    says_fake = by_threshold["p_fake"] > 0.5
    assert (by_threshold["verdict"].eq("FAKE") == says_fake).all()
    assert by_threshold["doubts"].str.contains("unknown calibration").all()
    with pytest.warns(UserWarning, match="unknown calibration"):
        model.predict(toy_videos[0][:1])


def test_it_says_so_everywhere(model, toy_videos):
    card = model.card_
    assert card.unlabelled
    assert "error rates are unknown" in card.summary()
    assert "unknown calibration" in repr(model)
    assert "unknown calibration" in model._repr_html_()
    assert card.score_name == "score"
    assert card.rates is None
    result = scan_video(model, toy_videos[0][0])
    assert result.verdict == "UNSURE"
    said = result.to_dict()
    assert said["calibration"] == "unknown"
    assert "P(fake)" not in json.dumps(said)
    assert said["card"]["n_real"] == 0


@pytest.mark.slow
def test_a_saved_one_scores_alike_and_says_the_same(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    network = FrameDetector(
        "resnet18", "frame", "head", weights=None, image_size=32, n_frames=2
    ).fit(videos[:8], y[:8])
    model = DeepfakeEnsemble.from_detectors([("net", network)])
    assert isinstance(model.detectors_["net"], FrozenEstimator)
    model.save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe")
    np.testing.assert_array_equal(
        again.fake_score(videos[:4]), model.fake_score(videos[:4])
    )
    np.testing.assert_allclose(
        again.fake_score(videos[:4]), network.fake_score(videos[:4]), rtol=1e-12
    )
    assert again.card_.summary() == model.card_.summary()
    assert again.card_.unlabelled
    assert "unknown calibration" in repr(again)
    with pytest.warns(UserWarning, match="net was trained on unknown data"):
        again.set_params(combiner="logistic", resampling=2).fit(
            videos, y, groups=toy_videos[2]
        )
    assert not again.card_.unlabelled  # what is loaded learns from labels as well
    assert len(again.oof_scores_) == len(videos)


def test_labelled_videos_teach_combiner_calibration_and_threshold(model, toy_videos):
    videos, y, groups = toy_videos
    model.set_params(calibration="platt", threshold="cost=2")
    with pytest.warns(UserWarning, match="was trained on unknown data"):
        model.fit(videos, y, groups=groups)
    assert not model.card_.unlabelled
    assert model.card_.auc.estimate > 0.9
    assert model.calibrator_ is not None
    assert "calibration" not in model.judge(videos[:2])
    assert set(model.judge(videos, doubts=False)["verdict"]) >= {"REAL", "FAKE"}
    assert set(model.judge(videos)["verdict"]) == {"UNSURE"}  # it learned from them


def test_faces_are_pooled_as_asked(toy_videos):
    named = [CallableDetector(bright)]
    model = DeepfakeEnsemble.from_detectors(named, faces_pooling="worst")
    video = toy_videos[0][0]
    np.testing.assert_allclose(model.fake_score([video]), bright([video]))


@pytest.mark.slow
def test_a_watch_is_in_doubt_as_well(toy_videos, tmp_path):
    network = FrameDetector(
        "resnet18", "frame", "head", weights=None, image_size=32, n_frames=2
    ).fit(toy_videos[0][:8], toy_videos[1][:8])
    model = DeepfakeEnsemble.from_detectors([("net", network)])
    path = write_video(tmp_path / "clip.mp4", np.tile(toy_videos[0][1], (5, 1, 1, 1)))
    steps = list(watch(model, path))
    assert {step.verdict for step in steps} == {"UNSURE"}
    assert all(step.running > 0 for step in steps)
    assert {step.to_dict()["calibration"] for step in steps} == {"unknown"}


def test_a_detector_may_be_added(model, toy_videos):
    videos = toy_videos[0][:3]
    model.add_detector("red again", CallableDetector(red))
    mean = (logit(bright(videos)) + 2 * logit(red(videos))) / 3
    np.testing.assert_allclose(model.fake_score(videos), expit(mean))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": "fpr=0.05"}, "set on labelled videos"),
        ({"threshold": "three-way"}, "set on labelled videos"),
        ({"prior": 0.1}, "corrects a probability"),
        ({"unscorable": "prior"}, "no labelled videos"),
        ({"combiner": "logistic"}, "learns from labelled videos"),
        ({"combiner": "rank"}, "learns from labelled videos"),
        ({"combiner": "log_ods"}, "log_ods"),
    ],
)
def test_what_labels_would_tell_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DeepfakeEnsemble.from_detectors([CallableDetector(bright)], **given)


def test_what_is_set_later_is_refused_as_well(model, toy_videos):
    model.set_params(prior=0.01)
    with pytest.raises(ValueError, match="unknown calibration"):
        model.judge(toy_videos[0][:1])
    model.set_params(prior=None, threshold="fpr=0.05")
    with pytest.raises(ValueError, match="labelled videos"):
        model.judge(toy_videos[0][:1])
    model.set_params(threshold=0.3)
    assert model.threshold_ == 0.3
    with pytest.raises(ValueError, match="nothing to compare"):
        model.report("report.html")


def test_an_untrained_detector_is_named():
    with pytest.raises(NotFittedError, match="resnet18_face is not trained yet"):
        DeepfakeEnsemble.from_detectors([FrameDetector("resnet18", weights=None)])


def test_a_video_that_nobody_scores_has_no_verdict(toy_videos):
    model = DeepfakeEnsemble.from_detectors([CallableDetector(blind)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = model.judge(toy_videos[0][:1])
        assert np.isnan(table["p_fake"].item())
        assert table["verdict"].item() == ""
        assert table["status"].item() == "unscorable"
        with pytest.raises(UnscorableVideoError, match="no score"):
            model.predict(toy_videos[0][:1])


def test_mesonets_own_pictures_score_as_published(shared, tmp_path):
    """Each member P(real) of the data's notes, combined by hand."""
    pytest.importorskip("h5py")
    from base_models import load_checkpoint

    weights = shared / "models" / "mesonet"
    if not weights.is_dir():
        pytest.skip("no MesoNet weights")
    published = {"df00204": (0.041, 0.026), "real00772": (0.998, 1.0)}
    model = DeepfakeEnsemble.from_detectors(
        [
            load_checkpoint(weights / name, scope="crop", n_frames=1)
            for name in ("Meso4_DF.h5", "MesoInception_DF.h5")
        ]
    )
    for name, p_real in published.items():
        kind = "df" if name.startswith("df") else "real"
        folder = tmp_path / name
        folder.mkdir()
        image = weights / "test_images" / kind / f"{name}.jpg"
        (folder / "0.jpg").write_bytes(image.read_bytes())
        table = model.detector_scores([folder])
        np.testing.assert_allclose(1 - table.to_numpy()[0], p_real, atol=0.015)
        kept = np.clip(table.to_numpy()[0], 1e-3, 1 - 1e-3)
        expected = expit(logit(kept).mean())
        np.testing.assert_allclose(model.combine(table), [expected], rtol=1e-6)
