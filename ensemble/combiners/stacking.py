"""Stacking: its built-in meta-models, their settings, and how they learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import clone

from base_models.naming import did_you_mean
from ensemble.combiners.base import Combiner
from ensemble.combiners.meta_models.any_classifier import filled, fit_classifier
from ensemble.combiners.meta_models.free_logistic import (
    fit_free_logistic,
    free_log_odds,
)
from ensemble.combiners.meta_models.network import fit_network
from ensemble.combiners.meta_models.nonnegative_logistic import log_odds_of
from ensemble.combiners.meta_models.plain import plain_logistic, plain_trees
from ensemble.combiners.meta_models.settings import check_settings
from ensemble.combiners.meta_models.shrunk_logistic import (
    choose_shrinkage,
    fit_shrunk_logistic,
    measure_pull,
)
from ensemble.combiners.meta_models.stacked_layers import fit_layers, sets_aside
from ensemble.combiners.meta_models.trees import (
    MAX_ROUNDS,
    forest_line,
    forest_log_odds,
    grow_forest,
    grow_trees,
    trees_log_odds,
)
from ensemble.combiners.nested import Nested
from ensemble.combiners.parts.bounds import Bounded
from ensemble.combiners.parts.composite import common_scale, fit_copy
from ensemble.combiners.parts.reach import fit_reach, within_reach
from ensemble.combiners.parts.rows import inner_splits, sample_rows
from ensemble.combiners.parts.scales import NEUTRAL, to_scale
from ensemble.combiners.registry import Entry, register, resolve_combiner

_ALL = slice(None)
_META_MODELS = ("logistic", "pairs", "lightgbm", "forest", "mlp")
_MAX_INNER = 5000  # different rows of each class that inner folds need
_MAX_FOREST = 20_000  # that a forest learns from: its inner ones must be like it
_FREE_TREES = {"meta_model": "lightgbm", "monotone": False}


@register(
    Entry(
        "calibrated",
        {"shrinkage": np.inf},
        label="log-odds mean, calibrated",
        order=3,
        complexity=1,
    ),
    Entry("logistic", label="stacking", order=15, complexity=7),
    Entry("free_logistic", {"monotone": False}, order=15.2, complexity=8),
    Entry(
        "pairs",
        {"meta_model": "pairs"},
        label="stacking, pairs",
        order=15.5,
        complexity=9,
    ),
    Entry("lightgbm", {"meta_model": "lightgbm"}, label="stacking, LightGBM", order=16),
    Entry(
        "free_lightgbm",
        {"meta_model": "lightgbm", "monotone": False},
        label="stacking, free LightGBM",
        order=16.5,
    ),
    Entry("small_trees", {**_FREE_TREES, "n_rounds": 60}, order=16.6, complexity=11),
    Entry(
        "large_trees",
        {**_FREE_TREES, "num_leaves": 15, "n_rounds": 150},
        order=16.7,
        complexity=12,
    ),
    Entry("forest", {"meta_model": "forest"}, order=16.8),
    Entry("mlp", {"meta_model": "mlp"}, label="stacking, MLP", order=17, complexity=10),
    Entry("plain_logistic", plain_logistic, label="stacking, plain logistic", order=18),
    Entry("plain_lightgbm", plain_trees, label="stacking, plain LightGBM", order=19),
)
class Stacking(Bounded, Nested):
    """Combine scores by a meta-model fitted on out-of-fold scores.

    Parameters
    ----------
    meta_model : str or classifier, default="logistic"
        - "logistic": logistic regression with non-negative weights, pulled towards
          equal ones. A missing score hands its weight to the others in proportion.
        - "pairs": ridge logistic regression on scores, their squares and the products
          of pairs, standardised; weights may have either sign.
        - "lightgbm": small trees, rising in every score, that correct the calibrated
          mean of the scores. Inner folds choose how many, which may be none.
        - "forest": 100 extremely randomised trees, grown by LightGBM, whose shares are
          brought to probability by two numbers from unseen groups.
        - "mlp": one hidden layer of 16 units on standardised scores.
        - any scikit-learn classifier with ``predict_proba``.

        For all but the first, a missing score is filled with the mean of the row's
        others, on the scale in use; free trees see it where training had such.
    scale : str or None, default="detect"
        Scale of what the meta-model sees: "probability" or "log_odds" of P(fake),
        "rank", "standard" or None; the last three take any numbers. "detect" takes
        log-odds, after bringing columns with values outside 0 to 1 there.
    shrinkage : float or "auto", default="auto"
        For "logistic": pull of the weights towards equal ones, in videos; inf keeps
        them equal. "auto" takes the strongest of eight whose log loss on inner folds is
        within one standard error of the least.
    inner_folds : int, default=5
        Number of inner folds, which keep groups whole. With fewer groups of a class
        there are fewer; with only one there are none: "auto" is then inf, "lightgbm"
        without trees. Of each class up to 5,000 different rows take part.
    passthrough : list of column names or numbers or None, default=None
        Columns of the table that are features of the video, such as its length, and no
        scores. The meta-model, which must not be "logistic", sees them standardised
        beside the scores; a missing one is taken for the mean.
    missing_indicator : bool, default=False
        Whether it sees, unless "logistic", which scores are missing: a hint at sources.
    layers : sequence of layers or None, default=None
        Combiners between the table and the meta-model: each layer is a sequence of
        combiners or names, whose P(fake) are the columns for the next. What a layer
        hands on in `fit` is out of fold, by group; its combiners are then refitted on
        all rows. Layers are left out, with a warning, where a class is in one group.
    resampling : {"k-fold", "holdout"}, default="k-fold"
        For `layers`: "holdout" is blending. Each layer is fitted on 70 % of the rows,
        and only its scores of the others are handed on.
    clip : float, default=1e-3
        Log-odds are those of scores clipped to [clip, 1 - clip].
    monotone : bool, default=True
        For "logistic" and "lightgbm": whether P(fake) rises in every score. If not, a
        detector may count the other way round: "logistic" is a ridge regression of
        either sign, which "lightgbm" corrects. Free models follow sources closely.
    n_rounds : int or "auto", default="auto"
        Trees of "lightgbm"; "auto" lets inner folds choose, up to 300.
    num_leaves : int or None, default=None
        Leaves of a tree of "lightgbm"; None is 4, or 7 for free trees.
    random_state : int, RandomState or None, default=0
        Seed of the inner folds, of the meta-model and of combiners given by name.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    intercept_, weights_ : float and ndarray of shape (n_detectors,)
        Of "logistic" and of the mean that "lightgbm" corrects: log-odds of fake are the
        intercept plus weights (0 without a score in `fit`) times scores from neutral.
    shrinkage_ : float
        Of "logistic".
    trees_ : str
        Of "lightgbm" and "forest": the trees as LightGBM writes them; "" for none.
    line_ : ndarray of shape (2,)
        Of "forest": intercept and slope that bring log-odds of its shares to P(fake).
    n_rounds_ : int
        Of "lightgbm": the number of trees.
    classifier_ : classifier
        Of "mlp" and other classifiers: the fitted meta-model.
    n_inner_folds_ : int
        Inner folds used; 0 where none were needed or possible.
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
        monotone: bool = True,
        n_rounds: int | str = "auto",
        num_leaves: int | None = None,
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
        self.monotone = monotone
        self.n_rounds = n_rounds
        self.num_leaves = num_leaves
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
        """Free models and other classifiers learn which way a score points."""
        if self.layers:
            return True
        known = isinstance(self.meta_model, str) and self.monotone
        return known and self.meta_model in ("logistic", "lightgbm")

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
        check_settings(self)
        self.n_inner_folds_ = 0
        if self.layers:
            self._fit_layers(rows)
            return
        n_scores = len(self.detector_order_)
        self.reach_ = fit_reach(rows.scores[:, :n_scores], rows.weight)
        rows.scores = self._centred(rows.scores)
        self.gaps_ = np.isnan(rows.scores[:, :n_scores]).any(axis=0)
        if not isinstance(self.meta_model, str):
            inputs = self._inputs(rows.scores)
            self.classifier_ = fit_classifier(
                self.meta_model, inputs, rows, self.random_state
            )
        elif self.meta_model in ("logistic", "pairs") and self._is_free():
            self.free_ = self._fit_free(rows)
        elif self.meta_model == "logistic":
            self._fit_logistic(rows)
        elif self.meta_model == "lightgbm":
            self._fit_trees(rows)
        elif self.meta_model == "mlp":
            sample = self._scores_of(sample_rows(rows, _MAX_INNER))
            pull, n_heard = measure_pull(sample, len(rows)), sample.weight.sum()
            self.features_, self.classifier_ = fit_network(
                self._inputs(rows.scores), rows, pull, n_heard, self.random_state
            )
        elif self.meta_model == "forest":
            self._fit_forest(rows)
        else:
            raise ValueError(
                f"unknown meta_model {self.meta_model!r}; expected 'logistic', "
                "'pairs', 'lightgbm', 'forest', 'mlp' or a scikit-learn classifier"
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
            return self.classifier_.predict_proba(inputs)[:, -1]
        if self.meta_model == "forest":
            inputs = self._inputs(scores, fill=False)
            return expit(forest_log_odds(self.trees_, self.line_, inputs))
        if self._is_free():
            log_odds = free_log_odds(self.free_, self._inputs(scores))
        else:
            weights = self.weights_[self.detector_order_]
            log_odds = log_odds_of(self._split(scores)[0], self.intercept_, weights)
        if self.meta_model == "lightgbm":
            inputs = self._inputs(scores, fill=self.monotone)
            log_odds = log_odds + trees_log_odds(self.trees_, inputs)
        return expit(log_odds)

    def _is_free(self):
        return self.meta_model == "pairs" or not self.monotone

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

    def _inputs(self, scores, fill=True):
        """Return what a meta-model sees, by default without missing scores."""
        scores, beside = self._split(scores)
        scores = filled(scores, None if fill else self.gaps_)
        return np.hstack([scores, beside]) if beside.size else scores

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
        scores, beside = self._split(rows.scores)
        self.layers_, rows, beside, self.n_inner_folds_ = fit_layers(
            self._resolved_layers(),
            replace(rows, scores=scores),
            beside,
            self.inner_folds,
            self.random_state,
            sets_aside(self.resampling),
        )
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

    def _fit_logistic(self, rows):
        sample = sample_rows(rows, _MAX_INNER)
        if self.shrinkage == "auto":
            self.shrinkage_ = choose_shrinkage(sample, self._inner_splits(sample))
        else:
            self.shrinkage_ = float(self.shrinkage)
        pull, start = measure_pull(sample, len(rows)), None
        if len(sample) < len(rows):
            start = fit_shrunk_logistic(sample, self.shrinkage_, pull)
        self._keep(*fit_shrunk_logistic(rows, self.shrinkage_, pull, start))

    def _fit_free(self, rows):
        return fit_free_logistic(
            self._inputs(rows.scores),
            rows.is_fake,
            rows.weight,
            pairs=self.meta_model == "pairs",
        )

    def _fit_trees(self, rows):
        kind = {
            "n_free": self._split(rows.scores[:1])[1].shape[1],
            "monotone": self.monotone,
            "num_leaves": self.num_leaves,
        }
        sample = sample_rows(rows, _MAX_INNER)
        self.n_rounds_ = self._choose_rounds(sample, kind)
        base = self._fit_base(rows, sample)
        inputs = self._tree_input(rows, base)
        self.trees_, _ = grow_trees(*inputs, self.n_rounds_, **kind)
        if self.monotone:
            self._keep(*base)
        else:
            self.free_ = base

    def _choose_rounds(self, rows, kind):
        if self.n_rounds != "auto":
            return int(self.n_rounds)
        losses = 0.0
        for train, test in self._inner_splits(rows):
            base = self._fit_base(rows[train])
            seen, unseen = (self._tree_input(rows[p], base) for p in (train, test))
            _, by_round = grow_trees(*seen, MAX_ROUNDS, judge=unseen, **kind)
            losses = losses + by_round * rows.weight[test].sum()
        return int(np.argmin(losses))

    def _fit_forest(self, rows):
        rows = sample_rows(rows, _MAX_FOREST)
        inputs = self._inputs(rows.scores, fill=False)
        self.trees_ = grow_forest(inputs, rows.is_fake, rows.weight)
        splits = self._inner_splits(rows)
        self.line_ = forest_line(self.trees_, inputs, rows, splits)

    def _fit_base(self, rows, sample=None):
        """Fit what trees correct: the calibrated mean, or a free regression."""
        if self.monotone:
            return self._calibrated_mean(rows, sample)
        return self._fit_free(rows)

    def _calibrated_mean(self, rows, sample=None):
        pull = measure_pull(
            self._scores_of(rows if sample is None else sample), len(rows)
        )
        return fit_shrunk_logistic(self._scores_of(rows), np.inf, pull)

    def _scores_of(self, rows):
        """Return rows without what the meta-model sees beside the scores."""
        return replace(rows, scores=self._split(rows.scores)[0])

    def _tree_input(self, rows, base):
        if self.monotone:
            offset = log_odds_of(self._split(rows.scores)[0], *base)
        else:
            offset = free_log_odds(base, self._inputs(rows.scores))
        inputs = self._inputs(rows.scores, fill=self.monotone)
        return inputs, rows.is_fake, rows.weight, offset

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
