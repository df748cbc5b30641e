"""Lists videos that are the same, or look it, and which of them are leaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ensemble.datasets.indexing.perceptual_hash import MAX_DISTANCE, near_pairs
from ensemble.datasets.video_table import VideoTable

SAME, NEAR = "same content", "looks alike"
_COLUMNS = ("first", "second", "what", "distance", "differ_in", "is_leak")
_COMPARED = ("label", "group", "split")


def find_duplicates(
    table: VideoTable, max_distance: int = MAX_DISTANCE
) -> pd.DataFrame:
    """List copies, and near-copies that are in different groups, classes or splits.

    A fake looks like the video that it was made from: within one group and split that
    is no leak and is not listed. Time and memory grow in line with the videos.

    Videos that look alike need not be copies: one person in one chair before one
    camera, filmed twice, is found too. Flat videos (all dark, one colour) have no hash
    and are in no such pair; copies that are cropped, cut short, mirrored or turned are
    not found.

    Parameters
    ----------
    table : VideoTable
        From `ensemble.datasets.index_videos`.
    max_distance : int, default=16
        Bits of the 256 of the perceptual hashes in which videos may differ.

    Returns
    -------
    DataFrame
        first, second (ids), what ("same content" or "looks alike"), distance (bits),
        differ_in (such as "label 0 and 1, split train and test"), is_leak: whether they
        differ in label, group or split; a video whose group is not known is alone in
        its own. Leaks first. Of more than two copies each is beside the first; of many
        that look alike, each beside the nearest.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.datasets import VideoTable, find_duplicates
    >>> frame = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "label": [0, 0]})
    >>> frame = frame.assign(digest="0a", phash=None, group="ann")
    >>> frame["split"] = ["train", "test"]
    >>> found = find_duplicates(VideoTable(frame))
    >>> found[["first", "second", "differ_in"]].to_numpy().tolist()
    [['a.mp4', 'b.mp4', 'split train and test']]
    """
    frame = table.table
    missing = [name for name in ("digest", "phash") if name not in frame]
    if missing:
        raise ValueError(
            f"the table has no {' and '.join(missing)}; give one from index_videos"
        )
    columns = {name: frame[name].tolist() for name in _COMPARED}
    pairs = _same(frame["digest"]) + _alike(frame, columns, max_distance)
    ids = frame["video_id"].tolist()
    rows = [
        (ids[one], ids[other], what, distance, text, bool(text))
        for one, other, what, distance in pairs
        for text in [_difference(columns, one, other)]
        if text or what == SAME
    ]
    found = pd.DataFrame(rows, columns=list(_COLUMNS))
    found = found.astype({"distance": int, "is_leak": bool})
    order = ["is_leak", "distance", "first", "second"]
    return found.sort_values(
        order, ascending=[False, True, True, True], kind="stable", ignore_index=True
    )


def _same(digests: pd.Series) -> list[tuple[int, int, str, int]]:
    """Rows of equal digests, each beside the first."""
    rows = pd.Series(np.arange(len(digests)))
    known = digests.notna().to_numpy()
    groups = rows[known].groupby(digests[known].to_numpy(), sort=False)
    return [
        (int(one), int(other), SAME, 0)
        for _, those in groups
        if len(those) > 1
        for one, other in [(those.iloc[0], other) for other in those.iloc[1:]]
    ]


def _alike(
    frame: pd.DataFrame, columns: dict[str, list[Any]], max_distance: int
) -> list[tuple[int, int, str, int]]:
    """Rows that look alike and should not, each beside the nearest other."""
    hashes, digests = frame["phash"], frame["digest"].tolist()
    rows = np.flatnonzero(hashes.notna())
    pairs, distances = near_pairs(hashes.iloc[rows].tolist(), max_distance)
    found: dict[tuple[int, str], tuple[int, int, str, int]] = {}
    for number in np.argsort(distances, kind="stable"):
        one, other = rows[pairs[number]].tolist()
        if digests[one] == digests[other] or _are_kin(columns, one, other):
            continue
        differ = _difference(columns, one, other)
        if differ:
            pair = (one, other, NEAR, int(distances[number]))
            kinds = ",".join(part.split(" ")[0] for part in differ.split(", "))
            found.setdefault((other, kinds), pair)
    return list(found.values())


def _are_kin(columns: dict[str, list[Any]], one: int, other: int) -> bool:
    """Whether two videos may look alike: they are of one group and one split."""
    groups, splits = columns["group"], columns["split"]
    if pd.isna(groups[one]) or groups[one] != groups[other]:
        return False
    either_unknown = pd.isna(splits[one]) or pd.isna(splits[other])
    return either_unknown or splits[one] == splits[other]


def _difference(columns: dict[str, list[Any]], one: int, other: int) -> str:
    parts = []
    for name, values in columns.items():
        if pd.isna(values[one]) or pd.isna(values[other]):
            if name == "group":  # each is alone in its own
                parts.append("group not known")
        elif values[one] != values[other]:
            parts.append(f"{name} {values[one]} and {values[other]}")
    return ", ".join(parts)
