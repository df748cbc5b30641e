"""Does one part of a batch run: scores its videos, writes it, notes what it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from base_models.addresses import remote_address
from base_models.batch.company import alone_here, beside_others
from base_models.batch.job import Job, Row
from base_models.batch.table_rows import rows_of
from base_models.batch.video_marks import marks_of, some_were_replaced
from base_models.choices import STATUSES
from base_models.errors import VideoReadError
from base_models.runtime.failures import that_travels
from base_models.runtime.remote.facts import asking_once
from base_models.scoring.kept_scores import known_of
from base_models.store.store import resolve_store, store_key
from base_models.video.paths import video_digest

TRIES = 3  # of a video by itself: one that ends its process each time is given up
NO_PATH = "the table names no video in this row"
GIVEN_UP = (
    f"it ended the process that worked on it {TRIES} times (out of memory, a fault of "
    "the decoder, or that process was killed from outside each time)"
)


class Done(NamedTuple):
    """What came of a part.

    Attributes
    ----------
    n_rows : int
    counts : dict of str to int
        Videos by status.
    alike : Exception or None
        What was raised for every video of the part, where it is no video's fault.
    """

    n_rows: int
    counts: dict[str, int]
    alike: Exception | None


def do_part(packed: Any, number: int) -> Done:
    """Score the videos of a part and write it, if it is not there yet.

    Before it begins a note is left beside the output. Where such a note is there
    already, somebody did not end: then the videos are scored one by one, with a note
    before each, and one that ended its process `TRIES` times is given up.

    Parameters
    ----------
    packed : object
        With the job, see `base_models.batch.job.packed`.
    number : int

    Returns
    -------
    Done
    """
    job = packed.job()
    start, stop = job.bounds(number)
    there = counts_before(job, number)
    if there is not None:
        job.folder.note(number, None)
        return Done(stop - start, there, None)
    table = rows_of(job.table, start, stop)
    videos = job.table.videos(table.column(job.table.column).to_pylist())
    attempt, marks = job.folder.attempt(number), marks_of(videos)
    with asking_once():  # score, key and doubts are of one version
        if not videos:
            written, alike = {name: [] for name, _ in job.scorer.columns()}, None
        elif attempt is None:
            with beside_others():
                written, alike = _together(job, number, videos)
        else:
            written, alike = _one_by_one(job, number, videos, attempt)
    counts = {**dict.fromkeys(STATUSES, 0), **Counter(written["status"])}
    job.folder.write_part(
        number,
        _laid_out(job, table, start, written),
        {"counts": counts, "videos": marks},
        job.run,
    )
    job.folder.note(number, None)
    return Done(stop - start, counts, alike)


def counts_before(job: Job, number: int) -> dict[str, int] | None:
    """Return the videos by status of a part that an earlier run has done.

    Parameters
    ----------
    job : Job
    number : int

    Returns
    -------
    dict of str to int, or None
        None where the part is to be done: it is not there, not whole, or one of its
        videos was replaced since.
    """
    start, stop = job.bounds(number)
    note = job.folder.part_note(number, stop - start, job.run)
    if note is None:
        return None
    marks = note.get("videos")  # earlier releases noted none
    if marks:
        try:
            named = job.folder.column(number, job.renamed[job.table.column])
        except (OSError, ValueError):  # damaged behind its head
            return None
        if some_were_replaced(job.table.videos(named), marks):
            return None
    return note["counts"]


def _together(job, number, videos):
    """Score all videos of a part; what is decoded ahead makes that quicker."""
    job.folder.note(number, {})
    try:
        rows, alike = _scored(job, videos)
        return job.scorer.written(videos, rows), alike
    except BaseException:  # who can say so has not ended the process
        job.folder.note(number, None)
        raise


def _one_by_one(job, number, videos, attempt):
    """Score the videos of a part which ended its process, a note before each."""
    written: dict[str, list] = {name: [] for name, _ in job.scorer.columns()}
    failed, worked = [], False
    for place, video in enumerate(videos):
        tried = attempt.get(str(place), 0)
        if tried >= TRIES:
            row, alike = _without(job, GIVEN_UP), None
            said = job.scorer.written([video], [row])
        else:
            with _alone(job) if tried else beside_others():
                job.folder.note(number, {**attempt, str(place): tried + 1})
                row, alike, said = _by_itself(job, number, video, attempt)
        for name, values in said.items():
            written[name] += list(values)
        failed += [alike] if alike else []
        worked = worked or not np.isnan(row[0]).all()
    kinds = {type(error) for error in failed}
    return written, failed[0] if len(kinds) == 1 and not worked else None


@contextmanager
def _alone(job):
    """Wait until no other suspect of the run is tried, and nothing else runs here."""
    with job.folder.alone(), alone_here():
        yield


def _by_itself(job, number, video, attempt):
    """Score one video; take its note back if this process lives on."""
    try:
        row, alike = _kept(job, video), None
        if row is None:
            [row], alike = _scored(job, [video])
        said = job.scorer.written([video], [row])
    except BaseException:
        job.folder.note(number, attempt)
        raise
    job.folder.note(number, attempt)
    return row, alike, said


def _scored(job, videos) -> tuple[list[Row], Exception | None]:
    """Return a row of each video, and what was raised for all of them alike."""
    rows: list[Any] = [None if video else _without(job, NO_PATH) for video in videos]
    places = [place for place, video in enumerate(videos) if video]
    asked, came, alike = [videos[place] for place in places], 0, None
    before = [_digest(video) for video in asked]
    try:
        for row in job.scorer.each(asked) if asked else ():
            rows[places[came]] = row
            if _digest(asked[came]) == before[came]:  # it may have been replaced since
                _keep(job, asked[came], row)
            came += 1
    except Exception as error:  # after the last video: it is the reason of each
        if came < len(asked):
            raise
        alike = that_travels(error)
    return rows, alike


def _without(job, reason) -> Row:
    n_detectors = len(job.scorer.names)
    return (
        np.full(n_detectors, np.nan),
        np.full(n_detectors, reason, dtype=object),
        None,
    )


def _digest(video):
    """Return what changes when a file, or an image of a folder, is replaced.

    What is behind an address is asked for once in a part, and read in that version.
    """
    try:
        return None if remote_address(video) else video_digest(video)
    except (OSError, ValueError):
        return None


def _key(job, video):
    """Return the key of a video's scores in the store; None of what cannot be read."""
    if not video:
        return None
    try:
        known = known_of(job.scorer.detectors(), video, video_digest(video))
        return store_key(batch=[job.run, job.model], video=known)
    except VideoReadError:
        return None


