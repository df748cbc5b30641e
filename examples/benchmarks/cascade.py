"""Measure cascades on score tables: members asked, verdicts that differ, AUC lost.

    python examples/benchmarks/cascade.py ffpp_4detectors.csv --json results.json
    python examples/benchmarks/cascade.py asvspoof19.csv.gz --learn-from part=dev

Members say what stands in the columns p_* of the table. Groups are held out by folds:
the ensemble, its cascade and the certificate learn from the others. With --learn-from,
rows of other values are never learned from and are measured apart, such as attacks
that nobody has seen. Beside the verdict of all members: how many verdicts differ, by
how much the AUC falls, and how many members were asked of a video.
"""

import argparse
import warnings
from functools import partial

import numpy as np
import pandas as pd
from goals import Goal, machine, write
from sklearn.metrics import roc_auc_score

from base_models import CallableDetector
from ensemble import DeepfakeEnsemble
from ensemble.resampling import StratifiedGroupFolds


def video(row):
    """A video that holds the number of its row."""
    frames = np.zeros((2, 2, 2, 3), np.uint8)
    frames[:, 0, 0] = row // 65536, row // 256 % 256, row % 256
    return frames


def column_said(column, videos):
    """What a column says of videos."""
    place = [int(v[0, 0, 0] @ np.array([65536, 256, 1])) for v in videos]
    return column[place]


def members_of(table):
    return {
        name.removeprefix("p_"): CallableDetector(partial(column_said, column))
        for name, column in table.filter(like="p_").to_dict("series").items()
        for column in [column.to_numpy(float)]
    }


def measure(table, learn, held_out, combiner, rates):
    """Learn from some rows; return figures of each setting on those held out."""
    is_fake = table["label"].to_numpy()
    groups = table["group"].to_numpy()
    model = DeepfakeEnsemble(
        members_of(table), resampling=5, combiner=combiner, calibration="platt",
        verbose=False,
    )  # fmt: skip
    model.fit([video(row) for row in learn], is_fake[learn], groups=groups[learn])
    videos, rows = [video(row) for row in held_out], []
    for doubts in (True, False):
        model.set_params(cascade=None)
        full = model.judge(videos, doubts=doubts)
        for cascade in ("exact", *rates):
            if cascade == "exact" and doubts:
                continue  # asks everybody: any member could raise a doubt
            model.set_params(cascade=cascade)
            judged = model.judge(videos, doubts=doubts)
            asked = judged["members_asked"].str.count(", ") + 1
            truth = is_fake[held_out]
            rows.append(
                {
                    "doubts": doubts,
                    "cascade": str(cascade),
                    "certified": cascade == "exact" or (asked < full_size(model)).any(),
                    "n_videos": len(held_out),
                    "n_differ": int((judged["verdict"] != full["verdict"]).sum()),
                    "auc_of_all": roc_auc_score(truth, full["p_fake"]),
                    "auc": roc_auc_score(truth, judged["p_fake"]),
                    "members_asked": float(asked.mean()),
                }
            )
    return rows


def full_size(model):
    return len(model.detectors_)


def splits_of(table, learn_from, most, n_folds):
    """Yield what is held out, the rows to learn from, and those held out."""
    draw = np.random.default_rng(0)
    rows = np.arange(len(table))
    unseen = np.array([], int)
    if learn_from:
        column, _, value = learn_from.partition("=")
        known = (table[column].astype(str) == value).to_numpy()
        rows, unseen = rows[known], rows[~known]
    rows, unseen = (draw.permutation(part)[:most] for part in (rows, unseen))
    folds = StratifiedGroupFolds(n_folds, 0)
    part = table.iloc[rows]
    for train, test in folds.split(rows, part["label"], part["group"].to_numpy()):
        yield "held-out groups", rows[train], rows[test]
        if len(unseen):
            yield f"not {learn_from}", rows[train], unseen
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", help="CSV with label, p_* and, if known, group")
    parser.add_argument("--learn-from", help="COLUMN=VALUE: rows to learn from")
    parser.add_argument("--most", type=int, default=6000, help="rows of each part")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--combiners", nargs="+", default=["logistic", "soft"])
    parser.add_argument(
        "--rates", nargs="+", type=float, default=[0.05, 0.03, 0.01, 0.005]
    )
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    table = pd.read_csv(options.scores)
    if "group" not in table:
        table["group"] = np.arange(len(table))  # each by itself
    print(machine())
    warnings.simplefilter("ignore")
    figures = pd.DataFrame(
        [
            {"combiner": combiner, "of": name} | row
            for combiner in options.combiners
            for name, learn, test in splits_of(
                table, options.learn_from, options.most, options.folds
            )
            for row in measure(table, learn, test, combiner, options.rates)
        ]
    )
    figures["auc_lost"] = figures["auc_of_all"] - figures["auc"]
    by = figures.groupby(["combiner", "of", "doubts", "cascade"], sort=False)
    summary = by[["auc_of_all", "auc_lost", "members_asked", "certified"]].mean()
    summary["differ"] = by["n_differ"].sum() / by["n_videos"].sum()
    print(summary.round(4).to_string())
    goals = [
        Goal.at_most(
            f"{combiner}, {of}, doubts={doubts}: verdicts differ at cascade={cascade}",
            row["differ"],
            0.0 if cascade == "exact" else float(cascade),
        )
        for (combiner, of, doubts, cascade), row in summary.iterrows()
    ]
    write(goals, {"figures": figures.to_dict("records")}, options.json)


if __name__ == "__main__":
    main()
