"""A detector of one's own that says nothing of its state is saved by its attributes."""

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

import ensemble
from base_models import ArtifactError
from base_models.errors import DeepfakeEnsembleWarning
from ensemble import DeepfakeEnsemble


class Shades(ClassifierMixin, BaseEstimator):
    """Learns from the brightness of videos, and keeps arrays and a model."""

    def __init__(self, power=1):
        self.power = power

    def measured(self, videos):
        return np.array([[(video.mean() / 255) ** self.power] for video in videos])

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        self.model_ = LogisticRegression(C=100).fit(self.measured(videos), y)
        self.mean_ = self.measured(videos).mean(axis=0)
        return self

    def predict_proba(self, videos):
        check_is_fitted(self)
        return self.model_.predict_proba(self.measured(videos) - 0 * self.mean_)


class Closed(Shades):
    """Keeps what no file holds."""

    def fit(self, videos, y):
        self.rule_ = lambda video: video
        return super().fit(videos, y)


class Brightness(BaseEstimator):
    """A step of a pipeline."""

    def fit(self, videos, y=None):
        return self

    def transform(self, videos):
        return np.array([[video.mean()] for video in videos])


def fitted(detector, toy_videos, **params):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble(
        [("mine", detector)], combiner="soft", resampling=2, verbose=False, **params
    )
    return model.fit(videos, y, groups=groups)


@pytest.mark.parametrize("refit", [True, False])
def test_what_it_learned_comes_back(toy_videos, refit, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fitted(Shades(power=2), toy_videos, refit=refit)
    model.save(tmp_path / "model.dfe")
    again = ensemble.load(tmp_path / "model.dfe", detectors={"mine": Shades(power=2)})
    videos = toy_videos[0]
    np.testing.assert_array_equal(again.fake_score(videos), model.fake_score(videos))


@pytest.mark.parametrize(
    ("detector", "reason"),
    [
        (Closed(), "detector Closed cannot be saved: builtins.function cannot be"),
        (
            make_pipeline(Brightness(), LogisticRegression()),
            "detector Pipeline cannot be saved: it has no attribute of its own",
        ),
    ],
)
def test_what_no_file_holds_is_said_at_the_fit(toy_videos, detector, reason, tmp_path):
    with pytest.warns(DeepfakeEnsembleWarning, match=f"{reason}.*will refuse this fit"):
        model = fitted(detector, toy_videos)
    with pytest.raises(ArtifactError, match=f"{reason}.*get_state and set_state"):
        model.save(tmp_path / "model.dfe")
    assert not (tmp_path / "model.dfe").exists()


def test_a_file_sets_nothing_that_no_fit_does(toy_videos, tmp_path):
    model = fitted(Shades(), toy_videos)
    model.detectors_["mine"].measured = 1  # a method of the class
    model.save(tmp_path / "model.dfe")
    with pytest.raises(ArtifactError, match="would set 'measured' of a Shades"):
        ensemble.load(tmp_path / "model.dfe", detectors={"mine": Shades()})
