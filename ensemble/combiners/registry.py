"""Combiners by name: each class registers its names, kind and label beside itself.

Nothing here names a combiner. ``import ensemble.combiners`` imports all of ours and so
fills the registry; those of other packages are found by their entry points
(`base_models.plugins`), and imported when they are asked for. `resolve_combiner`,
`AutoCombiner`, the strategies of a comparison and saved files read it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from base_models.naming import find_name
from base_models.plugins import COMBINERS, Plugin, plugins
from base_models.store.versions import is_own


@dataclass(frozen=True)
class Entry:
    """One combiner that can be had by name: a class with some of its parameters set.

    Attributes
    ----------
    name : str or None, default=None
        What users write for it, wherever a combiner or a strategy is named; None for
        one that has its `label` alone.
    settings : dict or callable, default={}
        Parameters that are not the default ones; or ``settings(random_state)``, which
        returns them.
    aliases : tuple of str, default=()
        Other names for it.
    label : str or None, default=None
        Its name in a comparison of all strategies, which users may write, too; None
        leaves it out there.
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
    """Return all names of combiners, aliases included; labels are understood, too.

    Examples
    --------
    >>> "log_odds" in combiner_names()
    True
    """
    return list(_by_name(labels=False))


def strategy_labels() -> list[str]:
    """Return the names under which a comparison shows every strategy.

    Examples
    --------
    >>> "log-odds mean, calibrated" in strategy_labels()
    True
    """
    return [entry.label for _, entry in _sorted() if entry.label is not None]


def combiner_name(written: str) -> str:
    """Return the name of a combiner that goes by a name, an alias or a label.

    Examples
    --------
    >>> combiner_name("log-odds mean, calibrated"), combiner_name("mean")
    ('calibrated', 'soft')
    """
    named = _by_name()
    entry = named[find_name(written, named, "combiner")][1]
    return str(entry.name or entry.label)


def strategy_label(written: str) -> str:
    """Return the name that a comparison shows for what goes by a name, alias or label.

    Examples
    --------
    >>> strategy_label("soft"), strategy_label("auto"), strategy_label("best_single")
    ('mean', 'AutoCombiner', 'best_single')
    """
    named = _by_name()
    entry = named[find_name(written, named, "strategy")][1]
    return str(entry.label or entry.name)


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
        "best_single", "greedy", "dynamic", "bagging" (of logistic), "blending",
        "auto" or another of `combiner_names`, or what a comparison calls one, such as
        "stacking"; an object with ``fit`` and ``predict_proba`` is returned as it is.
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
        expected = f"one of {', '.join(combiner_names())}"
        cls, entry = named[find_name(combiner, named, "combiner", expected)]
        return _make(cls, entry, random_state)
    is_object = not isinstance(combiner, type)
    if is_object and hasattr(combiner, "fit") and hasattr(combiner, "predict_proba"):
        return combiner
    raise TypeError(
        "combiner must be a name or an object with fit and predict_proba; got "
        f"{combiner!r}"
    )


def _make(cls, entry, random_state):
    if isinstance(cls, Plugin):
        cls = cls.imported()
    settings = entry.settings or {}
    if callable(settings):
        settings = settings(random_state)
    if "random_state" in signature(cls).parameters:
        settings = {"random_state": random_state, **settings}
    return cls(**settings)


def _sorted():
    return sorted(ENTRIES, key=lambda registered: registered[1].order)


def _by_name(labels=True):
    """Return classes and entries by name and alias, and by label where there are."""
    named = {
        name: (cls, entry)
        for cls, entry in _sorted()
        if entry.name is not None
        for name in (entry.name, *entry.aliases)
    }
    for cls, entry in _sorted() if labels else ():
        if entry.label is not None:
            named.setdefault(entry.label, (cls, entry))
    ours = [name for name, (cls, _) in named.items() if is_own(cls)]
    others = plugins(COMBINERS, taken=ours)
    return {name: (plugin, Entry(name)) for name, plugin in others.items()} | named
