"""Calibration: bring P(fake) to mean what it says, fitted on scores not seen in fit."""

import difflib

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, clone
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.validation import check_is_fitted

from ensemble.combiners.base import fold_codes, stated_offsets
from ensemble.combiners.evidence import doubt, measure_evidence
from ensemble.combiners.nested import as_combiner
from ensemble.combiners.nonnegative_logistic import fit_nonnegative_logistic
from ensemble.combiners.reach import fit_reach, within_reach
from ensemble.combiners.rows import Rows, canonical_columns, row_keys
from ensemble.labels import encode_labels
from ensemble.resampling import StratifiedGroupFolds, group_codes

_METHODS = ("platt", "temperature", "beta", "isotonic", "venn_abers")
_CLIP = 1e-12


class Calibrator(BaseEstimator):
    """A rising map from P(fake) to calibrated P(fake).

    Fit it on scores of videos that the scoring model has not seen, see
    `cross_fitted_scores`. To stay finite where the classes are separable, all methods
    but the last take labels for slightly uncertain, as Platt does: (n + 1) / (n + 2)
    for the n fakes and 1 / (n + 2) for the n reals. The first three go no farther than
    the data: where the AUC of the scores is less than three standard errors above
    chance their slopes are pulled to 0, which is the share of fakes for "platt" and
    "beta" (see `ensemble.combiners.evidence`), and scores beyond those of `fit` count
    as little more than the outermost.

    Parameters
    ----------
    method : str, default="platt"
        With x the log-odds of the score p, the calibrated log-odds are

        - "platt": slope x + intercept;
        - "temperature": x / temperature, which keeps the score 0.5 where it is;
        - "beta": a log(p) - b log(1 - p) + c, with a and b not negative;

        and two are rising staircases, for a thousand videos or more. They make ties;
        the others keep the ranking.

        - "isotonic": isotonic regression;
        - "venn_abers": isotonic regression on the training scores and the new one, once
          taken for real (p0) and once for fake (p1); the result is p1 / (1 - p0 + p1),
          see also `interval`. Whatever the scores, one of p0 and p1 is calibrated where
          new videos are drawn like those of `fit`.

    Attributes
    ----------
    parameters_ : dict
        The parameters named above; for "isotonic" the "scores" and "values" to
        interpolate between; for "venn_abers" the "scores" of `fit`, sorted, with p0
        from each of them up to the next, and p1 beyond the one before up to it.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines; Guo et al. (2017),
    On calibration of modern neural networks; Kull et al. (2017), Beta calibration;
    Zadrozny, Elkan (2002), Transforming classifier scores, for isotonic; Vovk, Petej
    (2014), Venn-Abers predictors, and Vovk, Petej, Fedorova (2015), Large-scale
    probabilistic predictors, for the inductive form and its algorithm.

    Examples
    --------
    >>> score = np.array([0.6, 0.7, 0.8, 0.9] * 50)  # too sure of fakes
    >>> is_fake = np.array([0, 0, 0, 1, 0, 1, 1, 1] * 25)
    >>> calibrator = Calibrator("platt").fit(score, is_fake)
    >>> calibrator([0.6, 0.9]).round(2)
    array([0.1 , 0.95])
    """

    def __init__(self, method="platt"):
        self.method = method

    def fit(self, score, is_fake, sample_weight=None, groups=None):
        """Learn the map.

        Parameters
        ----------
        score : array-like of shape (n_videos,)
            P(fake); videos without one (NaN) are left out.
        is_fake : array-like of shape (n_videos,)
            1 fake, 0 real; "REAL"/"FAKE" are understood.
        sample_weight : array-like of shape (n_videos,) or None, default=None
        groups : array-like of shape (n_videos,) or None, default=None
            Videos that err together; None makes each its own group.

        Returns
        -------
        self : Calibrator
        """
        check_method(self.method)
        score = _probabilities(score)
        _, is_fake = encode_labels(is_fake, allow_one_class=True)
        weight = np.ones(len(score)) if sample_weight is None else sample_weight
        weight = np.asarray(weight, dtype=float)
        for name, values in (("is_fake", is_fake), ("sample_weight", weight)):
            if values.shape != score.shape:
                raise ValueError(
                    f"{name} must have one entry per score; got {values.shape} for "
                    f"{score.shape}"
                )
        used = ~np.isnan(score) & (weight > 0)
        codes = None if groups is None else group_codes(groups, len(score))[used]
        score, is_fake, weight = score[used], is_fake[used], weight[used]
        n_fake = weight[is_fake == 1].sum()
        n_real = weight[is_fake == 0].sum()
        if not (n_fake > 0 and n_real > 0):
            raise ValueError(
                "calibration needs scores of both classes; got "
                f"{(is_fake == 0).sum()} real and {(is_fake == 1).sum()} fake"
            )
        low, high = 1 / (n_real + 2), (n_fake + 1) / (n_fake + 2)
        target = np.where(is_fake == 1, high, low)
        if self.method == "isotonic":
            self.parameters_ = _fit_isotonic(score, target, weight)
        elif self.method == "venn_abers":
            self.parameters_ = _fit_venn_abers(score, is_fake, weight)
        else:
            features = self._features(score)
            self.reach_ = fit_reach(features, weight)
            evidence = measure_evidence(score[:, None], is_fake, weight, codes)
            fit = {
                "platt": _fit_platt,
                "temperature": _fit_temperature,
                "beta": _fit_beta,
            }[self.method]
            pull = doubt(evidence.above_chance()[0]) * weight.sum() / 4
            self.parameters_ = fit(features, target, weight, pull)
        return self

    def __call__(self, score):
        """Return calibrated P(fake).

        Parameters
        ----------
        score : array-like of shape (n_videos,)
            P(fake).

        Returns
        -------
        calibrated : ndarray of shape (n_videos,)
            NaN where `score` is.
        """
        check_is_fitted(self)
        score = _probabilities(score)
        known = self.parameters_
        if self.method == "isotonic":
            calibrated = np.interp(score, known["scores"], known["values"])
            return np.where(np.isnan(score), np.nan, calibrated)
        if self.method == "venn_abers":
            if_real, if_fake = self.interval(score).T
            return if_fake / (1 - if_real + if_fake)
        features = self._features(score)
        if hasattr(self, "reach_"):  # not in files of older versions
            features = within_reach(self.reach_, features)
        if self.method == "platt":
            return expit(known["slope"] * features[:, 0] + known["intercept"])
        if self.method == "temperature":
            return expit(features[:, 0] / known["temperature"])
        log_p, minus_log_rest = features.T
        return expit(known["a"] * log_p + known["b"] * minus_log_rest + known["c"])

    def _features(self, score):
        return _beta_features(score) if self.method == "beta" else _log_odds(score)

    def interval(self, score):
        """Return the two probabilities of "venn_abers", whose distance is its doubt.

        Parameters
        ----------
        score : array-like of shape (n_videos,)
            P(fake).

        Returns
        -------
        interval : ndarray of shape (n_videos, 2)
            P(fake) had the video been added to those of `fit` as a real one, and as a
            fake one, which is higher; NaN where `score` is.

        Examples
        --------
        >>> score, is_fake = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [0, 0, 0, 1, 1, 1]
        >>> Calibrator("venn_abers").fit(score, is_fake).interval([0.1, 0.5, 0.9])
        array([[0.  , 0.25],
               [0.  , 1.  ],
               [0.75, 1.  ]])
        """
        check_is_fitted(self)
        if self.method != "venn_abers":
            raise ValueError(
                'only method="venn_abers" gives an interval; this calibrator has '
                f"method={self.method!r}"
            )
        score = _probabilities(score)
        known = self.parameters_
        p0 = np.append(0.0, known["p0"])
        p1 = np.append(known["p1"], 1.0)
        interval = np.column_stack(
            [
                p0[np.searchsorted(known["scores"], score, side="right")],
                p1[np.searchsorted(known["scores"], score, side="left")],
            ]
        )
        interval[np.isnan(score)] = np.nan
        return interval


