"""AUC within folds: a fake is only compared with the reals of its own fold.

Scores of different folds come from different fits, whose scales need not agree. One
ranking of all of them punishes whatever is fitted again for each fold, and reads below
.5 where there is nothing to know. So pairs of a fake and a real are counted within each
fold, and the counts are summed (LeDell, Petersen, van der Laan, 2015). A fold counts by
its pairs, a fold of one class not at all.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ensemble.metrics.delong import difference_variance
from ensemble.scores.provenance import Provenance
from ensemble.scores.table import companions


def outranked(
    is_fake: np.ndarray,
    score: np.ndarray,
    fold: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Count for each video the videos of the other class and its own fold below it.

    Parameters
    ----------
    is_fake : int ndarray of shape (n_videos,)
        1 for fake.
    score : ndarray of shape (n_videos,)
        Any that rises with P(fake), no NaN.
    fold : int ndarray of shape (n_videos,) or None, default=None
        Numbers from 0 on; None is one fold.
    weight : ndarray of shape (n_videos,) or None, default=None
        How often each video counts, >= 0; None is once.

    Returns
    -------
    won : ndarray of shape (n_videos,)
        Weight of the reals below a fake, or of the fakes above a real; ties count half.
    rivals : ndarray of shape (n_videos,)
        Weight of the other class in the fold.

    Examples
    --------
    >>> y, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.6, 0.7])
    >>> outranked(y, score, fold=np.array([0, 0, 1, 1]))[0].tolist()
    [1.0, 1.0, 1.0, 1.0]
    >>> outranked(y, score)[0].tolist()
    [2.0, 1.0, 1.0, 2.0]
    """
    n = len(score)
    if not n:
        return np.zeros(0), np.zeros(0)
    fold = np.zeros(n, int) if fold is None else fold
    weight = np.ones(n) if weight is None else np.asarray(weight, float)
    order = np.lexsort((score, fold))
    fold, score = fold[order], score[order]
    fake = np.where(is_fake[order] == 1, weight[order], 0.0)
    real = weight[order] - fake
    first = np.append(True, (np.diff(fold) != 0) | (score[1:] != score[:-1]))
    starts, level = np.flatnonzero(first), np.cumsum(first) - 1
    fakes, reals = (np.bincount(fold, one) for one in (fake, real))  # of each fold

    def before(one, of_fold):
        """Weight below each level in its fold, with half of that on the level."""
        on_level = np.add.reduceat(one, starts)
        earlier_folds = (np.cumsum(of_fold) - of_fold)[fold[starts]]
        return np.cumsum(on_level) - on_level / 2 - earlier_folds

    won, rivals = np.empty(n), np.empty(n)
    of_fake = is_fake[order] == 1
    rivals[order] = np.where(of_fake, reals[fold], fakes[fold])
    above = fakes[fold] - before(fake, fakes)[level]
    won[order] = np.where(of_fake, before(real, reals)[level], above)
    return won, rivals


