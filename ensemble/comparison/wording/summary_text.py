"""Says in words what a comparison's figures allow to say, and no more."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ensemble.combiners.strategies import CHOSEN_MEMBER, MEAN
from ensemble.comparison.protocols import PROTOCOLS
from ensemble.comparison.wording.caveats import FEW_GROUPS, caveats

if TYPE_CHECKING:
    import pandas as pd

    from ensemble.comparison.result import ComparisonFacts


_MEASURED_AGAINST = {
    MEAN: "the plain mean", CHOSEN_MEMBER: "the member chosen in training",
}  # fmt: skip


def put_in_words(
    table: pd.DataFrame,
    facts: ComparisonFacts,
    by_value: pd.DataFrame,
    seen: pd.DataFrame | None = None,
    ablation: pd.DataFrame | None = None,
) -> str:
    """Return the verdict, one thought a line.

    "Beats" is said only where the interval of the paired difference excludes 0, the
    p-value, corrected for all strategies that were tried, is below 1 less the level,
    and the strategy itself is better than guessing: the interval of its AUC is above
    0.5. Being ahead of a mean that ranks the wrong way round is no merit.

    Parameters
    ----------
    table : DataFrame
        One row a member or strategy, as in `ensemble.comparison.Comparison`.
    facts : ComparisonFacts
    by_value : DataFrame
    seen : DataFrame or None, default=None
        The table of the same strategies where methods, sources or data sets were
        learned from that this one has held out.
    ablation : DataFrame or None, default=None
        What each member adds, as in `ensemble.comparison.Comparison`.
    """
    ours = ensembles_of(table)
    first = ours.index[0]
    lines = [*_guessing(table, facts), _headline(table, ours, first, facts)]
    lines += _unscored(facts)
    lines += _inverted(table, facts)
    if first != MEAN:
        lines.append(_against(table, first, "mean", "the plain mean", facts))
    lines.append(
        _against(table, first, "best_member", "the best member", facts)
        + _who_the_best_is(table, facts)
    )
    lines += [_automatic(table, name) for name in facts.automatic if name != first]
    lines += _after_choosing(facts, len(ours))
    lines += _probabilities(table, ours)
    if PROTOCOLS[facts.protocol].unseen:
        lines += _unseen(table, first, facts, by_value, seen)
    lines += _worst(table, first, by_value)
    lines += _added(ablation, any_good=beats_guessing(table).any())
    return "\n".join(lines + caveats(facts))


def ensembles_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a comparison's table that are ensembles, best first.

    The plain mean and the member chosen in training, which ensembles are measured
    against, are left out; where there is nothing else, the mean is returned.
    """
    plain = table.index.isin([MEAN, CHOSEN_MEMBER])
    ours = table[(table["kind"] == "strategy") & ~plain]
    return table.loc[[MEAN]] if ours.empty else ours


def beats_guessing(table: pd.DataFrame) -> pd.Series:
    """Whether each AUC is shown to be above that of a guess, whichever is picked.

    See `ensemble.comparison.statistics.above_chance`.
    """
    return table["above_chance"].astype(bool)


def _guessing(table, facts):
    """Lead with it where no strategy is better than a guess."""
    strategies = table[table["kind"] == "strategy"]
    if beats_guessing(strategies).any():
        return []
    if strategies["auc_low"].isna().all():
        return [
            "Whether any strategy is better than guessing cannot be told with so few "
            "groups."
        ]
    members = table[table["kind"] == "member"]
    good = list(members.index[beats_guessing(members)])
    but = (
        f" Of the members {', '.join(good)} {'is' if len(good) == 1 else 'are'}, each "
        "by itself."
        if good
        else " Nor is any member."
    )
    why = f"no interval of their AUC lies above 0.5 ({facts.level:.0%})"
    if (strategies["auc_low"] > 0.5).any():
        why = (
            f"of {len(strategies)} the best has an interval above 0.5 "
            f"({facts.level:.0%}), which does not allow for its being picked"
        )
    return [f"No strategy is shown to be better than guessing: {why}.{but}"]


