"""Strategies by name, default detectors, and the check of an ensemble's parameters."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any

from ensemble.calibration.calibrator import check_method
from ensemble.combiners.stacking import as_combiner
from ensemble.decision.named_thresholds import parse_threshold
from ensemble.decision.prior import check_prior
from ensemble.naming import find_name
from ensemble.out_of_fold.face_pooling import check_faces_pooling
from ensemble.out_of_fold.reals_only import check_combiner, check_settings
from ensemble.resampling.names import averages_replicas


@dataclass(frozen=True)
class Strategy:
    """A preset: how the training videos are used, and what combines the scores.

    Attributes
    ----------
    resampling : str
        Where the combiner's scores come from: see `ensemble.resampling`.
    combiner : str
        See `ensemble.combiners.resolve_combiner`.
    replicas : bool
        Whether the detectors of the splits are kept and averaged, with none fitted
        on all videos.
    """

    resampling: str
    combiner: str
    replicas: bool = False


STRATEGIES = {
    "voting": Strategy("k-fold", "log_odds"),
    "bagging": Strategy("bootstrap", "soft", replicas=True),
    "blending": Strategy("holdout", "logistic"),
    "stacking": Strategy("k-fold", "logistic"),
}


def default_detectors(n_frames: int) -> list:
    """Return the detectors of an ensemble that is given none.

    Parameters
    ----------
    n_frames : int
        Frames sampled per video.

    Returns
    -------
    list of FrameDetector
        Xception, EfficientNet-B4 and ResNet-50, each on frames and on face crops.
    """
    from base_models.detectors.frame import FrameDetector

    return [
        FrameDetector(backbone, view, n_frames=n_frames)
        for backbone in ("xception", "efficientnet", "resnet")
        for view in ("frame", "face")
    ]


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
    rate = ensemble.false_alarm_rate
    if not (isinstance(rate, numbers.Real) and 0 <= rate <= 1):
        raise ValueError(f"false_alarm_rate must lie in 0..1; got {rate!r}")
    check_prior(ensemble.prior)
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
        return "log_odds"
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
