"""Blending: one combiner, fitted on a hold-out of the groups only."""

from __future__ import annotations

from typing import Any

import numpy as np

from ensemble.combiners.nested import Nested
from ensemble.combiners.parts.composite import common_scale, fit_copy
from ensemble.combiners.registry import Entry, register
from ensemble.combiners.stacking import as_combiner
from ensemble.resampling.splitters import GroupHoldout


@register(Entry("blending", label="blending", order=14))
class Blending(Nested):
    """Fit a combiner on a hold-out of the training groups.

    What blending learns from a table of scores: detectors are fitted on the rest of the
    videos, once, and the combiner on the hold-out, which costs it the rows of the rest.
    Where no group can be set aside, as with one group a class, all rows are taken.

    Parameters
    ----------
    combiner : str or Combiner, default="logistic"
        What is fitted on the hold-out.
    test_size : float, default=0.3
        Share of each class's rows in the hold-out.
    random_state : int, RandomState or None, default=0
        Seed of the choice, and of a combiner given by name.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    combiner_ : Combiner
        Fitted on the hold-out.
    held_out_ : bool ndarray of shape (n_videos,)
        The rows it learned from.
    weights_ : ndarray of shape (n_detectors,)
        Those of a combiner that has weights.
    classes_ : ndarray of shape (2,)
        The labels, sorted.

    References
    ----------
    Toscher, Jahrer, Bell (2009), The BigChaos solution to the Netflix Grand Prize.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> scores = np.clip(0.3 * y[:, None] + 0.7 * rng.random((60, 3)), 0, 1)
    >>> combiner = Blending("soft").fit(scores, y, np.arange(60) // 2)
    >>> int(combiner.held_out_.sum())
    18
    """

    def __init__(
        self,
        combiner: Any = "logistic",
        test_size: float = 0.3,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.combiner = combiner
        self.test_size = test_size
        self.random_state = random_state
        self.fake_label = fake_label

    def _scale_name(self):
        return common_scale([as_combiner(self.combiner, self.random_state)])

    def _fit(self, rows):
        held_out = self._hold_out(rows)
        combiner = as_combiner(self.combiner, self.random_state)
        self.combiner_ = fit_copy(combiner, rows[held_out])
        chosen = np.zeros(
            len(rows) + 1, bool
        )  # the last stands for rows without scores
        chosen[held_out] = True
        self.held_out_ = chosen[rows.place]
        if hasattr(self.combiner_, "weights_"):
            self.weights_ = self._to_table_order(self.combiner_.weights_)

    def _fake_score(self, scores):
        return self.combiner_._score_inside(scores)

    def _inner(self):
        return self.combiner_

    def _hold_out(self, rows):
        groups = np.arange(len(rows)) if rows.groups is None else rows.groups
        n_groups = min(
            len(np.unique(groups[rows.is_fake == label])) for label in (0, 1)
        )
        if n_groups < 2:
            return np.arange(len(rows))
        holdout = GroupHoldout(self.test_size, self.random_state)
        ((_, held_out),) = holdout.split(rows.scores, rows.is_fake, groups)
        return held_out
