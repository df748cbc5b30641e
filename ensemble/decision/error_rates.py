"""Error rates of verdicts, with intervals over groups."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import beta
from sklearn.utils import check_random_state

from base_models.groups import group_codes
from base_models.inputs import encode_labels
from ensemble.choices import ACCUSING, NO_VERDICT, REAL, UNSURE, VERDICTS
from ensemble.decision.prior import check_share
from ensemble.metrics.bootstrap import check_n_boot
from ensemble.metrics.bootstrap_intervals import Interval

_FEW = 10  # groups, with which a bootstrap's interval is too narrow


def rate_interval(
    happened: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    n_boot: int = 1000,
    random_state: int | np.random.RandomState | None = 0,
) -> Interval:
    """Return how often something happened, with a confidence interval.

    Parameters
    ----------
    happened : array-like of bool (or 0 and 1) of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None, default=None
        None takes videos for independent: the interval is Clopper and Pearson's.
        Otherwise it is that of a bootstrap of the groups. Where it happened, or did
        not, in fewer than ten of them, which leaves a bootstrap little to draw, it is
        no narrower than Clopper and Pearson's with groups for videos.
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
    check_share("level", level)
    if not len(happened):
        return Interval(np.nan, 0.0, 1.0)
    rate, n = float(happened.mean()), len(np.unique(codes))
    if groups is None or rate in (0, 1):
        return Interval(rate, *_clopper_pearson(rate, n, level))
    if n == 1:
        return Interval(rate, 0.0, 1.0)
    drawn = _of_drawn_groups(happened, codes, level, n_boot, random_state)
    times, size = np.bincount(codes, happened), np.bincount(codes)
    if min(np.sum(times > 0), np.sum(times < size)) >= _FEW:
        return drawn
    low, high = _clopper_pearson(rate, n, level)
    return Interval(rate, min(low, drawn.low), max(high, drawn.high))


def _clopper_pearson(rate: float, n: int, level: float) -> tuple[float, float]:
    """Return both ends for a rate among `n`; SciPy's binomtest searches for them."""
    times, tail = rate * n, (1 - level) / 2
    low = 0.0 if rate == 0 else beta.ppf(tail, times, n - times + 1)
    high = 1.0 if rate == 1 else beta.ppf(1 - tail, times + 1, n - times)
    return float(low), float(high)


def _of_drawn_groups(
    happened: np.ndarray,
    codes: np.ndarray,
    level: float,
    n_boot: int,
    random_state: int | np.random.RandomState | None,
) -> Interval:
    """Return the interval of `group_bootstrap_interval`, from the groups' counts.

    A rate is a ratio of two sums over groups: no draw looks at single videos, of which
    there may be a hundred thousand.
    """
    check_n_boot(n_boot)
    times, size = np.bincount(codes, happened), np.bincount(codes)
    rng, rates = check_random_state(random_state), np.empty(n_boot)
    for draw in range(n_boot):
        drawn = rng.randint(len(size), size=len(size))
        rates[draw] = times[drawn].sum() / size[drawn].sum()
    tail = (1 - level) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return Interval(float(happened.mean()), float(low), float(high))


def verdict_rates(
    y: ArrayLike,
    verdict: ArrayLike,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    random_state: int | np.random.RandomState | None = 0,
    fake_label: object = None,
) -> pd.DataFrame:
    """Return how often verdicts are wrong or unsure, with intervals.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        0/1, booleans or "REAL"/"FAKE"; other labels with `fake_label`.
    verdict : array-like of str of shape (n_videos,)
        "FAKE", "FAKE TRACES", "REAL", "UNSURE", or "" or missing (None, NaN) where
        there is no verdict, as of a video without a score. Anything else is refused:
        labels, scores and words that differ by a letter are no verdicts.
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
    accused = np.isin(verdict, ACCUSING)
    false_alarm = accused & (is_fake == 0)
    miss = (verdict == REAL) & (is_fake == 1)
    sure = accused | (verdict == REAL)
    everywhere = np.ones(len(is_fake), bool)
    rows = {
        "false alarm": (false_alarm, is_fake == 0),
        "miss": (miss, is_fake == 1),
        "wrong": (false_alarm | miss, sure),
        "unsure": (verdict == UNSURE, everywhere),
        "no verdict": (verdict == NO_VERDICT, everywhere),
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


def _checked_happened(happened: ArrayLike) -> np.ndarray:
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


def _checked_verdicts(verdict: np.ndarray) -> np.ndarray:
    """Return verdicts as they are spelled, "" where there is none."""
    checked = np.empty(len(verdict), object)
    for row, entry in enumerate(verdict):
        if isinstance(entry, str) and entry in VERDICTS:
            checked[row] = str(entry)
        elif entry is None or entry is pd.NA or entry is pd.NaT or entry != entry:
            checked[row] = NO_VERDICT
        else:
            hint = "labels and scores are no verdicts, `judge` or a decision makes them"
            if isinstance(entry, str) and entry.strip().upper() in VERDICTS:
                hint = f"did you mean {entry.strip().upper()!r}?"
            raise ValueError(
                f"a verdict is 'FAKE', 'REAL', 'UNSURE' or '' (none); got {entry!r} at "
                f"row {row}: {hint}"
            )
    return checked
