"""How sure a stage must be, so that few verdicts differ from the full ensemble's.

Groups of the out-of-fold rows stand for those to come, as for `ThreeWayDecision`. A
group's loss is the share of its videos that are stopped with another verdict than the
full ensemble gives, unsure verdicts and doubts about scores included. How sure a stage
must be is one number, its margin: how far P(fake) of the stage lies beyond the
threshold in log-odds, in units of how far this stage is usually from the ensemble; and
as far, in units of its own, must each member not asked be from disagreeing so much that
it makes a doubt. The margins are tested from a large one down, each at 1 - confidence,
and the last that passes is taken: a fixed sequence of tests, which hold together. None
is below 2: where training videos are all sure, nothing was seen of scores in between.

References
----------
Angelopoulos, Bates, Candès, Jordan, Lei (2021), Learn then test.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from base_models.groups import group_codes
from base_models.scoring.in_steps import WHOLE
from ensemble.cascade.frame_steps import table_by_steps
from ensemble.cascade.stages import CascadeStage, MemberCascade, cascade_of
from ensemble.choices import FAKE, REAL, UNSURE
from ensemble.decision.named_thresholds import Thresholds
from ensemble.decision.thresholds import fewest_groups, p_value_of_rate, percent
from ensemble.out_of_fold.ensemble_scores import (
    OutOfFoldEvidence,
    log_odds,
    scored_rows,
    unseen_scores,
)
from ensemble.verdicts.card import evidence_or_none
from ensemble.verdicts.doubts import doubts as doubts_of, most_apart
from ensemble.verdicts.threshold_and_prior import to_probability

CONFIDENCE = 0.95
_MARGINS = np.arange(120, 39, -1) / 20  # from 6 usual distances down to 2
_CLIP = 1e-6  # P(fake) is kept this far from 0 and 1 before taking log-odds
LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class AgreementLimit:
    """What is certified of the verdicts of a cascade.

    Attributes
    ----------
    rate : float
        Largest share of videos whose verdict differs from the full ensemble's.
    margin : float
        In units of `spreads`; NaN where nothing is certified and nobody may stop.
    spreads : tuple of float
        How far the log-odds of each stage usually are from the ensemble's.
    n_groups, n_needed : int
        Groups at hand, and how many are needed if they never differ.
    n_videos, n_stopped, n_differ : int
        Out-of-fold videos, those that would have been stopped, and with another
        verdict.
    what : {"groups", "videos"}
    """

    rate: float
    margin: float
    spreads: tuple
    n_groups: int
    n_needed: int
    n_videos: int
    n_stopped: int
    n_differ: int
    what: str

    def __str__(self) -> str:
        if math.isnan(self.margin):
            short = ""
            if self.n_groups < self.n_needed:
                least = _least_rate(self.n_groups)
                short = (
                    f": {self.n_needed} {self.what} or more are needed, and there are "
                    f"{self.n_groups}, which certify {least} or more"
                )
            return (
                f"cascade={self.rate!r} cannot be certified with a confidence of "
                f"{percent(CONFIDENCE)}{short}; every member is asked of every video"
            )
        return (
            f"With a confidence of {percent(CONFIDENCE)}, the verdict differs from the "
            f"full ensemble's on at most {percent(self.rate)} of videos like those of "
            f"training, as {self.n_groups} {self.what} certify. Of {self.n_videos} "
            f"out-of-fold videos {self.n_stopped} were settled early, {self.n_differ} "
            "with another verdict."
        )

    def to_list(self) -> list:
        """Return what a file keeps."""
        return [*astuple(self)]


def _least_rate(n_groups):
    """The least rate that so many groups certify if they never differ, rounded up."""
    rate = 1 - (1 - CONFIDENCE) ** (1 / n_groups)
    return math.ceil(rate * 1000) / 1000


def certified_limit(model: Any, doubts: bool, by_frames: bool = True) -> AgreementLimit:
    """Return how sure stages must be for the rate that an ensemble's ``cascade`` asks.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted; ``cascade`` is a rate.
    doubts : bool
        Whether videos in doubt are UNSURE; without, the threshold's verdicts count.
    by_frames : bool, default=True
        As for `ensemble.cascade.stages.cascade_of`.

    Returns
    -------
    AgreementLimit
    """
    cascade, thresholds = cascade_of(model, by_frames), model.thresholds_
    cuts = thresholds.low, thresholds.high, thresholds.three_way
    key = repr((float(model.cascade), *cuts, model.prior, bool(doubts)))
    if key not in cascade.limits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit gave them
            cascade.limits[key] = _certified(model, cascade, thresholds, doubts)
    return cascade.limits[key]


def _certified(model, cascade, thresholds, doubts):
    rate = float(model.cascade)
    needed = math.ceil(fewest_groups(rate, 1 - CONFIDENCE))
    table, _, beside = scored_rows(model.oof_scores_, model.fit_record_.training)
    codes, what = group_codes(beside["groups"], len(table)), "groups"
    if beside["groups"] is None:
        what = "videos"
    n_groups = len(np.unique(codes))
    none = AgreementLimit(rate, math.nan, (), n_groups, needed, len(table), 0, 0, what)
    if n_groups < needed or not any(cascade.stages):
        return none
    full = to_probability(
        model, unseen_scores(model).reindex(table.index).to_numpy(float)
    )
    verdicts = thresholds.verdicts(full)
    if doubts:
        found = np.array(doubts_of(model, table, full), object)
        verdicts[(found != "") & (verdicts != "")] = UNSURE
    stages = [
        _StageRows.of(model, cascade, n, table, full, thresholds, doubts)
        for n in range(1, len(cascade.order))
    ]
    sure = np.column_stack([stage.sure for stage in stages])
    differs = np.column_stack([stage.verdicts != verdicts for stage in stages])
    weight = 1 / np.bincount(codes)[codes] / n_groups
    single = len(table) == n_groups
    taken, n_stopped, n_differ = math.nan, 0, 0
    for margin in _MARGINS:
        enough = sure >= margin
        stopped, first = enough.any(axis=1), enough.argmax(axis=1)
        wrong = stopped & differs[np.arange(len(table)), first]
        risk = np.array([float(weight @ wrong)])
        if p_value_of_rate(risk, n_groups, rate, single)[0] > 1 - CONFIDENCE:
            break
        taken, n_stopped, n_differ = margin, int(stopped.sum()), int(wrong.sum())
    spreads = tuple(stage.spread for stage in stages)
    return AgreementLimit(
        rate, float(taken), spreads, n_groups, needed, len(table), n_stopped,
        n_differ, what,
    )  # fmt: skip


@dataclass
class _StageRows:
    """What one stage says of the out-of-fold rows."""

    verdicts: NDArray  # (n_videos,)
    sure: NDArray  # (n_videos,): -inf where it must not stop
    spread: float

    @classmethod
    def of(cls, model, cascade, n_asked, table, full, thresholds, doubts):
        stage = cascade.stages[n_asked - 1]
        if stage is None:
            nothing = np.full(len(table), -np.inf)
            return cls(np.full(len(table), "", object), nothing, math.inf)
        p_fake = stage.calibrated(model, stage.cross_fitted)
        asked = cascade.asked_after(n_asked)
        part = table_by_steps(model, table, asked)[list(asked)]
        may = part.notna().all(axis=1).to_numpy() & ~np.isnan(p_fake)
        low, high = table[list(asked)].min(), table[list(asked)].max()
        may &= ~(part.lt(low) | part.gt(high)).any(axis=1).to_numpy()
        evidence = evidence_or_none(model)
        deciding = [name for name in asked if name in evidence.deciding]
        if len(deciding) > 1:
            odds = log_odds(part[deciding])
            may &= ~(np.ptp(odds, axis=1) > most_apart(evidence))
        both = may & ~np.isnan(full)
        away = odds_of(p_fake[both]) - odds_of(full[both])
        spread = max(float(np.sqrt(np.mean(away**2))), LEAST_SPREAD) if any(both) else 1
        verdicts, beyond = verdict_and_distance(thresholds, p_fake)
        sure = beyond / spread
        if doubts:
            sure = np.minimum(sure, agreement(evidence, stage, asked, part))
        return cls(verdicts, np.where(may, sure, -np.inf), float(spread))


def agreement(
    evidence: OutOfFoldEvidence,
    stage: CascadeStage,
    asked: Mapping[str, int],
    scores: NDArray,
) -> NDArray:
    """Say how far the members not wholly asked are from a doubt that they disagree.

    Parameters
    ----------
    evidence : OutOfFoldEvidence
    stage : CascadeStage
    asked : mapping of str to int
        In their order; quarters of their frames.
    scores : ndarray of shape (n_videos, n_asked)
        Their P(fake).

    Returns
    -------
    ndarray of shape (n_videos,)
        Of the nearest one, in units of how far its outlook is usually off; inf where
        none can raise a doubt, -inf where of one nothing is known.
    """
    nearest = np.full(len(scores), np.inf)
    most = most_apart(evidence)
    left = [name for name in evidence.deciding if asked.get(name) != WHOLE]
    known = log_odds(scores)
    deciding = [place for place, name in enumerate(asked) if name in evidence.deciding]
    if not left or not deciding or most == np.inf:
        return nearest
    low, high = known[:, deciding].min(axis=1), known[:, deciding].max(axis=1)
    for name in left:
        if name not in stage.outlook:
            return np.full(len(scores), -np.inf)
        intercept, *slopes, off = stage.outlook[name]
        likely = intercept + known @ np.array(slopes)
        room = np.minimum(likely - (high - most), (low + most) - likely)
        nearest = np.minimum(nearest, room / max(off, LEAST_SPREAD))
    return nearest


def verdict_and_distance(
    thresholds: Thresholds, p_fake: NDArray
) -> tuple[NDArray, NDArray]:
    """Return verdicts, and how far P(fake) lies beyond the threshold in log-odds.

    Parameters
    ----------
    thresholds : Thresholds
    p_fake : ndarray of shape (n_videos,)

    Returns
    -------
    verdicts : ndarray of str of shape (n_videos,)
    beyond : ndarray of shape (n_videos,)
        -inf where the verdict is neither REAL nor FAKE.
    """
    verdicts = thresholds.verdicts(p_fake)
    odds = odds_of(p_fake)
    beyond = np.full(len(odds), -np.inf)
    high, low = odds_of(np.array([thresholds.high, thresholds.low]))
    is_fake, is_real = verdicts == FAKE, verdicts == REAL
    beyond[is_fake] = odds[is_fake] - high
    beyond[is_real] = low - odds[is_real]
    return verdicts, beyond


def odds_of(p_fake: NDArray) -> NDArray:
    """Return log-odds of P(fake), at most 13.8; NaN stays."""
    return logit(np.clip(p_fake, _CLIP, 1 - _CLIP))


def limits_from(kept: dict) -> dict:
    """Return the certificates of a file, as `AgreementLimit.to_list` wrote them."""
    found = {}
    for key, (rate, margin, spreads, *counts, what) in kept.items():
        counts = [int(count) for count in counts]
        spreads = tuple(float(spread) for spread in spreads)
        found[key] = AgreementLimit(
            float(rate), float(margin), spreads, *counts, str(what)
        )
    return found


def cascade_from(state: dict | None, names: Sequence[str]) -> MemberCascade | None:
    """Return the cascade of a file, as `MemberCascade.to_state` wrote it.

    Parameters
    ----------
    state : dict or None
    names : sequence of str
        Of the members.

    Returns
    -------
    MemberCascade or None

    Raises
    ------
    ValueError
        If it is no cascade of these members.
    """
    if state is None:
        return None
    order, kept = [str(name) for name in state["order"]], state["stages"]
    quarters = [int(each) for each in state.get("quarters", [])]
    if quarters and len(quarters) != len(order):
        raise ValueError(f"it has parts of frames for {len(quarters)} turns of "
                         f"{len(order)}")  # fmt: skip
    wholes = [name for name, q in zip(order, quarters or [WHOLE] * len(order),
                                      strict=True) if q == WHOLE]  # fmt: skip
    if sorted(wholes) != sorted(names) or set(order) != set(names):
        raise ValueError(f"it asks {', '.join(order)}, and has {', '.join(names)}")
    if len(kept) not in (0, len(order) - 1):
        raise ValueError(f"it has {len(kept)} stages for {len(order)} turns")
    stages = [None if parts is None else CascadeStage(*parts) for parts in kept]
    for stage in filter(None, stages):
        if not callable(getattr(stage.combiner, "fake_score", None)):
            raise ValueError(f"a stage combines by a {type(stage.combiner).__name__}")
    limits = limits_from(state["limits"])
    return MemberCascade(
        order, state["costs"], stages, state["given_costs"], limits, quarters
    )
