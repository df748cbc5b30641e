"""Training on real videos alone: what can do without fakes, and what is called fake."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ensemble.combiners import Voting, resolve_combiner
from ensemble.out_of_fold.prefit import is_prefit

if TYPE_CHECKING:
    from ensemble.metrics.ranking import Interval

_TOLERANCE = 1e-9  # of shares of videos


def check_detectors(named: list[Any]) -> None:
    """Refuse detectors that cannot learn from real videos alone.

    Parameters
    ----------
    named : list of (str, detector)
        One that is fitted already can, and one whose ``fits_on_reals`` says so: it
        makes its fakes of the reals that it is given, so that they stay in the fold of
        their source.

    Raises
    ------
    ValueError
        Naming those that cannot.
    """
    unable = [
        name
        for name, detector in named
        if not (is_prefit(detector) or getattr(detector, "fits_on_reals", False))
    ]
    if unable:
        raise ValueError(
            "y holds one class only, real videos, from which these detectors cannot "
            f"learn: {', '.join(unable)}. Take FrameDetector(train='full', "
            "pseudo_fakes='auto'), FeaturePathDetector() or one that is fitted "
            "already, or add fake videos"
        )


def check_combiner(combiner: Any) -> None:
    """Refuse a combiner that learns from labels.

    Parameters
    ----------
    combiner : str or combiner

    Raises
    ------
    ValueError
    """
    made = resolve_combiner(combiner)
    if learns(made) or made.kind == "rank" or made.scale in ("standard", "rank"):
        raise ValueError(
            f"combiner={combiner!r} learns from fake videos, and y holds real ones "
            "only; take 'log_odds', 'soft', 'median', 'max', 'min', 'trimmed' or "
            "'hard'"
        )


def check_settings(calibration: Any, prior: float | None, unscorable: Any) -> None:
    """Refuse an ensemble's parameters that make no sense without fakes.

    Parameters
    ----------
    calibration, prior, unscorable
        As for `DeepfakeEnsemble`.

    Raises
    ------
    ValueError
    """
    if calibration is not None:
        raise ValueError(
            f"calibration={calibration!r} needs fake videos, and y holds real "
            "ones only; take calibration=None"
        )
    if prior is not None:
        raise ValueError(
            f"prior={prior!r} needs probabilities that were fitted on fakes "
            "as well, and y holds real videos only; take prior=None"
        )
    if unscorable == "prior":
        raise ValueError(
            "unscorable='prior' is the share of fakes in training, which real "
            "videos alone do not tell; take unscorable='nan'"
        )


def learns(combiner: Any) -> bool:
    """Say whether a combiner learns whom to trust from the score table.

    Parameters
    ----------
    combiner : str or combiner

    Returns
    -------
    bool
        False for votes with weights that are given.

    Examples
    --------
    >>> from ensemble.out_of_fold.reals_only import learns
    >>> learns("logistic"), learns("soft")
    (True, False)
    """
    made = resolve_combiner(combiner)
    return not isinstance(made, Voting) or isinstance(made.weights, str)


def fit_vote(combiner: Voting, table: pd.DataFrame) -> Voting:
    """Fit a vote, which learns nothing: one undecided row stands for the fakes.

    Parameters
    ----------
    combiner : Voting
        That `check_combiner` lets pass.
    table : DataFrame of shape (n_videos, n_detectors)
        Scores of real videos.

    Returns
    -------
    Voting
        The same, fitted.
    """
    undecided = np.where(table.notna().any(axis=0), 0.5, np.nan)
    rows = np.vstack([table.to_numpy(), undecided])
    is_fake = np.append(np.zeros(len(table), int), 1)
    return combiner.fit(pd.DataFrame(rows, columns=table.columns), is_fake)


def reals_threshold(score: np.ndarray, rate: float) -> float:
    """Return the lowest threshold above which so few real videos score.

    As `ensemble.decision.threshold_at_false_alarm_rate` chooses it, which wants fakes
    as well, and refuses rates that so few reals cannot tell.

    Parameters
    ----------
    score : ndarray of shape (n_videos,)
        P(fake) of real videos.
    rate : float
        Share of them that may be called fake, 0..1.

    Returns
    -------
    float
        The score of a real video; with few of them the highest.

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.out_of_fold.reals_only import reals_threshold
    >>> reals_threshold(np.arange(100) / 100, rate=0.1)
    0.89
    """
    values, counts = np.unique(score, return_counts=True)
    above = len(score) - np.cumsum(counts)
    return float(values[np.argmax(above <= rate * len(score) + _TOLERANCE)])


def warn_of_few_reals(
    n_videos: int, rate: float, threshold: float, false_alarms: Interval
) -> None:
    """Say when a false-alarm rate is too low for so few videos, and what it may be.

    Parameters
    ----------
    n_videos : int
        Real videos with a score.
    rate : float
        Share of them that may be called fake.
    threshold : float
        The highest of their scores.
    false_alarms : Interval
        From `ensemble.decision.rate_interval`.
    """
    if rate > 0 and n_videos * rate < 1 - _TOLERANCE:
        warnings.warn(
            f"a false-alarm rate of {rate:g} cannot be told on {n_videos} real videos, "
            f"{math.ceil(1 / rate - _TOLERANCE)} or more are needed; the threshold is "
            f"the highest of their scores, {threshold:.3f}, and of other real videos "
            f"up to {100 * false_alarms.high:.0f} % may be called fake (95 % "
            "interval). Add real videos, or raise false_alarm_rate",
            stacklevel=4,
        )
