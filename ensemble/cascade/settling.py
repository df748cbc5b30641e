"""Whether the verdict on a video is settled, after some of the members."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd

from ensemble.cascade.certificate import (
    agreement,
    certified_limit,
    verdict_and_distance,
)
from ensemble.cascade.stages import cascade_of, possible_scores
from ensemble.choices import NO_VERDICT
from ensemble.verdicts.card import evidence_or_none
from ensemble.verdicts.doubts import doubts as doubts_of
from ensemble.verdicts.member_scores import named_members


class Settling:
    """Says of one video after another when to stop asking.

    Nothing is settled where something is in doubt: where the video shows several faces,
    where a member that was asked gave no score, and, of a certified cascade, where a
    score is beyond those that the member gave out of fold, or the video itself, or
    what its members say, is a doubt of `ensemble.verdicts.doubts`. Of an exact cascade
    doubts count where they make a video UNSURE.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted, with ``cascade``.
    doubts : bool
        Whether videos in doubt are UNSURE.
    """

    def __init__(self, model: Any, doubts: bool) -> None:
        self.model, self.doubts = model, doubts
        self.cascade, self.exact = cascade_of(model), model.cascade == "exact"
        self.thresholds = model.thresholds_
        self.limit = None if self.exact else certified_limit(model, doubts)
        self._members = [
            (name, copy.copy(member)) for name, member in named_members(model)
        ]
        self._evidence = evidence = evidence_or_none(model)
        self._deciding = set() if evidence is None else set(evidence.deciding)
        scores = model.oof_scores_
        self._range = {
            name: (scores[name].min(), scores[name].max()) for name in scores
        }
        self.problem = self._problem()

    def _problem(self):
        """Say why no video can ever be settled early; empty where some may be."""
        everybody = "; every member is asked of every video"
        if self.limit is not None:
            return str(self.limit) if math.isnan(self.limit.margin) else ""
        combiner = self.model.combiner_
        if not hasattr(combiner, "score_bounds"):
            what = f"{type(combiner).__name__} offers no score_bounds"
            return (
                f"cascade='exact': {what}, which say where a score can end{everybody}"
            )
        names = list(self.model.detectors_)
        row = pd.DataFrame([[0.5] * len(names)], columns=names)
        if possible_scores(self.model, row, np.ones(len(names), bool)) is None:
            return (
                f"cascade='exact': {combiner!r} knows no bounds of its score while "
                f"members are not asked{everybody}"
            )
        if self.doubts and not self._settles_with_doubts(names):
            return (
                "cascade='exact': any member could still raise a doubt (it may fail, "
                "or give a score unlike the others'), which makes a video UNSURE"
                f"{everybody}. With doubts=False, and in predict, videos are settled"
            )
        return ""

    def _settles_with_doubts(self, names):
        """Whether the members asked last could raise no doubt."""
        return len(names) > 1 and self.cascade.order[-1] not in self._deciding

    def is_settled(self, table: pd.DataFrame, n_asked: int, profile_of: Any) -> bool:
        """Say whether the verdict on a video is settled.

        Parameters
        ----------
        table : DataFrame of shape (1, n_detectors)
            With reasons; those not asked say so.
        n_asked : int
            After so many members.
        profile_of : callable
            Returns the profile of the video, or None; called where it counts.

        Returns
        -------
        bool
        """
        asked = self.cascade.order[:n_asked]
        scores = table.iloc[0][asked].to_numpy(float)
        if np.isnan(scores).any():
            return False
        settled = self._exactly if self.exact else self._probably
        p_fake = settled(table, asked, scores)
        if p_fake is None:
            return False
        if self.exact and not self.doubts:
            return True
        (found,) = doubts_of(self.model, table, np.array([p_fake]), [profile_of()])
        return not found

    def _exactly(self, table, asked, scores):
        left = self._deciding.difference(asked)
        if self.doubts and left:  # each could fail, or say what nobody ever did
            return None
        is_asked = np.array([name in asked for name in table.columns])
        bounds = possible_scores(self.model, table, is_asked)
        if bounds is None or np.isnan(bounds).any():
            return None
        low, high = (float(end[0]) for end in bounds)
        verdicts = self.thresholds.verdicts([low, high])
        if verdicts[0] != verdicts[1] or verdicts[0] == NO_VERDICT:
            return None
        return low

    def _probably(self, table, asked, scores):
        stage = self.cascade.stages[len(asked) - 1]
        if stage is None:
            return None
        for name, score in zip(asked, scores, strict=True):
            low, high = self._range[name]
            if not low <= score <= high:
                return None
        columns = [name for name in table.columns if name in asked]
        p_fake = stage.p_fake(self.model, table[columns])
        _, beyond = verdict_and_distance(self.thresholds, p_fake)
        sure = beyond[0] / self.limit.spreads[len(asked) - 1]
        if self.doubts:
            beside = agreement(self._evidence, stage, asked, table)
            sure = min(sure, beside[0])
        return float(p_fake[0]) if sure >= self.limit.margin else None


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
        warnings.warn(problem, stacklevel=stacklevel)
