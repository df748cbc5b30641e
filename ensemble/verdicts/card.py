"""The card of a model: what it learned from, and how often it errs."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble._version import __version__
from ensemble.choices import ACCUSING, PARTIAL, REAL, SCORED, SUSPICION
from ensemble.decision.error_rates import rate_interval
from ensemble.metrics.bootstrap_intervals import Interval
from ensemble.out_of_fold.ensemble_scores import is_above_chance, out_of_fold_of
from ensemble.scores.provenance import Provenance
from ensemble.verdicts.card_facts import CardFacts, plain
from ensemble.verdicts.card_words import (
    auc_in_words,
    left_out_in_words,
    percent_in_words,
)
from ensemble.verdicts.threshold_and_prior import to_probability
from ensemble.verdicts.video_profile import TrainingProfile

if TYPE_CHECKING:
    from base_models.store.store import Store
    from ensemble.out_of_fold.ensemble_scores import OutOfFoldEvidence

# Of reals called fake, or fakes called real, from which on that is said of too many to
# mean anything, and how many times as many of the others must be, so that it does.
_MANY_WRONG, _FEW_MORE = 0.5, 1.25
_UNKNOWN = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class ErrorRates:
    """How often verdicts by the threshold alone were wrong, out of fold.

    Attributes
    ----------
    n_real, n_fake : int
    false_alarms : Interval
        Share of the real videos called FAKE, with its 95 % interval over groups.
    misses : Interval
        Share of the fakes called REAL.
    """

    n_real: int
    n_fake: int
    false_alarms: Interval
    misses: Interval


@dataclass(frozen=True)
class ModelCard:
    """What a saved ensemble is, for whoever reads its verdicts.

    Attributes
    ----------
    data : str
        What it learned from, in a word, as `DeepfakeEnsemble.describe` was given it;
        empty where nobody said.
    toy : bool
        Whether it shows how things work and is meant for no real video.
    fitted_on : str or None
        Day of the fit; None in files of earlier versions.
    version : str or None
        Of this library, at the fit.
    n_real, n_fake : int
        Training videos.
    n_groups : int or None
        None where no groups were given.
    fitted_before : dict of str to (list of str or None)
        Members that were fitted already, and what they had learned from; None is
        unknown.
    auc : Interval
        Of the ensemble out of fold, within folds, with its 95 % interval over groups;
        NaN where it is unknown, as after a fit on real videos alone.
    above_chance : bool or None
        Whether that interval lies above 0.5; None after a fit on real videos alone.
    problem : str
        Why the AUC is unknown; empty where it is known.
    low, high : float
        A video is called fake above `high`, real up to `low`.
    set_on_the_same : bool
        Whether the threshold was set on the videos that the rates are of.
    rates : ErrorRates
        Of all out-of-fold videos.
    by_status : dict of str to ErrorRates
        The same for videos that all members scored (``scored``), and for the others
        (``partial``).
    profile : TrainingProfile or None
        What the training videos are like; None where it is not recorded.
    failed_detectors : dict of str to str
        Detectors that failed in the fit and were left out: where and why.
    n_skipped : int
        Training videos that no detector could look at and that were left out.
    rights : str
        Whose footage it learned from, as `DeepfakeEnsemble.describe` was given it.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector
    >>> from ensemble import DeepfakeEnsemble
    >>> def bright(videos):
    ...     return [video.mean() / 255 for video in videos]
    >>> videos = [np.full((4, 8, 8, 3), shade, np.uint8) for shade in range(0, 240, 20)]
    >>> model = DeepfakeEnsemble([CallableDetector(bright)], "voting", resampling=2)
    >>> model = model.fit(videos, [0] * 6 + [1] * 6, groups=np.arange(12) % 6)
    >>> print(model.describe("shades of grey", toy=True).card_.summary())
    Learned on ... from 6 real and 6 fake videos of 6 groups (shades of grey; a toy,
    not for real videos). Out of fold: AUC 1.00 (alike in all draws of groups: no
    interval), false alarms 0 % (0 to 46 %), misses 17 % (0 to 64 %) at a threshold of
    0.500.
    """

    data: str
    toy: bool
    fitted_on: str | None
    version: str | None
    n_real: int
    n_fake: int
    n_groups: int | None
    fitted_before: dict
    auc: Interval
    above_chance: bool | None
    problem: str
    low: float
    high: float
    set_on_the_same: bool
    rates: ErrorRates | None
    by_status: dict
    profile: TrainingProfile | None
    failed_detectors: dict = field(default_factory=dict)
    n_skipped: int = 0
    rights: str = ""

    @property
    def doubt(self) -> Any:
        """Why no verdict of this model is to be trusted; empty where there is none."""
        if self.unlabelled:
            return self.problem
        return _doubt(self.auc, self.above_chance, self.problem)

    @property
    def empty_fake(self) -> str:
        """Why FAKE says little at the threshold, as of one below nearly every score."""
        return self._empty("FAKE", "false_alarms", "misses", ("real videos", "fakes"))

    @property
    def empty_real(self) -> str:
        """Why REAL says little at the threshold, as of one above nearly every score."""
        return self._empty("REAL", "misses", "false_alarms", ("fakes", "real videos"))

    def _empty(self, verdict, wrong, other, of):
        if self.rates is None or not self.n_fake or self.low != self.high:
            return ""
        said = getattr(self.rates, wrong)[0], 1 - getattr(self.rates, other)[0]
        if not (said[0] >= _MANY_WRONG and said[1] <= _FEW_MORE * said[0]):  # NaN, too
            return ""
        return (
            f"the threshold makes {verdict} of nearly every video (out of fold it "
            f"called {said[0]:.0%} of {of[0]} and {said[1]:.0%} of {of[1]} {verdict}), "
            f"so that {verdict} tells little"
        )

    @property
    def unlabelled(self) -> bool:
        """Whether there were no labelled videos: nothing is known of its scores."""
        return self.n_real + self.n_fake == 0

    @property
    def of_reals_alone(self) -> bool:
        """Whether it learned from real videos and no fakes."""
        return self.n_fake == 0 < self.n_real

    @property
    def score_name(self) -> str:
        """What to call its score: P(fake), a suspicion after real videos alone.

        Just a score where nothing is known of it.
        """
        if self.of_reals_alone:
            return SUSPICION
        return "score" if self.unlabelled else "P(fake)"

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Return what to know beside a verdict, in two or three sentences.

        Returns
        -------
        str
        """
        return f"{self._learned_from()} {self._measured()}"

    @property
    def short(self) -> Any:
        """The same in a few words, where there is little room."""
        if self.unlabelled:
            return "score of unknown calibration, no labelled videos"
        words = "a toy" if self.toy else "model"
        if self.of_reals_alone:
            data = f" ({self.data})" if self.data else ""
            return f"{words} of real videos alone{data}: a suspicion, no probability"
        if self.data:
            words += f" that learned from {self.data}"
        if self.above_chance is None or self.rates is None:
            return f"{words}, AUC unknown"
        return f"{words}, AUC {auc_in_words(self.auc)}"

    def _learned_from(self):
        if self.unlabelled:
            return self._put_together()
        of = "" if self.n_groups is None else f" of {self.n_groups} groups"
        kinds = f"{self.n_real} real videos{of} and no fakes"
        if self.n_fake:
            kinds = f"{self.n_real} real and {self.n_fake} fake videos{of}"
        words = [self.data] if self.data else ["what they are is not recorded"]
        words += [f"rights: {self.rights}"] if self.rights else []
        words += ["a toy, not for real videos"] if self.toy else []
        before = "".join(
            f" {name} had learned before, from "
            f"{'unknown data' if seen is None else ', '.join(seen)}."
            for name, seen in self.fitted_before.items()
            if seen != []
        )
        day = f" on {self.fitted_on}" if self.fitted_on else ""
        said = f"Learned{day} from {kinds} ({'; '.join(words)}).{before}"
        left_out = left_out_in_words(self.failed_detectors, self.n_skipped)
        return f"{said} {left_out}".rstrip()

    def _put_together(self):
        seen = "; ".join(
            f"{name} trained on {'unknown data' if data is None else ', '.join(data)}"
            for name, data in self.fitted_before.items()
            if data != []
        )
        said = "; ".join(filter(None, [self.data, seen]))
        day = f" on {self.fitted_on}" if self.fitted_on else ""
        return (
            f"Put together{day} of detectors that were trained before"
            f"{f' ({said})' if said else ''}, without labelled videos."
        )

    def _measured(self):
        if self.unlabelled:
            return (
                "Its score is of unknown calibration and its error rates are unknown."
            )
        if self.rates is None:
            return f"How good it is out of fold is not known: {self.problem}."
        at = f"at a threshold of {self.high:.3f}"
        if self.low != self.high:
            at = f"above {self.high:.3f} (fake) and below {self.low:.3f} (real)"
        same = ", which was set on the same videos" if self.set_on_the_same else ""
        alarms = f"false alarms {percent_in_words(self.rates.false_alarms)}"
        if self.above_chance is None:
            return (
                f"Out of fold: {alarms} {at}{same}. How many fakes it finds is not "
                "known: it says FAKE TRACES or UNSURE, and never REAL."
            )
        found = (
            f"Out of fold: AUC {auc_in_words(self.auc)}, {alarms}, misses "
            f"{percent_in_words(self.rates.misses)} {at}{same}."
        )
        if not self.above_chance:
            return f"{found} It is not shown to be better than chance."
        empty = filter(None, (self.empty_fake, self.empty_real))
        return " ".join([found, *(f"{why[0].upper()}{why[1:]}." for why in empty)])

    def to_dict(self) -> dict[Any, Any]:
        """Return what JSON can hold; NaN is None.

        Returns
        -------
        dict
        """
        return plain(asdict(replace(self, profile=None))) | {
            "profile": None if self.profile is None else self.profile.to_dict()
        }


