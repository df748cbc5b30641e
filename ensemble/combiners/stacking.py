"""Stacking: its built-in meta-models, their settings, and how they learn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from base_models.naming import did_you_mean, squeezed
from ensemble.combiners.base import Combiner, Nested
from ensemble.combiners.parts.any_classifier import filled, fit_classifier
from ensemble.combiners.parts.composite import common_scale, fit_copy, out_of_fold
from ensemble.combiners.parts.monotone_trees import grow_trees, trees_log_odds
from ensemble.combiners.parts.nonnegative_logistic import log_odds_of
from ensemble.combiners.parts.reach import fit_reach, within_reach
from ensemble.combiners.parts.rows import inner_splits, sample_rows
from ensemble.combiners.parts.scales import NEUTRAL, fit_scale, to_scale
from ensemble.combiners.parts.shrunk_logistic import (
    choose_shrinkage,
    fit_shrunk_logistic,
    measure_pull,
)
from ensemble.combiners.registry import Entry, register, resolve_combiner
from ensemble.resampling.splitters import GroupHoldout

_ALL = slice(None)
_META_MODELS = ("logistic", "lightgbm", "mlp")
_MAX_INNER = 5000  # different rows of each class that inner folds need


def _plain_logistic(random_state):
    return {"meta_model": LogisticRegression(), "scale": None}


def _plain_trees(random_state):
    from lightgbm import LGBMClassifier  # when first used: it is slow to load

    trees = LGBMClassifier(
        n_estimators=60, num_leaves=7, n_jobs=1, verbosity=-1, random_state=random_state
    )
    return {"meta_model": trees, "scale": None}


@register(
    Entry(
        "calibrated",
        {"shrinkage": np.inf},
        label="log-odds mean, calibrated",
        order=3,
        kind="pool",
        complexity=1,
    ),
    Entry("logistic", label="stacking", order=15, kind="linear", complexity=7),
    Entry(
        "lightgbm",
        {"meta_model": "lightgbm"},
        label="stacking, LightGBM",
        order=16,
        kind="trees",
        complexity=9,
    ),
    Entry(
        "mlp",
        {"meta_model": "mlp"},
        label="stacking, MLP",
        order=17,
        kind="network",
        complexity=10,
    ),
    Entry(None, _plain_logistic, label="stacking, plain logistic", order=18),
    Entry(None, _plain_trees, label="stacking, plain LightGBM", order=19),
)
class Stacking(Nested):
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
    scale : str or None, default="detect"
        Scale of what the meta-model sees: "probability" or "log_odds" of P(fake),
        "rank", "standard" or None; the last three take any numbers. "detect" takes
        log-odds, after bringing each column with values outside 0 to 1 there.
    shrinkage : float or "auto", default="auto"
        For "logistic": pull of the weights towards equal ones, in videos; inf keeps
        them equal. "auto" takes the strongest of eight whose log loss on inner folds is
        within one standard error of the least.
    inner_folds : int, default=5
        Number of inner folds, which keep groups whole. With fewer groups of a class
        there are fewer; with only one there are none, and "auto" is inf, "lightgbm" has
        no trees: both are then the calibrated mean. Of each class up to 5,000 different
        rows take part.
    passthrough : list of column names or numbers or None, default=None
        Columns of the table that are features of the video, such as its length, and no
        scores. The meta-model, which must not be "logistic", sees them standardised
        beside the scores; a missing one is taken for the mean.
    missing_indicator : bool, default=False
        Whether the meta-model, other than "logistic", also sees which scores are
        missing. That a score is missing often betrays the source, so this is for data
        that will go on missing scores for the same reasons.
    layers : sequence of layers or None, default=None
        Combiners between the table and the meta-model: each layer is a sequence of
        combiners or names, whose P(fake) are the columns for the next. What a layer
        hands on in `fit` is out of fold, by group; its combiners are then refitted on
        all rows. Where a class is in one group, nothing is out of fold: that layer and
        those after it are left out, with a warning.
    resampling : {"k-fold", "holdout"}, default="k-fold"
        For `layers`: "holdout" is blending. Each layer is fitted on 70 % of the rows,
        and only its scores of the others are handed on.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    random_state : int, RandomState or None, default=0
        Seed of the inner folds, of the meta-model and of combiners given by name.
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
    layers_ : list of list of Combiner
        The fitted layers.
    top_ : Stacking
        With `layers`: the fitted meta-model, a combiner of the last layer's scores.
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
    array([1.8, 0. ])
    """

    def __init__(
        self,
        meta_model: Any = "logistic",
        scale: str | None = "detect",
        shrinkage: float | str = "auto",
        inner_folds: int = 5,
        passthrough: Sequence | None = None,
        missing_indicator: bool = False,
        layers: Sequence | None = None,
        resampling: str = "k-fold",
        clip: float = 1e-3,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.meta_model = meta_model
        self.scale = scale
        self.shrinkage = shrinkage
        self.inner_folds = inner_folds
        self.passthrough = passthrough
        self.missing_indicator = missing_indicator
        self.layers = layers
        self.resampling = resampling
        self.clip = clip
        self.random_state = random_state
        self.fake_label = fake_label

    def _scale_name(self):
        if not self.layers:
            return self.scale
        return common_scale(self._resolved_layers()[0])

    def _own_scale(self):
        return "probability" if self.layers else "log_odds"

    def _maps_columns(self, scale):
        if self.layers:
            return super()._maps_columns(scale)
        return Combiner._maps_columns(self, scale)

    def _trusts_direction(self):
        """A network and other classifiers learn which way a score points."""
        known = self.meta_model in ("logistic", "lightgbm")
        return (isinstance(self.meta_model, str) and known) or bool(self.layers)

    def _feature_columns(self):
        if self.passthrough is None:
            return np.array([], int)
        names = list(getattr(self, "feature_names_in_", []))
        columns = [
            names.index(column) if column in names else column
            for column in self.passthrough
        ]
        numbers = range(self.n_features_in_)
        unknown = [column for column in columns if column not in numbers]
        if unknown or len(set(columns)) == self.n_features_in_:
            raise ValueError(
                "passthrough must name columns of the table, but not all of them; got "
                f"{self.passthrough!r} for "
                f"{', '.join(map(str, names)) or f'{self.n_features_in_} columns'}"
            )
        return np.unique(columns)

    def _fit(self, rows):
        self.n_inner_folds_ = 0
        if self.layers:
            self._fit_layers(rows)
            return
        n_scores = len(self.detector_order_)
        self.reach_ = fit_reach(rows.scores[:, :n_scores], rows.weight)
        rows.scores = self._centred(rows.scores)
        if not isinstance(self.meta_model, str):
            self._fit_classifier(self.meta_model, rows, self._inputs(rows.scores))
        elif self.meta_model == "logistic":
            if self.passthrough is not None or self.missing_indicator:
                raise ValueError(
                    'meta_model="logistic" weighs scores alone and takes neither '
                    'passthrough nor missing_indicator; use "lightgbm", "mlp" or a '
                    "scikit-learn classifier"
                )
            self._fit_logistic(rows)
        elif self.meta_model == "lightgbm":
            self._fit_trees(rows)
        elif self.meta_model == "mlp":
            inputs = self._inputs(rows.scores)
            self.features_ = fit_scale("standard", inputs, _ALL, rows.weight)
            # a detector that may say nothing is heard less; features are as they are
            sample = self._scores_of(sample_rows(rows, _MAX_INNER))
            pull = measure_pull(sample, len(rows))
            heard = 1 / (1 + 4 * pull.to_zero / (pull.spread * sample.weight.sum()))
            self.features_["spread"][: len(heard)] /= heard
            inputs = to_scale(self.features_, inputs, _ALL)
            mlp = MLPClassifier((8,), solver="lbfgs", alpha=1.0, max_iter=2000)
            self._fit_classifier(mlp, rows, inputs)
        else:
            raise ValueError(
                f"unknown meta_model {self.meta_model!r}; expected 'logistic', "
                "'lightgbm', 'mlp' or a scikit-learn classifier"
                + did_you_mean(self.meta_model, _META_MODELS)
            )

    def _fake_score(self, scores):
        if self.layers:
            scores, beside = self._split(scores)
            for layer in self.layers_:
                scores = np.column_stack([one._score_inside(scores) for one in layer])
            return self.top_._score_inside(np.hstack([scores, beside]))
        scores = self._centred(self._within_reach(scores))
        if not isinstance(self.meta_model, str) or self.meta_model == "mlp":
            inputs = self._inputs(scores)
            if self.meta_model == "mlp":
                inputs = to_scale(self.features_, inputs, _ALL)
            fake = list(self.classifier_.classes_).index(1)
            return self.classifier_.predict_proba(inputs)[:, fake]
        weights = self.weights_[self.detector_order_]
        log_odds = log_odds_of(self._split(scores)[0], self.intercept_, weights)
        if self.meta_model == "lightgbm":
            log_odds = log_odds + trees_log_odds(self.trees_, self._inputs(scores))
        return expit(log_odds)

    def _within_reach(self, scores):
        reach = getattr(self, "reach_", None)  # none in files of older versions
        if reach is None:
            return scores
        own, features = np.split(scores, [len(self.detector_order_)], axis=1)
        own = within_reach(reach, own)
        return np.hstack([own, features]) if features.shape[1] else own

    def _split(self, scores):
        """Return the scores, and what the meta-model may see beside them."""
        scores, features = np.split(scores, [len(self.detector_order_)], axis=1)
        beside = np.nan_to_num(features)
        if self.missing_indicator:
            beside = np.hstack([beside, np.isnan(scores)])
        return scores, beside

    def _inputs(self, scores):
        """Return what a meta-model without room for missing scores sees."""
        scores, beside = self._split(scores)
        return np.hstack([filled(scores), beside]) if beside.size else filled(scores)

    def _centred(self, scores):
        """Count scores from the neutral one."""
        neutral = NEUTRAL[self.scale_["name"]]
        if not neutral:
            return scores
        is_score = np.arange(scores.shape[1]) < len(self.detector_order_)
        return scores - neutral * is_score

    def _inner(self):
        return self.layers_[0][0] if self.layers_ else self.top_

    def _neutral(self):
        return super()._neutral() if self.layers else Combiner._neutral(self)

    def _neutral_in_table(self):
        combiner = super() if self.layers else super(Nested, self)
        return combiner._neutral_in_table()

    def _resolved_layers(self):
        return [
            [as_combiner(given, self.random_state) for given in layer]
            for layer in self.layers
        ]

    def _fit_layers(self, rows):
        sets_aside = self._sets_aside()
        scores, beside = self._split(rows.scores)
        rows = replace(rows, scores=scores)
        self.layers_ = []
        for layer in self._resolved_layers():
            splits = self._layer_splits(rows, sets_aside)
            if not splits:
                self._warn_of_left_out_layers()
                break
            self.n_inner_folds_ = len(splits)
            fitted, rows, kept = self._fit_layer(layer, rows, splits, sets_aside)
            self.layers_.append(fitted)
            beside = beside[kept]
        n_scores = rows.scores.shape[1]
        top = clone(self).set_params(
            layers=None,
            missing_indicator=False,
            passthrough=[n_scores + j for j in range(beside.shape[1])] or None,
        )
        if not self.layers_ and self.scale_["name"] is None:
            top.scale = "standard"  # scores of the table, which may be any numbers
        rows.scores = np.hstack([rows.scores, beside])
        self.top_ = fit_copy(top, rows)

    def _fit_layer(self, layer, rows, splits, sets_aside):
        """Return fitted combiners, the rows for the next layer and which they are."""
        fitted_on = rows[splits[0][0]] if sets_aside else rows
        handed_on = np.column_stack([out_of_fold(one, rows, splits) for one in layer])
        kept = ~np.isnan(handed_on).all(axis=1)
        fitted = [fit_copy(one, fitted_on) for one in layer]
        rows = replace(rows[kept], scores=handed_on[kept], offsets=None)
        return fitted, rows, kept

    def _layer_splits(self, rows, sets_aside):
        splits = inner_splits(rows, self.inner_folds, self.random_state)
        if not sets_aside or not splits:
            return splits
        groups = np.arange(len(rows)) if rows.groups is None else rows.groups
        holdout = GroupHoldout(random_state=self.random_state)
        return list(holdout.split(rows.scores, rows.is_fake, groups))

    def _sets_aside(self):
        known = {"kfold": False, "holdout": True}
        name = squeezed(str(self.resampling))
        if name not in known:
            raise ValueError(
                f"resampling must be 'k-fold' or 'holdout'; got {self.resampling!r}"
            )
        return known[name]

    def _warn_of_left_out_layers(self):
        n_kept, n_layers = len(self.layers_), len(self.layers)
        warnings.warn(
            f"layer {n_kept + 1} of {n_layers} needs two groups or more with each "
            "class, to hand on scores of videos that it has not seen, and a class is "
            "in one: the meta-model is fitted "
            + (f"on the scores of layer {n_kept}" if n_kept else "on the table itself")
            + ", without the layers after; add videos of other groups",
            stacklevel=6,
        )

    def _fit_logistic(self, rows):
        sample = sample_rows(rows, _MAX_INNER)
        if isinstance(self.shrinkage, str):
            if self.shrinkage != "auto":
                raise ValueError(
                    f"shrinkage must be a number >= 0, inf or 'auto'; got "
                    f"{self.shrinkage!r}"
                )
            self.shrinkage_ = choose_shrinkage(sample, self._inner_splits(sample))
        else:
            if not self.shrinkage >= 0:
                raise ValueError(
                    f"shrinkage must be a number >= 0, inf or 'auto'; got "
                    f"{self.shrinkage!r}"
                )
            self.shrinkage_ = float(self.shrinkage)
        pull, start = measure_pull(sample, len(rows)), None
        if len(sample) < len(rows):
            start = fit_shrunk_logistic(sample, self.shrinkage_, pull)
        self._keep(*fit_shrunk_logistic(rows, self.shrinkage_, pull, start))

    def _fit_trees(self, rows):
        sample = sample_rows(rows, _MAX_INNER)
        losses = 0.0
        for train, test in self._inner_splits(sample):
            mean = self._calibrated_mean(sample[train])
            seen, unseen = (
                self._tree_input(sample[part], mean) for part in (train, test)
            )
            _, by_round = grow_trees(*seen, judge=unseen, n_free=self._n_beside(rows))
            losses = losses + by_round * sample.weight[test].sum()
        self.n_rounds_ = int(np.argmin(losses))
        mean = self._calibrated_mean(rows, sample)
        self.trees_, _ = grow_trees(
            *self._tree_input(rows, mean), self.n_rounds_, n_free=self._n_beside(rows)
        )
        self._keep(*mean)

    def _calibrated_mean(self, rows, sample=None):
        pull = measure_pull(
            self._scores_of(rows if sample is None else sample), len(rows)
        )
        return fit_shrunk_logistic(self._scores_of(rows), np.inf, pull)

    def _scores_of(self, rows):
        """Return rows without what the meta-model sees beside the scores."""
        return replace(rows, scores=self._split(rows.scores)[0])

    def _tree_input(self, rows, mean):
        offset = log_odds_of(self._split(rows.scores)[0], *mean)
        return self._inputs(rows.scores), rows.is_fake, rows.weight, offset

    def _n_beside(self, rows):
        return self._split(rows.scores[:1])[1].shape[1]

    def _fit_classifier(self, meta_model, rows, inputs):
        self.classifier_ = fit_classifier(meta_model, inputs, rows, self.random_state)

    def _inner_splits(self, rows):
        splits = inner_splits(rows, self.inner_folds, self.random_state)
        self.n_inner_folds_ = len(splits)
        return splits

    def _keep(self, intercept, weights):
        self.intercept_ = intercept
        self.weights_ = self._to_table_order(weights)


def as_combiner(
    given: Any, random_state: int | np.random.RandomState | None = None
) -> Combiner:
    """Turn a name, or any classifier, into a combiner.

    Parameters
    ----------
    given : str, Combiner or classifier
        A classifier that is no `Combiner` becomes the meta-model of a `Stacking` on
        plain scores: it gets groups and weights where it takes them, missing scores
        are filled with the mean of the others.
    random_state : int, RandomState or None, default=None
        Seed for a combiner made here.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> as_combiner(LogisticRegression(), random_state=0)
    Stacking(meta_model=LogisticRegression(), scale=None)
    """
    combiner = resolve_combiner(given, random_state)
    if isinstance(combiner, Combiner):
        return combiner
    return Stacking(combiner, scale=None, random_state=random_state)
