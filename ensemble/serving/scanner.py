"""The thread that hands jobs to the process that scans, oldest first."""

import logging
import sqlite3
import threading
import time
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.serving.files import ServerFiles
from ensemble.serving.jobs import QUEUED, SCAN, JobStore, ScanJob
from ensemble.serving.problems import is_full_disk
from ensemble.serving.scanning.process import Lost, ScanProcess, Stopped
from ensemble.serving.scanning.products import BY_MODEL, FILES, PLAYABLE
from ensemble.serving.settings import ServedModel, ServerSettings

_log = logging.getLogger(__name__)
_IDLE = 0.5  # seconds between looks for work, if nobody calls
_TIDY = 2.0  # seconds between looks for what is to be deleted
_AGAIN = 5.0  # seconds until a process that cannot be begun is tried again
_INTERNAL = "an error of the server ({}); its log has the details"
_FULL = "the disk of the server was full; send the file once more in a while"
UPLOAD = "upload"  # of a job's file, before its ending
_STUCK = (
    "the model cannot be loaded any more: tell whoever runs this server, whose log "
    "says why"
)


class Scanner:
    """Scans what waits, and deletes what is over.

    Parameters
    ----------
    model : ServedModel
    settings : ServerSettings
    jobs : JobStore
    files : ServerFiles

    Attributes
    ----------
    model_facts : dict
        What the server says of its model, once it is loaded.
    counted : Counter
        Tasks by (kind, how they ended); ``seconds`` has their time.
    is_stuck : bool
        Whether the model cannot be loaded any more: its file is gone, say, or holds
        another one.
    """

    def __init__(
        self,
        model: ServedModel,
        settings: ServerSettings,
        jobs: JobStore,
        files: ServerFiles,
    ) -> None:
        self._model, self._settings = model, settings
        self._jobs, self._files = jobs, files
        self._process: ScanProcess | None = None
        self._wake, self._is_ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._now: tuple[str, str] | None = None
        self._tidied = 0.0
        self._unsaid: list[tuple[str, str, str]] = []  # failures still to be noted
        self._saying = threading.Lock()
        self.model_facts: dict = {}
        self.counted: Counter = Counter()
        self.seconds: Counter = Counter()
        self.n_replaced = 0
        self.is_stuck = False

    @property
    def is_ready(self) -> bool:
        """Whether a process with the model is there."""
        process = self._process
        return process is not None and process.is_alive

    @property
    def why_not_ready(self) -> str:
        """What keeps it from scanning, where it is not ready."""
        return _STUCK if self.is_stuck else "the model is being loaded"

    @property
    def memory(self) -> int:
        """Bytes of memory of the process that scans."""
        process = self._process
        return 0 if process is None else process.memory()

    def start(self) -> None:
        """Load the model, then begin to work.

        Raises
        ------
        ValueError
            If the model cannot be loaded.
        """
        if self._thread is not None:
            return
        self._process = self._begun()
        self.model_facts = self._process.facts
        self._say_what_asks_all()
        self._jobs.recover()
        self._files.delete_others(self._jobs.folders())
        self._thread = threading.Thread(target=self._run, name="scanner", daemon=True)
        self._thread.start()

    def _say_what_asks_all(self):
        in_turn = self.model_facts.get("cascade")
        if in_turn is not None and in_turn["problem"]:
            warnings.warn(in_turn["problem"], DeepfakeEnsembleWarning, stacklevel=2)

    def wake(self) -> None:
        """Say that something waits, or is to be broken off."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and the process; what is being done will be done anew."""
        self._is_ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._end_process()

    def delete(self, job: str) -> bool:
        """Forget a job and delete its files; break it off if it runs.

        Returns
        -------
        bool
            Whether there was one.
        """
        try:
            found = self._jobs.delete(job)
        except sqlite3.Error as error:
            found = self._jobs.get(job)
            if found is None or not is_full_disk(error):
                raise
            self._files.delete(found.folder)  # which makes room for saying so
            found = self._jobs.delete(job)
        if found is None:
            return False
        if self._now is None or self._now[0] != job:
            self._files.delete(found.folder)
        self.wake()
        return True

    def other_model(self, job: ScanJob) -> str:
        """Say that a scan is of another model than the one that is loaded.

        Returns
        -------
        str
            Empty where it is of this one.
        """
        if job.model_key == self.model_facts.get("key", ""):
            return ""
        now = self.model_facts.get("file", {}).get("name") or "another model"
        then = job.model_name or "another model"
        if now == then:
            now = "that with other content, another threshold or another cascade"
        return (
            f"this file was scanned by {then}, and the server runs {now} now; send the "
            "file once more to have it scanned by that"
        )

    def doing(self, job: ScanJob) -> str:
        """Say what is being done for a job, or why nothing is."""
        return _STUCK if self.is_stuck and job.status == QUEUED else job.doing

    def note_failure(self, job: str, reason: str, kind: str = SCAN) -> None:
        """Note why a task failed; where the disk is full, as soon as that can be."""
        with self._saying:
            self._unsaid.append((job, reason, kind))
        self._say_failures()

    def _say_failures(self):
        with self._saying:
            while self._unsaid:
                try:
                    self._jobs.fail(*self._unsaid[0])
                except sqlite3.OperationalError as error:
                    _log.error("a failure cannot be noted yet: %s", error)
                    return
                del self._unsaid[0]

    def _begun(self):
        model = self._model
        settings = self._settings
        return ScanProcess(model.opener, model.paths, model.options, self._files.folder,
                           settings.worker_bytes, settings.cascade)  # fmt: skip

    def _end_process(self):
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _run(self):
        while not self._is_ending.is_set():
            try:
                self._wake.clear()
                self._say_failures()
                self._tidy()
                if not self._has_process():
                    self._is_ending.wait(_AGAIN)
                elif not self._do_one():
                    self._wake.wait(_IDLE)
            except Exception:  # a full disk, say: the server goes on
                _log.exception("the scanner goes on after an error")
                self._is_ending.wait(_IDLE)

    def _has_process(self):
        if not self.is_ready:
            self._end_process()
            try:
                self._process = self._begun()
                self._check_same_model()
            except ValueError as error:  # its file is gone, say
                _log.error("no process that scans can be begun: %s", error)
                self.is_stuck = True
                return False
            self.is_stuck = False
            self.n_replaced += 1
        return True

    def _check_same_model(self):
        """Refuse another model than the one with which the server was started."""
        if self._process.facts["key"] != self.model_facts["key"]:
            self._end_process()
            raise ValueError(
                "the model's file holds another model than when the server was "
                "started: put the first one back, or start the server again"
            )

    def _do_one(self):
        claimed = self._jobs.claim()
        if claimed is None:
            return False
        job, kind = claimed
        self._now, begin = (job.id, kind), time.monotonic()
        try:
            how = self._made(job, kind)
        except Exception as error:  # a full disk, say
            self._end_process()
            self.note_failure(job.id, _reason(error), kind)
            raise
        finally:
            self._now = None
            if self._jobs.get(job.id) is None:  # it was deleted meanwhile
                self._files.delete(job.folder)
        self.counted[kind, how] += 1
        self.seconds[kind] += time.monotonic() - begin
        return True

    def _made(self, job, kind):
        """Have one task done; note how it ended, and return that."""
        process, reason, reply = self._process, "", {}
        if kind in BY_MODEL and self.other_model(job):
            self._jobs.withdraw(job.id, kind)
            return "refused"
        try:
            upload = self.upload(job)
            reply = process.make(
                kind, upload, job.name, self._settings.scan_seconds,
                lambda share, doing: self._jobs.progress(job.id, share, doing, kind),
                lambda: self._is_off(job.id),
            )  # fmt: skip
            reason = str(reply.get("failed", ""))
        except Stopped:
            self._end_process()
            self._jobs.release(job.id, kind)
            return "stopped"
        except Lost as error:
            self._end_process()
            reason = str(error)
        except FileNotFoundError:
            reason = "its file is gone from the server's folder; upload it again"
        if reason and kind == SCAN:  # nothing more is done with its file
            self._files.delete(job.folder)
        size = self._files.size(job.folder)
        if reason:
            self._jobs.fail(job.id, reason, kind, n_bytes=size)
        else:
            if kind == SCAN and reply["done"].get("plays") is False:
                self._jobs.ask(job.id, PLAYABLE)
            name = process.facts["file"]["name"] or ""
            model = name, process.facts["key"]
            is_still = kind == SCAN and reply["done"].get("plays", "") is None
            self._jobs.finish(
                job.id, kind, n_bytes=size, model=model,
                media="image" if is_still else None,
            )  # fmt: skip
        if reply.get("leaves"):
            self._end_process()
        return "failed" if reason else "done"

    def _is_off(self, job):
        self._tidy()  # a long scan keeps nothing else beyond its time
        return self._is_ending.is_set() or self._jobs.get(job) is None

    def upload(self, job: ScanJob) -> Path:
        """Return the file of a job.

        Raises
        ------
        FileNotFoundError
        """
        for path in self._files.job(job.folder).glob(f"{UPLOAD}.*"):
            return path
        raise FileNotFoundError

    def video(self, job: ScanJob) -> Path | None:
        """Return what browsers play of a job: its file, or a copy; None so far."""
        made = self._jobs.task(job.id, PLAYABLE)
        if made is not None:
            path = self._files.job(job.folder) / FILES[PLAYABLE]
            return path if path.exists() else None
        if job.media != "video" or job.status != "done":
            return None
        with suppress(FileNotFoundError):
            return self.upload(job)
        return None

    def _tidy(self):
        """Delete what is kept no longer."""
        if time.monotonic() - self._tidied < min(_TIDY, self._settings.keep_seconds):
            return
        self._tidied = time.monotonic()
        for job in self._jobs.expired(time.time(), self._settings.keep_seconds):
            self.delete(job.id)


def _reason(error):
    return _FULL if is_full_disk(error) else _INTERNAL.format(type(error).__name__)
