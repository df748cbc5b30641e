"""Two numbers that bring log-odds to probability (Platt's way), and their ceiling."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ensemble.combiners.parts.rows import Rows


def calibration_line(log_odds: np.ndarray, rows: Rows) -> np.ndarray:
    """Return intercept and slope of least log loss; one video more wants slope 1.

    Parameters
    ----------
    log_odds : ndarray of shape (n_rows,)
        Out of fold.
    rows : Rows
        Whose labels and weights count.

    Returns
    -------
    line : ndarray of shape (2,)
        Intercept, and slope, 0 or more.

    Examples
    --------
    >>> rows = Rows(np.zeros((4, 1)), np.array([0, 1, 0, 1]), None, np.full(4, 99.0))
    >>> too_sure = np.array([-4.0, -4.0, 4.0, 4.0])
    >>> bool(calibration_line(too_sure, rows)[1] < 0.1)
    True
    """
    sign = np.where(rows.is_fake == 1, -1.0, 1.0)

    def loss_and_slope(line):
        straight = line[0] + line[1] * log_odds
        loss = rows.weight @ np.logaddexp(0, sign * straight)
        pull = rows.weight * sign * expit(sign * straight)
        by_line = np.array([pull.sum(), pull @ log_odds + line[1] - 1])
        return loss + (line[1] - 1) ** 2 / 2, by_line

    bounds = [(None, None), (0.0, None)]
    found = minimize(
        loss_and_slope, [0.0, 1.0], jac=True, method="L-BFGS-B", bounds=bounds
    )
    return found.x


def flattened(log_odds: np.ndarray, highest: np.ndarray | float) -> np.ndarray:
    """Bend log-odds so that they stay below a ceiling, in their order.

    Examples
    --------
    >>> flattened(np.array([-0.1, 3.0, 300.0]), 4.0).round(2)
    array([-0.1,  2.4,  4. ])
    """
    return log_odds / np.hypot(1, log_odds / highest)
