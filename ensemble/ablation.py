"""What each member adds to the others: leave one out, and Shapley's share."""

import itertools
import math

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from ensemble.metrics import auc, delong_test

_ALL_COALITIONS = 12  # members up to which every coalition is tried
_N_ORDERS = 500


def member_contributions(scores, y, groups=None, level=0.95, random_state=0):
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
    names = list(scores.columns)
    odds = scores.to_numpy(float)
    here = ~np.isnan(odds).any(axis=1)
    y = np.asarray(y)[here]
    groups = None if groups is None else np.asarray(groups)[here]
    odds = np.clip(odds[here], 1e-6, 1 - 1e-6)
    odds = np.log(odds / (1 - odds))
    n = len(names)
    everyone = tuple(range(n))
    known = {(): 0.5}

    def mean_of(some):
        return odds[:, list(some)].mean(axis=1) if some else np.zeros(len(odds))

    def worth(some):
        some = tuple(sorted(some))
        if some not in known:
            known[some] = auc(y, mean_of(some))
        return known[some]

    lines = []
    for one in everyone:
        others = tuple(member for member in everyone if member != one)
        added = delong_test(y, mean_of(everyone), mean_of(others), groups, level)
        lines.append(
            {
                "alone": worth((one,)),
                "without": worth(others),
                "adds": worth(everyone) - worth(others),
                "adds_low": added.low,
                "adds_high": added.high,
            }
        )
    table = pd.DataFrame(lines, index=pd.Index(names, name="member"))
    table["shapley"] = _shapley(worth, everyone, random_state)
    return table


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
