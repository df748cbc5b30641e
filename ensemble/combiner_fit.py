"""Fits combiner, calibration and threshold; warns of what scores do not show."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from base_models.errors import DeepfakeEnsembleWarning, UnscorableVideoError
from ensemble.calibration.cross_fitting import fit_calibrated
from ensemble.cascade.settling import warn_of_cascade
from ensemble.combiners import SpreadLogOdds
from ensemble.combiners.stacking import as_combiner
from ensemble.decision.error_rates import rate_interval
from ensemble.decision.named_thresholds import parse_threshold, set_thresholds
from ensemble.errors import FailedDetectorsError
from ensemble.metrics.ties import above
from ensemble.out_of_fold.ensemble_scores import OutOfFoldEvidence, scored_rows
from ensemble.out_of_fold.reals_only import (
    check_combiner,
    check_settings,
    fit_spread,
    fit_vote,
    learns,
    reals_threshold,
    warn_of_few_reals,
)
from ensemble.out_of_fold.record import FitRecord
from ensemble.persistence.refused import warn_of_what_is_not_saved
from ensemble.scores.provenance import Provenance
from ensemble.verdicts.card import doubt_of
from ensemble.verdicts.video_verdicts import missing_reasons


def fit_combiner(model: Any, combiner: Any) -> Any:
    """Fit combiner and calibration on the out-of-fold rows that have a score.

    Parameters
    ----------
    model : DeepfakeEnsemble
        With detectors, out-of-fold scores and the record of their fit. It gets
        ``combiner_``, ``calibrator_``, ``false_alarms_`` and a new record.
    combiner : str or combiner

    Returns
    -------
    DeepfakeEnsemble
        The same.
    """
    fitted_on = model.fit_record_
    if fitted_on.reals_alone:
        check_settings(model.calibration, model.prior, model.unscorable)
        check_combiner(combiner)
    table, is_fake, beside = scored_rows(model.oof_scores_, fitted_on.training)
    if not len(table):
        no_score = np.full(len(model.oof_scores_), np.nan)
        reasons = missing_reasons(model.oof_scores_, no_score, [])
        raise UnscorableVideoError(reasons, in_training=True)
    warn_of_what_was_seen(model, combiner, fitted_on.reals_alone)
    with _naming_failures(model):
        model = _fitted(model, combiner, fitted_on, table, is_fake, beside)
    if model.cascade is not None:
        warn_of_cascade(model)
    return model


@contextmanager
def _naming_failures(model: Any) -> Iterator[None]:
    """Where a combiner refuses what is left, name the detectors that failed."""
    failed = Provenance.of(model.oof_scores_).failed_detectors
    try:
        yield
    except ValueError as error:
        if not failed:
            raise
        problem = f"the detectors that are left cannot be combined ({error})"
        raise FailedDetectorsError(failed, problem) from error


def _fitted(model, combiner, fitted_on, table, is_fake, beside):
    unfitted = clone(as_combiner(combiner, random_state=model.random_state or 0))
    facts = replace(fitted_on.facts, auc=None, problem="", cards={})
    record = FitRecord(
        fitted_on.training,
        fitted_on.splits,
        facts,
        combiner,
        made_fakes=fitted_on.made_fakes,
        frame_steps=fitted_on.frame_steps,
    )
    model.fit_record_ = record
    model.calibrator_ = model.false_alarms_ = None
    if record.reals_alone:
        if isinstance(unfitted, SpreadLogOdds):
            made = _made_fakes(record, table)
            fitted = fit_spread(unfitted, table, made, beside["groups"])
            model.combiner_, record.cross_fitted = fitted
            score = record.cross_fitted
        else:
            model.combiner_ = fit_vote(unfitted, table)
            score = model.combiner_.fake_score(table)
        record.reals_threshold = reals_threshold(score, model.false_alarm_rate)
        alarms = above(score, model.threshold_)
        model.false_alarms_ = rate_interval(alarms, beside["groups"])
        if model.threshold is None:
            warn_of_few_reals(
                len(score),
                model.false_alarm_rate,
                model.threshold_,
                model.false_alarms_,
            )
        return model
    fitted = fit_calibrated(unfitted, table, is_fake, model.calibration, **beside)
    model.combiner_, model.calibrator_ = fitted.combiner, fitted.calibrator
    record.cross_fitted = fitted.score
    if parse_threshold(model.threshold).kind not in ("default", "value"):
        _ = model.thresholds_  # what cannot be promised is told now
    warn_of_chance(model)
    warn_of_what_is_not_saved(model.combiner_, 3, _members(model))
    return model


def _members(model):
    """Return all fitted detectors, also those that are averaged."""
    found = []
    for member in model.detectors_.values():
        found += member if isinstance(member, list) else [member]
    return found


def _made_fakes(record, table):
    """Scores of the pseudo-fakes of the rows of a table, for the same detectors."""
    made = record.made_fakes
    if made is None or made.shape[1] != table.shape[1]:  # a detector was added
        return None
    return made[record.training.rows(table.index)]


def check_promise(threshold: Any, training: Any) -> None:
    """Refuse a threshold that no scores of so few videos could keep, before any fit.

    Parameters
    ----------
    threshold : float, str or None
        As of `DeepfakeEnsemble`.
    training : TrainingSet

    Raises
    ------
    ValueError
        Saying how many videos are needed.
    """
    rule = parse_threshold(threshold)
    if rule.kind not in ("fpr", "three-way") or len(set(training.is_fake)) < 2:
        return
    perfect = 0.25 + 0.5 * training.is_fake + np.linspace(0, 0.2, len(training))
    kept = OutOfFoldEvidence(
        pd.DataFrame(), perfect, training.is_fake, training.groups, None, "", []
    )
    try:
        set_thresholds(rule, kept)
    except ValueError as error:
        raise ValueError(f"threshold={threshold!r}: {error}") from error


def warn_of_what_was_seen(model: Any, combiner: Any, reals_alone: Any) -> None:
    """Say when something is learned from scores that may be in sample."""
    if learns(combiner):
        learner = "the combiner"
    elif model.calibration is not None:
        learner = "the calibration"
    elif reals_alone and model.threshold is None:
        learner = "the threshold"
    else:
        return
    said = [
        f"{name} was trained on "
        + ("unknown data" if seen is None else ", ".join(seen))
        for name, seen in Provenance.of(model.oof_scores_).trained_on.items()
        if seen != []
    ]
    if said:
        warnings.warn(
            f"{'; '.join(said)}: scores of training videos that were among these "
            f"are in sample, and {learner} takes them for out of fold. Fit the "
            "ensemble on videos that were not; where that is so, say it in the "
            "card: load_checkpoint(..., trained_on=[]), or detector.card_ = "
            "{'trained_on': []}",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def warn_of_chance(model: Any) -> None:
    """Say when the ensemble is not shown to be better than guessing."""
    doubt = doubt_of(model)
    if doubt:
        warnings.warn(
            f"{doubt}. `judge` and the command line call every video "
            "UNSURE, and the saved file says so. More videos and groups may show "
            "that it does, and so may networks that are trained in full (train='full')"
            "; otherwise these detectors cannot tell these fakes",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def warn_of_missing_rows(n_missing: Any) -> None:
    """Say how many training videos no split tested."""
    if n_missing:
        warnings.warn(
            f"{n_missing} training videos were in no test part and have no "
            "out-of-fold score; the combiner learns without them (more bootstrap "
            "replicas leave none)",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
