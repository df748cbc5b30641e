"""Says in words what a comparison's figures allow to say, and no more."""

import math

from ensemble.strategies import AUTO, CHOSEN_MEMBER, MEAN

_FEW_GROUPS = 30
_UNSEEN = {
    "leave-method-out": "method",
    "leave-source-out": "source",
    "leave-dataset-out": "data set",
}


def put_in_words(table, how, by_value, seen=None):
    """Return the verdict, one thought a line.

    "Beats" is said only where the interval of the paired difference excludes 0 and the
    p-value, corrected for all strategies that were tried, is below 1 less the level.

    Parameters
    ----------
    table : DataFrame
        One row a member or strategy, as in `ensemble.comparison.Comparison`.
    how : dict
    by_value : DataFrame
    seen : DataFrame or None, default=None
        The table of the same strategies on unseen groups alone, where this one is of
        unseen methods, sources or data sets.

    Returns
    -------
    str
    """
    ours = _ours(table)
    first = ours.index[0]
    lines = [_headline(table, ours, first, how)]
    if first != MEAN:
        lines.append(_against(table, first, "mean", "the plain mean", how))
    lines.append(
        _against(table, first, "best_member", "the best member", how)
        + _who_the_best_is(table, how)
    )
    if AUTO in ours.index and first != AUTO:
        lines.append(_automatic(table, how))
    lines += _after_choosing(how, len(ours))
    lines += _probabilities(table, ours)
    if how["protocol"] in _UNSEEN:
        lines += _unseen(table, first, how, by_value, seen)
    return "\n".join(lines + _caveats(how))


def _ours(table):
    """Ensembles that are more than what they are measured against, best first."""
    plain = table.index.isin([MEAN, CHOSEN_MEMBER])
    ours = table[(table["kind"] == "strategy") & ~plain]
    return table.loc[[MEAN]] if ours.empty else ours


def _headline(table, ours, first, how):
    row = table.loc[first]
    among = f", the highest of {len(ours)} strategies" if len(ours) > 1 else ""
    said = (
        f"{_where(how)} ({how['n_videos_judged']} videos, {how['n_groups_judged']} "
        f"groups) {first} reaches an AUC of {row['auc']:.4f} ({how['level']:.0%} "
        f"interval {row['auc_low']:.4f} to {row['auc_high']:.4f}){among}."
    )
    best = how["best member"]
    if row["auc"] <= table.loc[best, "auc"]:
        said += f" No ensemble is above the best member, {best}."
    return said


def _where(how):
    who = "nothing was" if how["nesting"] == "exact" else "no strategy was"
    kind = _UNSEEN.get(how["protocol"])
    if kind is None and how["protocol"] == "time-holdout":
        return (
            f"On videos from {how['first judged']} on, of groups that {who} fitted on,"
        )
    if kind is None:
        return f"On groups that {who} fitted on"
    # members of a table may have been fitted on what is held out, wherever they were
    who = "nothing was" if how["from"] == "detectors" else "no strategy was"
    return f"On {kind}s and groups that {who} fitted on"


def _against(table, first, rival, called, how):
    row = table.loc[first]
    n_tested = int(table[f"p_{rival}"].notna().sum())
    ahead, p = row[f"over_{rival}"], row[f"p_{rival}"]
    if not math.isfinite(row[f"over_{rival}_low"]):
        return f"Whether {first} beats {called} cannot be told with so few groups."
    corrected = f", corrected for {n_tested} strategies" if n_tested > 1 else ""
    shown = "" if math.isnan(p) else f"; p {_p(p)}{corrected}"
    span = f"({_ends(row, rival)}{shown})"
    state = _state(row, rival, how)
    if state == "beats":
        return f"It beats {called} by {ahead:.4f} AUC {span}."
    if state == "is worse than":
        return f"It is worse than {called} by {-ahead:.4f} AUC {span}."
    but = ""
    if not row[f"over_{rival}_low"] <= 0 <= row[f"over_{rival}_high"]:
        but = ", the interval being that of one comparison and not of the pick of many"
    return f"It is not shown to differ from {called}: {ahead:+.4f} AUC {span}{but}."


def _state(row, rival, how):
    p = row[f"p_{rival}"]
    sure = math.isnan(p) or p < 1 - how["level"]
    if sure and row[f"over_{rival}_low"] > 0:
        return "beats"
    if sure and row[f"over_{rival}_high"] < 0:
        return "is worse than"
    return "is not shown to differ from"


