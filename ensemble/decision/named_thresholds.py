"""Thresholds by name: from what a user asks for to where fake is said.

`parse_threshold` reads ``0.5``, ``fpr=0.05``, ``cost=10`` or ``three-way``;
`set_thresholds` sets it on out-of-fold scores, each combined by a combiner that has not
seen the video's group. Nothing here looks at a score in sample.
"""

import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from base_models.naming import did_you_mean
from ensemble.choices import FAKE, NO_VERDICT, REAL, TRACES, UNSURE
from ensemble.decision.rules import ThreeWayDecision
from ensemble.decision.thresholds import (
    percent,
    threshold_at_false_alarm_rate,
    threshold_by_cost,
)
from ensemble.metrics.ties import above, below
from ensemble.out_of_fold.ensemble_scores import OutOfFoldEvidence

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
        A video is called fake above `high`. With `three_way` it is called real below
        `low`, and unsure in between; else both are the same, and what is not fake is
        real.
    three_way : bool
    set_on : str
        What the threshold was set on, as a sentence.
    on_training : bool, default=False
        Whether it was set on the out-of-fold scores of the training videos.
    never_real : bool, default=False
        Of an ensemble that learned from real videos alone: FAKE TRACES is said above
        `high`, UNSURE else, and never REAL.

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
    never_real: bool = False

    def verdicts(self, score: ArrayLike) -> np.ndarray:
        """Return FAKE, REAL or UNSURE for each P(fake); "" where there is none.

        With `never_real` FAKE TRACES or UNSURE.

        Parameters
        ----------
        score : array-like of shape (n_videos,)

        Returns
        -------
        ndarray of str of shape (n_videos,)
        """
        score = np.asarray(score, dtype=float)
        fake = above(score, self.high)
        if self.never_real:
            called = [np.isnan(score), fake]
            return np.select(called, [NO_VERDICT, TRACES], UNSURE).astype(object)
        real = below(score, self.low) if self.three_way else ~fake
        called = [np.isnan(score), fake, real]
        return np.select(called, [NO_VERDICT, FAKE, REAL], UNSURE).astype(object)

    def check_labels(self) -> None:
        """Refuse to label videos where real is never said.

        Raises
        ------
        ValueError
        """
        if self.never_real:
            raise ValueError(
                "this ensemble learned from real videos alone: it says FAKE TRACES or "
                "UNSURE and never REAL, and labels can only be real or fake; call "
                f"judge, or compare fake_score with the limit, {self.high:.3f}"
            )

    def of_labels(self, spec: float | str | None) -> float:
        """Return the one threshold that labels go by; refuse to have unsure ones.

        Parameters
        ----------
        spec : float, str or None
            What was asked for, which the message names.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If there are two, with unsure in between.
        """
        if self.three_way:
            raise ValueError(
                f"threshold={spec!r} leaves videos unsure, and labels can only be real "
                "or fake; `judge` says REAL, FAKE or UNSURE, and `thresholds_` has "
                "both thresholds"
            )
        return self.high

    @property
    def where(self) -> str:
        """Where fake is said, as a sentence."""
        if self.never_real:
            return (
                f"A video is called FAKE TRACES above {self.high:.3f}, UNSURE else, "
                "and never REAL."
            )
        if self.three_way:
            return (
                f"A video is called fake above {self.high:.3f}, real below "
                f"{self.low:.3f}, unsure in between."
            )
        if self.high >= 1:
            return "No video is called fake: no P(fake) is above a threshold of 1."
        return f"A video is called fake above {self.high:.3f}."


def parse_threshold(spec: float | str | None) -> ThresholdRule:
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
        hint = did_you_mean(kind, _ALLOWED, cutoff=0.5)
        raise ValueError(f"threshold must be {_FORMS}; got {spec!r}{hint}")
    for name in given.keys() - _ALLOWED[kind]:
        raise ValueError(
            f"threshold {spec!r}: {kind} takes "
            f"{', '.join(sorted(_ALLOWED[kind]))}; got {name!r}"
        )
    if kind == "cost":
        alarm_text, _, miss_text = given["cost"].partition(":")
        alarm, miss = _number(alarm_text), _number(miss_text or "1")
        if (
            alarm is None
            or miss is None
            or min(alarm, miss) < 0
            or not 0 < max(alarm, miss) < np.inf
        ):
            raise ValueError(
                f"threshold {spec!r}: cost=FALSE_ALARM[:MISS] takes two numbers >= 0, "
                "not both 0"
            )
        return ThresholdRule("cost", cost_false_alarm=alarm, cost_miss=miss)
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


