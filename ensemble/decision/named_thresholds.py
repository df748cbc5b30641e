"""Thresholds by name: from what a user asks for to where a fitted ensemble says fake.

`parse_threshold` reads ``0.5``, ``fpr=0.05``, ``cost=10`` or ``three-way``;
`resolve_thresholds` sets it on the ensemble's out-of-fold scores, each combined by a
combiner that has not seen the video's group. Nothing here looks at a score in sample.
"""

import difflib
import numbers
from dataclasses import dataclass

import numpy as np

from ensemble.decision.prior import adjust_prior
from ensemble.decision.rules import ThreeWayDecision
from ensemble.decision.thresholds import (
    threshold_at_false_alarm_rate,
    threshold_by_cost,
)
from ensemble.decision.verdict_names import FAKE, NO_VERDICT, REAL, UNSURE
from ensemble.metrics.ties import above, below
from ensemble.out_of_fold.evidence import labels_of, out_of_fold_of
from ensemble.out_of_fold.reals_only import check_settings, learns, reals_threshold

_ALLOWED = {
    "fpr": {"fpr", "confidence"},
    "cost": {"cost"},
    "three-way": {"three-way", "fpr", "miss", "confidence"},
}
_FORMS = (
    "a number in 0..1, fpr=RATE[,confidence=C], cost=FALSE_ALARM[:MISS], or "
    "three-way[=RATE][,fpr=RATE][,miss=RATE][,confidence=C]"
)


@dataclass(frozen=True)
class ThresholdRule:
    """What was asked for, read and checked.

    Attributes
    ----------
    kind : {"default", "value", "fpr", "cost", "three-way"}
    value : float or None
        For "value": P(fake) above which it is fake.
    false_alarm_rate, miss_rate : float or None
        For "fpr" and "three-way".
    confidence : float or None
        Probability with which the rates are to hold; None for rates that hold on the
        scores at hand ("fpr") or on average ("three-way").
    cost_false_alarm, cost_miss : float or None
        For "cost".
    """

    kind: str
    value: float | None = None
    false_alarm_rate: float | None = None
    miss_rate: float | None = None
    confidence: float | None = None
    cost_false_alarm: float | None = None
    cost_miss: float | None = None


@dataclass(frozen=True)
class Thresholds:
    """Where an ensemble says fake, where real, and what that was set on.

    Attributes
    ----------
    low, high : float
        Fake is said above `high`. With `three_way` real is said below `low` and unsure
        in between; otherwise both are the same, and what is not fake is real.
    three_way : bool
    set_on : str
        What the threshold was set on, as a sentence.
    on_training : bool, default=False
        Whether it was set on the out-of-fold scores of the training videos.

    Examples
    --------
    >>> Thresholds(0.2, 0.9, True, "").verdicts([0.1, 0.5, 0.95, np.nan])
    array(['REAL', 'UNSURE', 'FAKE', ''], dtype=object)
    """

    low: float
    high: float
    three_way: bool
    set_on: str
    on_training: bool = False

    def verdicts(self, score):
        """Return FAKE, REAL or UNSURE for each P(fake); "" where there is none.

        Parameters
        ----------
        score : array-like of shape (n_videos,)

        Returns
        -------
        ndarray of str of shape (n_videos,)
        """
        score = np.asarray(score, dtype=float)
        fake = above(score, self.high)
        real = below(score, self.low) if self.three_way else ~fake
        called = [np.isnan(score), fake, real]
        return np.select(called, [NO_VERDICT, FAKE, REAL], UNSURE).astype(object)

    @property
    def where(self):
        """Where fake is said, as a sentence."""
        if self.three_way:
            return (
                f"Fake is said above {self.high:.3f}, real below {self.low:.3f}, "
                "unsure in between."
            )
        return f"Fake is said above {self.high:.3f}."


