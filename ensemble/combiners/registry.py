"""Combiners by name."""

import numpy as np

from ensemble.combiners.auto import AutoCombiner
from ensemble.combiners.bagging import Bagging
from ensemble.combiners.dynamic_selection import DynamicSelection
from ensemble.combiners.greedy_selection import GreedySelection
from ensemble.combiners.optimized_weights import OptimizedWeights
from ensemble.combiners.stacking import Stacking
from ensemble.combiners.voting import Voting
from ensemble.naming import find_name

_NAMES = {
    "log_odds": lambda seed: Voting("log_odds"),
    "soft": lambda seed: Voting("soft"),
    "mean": lambda seed: Voting("soft"),
    "weighted": lambda seed: OptimizedWeights(),
    "optimized": lambda seed: OptimizedWeights(),
    "hard": lambda seed: Voting("hard"),
    "majority": lambda seed: Voting("hard"),
    "median": lambda seed: Voting("median"),
    "rank": lambda seed: Voting("rank"),
    "max": lambda seed: Voting("max"),
    "min": lambda seed: Voting("min"),
    "trimmed": lambda seed: Voting("trimmed"),
    "logistic": lambda seed: Stacking("logistic", random_state=seed),
    "lightgbm": lambda seed: Stacking("lightgbm", random_state=seed),
    "mlp": lambda seed: Stacking("mlp", random_state=seed),
    "calibrated": lambda seed: Stacking(shrinkage=np.inf, random_state=seed),
    "best_single": lambda seed: GreedySelection(n_rounds=1, random_state=seed),
    "greedy": lambda seed: GreedySelection(random_state=seed),
    "dynamic": lambda seed: DynamicSelection(),
    "bagging": lambda seed: Bagging(random_state=seed),
    "auto": lambda seed: AutoCombiner(random_state=seed),
}

COMBINER_NAMES = tuple(_NAMES)


def resolve_combiner(combiner, random_state=None):
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
        name = find_name(combiner, _NAMES, "combiner")
        return _NAMES[name](random_state)
    is_object = not isinstance(combiner, type)
    if is_object and hasattr(combiner, "fit") and hasattr(combiner, "predict_proba"):
        return combiner
    raise TypeError(
        "combiner must be a name or an object with fit and predict_proba; got "
        f"{combiner!r}"
    )
