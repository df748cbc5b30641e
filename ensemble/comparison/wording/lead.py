"""The first sentences of a comparison's verdict: four questions, answered in order."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

from ensemble.combiners.registry import strategy_labels
from ensemble.combiners.strategies import (
    CHOSEN_MEMBER,
    MEAN,
    simplest_of_the_highest,
)
from ensemble.comparison.protocols import PROTOCOLS
from ensemble.comparison.wording.caveats import FEW_GROUPS
from ensemble.comparison.wording.summary_text import (
    beats_guessing,
    ensembles_of,
    state_against,
)

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.comparison.result import ComparisonFacts

_TOO_GOOD = "the figures are too good"


def lead_of(
    table: pd.DataFrame, facts: ComparisonFacts, subject: str | None = None
) -> str:
    """Answer what a reader asks first, in at most four sentences.

    Is it better than guessing, and which strategy is? Is it shown to beat the plain
    mean and the best single detector? What of forgeries that training has not seen?
    What weakens all this most?

    Parameters
    ----------
    table : DataFrame
        One row a member or strategy, as in `ensemble.comparison.Comparison`.
    facts : ComparisonFacts
    subject : str or None, default=None
        The strategy that the reader has in hand, such as the ensemble that was saved:
        it is spoken of, and the highest of the others named beside it. None speaks of
        the highest.

    Returns
    -------
    str
    """
    first = highest_ensemble(table) if subject is None else subject
    is_good = table.loc[first, "above_chance"]
    if subject is None:
        sentences = [_better_than_guessing(table, first, facts)]
    else:
        sentences = [_subject(table, subject, facts)]
    if is_good:
        sentences += [_against_both(table, first, facts), _unseen(table, first, facts)]
    return " ".join([*sentences, *islice(_caveat(table, facts), 1)])


def highest_ensemble(table: pd.DataFrame) -> str:
    """Return the ensemble of the highest AUC, of those that beat guessing if any does.

    The plain mean is one, and of equals it is taken.
    """
    names = list(dict.fromkeys([*ensembles_of(table).index, MEAN]))
    ensembles = table.loc[[name for name in names if name in table.index]]
    good = ensembles[beats_guessing(ensembles)]
    return simplest_of_the_highest((ensembles if good.empty else good)["auc"])


def _better_than_guessing(table, first, facts):
    row = table.loc[first]
    videos = f"{facts.n_videos_judged} videos"
    if math.isnan(row["auc_low"]):
        return (
            f"With so few groups ({facts.n_groups_judged}) nobody can tell whether "
            "any strategy is better than guessing."
        )
    interval = f"{facts.level:.0%} interval {_ends(row, 'auc')}"
    if row["above_chance"]:
        called = "The plain mean" if first == MEAN else _capital(first)
        above = ensembles_of(table)
        above = above.index[above["auc"] > row["auc"]]
        if len(above):
            return (
                f"{called} reaches an AUC of {row['auc']:.3f} ({interval}), on "
                f"{videos} it was not fitted on; {above[0]}, which is higher, is not "
                "shown to be better than guessing."
            )
        return (
            f"{called} has the highest AUC of all ensembles, {row['auc']:.3f} "
            f"({interval}), on {videos} it was not fitted on."
        )
    members = table[(table["kind"] == "member") & beats_guessing(table)]
    alone = f" Alone, {members.index[0]} is." if len(members) else ""
    if row["auc_low"] > 0.5:
        interval += f"; the highest of {len(ensembles_of(table))}, picked"
    return (
        f"No ensemble is shown to be better than guessing on {videos} ({first}: "
        f"AUC {row['auc']:.3f}, {interval}).{alone}"
    )


def _subject(table, subject, facts):
    """Say how good the strategy in hand is, and which of the others is highest."""
    row = table.loc[subject]
    said = f"{facts.n_videos_judged} videos that it was not fitted on"
    found = f"AUC {row['auc']:.3f}"
    if math.isfinite(row["auc_low"]):
        found += f", {facts.level:.0%} interval {_ends(row, 'auc')}"
    if row["above_chance"]:
        said = f"{_first_upper(subject)} is better than guessing on {said} ({found})"
    elif math.isnan(row["auc_low"]):
        said = (
            f"With so few groups ({facts.n_groups_judged}) nobody can tell whether "
            f"{subject} is better than guessing ({found})"
        )
    else:
        said = (
            f"{_first_upper(subject)} is not shown to be better than guessing on "
            f"{said} ({found})"
        )
    others = table[(table["kind"] == "strategy") & (table.index != subject)]
    others = others[others.index != CHOSEN_MEMBER]
    if others.empty:
        return f"{said}."
    best = others["auc"].idxmax()
    return (
        f"{said}; the highest of the other strategies is {best}, "
        f"{others.loc[best, 'auc']:.3f}."
    )


def _against_both(table, first, facts):
    """Set the first strategy beside the plain mean and the best member."""
    row, best = table.loc[first], facts.best_member
    member = f"the best single detector, {best} ({table.loc[best, 'auc']:.3f})"
    mean = f"the plain mean ({table.loc[MEAN, 'auc']:.3f})"
    rivals = {"best_member": member}
    if first != MEAN:
        rivals = {"mean": mean, **rivals}
    if not all(math.isfinite(row[f"over_{rival}_low"]) for rival in rivals):
        return f"Whether it beats {' or '.join(rivals.values())} cannot be told."
    states: dict[str, list[str]] = {}
    for rival, called in rivals.items():
        states.setdefault(state_against(row, rival, facts), []).append(called)
    beaten, worse = states.get("beats", []), states.get("is worse than", [])
    open_ = {r: c for r, c in rivals.items() if c not in beaten + worse}
    said = [f"beats {' and '.join(beaten)}"] if beaten else []
    said += [f"is worse than {' and '.join(worse)}"] if worse else []
    if open_:
        said.append(f"is not shown to beat {' or '.join(open_.values())}")
    luck = f": {_luck(table, open_)}" if open_ else ""
    return f"It {', but '.join(said)}{luck}."


def _luck(table, rivals):
    n_tested = max(int(table[f"p_{rival}"].notna().sum()) for rival in rivals)
    if n_tested > 1:
        return f"after correction for {n_tested} tests, the difference may be chance"
    return "the difference may be chance"


def _unseen(table, first, facts):
    kind = PROTOCOLS[facts.protocol].unseen
    if kind is None:
        return (
            "Forgery methods unseen in training were not tested (--protocol "
            "leave-method-out does that)."
        )
    row = table.loc[first]
    said = f"Each {kind} was tested with strategies that had not seen it"
    if "worst_at" in table and isinstance(row["worst_at"], str):
        said += f"; the hardest is {row['worst_at']} (AUC {row['worst']:.3f})"
    return f"{said}."


def _caveat(table, facts):
    """Yield what weakens a comparison, what weakens it most first."""
    members = table[table["kind"] == "member"]
    inverted = [m for m in members.index if str(m) in facts.look_inverted]
    if inverted:
        yield (
            f"{inverted[0]} scores real videos above fakes: check the labels, or "
            "invert its scores."
        )
    if facts.seen_in_training:
        name = next(iter(facts.seen_in_training))
        yield f"{name} was trained on some of these videos: {_TOO_GOOD}."
    if not facts.groups_given:
        yield (
            f"No groups were given: if videos share a person or a source, {_TOO_GOOD}."
        )
    if facts.n_groups_judged < FEW_GROUPS:
        yield f"With only {facts.n_groups_judged} groups all this is rough."
    if facts.fitted_beforehand and not facts.trained_on:
        yield (
            f"What {facts.fitted_beforehand[0]} was trained on is not known: if on "
            f"these videos, {_TOO_GOOD}."
        )
    if facts.nesting == "unstated":
        yield (
            "What the detectors were trained on is not stated: if on these videos, "
            f"{_TOO_GOOD}."
        )
    if facts.nesting == "stored":
        yield (
            "The figures are slightly too good: strategies learned from scores of "
            "detectors that had seen labels of the judged videos."
        )
    if facts.coverage < 1:
        yield f"Only {facts.coverage:.1%} of the videos were scored by all, and judged."


def _capital(name):
    """Begin a sentence with a strategy; names that users gave stay as they are."""
    ours = " " in name or name in strategy_labels()
    return _first_upper(name) if ours else name


def _first_upper(name):
    return name[:1].upper() + name[1:]


def _ends(row, name):
    return f"{row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f}"
