"""What each member adds to the others: leave one out, and Shapley's share."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.utils import check_random_state

from base_models.groups import group_codes
from ensemble.comparison.evaluation import Panel
from ensemble.metrics.within_folds import mean_auc_difference, numbered_folds, outranked

_ALL_COALITIONS = 12  # members up to which every coalition is tried
_N_ORDERS = 500


def member_contributions(
    scores: pd.DataFrame,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    random_state: int = 0,
    fold: ArrayLike | None = None,
) -> pd.DataFrame:
    """Say what each member adds to the AUC of the log-odds mean.

    Judged on the videos that every member has scored, the same for every coalition.

    Parameters
    ----------
    scores : DataFrame of shape (n_videos, n_members)
        P(fake), out of fold or of prefit detectors.
    y : array-like of shape (n_videos,)
        1 for fake.
    groups : array-like of shape (n_videos,) or None, default=None
        For the interval of what a member adds.
    level : float, default=0.95
        Of that interval.
    random_state : int, default=0
        Of the 500 orders drawn where members are more than 12.
    fold : array-like of shape (n_videos,) or None, default=None
        What videos that one fit has scored have in common; AUCs are then those within
        folds, see `ensemble.metrics.auc`.

    Returns
    -------
    DataFrame
        One row a member: ``alone``, ``without`` (AUC of all others), ``adds`` (AUC of
        all less ``without``; ``adds_low`` and ``adds_high`` by DeLong's method) and
        ``shapley``: its share of what all reach above .5, averaged over all orders of
        joining. Shares sum up to that whole.

    References
    ----------
    Shapley (1953), A value for n-person games.

    Examples
    --------
    >>> scores = pd.DataFrame({"good": [0.1, 0.2, 0.8, 0.9], "flat": [0.5] * 4})
    >>> member_contributions(scores, [0, 0, 1, 1])["shapley"].tolist()
    [0.5, 0.0]
    """
    n = len(scores)
    fold = numbered_folds(fold, n, scores.notna().all(axis=1).to_numpy())
    part = (np.asarray(y), scores.to_numpy(float), fold, group_codes(groups, n))
    return _contributions([part], list(scores.columns), level, random_state)


def panel_contributions(
    panels: list[Panel],
    names: list[str],
    codes: np.ndarray,
    level: float,
    random_state: int,
) -> pd.DataFrame:
    """Say what each member adds to the AUC of the log-odds mean, over panels.

    Parameters
    ----------
    panels : list of Panel
    names : list of str
        The members.
    codes : int ndarray of shape (n_videos,)
        Numbers of the groups.
    level : float
    random_state : int

    Returns
    -------
    DataFrame
        As from `member_contributions`; a figure is the mean over the panels.
    """
    parts = [
        (panel.y, panel.scores[names].to_numpy(float), panel.fold, codes[panel.rows])
        for panel in panels
    ]
    return _contributions(parts, names, level, random_state)


def _contributions(parts, names, level, random_state):
    """Measure every coalition on all parts, each of its own videos."""
    parts = [_of_all_members(*part) for part in parts]
    y = np.concatenate([part[0] for part in parts])
    odds = np.concatenate([part[1] for part in parts])
    number = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    fold = np.column_stack([number, np.concatenate([part[2] for part in parts])])
    fold = np.unique(fold, axis=0, return_inverse=True)[1].ravel()
    everyone = tuple(range(len(names)))
    known = {(): 0.5}

    def mean_of(odds, some):
        return odds[:, list(some)].mean(axis=1) if some else np.zeros(len(odds))

    def worth(some):
        some = tuple(sorted(some))
        if some not in known:
            won, rivals = outranked(y, mean_of(odds, some), fold)
            won, pairs = (
                np.bincount(number, y * one, len(parts)) for one in (won, rivals)
            )
            aucs = won[pairs > 0] / pairs[pairs > 0]
            known[some] = float(aucs.mean()) if len(aucs) else np.nan
        return known[some]

    lines = []
    for one in everyone:
        others = tuple(member for member in everyone if member != one)
        added, error = mean_auc_difference(
            [
                (y, mean_of(odds, everyone), mean_of(odds, others), fold, codes)
                for y, odds, fold, codes in parts
            ]
        )
        reach = norm.ppf((1 + level) / 2) * error
        lines.append(
            {
                "alone": worth((one,)),
                "without": worth(others),
                "adds": worth(everyone) - worth(others),
                "adds_low": added - reach,
                "adds_high": added + reach,
            }
        )
    table = pd.DataFrame(lines, index=pd.Index(names, name="member"))
    table["shapley"] = _shapley(worth, everyone, random_state)
    return table


def _of_all_members(y, scores, fold, codes):
    """Keep the videos that every member has scored; scores become log-odds."""
    here = ~np.isnan(scores).any(axis=1)
    scores = np.clip(scores[here], 1e-6, 1 - 1e-6)
    return y[here], np.log(scores / (1 - scores)), fold[here], codes[here]


def _shapley(worth, everyone, random_state):
    n = len(everyone)
    shares = np.zeros(n)
    if n <= _ALL_COALITIONS:
        for size in range(n):
            weight = 1 / (n * math.comb(n - 1, size))
            for some in itertools.combinations(everyone, size):
                for one in set(everyone) - set(some):
                    shares[one] += weight * (worth((*some, one)) - worth(some))
        return shares
    rng = check_random_state(random_state)
    orders = [rng.permutation(n).tolist() for _ in range(_N_ORDERS // 2)]
    # each order backwards too: who comes late in one comes early in the other
    for order in [*orders, *(order[::-1] for order in orders)]:
        for place, one in enumerate(order):
            ahead = worth(order[: place + 1]) - worth(order[:place])
            shares[one] += ahead / _N_ORDERS
    return shares
