"""Taking in what is to be scanned: room, queue, files, addresses."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request

from ensemble.serving.files import FullDisk, ServerFiles
from ensemble.serving.jobs import JobStore, ScanJob
from ensemble.serving.problems import Refused, no_room
from ensemble.serving.scanner import UPLOAD, Scanner
from ensemble.serving.settings import ServerSettings
from ensemble.serving.uploads import COMING, Form, receive, settled, shown_name

_log = logging.getLogger(__name__)
_SOON = {"Retry-After": "15"}  # seconds
_FETCHES = 2  # addresses at a time
_FETCH_SECONDS = 300.0
_NO_ADDRESSES = (
    "this server takes no addresses; upload the file, or start it with --allow-urls"
)

# Writes what is behind an address to a file, and returns what that is called.
Fetch = Callable[..., str]


class Submissions:
    """Takes files and addresses, and has them scanned.

    Parameters
    ----------
    settings : ServerSettings
    jobs : JobStore
    files : ServerFiles
    scanner : Scanner
    fetch : function or None, default=None
        As ``ensemble.serving.fetching.fetch``; None takes no addresses.
    """

    def __init__(
        self,
        settings: ServerSettings,
        jobs: JobStore,
        files: ServerFiles,
        scanner: Scanner,
        fetch: Fetch | None = None,
    ) -> None:
        self._settings, self._jobs, self._files = settings, jobs, files
        self._scanner, self._fetch = scanner, fetch
        self._fetching = ThreadPoolExecutor(_FETCHES, "fetching")
        self._is_ending = False

    def start(self) -> None:
        """Go on with what an earlier server was to fetch."""
        for job in self._jobs.to_fetch():
            if self._takes_addresses:
                self._fetching.submit(self._bring, job)
            else:  # an earlier one took them
                self._failed(job, _NO_ADDRESSES)

    def stop(self) -> None:
        """Begin no more; addresses that wait are fetched by the next server."""
        self._is_ending = True
        self._fetching.shutdown(wait=False, cancel_futures=True)

    async def take_form(self, request: Request, most_files: int = 1) -> Form:
        """Read a form of files; none of it waits for its scan yet.

        Parameters
        ----------
        request : Request
        most_files : int, default=1

        Raises
        ------
        Refused
            If there is no room, or the form cannot be read.
        """
        self._check_queue()
        with self._files.coming(self._jobs.n_bytes) as coming:
            try:
                return await receive(
                    request, self._files, self._settings.upload_bytes, most_files,
                    coming.add, UPLOAD,
                )  # fmt: skip
            except FullDisk:
                raise no_room() from None

    def add_form(self, form: Form, session: str = "") -> list[ScanJob]:
        """Have the files of a form scanned.

        Returns
        -------
        list of ScanJob
            One a file.

        Raises
        ------
        Refused
            If too many wait: then none of the files is kept.
        """
        added: list[ScanJob] = []
        try:
            for upload in form.uploads:
                job = self._jobs.add(
                    upload.name, upload.folder, upload.n_bytes, upload.media, session,
                    most=self._settings.queue_length,
                )  # fmt: skip
                if job is None:
                    raise _too_many(self._settings.queue_length)
                added.append(job)
        except Exception:
            for left in form.uploads[len(added) :]:
                self._files.delete(left.folder)
            for other in added:
                self._scanner.delete(other.id)
            raise
        self._scanner.wake()
        return added

    def add_refused(self, name: str, reason: str, session: str = "") -> ScanJob:
        """Note a file that was not taken, so that its sender sees why.

        Returns
        -------
        ScanJob
            Failed.
        """
        folder = self._files.make_folder()
        # With an address it does not wait for its scan.
        job = self._jobs.add(name, folder, 0, "video", session, address="")
        assert job is not None  # there is no limit
        self._failed(job, reason)
        return job

    def add_address(self, address: str, session: str = "") -> ScanJob:
        """Have what is behind an address fetched and scanned.

        Raises
        ------
        Refused
            If addresses are not taken here, or too many scans wait.
        """
        from base_models.addresses import public_name

        if not self._takes_addresses:
            raise Refused(403, _NO_ADDRESSES)
        if not address.lower().startswith(("http://", "https://")):
            raise Refused(422, "give an address that begins with https:// or http://")
        folder = self._files.make_folder()
        name = shown_name(public_name(address))
        job = self._jobs.add(
            name, folder, 0, "video", session, address, self._settings.queue_length
        )
        if job is None:
            self._files.delete(folder)
            raise _too_many(self._settings.queue_length)
        self._fetching.submit(self._bring, job)
        return job

    @property
    def _takes_addresses(self):
        return self._fetch is not None and self._settings.allow_urls

    def _check_queue(self):
        if self._jobs.n_waiting() >= self._settings.queue_length:
            raise _too_many(self._settings.queue_length)

    def _bring(self, job: ScanJob) -> None:
        """Fetch the file of a job; the job fails if that fails."""
        assert self._fetch is not None
        folder = self._files.job(job.folder)
        if self._is_unwanted(job):
            return
        try:
            self._jobs.progress(job.id, 0.0, "being fetched")
            with self._files.coming(self._jobs.n_bytes) as coming:
                coming.add(self._settings.upload_bytes)
                name = shown_name(self._fetched(job))
                path, media = settled(folder / COMING, name, UPLOAD)
            self._jobs.fetched(job.id, name, media, path.stat().st_size)
        except FullDisk:
            self._failed(job, no_room().detail)
        except Exception as error:
            if not (_is_for_people(error) or self._is_unwanted(job)):
                _log.exception("an address could not be fetched")
            self._failed(job, f"the address could not be fetched: {_said(error)}")
        if self._is_ending:
            return
        if self._jobs.get(job.id) is None:  # it was deleted meanwhile
            self._files.delete(job.folder)
        self._scanner.wake()

    def _fetched(self, job: ScanJob) -> str:
        assert self._fetch is not None
        # Of a server that was killed while it fetched.
        (self._files.job(job.folder) / COMING).unlink(missing_ok=True)
        with self._files.create(job.folder, COMING) as file:
            return self._fetch(
                job.address, file, most_bytes=self._settings.upload_bytes,
                seconds=_FETCH_SECONDS, is_unwanted=lambda: self._is_unwanted(job),
            )  # fmt: skip

    def _is_unwanted(self, job: ScanJob) -> bool:
        return self._is_ending or self._jobs.get(job.id) is None

    def _failed(self, job, reason):
        if not self._is_ending:
            self._files.delete(job.folder)
            self._scanner.note_failure(job.id, reason)


def _too_many(queue_length):
    return Refused(
        503,
        f"{queue_length} scans wait already, as many as may; try again in a while",
        _SOON,
    )


def _said(error: Any) -> str:
    if not _is_for_people(error):
        return "an error of the server; its log has the details"
    return f"{error.reason}; {error.advice}"


def _is_for_people(error):
    return type(error).__name__ == "FetchError"