def parse_threshold(spec):
    """Read what was asked for as a threshold.

    Parameters
    ----------
    spec : float, str or None
        None is the model's own. A number in 0..1. ``"fpr=0.05"``: at most this share
        of real videos is called fake; with ``,confidence=0.95`` certified for videos to
        come. ``"cost=10"``: a false alarm costs ten misses (``"cost=1:10"`` the other
        way round). ``"three-way"``: unsure is said so that at most 5 % of reals are
        called fake and of fakes real, with a confidence of 95 %;
        ``"three-way=0.1,confidence=0.8"`` or ``"three-way,fpr=0.01,miss=0.1"`` for
        others, ``confidence=none`` for rates that hold on average.

    Returns
    -------
    ThresholdRule

    Examples
    --------
    >>> parse_threshold("fpr=0.05").false_alarm_rate
    0.05
    >>> rule = parse_threshold("three-way=0.1,confidence=0.8")
    >>> rule.false_alarm_rate, rule.miss_rate, rule.confidence
    (0.1, 0.1, 0.8)
    >>> parse_threshold("cost=1:10").cost_miss
    10.0
    """
    if spec is None:
        return ThresholdRule("default")
    if isinstance(spec, numbers.Real) and not isinstance(spec, bool):
        return _at(float(spec), spec)
    if not isinstance(spec, str):
        raise TypeError(f"threshold must be {_FORMS}; got {spec!r}")
    number = _number(spec)
    if number is not None:
        return _at(number, spec)
    given = {}
    for part in spec.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name in given:
            raise ValueError(f"threshold {spec!r} gives {name} twice")
        given[name] = value
    kind = next(iter(given))
    if kind not in _ALLOWED:
        near = difflib.get_close_matches(kind, _ALLOWED, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"threshold must be {_FORMS}; got {spec!r}{hint}")
    for name in given.keys() - _ALLOWED[kind]:
        raise ValueError(
            f"threshold {spec!r}: {kind} takes "
            f"{', '.join(sorted(_ALLOWED[kind]))}; got {name!r}"
        )
    if kind == "cost":
        alarm, _, miss = given["cost"].partition(":")
        costs = [_number(alarm), _number(miss or "1")]
        if None in costs or min(costs) < 0 or not 0 < max(costs) < np.inf:
            raise ValueError(
                f"threshold {spec!r}: cost=FALSE_ALARM[:MISS] takes two numbers >= 0, "
                "not both 0"
            )
        return ThresholdRule("cost", cost_false_alarm=costs[0], cost_miss=costs[1])
    if kind == "fpr":
        return ThresholdRule(
            "fpr",
            false_alarm_rate=_share(spec, given, "fpr", None),
            confidence=_confidence(spec, given, None),
        )
    rate = _share(spec, given, "three-way", 0.05)
    return ThresholdRule(
        "three-way",
        false_alarm_rate=_share(spec, given, "fpr", rate),
        miss_rate=_share(spec, given, "miss", rate),
        confidence=_confidence(spec, given, 0.95),
    )


def resolve_thresholds(model):
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
    reals_alone = model.prior_ == 0
    if rule.kind == "value":
        return Thresholds(
            rule.value, rule.value, False, "It was given, and set on no data."
        )
    if rule.kind == "default" and not reals_alone:
        return Thresholds(0.5, 0.5, False, "It is the default, and was set on no data.")
    if reals_alone:
        return _for_reals_alone(model, rule)
    known = out_of_fold_of(model)
    is_fake, groups = known.is_fake, known.groups
    try:
        low, high, promise = _set(rule, model.prior, known.score, is_fake, groups)
    except ValueError as error:
        raise ValueError(f"threshold={model.threshold!r}: {error}") from error
    # Calibration and prior keep the order of scores: thresholds go the same way. Of
    # scores that calibration in steps makes equal none is above it: rates hold.
    low, high = to_probability(model, np.clip([low, high], 0, 1))
    return Thresholds(
        float(low),
        float(high),
        rule.kind == "three-way",
        f"{promise} It was set on {_described(model, is_fake, groups)}.",
        on_training=True,
    )


def fitted_prior(model):
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


def to_probability(model, score):
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


def to_prior(model, score):
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
    return adjust_prior(score, fitted_prior(model), model.prior)


def meaning_of_scores(model):
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
        return "P(fake) orders videos; fitted on reals alone, it is no probability."
    is_fake, groups = labels_of(model)
    if model.calibrator_ is None:
        said = "P(fake) is not calibrated (fit with calibration='platt')."
    else:
        said = (
            f"P(fake) is calibrated ({model.calibration}) on "
            f"{_described(model, is_fake, groups)}."
        )
    fitted = fitted_prior(model)
    if model.prior is None:
        return f"{said} It is meant for a share of fakes of {100 * fitted:.3g} %."
    return (
        f"{said} It was brought from a share of fakes of {100 * fitted:.3g} % to one "
        f"of {100 * model.prior:.3g} %, which is as right as it is calibrated."
    )


