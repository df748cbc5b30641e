"""Simulate certificates of cascades: does the rate hold as often as is promised?

    python examples/benchmarks/certificates.py --repeats 300 --json results.json

Each repeat draws groups of videos from a known population of scores, fits an ensemble
on them, and has its cascade certified for a rate, with doubts and without. Then it
draws many groups more: how many verdicts of the cascade really differ from those of all
members? A certificate is broken where more do than it says. With a confidence of 95 %
that may happen in 5 % of the repeats.

Whether a video is settled is found for a whole table at once, by the functions that the
library calls video by video. In each repeat some rows are settled by the library
itself, and the script ends with an error if one differs.
"""

import argparse
import copy
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from cascade import members_of, video
from goals import Goal, machine, write
from scipy.stats import binom

from ensemble import DeepfakeEnsemble
from ensemble.cascade.certificate import (
    CONFIDENCE,
    agreement,
    certified_limit,
    verdict_and_distance,
)
from ensemble.cascade.settling import Settling
from ensemble.choices import UNSURE
from ensemble.out_of_fold.ensemble_scores import log_odds, out_of_fold_of
from ensemble.verdicts.asked import settled_after
from ensemble.verdicts.doubts import most_apart, standing_doubts

NAMES = ["a", "b", "c", "d"]
RATE = 0.05
FEW, MANY = 200, 1000  # new groups; the second where the first come near the rate
CHECKED = 8  # rows of each repeat that the library settles itself


@dataclass(frozen=True)
class Population:
    """Where scores of four members come from, in log-odds.

    Attributes
    ----------
    quality : tuple of float
        Of each member: the distance of a class from 0.
    own, common, of_group : float
        Standard deviation of what is a member's own error, of what it has in common
        with the others on a video, and of what all have on a group.
    gaps, odd : float
        Share of scores that are missing, and of videos of which one member says
        something quite different.
    most_videos : int
        A group has from one to so many.
    n_groups : int
        To learn from.
    """

    quality: tuple = (2.5, 2.0, 1.5, 0.7)
    own: float = 1.0
    common: float = 0.7
    of_group: float = 0.7
    gaps: float = 0.01
    odd: float = 0.02
    most_videos: int = 4
    n_groups: int = 120

    def draw(self, n_groups, draw):
        """Return a table of scores with label and group."""
        sizes = draw.integers(1, self.most_videos + 1, n_groups)
        group = np.repeat(np.arange(n_groups), sizes)
        label = draw.permutation(np.arange(n_groups) % 2)[group]
        shape = (len(group), len(NAMES))
        odds = (2 * label - 1)[:, None] * np.array(self.quality)
        odds = odds + self.own * draw.normal(size=shape)
        odds += self.common * draw.normal(size=(len(group), 1))
        odds += self.of_group * draw.normal(size=n_groups)[group, None]
        rows = np.flatnonzero(draw.random(len(group)) < self.odd)
        odds[rows, draw.integers(0, len(NAMES), len(rows))] *= -2
        scores = 1 / (1 + np.exp(-odds))
        missing = draw.random(shape) < self.gaps
        scores[missing & ~missing.all(axis=1, keepdims=True)] = np.nan
        table = pd.DataFrame(scores, columns=[f"p_{name}" for name in NAMES])
        return table.assign(label=label, group=group)


POPULATIONS = {
    "usual": Population(),
    "hard": Population(gaps=0.05, odd=0.08, most_videos=2, n_groups=240),
    "hard, single videos": Population(gaps=0.05, odd=0.08, most_videos=1, n_groups=360),
}


def fitted(table, n_rows, combiner, rate):
    """Fit an ensemble on the first rows of a table; its members know all of them."""
    model = DeepfakeEnsemble(
        members_of(table), resampling=5, combiner=combiner, verbose=False
    )
    train = table.iloc[:n_rows]
    model.fit(
        [video(row) for row in range(n_rows)],
        train["label"].to_numpy(),
        groups=train["group"].to_numpy(),
    )
    return model.set_params(cascade=rate)


def settled_rows(settling, table):
    """Say after how many members each row is settled; 0 where all are asked.

    Parameters
    ----------
    settling : Settling
    table : DataFrame of shape (n_videos, n_members)
    """
    model, cascade, limit = settling.model, settling.cascade, settling.limit
    evidence, seen = out_of_fold_of(model), model.oof_scores_
    inside = table.ge(seen.min()) & table.le(seen.max())  # not where one is missing
    found = np.zeros(len(table), int)
    for n, stage in enumerate(cascade.stages, start=1):
        asked = cascade.asked_after(n)
        if stage is None or standing_doubts(model, table.columns.isin([*asked])):
            continue
        may = (found == 0) & inside[[*asked]].all(axis=1).to_numpy()
        odds = log_odds(table[[name for name in asked if name in evidence.deciding]])
        if odds.shape[1] > 1:
            may &= ~(np.ptp(odds, axis=1) > most_apart(evidence))
        rows = np.flatnonzero(may)
        if not len(rows):
            continue
        part = table.iloc[rows]
        p_fake = stage.p_fake(model, part[[name for name in table if name in asked]])
        sure = verdict_and_distance(model.thresholds_, p_fake)[1] / limit.spreads[n - 1]
        if settling.doubts:
            own = agreement(evidence, stage, asked, part[[*asked]].to_numpy())
            sure = np.minimum(sure, own)
        found[rows[sure >= limit.margin]] = n
    return found


