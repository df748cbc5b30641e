"""Training on real videos alone: what can do without fakes, and what is called fake."""

import math
import warnings

import numpy as np
import pandas as pd

from ensemble.combiners import Voting, resolve_combiner
from ensemble.decision import rate_interval
from ensemble.out_of_fold import is_prefit


def check_detectors(named):
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
            "pseudo_fakes='auto') or one that is fitted already, or add fake videos"
        )


def check_combiner(combiner):
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


def learns(combiner):
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
    >>> from ensemble.real_only import learns
    >>> learns("logistic"), learns("soft")
    (True, False)
    """
    made = resolve_combiner(combiner)
    return not isinstance(made, Voting) or isinstance(made.weights, str)


def fit_vote(combiner, table):
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


def reals_threshold(score, rate, groups=None):
    """Return the lowest threshold above which so few real videos score.

    As `ensemble.decision.threshold_at_false_alarm_rate` chooses it, which wants fakes
    and refuses what few reals cannot tell; here the interval tells how little it is.

    Parameters
    ----------
    score : ndarray of shape (n_videos,)
        P(fake) of real videos.
    rate : float
        Share of them that may be called fake, 0..1.
    groups : ndarray of shape (n_videos,) or None, default=None
        Videos that are not independent, for the interval.

    Returns
    -------
    threshold : float
        The score of a real video; with too few of them, the highest, and a warning.
    false_alarms : Interval
        Share of these videos above it, and the 95 % interval of that share, from
        `ensemble.decision.rate_interval`. They chose the threshold, so that of others
        it may be more.

    Examples
    --------
    >>> import numpy as np
    >>> from ensemble.real_only import reals_threshold
    >>> threshold, false_alarms = reals_threshold(np.arange(100) / 100, rate=0.1)
    >>> threshold, false_alarms.estimate, round(false_alarms.high, 2)
    (0.89, 0.1, 0.18)
    """
    values, counts = np.unique(score, return_counts=True)
    above = len(score) - np.cumsum(counts)
    threshold = float(values[np.argmax(above <= rate * len(score) + 1e-9)])
    false_alarms = rate_interval(score > threshold, groups)
    if rate > 0 and len(score) * rate < 1 - 1e-9:
        warnings.warn(
            f"a false-alarm rate of {rate:g} cannot be told on {len(score)} real "
            f"videos, {math.ceil(1 / rate - 1e-9)} or more are needed; the threshold is "
            f"the highest of their scores, {threshold:.3f}, above which up to "
            f"{100 * false_alarms.high:.0f} % of other real videos may lie (95 % "
            "interval). Add real videos, or raise false_alarm_rate",
            stacklevel=4,
        )
    return threshold, false_alarms
