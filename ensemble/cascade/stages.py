"""What is known after each member: a combiner of those asked, with its calibration."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from base_models.runtime.thread_pools import one_blas_thread
from ensemble.calibration.cross_fitting import fit_calibrated
from ensemble.cascade.costs import member_costs
from ensemble.cascade.order import greedy_order
from ensemble.combiners.stacking import as_combiner
from ensemble.out_of_fold.ensemble_scores import log_odds, scored_rows, unseen_scores
from ensemble.verdicts.threshold_and_prior import to_prior, to_probability

_PER_MEMBER = (
    "weights",
    "threshold",
)  # parameters of a combiner with an entry for each


@dataclass
class CascadeStage:
    """What is known once some members were asked.

    Attributes
    ----------
    combiner : Combiner
        Of the ensemble's kind, fitted on the out-of-fold scores of these members.
    calibrator : Calibrator or None
    cross_fitted : ndarray of shape (n_scored,)
        Of the ensemble's out-of-fold rows, by combiners that had not seen the group;
        before calibration.
    outlook : dict of str to ndarray of shape (n_asked + 2,)
        Of each member not asked yet, what its log-odds are likely to be: intercept and
        slopes of a regression on those of the members asked, in their order, and how
        far it is off (the root of its mean squared error).
    """

    combiner: Any
    calibrator: Any
    cross_fitted: NDArray
    outlook: dict[str, NDArray]

    def p_fake(self, model: Any, table: pd.DataFrame) -> NDArray:
        """Return calibrated P(fake) from the scores of the members asked.

        Parameters
        ----------
        model : DeepfakeEnsemble
            Fitted; of its ``prior``.
        table : DataFrame of shape (n_videos, n_asked)

        Returns
        -------
        ndarray of shape (n_videos,)
        """
        return self.calibrated(model, self.combiner.fake_score(table))

    def calibrated(self, model: Any, score: NDArray) -> NDArray:
        """Bring the combiner's scores to P(fake), as the ensemble does its own."""
        if self.calibrator is not None:
            score = self.calibrator(score)
        return to_prior(model, score)


