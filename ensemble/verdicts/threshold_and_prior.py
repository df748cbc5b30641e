"""On what an ensemble's verdicts stand: its threshold, and what its P(fake) means."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ensemble.decision.error_rates import rate_interval
from ensemble.decision.named_thresholds import (
    ThresholdRule,
    Thresholds,
    describe_scores,
    parse_threshold,
    thresholds_for,
)
from ensemble.decision.prior import adjust_prior
from ensemble.decision.thresholds import percent
from ensemble.metrics.ties import above
from ensemble.out_of_fold.ensemble_scores import labels_of, out_of_fold_of
from ensemble.out_of_fold.reals_only import check_settings, learns, reals_threshold


def grounds(model: Any) -> list[str]:
    """Say on what the verdicts of a fitted ensemble stand.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    list of str
        Where fake is said, what that was set on, what P(fake) means, and what the
        ensemble learned from and how often it errs. Of one whose verdicts are all in
        doubt it is said instead that each is UNSURE.
    """
    where = f"{model.thresholds_.where} {model.thresholds_.set_on}"
    if doubt := model.card_.doubt:
        where = f"No video gets a verdict, whatever its score: {doubt}."
    return [where, meaning_of_scores(model), model.card_.summary()]


def resolve_thresholds(model: Any) -> Thresholds:
    """Return where a fitted ensemble says fake, on the scale of its P(fake).

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted; its ``threshold`` and ``prior`` say what is asked for.

    Returns
    -------
    Thresholds
    """
    rule = parse_threshold(model.threshold)
    if model.prior_ == 0:
        return _for_reals_alone(model, rule)
    if model.fit_record_.unlabelled and rule.kind not in ("default", "value"):
        raise ValueError(
            f"threshold={model.threshold!r} is set on labelled videos, and this "
            "ensemble was put together without any; give it some "
            "(fit, or deepfake-ensemble assemble --calibrate), or take a number"
        )
    return thresholds_for(
        model.threshold,
        partial(out_of_fold_of, model),
        partial(to_probability, model),
        model.prior,
    )


def meaning_of_scores(model: Any) -> str:
    """Say what P(fake) of a fitted ensemble means: calibrated on what, for which prior.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    str
        One or two sentences.
    """
    if model.prior_ == 0:
        return (
            "The number is a suspicion, 0 to 1: it orders videos. Learned from real "
            "videos alone, it is no probability of a fake."
        )
    if model.fit_record_.unlabelled:
        return (
            "Its score orders videos; no labelled videos were given, so that it is not "
            "known to be a probability."
        )
    if model.calibrator_ is None:
        calibrated = (
            "P(fake) is not calibrated: of 10 videos with a score of 0.8, it may be "
            "more or fewer than 8 that are fakes."
        )
    else:
        scores = describe_scores(model.fit_record_.kind, *labels_of(model))
        calibrated = f"P(fake) is calibrated ({model.calibration}) on {scores}."
    fitted = percent(fitted_prior(model))
    if model.prior is None:
        return (
            f"{calibrated} It assumes that {fitted} of your videos are fake; if fakes "
            "are rarer, give their share (--prior 0.01, in Python prior=0.01)."
        )
    return (
        f"{calibrated} It was brought from a share of fakes of {fitted} to one "
        f"of {percent(model.prior)}, which is as right as it is calibrated."
    )


def fitted_prior(model: Any) -> float:
    """Return the share of fakes for which a fitted ensemble's P(fake) is meant.

    That of the training videos where labels were learned from (by the combiner or the
    calibration); 0.5 for votes, whose detectors weigh both classes alike.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    float
    """
    learned = model.calibrator_ is not None or learns(model.combiner_)
    return model.prior_ if learned else 0.5


def to_probability(model: Any, score: np.ndarray) -> np.ndarray:
    """Bring the combiner's scores to the scale of P(fake): calibration, then prior.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    score : ndarray of shape (n_videos,)

    Returns
    -------
    ndarray of shape (n_videos,)
    """
    if model.calibrator_ is not None:
        score = model.calibrator_(score)
    return to_prior(model, score)


def to_prior(model: Any, score: np.ndarray) -> np.ndarray:
    """Bring P(fake) to the share of fakes that the ensemble was told, if any.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted, with ``prior``.
    score : ndarray of shape (n_videos,)

    Returns
    -------
    ndarray of shape (n_videos,)
    """
    if model.prior is None:
        return score
    if model.prior_ == 0:
        check_settings(model.calibration, model.prior, model.unscorable)
    if model.fit_record_.unlabelled:
        raise ValueError(
            f"prior={model.prior!r} corrects a probability, and a score of unknown "
            "calibration is not known to be one; fit the ensemble on labelled videos, "
            "or leave the prior out"
        )
    return adjust_prior(score, fitted_prior(model), model.prior)


def _for_reals_alone(model, rule: ThresholdRule) -> Thresholds:
    if rule.kind in ("cost", "three-way"):
        raise ValueError(
            f"threshold={model.threshold!r} needs fakes, and this ensemble was fitted "
            "on real videos alone; take a number or fpr=RATE"
        )
    if rule.confidence is not None:
        raise ValueError(
            f"threshold={model.threshold!r}: after a fit on real videos alone "
            "fpr takes no confidence; give fpr=RATE"
        )
    rate, cut = model.false_alarm_rate, model.fit_record_.reals_threshold
    if rule.kind == "fpr":
        rate = rule.false_alarm_rate
        cut = reals_threshold(model.oof_fake_score_.dropna().to_numpy(), rate)
    set_on = f"It is set so that at most {percent(rate)} of the reals are above it: "
    if rule.value is not None:
        cut, set_on = rule.value, "It was given, not tuned on any videos: "
    n_above, n_reals, most = reals_above(model, float(cut))
    bound = (
        f"{n_above} of {n_reals} out-of-fold real videos are above it, and of others "
        f"like them up to {100 * most:.0f} % may be (95 % interval). How many fakes "
        "are above it is not known."
    )
    return Thresholds(
        float(cut),
        float(cut),
        False,
        set_on + bound,
        on_training=rule.value is None,
        never_real=True,
    )


def reals_above(model: Any, cut: float) -> tuple[int, int, float]:
    """Say how many out-of-fold real videos lie above a limit, and may of others.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted on real videos alone.
    cut : float

    Returns
    -------
    n_above, n_reals : int
    most : float
        Upper end of the 95 % interval of their share, over groups: 0 of 36 still
        allows 10 %.
    """
    known = model.fit_record_.alarms_at
    if cut not in known:
        score = model.oof_fake_score_
        scored = score.notna().to_numpy()
        groups = labels_of(model)[1]
        alarms = above(score.to_numpy()[scored], cut)
        interval = rate_interval(alarms, None if groups is None else groups[scored])
        known[cut] = int(alarms.sum()), int(scored.sum()), float(interval.high)
    return known[cut]
