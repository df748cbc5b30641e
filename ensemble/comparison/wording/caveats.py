"""What weakens a comparison, in words: the last lines of its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.types import is_numeric_dtype

from ensemble.errors import listed_failures

if TYPE_CHECKING:
    from ensemble.comparison.result import ComparisonFacts

FEW_GROUPS = 30
_OTHER_SHARE = 0.1  # of fakes, between what is learned from and what is judged


def caveats(facts: ComparisonFacts) -> list[str]:
    """Return what weakens a comparison, a sentence or two a line.

    Parameters
    ----------
    facts : ComparisonFacts

    Returns
    -------
    list of str
    """
    said = []
    if facts.nesting == "stored":
        said.append(
            "Approximate: the scores learned from are out of fold, of detectors that "
            "saw the labels tested on, which reads slightly too well; detectors and "
            "videos with nesting='exact' do not."
        )
    elif facts.nesting == "unstated":
        said.append(
            "Where the scores come from is not stated: if no detector was fitted on "
            "these videos this is exact (nesting='exact'); if they are out of fold it "
            "is approximate and reads slightly too well (nesting='stored')."
        )
    said += _of_other_scales(facts) + _shift_held_out(facts)
    said += _fitted_beforehand(facts)
    learned, judged = facts.share_of_fakes_learned_from, facts.share_of_fakes_judged
    if abs(learned - judged) > _OTHER_SHARE:
        said.append(
            f"Fakes are {learned:.0%} of what is learned from and {judged:.0%} of what "
            "is tested: log loss, Brier score, calibration and balanced accuracy of "
            "what learns suffer from that; AUC does not."
        )
    if facts.ranked < 1:
        said.append(
            f"{1 - facts.ranked:.1%} of the videos are in folds without a video of "
            "the other class, and count for no AUC: only videos of one fold are "
            "compared."
        )
    if facts.not_judged:
        said.append("Not tested: " + ", ".join(map(str, facts.not_judged)) + ".")
    if facts.left_aside:
        said.append(
            f"{facts.left_aside} earlier videos were left aside: their groups come "
            "later too."
        )
    if facts.n_groups_judged < FEW_GROUPS:
        said.append(
            f"With {facts.n_groups_judged} groups to test on, intervals and p-values "
            "are rough."
        )
    if not facts.groups_given:
        said.append(
            "No groups were given: if two videos share a person or a source, all this "
            "is too good."
        )
    return said


def _of_other_scales(facts):
    """Say of members with values outside 0 to 1 what was done with them."""
    scales = facts.other_scales or {}
    if not scales:
        return []
    named = "; ".join(
        f"{', '.join(n for n, done in scales.items() if done == way)}: {way}"
        for way in dict.fromkeys(scales.values())
    )
    return [
        "Members with values outside 0 to 1 were brought there by what the training "
        f"rows of each fold say ({named}). By themselves they are no probabilities: "
        "their log loss and calibration say little, their AUC does."
    ]


def _shift_held_out(facts):
    if facts.shift_held_out_by is None:
        return []
    but = ""
    if facts.splits_without_shift:
        but = f", where these have two or more (not in {facts.splits_without_shift} "
        but += f"of {facts.n_splits} splits)"
    return [
        f"Within its training videos {', '.join(facts.shift_held_out_by)} held out "
        f"values of shift{but}; the other strategies take no heed of it. What is "
        "tested is decided by the protocol."
    ]


def _fitted_beforehand(facts):
    """Say what members had seen, and whether that includes what is judged."""
    trained_on = facts.trained_on or {}
    unknown = [n for n in facts.fitted_beforehand if trained_on.get(n) is None]
    said = []
    if unknown:
        said.append(
            "Fitted beforehand, on videos that are not known here: "
            f"{', '.join(unknown)}. If these are among them, all that stands on them "
            "reads too well."
        )
    known = [f"{n} on {', '.join(data)}" for n, data in trained_on.items() if data]
    if known:
        said.append(f"Trained beforehand: {'; '.join(known)}.")
    seen = facts.seen_in_training or {}
    if seen:
        counts = "; ".join(f"{n} of {facts.n_videos} by {m}" for m, n in seen.items())
        said.append(
            f"These videos were seen in that training: {counts}. All that stands on "
            "their scores reads too well."
        )
    elif known:
        said.append(
            "If the videos tested are of that data, what stands on their scores reads "
            "too well."
        )
    return said


def with_failures(
    table: pd.DataFrame, failed: dict[str, str], members: Sequence[str]
) -> pd.DataFrame:
    """Add a row without figures for each that failed, below all others.

    Parameters
    ----------
    table : DataFrame
        One row a member or strategy, as of `ensemble.comparison.Comparison`.
    failed : dict of str to str
        Name -> where it failed and why.
    members : sequence of str
        Which names are of members.

    Returns
    -------
    DataFrame
        With a column ``failed``; the same table where nothing failed.

    Examples
    --------
    >>> table = pd.DataFrame({"kind": ["member"], "auc": [0.9]}, index=["a"])
    >>> with_failures(table, {"b": "split 1 of 2: MemoryError"}, ["a", "b"])
         kind  auc                     failed
    a  member  0.9
    b  member  NaN  split 1 of 2: MemoryError
    """
    if not failed:
        return table
    rows = table.assign(failed="").reindex([*table.index, *failed])
    for name, why in failed.items():
        kind = "member" if name in members else "strategy"
        rows.loc[name, ["kind", "failed"]] = kind, why
        for column in rows.columns.difference(["kind", "failed"]):
            if not is_numeric_dtype(rows[column]):
                rows.loc[name, column] = ""
    rows.attrs = dict(table.attrs)
    return rows


def say_failed(failed: dict[str, str], n_others: int) -> str:
    """Return the sentence of a verdict on those that failed; empty where none did.

    Examples
    --------
    >>> say_failed({"b": "split 1 of 2: MemoryError"}, 5)
    'b failed (split 1 of 2: MemoryError): not judged, and not among the 5 others.'
    """
    if not failed:
        return ""
    return (
        f"{listed_failures(failed)}: not judged, and not among the {n_others} others."
    )
