"""Stacking: a meta-model that learns from out-of-fold scores how to combine them."""

import difflib

import numpy as np
from scipy.special import expit
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from ensemble.combiners.base import Combiner
from ensemble.combiners.monotone_trees import grow_trees, trees_log_odds
from ensemble.combiners.nonnegative_logistic import (
    fit_nonnegative_logistic,
    log_odds_of,
)
from ensemble.combiners.rows import inner_splits, sample_rows
from ensemble.combiners.scales import NEUTRAL, fit_scale, to_scale

_ALL = slice(None)
_META_MODELS = ("logistic", "lightgbm", "mlp")
_SHRINKAGES = (np.inf, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.0)
_SLACK = 0.5  # standard errors that stronger shrinkage may cost
_MAX_INNER = 5000  # different rows of each class that inner folds need


class Stacking(Combiner):
    """Combine scores by a meta-model fitted on out-of-fold scores.

    Parameters
    ----------
    meta_model : str or classifier, default="logistic"
        - "logistic": logistic regression with non-negative weights, pulled towards
          equal ones. A missing score hands its weight to the others in proportion.
        - "lightgbm": small trees, rising in every score, that correct the calibrated
          mean of the scores. Inner folds choose how many, which may be none.
        - "mlp": one hidden layer of 8 units on standardised scores.
        - any scikit-learn classifier with ``predict_proba``.

        For all but the first, a missing score is filled with the mean of the row's
        other scores, on the scale in use.
    scale : str or None, default="log_odds"
        Scale of what the meta-model sees: "probability", "log_odds", "rank",
        "standard" or None. The last three take any numbers, not only P(fake).
    shrinkage : float or "auto", default="auto"
        For "logistic": pull of the weights towards equal ones, in videos; inf keeps
        them equal. "auto" takes the strongest of eight whose log loss on inner folds is
        within half a standard error of the least.
    inner_folds : int, default=5
        Number of inner folds, which keep groups whole. With fewer groups of a class
        there are fewer; with only one there are none, and "auto" is inf, "lightgbm" has
        no trees: both are then the calibrated mean. Of each class up to 5,000 different
        rows take part.
    clip : float, default=1e-6
        Log-odds are those of scores clipped to [clip, 1 - clip].
    random_state : int, RandomState or None, default=0
        Seed of the inner folds and of the meta-model.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    intercept_, weights_ : float and ndarray of shape (n_detectors,)
        Of "logistic" and of the mean that "lightgbm" corrects: log-odds of fake are the
        intercept plus the weights times the scores, counted from the neutral score. A
        weight is 0 for a detector that had no score in `fit`.
    shrinkage_ : float
        Of "logistic": the shrinkage in use.
    trees_ : str
        Of "lightgbm": the trees as LightGBM writes them; "" for none.
    n_rounds_ : int
        Of "lightgbm": the number of trees.
    classifier_ : classifier
        Of "mlp" and other classifiers: the fitted meta-model.
    n_inner_folds_ : int
        Number of inner folds used; 0 where none were needed or possible.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Wolpert (1992), Stacked generalization, Neural Networks 5; Breiman (1996), Stacked
    regressions, Machine Learning 24, for the non-negative weights.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> good = np.clip(0.5 + 0.3 * (y - 0.5) + 0.2 * rng.normal(size=60), 0, 1)
    >>> scores = np.column_stack([good, rng.random(60)])  # the second knows nothing
    >>> combiner = Stacking().fit(scores, y)
    >>> combiner.weights_.round(1)
    array([2.1, 0. ])
    """

    def __init__(
        self,
        meta_model="logistic",
        scale="log_odds",
        shrinkage="auto",
        inner_folds=5,
        clip=1e-6,
        random_state=0,
        fake_label=None,
    ):
        self.meta_model = meta_model
        self.scale = scale
        self.shrinkage = shrinkage
        self.inner_folds = inner_folds
        self.clip = clip
        self.random_state = random_state
        self.fake_label = fake_label

    def _fit(self, rows):
        self.n_inner_folds_ = 0
        rows.scores = self._centred(rows.scores)
        if not isinstance(self.meta_model, str):
            self._fit_classifier(self.meta_model, rows)
        elif self.meta_model == "logistic":
            self._fit_logistic(rows)
        elif self.meta_model == "lightgbm":
            self._fit_trees(rows)
        elif self.meta_model == "mlp":
            rows.scores = filled(rows.scores)
            self.features_ = fit_scale("standard", rows.scores, _ALL, rows.weight)
            rows.scores = to_scale(self.features_, rows.scores, _ALL)
            mlp = MLPClassifier((8,), solver="lbfgs", alpha=1.0, max_iter=2000)
            self._fit_classifier(mlp, rows)
        else:
            close = difflib.get_close_matches(self.meta_model, _META_MODELS, n=1)
            raise ValueError(
                f"unknown meta_model {self.meta_model!r}; expected 'logistic', "
                "'lightgbm', 'mlp' or a scikit-learn classifier"
                + (f"; did you mean {close[0]!r}?" if close else "")
            )

    def _fake_score(self, scores):
        scores = self._centred(scores)
        if not isinstance(self.meta_model, str) or self.meta_model == "mlp":
            scores = filled(scores)
            if self.meta_model == "mlp":
                scores = to_scale(self.features_, scores, _ALL)
            fake = list(self.classifier_.classes_).index(1)
            return self.classifier_.predict_proba(scores)[:, fake]
        weights = self.weights_[self.detector_order_]
        log_odds = log_odds_of(scores, self.intercept_, weights)
        if self.meta_model == "lightgbm":
            log_odds = log_odds + trees_log_odds(self.trees_, filled(scores))
        return expit(log_odds)

    def _centred(self, scores):
        """Count scores from the neutral one."""
        neutral = NEUTRAL[self.scale_["name"]]
        return scores - neutral if neutral else scores

    def _fit_logistic(self, rows):
        sample = sample_rows(rows, _MAX_INNER)
        spread = _spread(sample)
        if isinstance(self.shrinkage, str):
            if self.shrinkage != "auto":
                raise ValueError(
                    f"shrinkage must be a number >= 0, inf or 'auto'; got "
                    f"{self.shrinkage!r}"
                )
            splits = self._inner_splits(sample)
            self.shrinkage_ = _choose_shrinkage(sample, splits, spread)
        else:
            if not self.shrinkage >= 0:
                raise ValueError(
                    f"shrinkage must be a number >= 0, inf or 'auto'; got "
                    f"{self.shrinkage!r}"
                )
            self.shrinkage_ = float(self.shrinkage)
        start = None
        if len(sample) < len(rows):
            start = _logistic(sample, self.shrinkage_, spread)
        self._keep(*_logistic(rows, self.shrinkage_, spread, start))

    def _fit_trees(self, rows):
        sample = sample_rows(rows, _MAX_INNER)
        spread = _spread(sample)
        losses = 0.0
        for train, test in self._inner_splits(sample):
            mean = _logistic(sample[train], np.inf, spread)
            seen, unseen = (_tree_input(sample[part], mean) for part in (train, test))
            _, by_round = grow_trees(*seen, judge=unseen)
            losses = losses + by_round * sample.weight[test].sum()
        self.n_rounds_ = int(np.argmin(losses))
        mean = _logistic(rows, np.inf, spread)
        self.trees_, _ = grow_trees(*_tree_input(rows, mean), self.n_rounds_)
        self._keep(*mean)

    def _fit_classifier(self, meta_model, rows):
        if not (hasattr(meta_model, "fit") and is_classifier(meta_model)):
            raise TypeError(
                "meta_model must be 'logistic', 'lightgbm', 'mlp' or a scikit-learn "
                f"classifier; got {meta_model!r}"
            )
        if not hasattr(meta_model, "predict_proba"):
            raise TypeError(
                f"meta_model {meta_model!r} has no predict_proba; wrap it in "
                "CalibratedClassifierCV"
            )
        features, is_fake, passed = filled(rows.scores), rows.is_fake, {}
        groups = rows.groups
        if has_fit_parameter(meta_model, "sample_weight"):
            if (rows.weight != 1).any():
                passed["sample_weight"] = rows.weight
        else:
            times = _as_repetition(rows.weight, meta_model)
            features, is_fake = features.repeat(times, axis=0), is_fake.repeat(times)
            groups = None if groups is None else groups.repeat(times)
        if groups is not None and _takes_groups(meta_model):
            passed["groups"] = groups
        self.classifier_ = _seeded(clone(meta_model), self.random_state)
        self.classifier_.fit(features, is_fake, **passed)

    def _inner_splits(self, rows):
        splits = inner_splits(rows, self.inner_folds, self.random_state)
        self.n_inner_folds_ = len(splits)
        return splits

    def _keep(self, intercept, weights):
        self.intercept_ = intercept
        self.weights_ = self._to_table_order(weights)


