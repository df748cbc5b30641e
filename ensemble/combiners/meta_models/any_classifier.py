"""Any classifier as a meta-model: with groups, weights and a seed, if it takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from ensemble.combiners.parts.rows import Rows


def fit_classifier(
    meta_model: Any,
    inputs: np.ndarray,
    rows: Rows,
    random_state: int | np.random.RandomState | None,
) -> Any:
    """Fit a copy of a classifier on what a meta-model sees of some rows.

    Parameters
    ----------
    meta_model : classifier
        Gets groups where it takes them; rows are repeated where it takes no weights.
    inputs : ndarray of shape (n_rows, n_inputs)
        Without missing ones.
    rows : Rows
    random_state : int, RandomState or None
        Seeds what has no seed of its own.

    Returns
    -------
    fitted : classifier

    Raises
    ------
    TypeError
        For what is no classifier, or has no ``predict_proba``.
    ValueError
        For weights that are no whole numbers, where it takes none.
    """
    if not hasattr(meta_model, "fit") or is_regressor(meta_model):
        raise TypeError(
            "meta_model must be 'logistic', 'lightgbm', 'mlp' or a scikit-learn "
            f"classifier; got {meta_model!r}"
        )
    if not hasattr(meta_model, "predict_proba"):
        raise TypeError(
            f"meta_model {meta_model!r} has no predict_proba; wrap it in "
            "CalibratedClassifierCV"
        )
    is_fake, groups, passed = rows.is_fake, rows.groups, {}
    if has_fit_parameter(meta_model, "sample_weight"):
        if (rows.weight != 1).any():
            passed["sample_weight"] = rows.weight
    else:
        times = _as_repetition(rows.weight, meta_model)
        inputs, is_fake = inputs.repeat(times, axis=0), is_fake.repeat(times)
        groups = None if groups is None else groups.repeat(times)
    if groups is not None and _takes_groups(meta_model):
        passed["groups"] = groups
    fitted = _seeded(clone(meta_model), random_state)
    fitted.fit(inputs, is_fake, **passed)
    return fitted


def filled(scores: Any, gaps: Any = None) -> Any:
    """Fill missing scores with the mean of the row's others, but for some columns."""
    missing = np.isnan(scores) if gaps is None else np.isnan(scores) & ~gaps
    if not missing.any():
        return scores
    return np.where(missing, np.nanmean(scores, axis=1, keepdims=True), scores)


def _as_repetition(weight, meta_model):
    if (weight != np.round(weight)).any():
        raise ValueError(
            f"meta_model {meta_model!r} takes no sample_weight; leave the weights out, "
            "give whole numbers, or choose another meta-model"
        )
    return weight.astype(int)


def _takes_groups(meta_model):
    if has_fit_parameter(meta_model, "groups"):
        return True
    if isinstance(meta_model, GridSearchCV | RandomizedSearchCV):
        return True
    routing = get_routing_for_object(meta_model)
    return bool(routing.consumes("fit", ["groups"]))


def _seeded(estimator, random_state):
    rng = check_random_state(random_state)
    for name, value in sorted(estimator.get_params(deep=True).items()):
        if value is None and name.split("__")[-1] == "random_state":
            estimator.set_params(**{name: rng.randint(2**31 - 1)})
    return estimator
