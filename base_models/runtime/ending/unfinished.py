"""Files that are being written: locked by who writes them, deleted when he is dead.

A process holds a lock of the system on each file that it has not finished. The system
takes it away when the process ends, however it ends. So a file that nobody holds was
left behind; only its name says that it is ours to delete.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

from base_models.runtime.caches import register

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NO_BOOT = "0" * 8
_NAME = re.compile(r"\.unfinished-(?:(?P<boot>[0-9a-f]{8})-)?[0-9a-f]{32}(\.[^.]*)?")
_LONG = 7 * 24 * 3600.0  # seconds after which a file of another machine was left behind

_seen: set[Path] = set()  # folders that this process has looked through
register(f"{__name__}._seen", _seen.clear)


def this_boot() -> str:
    """Return 8 digits for this machine since it started; zeros where that is unknown.

    Containers of one machine have the same: its locks hold between them.

    Examples
    --------
    >>> from base_models.runtime.ending.unfinished import this_boot
    >>> len(this_boot())
    8
    """
    try:
        return hashlib.sha256(_BOOT.read_bytes()).hexdigest()[:8]
    except OSError:
        return _NO_BOOT


def create(name: Callable[[], Path], mode: int = 0o666) -> tuple[Path, int]:
    """Make a new file, which is this process' until its descriptor is closed.

    Parameters
    ----------
    name : callable
        Gives a name that no file has; asked again where one is taken away.
    mode : int, default=0o666
        Of which the umask leaves some.

    Returns
    -------
    path : Path
    handle : int
        For reading and writing. A child does not inherit it.
    """
    while True:
        path = name()
        handle = create_once(path, mode)
        if handle is not None:
            return path, handle


def create_once(path: Path, mode: int = 0o666) -> int | None:
    """Make a new file as `create` does; None where it was taken away at once.

    Who looks for dead files may come between its making and its lock. What lies beside
    it must then be given up, too, if it goes with it.

    Parameters
    ----------
    path : Path
    mode : int, default=0o666

    Returns
    -------
    int or None
        The descriptor.
    """
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | _BINARY, mode)
    try:
        if _lock(handle) is not False and os.fstat(handle).st_nlink:
            return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def unfinished_name(target: Path) -> Path:
    """Return a hidden name beside a file, with the same ending.

    Examples
    --------
    >>> from pathlib import Path
    >>> from base_models.runtime.ending.unfinished import unfinished_name
    >>> name = unfinished_name(Path("here/report.html"))
    >>> name.name[:12], name.suffix, name.parent.name
    ('.unfinished-', '.html', 'here')
    """
    own = f".unfinished-{this_boot()}-{uuid.uuid4().hex}"
    return target.with_name(own + target.suffix)


def is_unfinished(name: str) -> bool:
    """Whether a name is one that `unfinished_name` gives.

    What has such a name is nobody's output yet: a folder that holds nothing else is
    empty to who asks.

    Examples
    --------
    >>> from pathlib import Path
    >>> from base_models.runtime.ending.unfinished import is_unfinished, unfinished_name
    >>> is_unfinished(unfinished_name(Path("report.html")).name)
    True
    >>> is_unfinished("report.html")
    False
    """
    return _NAME.fullmatch(name) is not None


def remove_dead_beside(target: Path, now: float) -> None:
    """Delete what dead processes left unfinished in a file's folder, once a process.

    Parameters
    ----------
    target : Path
    now : float
        By the clock of the disk: when a file there was changed just now.
    """
    folder = target.parent
    if folder in _seen:
        return
    _seen.add(folder)
    with contextlib.suppress(OSError):
        remove_all_dead(folder, now)


def remove_all_dead(folder: Path, now: float) -> None:
    """Delete what dead processes left unfinished in a folder.

    Parameters
    ----------
    folder, now
        As for `remove_dead_beside`.
    """
    with os.scandir(folder) as found:
        names = [entry.name for entry in found if entry.name.startswith(".unfinished")]
    for name in names:
        match = _NAME.fullmatch(name)
        if match:
            remove_if_dead(folder / name, match["boot"], now)


def remove_if_dead(path: str | os.PathLike, boot: str | None, now: float) -> bool:
    """Delete an unfinished file that no living process writes; say whether it is gone.

    One that this machine has begun since it started is dead when nobody holds its lock.
    Locks of others may not be seen here: theirs must also be unchanged for a week.

    Parameters
    ----------
    path : str or Path
        Its name must be one that only we give.
    boot : str or None
        `this_boot` of who began it, where that is known.
    now : float
        Seconds, by the clock of the disk.

    Returns
    -------
    bool
    """
    try:
        handle = os.open(path, os.O_RDWR | _NOT_BEHIND | _BINARY)
    except OSError:
        return False
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            return False
        is_free = _lock(handle)
        is_ours = boot is not None and boot == this_boot() != _NO_BOOT
        is_dead = (is_free and is_ours) or now - facts.st_mtime >= _LONG
        if is_free is False or not is_dead:
            return False
        there = os.lstat(path)
        if (there.st_dev, there.st_ino) != (facts.st_dev, facts.st_ino):
            return False
        os.unlink(path)  # Windows does not, while anybody has it open
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _lock(handle: int) -> bool | None:
    """Take the lock of an open file; False if another has it, None without locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows; a file system that has none
        return None
    return True


_BINARY = getattr(os, "O_BINARY", 0)
_NOT_BEHIND = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
