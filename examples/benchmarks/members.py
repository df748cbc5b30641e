"""Measure what members learn: head, last stage, full, from reals alone; and together.

    python examples/benchmarks/members.py --clips reals/ --json results.json
    python examples/benchmarks/members.py --train reals/ --test videos.csv \
--scores out.csv

The first forges face swaps from a folder of real talking-head clips, one person a clip,
and scores them out of fold by person, c23 and c40: an easy set, made by one tool, that
says whether training works and nothing about fakes in the wild. The second trains on
the real clips of a folder alone, on pseudo-fakes made of them, and scores the videos of
a CSV (columns path, label, group; label and group are copied, and used for nothing but
the figures that are printed at the end).
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from goals import Goal, machine, write
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from base_models import (
    FlickerDetector,
    FrameDetector,
    FrequencyDetector,
    TrainingRecipe,
    list_videos,
    score_videos,
)
from ensemble import out_of_fold_scores
from ensemble.combiners import Voting
from ensemble.datasets import make_forgeries
from ensemble.metrics import diversity, group_bootstrap_interval
from ensemble.out_of_fold import fit_over_splits
from ensemble.training_set import TrainingSet

# Networks that learn from reals alone: what each sees.
_NETWORKS = {"colours": "rgb", "noise": "residual", "motion": "motion"}
_N_PAIRS = 4000  # of a real image and its pseudo-fake: under 20 minutes of CPU
_EPOCHS = 10
_MEASURING = {"frequency": FrequencyDetector, "flicker": FlickerDetector}
_WAYS = ("head", "full", "reals alone")
# Pseudo-fakes beside the fakes: MesoNet is too small for more kinds of forgery.
_MORE_FAKES = {("full", "efficientnet_lite0"), ("full", "resnet18")}


def real_members(n_videos, store, seed=0):
    """Detectors that learn from real faces alone, each from something else."""
    recipe = TrainingRecipe(averaging="ema", head_epochs=0, validation=0)
    members = {
        name: FrameDetector(
            "efficientnet_lite0",
            image_size=224,
            channels=channels,
            n_frames=24,
            pseudo_fakes=True,
            epochs=_EPOCHS,
            frames_per_epoch=max(1, round(_N_PAIRS / (_EPOCHS * n_videos))),
            batch_size=10,
            recipe=recipe,
            random_state=seed,
            store=store,
            verbose=True,
        )
        for name, channels in _NETWORKS.items()
    }
    for name, kind in _MEASURING.items():
        members[name] = kind(
            n_frames=24,
            pseudo_fakes=True,
            n_drawn=max(1, round(_N_PAIRS / n_videos)),
            random_state=seed,
            store=store,
            verbose=True,
        )
    return members


def train_on_reals(folder, csv, out, store):
    """Train on the reals of a folder, score the videos of a CSV, write the table."""
    reals = [str(video) for video in list_videos(folder)]
    table = pd.read_csv(csv)
    paths = [str(Path(csv).parent / path) for path in table["path"]]
    training = TrainingSet.of(reals, np.zeros(len(reals), int), None, None)
    members, seconds = {}, {}
    for name, member in real_members(len(reals), store).items():
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how long it takes is known
            # one fit on all of them, kept in the store
            fitted = fit_over_splits(
                [(name, member)],
                training,
                splits=[],
                keep="refit",
                store=store,
                verbose=True,
            )
        members[name] = fitted.detectors[name][0]
        seconds[name] = time.process_time() - began
        print(f"{name}: {seconds[name] / 60:.1f} minutes of CPU", flush=True)
    scores, reasons = score_videos(members, paths, store, "scoring")
    result = table[["path", "label", "group"]].copy()
    for column, name in enumerate(members):
        result[name] = scores[:, column]
    # a vote learns nothing: the two rows are there because it wants both labels
    vote = Voting().fit([[0.0] * len(members), [1.0] * len(members)], [0, 1])
    scored = ~np.isnan(scores).all(axis=1)
    result["ensemble"] = np.nan
    result.loc[scored, "ensemble"] = vote.fake_score(scores[scored])
    result.to_csv(out, index=False)
    for path, why in zip(paths, reasons[:, 0], strict=True):
        if why:
            print(f"no score: {path}: {why}")
    return result, seconds


def intervals(table, names):
    """AUC of each column with its group-bootstrap interval; where there is a label."""
    known = table["label"].astype(str).str.upper().isin(["REAL", "FAKE", "0", "1"])
    table = table[known & table[names].notna().all(axis=1)]
    y = table["label"].astype(str).str.upper().isin(["FAKE", "1"]).astype(int)
    if y.nunique() < 2:
        return {}
    return {
        name: group_bootstrap_interval(
            _area, y.to_numpy(), table[name].to_numpy(), table["group"].to_numpy(),
            random_state=0,
        )
        for name in names
    }  # fmt: skip


def _area(y, score):
    return roc_auc_score(y, score) if 0 < y.sum() < len(y) else np.nan


def ahead_of(table, y, groups, one, other):
    """How much larger the AUC of one column is, with its group-bootstrap interval."""
    return group_bootstrap_interval(
        lambda y, both: _area(y, both[:, 0]) - _area(y, both[:, 1]),
        y, table[[one, other]].to_numpy(), groups, random_state=0,
    )  # fmt: skip


class RealsAlone(FrameDetector):
    """Learns from the real videos that it is given and from no fake."""

    def fit(self, videos, y, groups=None, sample_weight=None):
        real = np.flatnonzero(np.asarray(y) == 0)
        groups = None if groups is None else np.asarray(groups)[real]
        return super().fit([videos[i] for i in real], np.zeros(len(real), int), groups)


def forged_members(store, ways, n_threads, amp):
    """Small networks that one can train on a CPU, in each of the ways."""
    nets = {
        "efficientnet_lite0": {"image_size": 128, "epochs": 20},
        "mesonet4": {"image_size": 256, "learning_rate": 2e-3, "epochs": 30},
        "resnet18": {
            "image_size": 128, "weights": None, "learning_rate": 1e-3, "epochs": 80,
        },
    }  # fmt: skip
    members = {}
    for way in ways:
        for backbone, params in nets.items():
            kind = RealsAlone if way == "reals alone" else FrameDetector
            members[f"{backbone} {way}"] = kind(
                backbone,
                train="head" if way == "head" else "full",
                pseudo_fakes=way == "reals alone" or (way, backbone) in _MORE_FAKES,
                n_frames=8,
                frames_per_epoch=4,
                recipe=TrainingRecipe(
                    averaging="ema",
                    pairs=way == "full",
                    amp=True if amp and backbone == "resnet18" else "auto",
                ),
                n_threads=n_threads,
                store=store,
                random_state=0,
                **params,
            )
    return members | {name: kind(store=store) for name, kind in _MEASURING.items()}


def compare_training(folder, store, n_folds, ways, n_threads, amp):
    """Forge from the reals of a folder; score each member out of fold by person."""
    clips = Path(tempfile.mkdtemp())
    reals = [str(video) for video in list_videos(folder)]
    forged = make_forgeries(
        clips, sources=reals, n_identities=len(reals) // 2 * 2,
        compression=["c23", "c40"], n_frames=24, random_state=0, verbose=0,
    )  # fmt: skip
    print(f"{len(forged.videos)} clips of {len(set(forged.groups))} pairs of people")
    columns, seconds = {}, {}
    for name, member in forged_members(store, ways, n_threads, amp).items():
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = out_of_fold_scores(
                {name: member}, forged.videos, forged.labels, forged.groups,
                resampling=n_folds, store=store,
            )  # fmt: skip
        seconds[name] = (time.process_time() - began) / n_folds
        columns[name] = table[name].to_numpy()
        area = _area(np.asarray(forged.labels), columns[name])
        spent = f"{seconds[name] / 60:.1f} minutes of CPU a fit"
        print(f"{name}: AUC {area:.3f}, {spent}", flush=True)
    scores = pd.DataFrame(columns)
    # weights are learned without the people who are scored with them
    together = [name for name in scores if name.endswith("full") or name in _MEASURING]
    scores["ensemble"] = cross_val_predict(
        Voting(weights="learned"), scores[together], forged.labels,
        groups=forged.groups, cv=LeaveOneGroupOut(), method="predict_proba",
    )[:, 1]  # fmt: skip
    names = list(scores)
    scores["label"], scores["group"] = forged.labels, forged.groups
    return scores, names, seconds


def print_table(found, seconds):
    print(f"\n{'':28} {'AUC':>6} {'95 % interval':>16} {'CPU minutes':>12}")
    for name, (area, low, high) in found.items():
        spent = f"{seconds[name] / 60:12.1f}" if name in seconds else ""
        print(f"{name:28} {area:6.3f} {low:8.3f} {high:7.3f} {spent}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", help="folder of reals to forge from")
    parser.add_argument("--train", help="folder of reals to train on")
    parser.add_argument("--test", help="CSV of path, label, group to score")
    parser.add_argument("--scores", help="CSV to write")
    parser.add_argument(
        "--with-fakes-only",
        action="store_true",
        help="with --clips: leave out the members that learn from reals alone",
    )
    parser.add_argument("--folds", type=int, default=3, help="with --clips")
    parser.add_argument("--threads", type=int, help="of each network")
    parser.add_argument(
        "--amp",
        action="store_true",
        help="ResNets compute in bfloat16: twice as fast on CPUs with tiles (AMX)",
    )
    parser.add_argument("--store", help="folder for what was computed once")
    parser.add_argument("--json", help="file for goals and raw figures")
    options = parser.parse_args()
    if not options.clips and not (options.train and options.test and options.scores):
        parser.error("give --clips DIR, or --train DIR --test CSV --scores OUT")

    print(machine())
    goals = []
    if options.train:
        table, seconds = train_on_reals(
            options.train, options.test, options.scores, options.store
        )
        names = [*seconds, "ensemble"]
        found = intervals(table, names)
        for name, spent in seconds.items():
            goals.append(Goal.at_most(f"{name}: minutes of CPU", spent / 60, 20))
    else:
        table, names, seconds = compare_training(
            options.clips,
            options.store,
            options.folds,
            _WAYS[:2] if options.with_fakes_only else _WAYS,
            options.threads,
            options.amp,
        )
        found = intervals(table, names)
        y, groups = table["label"].to_numpy(), table["group"].to_numpy()
        for name in names:
            backbone = name.removesuffix(" full")
            if backbone == name:
                continue
            ahead = ahead_of(table, y, groups, name, f"{backbone} head")
            text = f"{backbone}: AUC of full above head, lower end of the interval"
            goals.append(Goal(text, ahead.low, 0, bool(ahead.low > 0)))
            text = f"{backbone}, full: minutes of CPU a fit"
            goals.append(Goal.at_most(text, seconds[name] / 60, 20))
        best = max(names[:-1], key=lambda name: found[name].estimate)
        ahead = ahead_of(table, y, groups, "ensemble", best)
        text = f"AUC of the ensemble above its best member, {best}"
        goals.append(Goal(text, ahead.estimate, 0, bool(ahead.estimate > 0)))
        print(f"{text}: {ahead.estimate:.3f} ({ahead.low:.3f} to {ahead.high:.3f})")
        print("\nwhich members differ:")
        print(diversity(table[names[:-1]], y).round(2).to_string())
    print_table(found, seconds)
    raw = {"auc": {n: list(v) for n, v in found.items()}, "cpu_seconds": seconds}
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
