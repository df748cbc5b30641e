"""Layers of combiners between a table and a meta-model, fitted out of fold."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning
from base_models.naming import squeezed
from ensemble.combiners.parts.composite import fit_copy, out_of_fold
from ensemble.combiners.parts.detection import level_of_the_user
from ensemble.combiners.parts.rows import Rows, fold_groups, inner_splits
from ensemble.resampling.splitters import GroupHoldout


class FittedLayers(NamedTuple):
    """What layers leave to the meta-model.

    Attributes
    ----------
    layers : list of list of Combiner
        Those that could be fitted, each on all rows.
    rows : Rows
        Their out-of-fold scores.
    beside : ndarray of shape (n_rows, n_features)
        What the meta-model sees beside the scores, of the same rows.
    n_folds : int
        Folds that the last layer was scored over.
    """

    layers: list
    rows: Rows
    beside: np.ndarray
    n_folds: int


def fit_layers(
    layers: list[list[Any]],
    rows: Rows,
    beside: np.ndarray,
    n_folds: int,
    random_state: Any,
    holdout: bool,
) -> FittedLayers:
    """Fit each layer on what the one before it hands on out of fold.

    Parameters
    ----------
    layers : list of list of Combiner
        Unfitted.
    rows : Rows
        Scores alone.
    beside : ndarray of shape (n_rows, n_features)
    n_folds : int
    random_state : int, RandomState or None
    holdout : bool
        Fit each layer on 70 % of the rows and hand on the scores of the others.

    Warns
    -----
    UserWarning
        Of layers left out, where a class is in one group.
    """
    fitted, n_used = [], 0
    for layer in layers:
        splits = inner_splits(rows, n_folds, random_state)
        if not splits:
            _warn_of_left_out_layers(len(fitted), len(layers))
            break
        if holdout:
            groups = fold_groups(rows)
            one_split = GroupHoldout(random_state=random_state)
            splits = list(one_split.split(rows.scores, rows.is_fake, groups))
        n_used = len(splits)
        fitted_on = rows[splits[0][0]] if holdout else rows
        handed_on = np.column_stack([out_of_fold(one, rows, splits) for one in layer])
        kept = ~np.isnan(handed_on).all(axis=1)
        fitted.append([fit_copy(one, fitted_on) for one in layer])
        rows = replace(rows[kept], scores=handed_on[kept], offsets=None)
        beside = beside[kept]
    return FittedLayers(fitted, rows, beside, n_used)


def sets_aside(resampling: str) -> bool:
    """Say whether layers are fitted on a part of the rows and hand on the others.

    Parameters
    ----------
    resampling : {"k-fold", "holdout"}

    Examples
    --------
    >>> sets_aside("holdout")
    True
    """
    known = {"kfold": False, "holdout": True}
    name = squeezed(str(resampling))
    if name not in known:
        raise ValueError(
            f"resampling must be 'k-fold' or 'holdout'; got {resampling!r}"
        )
    return known[name]


def _warn_of_left_out_layers(n_kept, n_layers):
    warnings.warn(
        f"layer {n_kept + 1} of {n_layers} needs two groups or more with each "
        "class, to hand on scores of videos that it has not seen, and a class is "
        "in one: the meta-model is fitted "
        + (f"on the scores of layer {n_kept}" if n_kept else "on the table itself")
        + ", without the layers after; add videos of other groups",
        DeepfakeEnsembleWarning,
        stacklevel=level_of_the_user(),
    )
