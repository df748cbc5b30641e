"""Faults of the system below our code: a full disk, a call that fails, a clock."""

import contextlib
import ctypes
import errno
import os
import resource
import sys
import time
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000  # of unshare(2)
_READ_ONLY, _REMOUNT, _PRIVATE = 1, 32, 0x44000  # of mount(2)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_watching = []  # of calls; one at most
_is_hooked = []


def own_mounts():
    """Give this process mounts of its own, so that it may mount small disks.

    To be called before there are threads. Returns whether the system lets us.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_NEW_MOUNTS | (_NEW_USER if uid else 0)):
        return False
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
    return libc.mount(b"none", b"/", None, _PRIVATE, None) == 0


class SmallDisk:
    """A disk in memory that can be filled, emptied and made read-only.

    Parameters
    ----------
    place : Path
        Where it is mounted.
    """

    def __init__(self, place):
        self.place = place
        place.mkdir(exist_ok=True)
        self._mount(0, "")

    def _mount(self, flags, options):
        libc = ctypes.CDLL(None, use_errno=True)
        place = os.fsencode(self.place)
        if libc.mount(b"tmpfs", place, b"tmpfs", flags, options.encode()):
            raise OSError(ctypes.get_errno(), "mount", str(self.place))

    @contextlib.contextmanager
    def full_after(self, n_bytes):
        """Leave so much room, in pages."""
        facts = os.statvfs(self.place)
        used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
        size = max(used + n_bytes // PAGE * PAGE, PAGE)
        self._mount(_REMOUNT, f"size={size}")
        try:
            yield
        finally:
            self._mount(_REMOUNT, f"size={2**30}")

    @contextlib.contextmanager
    def read_only(self):
        """Let nothing be written."""
        self._mount(_REMOUNT | _READ_ONLY, "")
        try:
            yield
        finally:
            self._mount(_REMOUNT, "")

    def close(self):
        """Take it away, with all that is on it."""
        ctypes.CDLL(None).umount2(os.fsencode(self.place), 2)


@contextlib.contextmanager
def longest_file(n_bytes):
    """Let no file be longer: the write that goes beyond is short, the next fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def few_files(n_more):
    """Let so many more files be open at once."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + n_more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Calls:
    """The calls that change a folder, counted; at the n-th something happens.

    Parameters
    ----------
    place : Path
    at : int or None
        Which of them, counted from 1; None counts only.
    what : function or None
        Called there with the name of the call and the path: it raises an error, or ends
        the process.
    """

    def __init__(self, place, at=None, what=None):
        self.place, self.n = os.path.realpath(place), 0
        self._at, self._what = at, what

    def __enter__(self):
        if not _is_hooked:
            sys.addaudithook(_heard)  # which stays: Python has no way to take it away
            _is_hooked.append(True)
        self._originals = os.write, os.fsync
        os.write, os.fsync = self._write, self._fsync
        _watching[:] = [self]
        return self

    def __exit__(self, *error):
        _watching.clear()
        os.write, os.fsync = self._originals

    def came(self, name, path):
        """Count a call if it is about the folder."""
        if not os.path.realpath(path).startswith(self.place):
            return
        self.n += 1
        if self.n == self._at:
            self._what(name, path)

    def _write(self, handle, content):
        self.came("write", _path_of(handle))
        return self._originals[0](handle, content)

    def _fsync(self, handle):
        self.came("fsync", _path_of(handle))
        return self._originals[1](handle)


def _path_of(handle):
    return os.readlink(f"/proc/self/fd/{handle}")


def _heard(event, given):
    if not _watching or event not in ("open", "os.rename", "os.mkdir"):
        return
    path = given[0]
    if event == "open" and not (given[2] or 0) & _WRITING:
        return
    if isinstance(path, (str, bytes, os.PathLike)):
        _watching[0].came(event, os.fsdecode(path))


def failing(number):
    """Return what fails as the system does, with this error."""

    def fail(name, path):
        knows = [path] * (name not in ("write", "fsync"))
        raise OSError(number, os.strerror(number), *knows)

    return fail


ERRORS = {
    name: getattr(errno, name)
    for name in ("EIO", "EACCES", "ENOSPC", "EROFS", "EDQUOT", "EMFILE", "ENOENT")
}


@contextlib.contextmanager
def jumping_clock(draw):
    """Let the clock jump back and forth by years."""
    real = time.time, time.time_ns

    def jumped():
        return real[0]() + float(draw.uniform(-3e8, 3e8))

    time.time = jumped
    time.time_ns = lambda: int(jumped() * 1e9)
    try:
        yield
    finally:
        time.time, time.time_ns = real
