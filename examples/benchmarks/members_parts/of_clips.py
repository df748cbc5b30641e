"""`--clips`: members and ensembles on forgeries of people whom they do not know."""

import numpy as np
import pandas as pd
from goals import Goal
from members_parts.figures import ahead, as_page, measured, sections
from members_parts.measuring import Measuring, OverBudget, Part
from members_parts.setup import (
    ABLATED,
    MEASURING,
    ablated_kinds,
    kinds_of,
    together,
)
from members_parts.together import (
    CHOSEN,
    MEAN,
    SPREAD,
    WEIGHED,
    add_ensembles,
    mean_of_log_odds,
    side_by_side,
)
from members_parts.videos import NOTHING, Footage, fold_videos

from ensemble.metrics import diversity
from ensemble.training_set import TrainingSet

_MOST_MINUTES = 30  # of CPU, a fit


def measure_clips(options, sizes, store, folder):
    """Measure all that is asked for and not yet kept; print tables of what there is.

    Returns
    -------
    goals : list of Goal
    raw : dict
    """
    footage = Footage.of(options.clips)
    folds = footage.folds(options.folds, sizes.seed)
    training = TrainingSet.of(
        footage.reals, np.zeros(len(footage.reals), int), footage.people, None
    )
    kinds, held_out = kinds_of(sizes.seed)
    key = sizes.key(training.digests, list(footage.generated["path"]), options.folds)
    budget = None if options.budget is None else 60 * options.budget
    measuring = Measuring(
        training, held_out, sizes, store, folder / key / "scores", budget
    )
    print(
        f"{len(folds)} folds of {len(footage.reals)} reals, "
        f"{len(footage.generated)} generated; learned: {', '.join(kinds.shares())}; "
        f"held out: {', '.join(held_out.shares())}"
    )
    chosen = list(range(len(folds))) if options.fold is None else options.fold
    parts, variants = [], ablated_kinds() if options.ablation else {}
    try:
        for number in sorted(range(len(folds)), key=lambda n: n not in chosen):
            if number in chosen:
                clips = folder / key / "clips" / f"fold{number}"
                name = f"fold{number}"
                videos = fold_videos(footage, number, folds, sizes, clips)
            else:  # for weights alone
                name, videos = f"fold{number}-reals", NOTHING
            is_mine = np.array([person in folds[number] for person in training.groups])
            rows = np.flatnonzero(~is_mine), np.flatnonzero(is_mine)
            parts.append(Part(name, *rows, videos))
            if number in chosen:
                measuring.look(parts[-1], kinds)
        for name in options.members:
            for part in parts:  # a member in all folds, then the next
                measuring.of(part, name, kinds)
        asked = parts[: len(chosen)]
        for part, variant, name in _ablated(asked, variants, options.members):
            measuring.of(part, name, variants[variant], variant)
    except OverBudget:
        print("the budget is spent: the same command with more of it goes on")
    return _report(measuring, parts, options.members, variants)


def _ablated(parts, variants, members):
    """Measuring members in all folds, the network in the first."""
    for part in parts:
        for name in ABLATED:
            if name in members and (name in MEASURING or part is parts[0]):
                yield from ((part, variant, name) for variant in variants)


def _report(measuring, parts, names, variants):
    """Print what is known of the members that were measured in all of the parts."""
    found = {
        name: [measuring.found(part.name, name) for part in parts] for name in names
    }
    names = [name for name in names if parts and None not in found[name]]
    if not names:
        return [], {}
    scores = {
        part.name: {name: found[name][number][0] for name in names}
        for number, part in enumerate(parts)
    }
    table, learned = add_ensembles(side_by_side(scores), together(names))
    columns = [*names, MEAN, *([SPREAD, WEIGHED, CHOSEN] if learned else [])]
    figures = measured(table, columns)
    for group in _tables(figures):
        print("\n" + "\n".join(as_page(figures, columns, group)))
    counts = figures.drop_duplicates("section")[["section", "n_real", "n_fake"]]
    print("\n" + counts.to_string(index=False))
    print(f"\nparts: {', '.join(scores)}; learned: {learned}")
    missing = {n: int(table[n].isna().sum()) for n in names if table[n].isna().any()}
    print(f"without a score, of {len(table)}: {missing}")
    forged = table[(table["set"] == "forged") & table[names].notna().all(axis=1)]
    if len(names) > 1:
        print("\nwhich members differ, on forgeries:")
        print(diversity(forged[names], forged["label"]).round(2).to_string())
    pairs = _comparisons(table, columns, learned)
    kinds = _ablation(measuring, parts, variants)
    costs = _costs(measuring, parts, found, names)
    raw = {
        "figures": figures.to_dict("records"),
        "ahead": pairs,
        "ablation": kinds,
        "costs": costs,
        "learned": learned,
    }
    return _goals(pairs, costs), raw