def _keep(job, video, row):
    """Keep the scores of a video: a part that is stopped goes on where it was."""
    scores, reasons, faces = row
    key = None if np.isnan(scores).any() else _key(job, video)
    if key is None:
        return
    arrays, meta = {"scores": scores}, {"reasons": list(reasons)}
    if faces is not None:
        arrays["of_faces"], meta["of_faces"] = faces[0], faces[1].tolist()
    resolve_store(job.scorer.store).put("scores", key, arrays, meta)


def _kept(job, video) -> Row | None:
    """Return the scores of a video that were kept; None where there are none."""
    key = _key(job, video)
    entry = None if key is None else resolve_store(job.scorer.store).get("scores", key)
    if entry is None:
        return None
    arrays, meta = entry
    faces = None
    if "of_faces" in arrays:
        faces = arrays["of_faces"], np.array(meta["of_faces"], dtype=object)
    return arrays["scores"], np.array(meta["reasons"], dtype=object), faces


def _laid_out(job, table, start, written):
    """Return the rows of the output: number, columns of the input, what is said."""
    import pyarrow

    given = table.rename_columns([job.renamed[name] for name in table.column_names])
    numbers = pyarrow.array(range(start, start + table.num_rows), pyarrow.int64())
    columns = {"row": numbers}
    columns |= dict(zip(given.column_names, given.columns, strict=True))
    for name, kind in job.scorer.columns():
        columns[name] = _array(written[name], kind)
    return pyarrow.table(columns)


def _array(values: Sequence[Any], kind: str) -> Any:
    """Return a column; a missing score is null there."""
    import pyarrow

    if kind == "double":
        numbers = np.asarray(values, float)
        return pyarrow.array(numbers, pyarrow.float64(), mask=np.isnan(numbers))
    return pyarrow.array([_text(value) for value in values], pyarrow.string())


def _text(value):
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
