"""A detector that shows leaks; in a module of one name, by which the store knows it."""

import numpy as np
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
