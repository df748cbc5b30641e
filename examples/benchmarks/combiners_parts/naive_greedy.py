"""Greedy selection as one writes it first: every candidate's metric in every round."""

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin


def naive_greedy(columns, y, metric, n_rounds):
    """AutoGluon's EnsembleSelection loop, plain numpy, ties to the first."""
    ensemble, trajectory = [], []
    for _ in range(n_rounds):
        size = len(ensemble)
        so_far = np.zeros(len(y))
        if size:
            mean = ensemble[0].copy()
            for column in ensemble[1:]:
                mean += column
            so_far = size / (size + 1) * (mean / size)
        values = np.array(
            [metric(y, so_far + column / (size + 1)) for column in columns]
        )
        best = int(np.flatnonzero(values >= values.max() - 1e-10)[0])
        ensemble.append(columns[best])
        trajectory.append(best)
    return trajectory


def naive_log_loss(y, score):
    score = np.clip(score, 1e-15, 1 - 1e-15)
    return (y * np.log(score) + (1 - y) * np.log(1 - score)).mean()


def naive_auc(y, score):
    n_fake = y.sum()
    won = rankdata(score)[y == 1].sum() - n_fake * (n_fake + 1) / 2
    return won / (n_fake * (len(y) - n_fake))


class NaiveGreedy(ClassifierMixin, BaseEstimator):
    """The loop as a classifier: the mean of what was picked, on log loss.

    Scores outside 0 to 1 are brought there by their column's least and highest value,
    missing ones are the column's mean.
    """

    def __init__(self, n_rounds=100):
        self.n_rounds = n_rounds

    def fit(self, X, y):
        X, self.classes_ = np.asarray(X, float), np.unique(y)
        low, high = np.nanmin(X, axis=0), np.nanmax(X, axis=0)
        inside = (low >= 0) & (high <= 1)
        self.low_ = np.where(inside, 0, low)
        self.spread_ = np.where(inside | (high == low), 1, high - low)
        self.mean_ = np.nanmean((X - self.low_) / self.spread_, axis=0)
        columns = list(np.ascontiguousarray(self._filled(X).T))
        picked = naive_greedy(columns, np.asarray(y), naive_log_loss, self.n_rounds)
        self.weights_ = np.bincount(picked, minlength=X.shape[1]) / self.n_rounds
        return self

    def predict_proba(self, X):
        score = self._filled(np.asarray(X, float)) @ self.weights_
        return np.column_stack([1 - score, score])

    def _filled(self, X):
        X = np.clip((X - self.low_) / self.spread_, 0, 1)
        return np.where(np.isnan(X), self.mean_, X)