def _who_the_best_is(table, how):
    best = how["best member"]
    said = (
        f" That is {best}, {table.loc[best, 'auc']:.4f}, picked on these very videos, "
        "which makes it a hard opponent"
    )
    if CHOSEN_MEMBER not in table.index:
        return said + "."
    chosen = table.loc[CHOSEN_MEMBER, "auc"]
    return f"{said}; picked in training, as one would, a member reaches {chosen:.4f}."


def _automatic(table, how):
    row = table.loc[AUTO]
    said = " and ".join(
        f"{row[f'over_{rival}']:+.4f} over {called} ({_ends(row, rival)}; "
        f"p {_p(row[f'p_{rival}_alone'])})"
        for rival, called in (("mean", "the mean"), ("best_member", "the best member"))
    )
    return (
        f"{AUTO} chooses in training, so that its figures need no correction for "
        f"having been picked here: {row['auc']:.4f}, {said}."
    )


def _after_choosing(how, n_ours):
    anew = how.get("chosen anew")
    if not anew:
        return []
    return [
        f"Picking the best of {n_ours} by this table flatters the pick: chosen on "
        "groups drawn at random and judged on the others it reaches "
        f"{anew['auc']:.4f}, {anew['over_mean']:+.4f} over the mean; "
        f"{anew['most often']} is picked in {anew['share']:.0%} of the draws."
    ]


def _probabilities(table, ours):
    surest = ours["log_loss"].idxmin()
    if surest == MEAN:
        return []
    return [
        f"As a probability {surest} does best, with a log loss of "
        f"{ours.loc[surest, 'log_loss']:.4f} against {table.loc[MEAN, 'log_loss']:.4f} "
        "of the mean."
    ]


def _unseen(table, first, how, by_value, seen):
    kind = _UNSEEN[how["protocol"]]
    said = []
    if seen is not None:
        said += [
            _seen_and_unseen(name, kind, table, how, seen)
            for name in dict.fromkeys([_ours(seen).index[0], first])
            if name != MEAN
        ]
    of_first = (by_value["axis"] == "held out") & (by_value["strategy"] == first)
    lines = by_value[of_first]
    if first != MEAN:
        shown = ", ".join(
            f"{line['value']} {line['over_mean']:+.4f} ({_ends(line, 'mean')})"
            for _, line in lines.iterrows()
        )
        above = int((lines["over_mean_low"] > 0).sum())
        below = int((lines["over_mean_high"] < 0).sum())
        said.append(
            f"{_capital(first)} less the mean, by {kind} held out: {shown}; of "
            f"{len(lines)} intervals {above} lie above 0 and {below} below."
        )
    hardest = lines.loc[lines["auc"].idxmin()]
    said.append(
        f"Hardest is {hardest['value']}, where {first} reaches {hardest['auc']:.4f} "
        f"({hardest['auc_low']:.4f} to {hardest['auc_high']:.4f})."
    )
    if how["from"] == "scores":
        said.append(
            f"The members may have been fitted on the {kind}s held out; that only "
            "strategies were not is all that scores can show. Compare detectors and "
            "videos for more."
        )
    return said


def _seen_and_unseen(name, kind, table, how, seen):
    here, there = seen.loc[name], table.loc[name]
    states = [_state(row, "mean", how) for row in (here, there)]
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
        f"{there['over_mean']:+.4f} ({_ends(there, 'mean')})."
    )


def _caveats(how):
    said = []
    if how["nesting"] == "stored":
        said.append(
            "Approximate: the scores learned from are out of fold, of detectors that "
            "saw the judged labels, which reads slightly too well; detectors and "
            "videos with nesting='exact' do not."
        )
    elif how["nesting"] == "unstated":
        said.append(
            "Where the scores come from is not stated: if no detector was fitted on "
            "these videos this is exact (nesting='exact'); if they are out of fold it "
            "is approximate and reads slightly too well (nesting='stored')."
        )
    if how["coverage"] < 1:
        said.append(
            f"All were judged on the {how['coverage']:.1%} of the videos that everyone "
            "has scored."
        )
    if how.get("not judged"):
        said.append("Not judged: " + ", ".join(map(str, how["not judged"])) + ".")
    if how.get("left aside"):
        said.append(
            f"{how['left aside']} earlier videos were left aside: their groups come "
            "later too."
        )
    if how["n_groups_judged"] < _FEW_GROUPS:
        said.append(
            f"With {how['n_groups_judged']} groups to judge on, intervals and p-values "
            "are rough."
        )
    if not how["groups given"]:
        said.append(
            "No groups were given: if two videos share a person or a source, all this "
            "is too good."
        )
    return said


def _ends(row, rival):
    return f"{row[f'over_{rival}_low']:+.4f} to {row[f'over_{rival}_high']:+.4f}"


def _p(p):
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _capital(text):
    return text[0].upper() + text[1:]
