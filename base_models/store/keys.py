"""What stands for classes, code and versions of libraries in the keys of a store.

A store outlives the code that filled it. Our own classes go by their public name and a
number that is raised when what they compute changes; libraries by their major and minor
version; code of users by its bytecode and all that it calls: see
`base_models.store.code`.
"""

import functools
import os
import uuid
import weakref
from collections.abc import Callable
from typing import Any

from base_models.runtime.caches import Cache
from base_models.runtime.file_digest import file_sha256
from base_models.store.code import code_digest
from base_models.store.versions import is_own, module_version, own_versions


def class_key(cls: type) -> list[Any]:
    """Return what stands for a class in a key.

    Parameters
    ----------
    cls : type
        One of our own goes by its public name, wherever its module is, and by
        `own_versions`; one of a library by its full name and the library's major and
        minor version; any other by its full name and its code.

    Returns
    -------
    list
        Ready for JSON.

    Raises
    ------
    TypeError
        If not all of the code that it runs can be told.

    Examples
    --------
    >>> from base_models import TrainingRecipe
    >>> from base_models.store.keys import class_key
    >>> class_key(TrainingRecipe)
    ['own:TrainingRecipe', [['TrainingRecipe', 1]]]
    """
    if is_own(cls):
        return [f"own:{cls.__qualname__}", own_versions(cls)]
    name = f"{cls.__module__}.{cls.__qualname__}"
    version = module_version(cls.__module__)
    if version is not None:
        return [name, version]
    return [name, code_digest(cls)]


def class_key_here(cls: type) -> list[Any]:
    """Return `class_key`, or where there is none what holds in this process alone."""
    try:
        return class_key(cls)
    except TypeError:
        return [session_key(cls)]


def session_key(thing: Any) -> str:
    """Return what stands for an object in this process alone.

    For code that has no stable description: what it computes is kept under a key that
    nobody else will find.

    Parameters
    ----------
    thing : object

    Returns
    -------
    str
        The same for the same object while it lives and the caches are not cleared, and
        never for another.
    """
    known: tuple[str, Any] | None = _sessions.get(id(thing))
    if known is None:
        key = f"session:{uuid.uuid4().hex}"
        reference: Callable[[], Any]
        try:
            at = id(thing)
            reference = weakref.ref(thing, lambda _: _sessions.pop(at, None))
        except TypeError:  # it lives as long as the process
            reference = functools.partial(_itself, thing)
        known = _sessions.setdefault(id(thing), (key, reference))
    return known[0]


# id of an object -> its key, and what holds or watches it
_sessions = Cache(f"{__name__}._sessions", maxsize=4096)


def _itself(thing: object) -> object:
    return thing


def file_key(path: str | os.PathLike[str]) -> str:
    """Return what stands for a file in a key: what is in it.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str
        SHA-256 of its content; the path where there is no such file.
    """
    try:
        return file_sha256(path)
    except OSError:
        return os.fspath(path)
