"""Our detectors keep the contract of detectors; what breaks it is told how."""

import contextlib
import threading

import joblib
import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from base_models import (
    CallableDetector,
    CompressionRouter,
    FeaturePathDetector,
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    GeometryDetector,
    LSTMDetector,
    TorchDetector,
    sample_frames,
)
from base_models.testing import ContractError, check_detector
from base_models.testing.made_videos import made_clips
from base_models.video import list_videos


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    made = made_clips(tmp_path_factory.mktemp("clips"))
    return made.videos, made.y, made.groups


class MeanColour(ClassifierMixin, BaseEstimator):
    """A detector of somebody else: the mean colour of four frames."""

    def __init__(self, C=1.0, random_state=None):
        self.C = C
        self.random_state = random_state

    def fit(self, videos, y, groups=None):
        y = np.asarray(y)
        if len(y) != len(videos):
            raise ValueError("one label per video")
        if len(np.unique(y)) < 2:
            raise ValueError("both classes must be there")
        features = self._features(videos)
        self.model_ = LogisticRegression(C=self.C).fit(features, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, videos):
        if not hasattr(self, "model_"):
            raise NotFittedError("call fit first")
        return self.model_.predict_proba(self._features(videos))

    def _features(self, videos):
        return np.stack([self._feature(video) for video in videos])

    def _feature(self, video):
        return sample_frames(video, 4).mean(axis=(0, 1, 2)) / 64


class StoresElsewhere(MeanColour):
    def __init__(self, C=1.0, random_state=None):
        self.C = float(C) + 1
        self.random_state = random_state


class AnswersUnfitted(MeanColour):
    def predict_proba(self, videos):
        return np.full((len(videos), 2), 0.5)


class ReturnsNothing(MeanColour):
    def fit(self, videos, y, groups=None):
        super().fit(videos, y)


class ChangesItself(MeanColour):
    def fit(self, videos, y, groups=None):
        super().fit(videos, y)
        self.C = 7.0
        return self


class GivesLogits(MeanColour):
    def predict_proba(self, videos):
        return 4 * super().predict_proba(videos) - 1.5


class OneColumn(MeanColour):
    def predict_proba(self, videos):
        return super().predict_proba(videos)[:, 1]


class ForgetsLabels(MeanColour):
    def fit(self, videos, y, groups=None):
        is_fake = np.asarray(y) == (1 if np.asarray(y).dtype.kind == "i" else "FAKE")
        super().fit(videos, is_fake.astype(int))
        self.classes_ = np.unique(y)
        return self


class Inverted(MeanColour):
    def predict_proba(self, videos):
        return super().predict_proba(videos)[:, ::-1]


class SaysHalf(MeanColour):
    def predict_proba(self, videos):
        table = np.full((len(videos), 2), 0.5)
        for row, video in enumerate(videos):
            with contextlib.suppress(OSError):
                table[row] = super().predict_proba([video])[0]
        return table


class ByBatch(MeanColour):
    def _features(self, videos):
        features = super()._features(videos)
        return features - features.mean(axis=0)


class DrawsAnew(MeanColour):
    def fit(self, videos, y, groups=None):
        super().fit(videos, y)
        self.model_.coef_ += np.random.default_rng().normal(0, 0.1, 3)
        return self


