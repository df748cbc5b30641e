"""The people, the folds, and the videos that each fold's members are asked about."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from base_models import list_videos, write_video
from base_models.video import iter_frames, probe_video
from ensemble.datasets import forge_dataset

LEVELS = {"c23": 23, "c40": 40}
_COLUMNS = ("path", "set", "label", "group", "method", "level")
NOTHING = pd.DataFrame(columns=list(_COLUMNS))


@dataclass
class Footage:
    """Real clips, generated ones, and who is seen in each.

    Attributes
    ----------
    reals, people : list of str
    generated : DataFrame
        With path, group, method; empty where there are none.
    """

    reals: list
    people: list
    generated: pd.DataFrame

    @classmethod
    def of(cls, folder):
        """Read a folder of real clips, one person each.

        Or one with a ``manifest.csv`` of file, label, group, method, in which fakes
        are generated clips.
        """
        folder = Path(folder)
        nothing = pd.DataFrame(columns=["path", "group", "method"])
        if not (folder / "manifest.csv").exists():
            reals = [str(video) for video in list_videos(folder)]
            return cls(reals, [Path(video).stem for video in reals], nothing)
        table = pd.read_csv(folder / "manifest.csv", dtype=str)
        table["path"] = [str(folder / file) for file in table["file"]]
        is_fake = table["label"].str.lower() == "fake"
        reals, generated = table[~is_fake], table[is_fake]
        return cls(
            reals["path"].tolist(),
            reals["group"].tolist(),
            generated[list(nothing)].reset_index(drop=True),
        )

    def folds(self, n_folds, seed):
        """Return the people of each fold; nobody is in two."""
        people = sorted(set(self.people))
        drawn = np.random.default_rng(seed).permutation(people)
        return [set(part) for part in np.array_split(drawn, n_folds)]

    def generated_in(self, fold, folds):
        """Generated clips that a fold's members score: never of people they know."""
        known = [
            next((i for i, people in enumerate(folds) if group in people), row)
            for row, group in enumerate(self.generated["group"])
        ]
        mine = [number % len(folds) == fold for number in known]
        return self.generated[mine]


def fold_videos(footage, fold, folds, sizes, folder):
    """Write what a fold's members are asked about, but for fakes of their views.

    Parameters
    ----------
    footage : Footage
    fold : int
    folds : list of set of str
        People by fold.
    sizes : Sizes
    folder : Path
        What is there of an earlier call is used.

    Returns
    -------
    DataFrame
        path, set (forged, generated), label, group, method, level of compression.
    """
    mine = [
        (video, person)
        for video, person in zip(footage.reals, footage.people, strict=True)
        if person in folds[fold]
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd one has no partner
        forged = forge_dataset(
            [video for video, _ in mine],
            folder / "forged",
            compression=list(LEVELS),
            n_frames=sizes.clip_frames,
            size=sizes.clip_size,
            source_groups=[person for _, person in mine],
            random_state=sizes.seed,
        ).table
    table = pd.DataFrame({
        "path": forged["path"].astype(str),
        "set": "forged",
        "label": forged["label"].astype(int),
        "group": [f"{fold}/{group}" for group in forged["group"]],
        "method": forged["method"],
        "level": forged["compression"],
    })  # fmt: skip
    rows = [(video, 0, person, "none") for video, person in mine]
    for path, group, method in footage.generated_in(fold, folds).itertuples(False):
        rows.append((path, 1, group, method))
    if len(rows) > len(mine):
        again = [
            (_encoded_anew(row[0], folder / "again", sizes), "generated", *row[1:])
            for row in rows
        ]
        again = pd.DataFrame([(*row, "c23") for row in again], columns=_COLUMNS)
        table = pd.concat([table, again], ignore_index=True)
    return table


def _encoded_anew(video, folder, sizes):
    """The first frames of a clip at one size and compression, whatever it was."""
    out = folder / f"{Path(video).stem}.mp4"
    if out.exists():
        return str(out)
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for frame in iter_frames(video):
        scale = sizes.clip_size / min(frame.shape[:2])
        side = [round(scale * n) // 2 * 2 for n in frame.shape[1::-1]]
        frames.append(cv2.resize(frame, side, interpolation=cv2.INTER_AREA))
        if len(frames) == sizes.clip_frames:
            break
    fps = probe_video(video).fps or 25
    return str(write_video(out, frames, fps=fps, crf=LEVELS["c23"], preset="superfast"))
