"""`--train --test --scores`: learn from the reals of a folder, score a table."""

from pathlib import Path

import numpy as np
import pandas as pd
from goals import Goal
from members_parts.figures import measured
from members_parts.measuring import Measuring, OverBudget, Part
from members_parts.setup import kinds_of, together
from members_parts.together import (
    CHOSEN,
    ENSEMBLES,
    MEAN,
    learned_from,
    side_by_side,
)
from members_parts.videos import NOTHING, Footage

from ensemble.training_set import TrainingSet

_MOST_MINUTES = 30  # of CPU, a fit on all reals
_FAKE = ("FAKE", "1")
_KNOWN = ("REAL", "0", *_FAKE)


def score_table(options, sizes, store, folder):
    """Fit each member on all reals, and on folds of them for weights; score the CSV.

    Returns
    -------
    goals : list of Goal
    raw : dict
    """
    footage, names = Footage.of(options.train), options.members
    training = TrainingSet.of(
        footage.reals, np.zeros(len(footage.reals), int), footage.people, None
    )
    given = pd.read_csv(options.test, dtype=str)
    root = Path(options.test).parent
    videos = pd.DataFrame({
        "path": [str(root / path) for path in given["path"]],
        "set": "table",
        "label": given["label"].str.upper().isin(_FAKE).astype(int),
        "group": given["group"],
        "method": "fake",
        "level": "as it is",
    })  # fmt: skip
    kinds, held_out = kinds_of(sizes.seed)
    key = sizes.key(training.digests, list(given["path"]), options.folds)
    budget = None if options.budget is None else 60 * options.budget
    measuring = Measuring(
        training, held_out, sizes, store, folder / key / "scores", budget
    )
    rows = np.arange(len(training))
    whole = Part("all", rows, rows[:0], videos)
    parts = [whole]
    for number, people in enumerate(footage.folds(options.folds, sizes.seed)):
        is_mine = np.array([group in people for group in training.groups])
        parts.append(Part(f"fold{number}", rows[~is_mine], rows[is_mine], NOTHING))
    found = {}
    try:
        cost = {"looking": measuring.look(whole, kinds)}
        for part in parts:
            found[part.name] = {n: measuring.of(part, n, kinds) for n in names}
    except OverBudget:
        raise SystemExit(
            "the budget is spent: with --cache the next run goes on"
        ) from None
    scores = {p: {n: t for n, (t, _) in f.items()} for p, f in found.items()}
    table, learned = _together(scores, together(names))
    cost |= {name: found["all"][name][1] for name in names}
    for name in names:  # what weights cost on top
        cost[name]["folds"] = sum(found[p.name][name][1]["fit"] for p in parts[1:])
    return _written(options, given, table, names, cost, learned, found["all"])


def _together(scores, names):
    """Scores of the table by members and ensembles that learned from held-out reals."""
    table = side_by_side({"all": scores.pop("all")})
    known = side_by_side(scores)
    combiners, chosen = learned_from(known, names)
    scored = table[names].notna().any(axis=1)
    for name in ENSEMBLES:
        rows = table.loc[scored, names]
        rows = rows.to_numpy() if name == MEAN else rows
        table[name] = np.nan
        table.loc[scored, name] = combiners[name].fake_score(rows)
    table[CHOSEN] = table[chosen]
    weights = combiners[ENSEMBLES[-1]].weights_
    return table, {
        "chosen": chosen,
        "weights": dict(zip(names, weights.tolist(), strict=True)),
    }


def _written(options, given, table, names, cost, learned, found):
    columns = [*names, *ENSEMBLES, CHOSEN]
    result = given[["path", "label", "group"]].copy()
    result[columns] = table[columns].to_numpy()
    result.to_csv(options.scores, index=False)
    out = Path(options.scores)
    costs = pd.DataFrame.from_dict(cost, orient="index").rename_axis("member")
    costs.columns = [f"cpu_seconds_{name}" for name in costs]
    costs.to_csv(out.with_name(f"{out.stem}_costs.csv"))
    for name, (scores, _) in found.items():
        for path, why in zip(scores["path"], scores["reason"], strict=True):
            if why and name == names[0]:
                print(f"no score, or in doubt: {path}: {why}")
    known = given["label"].str.upper().isin(_KNOWN).to_numpy()
    figures = measured(table[known], columns)
    print(figures.round(3).to_string(index=False))
    print(f"\n{costs.round(2).to_string()}\n\nlearned: {learned}")
    goals = [
        Goal.at_most(f"{n}: minutes of CPU a fit", cost[n]["fit"] / 60, _MOST_MINUTES)
        for n in names
    ]
    raw = {"figures": figures.to_dict("records"), "costs": cost, "learned": learned}
    return goals, raw
