"""Toy detectors: fast, and of somebody else's make."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier


class Memoriser(ClassifierMixin, BaseEstimator):
    """Knows every training video by heart: whatever leaks, it shows.

    Fits are counted in ``Memoriser.fits``, as lists of training videos' means.
    """

    fits = []  # noqa: RUF012

    def __init__(self, channel=0, n_neighbors=1):
        self.channel = channel
        self.n_neighbors = n_neighbors

    def fit(self, videos, y):
        features = self._features(videos)
        type(self).fits.append(features.mean(axis=1).tolist())
        self.classes_ = np.unique(y)
        self.model_ = KNeighborsClassifier(self.n_neighbors).fit(features, y)
        return self

    def predict_proba(self, videos):
        return 0.05 + 0.9 * self.model_.predict_proba(self._features(videos))

    def predict(self, videos):
        return self.classes_[(self.predict_proba(videos)[:, 1] > 0.5).astype(int)]

    def _features(self, videos):
        return np.array([np.ravel(video[..., self.channel]) for video in videos], float)


@pytest.fixture
def memoriser():
    Memoriser.fits = []
    return Memoriser


@pytest.fixture(scope="session")
def noise():
    """Return a function: seed -> 40 videos of pure noise, labels, 20 groups of two."""

    def make(seed, n_videos=40):
        draw = np.random.default_rng(seed)
        videos = list(draw.integers(0, 256, (n_videos, 2, 2, 2, 3), np.uint8))
        return (
            videos,
            draw.permutation(np.arange(n_videos) % 2),
            np.arange(n_videos) // 2,
        )

    return make
