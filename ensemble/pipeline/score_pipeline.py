"""ScorePipeline: scale, combiner, calibration and decision on scores, as one object."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import validate_data

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import group_codes
from base_models.inputs import encode_labels, fake_column
from ensemble.calibration.calibrator import check_method
from ensemble.calibration.cross_fitting import CalibratedFit, fit_calibrated
from ensemble.combiners.parts.checks import (
    check_different_names,
    check_flags,
    check_whole,
    checked_weight,
    warn_of_tiny_weights,
)
from ensemble.combiners.parts.former_fit import forgetting_the_former
from ensemble.combiners.parts.rows import (
    Rows,
    canonical_columns,
    fold_codes,
    merge_rows,
)
from ensemble.combiners.stacking import as_combiner
from ensemble.combiners.super_learner.shift_folds import shift_codes
from ensemble.decision.named_thresholds import parse_threshold
from ensemble.decision.prior import check_prior
from ensemble.metrics.bootstrap_intervals import check_level
from ensemble.metrics.within_folds import folds_of_table
from ensemble.out_of_fold.reals_only import learns
from ensemble.out_of_fold.shares import learned_shares
from ensemble.persistence.refused import warn_of_what_is_not_saved
from ensemble.pipeline.fitted_rule import FittedRule
from ensemble.pipeline.intervals import fit_band
from ensemble.scores.provenance import Provenance
from ensemble.scores.row_order import all_in_row_order


class ScorePipeline(FittedRule):
    """Turn detectors' scores into verdicts: a rule, fitted once and used anywhere.

    It holds the scale of each column, the combiner, the calibration and the decision.
    The combiner is fitted on all rows; calibration, thresholds, intervals and error
    rates are learned from combined scores of videos whose groups the combiner had not
    seen. It needs no detector and no video, and is saved alone: `save`, `load`.

    What is not known is never called real: a video without a score has NaN and the
    verdict UNSURE, and so have all where the rule is not shown to beat chance. UNSURE
    is also a video with a score outside the training range by more than half its width,
    and one whose detectors carry less than half of what the rule knows (`shares_`),
    unless ten or more training videos were scored by the same ones.

    Parameters
    ----------
    combiner : str, combiner or classifier, default="auto"
        See `ensemble.combiners.resolve_combiner`; how scores are scaled is a parameter
        of the combiner (``Stacking(scale="rank")``). A classifier that no file can
        hold, such as scikit-learn's forests, is fitted with a warning.
    calibration : {"platt", "temperature", "beta", "isotonic", "venn_abers"} or None, \