def saved_card(model: Any) -> dict[Any, Any]:
    """Return what a file keeps of a fitted ensemble's card: facts, and what it says.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    dict
        Ready for JSON. Without figures at the threshold where that cannot be set.
    """
    try:
        card = model.card_.to_dict()
    except ValueError as error:  # a threshold that its scores cannot promise
        card = {"threshold_problem": str(error)}
    return card | model.fit_record_.facts.to_dict()


def facts_of_fit(
    videos: list[Any],
    detectors: list[Any],
    store: Store | str | Path | None,
    data: str = "",
) -> CardFacts:
    """Return what is to be known of a fit beside its scores.

    Parameters
    ----------
    videos : list
        The training videos.
    detectors : list of fitted detectors
    store : Store, str, Path or None
    data : str, default=""
        What the videos are, in a word.

    Returns
    -------
    CardFacts
    """
    from datetime import datetime, timezone

    from ensemble.verdicts.video_profile import training_profile

    return CardFacts(
        data=data if isinstance(data, str) else "",  # a column of a DataFrame
        fitted_on=datetime.now(timezone.utc).date().isoformat(),
        version=__version__,
        profile=training_profile(videos, detectors, store),
    )


def card_of(model: Any) -> ModelCard:
    """Return the card of a fitted ensemble, at its threshold of now.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    ModelCard
    """
    facts = model.fit_record_.facts
    thresholds = model.thresholds_
    key = thresholds, model.prior
    if key not in facts.cards:
        facts.cards.clear()
        facts.cards[key] = _made(model, facts, thresholds)
    return facts.cards[key]


