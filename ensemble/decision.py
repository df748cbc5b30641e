"""Decision: from a score to a verdict, with the error rate that goes with it.

Two ways to say fake: above one threshold (`Decision`), or above one and real below
another, unsure in between, with error rates that are certified (`ThreeWayDecision`).
Fit either on scores of videos that the scoring model has not seen, such as
`cross_fitted_scores`, and of people or sources that stay together by `groups`.

Throughout, fake is said above a threshold and not at it; scores that differ from it by
rounding alone (`ensemble.ties`) are at it. A false alarm is a real video
called fake; a miss is a fake called real.
"""

import math

import numpy as np
import pandas as pd
from scipy.stats import beta, binom
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ensemble.labels import encode_labels
from ensemble.metrics import Interval, group_bootstrap_interval
from ensemble.resampling import group_codes
from ensemble.ties import above, below

_RULES = ("balanced_accuracy", "cost", "false_alarm_rate")
_VERDICTS = ("FAKE", "REAL", "UNSURE", "")
_TOLERANCE = 1e-9  # of sums of shares


class Decision(BaseEstimator):
    """Say fake above a threshold, real up to it.

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
        Fake is said above it.
    false_alarm_rate_, miss_rate_ : Interval
        Share of the real and of the fake training videos that are judged wrongly, from
        `rate_interval`. The threshold was chosen on the same videos, so these are
        somewhat hopeful; measure on others with `verdict_rates`.

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
        rule="balanced_accuracy",
        cost_false_alarm=1.0,
        cost_miss=1.0,
        prior=None,
        rate=0.01,
        confidence=None,
        level=0.95,
        random_state=0,
        fake_label=None,
    ):
        self.rule = rule
        self.cost_false_alarm = cost_false_alarm
        self.cost_miss = cost_miss
        self.prior = prior
        self.rate = rate
        self.confidence = confidence
        self.level = level
        self.random_state = random_state
        self.fake_label = fake_label

    def fit(self, score, y, groups=None):
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
        is_fake, values, codes = _scored(y, score, groups, self.fake_label)
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

    def predict(self, score):
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
        verdict = np.where(above(score, self.threshold_), "FAKE", "REAL").astype(object)
        verdict[np.isnan(score)] = ""
        return verdict


class ThreeWayDecision(BaseEstimator):
    """Say fake, real or unsure, with certified rates of false alarms and of misses.

    Fake is said above `high_`, real below `low_`, and both are set so that no more
    videos than need be are left unsure.

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
        self, false_alarm_rate=0.05, miss_rate=0.05, confidence=0.95, fake_label=None
    ):
        self.false_alarm_rate = false_alarm_rate
        self.miss_rate = miss_rate
        self.confidence = confidence
        self.fake_label = fake_label

    def fit(self, score, y, groups=None):
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
        is_fake, score, codes = _scored(y, score, groups, self.fake_label)
        doubt = None
        if self.confidence is not None:
            _check_share("confidence", self.confidence)
            doubt = (1 - self.confidence) / 2
        what = "groups" if groups is not None else "videos"
        high = _certified_threshold(
            score[is_fake == 0],
            codes[is_fake == 0],
            self.false_alarm_rate,
            doubt,
            "false_alarm_rate",
            f"real {what}",
        )
        low = -_certified_threshold(
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
        how = "On average"
        if doubt is not None:
            how = f"With a confidence of {_percent(self.confidence)}"
        self.guarantee_ = (
            f"{how}, at most {_percent(self.false_alarm_rate)} of real videos are "
            f"called fake and at most {_percent(self.miss_rate)} of fakes real, as "
            f"{n_real} real and {n_fake} fake {what} certify."
        )
        return self

    def predict(self, score):
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
        return np.select(called, ["FAKE", "REAL"], "UNSURE").astype(object)


def threshold_by_cost(
    y, score, cost_false_alarm=1.0, cost_miss=1.0, prior=None, fake_label=None
):
    """Return the threshold with the least cost on these videos.

    Where scores are calibrated no data are needed: the threshold is
    ``cost_false_alarm / (cost_false_alarm + cost_miss)`` on probabilities for the right
    prior, see `adjust_prior`.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake), or any score that rises with it; NaN where there is none.
    cost_false_alarm, cost_miss : float, default=1.0
        What a real video called fake costs, and a fake called real.
    prior : float or None, default=None
        Share of fakes where the threshold will be used; None takes that of `y`.
    fake_label : label or None, default=None

    Returns
    -------
    threshold : float
        Halfway between two scores; of equally cheap ones, the middle one.

    Examples
    --------
    >>> y, score = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.7, 0.8]
    >>> round(threshold_by_cost(y, score, cost_false_alarm=5), 2)
    0.65
    >>> round(threshold_by_cost(y, score, cost_miss=5), 2)
    0.35
    """
    is_fake, score, _ = _scored(y, score, None, fake_label)
    costs = {"cost_false_alarm": cost_false_alarm, "cost_miss": cost_miss}
    for name, cost in costs.items():
        if not 0 <= cost < math.inf:
            raise ValueError(f"{name} must be 0 or more and finite; got {cost!r}")
    if not any(costs.values()):
        raise ValueError("one of the costs must be above 0; both are 0")
    prior = is_fake.mean() if prior is None else prior
    _check_share("prior", prior)
    values, place = np.unique(score, return_inverse=True)
    reals, fakes = (np.bincount(place, is_fake == label) for label in (0, 1))
    alarms = 1 - np.append(0, reals.cumsum()) / reals.sum()
    misses = np.append(0, fakes.cumsum()) / fakes.sum()
    cost = (1 - prior) * cost_false_alarm * alarms + prior * cost_miss * misses
    cheapest = np.flatnonzero(cost <= cost.min() + _TOLERANCE * max(costs.values()))
    return float(_cuts(values)[cheapest[(len(cheapest) - 1) // 2]])


def threshold_by_balanced_accuracy(y, score, fake_label=None):
    """Return the threshold with the highest balanced accuracy; as `threshold_by_cost`.

    Examples
    --------
    >>> y, score = [0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.6, 0.5, 0.7, 0.8]
    >>> round(threshold_by_balanced_accuracy(y, score), 2)
    0.35
    """
    return threshold_by_cost(y, score, prior=0.5, fake_label=fake_label)


def threshold_at_false_alarm_rate(
    y, score, rate=0.01, confidence=None, groups=None, fake_label=None
):
    """Return the lowest threshold with few false alarms.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    score : array-like of shape (n_videos,)
        P(fake), or any score that rises with it; NaN where there is none.
    rate : float, default=0.01
        Share of real videos that may be called fake.
    confidence : float or None, default=None
        None: at most `rate` of these real videos are above the threshold; of others it
        may be more. A number: with this probability, at most `rate` of all real videos,
        in the sense of `ThreeWayDecision`.
    groups : array-like of shape (n_videos,) or None, default=None
        With a `confidence`: videos that are not independent.
    fake_label : label or None, default=None

    Returns
    -------
    threshold : float
        The score of a real video.

    Examples
    --------
    >>> score = np.append(np.arange(100) / 100, 0.99)
    >>> y = np.append(np.zeros(100), 1)  # 100 reals, 1 fake
    >>> threshold_at_false_alarm_rate(y, score, rate=0.1)
    0.89
    >>> threshold_at_false_alarm_rate(y, score, rate=0.1, confidence=0.95)
    0.95
    """
    is_fake, score, codes = _scored(y, score, groups, fake_label)
    reals, codes = score[is_fake == 0], codes[is_fake == 0]
    if confidence is not None:
        _check_share("confidence", confidence)
        what = "real videos" if groups is None else "real groups"
        return _certified_threshold(reals, codes, rate, 1 - confidence, "rate", what)
    _check_share("rate", rate)
    if len(reals) * rate < 1 - _TOLERANCE:
        raise ValueError(
            f"a false-alarm rate of {rate!r} cannot be told on {len(reals)} real "
            f"videos, {math.ceil(1 / rate - _TOLERANCE)} or more are needed; add real "
            f"videos or ask for a rate of {1 / len(reals):.2g} or more"
        )
    share = np.full(len(reals), 1 / len(reals))
    return _lowest_threshold(reals, share, lambda above: above <= rate + _TOLERANCE)


def rate_interval(happened, groups=None, level=0.95, n_boot=1000, random_state=0):
    """Return how often something happened, with its interval.

    Parameters
    ----------
    happened : array-like of bool (or 0 and 1) of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None, default=None
        None takes videos for independent: the interval is Clopper and Pearson's.
        Otherwise it is that of a bootstrap of the groups; where it happened never or
        always, which leaves a bootstrap nothing to draw, it is Clopper and Pearson's
        with groups for videos.
    level : float, default=0.95
    n_boot : int, default=1000
        Number of draws of the groups.
    random_state : int, RandomState or None, default=0
        Seed of these draws.

    Returns
    -------
    interval : Interval
        ``(estimate, low, high)``; NaN, 0 and 1 where there are no videos.

    Examples
    --------
    >>> interval = rate_interval([False] * 59 + [True])
    >>> round(interval.estimate, 3), round(interval.low, 3), round(interval.high, 3)
    (0.017, 0.0, 0.089)
    """
    happened = _checked_happened(happened)
    codes = group_codes(groups, len(happened)) if len(happened) else np.arange(0)
    _check_share("level", level)
    if not len(happened):
        return Interval(np.nan, 0.0, 1.0)
    rate, n = happened.mean(), len(np.unique(codes))
    if groups is not None and 0 < rate < 1:
        if n == 1:
            return Interval(float(rate), 0.0, 1.0)
        return group_bootstrap_interval(
            lambda _, drawn: drawn.mean(),
            np.zeros(len(happened)),
            happened,
            codes,
            n_boot,
            level,
            random_state,
        )
    times, tail = rate * n, (1 - level) / 2
    low = 0.0 if rate == 0 else beta.ppf(tail, times, n - times + 1)
    high = 1.0 if rate == 1 else beta.ppf(1 - tail, times + 1, n - times)
    return Interval(float(rate), float(low), float(high))


def _checked_happened(happened):
    given = np.asarray(happened)
    if given.ndim != 1:
        raise ValueError(
            f"happened must have one entry per video, shape (n_videos,); got "
            f"{given.shape}"
        )
    # what is neither, such as NaN or a word, would count as having happened
    wrong = [row for row, entry in enumerate(given.tolist()) if entry not in (0, 1)]
    if wrong:
        raise ValueError(
            f"what happened is True or False; got {given.tolist()[wrong[0]]!r} at row "
            f"{wrong[0]}: leave out videos of which it is not known"
        )
    return given.astype(bool)


def verdict_rates(y, verdict, groups=None, level=0.95, random_state=0, fake_label=None):
    """Say how often verdicts are wrong or unsure, with intervals.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    verdict : array-like of str of shape (n_videos,)
        "FAKE", "REAL", "UNSURE", or "" or missing (None, NaN) where there is no
        verdict, as of a video without a score. Anything else is refused: labels, scores
        and words that differ by a letter are no verdicts.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that are not independent.
    level : float, default=0.95
        Of the intervals, which come from `rate_interval`.
    random_state : int, RandomState or None, default=0
    fake_label : label or None, default=None

    Returns
    -------
    rates : DataFrame
        Columns rate, low, high and n_videos, those that the rate is of. Rows: "false
        alarm" (reals called fake, of all reals), "miss" (fakes called real, of all
        fakes), "wrong" (either, of the videos called fake or real), "unsure", "no
        verdict" (of all videos).

    Examples
    --------
    >>> verdict = ["REAL", "UNSURE", "FAKE", "FAKE", "FAKE", "UNSURE"]
    >>> verdict_rates([0, 0, 0, 1, 1, 1], verdict).round(2)
                 rate   low  high  n_videos
    false alarm  0.33  0.01  0.91         3
    miss         0.00  0.00  0.71         3
    wrong        0.25  0.01  0.81         4
    unsure       0.33  0.04  0.78         6
    no verdict   0.00  0.00  0.46         6
    """
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    verdict = np.asarray(verdict, dtype=object)
    if verdict.shape != is_fake.shape:
        raise ValueError(
            f"verdict must have one entry per label, shape {is_fake.shape}; got "
            f"{verdict.shape}"
        )
    verdict = _checked_verdicts(verdict)
    codes = group_codes(groups, len(is_fake))
    false_alarm = (verdict == "FAKE") & (is_fake == 0)
    miss = (verdict == "REAL") & (is_fake == 1)
    sure = (verdict == "FAKE") | (verdict == "REAL")
    everywhere = np.ones(len(is_fake), bool)
    rows = {
        "false alarm": (false_alarm, is_fake == 0),
        "miss": (miss, is_fake == 1),
        "wrong": (false_alarm | miss, sure),
        "unsure": (verdict == "UNSURE", everywhere),
        "no verdict": (verdict == "", everywhere),
    }
    table = {}
    for name, (happened, among) in rows.items():
        grouped = None if groups is None else codes[among]
        interval = rate_interval(
            happened[among], grouped, level, random_state=random_state
        )
        table[name] = {
            "rate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "n_videos": int(among.sum()),
        }
    return pd.DataFrame.from_dict(table, orient="index").astype({"n_videos": int})


def _checked_verdicts(verdict):
    """Return verdicts as they are spelled, "" where there is none."""
    checked = np.empty(len(verdict), object)
    for row, entry in enumerate(verdict):
        if isinstance(entry, str) and entry in _VERDICTS:
            checked[row] = str(entry)
        elif entry is None or entry is pd.NA or entry is pd.NaT or entry != entry:
            checked[row] = ""
        else:
            hint = "labels and scores are no verdicts, `judge` or a decision makes them"
            if isinstance(entry, str) and entry.strip().upper() in _VERDICTS:
                hint = f"did you mean {entry.strip().upper()!r}?"
            raise ValueError(
                f"a verdict is 'FAKE', 'REAL', 'UNSURE' or '' (none); got {entry!r} at "
                f"row {row}: {hint}"
            )
    return checked


def adjust_prior(score, fitted_prior, prior):
    """Bring P(fake) from one share of fakes to another.

    A model fitted where half the videos are fake is far too sure of fakes where one in
    a thousand is. Right if only the share differs, and not how fakes or reals look.

    Parameters
    ----------
    score : array-like
        Calibrated P(fake); NaN stays.
    fitted_prior : float
        Share of fakes among the videos that the calibration was fitted on.
    prior : float
        Share of fakes where it will be used.

    Returns
    -------
    adjusted : ndarray
        P(fake) of the same shape.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning; Saerens, Latinne,
    Decaestecker (2002), Adjusting the outputs of a classifier to new a priori
    probabilities, Neural Computation 14.

    Examples
    --------
    >>> adjust_prior([0.5, 0.99], fitted_prior=0.5, prior=0.01).round(2)
    array([0.01, 0.5 ])
    """
    for name, share in (("fitted_prior", fitted_prior), ("prior", prior)):
        _check_share(name, share)
    score = np.asarray(score, dtype=float)
    outside = score[(score < 0) | (score > 1)]
    if outside.size:
        raise ValueError(f"P(fake) must be between 0 and 1; got {outside[0]}")
    fake = score * (prior / fitted_prior)
    real = (1 - score) * ((1 - prior) / (1 - fitted_prior))
    return fake / (fake + real)


def _scored(y, score, groups, fake_label):
    """Return is_fake, score and group codes of the videos with a score."""
    _, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    score = np.asarray(score, dtype=float)
    if score.shape != is_fake.shape:
        raise ValueError(
            f"score must have one entry per label, shape {is_fake.shape}; got "
            f"{score.shape}"
        )
    codes = group_codes(groups, len(is_fake))
    here = ~np.isnan(score)
    is_fake, score, codes = is_fake[here], score[here], codes[here]
    if not 0 < is_fake.sum() < len(is_fake):
        raise ValueError(
            "a decision needs scores of both classes; got "
            f"{(is_fake == 0).sum()} real and {(is_fake == 1).sum()} fake"
        )
    return is_fake, score, codes


def _check_share(name, share):
    if not 0 < share < 1:
        raise ValueError(f"{name} must be between 0 and 1; got {share!r}")


def _cuts(values):
    """Return a threshold below all values, one between any two, and the last value."""
    between = (values[:-1] + values[1:]) / 2
    between = np.where(between < values[1:], between, values[:-1])  # no float between
    return np.concatenate([[np.nextafter(values[0], -np.inf)], between, [values[-1]]])


def _certified_threshold(score, codes, rate, doubt, name, what):
    """Return the lowest threshold whose rate of scores above it is certified.

    `doubt` is the chance that it is not kept, or None for rates kept on average.
    """
    _check_share(name, rate)
    codes, sizes = np.unique(codes, return_inverse=True, return_counts=True)[1:]
    n = len(sizes)
    if doubt is None:
        least, lowest = 1 / rate - 1, 1 / (n + 1)
        how = "on average"
    else:
        least, lowest = math.log(doubt) / math.log1p(-rate), 1 - doubt ** (1 / n)
        how = f"with a chance of {_percent(1 - doubt)}"
    if n < least - _TOLERANCE:
        raise ValueError(
            f"{name}={rate!r} cannot be certified {how} by {n} {what}: "
            f"{math.ceil(least - _TOLERANCE)} or more are needed; add {what}, or ask "
            f"for {math.ceil(1000 * lowest) / 1000} or more"
            + ("" if doubt is None else ", or for less confidence")
        )

    def is_certified(risk):
        if doubt is None:
            return (n * risk + 1) / (n + 1) <= rate + _TOLERANCE
        if sizes.max() == 1:
            return binom.cdf(np.round(n * risk), n, rate) <= doubt
        return hoeffding_bentkus(risk, n, rate) <= doubt

    return _lowest_threshold(score, 1 / (n * sizes[codes]), is_certified)


def hoeffding_bentkus(risk, n, rate):
    """Return p-values of means of n losses within [0, 1], were their mean above `rate`.

    Parameters
    ----------
    risk : ndarray
        Observed means.
    n : int
        Number of independent losses.
    rate : float

    Returns
    -------
    p_value : ndarray

    References
    ----------
    Bates et al. (2021), Distribution-free, risk-controlling prediction sets, JACM 68.

    Examples
    --------
    >>> hoeffding_bentkus(np.array([0.0, 0.05]), n=100, rate=0.1).round(5)
    array([3.0000e-05, 1.5651e-01])
    """
    below = np.minimum(risk, rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = np.where(below > 0, below * np.log(below / rate), 0)
        divergence += (1 - below) * np.log((1 - below) / (1 - rate))
    hoeffding = np.exp(-n * divergence)
    bentkus = math.e * binom.cdf(np.ceil(n * risk - _TOLERANCE), n, rate)
    return np.minimum(hoeffding, bentkus)


def _lowest_threshold(score, share, is_allowed):
    """Return the lowest score such that the shares above it sum to what is allowed.

    That nothing lies above the highest score is always allowed.
    """
    values, place = np.unique(score, return_inverse=True)
    at = np.bincount(place, share)
    above = np.cumsum(at[::-1])[::-1][1:]  # each value but the highest
    refused = np.flatnonzero(~is_allowed(above))
    return float(values[refused[-1] + 1 if refused.size else 0])


def _percent(share):
    return f"{100 * share:.3g} %"
