"""The private folder of a server: what lies in it, how much, and who may see it."""

import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from base_models.runtime.ending.folder_lock import locked_folder

_DATABASE = "jobs.sqlite"
_JOBS, _TEMPORARY, _LOCK = "jobs", "temporary", "lock"
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_STEP = 2**18  # bytes that are reserved at once
_RESERVE = 2**26  # bytes that a scan may write beside its upload


class FullDisk(Exception):
    """What the server may keep is kept already."""


class ServerFiles:
    """A folder that nobody else can open, with a folder of its own for each job.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    most_bytes : int
        For all jobs together.

    Raises
    ------
    ValueError
        If it is open to others, or is a folder of other things.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.serving.files import ServerFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = ServerFiles(Path(folder) / "serve", most_bytes=2**30)
    ...     name = files.make_folder()
    ...     there = files.job(name).is_dir()
    ...     files.delete(name)
    ...     there, files.job(name).is_dir()
    (True, False)
    """

    def __init__(self, folder: str | os.PathLike, most_bytes: int) -> None:
        self.folder, self.most_bytes = Path(folder).absolute(), most_bytes
        self._coming, self._lock = 0, threading.Lock()
        is_new = not self.folder.exists()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_new:
            self.folder.chmod(0o700)  # whatever the umask is
        self._check()
        self.database.touch(mode=0o600)  # first: by it the folder is known as ours
        (self.folder / _JOBS).mkdir(mode=0o700, exist_ok=True)

    @property
    def database(self) -> Path:
        """The SQLite file of its jobs."""
        return self.folder / _DATABASE

    def _check(self):
        facts = self.folder.stat()
        if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise ValueError(
                f"{self.folder} is open to others: uploads would be, too; close it "
                f"(chmod 700 {self.folder}), or give another folder"
            )
        others = {entry.name for entry in self.folder.iterdir()}
        known = {
            _JOBS,
            _TEMPORARY,
            _LOCK,
            _DATABASE,
            f"{_DATABASE}-wal",
            f"{_DATABASE}-shm",
        }
        strange = sorted(others - known if _DATABASE in others else others)
        if strange and not {_LOCK, _DATABASE} <= others:
            raise ValueError(
                f"{self.folder} holds other things ({strange[0]}), and a server needs "
                "a folder of its own; give one that is new or empty"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other servers out of the folder, and begin without what is left over."""
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_folder(self.folder, self.folder / _LOCK))
            except ValueError:
                raise ValueError(
                    f"another server uses {self.folder}; stop it, or give another "
                    "--folder"
                ) from None
            shutil.rmtree(self.folder / _TEMPORARY, ignore_errors=True)
            yield

    def job(self, name: str) -> Path:
        """Return the folder of a job."""
        return self.folder / _JOBS / name

    def make_folder(self) -> str:
        """Make the folder of a new job, and return its name."""
        name = secrets.token_hex(16)
        self.job(name).mkdir(mode=0o700)
        return name

    def create(self, name: str, file: str) -> BinaryIO:
        """Open a new file of a job for writing."""
        path = self.job(name) / file
        return os.fdopen(os.open(path, _NEW, 0o600), "wb")

    def delete(self, name: str) -> None:
        """Delete the folder of a job."""
        shutil.rmtree(self.job(name), ignore_errors=True)

    def delete_others(self, names: Collection[str]) -> None:
        """Delete folders of jobs that nobody knows any more."""
        for entry in os.scandir(self.folder / _JOBS):
            if entry.name not in names:
                self.delete(entry.name)

    def size(self, name: str) -> int:
        """Add up the bytes of a job's files."""
        total = 0
        for below, _, files in os.walk(self.job(name)):
            for file in files:
                with suppress(FileNotFoundError):  # a scan replaces what it writes
                    total += os.lstat(os.path.join(below, file)).st_size
        return total

    @contextmanager
    def coming(self, kept: Callable[[], int]) -> Iterator["Coming"]:
        """Account for bytes that are being written, by whoever writes.

        Parameters
        ----------
        kept : function
            Returns the bytes of all jobs that are there.
        """
        coming = Coming(self, kept)
        try:
            yield coming
        finally:
            with self._lock:
                self._coming -= coming.n_reserved

    def take(self, n_bytes: int, kept: int) -> None:
        """Note that so many bytes come, if there is room; raise `FullDisk` if not."""
        free = shutil.disk_usage(self.folder).free
        with self._lock:
            is_full = kept + self._coming + n_bytes + _RESERVE > self.most_bytes
            if is_full or free < n_bytes + _RESERVE:
                raise FullDisk
            self._coming += n_bytes


class Coming:
    """Bytes of one upload that are being written, and those reserved for it."""

    def __init__(self, files: ServerFiles, kept: Callable[[], int]) -> None:
        self._files, self._kept = files, kept
        self._n_bytes, self.n_reserved = 0, 0

    def add(self, n_bytes: int) -> None:
        """Take room for some more.

        Raises
        ------
        FullDisk
        """
        self._n_bytes += n_bytes
        if self._n_bytes > self.n_reserved:
            more = max(_STEP, self._n_bytes - self.n_reserved)
            self._files.take(more, self._kept())
            self.n_reserved += more
