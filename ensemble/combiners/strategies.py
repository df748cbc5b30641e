"""The strategies that a comparison sets side by side, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.naming import find_name, squeezed
from ensemble.combiners.base import Combiner
from ensemble.combiners.registry import (
    combiner_names,
    named_strategies,
    strategy_label,
    strategy_labels,
)
from ensemble.combiners.stacking import as_combiner

if TYPE_CHECKING:
    import pandas as pd

MEAN = "mean"
CHOSEN_MEMBER = "best member, chosen in training"


def simplest_of_the_highest(auc: pd.Series) -> str:
    """Return the strategy of the highest AUC, of equal ones the simplest.

    Examples
    --------
    >>> import pandas as pd
    >>> simplest_of_the_highest(pd.Series({"stacking": 0.9, "mean": 0.9}))
    'mean'
    """
    equal = auc.index[auc == auc.max()]
    simple = [name for name in (MEAN, CHOSEN_MEMBER) if name in equal]
    return str([*simple, *equal][0])


def chosen_strategies(
    strategies: Any, members: Sequence[str] | np.ndarray, random_state: int = 0
) -> dict[str, Combiner]:
    """Turn what a user writes for `strategies` into combiners by name.

    Parameters
    ----------
    strategies : "all", str, combiner, sequence of these or dict of str to these
        Names are those of `ensemble.combiners.resolve_combiner`.
    members : sequence of str
        Names that are taken.
    random_state : int, default=0

    Returns
    -------
    dict of str to Combiner
        The mean and the best member, chosen in training, come first: all are measured
        against them. Those of a dict are called by its keys, registered ones by their
        label; of others with equal parameters the first one is kept.

    Examples
    --------
    >>> list(chosen_strategies(["logistic", "soft", "stacking"], ["a", "b"]))
    ['best member, chosen in training', 'mean', 'stacking']
    """
    every = named_strategies(random_state)
    if isinstance(strategies, str) and strategies == "all":
        given = every
    elif isinstance(strategies, dict):
        given = {str(name): one for name, one in strategies.items()}
    else:
        one = isinstance(strategies, str) or hasattr(strategies, "fit")
        given = {str(one): one for one in ([strategies] if one else strategies)}
    chosen = {name: every[name] for name in (CHOSEN_MEMBER, MEAN)}
    names = list(dict.fromkeys([*every, *combiner_names()]))
    for name, one in given.items():
        if isinstance(one, str):
            one = find_name(one, names, "strategy", f"one of {'; '.join(names)}")
            name = name if isinstance(strategies, dict) else strategy_label(one)
        combiner = as_combiner(one, random_state)
        if isinstance(strategies, dict) or not _is_among(combiner, chosen.values()):
            chosen[name] = combiner
    taken = sorted(set(chosen) & set(members))
    if taken:
        raise ValueError(
            f"a detector and a strategy are both called {taken[0]!r}; rename the "
            "detector's column, or give strategies as {name: combiner}"
        )
    return chosen


def _is_among(combiner, others):
    """Whether another one has the same class and parameters, as far as can be seen."""
    from base_models.store.store import fingerprint

    alike = [one for one in others if type(one) is type(combiner)]
    try:
        return bool(alike) and fingerprint(combiner) in map(fingerprint, alike)
    except TypeError:  # it has a parameter that cannot be compared
        return False


def split_strategies(text: str) -> list[str]:
    """Split names of strategies that are given by comma; some have one themselves.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str

    Examples
    --------
    >>> split_strategies("soft, log-odds mean, calibrated, stacking")
    ['soft', 'log-odds mean, calibrated', 'stacking']
    """
    labels = {squeezed(label) for label in strategy_labels()}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    names: list[str] = []
    while parts:
        joined = (", ".join(parts[:n]) for n in range(len(parts), 1, -1))
        name = next((one for one in joined if squeezed(one) in labels), parts[0])
        names.append(name)
        parts = parts[name.count(",") + 1 :]
    return names