def filled(scores):
    """Fill missing scores with the mean of the row's other scores."""
    missing = np.isnan(scores)
    if not missing.any():
        return scores
    return np.where(missing, np.nanmean(scores, axis=1, keepdims=True), scores)


def _spread(rows):
    """Return the detectors' median variance: makes shrinkage a number of videos."""
    spread = fit_scale("standard", rows.scores, _ALL, rows.weight)["spread"]
    return float(np.median(spread**2))


def _logistic(rows, shrinkage, spread, start=None):
    return fit_nonnegative_logistic(
        rows.scores, rows.is_fake, rows.weight, shrinkage, spread, start
    )


def _choose_shrinkage(rows, splits, spread):
    """Take the strongest shrinkage that is about as good as the best on unseen groups.

    The standard error is that of the difference to the best, over groups.
    """
    if not splits:
        return np.inf
    losses = np.zeros((len(_SHRINKAGES), len(rows)))
    for train, test in splits:
        seen, unseen, model = rows[train], rows[test], None
        sign = 1 - 2 * unseen.is_fake
        for loss, shrinkage in zip(losses, _SHRINKAGES, strict=True):
            model = _logistic(seen, shrinkage, spread, model)
            log_odds = log_odds_of(unseen.scores, *model)
            loss[test] = unseen.weight * np.logaddexp(0, sign * log_odds)
    best = losses.sum(axis=1).argmin()
    for loss, shrinkage in zip(losses, _SHRINKAGES, strict=True):
        worse = loss - losses[best]
        by_group = worse if rows.groups is None else np.bincount(rows.groups, worse)
        if worse.sum() <= _SLACK * np.sqrt((by_group**2).sum()):
            return shrinkage


def _tree_input(rows, mean):
    offset = log_odds_of(rows.scores, *mean)
    return filled(rows.scores), rows.is_fake, rows.weight, offset


def _as_repetition(weight, meta_model):
    if (weight != np.round(weight)).any():
        raise ValueError(
            f"meta_model {meta_model!r} takes no sample_weight; leave the weights out, "
            "give whole numbers, or choose another meta-model"
        )
    return weight.astype(int)


def _takes_groups(meta_model):
    if has_fit_parameter(meta_model, "groups"):
        return True
    if isinstance(meta_model, GridSearchCV | RandomizedSearchCV):
        return True
    routing = get_routing_for_object(meta_model)
    return bool(routing.consumes("fit", ["groups"]))


def _seeded(estimator, random_state):
    rng = check_random_state(random_state)
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if value is None and name.split("__")[-1] == "random_state":
            estimator.set_params(**{name: rng.randint(2**31 - 1)})
    return estimator
