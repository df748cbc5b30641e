"""Fits an ensemble's detectors over its splits, and scores its training videos."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from base_models.naming import find_name
from ensemble.out_of_fold.face_pooling import fit_with_faces
from ensemble.out_of_fold.fitting import FitSettings, Keep
from ensemble.out_of_fold.refit_offsets import with_refit_offsets
from ensemble.out_of_fold.table import out_of_fold_table
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.presets import STRATEGIES


def fit_members(
    model: Any,
    named: list,
    training: TrainingSet,
    splits: list,
    y: ArrayLike,
    on_error: str = "raise",
    skipped: dict[str, str] | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fit detectors as an ensemble's parameters say.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Of which parameters are taken.
    named : list of (str, detector)
        Unfitted.
    training : TrainingSet
    splits : list of (train, test)
        Rows of it.
    y : array-like of shape (n_videos,)
        Labels, as they were given.
    on_error : {"raise", "skip"}, default="raise"
        Whether a detector that fails ends it, or is left out.
    skipped : dict of str to str or None, default=None
        Videos that were left out before, and why.

    Returns
    -------
    detectors : dict of str to detector, or to list of detectors
        Fitted; lists are averaged.
    table : DataFrame of shape (n_videos, n_detectors)
        Their out-of-fold scores.
    """
    preset = STRATEGIES[find_name(model.strategy, STRATEGIES, "strategy")]
    replicas = preset.replicas or not model.refit
    settings = FitSettings(
        Keep.SPLITS if replicas else Keep.REFIT,
        model.n_jobs,
        model.random_state or 0,
        model.store,
        model.device,
        model.verbose,
        on_error=on_error,
    )
    outcome = fit_with_faces(named, training, splits, model.faces_pooling, settings)
    detectors = {
        name: members[0] if len(members) == 1 else members
        for name, members in outcome.detectors.items()
    }
    names = list(outcome.detectors)
    table = out_of_fold_table(outcome, training, splits, names, y, skipped)
    return detectors, with_refit_offsets(table, detectors, training, model.store)
