"""The classes that a saved ensemble may name, by their public names."""

from __future__ import annotations

import importlib
import inspect
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path

from sklearn.base import BaseEstimator

import base_models
from base_models.errors import ArtifactError
from base_models.plugins import plugin_named, plugin_of
from ensemble.combiners.registry import COMBINER_CLASSES


class _Exported(Mapping):
    """Detectors and settings that `base_models` lists for users, imported when asked.

    That is every estimator with a ``code_version`` of its own: bases have none.
    """

    def __getitem__(self, name: str) -> str:
        cls = getattr(base_models, name) if name in base_models.__all__ else None
        if not (inspect.isclass(cls) and issubclass(cls, BaseEstimator)):
            raise KeyError(name)
        if "code_version" not in vars(cls):
            raise KeyError(name)
        return cls.__module__

    def __iter__(self) -> Iterator[str]:
        return (name for name in base_models.__all__ if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


# Public name -> module. A file holds the name alone, so modules may move; files of
# earlier releases hold "module:name", of which the name counts. Nothing else is ever
# imported. A class that gets another name is listed here under its old one, too.
COMBINERS = ChainMap(
    COMBINER_CLASSES,
    {
        "Calibrator": "ensemble.calibration.calibrator",
        "GroupBootstrap": "ensemble.resampling.splitters",
        "GroupHoldout": "ensemble.resampling.splitters",
        "ScorePipeline": "ensemble.pipeline.score_pipeline",
        "StratifiedGroupFolds": "ensemble.resampling.splitters",
    },
)
DETECTORS = _Exported()
OURS = ChainMap(COMBINERS, DETECTORS)
_PACKAGES = ("base_models", "ensemble")


def saved_name(cls, classes: dict[str, str]) -> str | None:
    """Return the name under which files know a class, or None.

    Parameters
    ----------
    cls : type
    classes : dict of str to str
        Public name to module: `COMBINERS`, `DETECTORS` or both.

    Returns
    -------
    str or None
        None for a class that is not one of `classes`, a subclass included.
    """
    name = cls.__qualname__
    return name if classes.get(name) == cls.__module__ else None


def saved_class(name: str, classes: Mapping[str, str], path: str | Path) -> type:
    """Return the class of a name in a file.

    Parameters
    ----------
    name : str
        ``"Voting"``, or of an earlier release ``"ensemble.combiners.voting:Voting"``.
    classes : dict of str to str
        The classes that may stand there: public name to module.
    path : str or Path
        The file, for messages.

    Returns
    -------
    type

    Raises
    ------
    ArtifactError
        If it is none of these.

    Examples
    --------
    >>> from ensemble.persistence.classes import COMBINERS, saved_class
    >>> saved_class("ensemble.combiners.somewhere:Voting", COMBINERS, "model.dfe")
    <class 'ensemble.combiners.voting.Voting'>
    """
    module, _, public_name = str(name).rpartition(":")
    known = not module or module.partition(".")[0] in _PACKAGES
    if not known or public_name not in classes:
        raise ArtifactError(f"{path} names {name}, which this release does not have")
    return getattr(importlib.import_module(classes[public_name]), public_name)


def declared_name(cls: type, group: str) -> dict[str, str] | None:
    """Return how a file names a class of another package, or None.

    Parameters
    ----------
    cls : type
    group : str
        Of `base_models.plugins`.

    Returns
    -------
    dict of str to str or None
        ``name`` and ``package`` of the entry point that declares it, and the package's
        ``version``: never a module.
    """
    found = plugin_of(cls, group)
    if found is None:
        return None
    return {"name": found.name, "package": found.package, "version": found.version}


def declared_class(named: Mapping[str, str] | None, group: str) -> type | None:
    """Return the class that an installed package declares, or None.

    Parameters
    ----------
    named : dict of str to str or None
        From a file: of `declared_name`.
    group : str

    Returns
    -------
    type or None
        None where no installed package declares it. What a file names decides which
        declaration is taken, and never what is imported.

    Examples
    --------
    >>> from base_models.plugins import DETECTORS
    >>> from ensemble.persistence.classes import declared_class
    >>> declared_class({"name": "system", "package": "os"}, DETECTORS) is None
    True
    """
    if not isinstance(named, Mapping):
        return None
    found = plugin_named(named.get("name"), named.get("package"), group)
    return None if found is None else found.imported()


def wanted_package(named: Mapping[str, str] | None) -> str:
    """Return the end of a message: the package that declares a class of a file."""
    if not isinstance(named, Mapping):
        return ""
    return (
        f"; or install the package {named.get('package')!r} (it was saved with "
        f"{named.get('version')}), which declares it"
    )