def doubt_of(model: Any) -> str:
    """Return why no verdict of a fitted ensemble is to be trusted; the card's `doubt`.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    str
        Empty where there is none. Costs less than the whole card.
    """
    record = model.fit_record_
    if record.unlabelled:
        return record.facts.problem
    auc, above = _chance(model)
    return _doubt(auc, above, record.facts.problem)


def evidence_or_none(model: Any) -> OutOfFoldEvidence | None:
    """Return the out-of-fold evidence of a fitted ensemble.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    OutOfFoldEvidence or None
        None where it cannot be had; the card's `problem` says why.
    """
    facts = model.fit_record_.facts
    if facts.problem:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit on all rows gave them
            return out_of_fold_of(model)
    except Exception as error:  # a foreign combiner may raise anything
        is_said = isinstance(error, ValueError) and str(error)
        facts.problem = is_said or (
            "its out-of-fold scores cannot be looked at again "
            f"({type(error).__name__}: {error}): its combiner fails where it is fitted "
            "on a part of the videos, or a saved file is damaged or forged"
        )
        return None


def _chance(model):
    """Return the AUC and whether it is above chance; None where all were real."""
    facts, evidence = model.fit_record_.facts, evidence_or_none(model)
    if model.fit_record_.reals_alone:
        return _UNKNOWN, None
    if evidence is None:
        return _UNKNOWN, False
    if facts.auc is None:
        facts.auc = evidence.auc()
    return facts.auc, is_above_chance(facts.auc, evidence.is_fake, evidence.groups)


def _doubt(auc, above_chance, problem):
    if above_chance is not False:
        return ""
    if problem:
        return f"whether the model beats chance is not known: {problem}"
    few = "; fewer than three groups of a class show nothing" if auc.low > 0.5 else ""
    known = f"AUC {auc_in_words(auc)}{few}"
    return f"the model is not shown to beat chance out of fold ({known})"


def _made(model, facts, thresholds):
    training = model.fit_record_.training
    is_fake, groups = training.is_fake, training.groups
    n_fake = int(is_fake.sum())
    evidence = evidence_or_none(model)
    auc, above = _chance(model)
    rates, by_status = None, {}
    if evidence is not None:
        verdicts = thresholds.verdicts(to_probability(model, evidence.score))
        rates = _rates(evidence, verdicts, np.ones(len(verdicts), bool))
        partial = evidence.table.isna().any(axis=1).to_numpy()
        for status, rows in ((SCORED, ~partial), (PARTIAL, partial)):
            by_status[status] = _rates(evidence, verdicts, rows)
    provenance = Provenance.of(model.oof_scores_)
    return ModelCard(
        data=facts.data,
        rights=facts.rights,
        toy=facts.toy,
        fitted_on=facts.fitted_on,
        version=facts.version,
        n_real=len(is_fake) - n_fake,
        n_fake=n_fake,
        n_groups=None if groups is None else len(np.unique(groups)),
        fitted_before=dict(provenance.trained_on),
        auc=auc,
        above_chance=above,
        problem=facts.problem if n_fake or not len(is_fake) else "",
        low=thresholds.low,
        high=thresholds.high,
        set_on_the_same=thresholds.on_training,
        rates=rates,
        by_status=by_status,
        profile=facts.profile,
        failed_detectors=dict(provenance.failed_detectors),
        n_skipped=len(provenance.skipped_videos),
    )


def _rates(evidence, verdicts, rows):
    real, fake = (rows & (evidence.is_fake == label) for label in (0, 1))
    groups = evidence.groups

    def rate(among, called):
        return rate_interval(
            np.isin(verdicts[among], called), None if groups is None else groups[among]
        )

    return ErrorRates(
        int(real.sum()), int(fake.sum()), rate(real, ACCUSING), rate(fake, [REAL])
    )
