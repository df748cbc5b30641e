"""What is known after each member: a combiner of those asked, with its calibration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from base_models.runtime.thread_pools import one_blas_thread
from base_models.scoring.in_steps import WHOLE
from ensemble.calibration.cross_fitting import fit_calibrated
from ensemble.cascade.costs import check_cascade, member_costs
from ensemble.cascade.frame_steps import quarters_of, table_by_steps
from ensemble.cascade.order import Turn, greedy_order
from ensemble.combiners.stacking import as_combiner
from ensemble.out_of_fold.ensemble_scores import log_odds, scored_rows, unseen_scores
from ensemble.verdicts.threshold_and_prior import to_prior, to_probability

_PER_MEMBER = (
    "weights",
    "threshold",
)  # parameters of a combiner with an entry for each
_SHORT = {1: " 1/4", 2: " 1/2", WHOLE: ""}


@dataclass
class CascadeStage:
    """What is known once some members were asked.

    Attributes
    ----------
    combiner : Combiner
        Of the ensemble's kind, fitted on the out-of-fold scores of these members, by
        as many of their frames.
    calibrator : Calibrator or None
    cross_fitted : ndarray of shape (n_scored,)
        Of the ensemble's out-of-fold rows, by combiners that had not seen the group;
        before calibration.
    outlook : dict of str to ndarray of shape (n_asked + 2,)
        Of each member not asked yet for all of its frames, what its log-odds are
        likely to be: intercept and slopes of a regression on those of the members
        asked, in their order, and how far it is off (the root of its mean squared
        error).
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
        Names of the members, turn by turn: one that looks at a part of its frames
        first has several.
    costs : dict of str to float or None
        What each costs for a video: multiply-adds, or as they were given; None where
        they are not known and all count alike.
    stages : list of (CascadeStage or None)
        After one turn, after two ...; not after the last. None where no combiner can
        be fitted.
    given_costs : dict of str to float
        Those of the ensemble's ``member_costs`` when this was learned.
    limits : dict
        Certificates by what they were made for; see `ensemble.cascade.certificate`.
    quarters : list of int
        Of its frames, at how many the member has looked after each turn; empty where
        each looks at all.
    """

    order: list[str]
    costs: dict[str, float] | None
    stages: list[CascadeStage | None] = field(repr=False)
    given_costs: dict[str, float] = field(default_factory=dict, repr=False)
    limits: dict = field(default_factory=dict, repr=False)
    quarters: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        known = "by what they tell for their cost"
        if self.costs is None:
            known = "by what they tell; their costs are not known and count alike"
        if self.quarters:
            known += " (1/4: a quarter of its frames)"
        order = ", ".join(turn.name + _SHORT[turn.quarters] for turn in self.turns)
        return f"Members are asked in this order, {known}: {order}."

    @property
    def turns(self) -> list[Turn]:
        """Whose turn it is, one after another, and at how many frames it looks."""
        quarters = self.quarters or [WHOLE] * len(self.order)
        return [Turn(*turn) for turn in zip(self.order, quarters, strict=True)]

    def asked_after(self, n_turns: int) -> dict[str, int]:
        """Return at how many quarters of its frames each member that was asked looked.

        Parameters
        ----------
        n_turns : int
            Turns taken.
        """
        return dict(self.turns[:n_turns])

    def stage_of(self, asked: Mapping[str, int]) -> CascadeStage | None:
        """Return what is known after these members; None if this never stops there.

        Parameters
        ----------
        asked : mapping of str to int
            Quarters of their frames, of those that were asked.
        """
        for number, stage in enumerate(self.stages, start=1):
            if self.asked_after(number) == asked:
                return stage
        return None

    def scores_of_stopped(
        self, model: Any, table: pd.DataFrame, quarters: NDArray, score: NDArray
    ) -> NDArray:
        """Return P(fake) of videos, that of its stage where asking was stopped.

        Parameters
        ----------
        model : DeepfakeEnsemble
            Fitted.
        table : DataFrame of shape (n_videos, n_detectors)
        quarters : int ndarray of shape (n_videos, n_detectors)
            Of each member's frames, at how many it looked; 0 where nobody asked it.
        score : ndarray of shape (n_videos,)
            P(fake) as if what nobody asked for were missing.

        Returns
        -------
        ndarray of shape (n_videos,)
            After an exact stop within what the ensemble could still have said.
        """
        score, names = score.copy(), list(table.columns)
        patterns, which = np.unique(quarters, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            if (pattern == WHOLE).all():
                continue
            rows = np.flatnonzero(which.ravel() == number)
            asked = {name: int(q) for name, q in zip(names, pattern, strict=True) if q}
            stage = stage_of_stopped(model, asked)
            if stage is not None:
                part = table.iloc[rows][[name for name in names if name in asked]]
                own = stage.p_fake(model, part)
                score[rows] = np.where(np.isnan(own), score[rows], own)
            if model.cascade == "exact":
                bounds = possible_scores(model, table.iloc[rows], pattern == WHOLE)
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
            **({"quarters": self.quarters} if self.quarters else {}),
        }


def stage_of_stopped(model: Any, asked: Mapping[str, int]) -> CascadeStage | None:
    """Return what an ensemble knows after these members; None where nothing is.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    asked : mapping of str to int
        Quarters of their frames, of those that were asked.

    Returns
    -------
    CascadeStage or None
    """
    record = model.fit_record_
    for cascade in (record.step_cascade, record.cascade):
        stage = None if cascade is None else cascade.stage_of(asked)
        if stage is not None:
            return stage
    return None


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


def cascade_of(model: Any, by_frames: bool = True) -> MemberCascade:
    """Return the cascade of a fitted ensemble; it is learned once for its costs.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    by_frames : bool, default=True
        Whether members may look at a part of their frames first. An exact cascade's
        never do: frames that nobody looked at could say anything.

    Returns
    -------
    MemberCascade
    """
    check_cascade(model.cascade, model.member_costs)  # it may have been set later
    record, given = model.fit_record_, dict(model.member_costs or {})
    steps = quarters_of(model) if by_frames and model.cascade != "exact" else {}
    if all(len(quarters) == 1 for quarters in steps.values()):
        at, steps = "cascade", {name: [WHOLE] for name in model.detectors_}
    else:
        at = "step_cascade"
    learned = getattr(record, at)
    if learned is None or learned.given_costs != given:
        learned = _learned(model, given, steps)
        setattr(record, at, learned)
    return learned


def _learned(model, given, steps):
    record, names = model.fit_record_, list(model.detectors_)
    costs = member_costs(model)
    counted = dict.fromkeys(names, 1.0) if costs is None else costs
    if record.unlabelled or record.reals_alone:  # nothing tells which of them tell
        order = sorted(names, key=lambda name: (counted[name], names.index(name)))
        return MemberCascade(order, costs, [], given)
    table, is_fake, beside = scored_rows(model.oof_scores_, record.training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit gave them
        score = unseen_scores(model).reindex(table.index).to_numpy()
        known = ~np.isnan(score)
        groups = beside["groups"]
        said = {
            Turn(name, quarters): table_by_steps(model, table, {name: quarters})[name]
            for name in names
            for quarters in steps[name]
        }
        turns = greedy_order(
            {turn: log_odds(column)[known] for turn, column in said.items()},
            log_odds(score[known]),
            counted,
            is_fake[known],
            None if groups is None else groups[known],
        )
        stages = [
            _stage(model, table, is_fake, beside, dict(turns[:n]))
            for n in range(1, len(turns))
        ]
    order, quarters = map(list, zip(*turns, strict=True))
    quarters = quarters if len(turns) > len(names) else []
    return MemberCascade(order, costs, stages, given, quarters=quarters)


def _stage(model, table, is_fake, beside, asked):
    """Fit what is known after some members; None where that cannot be."""
    try:
        part = table_by_steps(model, table, asked)
        unfitted = _for_columns(model, list(table.columns), list(part.columns))
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
    outlook = _outlook(table, part, asked)
    return CascadeStage(fitted.combiner, fitted.calibrator, cross_fitted, outlook)


def _outlook(table, part, asked):
    """Tell the members not asked, or not wholly, from those asked, by regression."""
    known = log_odds(part[list(asked)])
    found = {}
    for name in table.columns:
        other = log_odds(table[name])
        rows = ~np.isnan(known).any(axis=1) & ~np.isnan(other)
        if asked.get(name) == WHOLE or rows.sum() <= len(asked) + 1:
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
