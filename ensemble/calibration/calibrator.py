"""Calibration: bring P(fake) to mean what it says, fitted on scores not seen in fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from base_models.groups import group_codes
from base_models.inputs import encode_labels
from base_models.naming import did_you_mean
from ensemble.calibration.methods import METHODS, uncertain_labels
from ensemble.calibration.venn_abers import venn_abers_interval
from ensemble.combiners.parts.detector_skill import doubt, measure_evidence
from ensemble.combiners.parts.reach import fit_reach, within_reach


class Calibrator(BaseEstimator):
    """A monotone map from P(fake) to calibrated P(fake).

    Fit it on scores of videos that the scoring model has not seen, see
    `cross_fitted_scores`. To stay finite where the classes are separable, all methods
    but the last take labels for slightly uncertain, as Platt does: (n + 1) / (n + 2)
    for the n fakes and 1 / (n + 2) for the n reals. The first three go no farther than
    the data: where the AUC of the scores is less than three standard errors above
    chance their slopes are pulled to 0, which is the share of fakes for "platt" and
    "beta" (see `ensemble.combiners.parts.detector_skill`), and scores beyond those of
    `fit` count as little more than the outermost.

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

    def __init__(self, method: str = "platt") -> None:
        self.method = method

    def fit(
        self,
        score: ArrayLike,
        is_fake: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Calibrator:
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
        if not 0 < is_fake.sum() < len(is_fake):
            raise ValueError(
                "calibration needs scores of both classes; got "
                f"{(is_fake == 0).sum()} real and {(is_fake == 1).sum()} fake"
            )
        method = METHODS[self.method]
        if method.features is None:
            self.parameters_ = method.fit(score, is_fake, weight)
            return self
        features, target = method.features(score), uncertain_labels(is_fake, weight)
        self.reach_ = fit_reach(features, weight)
        evidence = measure_evidence(score[:, None], is_fake, weight, codes)
        pull = doubt(evidence.above_chance()[0]) * weight.sum() / 4
        self.parameters_ = method.fit(features, target, weight, pull)
        return self

    def __call__(self, score: ArrayLike) -> NDArray:
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
        method = METHODS[self.method]
        if method.features is not None:
            score = method.features(score)
            if hasattr(self, "reach_"):  # not in files of older versions
                score = within_reach(self.reach_, score)
        return method.predict(self.parameters_, score)

    def interval(self, score: ArrayLike) -> NDArray:
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
        return venn_abers_interval(self.parameters_, _probabilities(score))


def check_method(method: str) -> None:
    """Refuse what is no method of calibration.

    Parameters
    ----------
    method : str
    """
    if method not in METHODS:
        raise ValueError(
            f"unknown calibration {method!r}; expected one of {', '.join(METHODS)}"
            + did_you_mean(method, METHODS)
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
