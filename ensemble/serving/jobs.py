"""What was asked of the server, in SQLite: a restart loses nothing of it in silence."""

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
SCAN = "scan"  # the first task of a job; others are named after what they make
_MOST_BEGUN = 2  # times that a task is begun: a server that ends twice of it stops
_ENDED_TWICE = (
    "the server ended twice while it was looking at this file, so it was not tried "
    "again; look at the file elsewhere, or upload it again"
)
_TABLES = """
pragma journal_mode=wal;
pragma secure_delete=on;
pragma foreign_keys=on;
create table if not exists jobs (
    id text primary key, session text not null, name text not null,
    media text not null, address text, folder text not null, n_bytes integer not null,
    created real not null, finished real,
    model_name text not null default '', model_key text not null default ''
);
create table if not exists tasks (
    job text not null references jobs(id) on delete cascade, kind text not null,
    status text not null, progress real not null, doing text not null,
    reason text not null, created real not null, begun integer not null,
    primary key (job, kind)
);
create index if not exists waiting on tasks (status, created);
"""
_JOB = """
select id, session, name, media, address, folder, n_bytes, jobs.created, finished,
    status, progress, doing, reason, model_name, model_key
from jobs join tasks on job = id and kind = 'scan'
"""


@dataclass(frozen=True)
class ScanJob:
    """A file that was given to the server, and how far its scan is.

    Attributes
    ----------
    id : str
        22 random characters.
    session : str
        Of the browser that gave it; empty for who came with a token.
    name : str
        As it was uploaded: a text, never a path.
    media : {"video", "image"}
    address : str or None
        Where the file is fetched from; None once it is there.
    folder : str
        Random name of its folder.
    n_bytes : int
        Of all its files.
    created, finished : float
        Seconds since 1970; finished is None until then.
    status : {"queued", "running", "done", "failed"}
    progress : float
        0 to 1.
    doing : str
        What is being done, in words.
    reason : str
        Why it failed.
    model_name, model_key : str
        Which model scanned it, and what tells that from others (see
        `ensemble.serving.scanning.worker.model_facts`); empty until then.
    """

    id: str
    session: str
    name: str
    media: str
    address: str | None
    folder: str
    n_bytes: int
    created: float
    finished: float | None
    status: str
    progress: float
    doing: str
    reason: str
    model_name: str = ""
    model_key: str = ""

    def is_kept(self, seconds: float) -> bool:
        """Whether it ended less than so many seconds ago, or not at all."""
        return self.finished is None or time.time() <= self.finished + seconds

    @property
    def is_over(self) -> bool:
        """Whether its scan is done or failed."""
        return self.status in (DONE, FAILED)