def check(settling, table, found):
    """Have the library settle rows by itself.

    Raises
    ------
    RuntimeError
        If it does not stop where `settled_rows` does.
    """
    for scores, n in zip(table.to_numpy(), found, strict=True):
        turns = range(1, len(NAMES))
        stops = [m for m in turns if settling.is_settled(scores, m, lambda: None)]
        if next(iter(stops), 0) != n:
            raise RuntimeError(f"{scores} is settled after {stops[:1]}, and not {n}")


def as_left(table, found, order):
    """Return the scores of rows as the cascade leaves them, with its reasons."""
    left, reasons = table.copy(), {name: {} for name in table}
    for n in np.unique(found[found > 0]):
        rows = table.index[found == n]
        for name in order[n:]:
            left.loc[rows, name] = np.nan
            reasons[name] |= dict.fromkeys(rows, settled_after(order[:n]))
    left.attrs["reason"] = reasons
    return left


def differing(model, doubts, table, groups):
    """Return which share of verdicts differs, by group, and members asked.

    Returns
    -------
    float, float, float
        Also the share of videos that the doubts made UNSURE to all members.
    """
    settling = Settling(model, doubts)
    found = settled_rows(settling, table)
    check(settling, table.iloc[:CHECKED], found[:CHECKED])
    left = as_left(table, found, settling.cascade.order)
    stopped = found > 0
    said, full = (verdicts(model, _rows(t, stopped), doubts) for t in (left, table))
    differs = np.zeros(len(table))
    differs[stopped] = said != full
    asked = np.where(stopped, found, len(NAMES)).mean()
    by_group = pd.Series(differs).groupby(groups).mean()
    return float(by_group.mean()), float(asked), float((full == UNSURE).mean())


def verdicts(model, table, doubts):
    if doubts:
        return model.judge_scores(table)["verdict"].to_numpy()
    return model.thresholds_.verdicts(model.combine(table))


def _rows(table, rows):
    part = table[rows]
    part.attrs = table.attrs
    return part


def repeat(population, combiner, seed, rate=RATE):
    """Learn from one draw; return for each setting how often verdicts differ."""
    draw = np.random.default_rng(seed)
    train, new = (population.draw(n, draw) for n in (population.n_groups, FEW))
    model = fitted(pd.concat([train, new]), len(train), combiner, rate)
    rows = []
    for doubts in (True, False):
        limit = certified_limit(copy.copy(model), doubts)
        row = {"doubts": doubts, "certified": not np.isnan(limit.margin)}
        if row["certified"]:
            more = new
            row["differ"], row["asked"], _ = measured = of_new(model, doubts, new)
            if row["differ"] > rate / 2:  # near enough to be measured well
                more = population.draw(MANY, draw)
                row["differ"], row["asked"], _ = measured = of_new(model, doubts, more)
            row |= {"margin": limit.margin, "n_new": len(more), "unsure": measured[2]}
        rows.append(row)
    return rows


def of_new(model, doubts, new):
    """Measure a cascade on new videos: see `differing`."""
    table = new[[f"p_{name}" for name in NAMES]].set_axis(NAMES, axis=1)
    table.index = [f"new {row}" for row in range(len(table))]
    return differing(model, doubts, table, new["group"].to_numpy())


def most_broken(n_repeats):
    """Return how many of some certificates chance may break, 99 times of 100."""
    return int(binom.ppf(0.99, n_repeats, 1 - CONFIDENCE))


def summary_of(figures, rate=RATE):
    """Count what was certified and what was broken, by setting."""
    figures = figures.assign(broken=figures["differ"] > rate)
    by = figures.groupby(["population", "combiner", "doubts"], sort=False)
    return pd.DataFrame(
        {
            "repeats": by.size(),
            "certified": by["certified"].sum(),
            "broken": by["broken"].sum(),
            "differ": by["differ"].mean(),
            "worst": by["differ"].max(),
            "asked": by["asked"].mean(),
            "margin": by["margin"].mean(),
        }
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--combiners", nargs="+", default=["logistic", "soft"])
    parser.add_argument(
        "--populations", nargs="+", default=[*POPULATIONS], choices=[*POPULATIONS]
    )
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    print(machine())
    warnings.simplefilter("ignore")
    figures = pd.DataFrame(
        [
            {"population": name, "combiner": combiner, "seed": seed} | row
            for name in options.populations
            for combiner in options.combiners
            for seed in range(options.repeats)
            for row in repeat(POPULATIONS[name], combiner, seed)
        ]
    )
    summary = summary_of(figures)
    print(summary.round(4).to_string())
    goals = [
        Goal.at_most(
            f"{name}, {combiner}, doubts={doubts}: certificates of "
            f"{row['repeats']:.0f} that are broken",
            row["broken"],
            most_broken(options.repeats),
        )
        for (name, combiner, doubts), row in summary.iterrows()
    ]
    write(goals, {"figures": figures.to_dict("records")}, options.json)


if __name__ == "__main__":
    main()
