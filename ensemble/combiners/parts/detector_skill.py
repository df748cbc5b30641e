"""How surely each detector ranks fakes above reals, on groups that it has not seen.

A combiner learns from few videos, whose scores may say nothing. What is measured here
decides how far it follows a detector, and which detectors look inverted.
"""

from __future__ import annotations

import shlex
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.metrics.within_folds import outranked

_SURE = 3.0  # standard errors above chance from which a detector is followed fully
_LEVEL = 0.95
_GROUPS_PER_SLOPE = 5  # fewer do not tell how surely slopes are known
_MAX_ROWS = 5000  # rows drawn where a combiner only asks which way detectors point


@dataclass(frozen=True)
class Evidence:
    """AUC of each detector, and how far chance alone may have moved it.

    Attributes
    ----------
    auc : ndarray of shape (n_detectors,)
        0.5 where a detector has scores of one class only. With folds, of pairs of
        videos of the same fold.
    error : ndarray of shape (n_detectors,)
        Standard error over groups, no less than that of a score without any skill.
    """

    auc: np.ndarray
    error: np.ndarray

    def above_chance(self) -> Any:
        """Return by how many standard errors each AUC is above 0.5."""
        return (self.auc - 0.5) / self.error

    def interval(self, level: float = _LEVEL) -> Any:
        """Return the interval of each AUC, shape (n_detectors, 2)."""
        reach = norm.ppf((1 + level) / 2) * self.error
        return np.clip(np.column_stack([self.auc - reach, self.auc + reach]), 0.0, 1.0)


def doubt(above_chance: np.ndarray) -> np.ndarray:
    """Return how far to pull slopes to 0, in shares of the videos.

    A slope that is its standard error times t is best shrunk by 1 / t² (James and
    Stein), which a pull worth 1 / (t² - 1) of the videos does. It is 0 from three
    standard errors on, above chance or below, and at most 100, so that a ranking is
    left.

    Parameters
    ----------
    above_chance : ndarray
        By how many standard errors detectors differ from chance.

    Returns
    -------
    doubt : ndarray

    Examples
    --------
    >>> doubt(np.array([0.5, 1.96, 3.0, -4.0])).round(2)
    array([99.88,  0.23,  0.  ,  0.  ])
    """
    pull = 1 / np.maximum(np.square(above_chance) - 1, 0.01)
    return np.maximum(pull - 1 / (_SURE**2 - 1), 0.0)


def measure_evidence(
    scores: np.ndarray,
    is_fake: np.ndarray,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    folds: np.ndarray | None = None,
) -> Evidence:
    """Measure how surely detectors rank fakes above reals.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        Any scale, higher meaning fake; NaN where missing.
    is_fake : ndarray of shape (n_videos,)
    weight : ndarray of shape (n_videos,) or None, default=None
        Weight 2 is the row given twice.
    groups : int ndarray of shape (n_videos,) or None, default=None
        Codes; None makes each video its own group.
    folds : int ndarray of shape (n_videos,) or None, default=None
        Codes of the folds the scores come from: different folds were scored by
        different networks, and only videos of one fold are compared.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; Obuchowski (1997), Biometrics
    53, for groups; LeDell, Petersen, van der Laan (2015), Electronic Journal of
    Statistics 9, for folds.

    Examples
    --------
    >>> scores = np.array([[0.1, 0.9], [0.2, 0.6], [0.8, 0.7], [0.9, 0.2]])
    >>> measure_evidence(scores, np.array([0, 0, 1, 1])).auc
    array([1.  , 0.25])
    """
    weight = np.ones(len(scores)) if weight is None else weight
    measured = [
        _auc_and_error(column, is_fake, weight, groups, folds) for column in scores.T
    ]
    auc, error = np.array(measured).reshape(-1, 2).T
    return Evidence(auc, error)


