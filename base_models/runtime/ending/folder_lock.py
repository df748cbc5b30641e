"""One run at a time writes into a folder: the second one ends with one sentence."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from base_models.addresses import public_name
from base_models.limits import check_file


@contextlib.contextmanager
def locked_folder(folder: str | Path, lock: str | Path) -> Iterator[None]:
    """Keep other runs out of a folder on this machine, or a shared disk.

    The system takes the lock away when the process ends, however it ends. Windows and
    some file systems have no such locks: there, nothing is kept out.

    Parameters
    ----------
    folder : str or Path
        What an error names.
    lock : str or Path
        A file below it, which is made, folders included, and stays.

    Raises
    ------
    ValueError
        If another run holds the lock.

    Examples
    --------
    >>> import tempfile
    >>> from base_models.runtime.ending.folder_lock import locked_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with locked_folder("out", f"{folder}/lock"):
    ...         with locked_folder("out", f"{folder}/lock"):
    ...             pass
    Traceback (most recent call last):
    ValueError: another run is writing into out; wait until it has ended
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    os.makedirs(os.path.dirname(lock), exist_ok=True)
    check_file(lock)
    with open(lock, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another run is writing into {public_name(os.fspath(folder))}; wait "
                "until it has ended"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
