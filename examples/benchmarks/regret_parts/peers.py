"""What `regret.py` sets beside the family: what somebody would write by hand.

All take raw scores, NaN where one is missing, and are scikit-learn classifiers.
"""

import numpy as np
from lightgbm import LGBMClassifier
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import (
    ExtraTreesClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

_CLIP = 1e-3


class ByOneNumber(ClassifierMixin, BaseEstimator):
    """Turn each row into one number, which a logistic regression brings to P(fake).

    Parameters
    ----------
    how : {"mean", "log_odds", "best"}
        Of columns brought to 0 to 1 by their least and highest value, where they hold
        others: the mean, the mean of log-odds (clipped at .001), or the one column
        whose training AUC is farthest from chance.
    """

    def __init__(self, how):
        self.how = how

    def fit(self, X, y):
        X = np.asarray(X, float)
        self.classes_ = np.unique(y)
        self.low_ = np.minimum(np.nanmin(X, axis=0), 0)
        self.high_ = np.maximum(np.nanmax(X, axis=0), 1)
        outside = (self.low_ < 0) | (self.high_ > 1)
        self.low_ = np.where(outside, np.nanmin(X, axis=0), 0)
        self.high_ = np.where(outside, np.nanmax(X, axis=0), 1)
        if self.how == "best":
            self.best_ = int(np.argmax([_skill(column, y) for column in X.T]))
        self.calibration_ = make_pipeline(
            SimpleImputer(keep_empty_features=True),
            StandardScaler(),
            LogisticRegression(C=100),
        ).fit(self._number(X), y)
        return self

    def predict_proba(self, X):
        return self.calibration_.predict_proba(self._number(np.asarray(X, float)))

    def _number(self, X):
        if self.how == "best":
            return X[:, [self.best_]]
        X = np.clip((X - self.low_) / (self.high_ - self.low_), 0, 1)
        if self.how == "log_odds":
            X = logit(np.clip(X, _CLIP, 1 - _CLIP))
        n_there = (~np.isnan(X)).sum(axis=1)
        total = np.nansum(X, axis=1)
        mean = np.divide(total, n_there, np.full(len(X), np.nan), where=n_there > 0)
        return mean[:, None]


def _skill(column, y):
    there = ~np.isnan(column)
    if len(np.unique(y[there])) < 2:
        return 0.0
    return abs(roc_auc_score(y[there], column[there]) - 0.5)


def peers(seed):
    """Return the peers by name."""
    logistic = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    trees = LGBMClassifier(
        n_estimators=150,
        num_leaves=15,
        learning_rate=0.05,
        random_state=seed,
        n_jobs=1,
        verbosity=-1,
    )
    forest, extra = (
        grows(100, min_samples_leaf=3, random_state=seed)
        for grows in (RandomForestClassifier, ExtraTreesClassifier)
    )
    three = [("logistic", logistic), ("trees", trees), ("extra", extra)]
    return {
        "peer: logistic": logistic,
        "peer: LightGBM": trees,
        "peer: random forest": forest,
        "peer: extra trees": extra,
        "peer: StackingClassifier": StackingClassifier(three, LogisticRegression()),
        "peer: VotingClassifier": VotingClassifier(three, voting="soft"),
        "peer: best member": ByOneNumber("best"),
        "peer: mean": ByOneNumber("mean"),
        "peer: log-odds mean": ByOneNumber("log_odds"),
    }
