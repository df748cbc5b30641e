"""Ensembles of the members of each fold, learned from the reals of the other folds."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ensemble.combiners import SpreadLogOdds, Voting
from ensemble.out_of_fold.reals_only import fit_spread

MEAN, SPREAD, WEIGHED = "mean of log-odds", "in spreads", "in spreads, weighed"
CHOSEN = "chosen beforehand"
ENSEMBLES = (MEAN, SPREAD, WEIGHED)


def side_by_side(parts):
    """One table of what all members say.

    Parameters
    ----------
    parts : dict of str to dict of str to DataFrame
        Scores by part and member.

    Returns
    -------
    DataFrame
        The rows of the parts, a column for each member, ``part`` beside them.
    """
    tables = []
    for part, members in parts.items():
        first = next(iter(members.values()))
        about = first.drop(columns=["score", "reason"])
        scores = {name: table["score"].to_numpy() for name, table in members.items()}
        if clash := sorted({*scores, "part"} & {*about}):
            raise ValueError(f"members cannot be called {clash}, as columns are")
        tables.append(about.assign(part=part, **scores))
    return pd.concat(tables, ignore_index=True)


def learned_from(known, names):
    """Fit ensembles, and choose a member, on reals and pseudo-fakes that were held out.

    Parameters
    ----------
    known : DataFrame
        Of other folds; of each real one a pseudo-fake is taken, by its kinds in turn.
    names : list of str
        Members.

    Returns
    -------
    combiners : dict of str to combiner
    chosen : str
        The member with the highest AUC on these pseudo-fakes.
    """
    known = known[known["set"] == "made"]
    reals = known[known["label"] == 0].reset_index(drop=True)
    fakes = known[known["label"] == 1]
    kinds = sorted(set(fakes["method"]))
    in_turn = pd.DataFrame({
        "path": reals["path"],
        "method": [kinds[row % len(kinds)] for row in range(len(reals))],
    })  # fmt: skip
    made = in_turn.merge(fakes, on=["path", "method"], how="left")[names].to_numpy()
    groups = reals["group"].to_numpy()
    combiners = {MEAN: mean_of_log_odds(len(names))}
    for name, some in ((SPREAD, None), (WEIGHED, made)):
        combiners[name] = fit_spread(SpreadLogOdds(), reals[names], some, groups)[0]
    areas = {name: _area(reals[name], fakes[name]) for name in names}
    return combiners, max(areas, key=areas.get)


def add_ensembles(table, names):
    """Add columns of the ensembles, and of the member chosen beforehand.

    Parameters
    ----------
    table : DataFrame
        As `side_by_side` gives it.
    names : list of str
        Members.

    Returns
    -------
    table : DataFrame
    learned : dict of str to dict
        Of each part the weights and the chosen member. With one part nothing is
        learned: it would be from the people who are scored.
    """
    parts, learned = table["part"].unique(), {}
    table = table.assign(**{MEAN: np.nan})
    scored = table[names].notna().any(axis=1)
    table.loc[scored, MEAN] = mean_of_log_odds(len(names)).fake_score(
        table.loc[scored, names].to_numpy()
    )
    if len(parts) < 2:
        return table, learned
    for part in parts:
        known, mine = table["part"] != part, (table["part"] == part) & scored
        combiners, chosen = learned_from(table[known], names)
        for name in (SPREAD, WEIGHED):
            table.loc[mine, name] = combiners[name].fake_score(table.loc[mine, names])
        table.loc[mine, CHOSEN] = table.loc[mine, chosen]
        weights = dict(zip(names, combiners[WEIGHED].weights_.tolist(), strict=True))
        learned[str(part)] = {"weights": weights, "chosen": chosen}
    return table, learned


def mean_of_log_odds(n_members):
    """A vote learns nothing: the two rows are there because it wants both labels."""
    return Voting().fit([[0.0] * n_members, [1.0] * n_members], [0, 1])


def _area(reals, fakes):
    reals, fakes = reals.dropna(), fakes.dropna()
    if reals.empty or fakes.empty:
        return 0.0
    y = np.repeat([0, 1], [len(reals), len(fakes)])
    return roc_auc_score(y, np.concatenate([reals, fakes]))