class ByPlace(MeanColour):
    def fit(self, videos, y, groups=None):
        super().fit(videos, y)
        half = self._features(videos[: len(videos) // 2]).mean()
        self.model_.coef_ *= half
        self.model_.intercept_ *= half
        return self


class ByFileName(MeanColour):
    def _feature(self, video):
        feature = super()._feature(video)
        return feature + ("clip" in str(video))


class ByGroupNumber(MeanColour):
    def fit(self, videos, y, groups=None):
        super().fit(videos, y)
        self.model_.intercept_ += 0.1 * (len(str(groups[0])) > 2)
        return self


class LearnsFromOneClass(MeanColour):
    def fit(self, videos, y, groups=None):
        if len(set(y)) > 1:
            return super().fit(videos, y)
        self.classes_, self.model_ = np.array([0, 1]), None
        return self


class KeepsTooLittle(MeanColour):
    def get_state(self, portable=True):
        return {"classes": self.classes_.tolist()}, {"coef": self.model_.coef_}

    def set_state(self, meta, arrays):
        self.classes_ = np.array(meta["classes"])
        self.model_ = LogisticRegression()
        self.model_.classes_, self.model_.coef_ = self.classes_, arrays["coef"]
        self.model_.intercept_ = np.zeros(1)
        return self


BROKEN = [
    (StoresElsewhere, r"parameters: expected .* clone"),
    (AnswersUnfitted, r"before a fit: expected NotFittedError .* no error"),
    (ReturnsNothing, r"fit: expected fit to return self; got None"),
    (ChangesItself, r"fit: expected parameter 'C' as it was, 1.0; got 7.0"),
    (GivesLogits, r"scores: expected probabilities within 0 to 1"),
    (OneColumn, r"predict_proba: expected shape \(16, 2\).* got shape \(16,\)"),
    (ForgetsLabels, r"labels: expected the same P\(fake\)"),
    (Inverted, r"orientation: expected fakes .* to score higher .* AUC of 0\.0"),
    (SaysHalf, r"unreadable videos: expected NaN for a text file .* got 0\.5"),
    (ByBatch, r"order of the videos: .* scored alone"),
    (DrawsAnew, r"same seed: expected the same scores after another fit"),
    (ByPlace, r"order of the videos: .* after a fit on the videos in another order"),
    (ByFileName, r"file names: expected the same scores of the same files"),
    (ByGroupNumber, r"groups: expected the same scores with groups of other names"),
    (LearnsFromOneClass, r"one class: expected ValueError .* fakes alone; got no"),
    (KeepsTooLittle, r"state: expected the same scores after set_state"),
]


@pytest.mark.slow_after(5)
@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_what_breaks_the_contract_is_told_what_it_breaks(clips, broken, message):
    with pytest.raises(ContractError, match=f"{broken.__name__}, {message}"):
        check_detector(broken(), *clips, n_jobs=1)


@pytest.mark.slow
def test_a_detector_that_goes_to_no_other_process_is_told_so(clips):
    class HoldsALock(MeanColour):
        def fit(self, videos, y, groups=None):
            self.lock_ = threading.Lock()
            return super().fit(videos, y)

    with pytest.raises(ContractError, match=r"another process: .*pickle"):
        check_detector(HoldsALock(), *clips)


def brightness(videos):
    return [expit((sample_frames(v, 4).mean() - 110) / 20) for v in videos]


def small_frames(backbone="test_resnet", **settings):
    settings = {"view": "frame", "image_size": 32, "n_frames": 2} | settings
    settings |= {"weights": None, "pseudo_fakes": False, "device": "cpu"}
    return FrameDetector(backbone, **settings)


FAST = [
    MeanColour(),
    CallableDetector(brightness),
    FrozenEstimator(CallableDetector(brightness).fit([1, 2], [0, 1])),
    FrequencyDetector("frame", image_size=32, n_frames=2, pseudo_fakes=False),
    FlickerDetector("frame", image_size=48, pseudo_fakes=False),
]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("detector", FAST, ids=lambda d: type(d).__name__)
def test_the_small_ones_keep_the_contract(clips, detector):
    with joblib.parallel_config("threading"):
        check_detector(detector, *clips)


def test_labels_of_both_classes_are_needed():
    with pytest.raises(
        ValueError, match=r"y must have a label per video.*got 1 labels"
    ):
        check_detector(MeanColour(), ["a.mp4"], [1])


def _tiny_module():
    from torch import nn

    return nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(12, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: FrequencyDetector("frame", image_size=32, n_frames=2),
        lambda: small_frames(train="head"),
        lambda: small_frames(train="full", epochs=2, frames_per_epoch=1),
        lambda: small_frames(
            "test_vit", train="lora", epochs=2, frames_per_epoch=1, image_size=160
        ),
        lambda: TorchDetector(
            _tiny_module(), view="frame", image_size=32, n_frames=2, epochs=2
        ),
        lambda: LSTMDetector(features=small_frames(train="head"), epochs=2),
        lambda: FeaturePathDetector("test_resnet", view="frame", weights=None),
        lambda: CompressionRouter(
            {
                name: FrequencyDetector("frame", image_size=32, pseudo_fakes=False)
                for name in ("c23", "c40")
            },
            compression="c23",  # nothing in the made clips is like c40
        ),
    ],
    ids=["frequency", "head", "full", "lora", "torch", "lstm", "path", "router"],
)
def test_those_that_train_keep_the_contract(make):
    check_detector(make())


@pytest.mark.slow
def test_one_that_needs_faces_keeps_the_contract_on_real_clips(shared):
    videos, y = [], []
    for label, name in enumerate(("real", "fake")):
        found = sorted(list_videos(shared / "data/clips" / name))[:6]
        videos += map(str, found)
        y += [label] * len(found)
    check_detector(GeometryDetector(n_frames=8, n_estimators=20), videos, y)
