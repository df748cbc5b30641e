"""Doubts: why a video's score is no ground for calling it real or fake.

A verdict stands on the out-of-fold videos that its threshold and its rates come from.
A video is in doubt where the model did no better than chance on these, where members
that decided them are missing or those that are there carry next to nothing of what the
combiner knows, where members disagree more than they did there, where
faces of the video would get different verdicts, where the video is unlike those
that the model learned from, or one of them, and where its file is not whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ensemble.choices import ACCUSING
from ensemble.out_of_fold.ensemble_scores import (
    USUAL,
    OutOfFoldEvidence,
    is_above_chance,
    log_odds,
)
from ensemble.out_of_fold.shares import without_ground
from ensemble.verdicts.asked import not_asked
from ensemble.verdicts.card import evidence_or_none
from ensemble.verdicts.member_scores import disagreements, fitted_pooling
from ensemble.verdicts.video_profile import TrainingProfile

if TYPE_CHECKING:
    from ensemble.verdicts.video_profile import VideoProfile

FEWEST_ALIKE = 10  # out-of-fold videos that the same members scored
_LEAST_SPREAD = 1.0  # log-odds; members that agree as well as this do not disagree
_BEYOND = 0.5  # of the width of the out-of-fold range that scores may lie outside it
LEAST_BEYOND = 0.5  # log-odds
_LONG_GAP = 60.0  # seconds between two frames that are looked at


def doubts(
    model: Any,
    table: pd.DataFrame,
    combined: np.ndarray,
    profiles: Sequence[VideoProfile | None] | np.ndarray | None = None,
) -> list[str]:
    """Say of each video what speaks against a verdict on it.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
        The members' P(fake). Those that a cascade did not ask lack none.
    combined : ndarray of shape (n_videos,)
        The ensemble's, NaN where it has none.
    profiles : sequence of (VideoProfile or None) or None, default=None
        What the videos are like; None compares scores only.

    Returns
    -------
    list of str
        Reasons joined by "; ", empty where there is none.
    """
    evidence, card = evidence_or_none(model), model.card_
    of_model = _of_the_model(model, evidence, card)
    apart = _hidden_faces(model, table, combined)
    known_patterns, grounds, seen_beside = {}, {}, table.attrs.get("beside", {})
    unasked = pd.DataFrame(not_asked(table), table.index, table.columns)
    # pandas deep-copies ``attrs``, a reason for each score, on every access to a row.
    table = pd.DataFrame(table.to_numpy(), table.index, table.columns)
    found = []
    for row in range(len(table)):
        if np.isnan(combined[row]):
            found.append("no member that was trained has a score")
            continue
        reasons = list(of_model)
        there = tuple(table.iloc[row].notna())
        if there not in grounds:
            grounds[there] = _of_small_members(model, evidence, table.columns, there)
        reasons += grounds[there]
        if evidence is not None:
            scores = table[evidence.deciding].iloc[row]
            left_out = unasked[evidence.deciding].iloc[row].to_numpy()
            present = tuple(scores.notna() | left_out)
            if present not in known_patterns:
                known_patterns[present] = _of_missing_members(evidence, present)
            reasons += known_patterns[present]
            reasons += _of_disagreement(evidence, scores)
            reasons += _of_unusual_scores(evidence, scores)
        if profiles is not None and profiles[row] is not None:
            training = card.profile or TrainingProfile(0)  # of which nothing is known
            reasons += training.unlike(profiles[row])
            reasons += _of_unseen_time(model, profiles[row], training)
        name = table.index[row]
        reasons += [of[name] for of in (apart, seen_beside) if name in of]
        found.append("; ".join(reasons))
    return found


def standing_doubts(model: Any, present: Sequence[bool] | np.ndarray) -> list[str]:
    """Say what speaks against every verdict on scores of the same members.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    present : bool array-like of shape (n_detectors,)
        Which of them have a score.

    Returns
    -------
    list of str
        Doubts about the model, and about members that carry too little.
    """
    evidence = evidence_or_none(model)
    of_model = _of_the_model(model, evidence, model.card_)
    names = list(model.detectors_)
    return of_model + _of_small_members(model, evidence, names, tuple(present))


def most_apart(evidence: OutOfFoldEvidence) -> float:
    """Return how far deciding members may be apart, in log-odds, before it is a doubt.

    Parameters
    ----------
    evidence : OutOfFoldEvidence

    Returns
    -------
    float
        inf where their disagreement is none: nothing is known of it, or no fakes are,
        on which they may disagree.
    """
    usual = evidence.usual_spread
    if np.isnan(usual) or not evidence.is_fake.any():
        return np.inf
    return max(usual, _LEAST_SPREAD)


def far_outside(
    values: np.ndarray, low: float, high: float, least: float = 0.0
) -> np.ndarray:
    """Say which values lie outside a known range by more than half of its width.

    Parameters
    ----------
    values : ndarray
        NaN is not outside.
    low, high : float
        The range.
    least : float, default=0.0
        By how much they may lie outside a narrow one.

    Returns
    -------
    bool ndarray

    Examples
    --------
    >>> far_outside(np.array([-0.4, 1.6, np.nan]), 0.0, 1.0).tolist()
    [False, True, False]
    """
    margin = max(least, _BEYOND * (high - low))
    return (values < low - margin) | (values > high + margin)


def _hidden_faces(model, table, combined):
    """Say of which videos faces disagree, unless the worst of them decided.

    The worst face is chosen by the plain mean of the members' log-odds. Where the
    combiner trusts them differently another one may be fake to it.
    """
    apart = disagreements(model, table)
    if fitted_pooling(model) != "worst":
        return apart
    verdicts = dict(zip(table.index, model.thresholds_.verdicts(combined), strict=True))
    return {
        video: said for video, said in apart.items() if verdicts[video] not in ACCUSING
    }


def _of_the_model(model, evidence, card):
    """What casts doubt on every verdict of the model."""
    weights = model.weights_
    if weights is not None and not weights.to_numpy().any():
        return ["the combiner gives no member any weight, so that all videos are alike"]
    if card.doubt:
        return [card.doubt]
    if evidence is not None and len(evidence.score) > 1 and np.ptp(evidence.score) == 0:
        return ["all out-of-fold videos have the same score"]
    return []


def _of_small_members(model, evidence, names, there):
    """Say that the members with a score carry next to nothing."""
    shares = None if evidence is None else evidence.shares
    said = without_ground(names, np.array(there, bool), shares, model.weights_)
    return [said] if said else []


def _of_unseen_time(model, video, training):
    """Say that a whole training video has room between two frames that are seen."""
    members = [d for found in model.detectors_.values()
               for d in (found if isinstance(found, list) else [found])]  # fmt: skip
    counts = [getattr(member, "n_frames", None) for member in members]
    most = max((n for n in counts if isinstance(n, int)), default=0)
    if not most or training.seconds is None or np.isnan(video.seconds):
        return []
    gap, longest = video.seconds / most, training.seconds[2]
    if gap <= max(_LONG_GAP, longest):
        return []
    return [
        f"it was looked at every {gap:.0f} s, and training videos last up to "
        f"{longest:.1f} s: most of it was not seen"
    ]


def _of_missing_members(evidence, present):
    """Judge a video that some members could not score by those like it."""
    if all(present):
        return []
    names = np.array(evidence.deciding)
    there = np.array(present, bool)
    missing = " and ".join(names[~there])
    rows = evidence.same_members(there)
    n_alike, n_all = int(rows.sum()), len(rows)
    no_score = f"no score of {missing}"
    if n_alike < FEWEST_ALIKE:
        alike = f"only {n_alike}" if n_alike else "none"
        return [f"{no_score}, and {alike} of {n_all} out-of-fold videos lacked it"]
    if not evidence.is_fake.any():  # of real videos alone no AUC is known
        return []
    auc = evidence.auc(rows)
    groups = None if evidence.groups is None else evidence.groups[rows]
    if is_above_chance(auc, evidence.is_fake[rows], groups):
        return []
    how_good = f"AUC {auc.estimate:.2f}, at least {auc.low:.2f}, "
    if np.isnan(auc.estimate):  # all of one class
        how_good = "no AUC can be had "
    return [
        f"{no_score}, without which the model is not shown to beat chance ({how_good}"
        f"on {n_alike} out-of-fold videos)"
    ]


def _of_disagreement(evidence, scores):
    """Compare how far the members are apart with how far they were out of fold."""
    known = scores.dropna()
    if len(known) < 2:
        return []
    usual, spread = evidence.usual_spread, np.ptp(log_odds(known))
    if spread <= most_apart(evidence):
        return []
    low, high = known.idxmin(), known.idxmax()
    return [
        f"members disagree ({low} {known[low]:.3f}, {high} {known[high]:.3f}: "
        f"{spread:.1f} in log-odds, {usual:.1f} or less on {100 * USUAL:.3g} % of the "
        "out-of-fold videos)"
    ]


def _of_unusual_scores(evidence, scores):
    """Name members whose score lies outside what they gave out of fold."""
    odds = log_odds(scores)
    found = []
    for place, (name, score) in enumerate(scores.items()):
        if np.isnan(score):
            continue
        known = evidence.log_odds[:, place]
        low, high = np.nanmin(known), np.nanmax(known)
        outside = far_outside(odds[place], low, high, LEAST_BEYOND)
        # Above those of reals alone is where fakes are looked for.
        if outside and (odds[place] < low or evidence.is_fake.any()):
            own = evidence.table[name]
            found.append(
                f"{name} gives {score:.3f}, out of fold {own.min():.3f} to "
                f"{own.max():.3f}"
            )
    return found
