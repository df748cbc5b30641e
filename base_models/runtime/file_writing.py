"""Writes files as a whole or not at all: a run that ends early leaves the old file."""

import contextlib
import errno
import itertools
import json
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from base_models.addresses import printable
from base_models.errors import ArtifactError, refusing
from base_models.limits import check_file
from base_models.runtime.ending.unfinished import (
    create,
    remove_dead_beside,
    unfinished_name,
)

_AT_ONCE = 8  # files that a disk is asked for


class _Run:
    """What all threads of a command know: what was there when a file was planned."""

    planned: dict[str, list] | None = None


_WHY = {  # what to say of an error of the system, and what to do
    errno.ENOSPC: "no space is left on that disk; free some and run again",
    errno.EDQUOT: "your quota of that disk is used up; free some and run again",
    errno.EFBIG: "it is larger than the disk or `ulimit -f` allows; write elsewhere or "
    "raise the limit",
    errno.EROFS: "that disk is read-only; give a folder elsewhere",
    errno.EACCES: "it may not be written to; change its mode, or give another name",
    errno.EPERM: "it may not be written to; change its mode, or give another name",
    errno.EIO: "the disk reports an error; look after it, or write elsewhere",
    errno.EMFILE: "too many files are open; raise `ulimit -n`, or use fewer jobs",
    errno.ENFILE: "too many files are open on this machine; run again later",
    errno.ENOENT: "its folder has gone while it was written; make it, and run again",
    errno.ESTALE: "its folder has gone while it was written; make it, and run again",
}


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
    old = None
    if not target.exists() and os.path.exists(path):  # /dev/stdout of a pipe
        target = Path(path)
    with naming(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            old = target.stat()
    if old is not None:
        if stat.S_ISDIR(old.st_mode):
            raise IsADirectoryError(f"{path} is a folder; give the name of a file")
        if not os.access(target, os.W_OK):
            raise PermissionError(f"{path} may not be written to")
        if not stat.S_ISREG(old.st_mode):
            with naming(path):
                yield target
            return
    handle = None
    with naming(path, is_there=old is not None):
        # What replaces a secret must not be open to others while it is written.
        mode = 0o666 if old is None else 0o600
        unfinished, handle = create(lambda: unfinished_name(target), mode)
    try:
        remove_dead_beside(target, os.fstat(handle).st_mtime)
        if os.name == "nt":  # where nobody replaces an open file
            os.close(handle)
            handle = None
        with naming(path, unfinished, is_there=old is not None):
            yield unfinished
            if old is not None:
                _hand_on(old, unfinished)
            _to_disk(unfinished)
            _check_planned(path, unfinished)
            os.replace(unfinished, target)
            plan_to_write([path], again=True)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    finally:
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def watching_outputs() -> Iterator[None]:
    """Within the block a planned file is written only where nobody else has written.

    Examples
    --------
    >>> import tempfile
    >>> from base_models.runtime.file_writing import plan_to_write, watching_outputs
    >>> with tempfile.TemporaryDirectory() as folder, watching_outputs():
    ...     path = Path(folder) / "figures.json"
    ...     plan_to_write([path])
    ...     _ = path.write_text("somebody's own")
    ...     try:
    ...         write_text(path, "ours")
    ...     except FileExistsError as error:
    ...         print(str(error).replace(folder, "FOLDER"))
    ...     print(path.read_text(), path.with_stem("figures-2").read_text(), sep=", ")
    FOLDER/figures.json was written by somebody else meanwhile and is left as it is; \
what was to stand there is in FOLDER/figures-2.json
    somebody's own, ours
    """
    before, _Run.planned = _Run.planned, {}
    try:
        yield
    finally:
        _Run.planned = before


def plan_to_write(paths: Iterable[str | os.PathLike], again: bool = False) -> None:
    """Note what is where files are to be written, in a block of `watching_outputs`.

    Parameters
    ----------
    paths : iterable of str or Path
    again : bool, default=False
        Only of files that are planned already, which have just been written.
    """
    planned = _Run.planned
    for path in paths if planned is not None else ():
        name = os.path.abspath(path)
        if name in planned or not again:
            planned[name] = _what_is_at(name)


def _what_is_at(path):
    """Return which file a name, and a link, lead to and when it was written."""
    found = []
    for look in (os.lstat, os.stat):
        with contextlib.suppress(OSError):
            status = look(path)
            found.append((status.st_dev, status.st_ino, status.st_size))
            found.append(status.st_mtime_ns)
    return found


def _check_planned(path, unfinished):
    """Refuse to replace what came since it was planned; what is written is kept."""
    name, planned = os.path.abspath(path), _Run.planned or {}
    if name not in planned or planned[name] == _what_is_at(name):
        return
    for number in itertools.count(2):
        kept = Path(name).with_stem(f"{Path(name).stem}-{number}")
        if not os.path.lexists(kept):
            os.replace(unfinished, kept)
            break
    raise FileExistsError(
        f"{path} was written by somebody else meanwhile and is left as it is; what was "
        f"to stand there is in {kept}"
    )


@contextlib.contextmanager
def naming(
    path: str | os.PathLike,
    unfinished: Path | None = None,
    is_there: bool = False,
) -> Iterator[None]:
    """Let errors of the system name the file that is written, and what to do.

    Parameters
    ----------
    path : str or Path
        What is written. Errors that name any other file stay as they are.
    unfinished : Path or None, default=None
        What it, or the folder, is called until then.
    is_there : bool, default=False
        Whether an older one is there, which stays.

    Raises
    ------
    OSError
        Of the same kind and number.

    Examples
    --------
    >>> from base_models.runtime.file_writing import naming
    >>> with naming("report.html", is_there=True):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: [Errno 28] cannot be written: no space is left on that disk; free some \
and run again. The file that was there is unchanged: 'report.html'
    """
    try:
        yield
    except OSError as error:
        own = {None, os.fspath(path), os.path.realpath(path)}
        if unfinished is not None:
            own.add(os.fspath(unfinished))
        else:
            own |= {os.fspath(folder) for folder in Path(path).absolute().parents}
        name = _name_in(error)
        is_within = name and unfinished and Path(unfinished) in Path(name).parents
        if error.errno is None or not (name in own or is_within):
            raise
        why = _WHY.get(error.errno) or os.strerror(error.errno)
        kept = ". The file that was there is unchanged" if is_there else ""
        text = f"cannot be written: {why}{kept}"
        raise OSError(error.errno, text, os.fspath(path)) from error


def check_no_way_out(
    folder: str | os.PathLike, names: Iterable[str] | None = None
) -> None:
    """Refuse a folder of outputs in which links lead out of it, before any is written.

    What is written through them would replace what lies there, which is somebody's own.

    Parameters
    ----------
    folder : str or Path
        It may be a link itself, or not be there.
    names : iterable of str or None, default=None
        Of what is written into it; None takes all that is there, at any depth.

    Raises
    ------
    FileExistsError
        Naming the first of them.

    Examples
    --------
    >>> import os, tempfile
    >>> from base_models.runtime.file_writing import check_no_way_out
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.symlink("inside", f"{folder}/a")
    ...     check_no_way_out(folder)
    ...     os.symlink("/elsewhere", f"{folder}/b")
    ...     try:
    ...         check_no_way_out(folder)
    ...     except FileExistsError as error:
    ...         print(str(error).replace(folder, "FOLDER"))
    FOLDER/b is a link to /elsewhere, which would be written to; take it out of \
FOLDER, or choose another folder
    """
    inside = os.path.join(os.path.realpath(folder), "")
    own = None if names is None else [os.path.join(folder, name) for name in names]
    for link in _links_in(folder) if own is None else filter(os.path.islink, own):
        target = os.path.realpath(link)
        if not os.path.join(target, "").startswith(inside):
            raise FileExistsError(
                f"{printable(link)} is a link to {printable(target)}, which would be "
                f"written to; take it out of {printable(os.fspath(folder))}, or choose "
                "another folder"
            )


def _links_in(folder):
    """Yield the links below a folder; none that they lead to is looked into."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:  # not there, or whoever writes into it says so
        return
    for entry in entries:
        if entry.is_symlink():
            yield os.fspath(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _links_in(entry.path)


def _name_in(error):
    name = error.filename
    return os.fsdecode(name) if isinstance(name, (bytes, os.PathLike)) else name


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


def write_table(path: str | os.PathLike, table: Any, index: bool = False) -> None:
    """Write a table as CSV, or as parquet by its ending, as a whole or not at all.

    Parameters
    ----------
    path : str or Path
    table : DataFrame
        What cannot be encoded, as in names that are no UTF-8, is escaped.
    index : bool, default=False
        Whether it has a column of its own; of CSV.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from base_models.runtime.file_writing import write_table
    >>> odd = b"caf\\xe9.mp4".decode("utf-8", "surrogateescape")
    >>> table = pd.DataFrame({"path": pd.Series([odd], dtype=object)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(f"{folder}/a.csv", table)
    ...     write_table(f"{folder}/a.parquet", table)
    ...     print(pd.read_csv(f"{folder}/a.csv")["path"][0])
    ...     print(pd.read_parquet(f"{folder}/a.parquet")["path"][0])
    caf\\udce9.mp4
    caf\\udce9.mp4
    """
    with replacing(path) as unfinished:
        if unfinished.suffix.lower() == ".parquet":
            as_text(table).to_parquet(unfinished, index=False)
        else:
            table.to_csv(unfinished, index=index, errors="backslashreplace")


def as_text(table: Any) -> Any:
    """Return a table whose texts any program can write, what is no UTF-8 escaped."""
    for name in table.columns:
        if table[name].dtype.kind == "O":
            cells = [_as_text(cell) for cell in table[name]]
            if any(a is not b for a, b in zip(cells, table[name], strict=True)):
                table = table.assign(**{name: table[name].map(_as_text)})
    return table


def _as_text(cell):
    if isinstance(cell, list):
        return [_as_text(each) for each in cell]
    if not isinstance(cell, str) or (text := printable(cell)) == cell:
        return cell
    return text


def read_record(path: str | os.PathLike, *keys: str) -> dict[str, Any]:
    """Read an object of JSON that we wrote, to know what was done before.

    Parameters
    ----------
    path : str or Path
    *keys : str
        That it must have.

    Returns
    -------
    dict

    Raises
    ------
    ArtifactError
        If it is none, or a key is missing.
    FileNotFoundError

    Examples
    --------
    >>> import tempfile
    >>> from base_models.runtime.file_writing import read_record, write_text
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(f"{folder}/a.json", '{"done": 3}')
    ...     read_record(f"{folder}/a.json", "done")
    {'done': 3}
    """
    advice = "it is damaged or not ours; delete it, or what lies beside it as well"
    check_file(path, ArtifactError)
    with refusing(ArtifactError, os.fspath(path), "what it says", advice):
        record = json.loads(Path(path).read_text("utf-8"))
        if not isinstance(record, dict):
            raise TypeError(f"it holds a {type(record).__name__}")
        for key in keys:
            record[key]
        return record


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write bytes as a whole or not at all.

    Parameters
    ----------
    path : str or Path
    content : bytes
    """
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def folder_to_disk(folder: str | os.PathLike) -> None:
    """Wait until the files of a folder are on their disk, and their names.

    The disk is asked for all of them side by side, which takes a tenth of the time that
    one after the other would.

    Parameters
    ----------
    folder : str or Path
        Those directly in it.

    Raises
    ------
    OSError
        If a disk says only now that it is full or broken.

    Examples
    --------
    >>> import tempfile
    >>> from base_models.runtime.file_writing import folder_to_disk
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in "abc":
    ...         _ = Path(folder, name).write_text(name)
    ...     folder_to_disk(folder)
    """
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(_to_disk, files):
            pass  # errors come out here
    if os.name != "nt":  # where folders are not opened
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _hand_on(old, path):
    """Give a file the mode and, where that is allowed, the owner of the old one."""
    mode = stat.S_IMODE(old.st_mode)
    if hasattr(os, "chown"):
        for owner in ((old.st_uid, -1), (-1, old.st_gid)):
            with contextlib.suppress(OSError):
                os.chown(path, *owner)
        if path.stat().st_gid != old.st_gid:  # no rights for a group that had none
            mode &= ~(stat.S_IRWXG | stat.S_ISGID) | (mode & stat.S_IRWXO) << 3
    os.chmod(path, mode)


def _to_disk(path):
    """Wait until a file is on its disk: where power fails, it is whole or the old one.

    Without that some file systems rename first and write later; and a disk of a network
    may say only now that it is full.
    """
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