default="platt"
        How the combined score becomes P(fake); see `ensemble.calibration.Calibrator`.
    threshold : float, str or None, default=None
        P(fake) above which it is fake, or how to set it on the out-of-fold scores:
        ``"fpr=0.05"``, ``"cost=10"``, ``"three-way"``; see
        `ensemble.thresholds.parse_threshold`. None is 0.5. May be changed after the
        fit, as `prior` and `abstain` may.
    prior : float or None, default=None
        Share of fakes among the videos to be judged, where it is another than in
        training: see `ensemble.decision.adjust_prior`.
    abstain : bool, default=False
        Whether the verdict is UNSURE where a threshold lies within the video's
        interval.
    level : float, default=0.95
        Of the intervals.
    n_boot : int, default=200
        Draws of the groups behind the intervals.
    random_state : int, RandomState or None, default=0
        Seed of these, and of a combiner that is given by name.
    fake_label : label or None, default=None
        The label that means fake, where it is neither FAKE nor 1 nor the second one.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels, sorted.
    combiner_ : Combiner
        Fitted on all rows.
    calibrator_ : Calibrator or None
        Fitted on `oof_fake_score_`.
    oof_fake_score_ : ndarray of shape (n_videos,)
        Combined scores of the training videos by combiners that had not seen their
        group, before calibration and `prior`; NaN for a video without a score or
        weight. Without groups only equal rows stay together.
    thresholds_ : Thresholds
        Where fake is said, where real, and what that was set on.
    threshold_ : float
        P(fake) above which `predict` says fake.
    rates_ : DataFrame
        How often the verdicts of `thresholds_` are wrong out of fold, with intervals:
        see `ensemble.decision.verdict_rates`. Each video counts once, whatever its
        weight. Thresholds and calibration were set on the same scores, so these are
        slightly optimistic.
    auc_ : Interval
        Of `oof_fake_score_`, with its 95 % interval over groups.
    doubt_ : str
        Why no verdict is given at all; empty where there is no such reason.
    prior_ : float
        Share of fakes in training.
    weights_ : ndarray of shape (n_detectors,) or None
        The combiner's weights of the detectors, if it has any.
    shares_ : ndarray of shape (n_detectors,) or None
        How much of what the combiner knows comes of each detector: how far it moves the
        log-odds, times how well it tells fakes by itself; they sum to 1. None for
        votes. Where those present have next to none of it, the verdict is UNSURE.
    inverted_ : list of str
        Columns that `ensemble.invert_scores` had turned round, as the table states;
        new tables need the same.
    negated_ : list of str
        Those of them that became -x; the others became 1 - x.
    score_range_ : ndarray of shape (n_detectors, 2)
        Lowest and highest score of each detector in training; NaN where it had none.
    unit_share_ : ndarray of shape (n_detectors,)
        Share of each detector's training scores within 0 to 1, in the class with more.
    shifted_ : bool
        Whether `shift` was given to `fit`.
    trained_ : bool ndarray of shape (n_detectors,)
        Which detectors had a score in training.
    patterns_ : bool ndarray of shape (n_patterns, n_detectors)
        Which of them scored a training video, each combination once.
    n_of_pattern_ : int ndarray of shape (n_patterns,)
        How many training videos had that combination.

    Notes
    -----
    The interval is about the share of fakes among videos with this combined score, and
    comes of drawing the groups again and calibrating on each draw (by "beta" in the
    place of the two staircases). It allows for how few videos the calibration was
    learned from. It does not allow for other weights of the combiner, a shape of the
    calibration that does not fit, members that are missing or videos of another kind.
    That it covers the truth about as often as `level` says was tested on simulated
    scores only. It is [0, 1] with fewer than five groups of a class, and NaN without
    calibration.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> scores = pd.DataFrame(
    ...     1 / (1 + np.exp(draw.normal(1 - 2 * y[:, None], 1.5, (200, 2)))),
    ...     columns=["xception", "resnet"],
    ... )
    >>> rule = ScorePipeline("log_odds").fit(scores, y, groups=np.arange(200) // 2)
    >>> new = pd.DataFrame(
    ...     {"xception": [0.9, np.nan], "resnet": [0.8, np.nan]}, ["a.mp4", "b.mp4"]
    ... )
    >>> table = rule.judge(new)
    >>> table[["p_fake", "lower", "upper", "verdict", "status"]].round(2)
           p_fake  lower  upper verdict      status
    a.mp4    0.95   0.91   0.98    FAKE      scored
    b.mp4     NaN    NaN    NaN  UNSURE  unscorable
    >>> table["reason"].tolist()
    ['', 'no member has a score']
    """

    __metadata_request__fit = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        combiner: Any = "auto",
        calibration: str | None = "platt",
        threshold: float | str | None = None,
        prior: float | None = None,
        abstain: bool = False,
        level: float = 0.95,
        n_boot: int = 200,
        random_state: Any = 0,
        fake_label: Any = None,
    ) -> None:
        self.combiner = combiner
        self.calibration = calibration
        self.threshold = threshold
        self.prior = prior
        self.abstain = abstain
        self.level = level
        self.n_boot = n_boot
        self.random_state = random_state
        self.fake_label = fake_label

    def fit(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        shift: ArrayLike | None = None,
    ) -> ScorePipeline:
        """Learn the whole rule.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            Scores by detectors that were not trained on these videos; NaN where one is
            missing.
        y : array-like of shape (n_videos,)
            Any two labels; the fake one is FAKE of REAL/FAKE, 1 of 0/1, the one that
            `fake_label` names, or else the second in sorted order.
        groups : array-like of shape (n_videos,) or None, default=None
            Videos that folds keep together: of one person, or one source.
        sample_weight : array-like of shape (n_videos,) or None, default=None
            For combiner, calibration and intervals; thresholds and error rates count
            each video with a weight once.
        shift : array-like of shape (n_videos,) or None, default=None
            What will be new in use: the forgery method of a fake, the source of a real.
            All that is learned from out-of-fold scores is then learned from those of
            unseen methods and sources; see `AutoCombiner.fit`.

        Returns
        -------
        self : ScorePipeline
        """
        y, groups, sample_weight, shift = all_in_row_order(
            X, y=y, groups=groups, sample_weight=sample_weight, shift=shift
        )
        with forgetting_the_former(self):
            self._learn(X, y, groups, sample_weight, shift)
        warn_of_what_is_not_saved(self.combiner_)
        return self

    def _learn(self, X, y, groups, sample_weight, shift):
        self._check_params()
        check_different_names(X)
        values = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if y is None:
            raise ValueError(
                "ScorePipeline requires y to be passed, but the target y is None"
            )
        self.classes_, is_fake = encode_labels(y, self.fake_label, strict=False)
        check_consistent_length(values, is_fake)
        self.fake_index_ = fake_column(self.classes_, self.fake_label, strict=False)
        weight = checked_weight(sample_weight, values)
        if (
            groups is not None
            and len(groups) == len(values)
            and pd.isna(list(groups)).all()
        ):
            groups = None  # the companions of a table without groups
        codes = None if groups is None else group_codes(groups, len(values))
        of_shift = shift_codes(shift, len(values))
        given = Rows(
            values, is_fake, codes, weight, folds=fold_codes(X), shift=of_shift
        )
        rows, first = _canonical(given)
        used = rows.place >= 0
        warn_of_tiny_weights(weight[used], None if codes is None else codes[used])
        table = X.iloc[first] if isinstance(X, pd.DataFrame) else values[first]
        folds_known = isinstance(X, pd.DataFrame) and folds_of_table(X) is not None
        unfitted = clone(as_combiner(self.combiner, self._seed()))
        if "fake_label" in unfitted.get_params(deep=False):
            unfitted.set_params(fake_label=None)
        unfitted._weighed = True
        fitted = self._fitted(unfitted, table, rows)
        self.combiner_, self.calibrator_ = fitted.combiner, fitted.calibrator
        self.shares_ = learned_shares(fitted.combiner, table, rows)
        scored = ~np.isnan(values[rows.place >= 0])
        self.trained_ = scored.any(axis=0)
        self.patterns_, self.n_of_pattern_ = np.unique(
            scored, axis=0, return_counts=True
        )
        self.prior_ = float(rows.weight @ rows.is_fake / rows.weight.sum())
        self.oof_fake_score_ = np.append(fitted.score, np.nan)[rows.place]
        self._is_fake, self._groups, self._fold = is_fake, codes, None
        if fitted.fold is not None and (learns(fitted.combiner) or folds_known):
            self._fold = np.append(fitted.fold, -1)[rows.place]
        self.score_range_ = _ranges(values[rows.place >= 0])
        self.unit_share_ = _unit_shares(values[used], is_fake[used] == 1)
        self.shifted_ = shift is not None
        self._own_score = None
        if self.shifted_:
            own = np.append(self.combiner_.fake_score(table), np.nan)
            self._own_score = own[rows.place]
        self.inverted_ = list(Provenance.of(X).inverted)
        self.negated_ = list(Provenance.of(X).negated)
        self._keep_intervals(rows, fitted.score)
        self._keep_auc()
        _ = self.thresholds_  # what cannot be promised is told now

    @classmethod
    def load(
        cls,
        path: str | Path,
        combiners: dict | None = None,
        key: bytes | str | Path | None = None,
    ) -> ScorePipeline:
        """Read a rule that `save` wrote; `ensemble.load` does the same.

        Parameters
        ----------
        path : str or Path
        combiners : dict of str to combiner, default=None
            Combiners of classes of your own, as for `ensemble.load`.
        key : bytes, str, Path or None, default=None
            As for `ensemble.load`.

        Returns
        -------
        ScorePipeline

        Raises
        ------
        ArtifactError
            If the file is missing, damaged, or holds something else.
        """
        from ensemble.persistence.codec import Reader
        from ensemble.pipeline.files import read_rule

        return read_rule(Reader(Path(path), combiners=combiners, key=key))

    def _check_params(self):
        check_whole(self, "n_boot", 0)
        check_flags(self, "abstain")
        parse_threshold(self.threshold)
        check_prior(self.prior)
        check_level(self.level)
        if self.calibration is not None:
            check_method(self.calibration)
        elif self.abstain:
            raise ValueError(
                "abstain=True needs intervals, and calibration=None gives none; take "
                "calibration='platt'"
            )

    def _seed(self):
        return 0 if self.random_state is None else self.random_state

    def _fitted(self, unfitted, table, rows):
        beside = {
            "groups": rows.groups,
            "sample_weight": None if (rows.weight == 1).all() else rows.weight,
        }
        codes = np.arange(len(rows)) if rows.groups is None else rows.groups
        if min(len(np.unique(codes[rows.is_fake == label])) for label in (0, 1)) > 1:
            return fit_calibrated(
                unfitted,
                table,
                rows.is_fake,
                self.calibration,
                **beside,
                cross_fit=True,
                shift=rows.shift,
            )
        warnings.warn(
            "a class is in one group, so that no video can be scored by what has not "
            "seen its group: the rule is not calibrated, and `judge` calls every video "
            "UNSURE; add videos of other groups",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
        unscored = np.full(len(rows), np.nan)
        return CalibratedFit(
            unfitted.fit(table, rows.is_fake, **beside), None, unscored
        )

    def _keep_intervals(self, rows, score):
        self._band = None
        if self.calibrator_ is None or self.n_boot == 0:
            return
        there = ~np.isnan(score)
        weight, codes = rows.weight[there], None
        if rows.groups is not None:
            codes = np.unique(rows.groups[there], return_inverse=True)[1]
        else:  # weights that sum to less than the videos that they are of are shares
            weight = weight * max(1, (rows.place >= 0).sum() / rows.weight.sum())
        self._band = fit_band(
            score[there],
            rows.is_fake[there],
            weight,
            codes,
            self.calibration,
            self.level,
            self.n_boot,
            check_random_state(self._seed()),
        )

    def _keep_auc(self):
        evidence = self.evidence()
        one_class = len(set(evidence.is_fake)) < 2
        self._auc = (np.nan,) * 3 if one_class else tuple(evidence.auc())


def _canonical(rows):
    """Return the rows that count, equal ones merged, and a given row of each.

    What is learned must not depend on the order of rows, nor on whether a row of weight
    2 is one row or two.
    """
    n_rows, is_fake = len(rows), rows.is_fake
    used = ~np.isnan(rows.scores).all(axis=1) & (rows.weight > 0)
    n_fake, n_used = int(is_fake[used].sum()), int(used.sum())
    if not 0 < n_fake < n_used:
        raise ValueError(
            "both classes need videos with a score and a weight above 0; got "
            f"{n_used - n_fake} real and {n_fake} fake of {len(used)} videos"
        )
    given = np.flatnonzero(used)
    rows = rows[given]
    rows.scores = rows.scores[:, canonical_columns(rows)]
    merged = merge_rows(rows)
    first = given[np.unique(merged.place, return_index=True)[1]]
    place = np.full(n_rows, -1)
    place[given] = merged.place
    merged.place = place
    return merged, first


def _unit_shares(values, is_fake):
    """Of each detector the share of scores within 0 to 1, in the class with more.

    One score more is counted as such, so that a share is never 0.
    """
    inside = (values >= 0) & (values <= 1)
    shares = [
        (inside[of].sum(axis=0) + 1) / ((~np.isnan(values[of])).sum(axis=0) + 1)
        for of in (is_fake, ~is_fake)
    ]
    return np.max(shares, axis=0)


def _ranges(values):
    known = ~np.isnan(values)
    low = np.min(values, axis=0, where=known, initial=np.inf)
    high = np.max(values, axis=0, where=known, initial=-np.inf)
    ends = np.column_stack([low, high])
    ends[low > high] = np.nan
    return ends
