"""scikit-learn's voting, stacking and bagging with our combiners behind them.

Behind scikit-learn's constructor they make the estimators' scores, out of fold for
training, and leave the aggregation to `Voting` and `Stacking`. With more than two
classes each one has a combiner of its own, against the rest.
"""

import warnings

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin, clone
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.metaestimators import _BaseComposition, available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from ensemble.combiners import Stacking, Voting
from ensemble.resampling import (
    GroupBootstrap,
    resolve_resampling,
    split_rows,
)


class Refused(AttributeError):
    """What scikit-learn's class offers and ours leaves out on purpose."""


class Adapter(ClassifierMixin, _BaseComposition):
    """Estimators, whose scores a combiner of ours combines, one for each class."""

    def get_params(self, deep=True):
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params):
        return self._set_params("estimators", **params)

    def fit(self, X, y, sample_weight=None):
        X = np.asarray(X) if isinstance(X, list) else X
        y = np.asarray(y)
        if y.ndim > 1:
            raise NotImplementedError("one label per video")
        self._check()
        self.classes_ = np.unique(y)
        self.estimators_ = self._fitted_members(X, y, sample_weight)
        self.n_features_in_ = np.shape(X)[1]
        tables = self._out_of_fold(X, y, sample_weight)
        self.combiners_ = [
            clone(self._combiner()).fit(table, y == label, sample_weight=sample_weight)
            for label, table in zip(self._told_apart(), tables, strict=True)
        ]
        return self

    def predict(self, X):
        check_is_fitted(self)
        return self.classes_[self._probabilities(X).argmax(axis=1)]

    def transform(self, X):
        check_is_fitted(self)
        raise Refused("no transform: it would hand out scores of training rows")

    def _check(self):
        pairs = self.estimators
        if not pairs or not all(
            isinstance(pair, tuple) and isinstance(pair[0], str) for pair in pairs
        ):
            raise ValueError(
                "Invalid 'estimators' attribute, 'estimators' should be a non-empty "
                "list of (string, estimator) tuples."
            )
        if all(estimator == "drop" for _, estimator in pairs):
            raise ValueError(
                "All estimators are dropped. At least one is required to be an "
                "estimator."
            )

    def _members(self):
        return [member for _, member in self.estimators if member != "drop"]

    def _fitted_members(self, X, y, sample_weight):
        return [fitted(member, X, y, sample_weight) for member in self._members()]

    def _out_of_fold(self, X, y, sample_weight):
        """Return a table of scores (n_videos, n_members) for each class told apart."""
        splits = self._splits(y)
        tables = np.full(
            (len(self._told_apart()), len(y), len(self._members())), np.nan
        )
        for j, member in enumerate(self._members()):
            for train, test in splits:
                weight = None if sample_weight is None else sample_weight[train]
                model = fitted(member, _safe_indexing(X, train), y[train], weight)
                scores = self._member_scores(model, _safe_indexing(X, test))
                tables[:, test, j] = scores
        return tables

    def _told_apart(self):
        return self.classes_[1:] if len(self.classes_) == 2 else self.classes_

    def _member_scores(self, member, X):
        """Return the member's scores, one row for each class told apart."""
        return class_scores(member, X, self.classes_)[:, -len(self._told_apart()) :].T

    def _probabilities(self, X):
        check_is_fitted(self)
        X = np.asarray(X) if isinstance(X, list) else X
        members = [self._member_scores(member, X) for member in self.estimators_]
        return self._combined(np.stack(members, axis=-1))

    def _combined(self, tables):
        scores = [
            combiner.fake_score(table)
            for combiner, table in zip(self.combiners_, tables, strict=True)
        ]
        if len(scores) == 1:
            scores = [1 - scores[0], scores[0]]
        scores = np.column_stack(scores)
        total = scores.sum(axis=1, keepdims=True)
        total[total == 0] = np.inf  # no class stands against the rest
        return scores / total


class VotingClassifier(Adapter):
    def __init__(
        self,
        estimators,
        *,
        voting="hard",
        weights=None,
        n_jobs=None,
        flatten_transform=True,
        verbose=False,
    ):
        self.estimators = estimators
        self.voting = voting
        self.weights = weights
        self.n_jobs = n_jobs
        self.flatten_transform = flatten_transform
        self.verbose = verbose

    @available_if(lambda self: self._is_soft())
    def predict_proba(self, X):
        return self._probabilities(X)

    def _is_soft(self):
        if self.voting == "hard":
            raise AttributeError("predict_proba is not available when voting='hard'")
        return True

    def _check(self):
        super()._check()
        if self.weights is not None and len(self.weights) != len(self.estimators):
            raise ValueError("Number of `estimators` and weights must be equal")

    def _combiner(self):
        weights = self.weights
        if weights is not None:
            weights = [
                weight
                for weight, (_, member) in zip(weights, self.estimators, strict=True)
                if member != "drop"
            ]
        return Voting(self.voting, weights)

    def _splits(self, y):
        n_folds = min(3, np.unique(y, return_counts=True)[1].min())
        if n_folds < 2:  # too few videos; this voting learns nothing from the scores
            return [(np.arange(len(y)), np.arange(len(y)))]
        return split_rows(resolve_resampling(int(n_folds), random_state=0), y)

    def _member_scores(self, member, X):
        if self.voting == "soft":
            return super()._member_scores(member, X)
        return (self._told_apart()[:, None] == member.predict(X)).astype(float)