class JobStore:
    """Jobs and their tasks, for all threads of one server.

    Parameters
    ----------
    path : str or Path
        Of the SQLite file.

    Examples
    --------
    >>> import tempfile
    >>> from ensemble.serving.jobs import JobStore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     jobs = JobStore(f"{folder}/jobs.sqlite")
    ...     job = jobs.add("clip.mp4", folder="8f3a", n_bytes=1000)
    ...     claimed, task = jobs.claim()
    ...     jobs.progress(job.id, 0.5, "scoring")
    ...     halfway = jobs.get(job.id)
    ...     jobs.finish(job.id)
    ...     done = jobs.get(job.id)
    ...     jobs.close()
    >>> claimed.name, task, halfway.status, halfway.progress, done.status
    ('clip.mp4', 'scan', 'running', 0.5, 'done')
    """

    def __init__(self, path: str | PathLike) -> None:
        self._lock = threading.RLock()
        self._database = sqlite3.connect(
            Path(path), check_same_thread=False, isolation_level=None
        )
        self._database.row_factory = sqlite3.Row
        try:
            self._database.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise ValueError(
                f"{path} is no database of scans, or a damaged one ({error}); move it "
                "away, or give another folder"
            ) from None
        columns = {row["name"] for row in self._rows("pragma table_info(jobs)")}
        for name in {"model_name", "model_key"} - columns:  # of an earlier server
            self._database.execute(
                f"alter table jobs add column {name} text not null default ''"
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield self._database.execute
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:  # a full disk has ended it
                    self._database.execute("rollback")
                raise

    def _rows(self, query, *values):
        with self._lock, closing(self._database.execute(query, values)) as found:
            return [dict(row) for row in found]

    def _jobs(self, where, *values):
        return [ScanJob(**row) for row in self._rows(f"{_JOB} {where}", *values)]

    def add(
        self,
        name: str,
        folder: str,
        n_bytes: int = 0,
        media: str = "video",
        session: str = "",
        address: str | None = None,
        most: int | None = None,
    ) -> ScanJob | None:
        """Add a job, whose scan waits.

        Parameters
        ----------
        name, folder, n_bytes, media, session, address
            See `ScanJob`.
        most : int or None, default=None
            Scans that may wait or run, this one included.

        Returns
        -------
        ScanJob or None
            None if there are as many already.
        """
        job, now = new_id(), time.time()
        with self._writing() as run:
            if most is not None and self.n_waiting() >= most:
                return None
            run("insert into jobs (id, session, name, media, address, folder, n_bytes, "
                "created) values (?, ?, ?, ?, ?, ?, ?, ?)",
                (job, session, name, media, address, folder, n_bytes, now))  # fmt: skip
            doing = "waiting" if address is None else "waiting to be fetched"
            run("insert into tasks values (?, ?, ?, 0, ?, '', ?, 0)",
                (job, SCAN, QUEUED, doing, now))  # fmt: skip
        return self.get(job)

    def fetched(self, job: str, name: str, media: str, n_bytes: int) -> None:
        """Note that the file behind a job's address is there: its scan may begin."""
        with self._writing() as run:
            run("update jobs set address = null, name = ?, media = ?, n_bytes = ? "
                "where id = ?", (name, media, n_bytes, job))  # fmt: skip
            run(
                "update tasks set doing = 'waiting', progress = 0 where job = ?", (job,)
            )
        self._forget_addresses()

    def ask(self, job: str, kind: str) -> str | None:
        """Ask for something that is made of a scan, unless it was asked for before.

        Returns
        -------
        str or None
            Its status; None if there is no such job.
        """
        with self._writing() as run:
            there = run("select 1 from jobs where id = ?", (job,)).fetchone()
            if there is None:
                return None
            run("insert into tasks values (?, ?, ?, 0, 'waiting', '', ?, 0) "
                "on conflict do nothing", (job, kind, QUEUED, time.time()))  # fmt: skip
        return self.task(job, kind)["status"]

    def task(self, job: str, kind: str) -> dict | None:
        """Return how far a task is, and why it failed; None if there is none."""
        rows = self._rows(
            "select status, progress, doing, reason from tasks "
            "where job = ? and kind = ?", job, kind
        )  # fmt: skip
        return rows[0] if rows else None

    def claim(self) -> tuple[ScanJob, str] | None:
        """Take the task that has waited longest; it runs from now on.

        Returns
        -------
        (ScanJob, str) or None
            The kind of the task beside its job.
        """
        with self._writing() as run:
            row = run("select job, kind from tasks join jobs on id = job "
                      "where status = 'queued' and address is null "
                      "order by tasks.created, job limit 1").fetchone()  # fmt: skip
            if row is None:
                return None
            run("update tasks set status = 'running', doing = 'beginning', "
                "begun = begun + 1 where job = ? and kind = ?",
                tuple(row))  # fmt: skip
            (job,) = self._jobs("where id = ?", row["job"])
        return job, row["kind"]

    def withdraw(self, job: str, kind: str) -> None:
        """Forget that something that is made of a scan was asked for."""
        with self._writing() as run:
            run("delete from tasks where job = ? and kind = ? and kind != 'scan'",
                (job, kind))  # fmt: skip

    def release(self, job: str, kind: str = SCAN) -> None:
        """Put a task that runs back into the queue: the server ends in order."""
        with self._writing() as run:
            run("update tasks set status = 'queued', progress = 0, doing = 'waiting', "
                "begun = begun - 1 where job = ? and kind = ? and status = 'running'",
                (job, kind))  # fmt: skip

    def progress(self, job: str, share: float, doing: str, kind: str = SCAN) -> None:
        """Note how far a task is, from 0 to 1, and what is being done."""
        with self._writing() as run:
            run("update tasks set progress = max(progress, ?), doing = ? "
                "where job = ? and kind = ?", (share, doing, job, kind))  # fmt: skip

    def finish(
        self,
        job: str,
        kind: str = SCAN,
        n_bytes: int | None = None,
        model: tuple[str, str] = ("", ""),
        media: str | None = None,
    ) -> None:
        """Note that a task is done; of a scan also which model it is of, and of what.

        Parameters
        ----------
        job, kind : str
        n_bytes : int or None, default=None
            Of all its files.
        model : (str, str), default=("", "")
            Name and key.
        media : {"video", "image"} or None, default=None
            Where that was seen by the scan.
        """
        with self._writing() as run:
            if kind == SCAN:
                run("update jobs set model_name = ?, model_key = ?, "
                    "media = coalesce(?, media) where id = ?",
                    (*model, media, job))  # fmt: skip
            self._end(run, job, kind, DONE, 1.0, "", n_bytes)

    def fail(
        self, job: str, reason: str, kind: str = SCAN, n_bytes: int | None = None
    ) -> None:
        """Note that a task failed, and why."""
        with self._writing() as run:
            self._end(run, job, kind, FAILED, 0.0, reason, n_bytes)
            had_address = run(
                "update jobs set address = null where id = ? and address is not null",
                (job,),
            ).rowcount
        if had_address:
            self._forget_addresses()

    def _forget_addresses(self):
        """Have what was nulled stand in no file any more: it may hold a password."""
        with self._lock, suppress(sqlite3.OperationalError):  # as of a full disk
            self._database.execute("pragma wal_checkpoint(truncate)").fetchall()

    def _end(self, run, job, kind, status, progress, reason, n_bytes):
        run("update tasks set status = ?, progress = ?, doing = '', reason = ? "
            "where job = ? and kind = ?",
            (status, progress, reason, job, kind))  # fmt: skip
        if kind == SCAN:
            run("update jobs set finished = ? where id = ?", (time.time(), job))
        if n_bytes is not None:
            run("update jobs set n_bytes = ? where id = ?", (n_bytes, job))

    def get(self, job: str) -> ScanJob | None:
        """Return a job; None if there is none of this id."""
        found = self._jobs("where id = ?", job)
        return found[0] if found else None

    def of_session(self, session: str) -> list[ScanJob]:
        """Return the jobs of one browser's session, the latest first."""
        return self._jobs("where session = ? order by jobs.created desc", session)

    def to_fetch(self) -> list[ScanJob]:
        """Return the jobs whose file is still to be fetched."""
        return self._jobs("where address is not null and status = 'queued'")

    def delete(self, job: str) -> ScanJob | None:
        """Forget a job and its tasks; return what it was."""
        with self._writing() as run:
            found = self.get(job)
            run("delete from jobs where id = ?", (job,))
        if found is not None and found.address is not None:
            self._forget_addresses()
        return found

    def expired(self, now: float, keep_seconds: float) -> list[ScanJob]:
        """Return the jobs that ended longer ago than they are kept."""
        return self._jobs("where finished < ?", now - keep_seconds)

    def folders(self) -> set[str]:
        """Return the names of all jobs' folders."""
        return {row["folder"] for row in self._rows("select folder from jobs")}

    def n_waiting(self) -> int:
        """Count the scans that wait or run."""
        (row,) = self._rows(
            "select count(*) as n from tasks where kind = 'scan' "
            "and status in ('queued', 'running')"
        )
        return row["n"]

    def counts(self) -> dict[str, int]:
        """Count the scans by status."""
        rows = self._rows(
            "select status, count(*) as n from tasks where kind = 'scan' "
            "group by status"
        )
        counted = {row["status"]: row["n"] for row in rows}
        return {status: counted.get(status, 0) for status in
                (QUEUED, RUNNING, DONE, FAILED)}  # fmt: skip

    def n_bytes(self) -> int:
        """Add up what all jobs take on the disk."""
        (row,) = self._rows("select coalesce(sum(n_bytes), 0) as n from jobs")
        return row["n"]

    def recover(self) -> None:
        """Queue again what ran when the server ended; fail what ran twice so."""
        rows = self._rows("select job, kind, begun from tasks where status = 'running'")
        for row in rows:
            if row["begun"] >= _MOST_BEGUN:
                self.fail(row["job"], _ENDED_TWICE, row["kind"])
        with self._writing() as run:
            run("update tasks set status = 'queued', progress = 0, doing = 'waiting' "
                "where status = 'running'")  # fmt: skip


def new_id() -> str:
    """Return 22 random characters that addresses may hold.

    Examples
    --------
    >>> from ensemble.serving.jobs import new_id
    >>> len(new_id())
    22
    """
    return secrets.token_urlsafe(16)