def cross_fitted_scores(
    combiner, scores, y, groups=None, sample_weight=None, n_folds=5, random_state=0
):
    """Score every training video by a combiner fitted on the other groups.

    These are the scores to fit a `Calibrator` on: a combiner is too sure of the rows it
    was fitted on.

    Parameters
    ----------
    combiner : Combiner, name or classifier
        Cloned for each fold, not fitted itself.
    scores : array-like or DataFrame of shape (n_videos, n_detectors)
        Out-of-fold scores.
    y : array-like of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None, default=None
        None keeps only rows together that are equal in scores and label.
    sample_weight : array-like of shape (n_videos,) or None, default=None
    n_folds : int, default=5
        Fewer are used where a class has fewer groups.
    random_state : int, RandomState or None, default=0
        Seed of the folds.

    Returns
    -------
    score : ndarray of shape (n_videos,)
        P(fake); NaN where no detector has a score.

    Examples
    --------
    >>> from ensemble.combiners import Voting
    >>> scores, y = [[0.9, 0.5], [0.1, 0.3], [0.8, 0.6], [0.2, 0.4]], [1, 0, 1, 0]
    >>> cross_fitted_scores(Voting("soft"), scores, y)
    array([0.7, 0.2, 0.7, 0.3])
    """
    values = np.asarray(scores, dtype=float)
    fake_label = getattr(combiner, "fake_label", None)
    _, is_fake = encode_labels(y, fake_label, strict=False)
    y = np.asarray(y).ravel()
    combiner = as_combiner(combiner, random_state)
    given = {"groups": groups, "sample_weight": sample_weight}
    given = {
        name: np.asarray(entries)
        for name, entries in given.items()
        if entries is not None
    }
    rows = Rows(values, is_fake, None, np.ones(len(values)))
    rows.scores = values[:, canonical_columns(rows)]
    codes = group_codes(row_keys(rows) if groups is None else groups, len(values))
    possible = min(len(np.unique(codes[is_fake == label])) for label in (0, 1))
    if possible < 2:
        raise ValueError(
            "cross-fitting needs two groups or more with each class; the rarer class "
            "is in one: add videos of other groups, or go without calibration"
        )
    folds = StratifiedGroupFolds(min(n_folds, possible), random_state)
    known, offsets = fold_codes(scores), stated_offsets(scores)
    score = np.full(len(values), np.nan)
    for train, test in folds.split(values, is_fake, codes):
        if len(test) == 0:
            continue
        fitted = clone(combiner)
        fitted._inside = {
            "folds": None if known is None else known[train],
            "offsets": offsets,
        }
        fitted.fit(
            _take(scores, train),
            y[train],
            **{name: entries[train] for name, entries in given.items()},
        )
        score[test] = fitted.fake_score(_take(scores, test))
    return score


