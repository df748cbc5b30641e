"""The strategies that a comparison sets side by side, by name."""

from ensemble.combiners import (
    AutoCombiner,
    Bagging,
    Blending,
    DynamicSelection,
    GreedySelection,
    OptimizedWeights,
    Stacking,
    Voting,
    resolve_combiner,
)
from ensemble.combiners.composite import as_combiner
from ensemble.combiners.registry import COMBINER_NAMES
from ensemble.naming import find_name

MEAN = "mean"
CHOSEN_MEMBER = "best member, chosen in training"
AUTO = "AutoCombiner"


def named_strategies(random_state=0):
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
    from lightgbm import LGBMClassifier  # when first used: it is slow to load
    from sklearn.linear_model import LogisticRegression

    trees = LGBMClassifier(
        n_estimators=60, num_leaves=7, n_jobs=1, verbosity=-1, random_state=random_state
    )
    seed = {"random_state": random_state}
    return {
        CHOSEN_MEMBER: GreedySelection("auc", n_rounds=1, **seed),
        MEAN: Voting("soft"),
        "log-odds mean": Voting(),
        "log-odds mean, calibrated": resolve_combiner("calibrated", random_state),
        "rank mean": Voting("rank"),
        "median": Voting("median"),
        "trimmed mean": Voting("trimmed"),
        "maximum": Voting("max"),
        "minimum": Voting("min"),
        "majority vote": Voting("hard"),
        "weighted vote": OptimizedWeights(),
        "greedy selection": GreedySelection(**seed),
        "dynamic selection": DynamicSelection(),
        "bagging": Bagging(Stacking(shrinkage=30.0, **seed), n_replicas=25, **seed),
        "blending": Blending(**seed),
        "stacking": Stacking(**seed),
        "stacking, LightGBM": Stacking("lightgbm", **seed),
        "stacking, MLP": Stacking("mlp", **seed),
        "stacking, plain logistic": Stacking(
            LogisticRegression(), scale="probability", **seed
        ),
        "stacking, plain LightGBM": Stacking(trees, scale="probability", **seed),
        AUTO: AutoCombiner(**seed),
    }


def chosen_strategies(strategies, members, random_state=0):
    """Turn what a user writes for `strategies` into combiners by name.

    Parameters
    ----------
    strategies : "all", str, combiner, sequence of these or dict of str to these
    members : sequence of str
        Names that are taken.
    random_state : int, default=0

    Returns
    -------
    dict of str to Combiner
        The mean and the best member, chosen in training, come first: all are measured
        against them.

    Examples
    --------
    >>> list(chosen_strategies(["stacking"], ["a", "b"]))
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
    names = list(dict.fromkeys([*every, *COMBINER_NAMES]))
    for name, one in given.items():
        if isinstance(one, str):
            one = find_name(one, names, "strategy", f"one of {'; '.join(names)}")
        is_named = isinstance(one, str) and one in every
        chosen[name] = every[one] if is_named else as_combiner(one, random_state)
    taken = sorted(set(chosen) & set(members))
    if taken:
        raise ValueError(
            f"a detector and a strategy are both called {taken[0]!r}; rename the "
            "detector's column, or give strategies as {name: combiner}"
        )
    return chosen
