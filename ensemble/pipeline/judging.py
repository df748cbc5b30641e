"""The table of verdicts of a `ScorePipeline`, made for all rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ensemble.choices import NO_VERDICT, UNSURE
from ensemble.out_of_fold.ensemble_scores import log_odds
from ensemble.out_of_fold.shares import share_of, without_ground
from ensemble.verdicts.doubts import FEWEST_ALIKE, LEAST_BEYOND, far_outside
from ensemble.verdicts.video_verdicts import statuses

CONTRIBUTION = "contribution_"  # begins the columns of what each detector contributed
_CHANCE_OF_SCALE = 0.01  # at most, that scores of training all lay within 0 to 1
ENOUGH = 0.5  # of what the rule knows, which the detectors that are there must carry


def verdict_table(
    rule: Any,
    table: pd.DataFrame,
    used: NDArray,
    combined: NDArray,
    contributions: NDArray | None,
) -> pd.DataFrame:
    """Lay out what a rule says of videos: see `ScorePipeline.judge`.

    Parameters
    ----------
    rule : ScorePipeline
        Fitted.
    table : DataFrame of shape (n_videos, n_detectors)
        Scores as they were given, under the names of the rule.
    used : bool ndarray of shape (n_videos, n_detectors)
        Which of them count.
    combined : ndarray of shape (n_videos,)
        Before calibration.
    contributions : ndarray of shape (n_videos, n_detectors) or None

    Returns
    -------
    DataFrame
    """
    names = [str(name) for name in table.columns]
    p_fake = rule.to_probability(combined)
    interval = rule.interval_of(combined)
    thresholds = rule.thresholds_
    verdict = thresholds.verdicts(p_fake)
    pattern, patterns = _patterns(used)
    missing = np.array([_listed(names, ~row) for row in patterns], object)[pattern]
    unknown = np.isnan(p_fake)
    notes = np.array([_of_pattern(rule, names, row) for row in patterns], object)
    notes = notes[pattern]
    notes[unknown & (notes == "")] = "no score came of combining these"
    _add_unusual_scores(rule, notes, table, used)
    _add_other_scale(rule, notes, table, used)
    _add_doubts_of_outside(notes, table, used)
    doubtful = unknown | (notes != "")
    if rule.abstain:
        low, high = interval.T
        torn = (low <= thresholds.high) & (high > thresholds.high)
        torn |= (low < thresholds.low) & (high >= thresholds.low)
        _note(notes, torn, "a threshold lies within its interval")
        doubtful |= torn
    if doubt := rule.doubt_:
        _note(notes, ~unknown, doubt)
        doubtful[:] = True
    partly = [_of_partial(rule, row) for row in patterns]
    for number, (text, too_little) in enumerate(partly):
        if text:
            here = pattern == number
            _note(notes, here, text)
            doubtful |= here & too_little
    _add_given_reasons(notes, table, used)
    verdict[doubtful | (verdict == NO_VERDICT)] = UNSURE
    used_scores = pd.DataFrame(np.where(used, 0.0, np.nan))
    beside = {
        "p_fake": p_fake,
        "lower": interval[:, 0],
        "upper": interval[:, 1],
        "verdict": verdict,
        "status": statuses(used_scores, p_fake),
        "missing": missing,
        "reason": notes,
    }
    if contributions is not None:
        for place, name in enumerate(names):
            beside[CONTRIBUTION + name] = contributions[:, place]
    return pd.DataFrame(beside, index=table.index)


def _patterns(used):
    """Return which pattern of present scores each row has, and the patterns."""
    packed = np.packbits(used, axis=1)
    as_bytes = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel()
    _, first, pattern = np.unique(as_bytes, return_index=True, return_inverse=True)
    return pattern, used[first]


def _of_pattern(rule: Any, names: list[str], present: NDArray) -> str:
    """Say why rows with these scores are in doubt, or cannot be scored."""
    if not present.any():
        return "no member has a score"
    trained = rule.trained_
    if not (present & trained).any():
        one = present.sum() == 1
        return (
            f"only {_listed(names, present)} {'has' if one else 'have'} a score, and "
            f"{'it' if one else 'they'} had none in training"
        )
    shares = getattr(rule, "shares_", None)  # files of before have none
    return without_ground(names, present, shares, rule.weights_)


def _of_partial(rule, present):
    """Say what rates and interval are worth to rows that lack detectors.

    Returns the text, empty where none is missing, and whether it is a doubt: those that
    are there carry less than half of what the rule knows, and training held too few
    rows of the same detectors to tell what they are worth alone.
    """
    trained = rule.trained_
    there = present & trained
    n_missing, n_all = int((trained & ~present).sum()), int(trained.sum())
    if not n_missing or not there.any():
        return "", False
    verb = "is" if n_missing == 1 else "are"
    text = f"{n_missing} of {n_all} detectors {verb} missing"
    if not hasattr(rule, "patterns_"):  # files of before
        return f"{text}: rates and interval are of training videos as they came", False
    same = (rule.patterns_ == there).all(axis=1)
    n_alike, n_videos = int(rule.n_of_pattern_[same].sum()), rule.n_of_pattern_.sum()
    share = share_of(there, getattr(rule, "shares_", None), rule.weights_)
    too_little = share < ENOUGH and n_alike < FEWEST_ALIKE
    if too_little:
        text += f", and the others carry {share:.0%} of what the rule knows"
    if (rule.patterns_ == trained).all():
        return f"{text}: rates and interval are of videos that all scored", too_little
    return (
        f"{text}, as in {n_alike} of {n_videos} training videos: rates and interval "
        "are of all these",
        too_little,
    )


def _listed(names, which):
    return ", ".join(name for name, one in zip(names, which, strict=True) if one)


def _note(notes, where, text):
    notes[where] = [f"{note}; {text}" if note else text for note in notes[where]]


def _add_unusual_scores(rule, notes, table, used):
    """Name detectors whose score lies far outside what they gave in training."""
    shares, names = getattr(rule, "shares_", None), [str(n) for n in table.columns]
    for place, name in enumerate(names):
        low, high = rule.score_range_[place]
        alone = np.arange(table.shape[1]) == place
        if np.isnan(low) or without_ground(names, alone, shares, rule.weights_):
            continue  # it decides nothing
        given = table.iloc[:, place].to_numpy(float)
        values, ends, least = given, (low, high), 0.0
        if low >= 0 and high <= 1:
            values, ends, least = log_odds(given), log_odds([low, high]), LEAST_BEYOND
        outside = used[:, place] & far_outside(values, *ends, least)
        for row in np.flatnonzero(outside):
            text = f"{name} gives {given[row]:.4g}, in training {low:.4g} to {high:.4g}"
            notes[row] = f"{notes[row]}; {text}" if notes[row] else text


def _add_other_scale(rule, notes, table, used):
    """Name detectors whose scores are P(fake) here, and percent or the like before."""
    shares = getattr(rule, "unit_share_", None)  # files of before have none
    for place, (low, high) in enumerate(
        rule.score_range_ if shares is not None else ()
    ):
        values = table.iloc[:, place].to_numpy(float)[used[:, place]]
        is_unit = len(values) and values.min() >= 0 and values.max() <= 1
        if not is_unit or (low >= 0 and high <= 1) or np.isnan(low):
            continue
        if shares[place] ** len(values) < _CHANCE_OF_SCALE:
            text = (
                f"all scores of {table.columns[place]} here lie within 0 to 1, in "
                f"training {low:.4g} to {high:.4g}: they may be on another scale"
            )
            _note(notes, used[:, place], text)


def _add_doubts_of_outside(notes, table, used):
    """Doubt a column that leaves 0 to 1 in other rows, save by a mark of no score."""
    outside = [
        np.unique(values[~there & ~np.isnan(values)])
        for values, there in zip(table.to_numpy(float).T, used.T, strict=True)
    ]
    different = np.unique(np.concatenate([[], *outside]))
    if len(different) == 1 and different[0] < 0 and different[0] % 1 == 0:
        return  # -1, -99: no score, by the same mark in all columns
    for place in np.flatnonzero(used.any(axis=0)):
        if not len(outside[place]):
            continue
        text = (
            f"{table.columns[place]} is outside 0 to 1 in other rows, as "
            f"{outside[place][-1]:.4g}: it may be on another scale in all"
        )
        _note(notes, used[:, place], text)


def _add_given_reasons(notes, table, used):
    """Add why scores are missing, where the table says so or they were refused."""
    outside = ~used & table.notna().to_numpy()
    for place in np.flatnonzero(outside.any(axis=0)):
        text = f"{table.columns[place]} is outside 0 to 1, and was within in training"
        _note(notes, outside[:, place], text)
    given = table.attrs.get("reason") or {}
    if not given:
        return
    row_of = {row: number for number, row in enumerate(table.index)}
    for name, by_row in given.items():
        for row, text in by_row.items():
            number = row_of.get(row)
            if number is not None and text not in notes[number]:
                before = f"{notes[number]}; " if notes[number] else ""
                notes[number] = f"{before}{name}: {text}"
