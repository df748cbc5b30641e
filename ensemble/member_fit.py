"""Fits an ensemble's detectors over its splits, and scores its training videos."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import ArrayLike, NDArray

from base_models.naming import find_name
from ensemble.out_of_fold.face_pooling import fit_with_faces
from ensemble.out_of_fold.fitting import FitSettings, Keep
from ensemble.out_of_fold.refit_offsets import with_refit_offsets
from ensemble.out_of_fold.table import out_of_fold_table
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.out_of_fold.unseen_kinds import unseen_kind_scores
from ensemble.presets import STRATEGIES
from ensemble.resampling.names import scores_are


def fit_members(
    model: Any,
    named: list,
    training: TrainingSet,
    splits: list,
    y: ArrayLike,
    on_error: str = "raise",
    skipped: dict[str, str] | None = None,
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, NDArray]]:
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
    steps : dict of str to ndarray of shape (n_videos, 2)
        As of `OutOfFold`.
    """
    settings = _settings(model, on_error)
    outcome = fit_with_faces(named, training, splits, model.faces_pooling, settings)
    detectors = {
        name: members[0] if len(members) == 1 else members
        for name, members in outcome.detectors.items()
    }
    names = list(outcome.detectors)
    table = out_of_fold_table(outcome, training, splits, names, y, skipped)
    table = with_refit_offsets(table, detectors, training, model.store)
    return detectors, table, outcome.steps


def made_fakes(
    model: Any, fitted: Any, named: list, training: TrainingSet, splits: list
) -> Any:
    """Score pseudo-fakes of the reals that no detector has seen the like of.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Of which parameters are taken.
    fitted : DeepfakeEnsemble
        With ``detectors_``.
    named : list of (str, detector)
        Unfitted.
    training : TrainingSet
    splits : list of (train, test)

    Returns
    -------
    ndarray of shape (n_videos, n_detectors) or None
        None where there are real fakes, or no weights are asked for; see
        `ensemble.out_of_fold.unseen_kinds.unseen_kind_scores`.
    """
    alone = not training.is_fake.any()
    if not alone or model.combiner not in (None, "spread_log_odds"):
        return None
    if model.faces_pooling != "largest":
        return None
    if scores_are(splits, len(training)) != "out-of-fold":
        return None
    left = [(name, one) for name, one in named if name in fitted.detectors_]
    scores = unseen_kind_scores(left, training, splits, _settings(model, "raise"))
    return None if scores is None else scores.to_numpy()


def tell_of_ensemble(model: Any) -> None:
    """Tell callbacks of an ensemble that is fitted: its table, and AUCs out of fold.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    """
    from base_models.callbacks.events import ENSEMBLE_END, tell
    from ensemble.metrics import auc

    table, training = model.oof_scores_, model.fit_record_.training
    is_fake = training.is_fake[training.rows(table.index)]
    metrics = {}
    for name in table:
        there = table[name].notna().to_numpy()
        if len(set(is_fake[there])) == 2:
            metrics[name] = float(auc(is_fake[there], table[name].to_numpy()[there]))
    tell(ENSEMBLE_END, metrics=metrics, artifacts={"model": model, "oof_scores": table})


def _settings(model, on_error):
    preset = STRATEGIES[find_name(model.strategy, STRATEGIES, "strategy")]
    replicas = preset.replicas or not model.refit
    return FitSettings(
        Keep.SPLITS if replicas else Keep.REFIT,
        model.n_jobs,
        model.random_state or 0,
        model.store,
        model.device,
        model.verbose,
        on_error=on_error,
    )
