"""Whose code it is and in which version: ours, a library's or Python's own."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any

from base_models.runtime.caches import cached

_OURS = ("base_models", "ensemble")
_GROUPS = [
    f"deepfake_ensemble.{name}" for name in ("detectors", "combiners", "datasets")
]


def is_own(thing: Any) -> bool:
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
    >>> from base_models.store.versions import is_own
    >>> is_own(Augmentation()), is_own(Augmentation), is_own(len)
    (True, True, False)
    """
    named = inspect.isclass(thing) or inspect.isroutine(thing)
    return is_own_module(getattr(thing if named else type(thing), "__module__", None))


def is_own_module(name: str | None) -> bool:
    """Return whether a module of this name is this project's."""
    return (name or "").partition(".")[0] in _OURS


def own_versions(cls: type) -> list[list[Any]]:
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
    >>> from base_models.store.versions import own_versions
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


@cached(maxsize=128)
def library_version(name: str) -> str:
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
    >>> from base_models.store.versions import library_version
    >>> library_version("numpy").count(".")
    1
    """
    version = getattr(importlib.import_module(name), "__version__", None)
    if not isinstance(version, str):
        version = importlib.metadata.version(name)
    return ".".join(re.split(r"[.+]", version)[:2])  # "2.14" of "2.14.1+cu130"


def module_version(name: str | None) -> str | None:
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
    >>> from base_models.store.versions import module_version
    >>> module_version("__main__") is None, module_version("numpy.linalg") is None
    (True, False)
    """
    top = (name or "__main__").partition(".")[0]
    if top in ("__main__", *_OURS):
        return None
    if top == "builtins" or top in sys.stdlib_module_names:
        return "python {}.{}".format(*sys.version_info)
    return _installed_version(top)


@cached(maxsize=128)
def _installed_version(top: str) -> str | None:
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


def _is_installed(place: str) -> bool:
    parts = Path(place).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    folders = (sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    return any(Path(place).is_relative_to(folder) for folder in folders)


def declared_versions() -> str:
    """Return what installed packages declare for this library, and in which versions.

    Examples
    --------
    >>> from base_models.store.versions import declared_versions
    >>> declared_versions()[0]
    '['
    """
    found = []
    for group in _GROUPS:
        for entry in importlib.metadata.entry_points(group=group):
            package = entry.dist
            stated = (
                (None, None) if package is None else (package.name, package.version)
            )
            found.append((group, entry.name, entry.value, *map(str, stated)))
    return repr(sorted(found))
