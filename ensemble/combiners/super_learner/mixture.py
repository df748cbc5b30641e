"""A convex mixture of candidates' log-odds: the last step of a super learner."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ensemble.combiners.parts.line import calibration_line, flattened
from ensemble.combiners.parts.rows import Rows

RIDGE = (
    0.05  # pull of the weights towards those of candidates that cannot be told apart
)
_FEW_GROUPS = 5.0  # groups of a class that count as much as trust in the simplest
_LEAST = 0.02  # share below which a candidate is not worth its cost
_CEILINGS = 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5  # 2 and 3 gain nothing more
_CAUTION = 0.001  # log loss out of fold that a lower ceiling may cost
_CLIP = 1e-6


def fit_mixture(scores: np.ndarray, rows: Rows, n_groups: float) -> dict[str, Any]:
    """Learn how to mix candidates from their out-of-fold scores.

    Each candidate's log-odds are first brought to probability by an intercept and a
    slope. The weights then have the least log loss, pulled towards ``exp(-behind /
    standard error)``, where "behind" is by how much a candidate's own loss exceeds the
    least: towards equal weights of those that cannot be told apart. The fewer groups
    there are, the more of that target goes to the first candidate.

    Nothing is called much surer than the videos can show: log-odds flatten towards a
    ceiling, .4 to 1.5 times ``log(1 + n)`` of the n fake groups, or real ones below 0
    (Laplace's rule of succession). It is the lowest whose mixture costs at most .001 of
    log loss beside the best of them: where videos are like these, that is next to
    nothing, and where they are not, errors are dear.
    The order of the videos stays.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_candidates)
        P(fake) out of fold, the simplest candidate first. Without missing ones.
    rows : Rows
    n_groups : float
        Groups of the class that has fewer.

    Returns
    -------
    mixture : dict
        "weight", "intercept" and "slope" of each candidate, "highest", the ceilings of
        log-odds of reals and fakes, and "log_loss", "behind" and "standard_error" of
        each candidate.

    References
    ----------
    van der Laan, Polley, Hubbard (2007), Super learner, Statistical Applications in
    Genetics and Molecular Biology 6.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> good = expit(2 * (y - 0.5) + draw.normal(size=200))
    >>> rows = Rows(good[:, None], y, None, np.ones(200))
    >>> mixture = fit_mixture(np.column_stack([draw.random(200), good]), rows, 100)
    >>> mixture["weight"].round(1)
    array([0., 1.])
    """
    fake = rows.is_fake == 1
    succession = np.log1p([units(rows, ~fake), units(rows, fake)])
    log_odds = _log_odds(scores)
    lines = np.array([calibration_line(column, rows) for column in log_odds.T])
    tried = [
        _below(ceiling * succession, lines, log_odds, rows, n_groups)
        for ceiling in _CEILINGS
    ]
    least = min(loss for loss, _ in tried)
    return next(mixture for loss, mixture in tried if loss <= least + _CAUTION)


def _below(highest, lines, log_odds, rows, n_groups):
    """Return the log loss of the best mixture below a ceiling, and the mixture."""
    mixture = {"intercept": lines[:, 0], "slope": lines[:, 1], "highest": highest}
    calibrated = _calibrated(mixture, log_odds)
    sign = np.where(rows.is_fake == 1, -1, 1)
    losses = np.logaddexp(0, sign[:, None] * calibrated)
    mean = rows.weight @ losses / rows.weight.sum()
    best = int(np.argmin(mean))
    error = standard_errors(losses - losses[:, [best]], rows)
    behind = mean - mean[best]
    target = np.exp(-behind / np.where(error > 0, error, 1e-12))
    few = _FEW_GROUPS / (_FEW_GROUPS + n_groups)
    target = (1 - few) * target / target.sum() + few * (np.arange(len(mean)) == 0)
    weight = _convex_weights(calibrated, rows, target, RIDGE / (1 - few))
    weight[weight < min(_LEAST, weight.max())] = 0.0
    weight /= weight.sum()
    loss = np.average(
        np.logaddexp(0, sign * (calibrated @ weight)), weights=rows.weight
    )
    return loss, mixture | {
        "weight": weight,
        "log_loss": mean,
        "behind": behind,
        "standard_error": error,
    }


def mixed(mixture: dict[str, Any], scores: np.ndarray) -> np.ndarray:
    """Mix candidates' scores.

    Parameters
    ----------
    mixture : dict
        From `fit_mixture`.
    scores : ndarray of shape (n_rows, n_candidates)
        P(fake); NaN where a candidate has none: the others' weights then make one.

    Returns
    -------
    score : ndarray of shape (n_rows,)
        P(fake), NaN where no candidate with a weight has one.
    """
    calibrated = _calibrated(mixture, _log_odds(scores))
    known = ~np.isnan(calibrated)
    with np.errstate(invalid="ignore"):
        total = np.where(known, calibrated, 0.0) @ mixture["weight"]
        return expit(total / (known @ mixture["weight"]))


def standard_errors(values: np.ndarray, rows: Rows) -> np.ndarray:
    """Return the standard errors of weighted means, groups being independent.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
    rows : Rows

    Returns
    -------
    error : ndarray of shape (n_columns,)

    Examples
    --------
    >>> rows = Rows(np.zeros((4, 1)), np.array([0, 1, 0, 1]), None, np.ones(4))
    >>> standard_errors(np.array([[0.0], [0.0], [2.0], [2.0]]), rows)
    array([0.57735027])
    """
    total = rows.weight.sum()
    away = values - rows.weight @ values / total
    if rows.groups is None:  # a row stands for as many videos as it weighs
        n_groups, squares = total, rows.weight @ away**2
    else:
        by_group = np.zeros((rows.groups.max() + 1, values.shape[1]))
        np.add.at(by_group, rows.groups, rows.weight[:, None] * away)
        n_groups, squares = len(np.unique(rows.groups)), (by_group**2).sum(axis=0)
    if n_groups <= 1:
        return np.full(values.shape[1], np.inf)
    return np.sqrt(squares * n_groups / (n_groups - 1)) / total


def units(rows: Rows, which: np.ndarray) -> float:
    """Count the groups that some rows come from; without groups, their weight.

    Parameters
    ----------
    rows : Rows
    which : bool ndarray of shape (n_rows,)

    Examples
    --------
    >>> rows = Rows(np.zeros((3, 1)), np.array([0, 1, 1]), np.array([0, 1, 1]), None)
    >>> units(rows, rows.is_fake == 1)
    1.0
    """
    if rows.groups is None:
        return float(rows.weight[which].sum())
    return float(len(np.unique(rows.groups[which])))


def _log_odds(scores):
    score = np.clip(scores, _CLIP, 1 - _CLIP)
    return np.log(score) - np.log1p(-score)


def _calibrated(mixture, log_odds):
    straight = mixture["intercept"] + mixture["slope"] * log_odds
    real, fake = mixture["highest"]
    highest = np.where(straight > 0, fake, real)
    return flattened(straight, highest)


def _convex_weights(log_odds, rows, target, ridge):
    """Return convex weights: least mean log loss + ridge |weights - target|^2."""
    sign = np.where(rows.is_fake == 1, -1.0, 1.0)
    share = rows.weight / rows.weight.sum()

    def loss_and_slope(weight):
        straight = sign * (log_odds @ weight)
        loss = (
            share @ np.logaddexp(0, straight) + ridge * ((weight - target) ** 2).sum()
        )
        by_weight = log_odds.T @ (share * sign * expit(straight))
        return loss, by_weight + 2 * ridge * (weight - target)

    n = len(target)
    sums_to_one = {
        "type": "eq",
        "fun": lambda weight: weight.sum() - 1,
        "jac": lambda weight: np.ones(n),
    }
    found = minimize(
        loss_and_slope,
        target,
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * n,
        constraints=sums_to_one,
        options={"maxiter": 500, "ftol": 1e-10},
    )
    weight = np.clip(found.x, 0, None)
    return weight / weight.sum()
