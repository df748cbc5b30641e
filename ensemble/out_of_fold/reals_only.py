"""Training on real videos alone: what can do without fakes, and what is called fake."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.calibration.cross_fitting import cross_fitted_scores
from ensemble.combiners import SpreadLogOdds, Voting, resolve_combiner
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
    of_both = isinstance(made, Voting) and (
        made.kind == "rank" or made.scale in ("standard", "rank")
    )
    if learns(made) or of_both:
        raise ValueError(
            f"combiner={combiner!r} learns from fake videos, and y holds real ones "
            "only; take 'spread_log_odds', 'log_odds', 'soft', 'median', 'max', "
            "'min', 'trimmed' or 'hard'"
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
    fixed = isinstance(made, (SpreadLogOdds, Voting))
    return not fixed or isinstance(made.weights, str)


def fit_vote(
    combiner: Voting | SpreadLogOdds, table: pd.DataFrame
) -> Voting | SpreadLogOdds:
    """Fit a vote, which learns nothing: one undecided row stands for the fakes.

    Parameters
    ----------
    combiner : Voting or SpreadLogOdds
        That `check_combiner` lets pass.
    table : DataFrame of shape (n_videos, n_detectors)
        Scores of real videos.

    Returns
    -------
    Voting or SpreadLogOdds
        The same, fitted.
    """
    undecided = np.where(table.notna().any(axis=0), 0.5, np.nan)
    rows = np.vstack([table.to_numpy(), undecided])
    is_fake = np.append(np.zeros(len(table), int), 1)
    return combiner.fit(pd.DataFrame(rows, columns=table.columns), is_fake)


def fit_spread(
    combiner: SpreadLogOdds,
    table: pd.DataFrame,
    made: np.ndarray | None,
    groups: np.ndarray | None,
) -> tuple[SpreadLogOdds, np.ndarray]:
    """Fit log-odds in spreads of the reals; learn weights where fakes were made.

    Parameters
    ----------
    combiner : SpreadLogOdds
        Where it has no weights, and `made` is there, they are learned.
    table : DataFrame of shape (n_videos, n_detectors)
        Out-of-fold scores of real videos.
    made : ndarray of shape (n_videos, n_detectors) or None
        Scores of a pseudo-fake of each: see
        `ensemble.out_of_fold.unseen_kinds.unseen_kind_scores`.
    groups : ndarray of shape (n_videos,) or None

    Returns
    -------
    combiner : SpreadLogOdds
        The same, fitted; learned weights are its parameter now.
    score : ndarray of shape (n_videos,)
        Of the real videos, by combiners that had not seen the group.
    """
    n_groups = len(table) if groups is None else len(np.unique(groups))
    there = None if made is None else ~np.isnan(made).all(axis=1)
    if combiner.weights is not None or made is None or there.sum() < 2 or n_groups < 3:
        combiner = fit_vote(combiner, table)
        return combiner, combiner.fake_score(table)
    rows = pd.DataFrame(np.vstack([table, made[there]]), columns=table.columns)
    is_fake = np.repeat([0, 1], [len(table), there.sum()])
    codes = np.arange(len(table)) if groups is None else np.asarray(groups)
    codes = np.append(codes, codes[there])
    learner = SpreadLogOdds(
        "learned", combiner.shrinkage, combiner.scale, combiner.clip
    )
    score = cross_fitted_scores(learner, rows, is_fake, groups=codes)[: len(table)]
    learned = learner.fit(rows, is_fake, groups=codes).weights_
    combiner.set_params(weights=learned)
    return fit_vote(combiner, table), score


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
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )
