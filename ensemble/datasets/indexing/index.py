"""Indexes a data set: every video is opened once, side by side, and broken ones too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from base_models.addresses import remote_address
from base_models.errors import VideoReadError
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.runtime.clusters.given_up import give_up_video
from base_models.runtime.failures import Failures, is_foreseen
from base_models.runtime.progress import progress_bar
from base_models.runtime.scheduling import run_each
from base_models.store.keys import session_key
from base_models.store.store import Store, store_key
from base_models.video.hashing import work_of
from base_models.video.paths import findable, video_digest
from ensemble.datasets.indexing.measuring import (
    CODE_VERSION,
    MEASURED,
    measure_video,
    stamp,
)
from ensemble.datasets.video_table import VideoTable

if TYPE_CHECKING:
    from base_models.faces.face import FaceFinder

SUFFIXES = (".parquet", ".csv")
_TYPES = {
    "width": "Int64", "height": "Int64", "file_size": "Int64", "face_size": "Int64",
    "frames": "Int64", "fps": float, "seconds": float, "quantiser": float,
    "brightness": float, "readable": bool, "face": "boolean", "codec": "string",
    "reason": "string", "digest": "string", "phash": "string",
}  # fmt: skip


def index_videos(
    table: VideoTable,
    n_jobs: int | None = None,
    out: str | Path | None = None,
    finder: FaceFinder | str | None = "dlib",
    store: Store | str | Path | None = None,
    verbose: bool = False,
) -> VideoTable:
    """Open every video of a data set and add what is in it to the table.

    Each row is kept in the store as soon as it is there, by the file's path and what
    changes when it is written to or replaced: a run that was stopped goes on, and a
    second one opens nothing that has not changed.

    Parameters
    ----------
    table : VideoTable
    n_jobs : int or None, default=None
        Videos that are opened at once, as joblib counts; -1 for all cores.
    out : str, Path or None, default=None
        A .parquet or .csv to write the table to.
    finder : FaceFinder, "dlib" or None, default="dlib"
        Looks for faces in four frames; None does not.
    store : Store, str, Path or None, default=None
        Where rows are kept; None is the usual folder.
    verbose : bool, default=False
        Show how far it is.

    Returns
    -------
    VideoTable
        With fps, frames, seconds, width, height (pixels), codec, file_size (bytes),
        quantiser (0 to 51, see `base_models.video.quality.estimate_qp`), brightness
        (mean luma, 0 to 255), readable, reason (why not), face (whether one was found),
        face_size (longer side of the largest face, pixels), digest (SHA-256) and phash
        (`perceptual_hash`). What could not be measured is missing.

    Raises
    ------
    ValueError
        If `out` ends in neither, before any video is opened.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd
    >>> from base_models import write_video
    >>> from ensemble.datasets import VideoTable, index_videos
    >>> folder = tempfile.mkdtemp()
    >>> frames = np.full((10, 48, 64, 3), 128, np.uint8)
    >>> path = str(write_video(f"{folder}/grey.mp4", frames))
    >>> table = VideoTable(pd.DataFrame({"path": [path, "lost.mp4"], "label": [0, 1]}))
    >>> found = index_videos(table, finder=None, store=f"{folder}/store").table
    >>> found[["frames", "width", "codec", "readable"]].to_numpy().tolist()
    [[10, 64, 'h264', True], [<NA>, <NA>, <NA>, False]]
    >>> found["reason"][1]
    'there is no such file'
    """
    check_out(out)
    if isinstance(finder, str):
        if finder != "dlib":
            raise ValueError(f"finder must be 'dlib', None or a finder; got {finder!r}")
        finder = DlibFaceFinder()
    store = store if isinstance(store, Store) else Store(store)
    videos = table.videos
    named = _finder_key(finder)
    keys = [_key(video, named) for video in videos]
    rows = [None if key is None else _kept(store, key) for key in keys]
    todo = [number for number, row in enumerate(rows) if row is None]
    failures = Failures()
    text = "indexing" if verbose else None
    done = len(videos) - len(todo)
    with progress_bar(text=text, total=len(videos), initial=done) as bar:
        measured = _in_parallel([videos[number] for number in todo], finder, n_jobs)
        for place, (row, error) in measured:
            failures.note(error)
            number = todo[place]
            rows[number], key = row, keys[number]
            is_sure = error is None or is_foreseen(error)
            if is_sure and key is not None and key == _key(videos[number], named):
                store.put("index", key, {}, row)
            bar.update()
    failures.check()
    indexed = _with_columns(table, rows)
    if out is not None:
        _write(indexed, Path(out))
    return indexed


def check_out(out: str | Path | None) -> None:
    """Refuse a file that `index_videos` could not write."""
    if out is None:
        return
    suffix = Path(out).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"out must end in {' or '.join(SUFFIXES)}; got {out}")
    if suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ImportError(
                ".parquet needs pyarrow: pip install 'deepfake-ensemble[parquet]', or "
                "write .csv"
            ) from error


def _write(table: VideoTable, out: Path) -> None:
    write = table.to_csv if out.suffix.lower() == ".csv" else table.to_parquet
    write(out)


def _key(video: str, finder: str | None) -> str | None:
    stamped: Any = stamp(video)
    name = os.path.realpath(video)
    if remote_address(video) is not None:
        try:
            name = stamped = video_digest(video)
        except VideoReadError:
            return None
    if stamped is None:
        return None
    return store_key(index=CODE_VERSION, video=name, stamp=stamped, finder=finder)


def _finder_key(finder: FaceFinder | None) -> str | None:
    """What stands for a finder; of one that cannot be described, in this process."""
    try:
        return None if finder is None else store_key(finder=finder)
    except TypeError:
        return session_key(finder)


def _kept(store: Store, key: str) -> dict[str, Any] | None:
    entry = store.get("index", key)
    return None if entry is None else entry[1]


def _in_parallel(
    videos: list[str], finder: FaceFinder | None, n_jobs: int | None
) -> Iterator[tuple[int, tuple[dict[str, Any], Exception | None]]]:
    """Measure videos, some at once: number and result, as they come."""
    tasks = [(video,) for video in findable(videos)]
    return run_each(_measure, tasks, work_of(videos), n_jobs, (finder,), _given_up)


def _given_up(
    task: tuple[str, FaceFinder | None], reason: str
) -> tuple[dict[str, Any], Exception]:
    """Return the row of a video that ends workers; it is not kept in the store."""
    give_up_video(task[0], reason)
    row = dict.fromkeys(MEASURED) | {"readable": False, "reason": reason}
    return row, RuntimeError(reason)


def _measure(
    video: str, finder: FaceFinder | None
) -> tuple[dict[str, Any], Exception | None]:
    return measure_video(video, finder)


def _with_columns(table: VideoTable, rows: list[Any]) -> VideoTable:
    frame = table.table.copy()
    for name in MEASURED:
        values = pd.Series([row[name] for row in rows], frame.index, dtype=object)
        kind = _TYPES[name]
        if kind is float:
            values = pd.to_numeric(values, errors="coerce")
        frame[name] = values.astype(kind)
    return VideoTable(frame, table.kind, table.classes, table.lists)
