"""Where prepared videos go: the folder, the split of each in whole groups, its name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning
from base_models.runtime.ending.folder_lock import locked_folder
from base_models.runtime.ending.unfinished import is_unfinished
from base_models.runtime.file_writing import (
    check_no_way_out,
    read_record,
    write_text,
)
from ensemble.datasets.kinds.prepared import PREPARED, STATE, UNFINISHED
from ensemble.datasets.video_table import VideoTable

# What is said of each video beside its images.
SAID = ("video_id", "method", "compression", "split", "group", "dataset")

_FOLDER = re.compile(r"\w([\w .-]{0,98}\w)?")


def splits_of(
    table: VideoTable, shares: Sequence[float], random_state: int
) -> list[str]:
    """Return the split of each video: that of the data set, or of whole groups.

    A video without a split goes where others of its group are.

    Raises
    ------
    ValueError
        For a split that is no name of a folder: the table may be of others.
    """
    split = table.table["split"].astype(object)
    for video_id, name in zip(table.table["video_id"], split, strict=True):
        if not pd.isna(name) and not _FOLDER.fullmatch(str(name)):
            raise ValueError(
                f"the split of {video_id} is {str(name)[:50]!r}, and must be the name "
                "of a folder, such as train: letters, digits, spaces and - _ . inside"
            )
    groups = table.groups
    if split.notna().all():
        return list(split)
    three = np.asarray(shares, float)
    if three.shape != (3,) or (three < 0).any() or not np.isclose(three.sum(), 1):
        raise ValueError(
            "shares must be three numbers of train, val and test that add up to 1; got "
            f"{tuple(three.tolist())}"
        )
    if groups is None:
        warnings.warn(
            "the data set has no groups: each video is taken for a group of its own, "
            "so that one person may be in several splits",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
        groups = list(table.table["video_id"])
    codes = pd.factorize(np.asarray(groups, dtype=object))[0]
    split = split.groupby(codes).transform("first")  # of the group, where one has it
    left = np.flatnonzero(split.isna())
    y = table.table["label"].fillna(-1).to_numpy(int)
    split[left] = _dealt(y[left], codes[left], three, random_state)
    return list(table.table["split"].astype(object).fillna(split))


def _dealt(y, codes, shares, random_state):
    """Deal whole groups to train, val and test."""
    from ensemble.resampling.splitters import GroupHoldout

    split = np.full(len(y), "train", dtype=object)
    left, rest = np.arange(len(y)), 1.0
    for name, share in zip(("test", "val"), shares[[2, 1]], strict=True):
        if share == 0 or not len(left):
            continue
        if np.isclose(share, rest):
            split[left] = name
            break
        holdout = GroupHoldout(share / rest, random_state)
        _, aside = next(holdout.split(left, y[left], codes[left]))
        split[left[aside]] = name
        left, rest = np.delete(left, aside), rest - share
    return split


def folder_names(table: VideoTable, split: Sequence[str]) -> list[str]:
    """Return where each video goes below `out`: split, label, a name of its own."""
    from base_models.video.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    files = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}  # a folder is not called like a file
    label = table.table["label"].map({0: "real", 1: "fake"}).fillna("unlabelled")
    names, taken = [], set()
    for part, word, video_id in zip(split, label, table.table["video_id"], strict=True):
        stem, dot, ending = str(video_id).rpartition(".")
        stem = stem if f"{dot}{ending}".lower() in files else str(video_id)
        name = re.sub(r"[^\w.-]+", "_", stem).strip("._") or "video"
        name = name if len(name) <= 100 else name[-100:]
        path = f"{part}/{word}/{name}"
        if _alike(path) in taken:  # also of names that differ in what was replaced
            mark = hashlib.sha256(
                str(video_id).encode("utf-8", "surrogateescape")
            ).hexdigest()[:8]
            path = f"{path}-{mark}"
        taken.add(_alike(path))
        names.append(path)
    return names


def _alike(path):
    """What keys of shards, and file systems, may not tell apart."""
    return path.lower().replace(".", "_")


def facts_of(table: VideoTable, split: Sequence[str]) -> str:
    """Return what stands for all that is said of the videos beside their images."""
    said = table.table.assign(split=split)[[*SAID, "label"]]
    return hashlib.sha256(
        said.to_csv(index=False).encode("utf-8", "surrogateescape")
    ).hexdigest()


@contextlib.contextmanager
def started(folder: Path, table: VideoTable, recipe: dict[str, Any]) -> Iterator[None]:
    """Say what a folder will hold, and keep other runs out of it.

    Parameters
    ----------
    folder : Path
    table : VideoTable
        What is read, which must not lie in it.
    recipe : dict of str to Any
        How it is made.

    Raises
    ------
    FileExistsError
        If it holds anything else.
    ValueError
        If another run is writing into it.
    """
    _check_out(folder, table, recipe)
    with locked_folder(folder, folder / STATE / "lock"):
        _check_out(folder, table, recipe)  # now nobody changes it
        write_text(folder / PREPARED, json.dumps(recipe, indent=1) + "\n")
        write_text(folder / UNFINISHED, "of the data set, until all is written\n")
        yield
        (folder / UNFINISHED).unlink(missing_ok=True)


def _check_out(folder, table, recipe):
    """Refuse a folder of anything else."""
    check_no_way_out(folder)
    inside = os.path.realpath(folder) + os.sep
    for video in {os.path.realpath(video) for video in table.videos}:
        place = video if os.path.isdir(video) else os.path.dirname(video)
        if inside.startswith(place + os.sep):
            raise FileExistsError(
                f"{folder} lies in {place}, where the videos are, and would be taken "
                "for one of them; choose an out beside that folder"
            )
    for path in map(os.path.realpath, (*table.lists, *table.videos)):
        if path.startswith(inside):
            raise FileExistsError(
                f"{folder} holds {path}, which is read; choose another out"
            )
    path = folder / PREPARED
    if path.exists():
        before = read_record(path)
        changed = [key for key in recipe if before.get(key) != recipe[key]]
        if changed:
            raise FileExistsError(
                f"{folder} was prepared with another {', '.join(changed)} (see "
                f"{PREPARED} there); delete it or choose another out"
            )
    elif folder.exists() and not all(
        path.name == STATE or is_unfinished(path.name) for path in folder.iterdir()
    ):
        raise FileExistsError(
            f"{folder} is not empty and was not made by prepare; choose another out"
        )