def skill_beside_others(
    scores: np.ndarray,
    is_fake: np.ndarray,
    weight: np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return how surely each detector adds to the others, in standard errors.

    One that tells nothing by itself may still tell where another errs. It is measured
    by the slopes of a linear regression of the labels on the scores.

    Parameters
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        Without missing ones.
    is_fake, weight : ndarray of shape (n_videos,)
    groups : int ndarray of shape (n_videos,) or None, default=None
        Codes of videos that err together.

    Returns
    -------
    t : ndarray of shape (n_detectors,)
        0 where a detector pulls the other way, and for all where there are too few
        groups to tell.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> y, disturbance = np.arange(200) % 2, draw.normal(size=200)
    >>> scores = np.column_stack([y + disturbance, -disturbance])
    >>> scores[::2] *= 1.1
    >>> measure_evidence(scores, y).above_chance().round().tolist()
    [7.0, -1.0]
    >>> skill_beside_others(scores, y, np.ones(200)).round() > 30
    array([ True,  True])
    """
    n_videos = weight.sum()
    n_groups = n_videos if groups is None else len(np.unique(groups))
    n_detectors = scores.shape[1]
    if n_groups < _GROUPS_PER_SLOPE * (n_detectors + 1):
        return np.zeros(n_detectors)
    away = scores - weight @ scores / n_videos
    spread = np.sqrt(weight @ away**2 / n_videos)
    away /= np.where(spread > 0, spread, 1.0)
    target = is_fake - weight @ is_fake / n_videos
    inverse = np.linalg.pinv((away.T * weight) @ away, rcond=1e-10, hermitian=True)
    slopes = inverse @ (away.T @ (weight * target))
    left = target - away @ slopes
    if groups is None:
        middle = (away.T * (weight * left**2)) @ away
    else:
        by_group = np.zeros((groups.max() + 1, n_detectors))
        np.add.at(by_group, groups, away * (weight * left)[:, None])
        middle = by_group.T @ by_group
    free = n_groups - n_detectors - 1
    by_groups = np.diag(inverse @ middle @ inverse) * n_groups / free
    plain = np.diag(inverse) * (weight @ left**2) / free
    error = np.sqrt(np.maximum(by_groups, plain))
    return np.maximum(slopes, 0.0) / np.maximum(error, 1e-9)


def looks_inverted(
    scores: Any,
    is_fake: Any,
    weight: np.ndarray | None = None,
    groups: Any = None,
    folds: Any = None,
) -> np.ndarray:
    """Say which detectors rank reals above fakes, more surely than chance explains.

    Parameters
    ----------
    scores, is_fake, weight, groups, folds
        As for `measure_evidence`.

    Returns
    -------
    inverted : bool ndarray of shape (n_detectors,)
        Where the interval of the AUC is wholly below 0.5, at 95 % for all detectors
        together.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> y = np.arange(100) % 2
    >>> good = y + draw.normal(size=100)
    >>> looks_inverted(np.column_stack([good, -good]), y)
    array([False,  True])
    """
    if len(scores) > _MAX_ROWS:
        drawn = np.random.default_rng(0).integers(0, len(scores), _MAX_ROWS)
        drawn = np.unique(drawn)
        scores, is_fake, weight, groups, folds = (
            None if part is None else part[drawn]
            for part in (scores, is_fake, weight, groups, folds)
        )
    evidence = measure_evidence(scores, is_fake, weight, groups, folds)
    level = 1 - (1 - _LEVEL) / max(len(evidence.auc), 1)
    return evidence.interval(level)[:, 1] < 0.5


def warn_of_inverted(names: list[str], who: str, stacklevel: int = 2) -> None:
    """Name detectors that look inverted, and how to say that they are.

    Parameters
    ----------
    names : list of str
        Nothing is said of none.
    who : str
        Who trusts their direction, with the verb: "Voting takes".
    stacklevel : int, default=2
    """
    if names:
        warnings.warn(
            f"{', '.join(names)} {'ranks' if len(names) == 1 else 'rank'} real videos "
            f"above fake ones, more surely than chance explains, and {who} a high "
            "score for fake. Are the labels right? If high means real in a table of "
            f"scores, say so: read_scores(..., invert={names}), "
            f"invert_scores(scores, {names}), or on the command line --invert "
            f"{shlex.quote(','.join(names))}; of videos, leave out a detector that is "
            "wrong more often than not",
            DeepfakeEnsembleWarning,
            stacklevel=stacklevel + 1,
        )


def _auc_and_error(score, is_fake, weight, groups, folds):
    known = ~np.isnan(score) & (weight > 0)
    score, is_fake, weight = score[known], is_fake[known], weight[known]
    folds = np.zeros(len(score), int) if folds is None else folds[known]
    won, rivals = outranked(is_fake, score, folds, weight)
    fake = is_fake == 1
    n_pairs = weight[fake] @ rivals[fake]
    if n_pairs == 0:
        return 0.5, np.inf
    auc = weight[fake] @ won[fake] / n_pairs
    away = (won - auc * rivals) / n_pairs
    # of a score without skill the pairs won vary by n_fake n_real (n + 1) / 12
    of_fake, of_real = (np.bincount(folds, weight * one) for one in (fake, ~fake))
    chance = (of_fake * of_real * (of_fake + of_real + 1)).sum() / 12
    if groups is None:
        n_groups = weight.sum()
        variance = weight @ away**2
    else:
        by_group = np.bincount(groups[known], weight * away)
        n_groups = len(np.unique(groups[known]))
        variance = by_group @ by_group
    if n_groups <= 1:
        return float(auc), np.inf
    variance *= n_groups / (n_groups - 1)
    return float(auc), float(np.sqrt(max(variance, chance / n_pairs**2)))