def fold_auc(
    is_fake: np.ndarray,
    score: np.ndarray,
    fold: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> float:
    """Return the AUC within folds.

    Parameters
    ----------
    is_fake, score, fold, weight
        As for `outranked`.

    Returns
    -------
    auc : float
        Share of the pairs of a fake and a real of one fold in which the fake scores
        higher, a tie counting half; NaN where no fold has both classes.

    References
    ----------
    LeDell, Petersen, van der Laan (2015), Computationally efficient confidence
    intervals for cross-validated area under the ROC curve estimates, Electronic Journal
    of Statistics 9. They average folds; here pairs are averaged, so that a fold of few
    videos counts little.

    Examples
    --------
    >>> y, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.6, 0.7])
    >>> fold_auc(y, score), fold_auc(y, score, fold=np.array([0, 0, 1, 1]))
    (0.75, 1.0)
    """
    # by pairs and not by scikit-learn, which knows no folds and differs in the last bit
    won, rivals = outranked(is_fake, score, fold, weight)
    counts = np.asarray(is_fake, float)
    if weight is not None:
        counts = counts * weight
    n_pairs = counts @ rivals
    return float(counts @ won / n_pairs) if n_pairs > 0 else np.nan


def auc_error(
    is_fake: np.ndarray,
    score: np.ndarray,
    codes: np.ndarray | None = None,
    fold: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> float:
    """Return the standard error of the AUC within folds, by DeLong's method for groups.

    It takes microseconds where a bootstrap takes a second, and wants some dozens of
    groups of each class. A group is in one fold only.

    Parameters
    ----------
    is_fake, score, fold, weight
        As for `outranked`.
    codes : int ndarray of shape (n_videos,) or None, default=None
        Numbers of the groups; None takes each video for independent, one of weight 2
        for two.

    Returns
    -------
    error : float
        NaN where it cannot be told, with one group only of a class.

    Examples
    --------
    >>> y = np.array([0, 0, 0, 1, 1, 1])
    >>> score = np.array([0.1, 0.2, 0.6, 0.4, 0.7, 0.8])
    >>> round(auc_error(y, score), 3)
    0.157
    """
    weight = np.ones(len(score)) if weight is None else np.asarray(weight, float)
    auc = fold_auc(is_fake, score, fold, weight)
    if np.isnan(auc):
        return np.nan
    won, rivals = outranked(is_fake, score, fold, weight)
    # independent videos of weight 2 add twice their square, not the square of twice
    own = np.sqrt(weight) if codes is None else weight
    codes = np.arange(len(score)) if codes is None else codes
    away = _shares(is_fake, (won - auc * rivals) * own, (is_fake * weight) @ rivals)
    return float(np.sqrt(difference_variance([(is_fake, away, codes)])))


def auc_difference(
    is_fake: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    fold: np.ndarray | None = None,
) -> tuple[float, float, np.ndarray]:
    """Return two scores' AUCs within folds, and how each video sets them apart.

    Parameters
    ----------
    is_fake : int ndarray of shape (n_videos,)
        1 for fake.
    first, second : ndarray of shape (n_videos,)
    fold : int ndarray of shape (n_videos,) or None, default=None

    Returns
    -------
    first, second : float
        The AUCs; NaN where no fold has both classes.
    away : ndarray of shape (n_videos,)
        What `ensemble.metrics.delong.difference_variance` takes: of each video, the
        share of rivals that it outranks by the first score less that by the second,
        less the difference of the AUCs. A video of a fold with one class has 0.

    Examples
    --------
    >>> y = np.array([0, 0, 1, 1])
    >>> first, second = np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.1, 0.2, 0.4, 0.9])
    >>> one, other, away = auc_difference(y, first, second)
    >>> one, other, away.tolist()
    (0.75, 1.0, [0.25, -0.25, -0.25, 0.25])
    """
    aucs = [fold_auc(is_fake, score, fold) for score in (first, second)]
    won, rivals = outranked(is_fake, first, fold)
    lost, _ = outranked(is_fake, second, fold)
    with np.errstate(invalid="ignore", divide="ignore"):
        away = won - lost - (aucs[0] - aucs[1]) * rivals
        return *aucs, _shares(is_fake, away, is_fake @ rivals)


def mean_auc_difference(sets: Iterable[tuple[np.ndarray, ...]]) -> tuple[float, float]:
    """Average a difference of AUCs within folds over sets of videos.

    Parameters
    ----------
    sets : list of (is_fake, first, second, fold, codes)
        Labels, two scores, numbers of folds and of groups. Sets without a fold of both
        classes count nothing.

    Returns
    -------
    difference, error : float
        Its standard error by DeLong's method for groups; both NaN where none counts.

    Examples
    --------
    >>> y, fold = np.array([0, 0, 1, 1]), np.zeros(4, int)
    >>> first, second = np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.1, 0.2, 0.4, 0.9])
    >>> sets = [(y, first, second, fold, np.arange(4))]
    >>> difference, error = mean_auc_difference(sets)
    >>> difference, round(error, 3)
    (-0.25, 0.354)
    """
    parts, differences = [], []
    for is_fake, first, second, fold, codes in sets:
        one, other, away = auc_difference(is_fake, first, second, fold)
        if not np.isnan(one):
            differences.append(one - other)
            parts.append((is_fake, away, codes))
    if not parts:
        return np.nan, np.nan
    return float(np.mean(differences)), float(np.sqrt(difference_variance(parts)))


def numbered_folds(
    fold: ArrayLike | None, n_videos: int, scored: np.ndarray | None = None
) -> np.ndarray:
    """Number folds from 0 on; None is one fold.

    Parameters
    ----------
    fold : array-like of shape (n_videos,) or None
        What videos of one fit have in common: a number, a name, or a tuple such as
        (repeat, fold).
    n_videos : int
    scored : bool ndarray of shape (n_videos,) or None, default=None
        Videos that need a fold; None is all.

    Returns
    -------
    fold : int ndarray of shape (n_videos,)
        -1 for a video that needs none and has none.

    Examples
    --------
    >>> numbered_folds(["b", "a", "b"], 3).tolist()
    [0, 1, 0]
    """
    if fold is None:
        return np.zeros(n_videos, int)
    fold = list(fold)
    if len(fold) != n_videos:
        raise ValueError(
            f"fold must have one entry per video, {n_videos}; got {len(fold)}"
        )
    entries = np.empty(n_videos, object)
    entries[:] = fold
    numbers = pd.factorize(entries)[0]
    lacking = np.flatnonzero(numbers < 0 if scored is None else (numbers < 0) & scored)
    if lacking.size:
        raise ValueError(
            f"every scored video needs a fold; {lacking.size} of {n_videos} have none, "
            f"the first at row {lacking[0]}: leave these out, or give none a fold"
        )
    return numbers


def folds_of_table(table: pd.DataFrame) -> np.ndarray | None:
    """Return the folds in which the members of a score table were fitted.

    Parameters
    ----------
    table : DataFrame
        A score table; a fold lies beside each row of one that is out of fold.

    Returns
    -------
    fold : int ndarray of shape (n_videos,) or None
        None where one fit has scored all videos (prefit members, or a table stated not
        to be out of fold) or where no fold is known, as of out-of-bag scores, which are
        means over many fits. -1 for a video without a fold and without a score.

    Examples
    --------
    >>> from ensemble.scores import score_table
    >>> scores = [[0.1], [0.8], [0.3], [0.7]]
    >>> folds_of_table(score_table(scores, "abcd", ["net"], fold=[1, 1, 2, 2])).tolist()
    [0, 0, 1, 1]
    """
    provenance = Provenance.of(table)
    if provenance.out_of_fold is False:
        return None
    if set(table.columns) <= set(provenance.prefit):
        return None
    fold = companions(table)["fold"]
    scored = table.notna().any(axis=1)
    if fold[scored].isna().any() or fold[scored].nunique() < 2:
        return None
    return numbered_folds(fold, len(table), scored.to_numpy())


def _shares(is_fake, pairs, n_pairs):
    """Turn numbers of pairs into shares whose mean over a class is what it adds."""
    n_fake = np.count_nonzero(is_fake == 1)
    return pairs * np.where(is_fake == 1, n_fake, len(is_fake) - n_fake) / n_pairs
