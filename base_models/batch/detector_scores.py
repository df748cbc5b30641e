"""Scores of detectors for all videos of a table, written part by part."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator

from base_models.batch.job import Row
from base_models.batch.run import PART_SIZE, BatchSummary, run_table
from base_models.choices import PARTIAL, SCORED, UNSCORABLE
from base_models.detectors.bases.video import with_fingerprints
from base_models.scoring.naming import name_detectors
from base_models.scoring.together import iter_scores
from base_models.store.code import code_digest
from base_models.store.store import Store, fingerprint, resolve_store
from base_models.store.versions import is_own_module

_NOT_OF_SCORES = ("store", "device", "verbose", "n_jobs")


def score_table(
    detectors: Sequence | dict,
    table: str | os.PathLike,
    output: str | os.PathLike,
    engine: str | None = None,
    *,
    column: str | None = None,
    part_size: int = PART_SIZE,
    store: Store | str | os.PathLike | None = None,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: str | None = None,
    isolation: str | None = "process",
    timeout: float | None = None,
) -> BatchSummary:
    """Score a table of videos of any length into a folder of parquet files.

    Scores are those of `score_videos`, bit for bit. The output has a row for each row
    of the table, in its order: ``row``, its number from 0; all columns of the table;
    ``status``, scored, partial or unscorable; P(fake) by each detector, missing where
    there is none; and ``NAME_reason``, why. A column of the table with one of these
    names has ``input_`` before it. Columns of the table are copied as they are, with
    passwords and signatures of addresses that stand there.

    Parts are written as they are done. Run again, those that are there are skipped. A
    video that ends its process three times, run again or not, is given up with that
    reason.

    Parameters
    ----------
    detectors : sequence of detectors, of (name, detector) pairs, or dict
        Fitted.
    table : str or Path
        Parquet, a folder of parquet files, or CSV (also .csv.gz), in which columns stay
        text. An address such as ``s3://...`` goes by fsspec. Relative paths in it begin
        in its own folder.
    output : str or Path
        A folder that is new or empty, or holds a run of the same videos and detectors;
        or an address.
    engine : {"dask", "ray"} or None, default=None
        None runs parts where joblib is set to run, one after another here if it is not
        set. "dask" uses the current client; "ray" uses Ray Data, with an actor for each
        GPU, or core, that loads the detectors once.
    column : str or None, default=None
        With the videos; None takes ``path``, or the only one that is called like it.
    part_size : int, default=1000
        Rows of a part: what is scored again after a run was stopped, though what the
        store kept is not.
    store : Store, str, Path or None, default=None
        As for `score_videos`.
    overwrite : bool, default=False
        Delete the parts of another run in `output`.
    encoding : str or None, default=None
        Of CSV.
    progress : str or None, default=None
        What to write before a progress bar; None shows none.
    isolation : "process" or None, default="process"
        Whether each worker has a process read its videos, which may die of one, as in
        a block of `base_models.reading_limits`; never on Windows.
    timeout : float or None, default=None
        Seconds that reading a video may take; None is what `reading_limits` says.

    Returns
    -------
    BatchSummary

    Raises
    ------
    ValueError
        Before any work: where the table or the output cannot be what is meant.
    ImportError
        Without pyarrow (extra ``parquet``) or the engine (``dask``, ``ray``).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from base_models import CallableDetector, score_table
    >>> def size(videos):
    ...     return [len(Path(video).name) / 10 for video in videos]
    >>> sizes = CallableDetector(size).fit(["a.mp4", "b.mp4"], [0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder) / "videos.csv"
    ...     _ = table.write_text("path,source\\na.mp4,096\\nbcd.mp4,097\\n")
    ...     done = score_table({"sizes": sizes}, table, Path(folder) / "scores")
    ...     pd.read_parquet(done.output)
       row     path source  status  sizes sizes_reason
    0    0    a.mp4    096  scored    0.5
    1    1  bcd.mp4    097  scored    0.7
    """
    scorer = DetectorRows(detectors, store)
    return run_table(
        scorer, table, output, engine, column, part_size, overwrite, encoding, progress,
        isolation, timeout,
    )  # fmt: skip


class DetectorRows:
    """What detectors say of videos, as the rows of a table.

    Parameters
    ----------
    detectors, store
        As for `score_table`.

    Examples
    --------
    >>> from base_models import CallableDetector
    >>> from base_models.batch.detector_scores import DetectorRows
    >>> half = CallableDetector(lambda videos: [0.5] * len(videos))
    >>> rows = DetectorRows({"half": half.fit(["a.mp4", "b.mp4"], [0, 1])})
    >>> rows.written(["c.mp4"], list(rows.each(["c.mp4"])))
    {'status': ['scored'], 'half': [0.5], 'half_reason': ['']}
    """

    def __init__(
        self,
        detectors: Sequence | dict,
        store: Store | str | os.PathLike | None = None,
    ) -> None:
        self._named = name_detectors(detectors)
        self.names = [name for name, _ in self._named]
        self.store = store if store is None else resolve_store(store)
        self.wants_gpu = any(wants_gpu(detector) for _, detector in self._named)

    def detectors(self) -> list[Any]:
        """Return the detectors."""
        return [detector for _, detector in self._named]

    def columns(self) -> list[tuple[str, str]]:
        """Return name and type of what is written."""
        columns = [("status", "string")]
        for name in self.names:
            columns += [(name, "double"), (f"{name}_reason", "string")]
        return columns

    def digest(self) -> str:
        """Return what stands for the detectors."""
        return joblib.hash(
            [(name, detector_digest(detector)) for name, detector in self._named],
            "sha1",
        )[:16]

    def each(self, videos: list[str]) -> Iterator[Row]:
        """Yield what the detectors say of one video after another."""
        for scores, reasons in iter_scores(copies(self._named), videos, self.store):
            yield scores, reasons, None

    def written(self, videos: list[str], rows: list[Row]) -> dict[str, list]:
        """Return the columns of some videos."""
        written: dict[str, list] = {"status": [_status(row[0]) for row in rows]}
        for place, name in enumerate(self.names):
            written[name] = [float(row[0][place]) for row in rows]
            written[f"{name}_reason"] = [row[1][place] for row in rows]
        return written


def copies(named: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return detectors for one part: other threads may be in the midst of a video."""
    return [(name, copy.copy(detector)) for name, detector in named]


def wants_gpu(detector: Any) -> bool:
    """Return whether a detector computes on a GPU where there is one.

    Examples
    --------
    >>> from base_models import FrameDetector
    >>> from base_models.batch.detector_scores import wants_gpu
    >>> wants_gpu(FrameDetector()), wants_gpu(FrameDetector(device="cpu"))
    (True, False)
    """
    device = getattr(_opened(detector), "device", "cpu")
    return device is None or str(device).startswith("cuda")


def detector_digest(detector: Any) -> str:
    """Return what stands for a fitted detector: its parameters and what it learned.

    Parameters
    ----------
    detector : detector

    Returns
    -------
    str
        Where not all of it can be told, as of a function that opens files, what can be
        counts: its code, values that it closes over, its object's attributes.
    """
    detector = _opened(detector)
    kind = f"{type(detector).__module__}.{type(detector).__qualname__}"
    parts: Any = detector
    if hasattr(detector, "get_state"):
        params = detector.get_params(deep=False)
        for name in _NOT_OF_SCORES:
            params.pop(name, None)
        parts = [params, detector.get_state(portable=False)]
    try:
        if parts is not detector:
            parts[0] = with_fingerprints(parts[0])
            if not is_own_module(type(detector).__module__):
                parts.append(code_digest(type(detector), in_full=False))
            return kind + joblib.hash(parts, "sha1")
        function = getattr(detector, "function", None)
        told = fingerprint(function) if function else ""
        return kind + fingerprint(detector) + told
    except (TypeError, AttributeError, pickle.PicklingError):
        return kind + code_digest(parts, in_full=False)


def _opened(detector):
    return detector.estimator if isinstance(detector, FrozenEstimator) else detector


def _status(scores):
    known = ~np.isnan(scores)
    return SCORED if known.all() else PARTIAL if known.any() else UNSCORABLE
