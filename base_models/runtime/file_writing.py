"""Writes files as a whole or not at all: a run that ends early leaves the old file."""

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a file to write that takes the place of another when all has gone well.

    It lies in the same folder, under a hidden name with the same ending. A link stays
    a link: what it leads to is replaced. A file that is replaced hands on its mode;
    a new one gets what the user's umask leaves. Folders that are missing are made.

    Parameters
    ----------
    path : str or Path
        The file to write. What is no regular file (``/dev/null``, a pipe) is written
        to as it is.

    Yields
    ------
    Path
        An empty file to write to.

    Raises
    ------
    OSError
        If the file or its folder cannot be written to, or a folder is in its place.

    Examples
    --------
    >>> import tempfile
    >>> from base_models.runtime.file_writing import replacing
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "figures.json"
    ...     with replacing(path) as unfinished:
    ...         _ = unfinished.write_text("[1, 2]")
    ...     path.read_text()
    '[1, 2]'
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(f"{path} is a folder; give the name of a file")
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{path} may not be written to")
        if not stat.S_ISREG(old.st_mode):
            yield target
            return
    unfinished = target.with_name(f".unfinished-{uuid.uuid4().hex}{target.suffix}")
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield unfinished
        if old is not None:
            _hand_on(old, unfinished)
        os.replace(unfinished, target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write text as UTF-8, as a whole or not at all, with line ends as they are.

    Parameters
    ----------
    path : str or Path
    text : str
        What cannot be encoded, as in names that are no UTF-8, is escaped.
    """
    with (
        replacing(path) as unfinished,
        open(
            unfinished, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file,
    ):
        file.write(text)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write bytes as a whole or not at all.

    Parameters
    ----------
    path : str or Path
    content : bytes
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def _hand_on(old, path):
    """Give a file the mode and, where that is allowed, the owner of the old one."""
    if hasattr(os, "chown"):
        new = path.stat()
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            with contextlib.suppress(OSError):
                os.chown(path, old.st_uid, old.st_gid)
    os.chmod(path, stat.S_IMODE(old.st_mode))
