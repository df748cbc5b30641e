"""Bagging: one combiner, fitted on many draws of the groups, averaged."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.combiners.nested import Nested
from ensemble.combiners.parts.checks import check_whole
from ensemble.combiners.parts.composite import common_scale, fit_copy
from ensemble.combiners.parts.detection import level_of_the_user
from ensemble.combiners.registry import Entry, register
from ensemble.combiners.stacking import Stacking, as_combiner
from ensemble.metrics.ties import above
from ensemble.resampling.splitters import GroupBootstrap


def _of_stacking(random_state):
    stacking = Stacking(shrinkage=30.0, random_state=random_state)
    return {"combiner": stacking, "n_replicas": 25}


@register(Entry("bagging", _of_stacking, label="bagging", order=13))
class Bagging(Nested):
    """Average a combiner over bootstrap samples of the training groups.

    Each replica draws as many groups as there are, with replacement. Groups that it
    left out are scored by it: out of bag. Where no group can be left out, as with one
    group a class, there is one replica, of all rows, and nothing is out of bag.

    Parameters
    ----------
    combiner : str or Combiner, default="logistic"
        What is fitted on each replica.
    n_replicas : int, default=25
        With 25 nearly every video is out of bag at least once.
    random_state : int, RandomState or None, default=0
        Seed of the draws, and of a combiner given by name.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    combiners_ : list of Combiner
        One a replica.
    oob_scores_ : ndarray of shape (n_videos,)
        Mean P(fake) of each training video by the replicas that left its group out; NaN
        where there is none.
    oob_score_ : float
        Accuracy of these, as in scikit-learn; NaN where there are none.
    weights_ : ndarray of shape (n_detectors,)
        Mean weights, of a combiner that has weights.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Breiman (1996), Bagging predictors, Machine Learning 24.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> scores = np.clip(0.3 * y[:, None] + 0.7 * rng.random((60, 3)), 0, 1)
    >>> combiner = Bagging("soft", n_replicas=10).fit(scores, y, np.arange(60) // 2)
    >>> round(combiner.oob_score_, 2)
    0.9
    """

    def __init__(
        self,
        combiner: Any = "logistic",
        n_replicas: int = 25,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.combiner = combiner
        self.n_replicas = n_replicas
        self.random_state = random_state
        self.fake_label = fake_label

    def _scale_name(self):
        return common_scale([as_combiner(self.combiner, self.random_state)])

    def _fit(self, rows):
        check_whole(self, "n_replicas", 1)
        combiner = as_combiner(self.combiner, self.random_state)
        self.combiners_ = []
        total, times = np.zeros(len(rows)), np.zeros(len(rows))
        for drawn, left_out in self._replicas(rows):
            replica = rows[drawn > 0]
            replica.weight = replica.weight * drawn[drawn > 0]
            fitted = fit_copy(combiner, replica)
            self.combiners_.append(fitted)
            if len(left_out):
                score = fitted._score_inside(rows.scores[left_out])
                known = ~np.isnan(score)
                total[left_out[known]] += score[known]
                times[left_out[known]] += 1
        self._keep_out_of_bag(rows, total, times)
        if hasattr(fitted, "weights_"):
            weights = [fitted.weights_ for fitted in self.combiners_]
            self.weights_ = self._to_table_order(np.mean(weights, axis=0))

    def _fake_score(self, scores):
        # a replica may know none of the detectors that scored a video; NaN if all do
        each = np.array([fitted._score_inside(scores) for fitted in self.combiners_])
        n_known = (~np.isnan(each)).sum(axis=0)
        total = np.nansum(each, axis=0)
        return np.divide(
            total, n_known, out=np.full(len(total), np.nan), where=n_known > 0
        )

    def _inner(self):
        return self.combiners_[0]

    def _replicas(self, rows):
        """Yield how often each row is drawn, and the rows that are left out."""
        groups = np.arange(len(rows)) if rows.groups is None else rows.groups
        counts = np.zeros((groups.max() + 1, 2))
        np.add.at(counts, (groups, rows.is_fake), 1)
        can_be_left_out = (counts.sum(axis=0) > counts).all(axis=1)
        bootstrap = GroupBootstrap(self.n_replicas, self.random_state)
        if not can_be_left_out.any():
            warnings.warn(
                "no group can be left out without losing a class: bagging is one "
                "replica, of all rows, and no score is out of bag; add videos of other "
                "groups",
                DeepfakeEnsembleWarning,
                stacklevel=level_of_the_user(),
            )
            yield np.ones(len(rows), int), np.array([], int)
            return
        for train, left_out in bootstrap.split(rows.scores, rows.is_fake, groups):
            yield np.bincount(train, minlength=len(rows)), left_out

    def _keep_out_of_bag(self, rows, total, times):
        score = np.full(len(rows), np.nan)
        known = times > 0
        score[known] = total[known] / times[known]
        self.oob_score_ = np.nan
        if known.any():
            right = above(score[known], 0.5) == rows.is_fake[known]
            self.oob_score_ = float(np.average(right, weights=rows.weight[known]))
        self.oob_scores_ = np.append(score, np.nan)[rows.place]
