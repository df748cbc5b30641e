"""Meta-models as they are used by habit, without any care of ours, to compare with."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression


def plain_logistic(random_state: Any) -> dict[str, Any]:
    """Return the parameters of a `Stacking` by plain logistic regression."""
    return {"meta_model": LogisticRegression(), "scale": None}


def plain_trees(random_state: Any) -> dict[str, Any]:
    """Return the parameters of a `Stacking` by plain LightGBM."""
    from lightgbm import LGBMClassifier  # when first used: it is slow to load

    trees = LGBMClassifier(
        n_estimators=60, num_leaves=7, n_jobs=1, verbosity=-1, random_state=random_state
    )
    return {"meta_model": trees, "scale": None}
