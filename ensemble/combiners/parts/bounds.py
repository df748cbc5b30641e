"""Where a combiner's score can still end while some detectors have not been asked."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

_MOST_UNKNOWN = 12  # detectors: of so many each may fail or not, 4096 ways
_MOST_LINEAR = 7  # of a linear combiner each may also be low or high, 2187 ways
_SLACK = 1e-10  # sums in another order differ by less


class Bounded:
    """What a combiner has whose score rises in each score, or is linear in them.

    For any choice of the detectors that fail, such a score is least and greatest where
    the others are at an end of 0 to 1. So all these cases are scored, by the combiner's
    own arithmetic.
    """

    def score_bounds(
        self, X: ArrayLike | pd.DataFrame, asked: ArrayLike
    ) -> tuple[NDArray, NDArray] | None:
        """Return the least and the greatest P(fake) that rows can still get.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            P(fake) of the detectors that were asked, NaN where they gave none; what
            stands in the columns of the others does not count.
        asked : bool array-like of shape (n_detectors,)

        Returns
        -------
        low, high : ndarray of shape (n_videos,), or None
            Over all scores from 0 to 1 of the others and any of them missing; NaN where
            a row could end without a score. None where no bounds are known: of a
            combiner that is neither rising nor linear, or with more than 12 detectors
            to be asked (7 if weights may be negative).

        Examples
        --------
        >>> import numpy as np
        >>> from ensemble.combiners import Voting
        >>> combiner = Voting("soft").fit([[0.9, 0.5], [0.1, 0.3]], [1, 0])
        >>> low, high = combiner.score_bounds([[0.9, np.nan]], [True, False])
        >>> low.round(2), high.round(2)
        (array([0.45]), array([0.95]))
        """
        asked = np.asarray(asked, bool)
        values = np.asarray(X, float)
        ends = self._ends()
        n_unknown = int((~asked).sum())
        most = _MOST_LINEAR if ends == "linear" else _MOST_UNKNOWN
        if ends is None or n_unknown > most:
            return None
        choices = (0.0, 1.0, np.nan) if ends == "linear" else (0.0, np.nan)
        low = high = self._cases(values, asked, choices)
        if ends == "rising":
            high = self._cases(values, asked, (1.0, np.nan))
        low, high = low.min(axis=0), high.max(axis=0)
        return np.clip(low - _SLACK, 0, 1), np.clip(high + _SLACK, 0, 1)

    def _cases(self, values, asked, choices):
        """Score rows with each choice of values of those not asked."""
        unknown = np.flatnonzero(~asked)
        cases = np.array(list(product(choices, repeat=len(unknown))), float)
        rows = np.repeat(values[None], len(cases), axis=0)  # (cases, videos, columns)
        rows[:, :, unknown] = cases[:, None]
        table = rows.reshape(-1, values.shape[1])
        return self._score_inside(table).reshape(len(cases), len(values))

    def _ends(self) -> str | None:
        """Return "rising", "linear" or None: as what the score is known."""
        meta_model = getattr(self, "meta_model", None)
        if meta_model is None:  # a vote
            return "rising"
        if self.layers or self.missing_indicator or self.passthrough is not None:
            return None
        if isinstance(meta_model, LogisticRegression):
            return "linear"
        if not isinstance(meta_model, str):
            return None
        if meta_model in ("logistic", "lightgbm") and self.monotone:
            return "rising"
        return "linear" if meta_model == "logistic" else None
