"""Combiners by name: each class registers its names, kind and label beside itself.

Nothing here names a combiner. ``import ensemble.combiners`` imports all of them and so
fills the registry; `resolve_combiner`, `AutoCombiner`, the strategies of a comparison
and saved files read it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from base_models.naming import find_name


@dataclass(frozen=True)
class Entry:
    """One combiner that can be had by name: a class with some of its parameters set.

    Attributes
    ----------
    name : str or None, default=None
        What users write for it; None for one that is only compared, by its `label`.
    settings : dict or callable, default={}
        Parameters that are not the default ones; or ``settings(random_state)``, which
        returns them.
    aliases : tuple of str, default=()
        Other names for it.
    label : str or None, default=None
        Its name in a comparison of all strategies; None leaves it out there.
    order : float, default=inf
        Its place in lists of names and strategies, from the lowest on.
    complexity : float, default=inf
        Makes it a default candidate of `AutoCombiner`: its place among them, from the
        simplest on.
    """

    name: str | None = None
    settings: Mapping[str, Any] | Callable[[Any], Mapping[str, Any]] | None = None
    aliases: tuple[str, ...] = ()
    label: str | None = None
    order: float = math.inf
    complexity: float = math.inf


COMBINER_CLASSES: dict[str, str] = {}  # name of a registered class -> its module
ENTRIES: list[tuple[type, Entry]] = []


def register(*entries: Entry) -> Callable[[type], type]:
    """Register a class of combiners under some names. Its subclasses are not.

    Parameters
    ----------
    *entries : Entry

    Returns
    -------
    decorator : callable
        Returns the class as it is.
    """

    def remember(cls):
        COMBINER_CLASSES[cls.__name__] = cls.__module__
        ENTRIES.extend((cls, entry) for entry in entries)
        return cls

    return remember


def combiner_names() -> list[str]:
    """Return all names of combiners, aliases included.

    Examples
    --------
    >>> "log_odds" in combiner_names()
    True
    """
    return list(_by_name())


def default_candidates() -> list[str]:
    """Return the names of the default candidates of `AutoCombiner`, simplest first.

    Examples
    --------
    >>> default_candidates()[:3]
    ['calibrated', 'best_single', 'logistic']
    """
    candidates = [entry for _, entry in ENTRIES if entry.complexity < math.inf]
    return [entry.name for entry in sorted(candidates, key=lambda one: one.complexity)]


def named_strategies(random_state: Any = 0) -> dict[str, Any]:
    """Return every strategy that ``strategies="all"`` compares, by name.

    On a table of scores bagging draws the videos that the combiner learns from, and
    blending sets some of them aside for it; the detectors are as they are. The two
    "plain" meta-models are scikit-learn's habit, without any care of ours.

    Parameters
    ----------
    random_state : int, default=0

    Returns
    -------
    dict of str to Combiner

    Examples
    --------
    >>> "stacking" in named_strategies()
    True
    """
    return {
        entry.label: _make(cls, entry, random_state)
        for cls, entry in _sorted()
        if entry.label is not None
    }


def resolve_combiner(combiner: Any, random_state: Any = None) -> Any:
    """Turn what a user writes for `combiner` into a combiner.

    Parameters
    ----------
    combiner : str or object
        "log_odds", "soft" (or "mean"), "weighted" (or "optimized"; weights learned on
        log-odds), "hard" (or "majority"), "median", "rank", "max", "min", "trimmed",
        "logistic", "lightgbm", "mlp", "calibrated" (the mean of log-odds, calibrated),
        "best_single", "greedy", "dynamic", "bagging" (of logistic) or "auto"; an object
        with ``fit`` and ``predict_proba`` is returned as it is.
    random_state : int, RandomState or None, default=None
        Seed for a combiner made here.

    Returns
    -------
    combiner : object

    Examples
    --------
    >>> resolve_combiner("median")
    Voting(kind='median')
    """
    if isinstance(combiner, str):
        named = _by_name()
        cls, entry = named[find_name(combiner, named, "combiner")]
        return _make(cls, entry, random_state)
    is_object = not isinstance(combiner, type)
    if is_object and hasattr(combiner, "fit") and hasattr(combiner, "predict_proba"):
        return combiner
    raise TypeError(
        "combiner must be a name or an object with fit and predict_proba; got "
        f"{combiner!r}"
    )


def _make(cls, entry, random_state):
    settings = entry.settings or {}
    if callable(settings):
        settings = settings(random_state)
    if "random_state" in cls._get_param_names():
        settings = {"random_state": random_state, **settings}
    return cls(**settings)


def _sorted():
    return sorted(ENTRIES, key=lambda registered: registered[1].order)


def _by_name():
    return {
        name: (cls, entry)
        for cls, entry in _sorted()
        if entry.name is not None
        for name in (entry.name, *entry.aliases)
    }