def set_thresholds(
    rule: ThresholdRule, evidence: OutOfFoldEvidence, prior: float | None = None
) -> Thresholds:
    """Choose the threshold that a rule asks for on out-of-fold scores.

    Parameters
    ----------
    rule : ThresholdRule
        Of kind "fpr", "cost" or "three-way".
    evidence : OutOfFoldEvidence
        Scores of reals and fakes by combiners that had not seen the video's group.
    prior : float or None, default=None
        Share of fakes where the threshold will be used; None takes that of `evidence`.

    Returns
    -------
    Thresholds
        On the scale of the evidence's scores.

    Raises
    ------
    ValueError
        If the videos are too few for the rates that are asked for.
    """
    score, is_fake, groups = evidence.score, evidence.is_fake, evidence.groups
    alarm_rate, miss_rate = rule.false_alarm_rate, rule.miss_rate
    if rule.kind == "cost":
        alarm, miss = rule.cost_false_alarm, rule.cost_miss
        assert alarm is not None
        assert miss is not None
        low = high = threshold_by_cost(is_fake, score, alarm, miss, prior=prior)
        share = is_fake.mean() if prior is None else prior
        promise = (
            f"It costs least where a false alarm costs {alarm:g}, a miss "
            f"{miss:g}, and {100 * share:.3g} % of videos are fake."
        )
    elif rule.kind == "fpr":
        assert alarm_rate is not None
        low = high = threshold_at_false_alarm_rate(
            is_fake, score, alarm_rate, rule.confidence, groups
        )
        how = (
            "of those it was set on; of others maybe more."
            if rule.confidence is None
            else f"with a confidence of {percent(rule.confidence)}."
        )
        promise = f"At most {percent(alarm_rate)} of real videos are above it, " + how
    else:
        assert alarm_rate is not None
        assert miss_rate is not None
        decision = ThreeWayDecision(alarm_rate, miss_rate, rule.confidence)
        decision.fit(score, is_fake, groups)
        low, high, promise = decision.low_, decision.high_, decision.guarantee_
    scores = describe_scores(evidence.kind, is_fake, groups)
    return Thresholds(
        low,
        high,
        rule.kind == "three-way",
        f"{promise} It was set on {scores}.",
        on_training=True,
    )


def thresholds_for(
    spec: float | str | None,
    evidence: Callable[[], OutOfFoldEvidence],
    to_probability: Callable[[np.ndarray], np.ndarray],
    prior: float | None = None,
) -> Thresholds:
    """Return where fake is said, on the scale of P(fake).

    Parameters
    ----------
    spec : float, str or None
        What was asked for: see `parse_threshold`. None is 0.5.
    evidence : callable
        Returns out-of-fold scores; called where a threshold is set on them.
    to_probability : callable
        Brings the evidence's scores to P(fake), keeping their order.
    prior : float or None, default=None
        As for `set_thresholds`.

    Returns
    -------
    Thresholds

    Examples
    --------
    >>> thresholds_for(0.7, None, None).where
    'A video is called fake above 0.700.'
    """
    rule = parse_threshold(spec)
    if rule.value is not None:
        return Thresholds(
            rule.value, rule.value, False, "It was given, not tuned on any videos."
        )
    if rule.kind == "default":
        where = "It is the default threshold; it was not tuned on any videos."
        return Thresholds(0.5, 0.5, False, where)
    scores = evidence()
    try:
        cuts = set_thresholds(rule, scores, prior)
    except ValueError as error:
        raise ValueError(f"threshold={spec!r}: {error}") from error
    # Calibration and prior keep the order of scores: thresholds go the same way. Of
    # scores that calibration in steps makes equal none is above it: rates hold.
    low, high = to_probability(np.clip([cuts.low, cuts.high], 0, 1))
    return replace(cuts, low=float(low), high=float(high))


def describe_scores(kind: str, is_fake: np.ndarray, groups: np.ndarray | None) -> str:
    """Say what the scores are on which a threshold or a calibration was set.

    Parameters
    ----------
    kind : {"out-of-fold", "out-of-bag", "hold-out"}
    is_fake : int ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,) or None

    Returns
    -------
    str

    Examples
    --------
    >>> describe_scores("out-of-fold", np.array([0, 0, 1]), None)
    'the out-of-fold scores of 2 real and 1 fake videos, combined by a combiner that \
had not seen their group'
    """
    n_fake = int(is_fake.sum())
    of = "" if groups is None else f" of {len(np.unique(groups))} groups"
    return (
        f"the {kind} scores of {len(is_fake) - n_fake} real and {n_fake} fake "
        f"videos{of}, combined by a combiner that had not seen their group"
    )


def _at(value: float, given: object) -> ThresholdRule:
    if not 0 <= value <= 1:
        raise ValueError(f"threshold must lie in 0..1; got {given!r}")
    return ThresholdRule("value", value=value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _share(spec: str, given: dict[str, str], name: str, default: float | None) -> float:
    text = given.get(name, "")
    if not text and default is not None:
        return default
    value = _number(text)
    if value is None or not 0 < value < 1:
        raise ValueError(
            f"threshold {spec!r}: {name} takes a share between 0 and 1; got {text!r}"
        )
    return value


def _confidence(
    spec: str, given: dict[str, str], default: float | None
) -> float | None:
    if given.get("confidence", "").lower() == "none":
        return None
    if "confidence" not in given:
        return default
    return _share(spec, given, "confidence", None)
