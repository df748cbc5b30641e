"""Decision: from a score to a verdict, with the error rate that goes with it.

Two ways to say fake: above one threshold (`Decision`), or above one and real below
another, unsure in between, with error rates that are certified (`ThreeWayDecision`).
Fit either on scores of videos that the scoring model has not seen, such as
`cross_fitted_scores`, and of people or sources that stay together by `groups`.

Throughout, fake is said above a threshold and not at it; scores that differ from it by
rounding alone (`ensemble.metrics.ties`) are at it. A false alarm is a real video
called fake; a miss is a fake called real.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ensemble.choices import FAKE, NO_VERDICT, REAL, UNSURE
from ensemble.decision.error_rates import rate_interval
from ensemble.decision.prior import check_share
from ensemble.decision.thresholds import (
    certified_threshold,
    percent,
    scored_videos,
    threshold_at_false_alarm_rate,
    threshold_by_balanced_accuracy,
    threshold_by_cost,
)
from ensemble.metrics.ties import above, below

_RULES = ("balanced_accuracy", "cost", "false_alarm_rate")


class Decision(BaseEstimator):
    """Call a video fake above a threshold, else real.

    Parameters
    ----------
    rule : str, default="balanced_accuracy"
        How the threshold is chosen: "balanced_accuracy", "cost" or "false_alarm_rate",
        see `threshold_by_balanced_accuracy`, `threshold_by_cost` and
        `threshold_at_false_alarm_rate`.
    cost_false_alarm, cost_miss : float, default=1.0
        For "cost".
    prior : float or None, default=None
        For "cost": share of fakes where the decision will be used; None takes that of
        the training videos.
    rate : float, default=0.01
        For "false_alarm_rate".
    confidence : float or None, default=None
        For "false_alarm_rate": see `threshold_at_false_alarm_rate`.
    level : float, default=0.95
        Of the intervals.
    random_state : int, RandomState or None, default=0
        Seed of the draws of groups behind the intervals.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1.

    Attributes
    ----------
    threshold_ : float
        A video is called fake above it.
    false_alarm_rate_, miss_rate_ : Interval
        Share of the real and of the fake training videos that are judged wrongly, from
        `rate_interval`. The threshold was chosen on the same videos, so these are
        slightly optimistic; measure on others with `verdict_rates`.

    Examples
    --------
    >>> score = [0.1, 0.2, 0.3, 0.6, 0.5, 0.7, 0.8, 0.9]
    >>> y = ["REAL", "REAL", "REAL", "REAL", "FAKE", "FAKE", "FAKE", "FAKE"]
    >>> decision = Decision("cost", cost_false_alarm=10).fit(score, y)
    >>> round(decision.threshold_, 2)
    0.65
    >>> decision.predict([0.6, 0.7])
    array(['REAL', 'FAKE'], dtype=object)
    >>> decision.miss_rate_.estimate, round(decision.miss_rate_.high, 2)
    (0.25, 0.81)
    """

    def __init__(
        self,
        rule: str = "balanced_accuracy",
        cost_false_alarm: float = 1.0,
        cost_miss: float = 1.0,
        prior: float | None = None,
        rate: float = 0.01,
        confidence: float | None = None,
        level: float = 0.95,
        random_state: int | np.random.RandomState | None = 0,
        fake_label: object = None,
    ) -> None:
        self.rule = rule
        self.cost_false_alarm = cost_false_alarm
        self.cost_miss = cost_miss
        self.prior = prior
        self.rate = rate
        self.confidence = confidence
        self.level = level
        self.random_state = random_state
        self.fake_label = fake_label

    def fit(
        self, score: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None
    ) -> "Decision":
        """Choose the threshold.

        Parameters
        ----------
        score : array-like of shape (n_videos,)
            P(fake), or any score that rises with it; NaN where there is none.
        y : array-like of shape (n_videos,)
            Labels.
        groups : array-like of shape (n_videos,) or None, default=None
            Videos that are not independent, for the intervals.

        Returns
        -------
        self : Decision
        """
        is_fake, values, codes = scored_videos(y, score, groups, self.fake_label)
        if self.rule == "balanced_accuracy":
            self.threshold_ = threshold_by_balanced_accuracy(is_fake, values)
        elif self.rule == "cost":
            self.threshold_ = threshold_by_cost(
                is_fake, values, self.cost_false_alarm, self.cost_miss, self.prior
            )
        elif self.rule == "false_alarm_rate":
            self.threshold_ = threshold_at_false_alarm_rate(
                is_fake,
                values,
                self.rate,
                self.confidence,
                None if groups is None else codes,
            )
        else:
            raise ValueError(
                f"rule must be one of {', '.join(_RULES)}; got {self.rule!r}"
            )
        wrong = above(values, self.threshold_) != is_fake
        self.false_alarm_rate_, self.miss_rate_ = (
            rate_interval(
                wrong[is_fake == label],
                None if groups is None else codes[is_fake == label],
                self.level,
                random_state=self.random_state,
            )
            for label in (0, 1)
        )
        return self

    def predict(self, score: ArrayLike) -> np.ndarray:
        """Return a verdict on each score.

        Parameters
        ----------
        score : array-like of shape (n_videos,)

        Returns
        -------
        verdict : ndarray of str of shape (n_videos,)
            "FAKE" or "REAL"; "" where there is no score.
        """
        check_is_fitted(self)
        score = np.asarray(score, dtype=float)
        verdict = np.where(above(score, self.threshold_), FAKE, REAL).astype(object)
        verdict[np.isnan(score)] = NO_VERDICT
        return verdict


class ThreeWayDecision(BaseEstimator):
    """Say fake, real or unsure, with certified error rates.

    A video is called fake above `high_`, real below `low_`, and both are set so that no
    more videos than need be are left unsure.

    What is certified. Let the groups of `fit`, such as people, and those of later use
    be drawn alike. The false-alarm rate is the share of a group's real videos that are
    called fake, averaged over all groups that there are; the miss rate likewise. Then

    - with a `confidence`: with at least this probability over the draw of the groups of
      `fit`, both rates are at most those asked for. This is Learn then Test: each rate
      only falls as its threshold moves outwards, so thresholds are tested from the
      outermost inwards, each at (1 - `confidence`) / 2, by the exact binomial test
      where every group has one video of the class, else by the Hoeffding-Bentkus bound.
    - with ``confidence=None``: averaged over draws of the groups of `fit`, either rate
      is at most that asked for. This is conformal risk control; it takes far fewer
      groups.

    Each group counts once, however many videos it has. Whatever the share of fakes,
    errors are then no more frequent than the larger of the two rates. This holds for
    any scores fixed beforehand, good or bad; bad ones make more videos unsure. It does
    not hold for later videos of another kind: other forgeries change the misses, other
    cameras the false alarms. Nor does it speak of the share of errors among the videos
    called fake, which depends on how rare fakes are.

    Parameters
    ----------
    false_alarm_rate, miss_rate : float, default=0.05
        The rates asked for.
    confidence : float or None, default=0.95
        Probability with which they hold; None for rates that hold on average.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1.

    Attributes
    ----------
    low_, high_ : float
        Real is said below `low_`, fake above `high_`. Both are the same where no video
        need be unsure.
    n_groups_ : dict
        Number of groups with scored videos of "real" and "fake".
    guarantee_ : str
        What is certified, as a sentence.

    References
    ----------
    Angelopoulos, Bates, Candès, Jordan, Lei (2021), Learn then test; Bates et al.
    (2021), Distribution-free, risk-controlling prediction sets; Angelopoulos, Bates,
    Fisch, Lei, Schuster (2024), Conformal risk control. MAPIE offers the same methods
    for independent samples.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> y = np.arange(400) % 2
    >>> score = 1 / (1 + np.exp(-draw.normal(4 * y - 2, 2)))
    >>> decision = ThreeWayDecision(confidence=0.9).fit(score, y)
    >>> decision.predict([0.01, 0.5, 0.99])
    array(['REAL', 'UNSURE', 'FAKE'], dtype=object)
    >>> print(decision.guarantee_)
    With a confidence of 90 %, at most 5 % of real videos are called fake and at most
    5 % of fakes real, as 200 real and 200 fake videos certify.
    """

    def __init__(
        self,
        false_alarm_rate: float = 0.05,
        miss_rate: float = 0.05,
        confidence: float | None = 0.95,
        fake_label: object = None,
    ) -> None:
        self.false_alarm_rate = false_alarm_rate
        self.miss_rate = miss_rate
        self.confidence = confidence
        self.fake_label = fake_label

    def fit(
        self, score: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None
    ) -> "ThreeWayDecision":
        """Choose the two thresholds.

        Parameters
        ----------
        score : array-like of shape (n_videos,)
            P(fake), or any score that rises with it; videos without one (NaN) are left
            out.
        y : array-like of shape (n_videos,)
            Labels.
        groups : array-like of shape (n_videos,) or None, default=None
            Videos that are not independent; groups must be. None takes each video for
            independent.

        Returns
        -------
        self : ThreeWayDecision
        """
        is_fake, score, codes = scored_videos(y, score, groups, self.fake_label)
        doubt, how = None, "On average"
        if self.confidence is not None:
            check_share("confidence", self.confidence)
            doubt = (1 - self.confidence) / 2
            how = f"With a confidence of {percent(self.confidence)}"
        what = "groups" if groups is not None else "videos"
        high = certified_threshold(
            score[is_fake == 0],
            codes[is_fake == 0],
            self.false_alarm_rate,
            doubt,
            "false_alarm_rate",
            f"real {what}",
        )
        low = -certified_threshold(
            -score[is_fake == 1],
            codes[is_fake == 1],
            self.miss_rate,
            doubt,
            "miss_rate",
            f"fake {what}",
        )
        if high < low:  # any threshold between them keeps both rates
            high = low = (high + low) / 2
        self.low_, self.high_ = float(low), float(high)
        n_real, n_fake = (len(np.unique(codes[is_fake == k])) for k in (0, 1))
        self.n_groups_ = {"real": n_real, "fake": n_fake}
        self.guarantee_ = (
            f"{how}, at most {percent(self.false_alarm_rate)} of real videos are "
            f"called fake and at most {percent(self.miss_rate)} of fakes real, as "
            f"{n_real} real and {n_fake} fake {what} certify."
        )
        return self

    def predict(self, score: ArrayLike) -> np.ndarray:
        """Return a verdict on each score.

        Parameters
        ----------
        score : array-like of shape (n_videos,)

        Returns
        -------
        verdict : ndarray of str of shape (n_videos,)
            "FAKE", "REAL" or "UNSURE"; "UNSURE" where there is no score.
        """
        check_is_fitted(self)
        score = np.asarray(score, dtype=float)
        called = [above(score, self.high_), below(score, self.low_)]
        return np.select(called, [FAKE, REAL], UNSURE).astype(object)
