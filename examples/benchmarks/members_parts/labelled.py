"""Small networks that learn from forgeries with their labels: head, and in full."""

import tempfile
import time
import warnings

import numpy as np
import pandas as pd
from goals import Goal
from members_parts.setup import MEASURING
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from base_models import FrameDetector, TrainingRecipe, list_videos
from ensemble import out_of_fold_scores
from ensemble.combiners import Voting
from ensemble.datasets import make_forgeries
from ensemble.metrics import diversity, group_bootstrap_interval

_NETS = {
    "efficientnet_lite0": {"image_size": 128, "epochs": 20},
    "mesonet4": {"image_size": 256, "learning_rate": 2e-3, "epochs": 30},
    "resnet18": {
        "image_size": 128, "weights": None, "learning_rate": 1e-3, "epochs": 80,
    },
}  # fmt: skip
# Pseudo-fakes beside the fakes: MesoNet is too small for more kinds of forgery.
_MORE_FAKES = ("efficientnet_lite0", "resnet18")


def compare_training(folder, store, n_folds, n_threads, amp):
    """Forge swaps from the reals of a folder; score members out of fold by pair.

    Returns
    -------
    goals : list of Goal
    raw : dict
        AUC with its interval, and CPU seconds a fit, by member.
    """
    reals = [str(video) for video in list_videos(folder)]
    forged = make_forgeries(
        tempfile.mkdtemp(), sources=reals, n_identities=len(reals) // 2 * 2,
        compression=["c23", "c40"], n_frames=24, random_state=0, verbose=0,
    )  # fmt: skip
    print(f"{len(forged.videos)} clips of {len(set(forged.groups))} pairs of people")
    y, groups = np.array(forged.labels), np.array(forged.groups)
    scores, seconds = pd.DataFrame(), {}
    for name, member in _members(store, n_threads, amp).items():
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = out_of_fold_scores(
                {name: member}, forged.videos, y, groups,
                resampling=n_folds, store=store,
            )  # fmt: skip
        seconds[name] = (time.process_time() - began) / n_folds
        scores[name] = table[name].to_numpy()
        print(f"{name}: {seconds[name] / 60:.1f} minutes of CPU a fit", flush=True)
    names = list(scores)
    # weights are learned without the people who are scored with them
    together = [name for name in names if name.endswith("full") or name in MEASURING]
    scores["ensemble"] = cross_val_predict(
        Voting(weights="learned"), scores[together], y,
        groups=groups, cv=LeaveOneGroupOut(), method="predict_proba",
    )[:, 1]  # fmt: skip
    scored = scores.notna().all(axis=1).to_numpy()  # a face was found in these
    print(f"{len(scores) - scored.sum()} clips without a score count in no figure")
    scores, y, groups = scores[scored], y[scored], groups[scored]
    found = {
        name: group_bootstrap_interval(
            _area, y, scores[name].to_numpy(), groups, random_state=0
        )
        for name in scores
    }
    for name, (area, low, high) in found.items():
        print(f"{name:28} {area:6.3f} {low:8.3f} {high:7.3f}")
    print("\nwhich members differ:")
    print(diversity(scores[names], y).round(2).to_string())
    raw = {"auc": {n: list(v) for n, v in found.items()}, "cpu_seconds": seconds}
    return _goals(scores, names, y, groups, found, seconds), raw


def _members(store, n_threads, amp):
    members = {}
    for train in ("head", "full"):
        for backbone, params in _NETS.items():
            fast = True if amp and backbone == "resnet18" else "auto"
            members[f"{backbone} {train}"] = FrameDetector(
                backbone,
                train=train,
                pseudo_fakes=train == "full" and backbone in _MORE_FAKES,
                n_frames=8,
                frames_per_epoch=4,
                recipe=TrainingRecipe(averaging="ema", pairs=train == "full", amp=fast),
                n_threads=n_threads,
                store=store,
                random_state=0,
                **params,
            )
    return members | {name: kind(store=store) for name, kind in MEASURING.items()}


def _goals(scores, names, y, groups, found, seconds):
    goals = []
    for backbone in _NETS:
        name = f"{backbone} full"
        gain = _ahead(scores, y, groups, name, f"{backbone} head")
        text = f"{backbone}: AUC of full above head, lower end of the interval"
        goals.append(Goal(text, gain.low, 0, bool(gain.low > 0)))
        text = f"{backbone}, full: minutes of CPU a fit"
        goals.append(Goal.at_most(text, seconds[name] / 60, 20))
    best = max(names, key=lambda name: found[name].estimate)
    gain = _ahead(scores, y, groups, "ensemble", best)
    text = f"AUC of the ensemble above its best member, {best}"
    print(f"{text}: {gain.estimate:.3f} ({gain.low:.3f} to {gain.high:.3f})")
    goals.append(Goal(text, gain.estimate, 0, bool(gain.estimate > 0)))
    return goals


def _ahead(scores, y, groups, one, other):
    return group_bootstrap_interval(
        lambda y, both: _area(y, both[:, 0]) - _area(y, both[:, 1]),
        y, scores[[one, other]].to_numpy(), groups, random_state=0,
    )  # fmt: skip


def _area(y, score):
    return roc_auc_score(y, score) if 0 < y.sum() < len(y) else np.nan
