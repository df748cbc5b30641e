"""Whether the verdict on a video is settled, after some of the members."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.cascade.certificate import (
    agreement,
    certified_limit,
    verdict_and_distance,
)
from ensemble.cascade.stages import cascade_of, possible_scores
from ensemble.choices import NO_VERDICT
from ensemble.out_of_fold.ensemble_scores import log_odds
from ensemble.verdicts.card import evidence_or_none
from ensemble.verdicts.doubts import most_apart, standing_doubts
from ensemble.verdicts.video_profile import TrainingProfile


class Settling:
    """Says of one video after another when to stop asking.

    Nothing is settled where something is in doubt: where the video shows several faces,
    where a member that was asked gave no score, and, of a certified cascade, where a
    score is beyond those that the member gave out of fold by all of its frames, or the
    video itself, or what its members say, is a doubt of `ensemble.verdicts.doubts`. Of
    an exact cascade doubts count where they make a video UNSURE.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted, with ``cascade``.
    doubts : bool
        Whether videos in doubt are UNSURE.
    by_frames : bool, default=True
        As for `ensemble.cascade.stages.cascade_of`.
    """

    def __init__(self, model: Any, doubts: bool, by_frames: bool = True) -> None:
        self.model, self.doubts, self.exact = model, doubts, model.cascade == "exact"
        self.cascade = cascade_of(model, by_frames)
        self.thresholds = model.thresholds_
        record = model.fit_record_
        self._learned = not (record.unlabelled or record.reals_alone)
        certified = self._learned and not self.exact
        self.limit = certified_limit(model, doubts, by_frames) if certified else None
        self._evidence = evidence = evidence_or_none(model)
        self._deciding = set() if evidence is None else set(evidence.deciding)
        self._most_apart = np.inf if evidence is None else most_apart(evidence)
        self._names = list(model.detectors_)
        self._places = {name: place for place, name in enumerate(self._names)}
        out_of_fold = model.oof_scores_[self._names].to_numpy(float)
        self._range = [(np.nanmin(c), np.nanmax(c)) if (~np.isnan(c)).any()
                       else (0.0, 1.0) for c in out_of_fold.T]  # fmt: skip
        self._training = model.card_.profile or TrainingProfile(0)
        self._standing: dict[int, list[str]] = {}
        self.problem = self._problem()

    def _problem(self):
        """Say why no video can ever be settled early; empty where some may be."""
        everybody = "; every member is asked of every video"
        if self.limit is not None:
            return str(self.limit) if math.isnan(self.limit.margin) else ""
        if not self.exact:
            return (
                f"cascade={self.model.cascade!r} is certified on labelled real and "
                f"fake videos, and there were none{everybody}"
            )
        combiner = self.model.combiner_
        if not hasattr(combiner, "score_bounds"):
            what = f"{type(combiner).__name__} offers no score_bounds"
            return (
                f"cascade='exact': {what}, which say where a score can end{everybody}"
            )
        middling = np.full(len(self._names), 0.5)
        everybody_asked = np.ones(len(middling), bool)
        row = self._table(middling)
        if possible_scores(self.model, row, everybody_asked) is None:
            return (
                f"cascade='exact': {combiner!r} knows no bounds of its score while "
                f"members are not asked{everybody}"
            )
        if self.doubts and not self._settles_with_doubts():
            return (
                "cascade='exact': any member could still raise a doubt (it may fail, "
                "or give a score unlike the others'), which makes a video UNSURE"
                f"{everybody}. Without doubts (doubts=False, --no-doubts), and in "
                "predict of Python, videos are settled"
            )
        return ""

    def _settles_with_doubts(self):
        """Whether the members asked last could raise no doubt."""
        return len(self._names) > 1 and self.cascade.order[-1] not in self._deciding

    def is_settled(self, scores: NDArray, n_turns: int, profile_of: Any) -> bool:
        """Say whether the verdict on a video is settled.

        Parameters
        ----------
        scores : ndarray of shape (n_detectors,)
            P(fake), by the frames that each looked at so far; of those not asked it
            does not count.
        n_turns : int
            After so many turns.
        profile_of : callable
            Returns the profile of the video, or None; called where it counts.

        Returns
        -------
        bool
        """
        by_name = self.cascade.asked_after(n_turns)
        asked = [self._places[name] for name in by_name]
        if np.isnan(scores[asked]).any():
            return False
        if self.exact:
            settled = self._exactly(scores, asked)
        else:
            settled = self._probably(scores, by_name, asked, n_turns)
        if not settled:
            return False
        if self.exact and not self.doubts:
            return True
        if n_turns not in self._standing:
            present = np.isin(np.arange(len(scores)), asked)
            self._standing[n_turns] = standing_doubts(self.model, present)
        if self._standing[n_turns] or self._is_odd(scores, asked):
            return False
        profile = profile_of()
        return profile is None or not self._training.unlike(profile)

    def _is_odd(self, scores, asked):
        """Whether members that were asked disagree, or say what they never said."""
        for place in asked:
            low, high = self._range[place]
            if not low <= scores[place] <= high:
                return True
        known = [place for place in asked if self._names[place] in self._deciding]
        if len(known) < 2:
            return False
        return np.ptp(log_odds(scores[known])) > self._most_apart

    def _exactly(self, scores, asked):
        left = self._deciding.difference(self._names[place] for place in asked)
        if self.doubts and left:  # each could fail, or say what nobody ever did
            return False
        is_asked = np.isin(np.arange(len(scores)), asked)
        bounds = possible_scores(self.model, self._table(scores), is_asked)
        if bounds is None or np.isnan(bounds).any():
            return False
        low, high = self.thresholds.verdicts([float(end[0]) for end in bounds])
        return low == high != NO_VERDICT

    def _probably(self, scores, by_name, asked, n_turns):
        stage = self.cascade.stages[n_turns - 1]
        if stage is None:
            return False
        table = self._table(scores)
        p_fake = stage.p_fake(
            self.model, table[[self._names[p] for p in sorted(asked)]]
        )
        _, beyond = verdict_and_distance(self.thresholds, p_fake)
        sure = beyond[0] / self.limit.spreads[n_turns - 1]
        if self.doubts:
            row = scores[asked][None]
            sure = min(sure, agreement(self._evidence, stage, by_name, row)[0])
        return sure >= self.limit.margin

    def _table(self, scores):
        return pd.DataFrame(scores[None], columns=self._names)


def what_is_promised(model: Any, doubts: bool, by_frames: bool = True) -> list[str]:
    """Say in which order an ensemble's cascade asks, and how verdicts may differ.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted, with ``cascade``.
    doubts, by_frames
        As for `Settling`.

    Returns
    -------
    list of str
    """
    settling = Settling(model, doubts, by_frames)
    promise = "No verdict differs from the full ensemble's."
    if settling.problem:
        promise = f"{settling.problem[0].upper()}{settling.problem[1:]}."
    elif settling.limit is not None:
        promise = str(settling.limit)
    return [str(settling.cascade), promise]


def warn_of_cascade(model: Any, doubts: bool = True, stacklevel: int = 3) -> None:
    """Say why an ensemble's cascade asks every member, where it does.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted, with ``cascade``.
    doubts : bool, default=True
        As for `Settling`.
    stacklevel : int, default=3
    """
    problem = Settling(model, doubts).problem
    if problem:
        warnings.warn(problem, DeepfakeEnsembleWarning, stacklevel=stacklevel)