@dataclass
class MemberCascade:
    """In which order members are asked, and what is known after each.

    Attributes
    ----------
    order : list of str
        Names of the members.
    costs : dict of str to float or None
        What each costs for a video: multiply-adds, or as they were given; None where
        they are not known and all count alike.
    stages : list of (CascadeStage or None)
        After one member, after two ...; not after the last. None where no combiner can
        be fitted.
    given_costs : dict of str to float
        Those of the ensemble's ``member_costs`` when this was learned.
    limits : dict
        Certificates by what they were made for; see `ensemble.cascade.certificate`.
    """

    order: list[str]
    costs: dict[str, float] | None
    stages: list[CascadeStage | None] = field(repr=False)
    given_costs: dict[str, float] = field(default_factory=dict, repr=False)
    limits: dict = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        known = "by what they tell for their cost"
        if self.costs is None:
            known = "by what they tell; their costs are not known and count alike"
        return f"Members are asked in this order, {known}: {', '.join(self.order)}."

    def n_asked(self, stopped: ArrayLike, names: Sequence[str]) -> int:
        """Return after how many members a row was settled; 0 if not by this cascade.

        Parameters
        ----------
        stopped : bool array-like of shape (n_detectors,)
            Which were not asked.
        names : sequence of str
            Of the detectors.
        """
        asked = {
            name for name, left in zip(names, np.asarray(stopped), strict=True) if ~left
        }
        n = len(asked)
        return n if asked == set(self.order[:n]) else 0

    def scores_of_stopped(
        self, model: Any, table: pd.DataFrame, stopped: NDArray, score: NDArray
    ) -> NDArray:
        """Return P(fake) of videos, that of its stage where asking was stopped.

        Parameters
        ----------
        model : DeepfakeEnsemble
            Fitted.
        table : DataFrame of shape (n_videos, n_detectors)
        stopped : bool ndarray of shape (n_videos, n_detectors)
            Which scores nobody asked for.
        score : ndarray of shape (n_videos,)
            P(fake) as if they were missing.

        Returns
        -------
        ndarray of shape (n_videos,)
            After an exact stop within what the ensemble could still have said.
        """
        score, names = score.copy(), list(table.columns)
        patterns, which = np.unique(stopped, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            n_asked = self.n_asked(pattern, names)
            if not pattern.any() or not n_asked:
                continue
            rows = np.flatnonzero(which.ravel() == number)
            stage = self.stages[n_asked - 1] if self.stages else None
            if stage is not None:
                asked = [name for name in names if name in self.order[:n_asked]]
                own = stage.p_fake(model, table.iloc[rows][asked])
                score[rows] = np.where(np.isnan(own), score[rows], own)
            if model.cascade == "exact":
                bounds = possible_scores(model, table.iloc[rows], ~pattern)
                if bounds is not None:
                    score[rows] = np.clip(score[rows], *bounds)
        return score

    def to_state(self) -> dict[str, Any]:
        """Return what a file keeps: numbers, texts, lists, dicts and combiners."""
        stages = [
            None
            if stage is None
            else [stage.combiner, stage.calibrator, stage.cross_fitted, stage.outlook]
            for stage in self.stages
        ]
        limits = {key: limit.to_list() for key, limit in self.limits.items()}
        return {
            "order": self.order,
            "costs": self.costs,
            "stages": stages,
            "given_costs": self.given_costs,
            "limits": limits,
        }


def possible_scores(
    model: Any, table: pd.DataFrame, asked: NDArray
) -> tuple[NDArray, NDArray] | None:
    """Return the least and greatest P(fake) that an ensemble can still give.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
    asked : bool ndarray of shape (n_detectors,)
        Which members' scores count; the others may give any, or none.

    Returns
    -------
    low, high : ndarray of shape (n_videos,), or None
        None where the combiner offers no ``score_bounds``.
    """
    bounds_of = getattr(model.combiner_, "score_bounds", None)
    bounds = None if bounds_of is None else bounds_of(table, asked)
    if bounds is None:
        return None
    ends = [to_probability(model, np.asarray(end, float)) for end in bounds]
    return np.minimum(*ends), np.maximum(*ends)


def cascade_of(model: Any) -> MemberCascade:
    """Return the cascade of a fitted ensemble; it is learned once for its costs.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    MemberCascade
    """
    record, given = model.fit_record_, dict(model.member_costs or {})
    if record.cascade is None or record.cascade.given_costs != given:
        record.cascade = _learned(model, given)
    return record.cascade


def _learned(model, given):
    record, names = model.fit_record_, list(model.detectors_)
    costs = member_costs(model)
    counted = np.ones(len(names)) if costs is None else np.array(list(costs.values()))
    if record.unlabelled or record.reals_alone:  # nothing tells which of them tell
        by_cost = sorted(
            range(len(names)), key=lambda column: (counted[column], column)
        )
        order = [names[column] for column in by_cost]
        return MemberCascade(order, costs, [], given)
    table, is_fake, beside = scored_rows(model.oof_scores_, record.training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit gave them
        score = unseen_scores(model).reindex(table.index).to_numpy()
        known = ~np.isnan(score)
        groups = beside["groups"]
        order = greedy_order(
            log_odds(table[names])[known],
            log_odds(score[known]),
            counted,
            is_fake[known],
            None if groups is None else groups[known],
        )
        asked = [names[column] for column in order]
        stages = [
            _stage(model, table, is_fake, beside, asked[:n])
            for n in range(1, len(names))
        ]
    return MemberCascade(asked, costs, stages, given)


def _stage(model, table, is_fake, beside, asked):
    """Fit what is known after some members; None where that cannot be."""
    columns = [name for name in table.columns if name in asked]
    try:
        unfitted = _for_columns(model, list(table.columns), columns)
        part = table[columns]
        there = part.notna().any(axis=1).to_numpy()
        known = {k: None if v is None else v[there] for k, v in beside.items()}
        fitted = fit_calibrated(
            unfitted,
            part[there],
            is_fake[there],
            model.calibration,
            cross_fit=True,
            **known,
        )
    except Exception:  # too few of a class, a combiner that takes no fewer columns ...
        return None
    cross_fitted = np.full(len(table), np.nan)
    cross_fitted[there] = fitted.score
    outlook = _outlook(table, asked)
    return CascadeStage(fitted.combiner, fitted.calibrator, cross_fitted, outlook)


def _outlook(table, asked):
    """Tell the members not asked from those that were, by regression."""
    known = log_odds(table[asked])
    found = {}
    for name in table.columns:
        other = log_odds(table[name])
        rows = ~np.isnan(known).any(axis=1) & ~np.isnan(other)
        if name in asked or rows.sum() <= len(asked) + 1:
            continue
        inputs = np.column_stack([np.ones(rows.sum()), known[rows]])
        with one_blas_thread:
            line, *_ = np.linalg.lstsq(inputs, other[rows], rcond=None)
            off = np.sqrt(np.mean((other[rows] - inputs @ line) ** 2))
        found[name] = np.append(line, off)
    return found


def _for_columns(model, names, kept):
    """Return an unfitted combiner of the ensemble's kind for some of its members."""
    combiner = as_combiner(model.fit_record_.chosen_combiner, model.random_state or 0)
    combiner = clone(combiner)
    for name in _PER_MEMBER:
        given = getattr(combiner, name, None)
        if isinstance(given, dict):
            setattr(combiner, name, {member: given[member] for member in kept})
        elif np.ndim(given) == 1:
            each = dict(zip(names, given, strict=True))
            setattr(combiner, name, [each[member] for member in kept])
    return combiner
