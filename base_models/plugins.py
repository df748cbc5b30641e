"""Detectors, combiners and data sets of other packages, found by their entry points.

A package declares what it adds in its metadata, such as ::

    [project.entry-points."deepfake_ensemble.detectors"]
    colours = "deepfake_colours:ColourDetector"

Names are read without importing anything; what a name stands for is imported when it
is asked for. Nothing that a package does not declare is ever taken from it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from base_models.errors import DeepfakeEnsembleWarning
from base_models.naming import squeezed
from base_models.runtime.caches import cached

DETECTORS = "deepfake_ensemble.detectors"
COMBINERS = "deepfake_ensemble.combiners"
DATA_SETS = "deepfake_ensemble.datasets"
GROUPS = {DETECTORS: "detector", COMBINERS: "combiner", DATA_SETS: "data set"}

_OURS = ("base_models", "ensemble")


class PluginError(ImportError):
    """What another package declares cannot be used."""


@dataclass(frozen=True)
class Plugin:
    """One thing that another package declares.

    Attributes
    ----------
    group : str
        A key of `GROUPS`.
    name : str
        What users write for it.
    package, version : str
        Of the distribution that declares it.
    entry : EntryPoint
        Where it is.
    """

    group: str
    name: str
    package: str
    version: str
    entry: EntryPoint

    def __str__(self) -> str:
        return f"{GROUPS[self.group]} {self.name!r} of the package {self.package}"

    def imported(self) -> Any:
        """Import it.

        Raises
        ------
        PluginError
            If that fails, or it is not what its group holds.
        """
        try:
            found = self.entry.load()
        except Exception as error:
            raise PluginError(
                f"{self} cannot be imported from {self.entry.value!r}: "
                f"{type(error).__name__}: {error}; mend it, or uninstall {self.package}"
            ) from error
        needed = {DATA_SETS: ("fits", "read")}.get(self.group, ("fit", "predict_proba"))
        missing = [name for name in needed if not hasattr(found, name)]
        if missing or (self.group != DATA_SETS and not isinstance(found, type)):
            kind = "an object" if self.group == DATA_SETS else "a class"
            raise PluginError(
                f"{self} must be {kind} with {' and '.join(needed)}; "
                f"{self.entry.value!r} is {found!r}"
            )
        return found

    def declares(self, cls: type) -> bool:
        """Say whether it stands for a class that is loaded already."""
        found: Any = sys.modules.get(self.entry.module)
        for name in filter(None, (self.entry.attr or "").split(".")):
            found = getattr(found, name, None)
        return found is cls


def plugins(group: str, taken: Iterable[str] = ()) -> dict[str, Plugin]:
    """Return what the installed packages declare, by name.

    Parameters
    ----------
    group : {"deepfake_ensemble.detectors", "deepfake_ensemble.combiners", \
"deepfake_ensemble.datasets"}
    taken : iterable of str, default=()
        Our own names, which stay ours; of two packages the first by name has it.

    Returns
    -------
    dict of str to Plugin

    Warns
    -----
    UserWarning
        Naming what is left out.

    Examples
    --------
    >>> from base_models.plugins import COMBINERS, plugins
    >>> isinstance(plugins(COMBINERS), dict)
    True
    """
    owners = {squeezed(name): "this library" for name in taken}
    found = {}
    for plugin in _declared(group, tuple(sys.path)):
        owner = owners.setdefault(
            squeezed(plugin.name), f"the package {plugin.package}"
        )
        if owner == f"the package {plugin.package}":
            found[plugin.name] = plugin
        else:
            warnings.warn(
                f"{plugin} is left out: {owner} has that name. Ask {plugin.package} "
                "for another",
                DeepfakeEnsembleWarning,
                stacklevel=3,
            )
    return found


@cached(maxsize=8)
def _declared(group, path):
    """Read the metadata of all that is installed on a path."""
    found = []
    for entry in entry_points(group=group):
        known = entry.dist
        name, version = ("?", "?") if known is None else (known.name, known.version)
        found.append(Plugin(group, entry.name, name, version, entry))
    return sorted(found, key=lambda plugin: (plugin.package, plugin.name))


def plugin_of(cls: type, group: str) -> Plugin | None:
    """Return what declares a class, if anything does. Nothing is imported.

    Examples
    --------
    >>> from base_models import FlickerDetector
    >>> from base_models.plugins import DETECTORS, plugin_of
    >>> plugin_of(FlickerDetector, DETECTORS) is None
    True
    """
    if cls.__module__.partition(".")[0] in _OURS:
        return None
    declared = _declared(group, tuple(sys.path))
    return next((plugin for plugin in declared if plugin.declares(cls)), None)


def plugin_named(name: str, package: str, group: str) -> Plugin | None:
    """Return what an installed package declares under a name, or None.

    Examples
    --------
    >>> from base_models.plugins import DETECTORS, plugin_named
    >>> plugin_named("colours", "deepfake-colours", DETECTORS) is None
    True
    """
    for plugin in _declared(group, tuple(sys.path)):
        if (plugin.name, plugin.package) == (name, package):
            return plugin
    return None
