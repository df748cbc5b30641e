"""What an ensemble knows of itself: scores of videos that nothing in it had seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import logit

from ensemble.calibration.cross_fitting import cross_fitted_scores, cross_fitting_folds
from ensemble.combiners.parts.rows import Rows
from ensemble.out_of_fold.shares import learned_shares

if TYPE_CHECKING:
    from ensemble.metrics.ranking import Interval
    from ensemble.out_of_fold.training_set import TrainingSet

USUAL = 0.975  # share of the videos whose members disagree no more than usual
_NOTICED = 0.02  # share of all members' pull on the score, below which one decides none
_MOST_SURE = 1e-4  # scores are kept this far from 0 and 1 before taking log-odds


@dataclass(frozen=True)
class OutOfFoldEvidence:
    """The out-of-fold rows of a fitted ensemble that have a score.

    Attributes
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        The members' out-of-fold scores.
    score : ndarray of shape (n_videos,)
        The ensemble's, by combiners that had not seen the group; before calibration
        and prior.
    is_fake : int ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,) or None
    fold : ndarray of shape (n_videos,) or None
        By which fold's members and which copy of the combiner a video was scored; None
        where one fit, or averages of several, scored all of them.
    kind : {"out-of-fold", "out-of-bag", "hold-out"}
        What the scores are.
    deciding : list of str
        Members whose scores move the ensemble's: those with a weight, where the
        combiner has weights, and with a score in training.
    shares : ndarray of shape (n_detectors,) or None
        What each member carries of what the combiner knows; see
        `ensemble.out_of_fold.shares.learned_shares`.
    """

    table: pd.DataFrame
    score: np.ndarray
    is_fake: np.ndarray
    groups: np.ndarray | None
    fold: np.ndarray | None
    kind: str
    deciding: list
    shares: np.ndarray | None = None

    def auc(self, rows: slice | np.ndarray = slice(None)) -> Interval:
        """Return the AUC within folds with its 95 % interval over groups.

        Parameters
        ----------
        rows : slice or bool ndarray of shape (n_videos,), default=all

        Returns
        -------
        Interval
            Its ends are NaN where they cannot be measured; see `is_above_chance`.
        """
        from ensemble.metrics.ranking import auc_interval

        return auc_interval(
            self.is_fake[rows],
            self.score[rows],
            None if self.groups is None else self.groups[rows],
            None if self.fold is None else self.fold[rows],
            random_state=0,
        )

    @cached_property
    def log_odds(self) -> Any:
        """The deciding members' scores as log-odds, -9.2 to 9.2."""
        return log_odds(self.table[self.deciding])

    @cached_property
    def usual_spread(self) -> Any:
        """How far the deciding members are apart on nearly all videos, in log-odds.

        The 97.5 % point of highest less lowest; NaN where no video has two scores.
        """
        odds = self.log_odds[(~np.isnan(self.log_odds)).sum(axis=1) > 1]
        if not len(odds):
            return np.nan
        spreads = np.nanmax(odds, axis=1) - np.nanmin(odds, axis=1)
        return float(np.quantile(spreads, USUAL))

    def same_members(self, present: np.ndarray) -> np.ndarray:
        """Say which rows were scored by the same deciding members.

        Parameters
        ----------
        present : bool ndarray of shape (n_deciding,)

        Returns
        -------
        bool ndarray of shape (n_videos,)
        """
        there = self.table[self.deciding].notna().to_numpy()
        return (there == np.asarray(present, bool)).all(axis=1)


def log_odds(scores: ArrayLike | pd.DataFrame) -> np.ndarray:
    """Return log-odds of scores, of sure ones at most 9.2; NaN stays.

    Parameters
    ----------
    scores : array-like or DataFrame

    Returns
    -------
    ndarray
    """
    return logit(np.clip(np.asarray(scores, float), _MOST_SURE, 1 - _MOST_SURE))


def is_above_chance(
    auc: Interval, is_fake: np.ndarray, groups: ArrayLike | None
) -> bool:
    """Say whether an AUC is shown to be better than that of guessing.

    Parameters
    ----------
    auc : Interval
    is_fake : ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,) or None

    Returns
    -------
    bool
        Whether the interval lies above 0.5. Fewer than three groups of a class show
        nothing: so few are in the right order by luck too often.

    Examples
    --------
    >>> from ensemble.metrics import Interval
    >>> six = np.array([0, 1] * 3)
    >>> is_above_chance(Interval(0.8, 0.6, 0.9), six, None)
    True
    >>> is_above_chance(Interval(0.8, 0.6, 0.9), six, [1, 1, 2, 2, 2, 2])
    False
    """
    codes = np.arange(len(is_fake)) if groups is None else np.asarray(groups)
    enough = all(len(np.unique(codes[is_fake == label])) >= 3 for label in (0, 1))
    return bool(enough and auc.low > 0.5)


