"""What workers need to know of a batch run; its model is unpacked once a process."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.frozen import FrozenEstimator

from base_models.batch.input_table import InputTable
from base_models.batch.output_folder import OutputFolder
from base_models.runtime.caches import Cache
from base_models.runtime.parallel import is_local, n_jobs_here
from base_models.store.versions import is_own_module

Row = tuple[np.ndarray, np.ndarray, Any]  # scores, reasons, and those of several faces

_opened = Cache(f"{__name__}._opened", maxsize=2)


class RowScorer(Protocol):
    """What scores the videos of a table.

    Attributes
    ----------
    names : list of str
        Of the detectors.
    store : Store, str, Path or None
    wants_gpu : bool
        Whether some detector uses a GPU where there is one.
    """

    names: list[str]
    store: Any
    wants_gpu: bool

    def detectors(self) -> list[Any]:
        """Return the detectors."""

    def columns(self) -> list[tuple[str, str]]:
        """Return name and type, ``"double"`` or ``"string"``, of what is written."""

    def digest(self) -> str:
        """Return what stands for the model and its settings."""

    def each(self, videos: list[str]) -> Iterator[Row]:
        """Yield what the detectors say of one video after another."""

    def written(self, videos: list[str], rows: list[Row]) -> dict[str, list]:
        """Return the columns of some videos; ``status`` is one of them."""


def is_known_in_full(detector: Any) -> bool:
    """Return whether a digest counts all that a detector's scores depend on.

    Examples
    --------
    >>> from base_models import CallableDetector, FrameDetector
    >>> from base_models.batch.job import is_known_in_full
    >>> is_known_in_full(FrameDetector()), is_known_in_full(CallableDetector(len))
    (True, False)
    """
    if isinstance(detector, FrozenEstimator):
        detector = detector.estimator
    is_ours = is_own_module(type(detector).__module__)
    return is_ours and hasattr(detector, "get_state")


@dataclass(frozen=True)
class Job:
    """A batch run, as its workers need to know it.

    Attributes
    ----------
    scorer : RowScorer
    table : InputTable
    folder : OutputFolder
    part_size : int
        Rows of a part.
    renamed : dict of str to str
        Columns of the input by the names that they have in the output.
    run : str
        What its parts are known by.
    model : str
        What its kept scores are known by.
    """

    scorer: RowScorer
    table: InputTable
    folder: OutputFolder
    part_size: int
    renamed: dict[str, str]
    run: str
    model: str

    @property
    def n_parts(self) -> int:
        """How many parts there are; one without rows of an empty table."""
        return max(1, -(-self.table.n_rows // self.part_size))

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the first row of a part, and the first after it."""
        start = number * self.part_size
        return start, min(start + self.part_size, self.table.n_rows)


class Packed:
    """A job on its way to other processes, each of which unpacks it once.

    Parameters
    ----------
    job : Job
    file : str or None
        Where it lies packed, for processes of this machine; None sends it along.
    """

    def __init__(self, job: Job, file: str | None = None) -> None:
        # As joblib does it, which takes functions of __main__, too.
        from joblib.externals.loky.backend.reduction import dumps

        self._job, content = job, bytes(dumps(job))
        self._key = hashlib.sha256(content).hexdigest()
        self._where: str | bytes = content
        if file is not None:
            with open(file, "wb") as opened:
                opened.write(content)
            self._where = file

    def job(self) -> Job:
        """Return the job; where it came from another process, this process' one."""
        return self._job

    def __reduce__(self):
        return _unpacked, (self._key, self._where)


class _Came:
    """A job that came from another process."""

    def __init__(self, key, where, job):
        self._key, self._where, self._job = key, where, job

    def job(self):
        return self._job

    def __reduce__(self):
        return _unpacked, (self._key, self._where)


def _unpacked(key, where):
    job = _opened.get(key)
    if job is None:
        content = where
        if isinstance(where, str):
            with open(where, "rb") as file:
                content = file.read()
        job = _opened.setdefault(key, pickle.loads(content))
    return _Came(key, where, job)


@contextmanager
def packed(job: Job, anywhere: bool = False) -> Iterator[Any]:
    """Yield a job as tasks can hold it, packed only if they leave this process.

    Parameters
    ----------
    job : Job
    anywhere : bool, default=False
        Whether they may run on other machines, whatever joblib is set to.
    """
    if anywhere or not is_local():
        yield Packed(job)
        return
    if n_jobs_here(None) == 1:
        yield _Here(job)
        return
    from joblib.externals.loky.backend import resource_tracker

    folder = tempfile.mkdtemp(prefix="deepfake-ensemble-")
    resource_tracker.register(folder, "folder")  # it goes, too, if we are killed
    try:
        yield Packed(job, os.path.join(folder, "job"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        resource_tracker.unregister(folder, "folder")


class _Here:
    """A job that stays in this process."""

    def __init__(self, job):
        self._job = job

    def job(self):
        return self._job