def _tables(figures):
    """Sections that stand side by side in one table."""
    names = list(dict.fromkeys(figures["section"]))
    for level in ("c23", "c40"):
        yield [name for name in names if name.endswith(level)]
    yield [name for name in names if name.startswith("pseudo") or name == "generated"]


def _comparisons(table, columns, learned):
    """Paired: the ensemble and the member chosen beforehand; spread; weights."""
    if not learned:
        return []
    table = table[table[columns].notna().all(axis=1)]  # the videos of the tables
    asked = (
        (WEIGHED, CHOSEN), (SPREAD, CHOSEN), (MEAN, CHOSEN), (SPREAD, MEAN),
        (WEIGHED, SPREAD),
    )  # fmt: skip
    rows = []
    for one, other in asked:
        for section, here in sections(table).items():
            gain, low, high = ahead(table, one, other, here)
            rows.append({"of": one, "over": other, "section": section,
                         "ahead": gain, "low": low, "high": high})  # fmt: skip
    print("\nahead by (95 %, paired, by group):")
    print(pd.DataFrame(rows).round(3).to_string(index=False))
    return rows


def _ablation(measuring, parts, variants):
    """What learning from all kinds adds to learning without each of them."""
    rows = []
    for name in (*ABLATED, MEAN):
        found = _variant_scores(measuring, parts, variants, name)
        if not found:
            continue
        table = side_by_side(found)
        forged = (table["set"] == "forged").to_numpy()
        whole, *others = variants
        for other in others:
            gain, low, high = ahead(table, whole, other, forged)
            rows.append({"of": name, "over": other, "parts": len(found),
                         "ahead": gain, "low": low, "high": high})  # fmt: skip
    if rows:
        print("\nall kinds ahead of those without one, forgeries of c23 and c40:")
        print(pd.DataFrame(rows).round(3).to_string(index=False))
    return rows


def _variant_scores(measuring, parts, variants, name):
    """Scores by part and variant, of a member or of the mean of those there are."""
    names, found = ABLATED if name == MEAN else (name,), {}
    for part in parts:
        of_part = {}
        for variant in variants:
            kept = [measuring.found(part.name, f"{n} {variant}") for n in names]
            kept = [one[0] for one in kept if one is not None]
            if len(kept) < len(names):
                break
            columns = np.column_stack([table["score"] for table in kept])
            of_part[variant] = kept[0].assign(score=_mean(columns))
        if variants and len(of_part) == len(variants):
            found[part.name] = of_part
    return found


def _mean(columns):
    if columns.shape[1] == 1:
        return columns[:, 0]
    score, known = np.full(len(columns), np.nan), ~np.isnan(columns).all(axis=1)
    score[known] = mean_of_log_odds(columns.shape[1]).fake_score(columns[known])
    return score


def _costs(measuring, parts, found, names):
    looks = [measuring.looked(part.name) for part in parts if len(part.videos)]
    costs = {"looking": {
        "fit": max(look["fit"] for look in looks),  # the first looked for all
        "video": float(np.mean([look["video"] for look in looks])),
    }}  # fmt: skip
    for name in names:
        kept = [cost for _, cost in found[name]]
        costs[name] = {
            "fit": max(cost["fit"] for cost in kept),  # another part may have it fitted
            "video": float(np.mean([c["video"] for c in kept if "video" in c])),
        }
    print(f"\n{'':12} {'CPU minutes a fit':>18} {'CPU seconds a video':>20}")
    for name, cost in costs.items():
        print(f"{name:12} {cost['fit'] / 60:18.2f} {cost['video']:20.3f}")
    return costs


def _goals(pairs, costs):
    goals = [
        Goal.at_most(f"{name}: minutes of CPU a fit", cost["fit"] / 60, _MOST_MINUTES)
        for name, cost in costs.items()
        if name != "looking"
    ]
    ours = [
        row
        for row in pairs
        if (row["of"], row["over"]) == (WEIGHED, CHOSEN)
        and row["section"].startswith("forged")
    ]
    text = "the ensemble over the member chosen beforehand"
    for row in ours:
        high, where = row["high"], row["section"]
        goals.append(Goal(f"{where}: {text}, upper end", high, 0, bool(high >= 0)))
    if ours:
        best = max(row["low"] for row in ours)
        goals.append(Goal(f"{text}, best lower end", best, 0, bool(best > 0)))
    return goals
