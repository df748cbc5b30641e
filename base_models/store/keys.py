"""What stands for classes, code and versions of libraries in the keys of a store.

A store outlives the code that filled it. Our own classes go by their public name and a
number that is raised when what they compute changes; libraries by their major and minor
version; code of users by its bytecode and all that it calls: see
`base_models.store.code`.
"""

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
import uuid
import weakref
from pathlib import Path

_OURS = ("base_models", "ensemble")


def is_own(thing):
    """Return whether a class, a function or an object of a class is this project's.

    Parameters
    ----------
    thing : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from base_models import Augmentation
    >>> from base_models.store.keys import is_own
    >>> is_own(Augmentation()), is_own(Augmentation), is_own(len)
    (True, True, False)
    """
    named = inspect.isclass(thing) or inspect.isroutine(thing)
    return is_own_module(getattr(thing if named else type(thing), "__module__", None))


def is_own_module(name):
    """Return whether a module of this name is this project's."""
    return (name or "").partition(".")[0] in _OURS


def class_key(cls):
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
    from base_models.store.code import code_digest

    return [name, code_digest(cls)]


def class_key_here(cls):
    """Return `class_key`, or where there is none what holds in this process alone."""
    try:
        return class_key(cls)
    except TypeError:
        return [session_key(cls)]


def own_versions(cls):
    """Return the versions that decide what a class of ours computes.

    Whoever changes a class so that the same videos and settings give other views,
    features, networks or scores raises its ``code_version`` in the same change: what
    older code left in a store is then not found any more. It stands for all the
    functions that the class uses, too. A change that only moves or renames code leaves
    it. Its ``key_libraries`` are those whose releases may change what it computes.

    Parameters
    ----------
    cls : type

    Returns
    -------
    list of [str, int or str]
        The ``code_version`` of the class and of each that it derives from; then major
        and minor version of each library.

    Examples
    --------
    >>> from base_models import FrameDetector
    >>> from base_models.store.keys import own_versions
    >>> [name for name, _ in own_versions(FrameDetector)]
    ['FrameDetector', 'NetworkDetector', 'timm', 'torch']
    """
    versions = [
        [base.__qualname__, vars(base)["code_version"]]
        for base in cls.__mro__
        if "code_version" in vars(base)
    ]
    libraries = {
        name for base in cls.__mro__ for name in vars(base).get("key_libraries", ())
    }
    return versions + [[name, library_version(name)] for name in sorted(libraries)]


@functools.lru_cache
def library_version(name):
    """Return the major and minor version of a library.

    Parameters
    ----------
    name : str
        As it is imported.

    Returns
    -------
    str

    Examples
    --------
    >>> from base_models.store.keys import library_version
    >>> library_version("numpy").count(".")
    1
    """
    version = getattr(importlib.import_module(name), "__version__", None)
    if not isinstance(version, str):
        version = importlib.metadata.version(name)
    return _major_minor(version)


def _major_minor(version):
    """Return "2.14" of "2.14.1+cu130"."""
    return ".".join(re.split(r"[.+]", version)[:2])


def module_version(name):
    """Return the version of the library that a module belongs to, or None.

    Parameters
    ----------
    name : str or None
        Of the module.

    Returns
    -------
    str or None
        Major and minor; of the standard library that of Python. None is code that
        may change without a version: a user's, or our own.

    Examples
    --------
    >>> from base_models.store.keys import module_version
    >>> module_version("__main__") is None, module_version("numpy.linalg") is None
    (True, False)
    """
    top = (name or "__main__").partition(".")[0]
    if top in ("__main__", *_OURS):
        return None
    if top == "builtins" or top in sys.stdlib_module_names:
        return "python {}.{}".format(*sys.version_info)
    return _installed_version(top)


@functools.lru_cache
def _installed_version(top):
    try:
        spec = importlib.util.find_spec(top)
    except (ValueError, ImportError):  # a module without a spec: made on the spot
        return None
    places = (
        [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    )
    if not any(place and _is_installed(place) for place in places):
        return None
    try:
        return f"{top} {library_version(top)}"
    except (importlib.metadata.PackageNotFoundError, ImportError):
        return None


def _is_installed(place):
    parts = Path(place).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    folders = (sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    return any(Path(place).is_relative_to(folder) for folder in folders)


def session_key(thing):
    """Return what stands for an object in this process alone.

    For code that has no stable description: what it computes is kept under a key that
    nobody else will find.

    Parameters
    ----------
    thing : object

    Returns
    -------
    str
        The same for the same object while it lives, and never for another.
    """
    known = _sessions.get(id(thing))
    if known is None:
        key = f"session:{uuid.uuid4().hex}"
        try:
            at = id(thing)
            reference = weakref.ref(thing, lambda _: _sessions.pop(at, None))
        except TypeError:  # it lives as long as the process
            reference = functools.partial(_itself, thing)
        known = _sessions[id(thing)] = key, reference
    return known[0]


_sessions = {}  # id of an object -> its key, and what holds or watches it


def _itself(thing):
    return thing


def file_key(path):
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
        stat = os.stat(path)
        return _file_digest(os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
    except OSError:
        return os.fspath(path)


@functools.lru_cache
def _file_digest(path, size, changed):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
