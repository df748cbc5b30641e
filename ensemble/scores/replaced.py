"""Takes back scores of files that were replaced before all of a verdict was read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from typing import Any

import numpy as np
import pandas as pd


def without_replaced(table: pd.DataFrame, videos: Sequence[Any]) -> pd.DataFrame | None:
    """Return scores without those of files that are others by now.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        As `DeepfakeEnsemble.detector_scores` gives it, made in a block of
        `base_models.runtime.file_digest.held_contents` that lasts.
    videos : sequence of length n_videos
        Arrays and what is behind an address stay as they are.

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors) or None
        With NaN and the reason in the rows of such files; None where there is none.
    """
    from base_models.runtime.file_digest import REPLACED

    rows = [row for row, video in enumerate(videos) if _is_another(video)]
    if not rows:
        return None
    left, attrs = table.copy(), dict(table.attrs)
    left.iloc[rows] = np.nan
    names = list(table.index[rows])
    attrs["reason"] = {
        detector: {**attrs.get("reason", {}).get(detector, {}), **again}
        for detector in table.columns
        for again in [dict.fromkeys(names, REPLACED)]
    }
    for known in ("faces", "profiles"):
        of_videos = names if known == "faces" else rows
        if known in attrs:
            attrs[known] = {k: v for k, v in attrs[known].items() if k not in of_videos}
    left.attrs = attrs
    return left


def holding_contents(tables: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield what a generator yields, each step in one block of `held_contents`.

    Whoever takes the tables is not in that block, and may write to files meanwhile.

    Parameters
    ----------
    tables : generator
        Not begun.
    """
    from base_models.runtime.file_digest import held_contents

    def held() -> Iterator[pd.DataFrame]:
        with held_contents():
            yield from tables

    context, walked = copy_context(), held()
    try:
        while (table := context.run(next, walked, None)) is not None:
            yield table
    finally:
        context.run(walked.close)  # type: ignore[attr-defined]


def _is_another(video: Any) -> bool:
    from base_models.addresses import remote_address
    from base_models.runtime.file_digest import known_digest
    from base_models.video.hashing import was_replaced

    if not isinstance(video, (str, os.PathLike)) or remote_address(video):
        return False
    try:
        return was_replaced(video, known_digest(video))
    except OSError:  # gone by now: the score is of what was there
        return False