def check_method(method):
    """Refuse what is no method of calibration.

    Parameters
    ----------
    method : str
    """
    if method not in _METHODS:
        close = difflib.get_close_matches(str(method), _METHODS, n=1)
        raise ValueError(
            f"unknown calibration {method!r}; expected one of {', '.join(_METHODS)}"
            + (f"; did you mean {close[0]!r}?" if close else "")
        )


def _probabilities(score):
    score = np.asarray(score, dtype=float)
    if score.ndim != 1:
        raise ValueError(f"score must have shape (n_videos,); got {score.shape}")
    outside = np.flatnonzero((score < 0) | (score > 1))
    if outside.size:
        raise ValueError(
            f"P(fake) must be between 0 and 1; got {score[outside[0]]} at row "
            f"{outside[0]}"
        )
    return score


def _log_odds(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.log(score / (1 - score))[:, None]


def _beta_features(score):
    score = np.clip(score, _CLIP, 1 - _CLIP)
    return np.column_stack([np.log(score), -np.log1p(-score)])


def _fit_platt(features, target, weight, pull):
    intercept, slope = _fit_slopes(features, target, weight, pull)
    return {"slope": float(slope[0]), "intercept": intercept}


def _fit_temperature(features, target, weight, pull):
    # A row and its mirror image, real for fake, cancel in the intercept.
    mirrored = np.concatenate([features, -features])
    targets = np.concatenate([target, 1 - target])
    _, slope = _fit_slopes(mirrored, targets, np.tile(weight, 2), 2 * pull)
    return {"temperature": float(1 / max(slope[0], 1e-6))}


def _fit_beta(features, target, weight, pull):
    intercept, slopes = _fit_slopes(features, target, weight, pull)
    return {"a": float(slopes[0]), "b": float(slopes[1]), "c": intercept}


def _fit_slopes(features, target, weight, pull):
    """Fit slopes >= 0, pulled to 0 as if that many videos spoke for it."""
    variance = fit_reach(features, weight)["spread"] ** 2
    return fit_nonnegative_logistic(
        features, target, weight, 0.0, 0.0, to_zero=pull * variance
    )


def _fit_isotonic(score, target, weight):
    staircase = IsotonicRegression().fit(score, target, sample_weight=weight)
    return {"scores": staircase.X_thresholds_, "values": staircase.y_thresholds_}


def _fit_venn_abers(score, is_fake, weight):
    scores, place = np.unique(score, return_inverse=True)
    total = np.bincount(place, weight)
    fakes = np.bincount(place, weight * is_fake)
    mirrored = _with_one_more_fake(total[::-1], (total - fakes)[::-1])
    return {
        "scores": scores,
        "p0": 1 - mirrored[::-1],
        "p1": _with_one_more_fake(total, fakes),
    }


def _with_one_more_fake(total, fakes):
    """Return isotonic regression at each score, had it one fake more.

    Isotonic regression is the slope of the greatest convex minorant of the points
    (videos so far, fakes so far). The further fake is a step (1, 1) that wanders along
    these points; of the minorant only the part to its right is kept, as a stack of
    corners with the leftmost on top.

    Parameters
    ----------
    total, fakes : ndarray of shape (n_scores,)
        Weight of all videos and of the fakes with each score, lowest score first.

    Returns
    -------
    values : ndarray of shape (n_scores,)
    """
    x = [-1.0, 0.0, *np.cumsum(total).tolist()]
    y = [-1.0, 0.0, *np.cumsum(fakes).tolist()]
    corners = []
    for point in reversed(list(zip(x, y, strict=True))):
        _add_on_the_left(corners, point)
    values = []
    for i in range(2, len(x)):
        (x0, y0), (x1, y1) = corners[-1], corners[-2]
        values.append((y1 - y0) / (x1 - x0))
        # The fake moves past the next score: the point between them lies elsewhere.
        x[i - 1] = x[i - 2] + x[i] - x[i - 1]
        y[i - 1] = y[i - 2] + y[i] - y[i - 1]
        if _turn((x0, y0), (x[i - 1], y[i - 1]), (x1, y1)) > 0:  # below the minorant
            corners.pop()
            _add_on_the_left(corners, (x[i - 1], y[i - 1]))
    return np.clip(values, 0, 1)


def _add_on_the_left(corners, point):
    while len(corners) > 1 and _turn(point, corners[-1], corners[-2]) <= 0:
        corners.pop()
    corners.append(point)


def _turn(first, second, third):
    """Return a number above 0 where the way over three points turns left."""
    return (second[0] - first[0]) * (third[1] - second[1]) - (second[1] - first[1]) * (
        third[0] - second[0]
    )


def _take(scores, rows):
    return scores.iloc[rows] if hasattr(scores, "iloc") else np.asarray(scores)[rows]
