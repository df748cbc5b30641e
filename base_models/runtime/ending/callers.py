"""Worker processes that end with the process which they work for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from pathlib import Path

_SECONDS = 0.5  # between looks

_watching: set[int] = set()  # processes that do: this one, once it does


def end_with_caller() -> None:
    """Let this worker end when its caller has, whatever it is doing then.

    Ctrl-C at a terminal goes to workers as well. They leave it to their caller, which
    ends them, so that no worker prints a traceback.
    """
    if os.getpid() in _watching or not hasattr(os, "getppid") or os.name == "nt":
        return
    _watching.add(os.getpid())
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def end_with_pipe() -> None:
    """Have the system end this process when its caller is gone, whatever it does.

    The caller holds the other end of the standard input, and never writes to it. This
    also ends a process that is in compiled code and lets no thread of Python run.
    """
    import fcntl

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it was gone before
        os._exit(0)


def end_children() -> None:
    """End all processes that this one has begun, and theirs, at once."""
    for process in _descendants():
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _watch(caller: int) -> None:
    while os.getppid() == caller:
        time.sleep(_SECONDS)
    end_children()
    os._exit(1)


def _descendants() -> list[int]:
    """Return the processes below this one; none where the system has no /proc."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found