def _inverted(table, facts):
    """Name members that rank reals above fakes, and how to say that they do."""
    members = table[table["kind"] == "member"]
    members = members[members.index.astype(str).isin(facts.look_inverted)]
    if members.empty:
        return []
    named = ", ".join(
        f"{name} (AUC {row['auc']:.4f}, {row['auc_low']:.4f} to {row['auc_high']:.4f})"
        for name, row in members.iterrows()
    )
    way_out = (
        "--invert on the command line, or 1 less the score"
        if facts.compared == "scores"
        else "let the detector return 1 less the score"
    )
    return [
        f"{named} {'looks' if len(members) == 1 else 'look'} inverted: real videos "
        "score above fake ones. Check the labels; if a high score means real there, "
        f"say so ({way_out}): nothing is turned round in silence, and means, votes and "
        "non-negative weights take a high score for fake."
    ]


def _headline(table, ours, first, facts):
    row = table.loc[first]
    among = f", the highest of {len(ours)} ensembles" if len(ours) > 1 else ""
    said = (
        f"{_where(facts)} ({facts.videos_judged} videos, {facts.n_groups_judged} "
        f"groups) {first} reaches an AUC of {row['auc']:.4f} ({facts.level:.0%} "
        f"interval {row['auc_low']:.4f} to {row['auc_high']:.4f}){among}."
    )
    best = facts.best_member
    if row["auc"] <= table.loc[best, "auc"]:
        said += f" No ensemble is above the best member, {best}."
    aside = [
        f"{called} ({table.loc[name, 'auc']:.4f})"
        for name, called in _MEASURED_AGAINST.items()
        if name in table.index and name != first
    ]
    if len(ours) > 1 and aside:
        what = " and ".join(aside)
        said += f" Not counted there: {what}, which ensembles are measured against."
    return said


def _unscored(facts):
    """Say on which videos all are compared, where some have not scored all."""
    if facts.coverage == 1:
        return []
    return [
        f"All were tested on the {facts.coverage:.1%} of the videos that everyone has "
        f"scored, {facts.n_videos_judged} of {facts.n_videos_held_out}."
    ]


def _where(facts):
    exact = facts.nesting == "exact" and not facts.fitted_beforehand
    who = "nothing was" if exact else "no strategy was"
    kind = PROTOCOLS[facts.protocol].unseen
    if kind is None and facts.first_judged is not None:
        return (
            f"On videos from {facts.first_judged} on, of groups that {who} fitted on,"
        )
    if kind is None:
        return f"On groups that {who} fitted on"
    # members of a table may have been fitted on what is held out, wherever they were
    own = facts.compared == "detectors" and not facts.fitted_beforehand
    who = "nothing was" if own else "no strategy was"
    return f"On {kind}s and groups that {who} fitted on"


def _against(table, first, rival, called, facts):
    row = table.loc[first]
    n_tested = int(table[f"p_{rival}"].notna().sum())
    ahead, p = row[f"over_{rival}"], row[f"p_{rival}"]
    if not math.isfinite(row[f"over_{rival}_low"]):
        return f"Whether {first} beats {called} cannot be told with so few groups."
    counted = f"{n_tested} strategies set beside {called}"
    corrected = f", corrected for {counted}" if n_tested > 1 else ""
    shown = "" if math.isnan(p) else f"; p {_p(p)}{corrected}"
    span = f"({_ends(row, rival)}{shown})"
    state = state_against(row, rival, facts)
    if state == "beats":
        return f"It beats {called} by {ahead:.4f} AUC {span}."
    if state == "is a guess above":
        return (
            f"It is ahead of {called} by {ahead:.4f} AUC {span}, which is no merit: it "
            "is itself not shown to be better than guessing."
        )
    if state == "is worse than":
        return f"It is worse than {called} by {-ahead:.4f} AUC {span}."
    but = ""
    if not row[f"over_{rival}_low"] <= 0 <= row[f"over_{rival}_high"]:
        but = "; p is corrected for so many comparisons, the interval is not"
    return f"It is not shown to differ from {called}: {ahead:+.4f} AUC {span}{but}."


