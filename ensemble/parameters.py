"""Checks the parameters of an ensemble before any work."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Any

from base_models.naming import find_name
from ensemble.calibration.calibrator import check_method
from ensemble.cascade.costs import check_cascade
from ensemble.combiners.stacking import as_combiner
from ensemble.decision.named_thresholds import parse_threshold
from ensemble.decision.prior import check_prior
from ensemble.out_of_fold.face_pooling import check_faces_pooling
from ensemble.out_of_fold.left_out import check_on_error
from ensemble.out_of_fold.reals_only import check_combiner, check_settings
from ensemble.presets import STRATEGIES, Strategy
from ensemble.resampling.names import averages_replicas


def checked_strategy(ensemble: Any) -> Strategy:
    """Return an ensemble's strategy with what overrides it; refuse what cannot work.

    Parameters
    ----------
    ensemble : DeepfakeEnsemble
        Its parameters are looked at, before any work.

    Returns
    -------
    Strategy

    Raises
    ------
    ValueError
    """
    strategy = STRATEGIES[find_name(ensemble.strategy, STRATEGIES, "strategy")]
    if ensemble.unscorable not in ("nan", "prior"):
        raise ValueError(
            f"unscorable must be 'nan' or 'prior'; got {ensemble.unscorable!r}"
        )
    parse_threshold(ensemble.threshold)
    if ensemble.device is not None:
        from base_models.runtime.devices import resolve_device

        resolve_device(ensemble.device)
    check_faces_pooling(ensemble.faces_pooling)
    check_on_error(ensemble.on_error)
    rate = ensemble.false_alarm_rate
    if not (isinstance(rate, numbers.Real) and 0 <= rate <= 1):
        raise ValueError(f"false_alarm_rate must lie in 0..1; got {rate!r}")
    check_prior(ensemble.prior)
    check_cascade(ensemble.cascade, ensemble.member_costs)
    if ensemble.resampling is not None:
        strategy = replace(strategy, resampling=ensemble.resampling)
    if ensemble.combiner is not None:
        strategy = replace(strategy, combiner=ensemble.combiner)
    if averages_replicas(strategy.resampling):
        refuse_calibration(ensemble.calibration)
    as_combiner(strategy.combiner)
    if ensemble.calibration is not None:
        check_method(ensemble.calibration)
    return strategy


def combiner_without_fakes(ensemble: Any) -> object:
    """Return the combiner of a fit on real videos alone; refuse what needs fakes.

    Parameters
    ----------
    ensemble : DeepfakeEnsemble

    Returns
    -------
    str or combiner
    """
    check_settings(ensemble.calibration, ensemble.prior, ensemble.unscorable)
    if ensemble.combiner is None:
        return "spread_log_odds"
    check_combiner(ensemble.combiner)
    return ensemble.combiner


def refuse_calibration(calibration: str | None) -> None:
    """Refuse to calibrate on scores that average fewer replicas than `predict`.

    Parameters
    ----------
    calibration : str or None
    """
    if calibration is not None:
        raise ValueError(
            f"calibration={calibration!r} cannot be fitted on bootstrap "
            "scores, each of which averages about B/e of the B replicas that "
            "predict averages; take another strategy, or calibration=None"
        )
