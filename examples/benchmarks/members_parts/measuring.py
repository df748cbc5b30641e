"""Fits a member on a fold and scores what it is asked about; what is done is kept."""

import json
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from members_parts.setup import NAMES, make_member

from base_models import PseudoFakes, score_videos
from base_models.runtime.file_writing import replacing
from base_models.views.making import iter_views
from ensemble.out_of_fold import fit_over_splits
from ensemble.out_of_fold.unseen_kinds import MadeFakes

_LOOKING = "looking.json"


@dataclass
class Part:
    """One fit of each member, and what it is asked about.

    Attributes
    ----------
    name : str
    train, test : ndarray of int
        Rows of the training set; the second are held out.
    videos : DataFrame
        To score: path, set, label, group, method, level.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    videos: pd.DataFrame


class OverBudget(Exception):
    """No time is left to begin another fit."""


class Measuring:
    """Fits and scores, one (part, member) after another.

    Parameters
    ----------
    training : TrainingSet
        Real videos alone.
    held_out : PseudoFakes
        Makes the kinds that no member learns from.
    sizes : Sizes
    store : Store
    folder : Path
        Where scores are kept.
    budget : float or None
        CPU seconds of this process after which no further fit begins.
    """

    def __init__(self, training, held_out, sizes, store, folder, budget=None):
        self.training, self.held_out, self.sizes = training, held_out, sizes
        self.store, self.folder, self.budget = store, Path(folder), budget
        self._made = {}

    def of(self, part, name, kinds, variant=""):
        """Return the scores and costs of a member in a part: found, or measured.

        Parameters
        ----------
        part : Part
        name : str
            Of a member.
        kinds : PseudoFakes
            What it learns from.
        variant : str, default=""
            What the member is called beside its name, where `kinds` are not the usual.

        Returns
        -------
        scores : DataFrame
            The rows of `videos`, then held-out reals and their pseudo-fakes, with
            ``score`` and why there is none.
        cost : dict
            CPU seconds of the fit, and of scoring a video.
        """
        label = f"{name} {variant}".strip()
        stem = self.folder / part.name / label.replace(" ", "_")
        stem.parent.mkdir(parents=True, exist_ok=True)
        if Path(f"{stem}.json").exists():
            return self.found(part.name, label)
        self.check_budget()
        print(f"{part.name}: {label}", flush=True)
        member = make_member(name, kinds, self.sizes, len(part.train), self.store)
        with spending(f"{stem}.spent"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how long it takes is known
            fitted = fit_over_splits(
                [(name, member)], self.training, [(part.train, part.test)],
                keep="splits", store=self.store,
            )  # fmt: skip
        detector = fitted.detectors[name][0]
        cost = {"fit": spent(f"{stem}.spent")}
        scores, seconds = self._scored(detector, part.videos)
        if len(scores):
            cost["video"] = seconds
        reals = _reals(self.training, part.test, fitted.scores[part.test, 0])
        made = self._of_made(detector, part.test)
        kept = [one for one in (scores, reals, made) if len(one)]
        table = pd.concat(kept, ignore_index=True)
        with replacing(Path(f"{stem}.csv")) as unfinished:
            table.to_csv(unfinished, index=False)
        with replacing(Path(f"{stem}.json")) as unfinished:
            Path(unfinished).write_text(json.dumps(cost))
        minutes = cost["fit"] / 60
        print(f"  {minutes:.2f} CPU minutes, {seconds:.2f} s a video", flush=True)
        return table, cost

    def check_budget(self):
        """Stop before more is begun than there is time for."""
        if self.budget is not None and time.process_time() > self.budget:
            raise OverBudget

    def found(self, part_name, label):
        """What was measured of a member in a part, or None."""
        stem = self.folder / part_name / label.replace(" ", "_")
        if not Path(f"{stem}.json").exists():
            return None
        cost = json.loads(Path(f"{stem}.json").read_text())
        texts = dict.fromkeys(("group", "path", "reason"), str)
        table = pd.read_csv(f"{stem}.csv", dtype=texts)
        table["reason"] = table["reason"].fillna("")
        return table, cost

    def look(self, part, kinds):
        """Decode all videos of a part and find their faces, once for all members."""
        if (kept := self.looked(part.name)) is not None:
            return kept
        self.check_budget()
        members = [
            make_member(name, kinds, self.sizes, len(part.train), self.store)
            for name in NAMES
        ]
        recipes = {r.key: r for member in members for r in member.view_recipes()}
        began = time.process_time()
        for _ in iter_views(self.training.videos, recipes.values(), self.store):
            pass
        looked = time.process_time()
        for _ in iter_views(list(part.videos["path"]), recipes.values(), self.store):
            pass
        each = (time.process_time() - looked) / max(1, len(part.videos))
        cost = {"fit": looked - began, "video": each}
        file = self.folder / part.name / _LOOKING
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(cost))
        return cost

    def looked(self, part_name):
        """What looking at a part cost, or None."""
        file = self.folder / part_name / _LOOKING
        return json.loads(file.read_text()) if file.exists() else None

    def _scored(self, detector, videos):
        if not len(videos):
            return videos.assign(score=0.0, reason=""), 0.0
        began = time.process_time()
        scores, reasons = score_videos([detector], list(videos["path"]), self.store)
        each = (time.process_time() - began) / max(1, len(videos))
        return videos.assign(score=scores[:, 0], reason=reasons[:, 0]), each

    def _of_made(self, detector, rows):
        """Scores of pseudo-fakes of held-out reals, by kinds that nobody has seen."""
        parts = []
        for kind in self.held_out.shares():
            (recipe,) = detector.view_recipes()
            if (kind, recipe.key) not in self._made:
                fakes = PseudoFakes([kind])
                self._made[kind, recipe.key] = MadeFakes(
                    detector, self.training, fakes, self.store, self.sizes.seed
                )
            made = self._made[kind, recipe.key]
            scores = [made.score(detector, row) for row in rows]
            parts.append(_reals(self.training, rows, scores, 1, kind))
        return pd.concat(parts, ignore_index=True)


def _reals(training, rows, scores, label=0, kind="none"):
    """Held-out reals as they are, or what was made of them."""
    return pd.DataFrame({
        "path": [str(training.videos[row]) for row in rows],
        "set": "made",
        "label": label,
        "group": [str(training.groups[row]) for row in rows],
        "method": kind,
        "level": "as it is",
        "score": np.asarray(scores, float),
        "reason": "",
    })  # fmt: skip


@contextmanager
def spending(file):
    """Add the CPU seconds of a block to those in a file, also where it is stopped."""
    began = time.process_time()
    try:
        yield
    finally:
        total = spent(file) + time.process_time() - began
        Path(file).write_text(json.dumps(total))


def spent(file):
    """CPU seconds that a file holds."""
    return json.loads(Path(file).read_text()) if Path(file).exists() else 0.0