class StackingClassifier(Adapter):
    def __init__(
        self,
        estimators,
        final_estimator=None,
        *,
        cv=None,
        stack_method="auto",
        n_jobs=None,
        passthrough=False,
        verbose=0,
    ):
        self.estimators = estimators
        self.final_estimator = final_estimator
        self.cv = cv
        self.stack_method = stack_method
        self.n_jobs = n_jobs
        self.passthrough = passthrough
        self.verbose = verbose

    @property
    def final_estimator_(self):
        return self.combiners_[0].classifier_

    def predict_proba(self, X):
        return self._probabilities(X)

    def _check(self):
        super()._check()
        if self.passthrough:
            raise Refused("a score table holds scores and no features of the videos")

    def _combiner(self):
        if self.final_estimator is None:
            return Stacking()
        return Stacking(self.final_estimator)

    def _fitted_members(self, X, y, sample_weight):
        if self.cv != "prefit":
            return super()._fitted_members(X, y, sample_weight)
        for member in self._members():
            check_is_fitted(member)
        return self._members()

    def _out_of_fold(self, X, y, sample_weight):
        if self.cv != "prefit":
            return super()._out_of_fold(X, y, sample_weight)
        members = [self._member_scores(member, X) for member in self.estimators_]
        return np.stack(members, axis=-1)

    def _splits(self, y):
        return split_rows(resolve_resampling(self.cv, 5, random_state=0), y)


class BaggingClassifier(Adapter):
    """Replicas of one estimator; the scores of its own rows are missing to each."""

    def __init__(
        self,
        estimator=None,
        n_estimators=10,
        *,
        max_samples=1.0,
        max_features=1.0,
        bootstrap=True,
        bootstrap_features=False,
        oob_score=False,
        warm_start=False,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.bootstrap_features = bootstrap_features
        self.oob_score = oob_score
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    get_params = _BaseComposition.get_params
    set_params = _BaseComposition.set_params

    def predict_proba(self, X):
        return self._probabilities(X)

    def predict_log_proba(self, X):
        return np.log(self._probabilities(X))

    def _check(self):
        if self.max_samples not in (None, 1.0) or self.max_features != 1.0:
            raise Refused("a replica has as many groups as there are, and all columns")
        if not self.bootstrap or self.bootstrap_features or self.warm_start:
            raise Refused("replicas are drawn with replacement, of groups, all at once")

    def _combiner(self):
        return Voting("soft")

    def _fitted_members(self, X, y, sample_weight):
        rng = check_random_state(self.random_state)
        self.estimator_ = self.estimator
        if self.estimator is None:
            self.estimator_ = DecisionTreeClassifier()
        splitter = GroupBootstrap(self.n_estimators, rng.randint(2**31 - 1))
        self.splits_ = split_rows(splitter, y)
        members = []
        for train, _ in self.splits_:
            member = clone(self.estimator_)
            for name in member.get_params():
                if name.split("__")[-1] == "random_state":
                    member.set_params(**{name: rng.randint(2**31 - 1)})
            weight = None if sample_weight is None else sample_weight[train]
            members.append(fitted(member, _safe_indexing(X, train), y[train], weight))
        return members

    def _out_of_fold(self, X, y, sample_weight):
        """Return out-of-bag scores: NaN where a replica has seen the row."""
        tables = np.full((len(self._told_apart()), len(y), self.n_estimators), np.nan)
        for j, (member, (_, test)) in enumerate(
            zip(self.estimators_, self.splits_, strict=True)
        ):
            scores = self._member_scores(member, _safe_indexing(X, test))
            tables[:, test, j] = scores
        return tables

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        if self.oob_score:
            X = np.asarray(X) if isinstance(X, list) else X
            score = self._combined(self._out_of_fold(X, np.asarray(y), None))
            scored = ~np.isnan(score[:, 0])
            if not scored.all():
                warnings.warn(
                    "Some inputs do not have OOB scores. This probably means too few "
                    "estimators were used to compute any reliable oob estimates.",
                    stacklevel=2,
                )
            label = self.classes_[score[scored].argmax(axis=1)]
            self.oob_score_ = (label == np.asarray(y)[scored]).mean()
        return self


def fitted(member, X, y, sample_weight):
    member = clone(member)
    if sample_weight is None:
        member.fit(X, y)
    elif has_fit_parameter(member, "sample_weight"):
        member.fit(X, y, sample_weight=sample_weight)
    else:
        raise TypeError(
            f"Underlying estimator {type(member).__name__} does not support sample "
            "weights."
        )
    return member


def class_scores(member, X, classes):
    """Return P(class), or what stands for it, of shape (n_videos, n_classes)."""
    if hasattr(member, "predict_proba"):
        known = member.predict_proba(X)
    elif hasattr(member, "decision_function"):
        known = expit(member.decision_function(X))
        known = np.column_stack([1 - known, known]) if known.ndim == 1 else known
    else:
        known = (member.predict(X)[:, None] == member.classes_).astype(float)
    scores = np.zeros((len(known), len(classes)))
    scores[:, np.searchsorted(classes, member.classes_)] = known
    return scores
