"""Folders for a while: gone with the process that made them, however it ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from base_models.runtime.ending.unfinished import create_once, remove_if_dead, this_boot

_NAME = re.compile(r"deepfake-ensemble-(?P<boot>[0-9a-f]{8})-[A-Za-z0-9_]{8}")
_LOCK = "lock"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder that is deleted afterwards.

    One of a process that was killed is deleted by the next call on that machine. It may
    hold gigabytes of frames.

    Yields
    ------
    Path
        In the system's folder for such files; open to nobody else.

    Examples
    --------
    >>> from base_models.runtime.ending.scratch import scratch_folder
    >>> with scratch_folder() as folder:
    ...     _ = (folder / "frames").write_bytes(b"many")
    >>> folder.exists()
    False
    """
    _remove_dead()
    handle = None
    while handle is None:
        outer = Path(tempfile.mkdtemp(prefix=f"deepfake-ensemble-{this_boot()}-"))
        try:
            handle = create_once(outer / _LOCK)
        finally:
            if handle is None:
                shutil.rmtree(outer, ignore_errors=True)
    try:
        (outer / "files").mkdir()
        yield outer / "files"
    finally:
        os.close(handle)
        shutil.rmtree(outer, ignore_errors=True)


def _remove_dead() -> None:
    """Delete folders of this user whose process is dead."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        for entry in found:
            match = _NAME.fullmatch(entry.name)
            if match is None or not entry.is_dir(follow_symlinks=False):
                continue
            owner = entry.stat(follow_symlinks=False).st_uid
            if os.name != "nt" and owner != os.getuid():
                continue
            lock = os.path.join(entry.path, _LOCK)
            if remove_if_dead(lock, match["boot"], time.time()):
                shutil.rmtree(entry.path, ignore_errors=True)