def state_against(row: pd.Series, rival: str, facts: ComparisonFacts) -> str:
    """Return what may be said of a strategy beside another one.

    Parameters
    ----------
    row : Series
        Of the strategy, from the table of a comparison.
    rival : {"mean", "best_member", "chosen_member"}
    facts : ComparisonFacts

    Returns
    -------
    str
        "beats", "is a guess above", "is worse than" or "is not shown to differ from".
    """
    p = row[f"p_{rival}"]
    sure = math.isnan(p) or p < 1 - facts.level
    if sure and row[f"over_{rival}_low"] > 0:
        return "beats" if row["above_chance"] else "is a guess above"
    if sure and row[f"over_{rival}_high"] < 0:
        return "is worse than"
    return "is not shown to differ from"


def _who_the_best_is(table, facts):
    best = facts.best_member
    said = (
        f" That is {best}, {table.loc[best, 'auc']:.4f}, picked on these very videos, "
        "which makes it a hard opponent"
    )
    if CHOSEN_MEMBER not in table.index:
        return said + "."
    chosen = table.loc[CHOSEN_MEMBER, "auc"]
    return f"{said}; picked in training, as one would, a member reaches {chosen:.4f}."


def _automatic(table, name):
    row = table.loc[name]
    rivals = {
        "mean": "the mean",
        "chosen_member": "the member chosen in training",
        "best_member": "the best member",
    }
    said = ", ".join(
        f"{row[f'over_{rival}']:+.4f} over {called} ({_ends(row, rival)}; "
        f"p {_p(row[f'p_{rival}_alone'])})"
        for rival, called in rivals.items()
        if f"over_{rival}" in row
    )
    guess = (
        "" if row["above_chance"] else "; it is not shown to be better than guessing"
    )
    return (
        f"{name} chooses in training. It was not picked by this table, so that its p "
        f"values here are not corrected: {row['auc']:.4f}, {said}{guess}."
    )


def _after_choosing(facts, n_ours):
    anew = facts.chosen_anew
    if not anew:
        return []
    return [
        f"Picking the best of {n_ours} by this table flatters the pick: chosen on "
        "groups drawn at random and tested on the others it reaches "
        f"{anew['auc']:.4f}, {anew['over_mean']:+.4f} over the mean; "
        f"{anew['most often']} is picked in {anew['share']:.0%} of the draws."
    ]


def _probabilities(table, ours):
    surest = ours["log_loss"].idxmin()
    if surest == MEAN:
        return []
    row = table.loc[surest]
    span = (
        f"{_ends(row, 'mean', 'log_loss_over')}, uncorrected for the pick: "
        f"{row['log_loss']:.4f} against {table.loc[MEAN, 'log_loss']:.4f}"
    )
    if not row["log_loss_over_mean_high"] < 0:
        return [
            "As a probability none is shown to do better than the mean: the log loss "
            f"of {surest} differs by {row['log_loss_over_mean']:+.4f} ({span})."
        ]
    if not row["above_chance"]:
        return [
            f"The log loss of {surest} is below the mean's "
            f"({row['log_loss_over_mean']:+.4f}, {span}). That takes no knowledge of "
            "the videos: a constant score near the share of fakes can do it. By its "
            f"AUC {surest} is not shown to be better than guessing."
        ]
    return [
        f"As a probability {surest} does best; its log loss differs from the mean's by "
        f"{row['log_loss_over_mean']:+.4f} ({span})."
    ]


def _unseen(table, first, facts, by_value, seen):
    kind = PROTOCOLS[facts.protocol].unseen
    said = [] if seen is None else _whether_it_holds(table, first, kind, facts, seen)
    lines = by_value[(by_value["axis"] == "held out") & (by_value["strategy"] == first)]
    if first != MEAN:
        shown = "; ".join(
            f"{line['value']} {line['auc']:.4f}, {line['over_mean']:+.4f} "
            f"({_ends(line, 'mean')})"
            for _, line in lines.iterrows()
        )
        above = int((lines["over_mean_low"] > 0).sum())
        below = int((lines["over_mean_high"] < 0).sum())
        said.append(
            f"By {kind} held out, AUC of {first} and what it has over the mean: "
            f"{shown}. Of {len(lines)} intervals, each by itself, {above} lie above 0 "
            f"and {below} below."
        )
    if facts.compared == "scores":
        said.append(
            f"The members may have been fitted on the {kind}s held out; that only "
            "strategies were not is all that scores can show. Compare detectors and "
            "videos for more."
        )
    return said


