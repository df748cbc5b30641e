"""What all combiners share: the check of the input, the labels and the missing scores.

A combiner is a scikit-learn classifier on a table of scores. A subclass says only how
it learns (`_fit`) and how it combines (`_fake_score`). Both see scores on the scale of
the combiner, NaN where one is missing, without rows and detectors that have none.
"""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from base_models.groups import group_codes
from base_models.inputs import encode_labels, fake_column
from base_models.runtime.thread_pools import one_blas_thread
from ensemble.combiners.parts.answers import check_all_scored, class_columns
from ensemble.combiners.parts.blocks import in_blocks
from ensemble.combiners.parts.checks import (
    check_both_classes,
    check_columns,
    check_different_names,
    check_length,
    checked_weight,
    warn_of_tiny_weights,
)
from ensemble.combiners.parts.detection import (
    DETECT,
    P_FAKE_SCALES,
    check_p_fake,
    clip_rounding,
    fit_maps,
    from_p_fake,
    level_of_the_user,
    looks_for,
    mapped_offsets,
    to_p_fake,
    warn_of_other_scales,
    without_outside,
)
from ensemble.combiners.parts.detector_skill import looks_inverted, warn_of_inverted
from ensemble.combiners.parts.former_fit import forgetting_the_former
from ensemble.combiners.parts.rows import (
    Rows,
    canonical_columns,
    fold_codes,
    merge_rows,
    stated_offsets,
)
from ensemble.combiners.parts.scales import NEUTRAL, fit_scale, neutral_scores, to_scale
from ensemble.metrics.ties import ROUNDING, above
from ensemble.scores.looks import P_FAKE
from ensemble.scores.row_order import all_in_row_order

_CHUNK = 65536  # rows scored at once, which bounds the memory of predict
_MAX_ORDERED = 200_000  # rows worth sorting; beyond, order shows in rounding alone