def grounds(model):
    """Say on what the verdicts of a fitted ensemble stand.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    list of str
        Where fake is said, what that was set on, what P(fake) means, and what the
        ensemble learned from and how often it errs.
    """
    thresholds = model.thresholds_
    return [
        f"{thresholds.where} {thresholds.set_on}",
        meaning_of_scores(model),
        model.card_.summary(),
    ]


def check_prior(prior):
    """Refuse what is no share of fakes.

    Parameters
    ----------
    prior : float or None
    """
    if prior is None or (isinstance(prior, numbers.Real) and 0 < prior < 1):
        return
    raise ValueError(f"prior must be a share between 0 and 1; got {prior!r}")


def _set(rule, prior, score, is_fake, groups):
    """Return low, high and what they promise."""
    if rule.kind == "cost":
        costs = rule.cost_false_alarm, rule.cost_miss
        cut = threshold_by_cost(is_fake, score, *costs, prior=prior)
        share = is_fake.mean() if prior is None else prior
        promise = (
            f"It costs least where a false alarm costs {costs[0]:g}, a miss "
            f"{costs[1]:g}, and {100 * share:.3g} % of videos are fake."
        )
        return cut, cut, promise
    if rule.kind == "fpr":
        cut = threshold_at_false_alarm_rate(
            is_fake, score, rule.false_alarm_rate, rule.confidence, groups
        )
        promise = (
            f"At most {100 * rule.false_alarm_rate:.3g} % of real videos are above it"
        )
        if rule.confidence is None:
            return cut, cut, f"{promise}, of those it was set on; of others maybe more."
        return (
            cut,
            cut,
            f"{promise}, with a confidence of {100 * rule.confidence:.3g} %.",
        )
    decision = ThreeWayDecision(
        rule.false_alarm_rate, rule.miss_rate, rule.confidence
    ).fit(score, is_fake, groups)
    return decision.low_, decision.high_, decision.guarantee_


def _for_reals_alone(model, rule):
    if rule.kind in ("cost", "three-way"):
        raise ValueError(
            f"threshold={model.threshold!r} needs fakes, and this ensemble was fitted "
            "on real videos alone; take a number or fpr=RATE"
        )
    rate = model.false_alarm_rate
    if rule.kind == "fpr":
        if rule.confidence is not None:
            raise ValueError(
                f"threshold={model.threshold!r}: after a fit on real videos alone "
                "fpr takes no confidence; give fpr=RATE"
            )
        rate = rule.false_alarm_rate
        cut = reals_threshold(model.oof_fake_score_.dropna().to_numpy(), rate)
    else:
        cut = model.fit_record_.reals_threshold
    return Thresholds(
        float(cut),
        float(cut),
        False,
        f"At most {100 * rate:.3g} % of {len(model.oof_scores_)} out-of-fold real "
        "videos are above it. How many fakes are is not known.",
        on_training=True,
    )


def _described(model, is_fake, groups):
    n_fake = int(is_fake.sum())
    of = "" if groups is None else f" of {len(np.unique(groups))} groups"
    return (
        f"the {model.fit_record_.kind} scores of {len(is_fake) - n_fake} real and "
        f"{n_fake} fake videos{of}, combined by a combiner that had not seen their "
        "group"
    )


def _at(value, given):
    if not 0 <= value <= 1:
        raise ValueError(f"threshold must lie in 0..1; got {given!r}")
    return ThresholdRule("value", value=value)


def _number(text):
    try:
        return float(text)
    except ValueError:
        return None


def _share(spec, given, name, default):
    text = given.get(name, "")
    if not text and default is not None:
        return default
    value = _number(text)
    if value is None or not 0 < value < 1:
        raise ValueError(
            f"threshold {spec!r}: {name} takes a share between 0 and 1; got {text!r}"
        )
    return value


def _confidence(spec, given, default):
    if given.get("confidence", "").lower() == "none":
        return None
    if "confidence" not in given:
        return default
    return _share(spec, given, "confidence", None)