def _whether_it_holds(table, first, kind, facts, seen):
    """Set strategies on what is unseen against themselves where it was seen."""
    ours = ensembles_of(table)
    change = ours[["over_seen", "over_seen_low", "over_seen_high"]]
    moved = (change.abs() > 1e-9).any(axis=1)
    said = []
    if first != MEAN and not moved[first]:
        said.append(
            f"{first[0].upper()}{first[1:]} ranks videos without having learned "
            f"anything, so that unseen {kind}s are to it what seen ones are."
        )
    learners = list(ours.index[moved])
    best_seen = [name for name in ensembles_of(seen).index if name in learners]
    told = [n for n in learners if n in facts.automatic] or learners[:1]
    return said + [
        _seen_and_unseen(name, kind, table, facts, seen)
        for name in dict.fromkeys(best_seen[:1] + told)
    ]


def _seen_and_unseen(name, kind, table, facts, seen):
    here, there = seen.loc[name], table.loc[name]
    states = [state_against(row, "mean", facts) for row in (here, there)]
    if states[0] == "beats":
        then = "it does so too" if states[1] == "beats" else "it does not"
    else:
        then = "it does" if states[1] == "beats" else "neither"
    if states[1] == "is worse than":
        then += ", and is worse"
    first = "beats" if states[0] == "beats" else "is not shown to beat"
    return (
        f"On {kind}s seen in training {name} {first} the mean, "
        f"{here['over_mean']:+.4f} AUC ({_ends(here, 'mean')}); under unseen "
        f"{kind}s {then}, "
        f"{there['over_mean']:+.4f} ({_ends(there, 'mean')}). On the same videos the "
        f"change is {there['over_seen']:+.4f} ({_ends(there, 'seen')})."
    )


def _worst(table, first, by_value):
    """Name where the first does worst, over what was held out or by first column."""
    if "worst_at" not in table or not isinstance(table.loc[first, "worst_at"], str):
        return []
    row = table.loc[first]
    axis = by_value["axis"].iloc[0]
    (line,) = by_value[
        (by_value["axis"] == axis)
        & (by_value["value"] == row["worst_at"])
        & (by_value["strategy"] == first)
    ].to_dict("records")
    what = "" if axis == "held out" else f"{axis} "
    few = f", of {line['n_fakes']} fakes" if line["n_fakes"] < FEW_GROUPS else ""
    return [
        f"Hardest is {what}{row['worst_at']}, where {first} reaches {line['auc']:.4f} "
        f"({line['auc_low']:.4f} to {line['auc_high']:.4f}{few})."
    ]


def _added(ablation, any_good=True):
    """Say which members the log-odds mean is shown to be better for.

    Where nothing is better than guessing, what takes less from it is not praised.
    """
    if ablation is None or len(ablation) < 2:
        return []
    adds = [f"{n} {_added_by(r)}" for n, r in _sorted(ablation[ablation.adds_low > 0])]
    harms = [
        f"{n} {_added_by(r)}" for n, r in _sorted(ablation[ablation.adds_high < 0])
    ]
    rest = ablation.index[~((ablation.adds_low > 0) | (ablation.adds_high < 0))]
    said = "Left out one by one of the log-odds mean, each interval by itself: "
    if not any_good:
        return [f"{said}shown to take AUC from it {', '.join(harms)}."] if harms else []
    parts = [f"shown to add AUC {', '.join(adds) or 'none'}"]
    parts += [f"shown to take from it {', '.join(harms)}"] if harms else []
    parts += [f"not shown to add any {', '.join(map(str, rest))}"] if len(rest) else []
    return [said + "; ".join(parts) + "."]


def _sorted(ablation):
    return ablation.sort_values("adds", ascending=False).iterrows()


def _added_by(row):
    return f"{row['adds']:+.4f} ({row['adds_low']:+.4f} to {row['adds_high']:+.4f})"


def _ends(row, rival, kind="over"):
    name = f"{kind}_{rival}"
    return f"{row[f'{name}_low']:+.4f} to {row[f'{name}_high']:+.4f}"


def _p(p):
    return "< 0.001" if p < 0.001 else f"{p:.2g}"