class Combiner(ClassifierMixin, BaseEstimator):
    """Turn a row of detectors' scores into one score.

    A subclass has the parameters `scale` (or says in `_scale_name` which one it takes),
    `clip` and `fake_label`, says in `_own_scale` what follows where `scale` is
    "detect", and defines two methods:

    - ``_fit(rows)`` learns from `Rows`: scores, is_fake, groups (codes, or None where
      each row is its own group) and weight. Rows equal in scores, label and group come
      as one row of their summed weight, rows of weight 0 not at all, and rows and
      detectors come in an order that depends on their content alone: what is learned is
      the same for weights and for repetition, and for rows and detectors in any order.
      More than 200,000 rows come as they are; inner resampling takes `sample_rows`.
    - ``_fake_score(scores)`` returns P(fake) of each row.

    One that takes features beside scores names their columns in `_feature_columns`;
    standardised, they stand behind the scores in every row.

    What belongs to a detector goes between that order and the order of the table with
    `_to_table_order` and `_from_table_order`.

    A combiner takes its input for P(fake) and therefore trusts its direction: on
    features that mean something else it has no reason to be accurate, and its
    scikit-learn tags say so.
    """

    __metadata_request__fit = {"groups": True}  # noqa: RUF012

    def fit(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "Combiner":
        """Learn how to combine.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            Out-of-fold scores, NaN where one is missing.
        y : array-like of shape (n_videos,)
            Any two labels; the fake one is FAKE of REAL/FAKE, 1 of 0/1, the one that
            `fake_label` names, or else the second in sorted order.
        groups : array-like of shape (n_videos,) or None, default=None
            Videos that inner folds keep together; None, or nothing but missing entries
            (a table without groups), makes each its own group.
        sample_weight : array-like of shape (n_videos,) or None, default=None
            Weight 2 means the same as the row given twice, 0 as the row left out.

        Returns
        -------
        self : Combiner

        Warns
        -----
        UserWarning
            Naming detectors that look inverted: see `ensemble.invert_scores`.
        """
        inside = vars(self).pop("_inside", None)  # of a combiner that advises itself
        shift = vars(self).pop("_shift", None)  # of one that folds by it
        folds, offsets, outermost = inside or (fold_codes(X), stated_offsets(X), True)
        with forgetting_the_former(self):
            rows = self._checked_rows(X, y, groups, sample_weight)
            rows.folds = None if folds is None else folds[rows.place >= 0]
            rows.offsets = offsets
            rows.shift = None if shift is None else shift[rows.place >= 0]
            if inside is None:
                self._advise(rows)
            self.maps_ = self._learned_maps(rows, outermost, advise=inside is None)
            return self._fit_rows(rows)

    def _advise(self, rows):
        """Warn of what is likely meant otherwise: weights, and inverted detectors."""
        if not vars(self).pop("_weighed", False):  # by a pipeline around it
            warn_of_tiny_weights(rows.weight, rows.groups)
        if self._trusts_direction():
            scored = np.flatnonzero(~np.isnan(rows.scores).all(axis=0))
            self._warn_of_inverted(rows, np.setdiff1d(scored, self._feature_columns()))

    def _checked_rows(self, X, y, groups, sample_weight):
        """Return the rows that have a score and a weight, from what a user gives."""
        check_different_names(X)
        given = {"y": y, "groups": groups, "sample_weight": sample_weight}
        y, groups, sample_weight = all_in_row_order(X, **given)
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None"
            )
        self.classes_, is_fake = encode_labels(y, self.fake_label, strict=False)
        check_length("y", is_fake, X)
        self.fake_index_ = fake_column(self.classes_, self.fake_label, strict=False)
        weight = checked_weight(sample_weight, X)
        if groups is not None and len(groups) == len(X) and np.all(pd.isna(groups)):
            groups = None  # the companions of a table without groups
        codes = None if groups is None else group_codes(groups, len(X))
        features = self._feature_columns()
        scores = np.delete(X, features, axis=1) if len(features) else X
        used = ~np.isnan(scores).all(axis=1) & (weight > 0)
        check_both_classes(is_fake, used)
        rows = Rows(X, is_fake, codes, weight)
        if not used.all():
            rows = rows[used]
            if groups is not None:
                rows.groups = group_codes(rows.groups, len(rows))  # without gaps
        rows.place = np.where(used, np.cumsum(used) - 1, -1)
        return rows

    def _fit_inside(self, rows):
        """Learn from rows of a combiner around this one: no checks, no advice."""
        groups = rows.groups
        if type(self).fit is not Combiner.fit:  # of a class of the user's
            self._inside = rows.folds, rows.offsets, False
            return self.fit(
                rows.scores, rows.is_fake, groups=groups, sample_weight=rows.weight
            )
        check_both_classes(rows.is_fake, np.full(len(rows), True))
        self.classes_, self.fake_index_ = np.array([0, 1]), 1
        self.n_features_in_ = rows.scores.shape[1]
        if groups is not None:
            groups = np.unique(groups, return_inverse=True)[1]  # without gaps
        rows = replace(rows, groups=groups, place=np.arange(len(rows)))
        self.maps_ = self._learned_maps(rows, outermost=False)
        return self._fit_rows(rows)

    def _learned_maps(self, rows, outermost, advise=False):
        """Learn what brings columns to 0 to 1; combiners inside find them there."""
        scale = self._scale_name()
        if not outermost and scale in (DETECT, *P_FAKE_SCALES):
            return None
        columns, names = self._score_columns(), self._column_names()
        if scale in P_FAKE_SCALES:
            check_p_fake(rows.scores, columns, scale, names)
            looks = [P_FAKE] * self.n_features_in_
        elif self._maps_columns(scale):
            looks = looks_for(scale, rows.scores, columns, rows.weight)
        else:
            return None
        if scale == DETECT and advise:
            warn_of_other_scales(rows.scores, looks, names)
        maps = fit_maps(rows.scores, rows.weight, looks)
        rows.scores = clip_rounding(rows.scores, columns, maps)
        return maps if any(maps) else None

    def _maps_columns(self, scale):
        """Say whether a scale first brings columns of the table to 0 to 1."""
        return scale == DETECT

    def _own_scale(self):
        """Return the scale that follows where columns were brought to 0 to 1."""
        return "probability"

    def _fit_rows(self, rows):
        """Learn from clean rows of a table: canonical order, scale, `_fit`."""
        scale = self._scale_name()
        if self._maps_columns(scale):
            scale = self._own_scale()
        if self.maps_ is not None:
            rows.scores = to_p_fake(self.maps_, rows.scores)
            if rows.offsets is not None:
                rows.offsets = mapped_offsets(self.maps_, rows.scores, rows.offsets)
        columns = canonical_columns(rows)
        is_feature = np.isin(columns, self._feature_columns())
        self.detector_order_ = detectors = columns[~is_feature]
        self.feature_order_ = features = columns[is_feature]
        place_of_videos, place = rows.place, np.arange(len(rows))
        if len(rows) <= _MAX_ORDERED:
            rows.scores = rows.scores[:, np.concatenate([detectors, features])]
            rows = merge_rows(rows)
            place, columns = rows.place, np.arange(len(columns))
            detectors, features = np.split(columns, [len(detectors)])
        clip = getattr(self, "clip", None)
        self.scale_ = fit_scale(scale, rows.scores, detectors, rows.weight, clip)
        if rows.offsets is not None:
            rows.offsets = self._offsets_on_scale(
                rows.scores[:, detectors], rows.offsets[self.detector_order_]
            )
        if len(features):
            self.feature_scale_ = fit_scale(
                "standard", rows.scores, features, rows.weight
            )
        rows.scores = self._scaled(rows.scores, detectors, features)
        rows.place = np.append(place, -1)[place_of_videos]
        with one_blas_thread:  # small products, whose digits do not depend on cores
            self._fit(rows)
        return self

    def fake_score(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Return P(fake) of each video, whatever the labels are called.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            The detectors of `fit` in the same order; NaN where a score is missing.

        Returns
        -------
        score : ndarray of shape (n_videos,)
            NaN where no detector has a score.
        """
        return self._score_rows(self._checked(X))

    def _score_inside(self, scores):
        """Score rows of a combiner around this one, without checks."""
        if type(self).fake_score is not Combiner.fake_score:  # of a user's class
            return self.fake_score(scores)
        return self._score_rows(scores)

    def _score_rows(self, X):
        score = np.full(len(X), np.nan)
        for start in range(0, len(X), _CHUNK):
            part = slice(start, start + _CHUNK)
            scores = self._on_scale(X[part])
            scored = self._has_score(scores)
            if scored.any():
                score[part][scored] = in_blocks(self._fake_score, scores[scored])
        score[np.abs(score - 0.5) <= ROUNDING] = 0.5  # a tie, to everyone who compares
        return np.clip(score, 0, 1)  # a mean of ones may come to 1 + 2e-16

    def predict_proba(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Return the probability of each class; columns follow `classes_`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)

        Returns
        -------
        probabilities : ndarray of shape (n_videos, 2)
            Both NaN where no detector has a score.
        """
        return class_columns(self.fake_score(X), self.fake_index_)

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Return the label of each video: fake where P(fake) is above 0.5.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)

        Returns
        -------
        labels : ndarray of shape (n_videos,)
        """
        score = self.fake_score(X)
        check_all_scored(score, X, "predict_proba, which gives NaN")
        is_fake = above(score, 0.5)
        return self.classes_[np.where(is_fake, self.fake_index_, 1 - self.fake_index_)]

    def contributions(self, X: ArrayLike | pd.DataFrame) -> NDArray | pd.DataFrame:
        """Say how much each detector moved each video.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)

        Returns
        -------
        moved : ndarray or DataFrame of shape (n_videos, n_detectors)
            Log-odds of the fake score minus what they would be had this detector been
            neutral: at 0.5 where scores are probabilities or ranks, at 0 on the other
            scales, at its mean or median in training where ``scale="detect"`` has
            standardised or ranked it. Positive pushes towards fake; 0 where the score
            is missing, and for features beside the scores.
        """
        checked = self._checked(X)
        scores = self._on_scale(checked)
        moved = np.zeros(checked.shape)
        scored = self._has_score(scores)
        scores = scores[scored]
        if len(scores):
            neutral = self._neutral()
            whole = _log_odds(self._fake_score(scores))
            for place, column in enumerate(self.detector_order_):
                without = scores.copy()
                without[:, place] = np.where(
                    np.isnan(scores[:, place]), np.nan, neutral[place]
                )
                moved[scored, column] = whole - _log_odds(self._fake_score(without))
        if isinstance(X, pd.DataFrame):
            return pd.DataFrame(moved, index=X.index, columns=X.columns)
        return moved

    def neutral_score(self) -> float:
        """Return the fake score where no detector moves anything: the constant.

        That of a video of which each detector says what `contributions` count from, and
        no feature beside the scores anything.
        """
        check_is_fitted(self)
        features = np.zeros(len(self.feature_order_))
        row = np.concatenate([self._neutral(), features])
        return float(self._fake_score(row[None])[0])

    def missing_scores(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Say which scores count as missing.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)

        Returns
        -------
        missing : bool ndarray of shape (n_videos, n_detectors)
            Those that are NaN, and those outside [0, 1] of a detector that was within
            in training.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # this is the answer
            return np.isnan(self._checked(X))

    def _scale_name(self):
        return self.scale

    def _trusts_direction(self):
        """Say whether a higher score can only mean fake to this combiner."""
        return True

    def _warn_of_inverted(self, rows, detectors):
        scores = rows.scores
        if len(detectors) < scores.shape[1]:
            scores = scores[:, detectors]
        beside = rows.is_fake, rows.weight, rows.groups, rows.folds
        inverted = looks_inverted(scores, *beside)
        names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        wrong = [str(names[column]) for column in detectors[inverted]]
        warn_of_inverted(wrong, self._who_trusts(), level_of_the_user())

    def _who_trusts(self):
        return f"{type(self).__name__} takes"

    def _offsets_on_scale(self, scores, offsets):
        """Return how far offsets of the table's scores move a middling one."""
        middle = np.nanmean(scores, axis=0)
        moved = np.stack([middle, middle + offsets])
        if self.scale_["name"] == "log_odds":
            moved = np.clip(moved, 0, 1)
        before, after = to_scale(self.scale_, moved, slice(None))
        return after - before

    def _feature_columns(self):
        return np.array([], int)

    def _score_columns(self):
        return np.setdiff1d(np.arange(self.n_features_in_), self._feature_columns())

    def _column_names(self):
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return [f"column {place}" for place in range(self.n_features_in_)]
        return list(names)

    def _has_score(self, scores):
        return ~np.isnan(scores[:, : len(self.detector_order_)]).all(axis=1)

    def _neutral(self):
        """Return each detector's neutral score, on our scale and in our order."""
        return np.full(len(self.detector_order_), NEUTRAL[self.scale_["name"]])

    def _neutral_in_table(self):
        """Return the neutral scores as they stand in the table."""
        mapped = self._to_table_order(neutral_scores(self.scale_))
        return from_p_fake(self._maps(), mapped)

    def _to_table_order(self, values, unused=0.0):
        """Lay values in the combiner's order of detectors out in the table's order."""
        laid_out = np.full(self.n_features_in_, unused)
        laid_out[self.detector_order_] = values
        return laid_out

    def _from_table_order(self, given, name):
        """Bring one number per detector, an array or a dict by name, into our order."""
        if isinstance(given, dict):
            names = list(getattr(self, "feature_names_in_", []))
            if not names:
                raise ValueError(
                    f"{name} by detector name needs a DataFrame with named columns"
                )
            if set(given) != set(names):
                raise ValueError(
                    f"{name} must name every detector once; missing "
                    f"{sorted(set(names) - set(given))}, unknown "
                    f"{sorted(set(given) - set(names))}"
                )
            given = [given[detector] for detector in names]
        given = np.asarray(given, dtype=float)
        if given.shape != (self.n_features_in_,):
            raise ValueError(
                f"{name} must have shape ({self.n_features_in_},), one per detector; "
                f"got {given.shape}"
            )
        return given[self.detector_order_]

    def _checked(self, X):
        check_is_fitted(self)
        check_columns(self, X)
        X = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        if self.scale_["name"] not in P_FAKE_SCALES:
            return X
        return without_outside(
            X, self.detector_order_, self._maps(), self._column_names()
        )

    def _maps(self):
        return getattr(self, "maps_", None)  # none in files of older versions

    def _on_scale(self, X):
        X = to_p_fake(self._maps(), X)
        return self._scaled(X, self.detector_order_, self.feature_order_)

    def _scaled(self, X, detectors, features):
        scores = to_scale(self.scale_, X, detectors)
        if len(features) == 0:
            return scores
        return np.hstack([scores, to_scale(self.feature_scale_, X, features)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = True
        return tags


def _log_odds(score, clip=1e-9):
    score = np.clip(score, clip, 1 - clip)
    return np.log(score) - np.log1p(-score)