def out_of_fold_of(model: Any) -> OutOfFoldEvidence:
    """Return what a fitted ensemble knows of itself; it is collected once.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    OutOfFoldEvidence

    Raises
    ------
    ValueError
        Where the combiner cannot be fitted without some of the groups.
    """
    record = model.fit_record_
    if record.evidence is None:
        p_fake = unseen_scores(model)
        scored = p_fake.notna().to_numpy()
        is_fake, groups = labels_of(model)
        groups = None if groups is None else groups[scored]
        table = model.oof_scores_[scored]
        record.evidence = OutOfFoldEvidence(
            table=table,
            score=p_fake[scored].to_numpy(),
            is_fake=is_fake[scored],
            groups=groups,
            fold=_of_one_fit(model, table, is_fake[scored], groups),
            kind=record.kind,
            deciding=_deciding(table, model.weights_),
            shares=_shares(model),
        )
    return record.evidence


def labels_of(model: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the labels and groups of an ensemble's out-of-fold rows.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    is_fake : int ndarray of shape (n_videos,)
        In the order of ``oof_scores_``.
    groups : ndarray of shape (n_videos,) or None
    """
    training = model.fit_record_.training
    rows = training.rows(model.oof_scores_.index)
    groups = None if training.groups is None else training.groups[rows]
    return training.is_fake[rows], groups


def scored_rows(
    table: pd.DataFrame, training: TrainingSet
) -> tuple[pd.DataFrame, np.ndarray, dict[Any, Any]]:
    """Return the out-of-fold rows that have a score, ordered by content.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        Out-of-fold scores.
    training : TrainingSet

    Returns
    -------
    table : DataFrame of shape (n_scored, n_detectors)
    is_fake : int ndarray of shape (n_scored,)
    beside : dict
        ``groups`` and ``sample_weight`` of these rows, each an ndarray or None.
    """
    table = table[table.notna().any(axis=1)]
    rows = training.rows(table.index)
    by_content = np.argsort(rows)  # the order given must not matter
    table, rows = table.iloc[by_content], rows[by_content]
    beside = {"groups": training.groups, "sample_weight": training.weight}
    beside = {
        name: None if entries is None else entries[rows]
        for name, entries in beside.items()
    }
    return table, training.is_fake[rows], beside


def unseen_scores(model: Any) -> pd.Series:
    """Return P(fake) of an ensemble's out-of-fold rows; see its `oof_fake_score_`.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    Series of shape (n_videos,)
        On the rows of ``oof_scores_``, NaN where no detector has a score.
    """
    record = model.fit_record_
    table, is_fake, beside = scored_rows(model.oof_scores_, record.training)
    score = record.cross_fitted
    if record.unlabelled:
        return pd.Series([], table.index, float, name="p_fake")
    if score is None and record.reals_alone:  # a vote, which learned nothing
        score = model.combiner_.fake_score(table)
    elif score is None:
        score = cross_fitted_scores(model.combiner_, table, is_fake, **beside)
        record.cross_fitted = score
    scores = pd.Series(score, table.index, name="p_fake")
    return scores.reindex(model.oof_scores_.index)


def _of_one_fit(model, table, is_fake, groups):
    """Number the videos that the same members and copy of the combiner scored."""
    from ensemble.metrics.within_folds import folds_of_table
    from ensemble.out_of_fold.reals_only import learns

    fold = folds_of_table(table)
    record = model.fit_record_
    if record.unlabelled or record.reals_alone or not learns(model.combiner_):
        return fold
    by_content = np.argsort(record.training.rows(table.index))
    of_groups = None if groups is None else groups[by_content]
    copies = np.empty(len(table), int)
    copies[by_content] = cross_fitting_folds(
        table.iloc[by_content], is_fake[by_content], of_groups
    )
    if fold is None:
        return copies
    both = np.column_stack([fold, copies])
    return np.unique(both, axis=0, return_inverse=True)[1].ravel()


def _shares(model):
    """Return what each member carries; None where no labelled video says so."""
    record = model.fit_record_
    if record.unlabelled or record.reals_alone:
        return None
    table, is_fake, beside = scored_rows(model.oof_scores_, record.training)
    weight = beside["sample_weight"]
    weight = np.ones(len(table)) if weight is None else weight
    rows = Rows(table.to_numpy(float), is_fake, beside["groups"], weight)
    return learned_shares(model.combiner_, table, rows)


def _deciding(table, weights):
    """Return the members that move the combined score noticeably.

    Shrunk weights are seldom 0: a weight counts by how far its member's log-odds vary.
    """
    scored = [name for name in table if table[name].notna().any()]
    if weights is None:
        return scored
    pull = np.array(
        [abs(weights[name]) * np.nanstd(log_odds(table[name])) for name in scored]
    )
    if not pull.any():
        return [name for name in scored if weights[name] != 0]
    return [
        name
        for name, one in zip(scored, pull, strict=True)
        if one > _NOTICED * pull.sum()
    ]
