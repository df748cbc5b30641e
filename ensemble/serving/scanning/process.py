"""The process that scans, as the server sees it: begun, asked, watched, ended."""

import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import Any

from base_models.runtime.isolation.messages import (
    Garbled,
    receive_plain,
    send_plain,
)

_START = 600.0  # seconds, for loading a model
_LOOK = 0.2  # seconds between looks at its memory
_MESSAGE = 30.0  # seconds for a message that has begun to come whole
_CODE = (
    "import sys; sys.path[:] = {path!r}; "
    "from ensemble.serving.scanning.worker import main; main({file})"
)


class Lost(Exception):
    """The process ended, or was ended, while it worked; the text says why."""


class Stopped(Exception):
    """Its work was broken off by who asked for it."""


class ScanProcess:
    """A process that holds a model and makes what it is asked for.

    Used by one thread at a time, but for `end`.

    Parameters
    ----------
    opener : str
        "module:function", which returns the model.
    paths : sequence of str
    options : mapping
    folder : Path
        For what it writes beside jobs.
    most_bytes : int
        Of memory, with the processes that it begins. It is looked at five times a
        second, so that what is taken and given back between is not seen.
    cascade : None, "exact" or float, default=None
        See `ensemble.serving.settings.ServerSettings`.

    Attributes
    ----------
    facts : dict
        What is to be known of the model.

    Raises
    ------
    ValueError
        If the model cannot be opened.
    """

    def __init__(
        self,
        opener: str,
        paths: tuple[str, ...],
        options: Mapping[str, Any],
        folder: Path,
        most_bytes: int = 4 * 2**30,
        cascade: str | float | None = None,
    ) -> None:
        self._most_bytes = most_bytes
        ours, theirs = socket.socketpair()
        temporary = folder / "temporary"
        temporary.mkdir(mode=0o700, exist_ok=True)
        own = {"TMPDIR": str(temporary), _STORE_PLACE: str(temporary / "store")}
        with theirs:
            self._process = subprocess.Popen(
                [get_executable(), "-c",
                 _CODE.format(path=sys.path, file=theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get(_SHOWN) else subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **own},
                start_new_session=True,  # Ctrl-C is the server's alone
            )  # fmt: skip
        self._connection = ours
        try:
            asked = {"opener": opener, "paths": list(paths), "options": dict(options),
                     "cascade": cascade}  # fmt: skip
            self._send(asked)
            reply = self._hear(time.monotonic() + _START, lambda: False)
        except BaseException as error:
            self.end()
            if isinstance(error, Lost):
                raise ValueError(
                    f"the model cannot be loaded: {error}; give more time or memory "
                    "(--memory) if it was for want of these"
                ) from None
            raise
        if "ready" not in reply:
            self.end()
            raise ValueError(str(reply.get("error", "the model cannot be loaded")))
        self.facts: dict = reply["model"]

    def make(
        self,
        kind: str,
        upload: Path,
        name: str,
        seconds: float,
        tell: Callable[[float, str], None],
        is_stopped: Callable[[], bool],
    ) -> dict:
        """Have one thing made.

        Parameters
        ----------
        kind : str
            "scan", or another one of `ensemble.serving.scanning.products`.
        upload : Path
        name : str
        seconds : float
            That it may take.
        tell : function of a share and words
            Called as it goes on.
        is_stopped : function
            Whether to break off.

        Returns
        -------
        dict
            ``done`` with what is to be known of it, or ``failed`` with the reason;
            ``leaves`` if the process is to be replaced.

        Raises
        ------
        Lost, Stopped
            The process is no more.
        """
        until = time.monotonic() + seconds
        task = {"kind": kind, "upload": os.fspath(upload), "name": name,
                "seconds": seconds, "bytes": self._most_bytes}  # fmt: skip
        try:
            self._send(task)
            while True:
                reply = self._hear(until, is_stopped)
                if "progress" not in reply:
                    break
                share = reply["progress"]
                if isinstance(share, (int, float)) and math.isfinite(share):
                    tell(min(max(float(share), 0.0), 1.0), str(reply.get("doing", "")))
            if not isinstance(reply.get("done", {}), dict) or not reply.keys() & {
                "done", "failed"
            }:  # fmt: skip
                raise Lost("the process that scans answered with what is no answer")
        except TimeoutError:
            self.end()
            raise Lost(
                f"it took longer than the {seconds:g} seconds allowed, and was stopped"
            ) from None
        except BaseException:
            self.end()
            raise
        return reply

    def _send(self, message):
        self._connection.settimeout(_MESSAGE)
        try:
            send_plain(self._connection, message)
        except OSError:
            raise self._lost() from None

    def _hear(self, until, is_stopped):
        """Wait for a message, and look at the memory in use meanwhile."""
        while not select.select([self._connection], [], [], _LOOK)[0]:
            if is_stopped():
                raise Stopped
            if time.monotonic() > until:
                raise TimeoutError
            self._check_memory()
        self._connection.settimeout(_MESSAGE)
        try:
            return receive_plain(self._connection)[0]
        except Garbled as error:
            raise Lost(f"the process that scans answered with {error}") from None
        except (EOFError, OSError):
            raise self._lost() from None

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def memory(self) -> int:
        """Return the bytes of memory that it and its own processes hold."""
        import psutil

        total = 0
        with suppress(psutil.Error):
            own = psutil.Process(self._process.pid)
            for process in [own, *own.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def _check_memory(self):
        if self.memory() > self._most_bytes:
            raise Lost(
                f"it took more than the {self._most_bytes / 2**30:.3g} GiB of memory "
                "allowed, and was stopped"
            )

    def _lost(self):
        """Return the error of a process that ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_MESSAGE)
        status = self._process.poll()
        how = "it no longer answered"
        if status is not None:
            how = f"exit code {status}"
            if status < 0:
                with suppress(ValueError):
                    how = signal.Signals(-status).name
        return Lost(f"it ended the process that scanned it ({how})")

    def end(self) -> None:
        """End it and the processes that it began; it may be called twice."""
        import psutil

        with suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    child.kill()
        self._process.kill()
        self._process.wait()
        self._connection.close()
        if self._process.stdin is not None:
            self._process.stdin.close()


_STORE_PLACE = "DEEPFAKE_ENSEMBLE_STORE"
_SHOWN = "DEEPFAKE_ENSEMBLE_SHOW_WORKER"  # its standard error, to look for a mistake
