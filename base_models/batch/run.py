"""A batch run over a table of videos: what is to be done, what is done, what came."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from base_models.addresses import public_name
from base_models.batch.engines import check_engine, run_parts
from base_models.batch.input_table import InputTable, in_full, open_table
from base_models.batch.job import Job, RowScorer, is_known_in_full
from base_models.batch.output_folder import FORMAT, OutputFolder, part_name
from base_models.batch.parts import counts_before
from base_models.choices import PARTIAL, SCORED, STATUSES, UNSCORABLE
from base_models.errors import DeepfakeEnsembleWarning
from base_models.limits import current_limits, reading_limits
from base_models.runtime.failures import Failures
from base_models.runtime.progress import progress_bar

PART_SIZE = 1000
_ENOUGH = 100  # videos that all fail alike: it is the fault of no video
_AT_ONCE = 16  # parts that are looked at


@dataclass(frozen=True)
class BatchSummary:
    """What came of a batch run.

    Attributes
    ----------
    output : str
        The folder, or address, with the parts.
    n_rows : int
        Of the table, and of all parts.
    n_scored, n_partial, n_unscorable : int
        Videos by status: scored by all detectors, by some, by none.
    n_parts, n_skipped : int
        All parts, and those that an earlier run had done.
    seconds : float

    Examples
    --------
    >>> from base_models.batch.run import BatchSummary
    >>> print(BatchSummary("verdicts", 5, 3, 1, 1, 2, 0, 1.5))
    5 videos: 3 scored, 1 partial, 1 unscorable; 2 parts, 0 done before, in 1.5 s
    """

    output: str
    n_rows: int
    n_scored: int
    n_partial: int
    n_unscorable: int
    n_parts: int
    n_skipped: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.n_rows} videos: {self.n_scored} scored, {self.n_partial} partial, "
            f"{self.n_unscorable} unscorable; {self.n_parts} parts, {self.n_skipped} "
            f"done before, in {self.seconds:.1f} s"
        )


def run_table(
    scorer: RowScorer,
    table: str | os.PathLike,
    output: str | os.PathLike,
    engine: str | None = None,
    column: str | None = None,
    part_size: int = PART_SIZE,
    overwrite: bool = False,
    encoding: str | None = None,
    progress: str | None = None,
    isolation: str | None = "process",
    timeout: float | None = None,
) -> BatchSummary:
    """Score all videos of a table, part by part: see `base_models.score_table`.

    Parameters
    ----------
    scorer : RowScorer
    table, output, engine, column, part_size, overwrite, encoding, progress
        As for `base_models.score_table`.
    isolation, timeout
        As for `base_models.score_table`.

    Returns
    -------
    BatchSummary
    """
    begun = time.monotonic()
    if isinstance(part_size, bool) or not isinstance(part_size, int) or part_size < 1:
        raise ValueError(f"part_size must be a whole number from 1; got {part_size!r}")
    limits = _limits(isolation, timeout)
    opened = open_table(table, column, encoding)
    folder = OutputFolder(in_full(output))
    _check_apart(opened, folder)
    check_engine(engine)
    job, manifest = _planned(scorer, opened, folder, part_size)
    folder.check(manifest, overwrite)
    if folder.manifest() == manifest:
        _warn_of_functions(scorer, folder)
    with folder.locked(), limits:
        folder.begin(manifest, overwrite)
        counts, n_skipped = _run(job, engine, progress)
    return BatchSummary(
        folder.path,
        opened.n_rows,
        *(counts[status] for status in (SCORED, PARTIAL, UNSCORABLE)),
        job.n_parts,
        n_skipped,
        time.monotonic() - begun,
    )


def _limits(isolation, timeout):
    changed: dict[str, Any] = {"isolation": isolation}
    if os.name != "posix" and isolation == "process":  # the default
        changed = {}
    if timeout is not None:
        changed["video_seconds"] = timeout
    replace(current_limits(), **changed)  # raises what is wrong with them
    return reading_limits(**changed)


def _warn_of_functions(scorer, folder):
    """Say what a run that goes on cannot see: files that a user's code has read."""
    named = zip(scorer.names, scorer.detectors(), strict=True)
    theirs = [name for name, detector in named if not is_known_in_full(detector)]
    if theirs and folder.names():
        warnings.warn(
            f"the run in {public_name(folder.path)} goes on: {', '.join(theirs)} "
            f"{'is' if len(theirs) == 1 else 'are'} known by code and values. If a "
            "file read there, such as weights, was replaced since, begin anew with "
            "overwrite=True, or scores of two models are mixed",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def check_run(
    table: str | os.PathLike,
    output: str | os.PathLike,
    engine: str | None = None,
    column: str | None = None,
    encoding: str | None = None,
) -> int:
    """Refuse what `run_table` would, as far as that needs no model; return the rows.

    Parameters
    ----------
    table, output, engine, column, encoding
        As for `base_models.score_table`.

    Returns
    -------
    int
        Rows of the table.
    """
    opened = open_table(table, column, encoding)
    folder = OutputFolder(in_full(output))
    _check_apart(opened, folder)
    check_engine(engine)
    if folder.manifest() is None:
        folder.check({})
    return opened.n_rows


def _check_apart(table: InputTable, folder: OutputFolder) -> None:
    """Refuse an output that would be read as part of the input."""
    own, out = (
        path if "://" in path else os.path.realpath(path)
        for path in (table.path.rstrip("/"), folder.path.rstrip("/"))
    )
    if out == own or out.startswith(f"{own}/"):
        raise ValueError(
            f"the output {public_name(folder.path)} would lie in the table "
            f"{public_name(table.path)}; give another folder"
        )


def _planned(scorer, table, folder, part_size) -> tuple[Job, dict[str, Any]]:
    """Return the job, and the manifest by which another run knows it."""
    said = scorer.columns()
    renamed = _renamed([name for name, _ in table.columns], [name for name, _ in said])
    model = scorer.digest()
    manifest = {
        "format": FORMAT,
        "version": _version(),
        "model": model,
        "input": {
            "path": public_name(table.path),
            "files": len(table.files),
            "version": table.version,
            "column": table.column,
            **({} if table.kind == "parquet" else table.reading),
        },
        "rows": table.n_rows,
        "part_size": part_size,
        "columns": [
            ["row", "int64"],
            *([renamed[name], str(kind)] for name, kind in table.columns),
            *([name, kind] for name, kind in said),
        ],
    }
    manifest = json.loads(json.dumps(manifest))
    run = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    return Job(scorer, table, folder, part_size, renamed, run[:16], model), manifest


def _version():
    try:
        return metadata.version("deepfake-ensemble")
    except metadata.PackageNotFoundError:
        return "not installed"


def _renamed(given, said):
    """Return the names of the input's columns in the output.

    One that is called like a column of the output, in any case of its letters, gets
    ``input_`` before its name.
    """
    ours = {name.lower() for name in ("row", *said)}
    names = {name: f"input_{name}" if name.lower() in ours else name for name in given}
    counts = Counter(name.lower() for name in ("row", *said, *names.values()))
    twice = [name for name in (*said, *names.values()) if counts[name.lower()] > 1]
    if twice:
        raise ValueError(
            f"two columns of the output would be called {twice[0]!r} (upper and lower "
            "case are the same to many readers); rename that column of the table, or "
            "the detector"
        )
    return names


def _run(job, engine, progress) -> tuple[Counter, int]:
    """Do the parts that are not there yet; return the videos by status."""
    counts, noted, failed = Counter(dict.fromkeys(STATUSES, 0)), Failures(), []
    todo, n_here = [], 0
    for number, known in _looked_at(job):
        if known is None:
            todo.append(number)
        else:
            counts.update(known)
    n_skipped = job.n_parts - len(todo)
    if counts[SCORED] + counts[PARTIAL]:
        noted.note(None)
    n_done = sum(counts.values())
    with progress_bar(text=progress, total=job.table.n_rows, initial=n_done) as bar:
        for number, done in _until_done(job, engine, todo):
            bar.update(done.n_rows)
            counts.update(done.counts)
            n_here += done.n_rows
            if done.alike is not None:
                noted.note(done.alike)
                failed.append(number)
            elif done.counts[SCORED] + done.counts[PARTIAL]:
                noted.note(None)
            if failed and n_here >= _ENOUGH:
                _check(noted, failed, job)
    _check(noted, failed, job)
    return counts, n_skipped


def _looked_at(job) -> Iterator[tuple[int, dict | None]]:
    """Yield each part with its counts; None of one that is to be done."""
    there = set(job.folder.names())

    def look(number):
        if part_name(number) not in there:
            return number, None
        return number, counts_before(job, number)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(look, range(job.n_parts))


def _until_done(job, engine, todo):
    """Do parts; those that ended their processes again, as long as notes go on."""
    while todo:
        before = {number: job.folder.attempt(number) for number in todo}
        left = set(todo)
        try:
            for number, done in run_parts(engine, job, todo):
                if done is not None:
                    left.discard(number)
                    yield number, done
        except BaseException:  # it ended workers in the midst of a video: no fault
            for number in sorted(left):
                if job.folder.attempt(number) != before[number]:
                    job.folder.note(number, before[number])
            raise
        todo = sorted(left)
        stuck = [n for n in todo if job.folder.attempt(n) == before[n]]
        if stuck:
            raise RuntimeError(
                f"{part_name(stuck[0])} ended each process that worked on it before a "
                "video was begun: out of memory, or a fault in compiled code. Give "
                "workers more memory; parts that are done stay"
            )


def _check(noted, failed, job):
    """Raise what failed for every video; its parts are to be done again then."""
    try:
        noted.check()
    except Exception:
        for number in failed:
            job.folder.drop_part(number)
        raise
