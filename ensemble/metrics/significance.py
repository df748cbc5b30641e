"""Tests of two detectors on the same videos: DeLong's and McNemar's."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm

from base_models.groups import group_codes
from ensemble.metrics.bootstrap_intervals import check_level
from ensemble.metrics.delong import difference_variance
from ensemble.metrics.member_diversity import rights
from ensemble.metrics.ranking import (
    aligned,
    both_classes,
)
from ensemble.metrics.within_folds import auc_difference, numbered_folds


class DelongResult(NamedTuple):
    """Two AUCs on the same videos, and the test of their difference."""

    first: float
    second: float
    difference: float  # first - second
    low: float
    high: float
    z: float
    p_value: float  # two-sided
    n_videos: int  # with both scores


class McnemarResult(NamedTuple):
    """Two accuracies on the same videos, and the test of their difference."""

    first: float
    second: float
    difference: float  # first - second
    p_value: float  # two-sided
    n_videos: int  # with both scores


def delong_test(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    fake_label: object = None,
    fold: ArrayLike | None = None,
) -> DelongResult:
    """Compare the AUCs of two scores of the same videos.

    Takes the videos that have both scores. The difference is taken for normal, which
    wants some dozens of groups of each class.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    first, second : array-like of shape (n_videos,)
        Any scores that rise with P(fake); NaN where there is none.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that are not independent, such as those of one source; they may be of
        both classes. None takes each for independent, which is DeLong's test.
    level : float, default=0.95
        Of the interval of the difference.
    fake_label : label or None, default=None
    fold : array-like of shape (n_videos,) or None, default=None
        What videos that one fit has scored have in common; AUCs are then those within
        folds, see `auc`. A group is in one fold only. The error counts how folds
        differ, which makes it a little large where folds are of few groups.

    Returns
    -------
    result : DelongResult
        ``(first, second, difference, low, high, z, p_value, n_videos)``; NaN where it
        cannot be told, with one class or with one group only of a class. Equal scores
        have z 0 and p-value 1.

    References
    ----------
    DeLong, DeLong, Clarke-Pearson (1988), Biometrics 44; Sun, Xu (2014), IEEE Signal
    Processing Letters 21, for the ranks; Obuchowski (1997), Biometrics 53, for groups.

    Examples
    --------
    >>> y = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> first = [0.1, 0.2, 0.3, 0.6, 0.5, 0.7, 0.8, 0.9]
    >>> second = [0.4, 0.1, 0.7, 0.3, 0.2, 0.6, 0.9, 0.5]
    >>> result = delong_test(y, first, second)
    >>> round(result.first, 3), round(result.second, 3), round(result.p_value, 2)
    (0.938, 0.688, 0.22)
    """
    check_level(level)
    is_fake, first = aligned(y, first, fake_label)
    _, second = aligned(y, second, fake_label)
    codes = group_codes(groups, len(is_fake))
    here = ~(np.isnan(first) | np.isnan(second))
    fold = numbered_folds(fold, len(is_fake), here)[here]
    is_fake, codes = is_fake[here], codes[here]
    if not both_classes(is_fake):
        return DelongResult(*[np.nan] * 7, int(here.sum()))
    *aucs, away = auc_difference(is_fake, first[here], second[here], fold)
    difference = aucs[0] - aucs[1]
    error = np.sqrt(difference_variance([(is_fake, away, codes)]))
    z = _ratio(difference, error)
    reach = norm.ppf((1 + level) / 2) * error
    return DelongResult(
        *aucs,
        float(difference),
        float(difference - reach),
        float(difference + reach),
        z,
        float(2 * norm.sf(abs(z))),
        int(here.sum()),
    )


def mcnemar_test(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    threshold: float | tuple[float, float] = 0.5,
    fake_label: object = None,
) -> McnemarResult:
    """Compare the accuracies of two scores of the same videos.

    Takes the videos that have both scores; what both have right, or both wrong, says
    nothing of which is better.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    first, second : array-like of shape (n_videos,)
        P(fake); NaN where there is none.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that are not independent. The groups' differences are then taken for
        normal in sum. None takes each video for independent; that test is exact.
    threshold : float or (float, float), default=0.5
        A video is called fake above it; one number, or one for each score.
    fake_label : label or None, default=None

    Returns
    -------
    result : McnemarResult
        ``(first, second, difference, p_value, n_videos)``.

    References
    ----------
    McNemar (1947), Psychometrika 12; Durkalski et al. (2003), Statistics in Medicine
    22, for groups.

    Examples
    --------
    >>> y, first = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9]
    >>> second = [0.1, 0.8, 0.7, 0.7, 0.2, 0.3]
    >>> mcnemar_test(y, first, second).p_value
    0.125
    """
    table = np.column_stack(
        [aligned(y, score, fake_label)[1] for score in (first, second)]
    )
    _, _, right = rights(table, y, threshold, fake_label)
    here = ~np.isnan(table).any(axis=1)
    if not here.any():
        return McnemarResult(np.nan, np.nan, np.nan, np.nan, 0)
    right, codes = right[here].astype(int), group_codes(groups, len(table))[here]
    ahead = right[:, 0] - right[:, 1]
    if groups is None:
        times, of = int((ahead > 0).sum()), int((ahead != 0).sum())
        p_value = binomtest(times, of).pvalue if of else 1.0
    else:
        by_group = np.bincount(codes, ahead)
        z = _ratio(by_group.sum(), np.sqrt(by_group @ by_group))
        p_value = 2 * norm.sf(abs(z))
    accuracies = right.mean(axis=0).tolist()
    difference = float(ahead.mean())
    return McnemarResult(*accuracies, difference, float(p_value), int(here.sum()))


def _ratio(difference, error):
    if np.isnan(error):
        return np.nan
    if error < 1e-12:
        return (
            0.0 if abs(difference) < 1e-12 else float(np.copysign(np.inf, difference))
        )
    return float(difference / error)


def above_chance(
    estimates: ArrayLike, draws: NDArray, kinds: ArrayLike, level: float
) -> NDArray:
    """Say which AUCs are shown to lie above 0.5, though the highest will be picked.

    Of many strategies that know nothing, some have an interval above 0.5. So bounds
    hold for all strategies at once, and for all members at once: bootstrap draws say
    how far the largest of their standardised errors reaches (Westfall and Young, 1993).

    Parameters
    ----------
    estimates : array-like of shape (n_columns,)
    draws : ndarray of shape (n_boot, n_columns)
    kinds : array-like of shape (n_columns,)
        Columns of one kind are taken together.
    level : float

    Returns
    -------
    bool ndarray of shape (n_columns,)
        False where it cannot be told.

    Examples
    --------
    >>> from ensemble.metrics.significance import above_chance
    >>> draws = np.random.default_rng(0).normal(0.6, 0.04, (1000, 20))
    >>> alone = above_chance(np.full(1, 0.6), draws[:, :1], ["a"], 0.95)
    >>> many = above_chance(np.full(20, 0.6), draws, ["a"] * 20, 0.95)
    >>> bool(alone[0]), bool(many[0])
    (True, False)
    """
    estimates, kinds, tail = np.asarray(estimates), np.asarray(kinds), (1 - level) / 2
    is_told = (~np.isnan(draws)).sum(axis=0) > len(draws) / 2
    found = np.zeros(len(kinds), bool)
    for kind in np.unique(kinds):
        own = np.flatnonzero((kinds == kind) & is_told)
        if not len(own):
            continue
        errors = draws[:, own] - estimates[own]
        spread = np.maximum(np.nanstd(errors, axis=0), 1e-9)
        largest = np.nanmax(np.nan_to_num(errors / spread, nan=-np.inf), axis=1)
        reach = np.quantile(largest, 1 - tail)
        alone = np.nanquantile(draws[:, own], tail, axis=0)
        found[own] = (alone > 0.5) & (estimates[own] - reach * spread > 0.5)
    return found
