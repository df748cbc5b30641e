"""Looks for the videos and lists of a data set, and says what was found instead."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError
from base_models.limits import check_file
from base_models.runtime.file_digest import strict_json

if TYPE_CHECKING:
    from ensemble.scores.formats import Table

COMPRESSIONS = {"raw": "raw", "c0": "raw", "c23": "c23", "c40": "c40"}
LABEL_FOLDERS = {
    "real": 0,
    "original": 0,
    "originals": 0,
    "fake": 1,
    "fakes": 1,
    "manipulated": 1,
}
_MOST_NAMED = 8
_MOST_SHOWN = 80  # characters of what came
_noted: ContextVar[list[Path] | None] = ContextVar("noted", default=None)


def entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; hidden entries and no folder: nothing."""
    return [folder / entry.name for entry in _scan(folder)]


def folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; none that may not be opened.

    A warning names those: what they hold may be half of the data set.
    """
    found = [folder / entry.name for entry in _scan(folder) if _is_dir(entry)]
    return [path for path in found if not _is_shut(path, warn=True)]


def _scan(folder: Path) -> list[os.DirEntry]:
    if _is_shut(folder, warn=True):
        return []
    try:
        with os.scandir(folder) as found:
            shown = [entry for entry in found if not entry.name.startswith(".")]
    except OSError:  # no folder
        return []
    return sorted(shown, key=lambda entry: entry.name)


def _is_shut(folder: str | Path, warn: bool = False) -> bool:
    """Whether it is a folder that may not be opened, or not be looked into."""
    if os.access(folder, os.R_OK | os.X_OK) or not os.path.isdir(folder):
        return False
    if warn:
        warnings.warn(
            f"{folder} may not be opened, and what it holds is left out; check its "
            "permissions",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    return True


def videos_in(folder: Path) -> list[Path]:
    """Return the videos directly in a folder: files, images, folders of frames."""
    from base_models.video.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    suffixes = {*VIDEO_SUFFIXES, *IMAGE_SUFFIXES}
    return [
        folder / entry.name
        for entry in _scan(folder)
        if os.path.splitext(entry.name)[1].lower() in suffixes
        or (_is_dir(entry) and _holds(entry.path, IMAGE_SUFFIXES))
    ]


def _is_dir(entry: os.DirEntry) -> bool:
    """Whether it is a folder; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _holds(folder: str, suffixes: Container[str]) -> bool:
    """Whether a folder has files of some endings directly in it."""
    if _is_shut(folder, warn=True):
        return False
    try:
        with os.scandir(folder) as found:
            return any(
                os.path.splitext(entry.name)[1].lower() in suffixes for entry in found
            )
    except OSError:
        return False


def below(folder: Path, depth: int) -> Iterator[Path]:
    """Yield a folder and those below it, down to some depth."""
    yield folder
    if depth:
        for path in folders(folder):
            yield from below(path, depth - 1)


def what_is_in(folder: Path) -> str:
    """Name what a folder holds, for an error."""
    if not folder.exists():
        return "nothing, there is no such folder"
    if _is_shut(folder):
        return "a folder that may not be opened"
    names = [
        path.name + "/" * path.is_dir() + " (which may not be opened)" * _is_shut(path)
        for path in entries(folder)
    ]
    return named(names) or "nothing, it is empty"


def is_there(path: str | Path) -> bool:
    """Say whether a file is there, or may be: its folder may not be entered, say.

    Examples
    --------
    >>> from ensemble.datasets.kinds.files import is_there
    >>> is_there("nowhere/a.mp4")
    False
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:  # who reads it says what is wrong
        return True
    return True


def named(names: Iterable[Any]) -> str:
    """Name the first few of some names, and say how many more there are."""
    names = [str(name) for name in names]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def noting_lists() -> Iterator[list[Path]]:
    """Note which lists are read, so that no command writes onto one of them.

    Yields
    ------
    list of Path
        What `read_json`, `read_text` and `read_list` read meanwhile.
    """
    lists: list[Path] = []
    before = _noted.set(lists)
    try:
        yield lists
    finally:
        _noted.reset(before)


def _note(path: Path) -> None:
    lists = _noted.get()
    if lists is not None and path not in lists:
        lists.append(path)


def read_json(path: Path) -> Any:
    """Read a JSON file; one that is cut off or no JSON is named."""
    try:
        return strict_json(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ScoreTableError(
            f"{path} is no whole JSON file ({error}); fetch it again"
        ) from error


def read_text(path: Path) -> str:
    """Read a text file in UTF-8."""
    check_file(path, ScoreTableError)
    _note(path)
    return path.read_text("utf-8-sig")


def read_list(path: Path, encoding: str | None = None) -> Table:
    """Read a table that lists videos, as `ensemble.scores.formats.read_table` does."""
    from ensemble.scores.formats import read_table

    _note(path)
    return read_table(path, encoding)


def read_object(path: Path, expected: str) -> dict:
    """Read a JSON file that is an object, such as ``{"x.mp4": ...}``.

    Parameters
    ----------
    path : Path
    expected : str
        What it must look like, for an error.

    Returns
    -------
    dict
    """
    return check_object(read_json(path), expected, str(path))


def check_object(content: Any, expected: str, where: str) -> dict:
    """Return part of a JSON file that must be an object, or say what came."""
    if not isinstance(content, dict):
        text = json.dumps(content)
        text = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]} ..."
        raise ScoreTableError(
            f"{where} must be an object such as {expected}; got {text}. Fetch the file "
            "again, or mend it"
        )
    return content


def below_root(path: str | Path, root: Path) -> str:
    """Return a path below a root with slashes, or as it is where it lies elsewhere."""
    text, top = os.fspath(path), os.path.join(os.fspath(root), "")
    if text.startswith(top):
        text = text[len(top) :]
    return text.replace(os.sep, "/")
