"""What a fitted `ScorePipeline` answers: P(fake), labels, verdicts, its own figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ensemble.choices import FAKE, REAL
from ensemble.combiners.parts.answers import check_all_scored, class_columns
from ensemble.combiners.parts.checks import check_columns
from ensemble.decision.error_rates import verdict_rates
from ensemble.decision.named_thresholds import Thresholds, thresholds_for
from ensemble.decision.prior import adjust_prior
from ensemble.metrics.bootstrap_intervals import Interval
from ensemble.metrics.ties import above
from ensemble.out_of_fold.ensemble_scores import OutOfFoldEvidence, is_above_chance
from ensemble.out_of_fold.reals_only import learns
from ensemble.pipeline.intervals import interval_at
from ensemble.pipeline.judging import verdict_table
from ensemble.reporting.outputs import check_replaced

_MARGIN = 0.05  # by which a rate may exceed the interval of the promised one


class FittedRule(ClassifierMixin, BaseEstimator):
    """What a `ScorePipeline` does once it is fitted.

    `ScorePipeline` says what it holds, how it is fitted, and what its interval means.
    """

    combiner_: Any
    calibrator_: Any

    def fake_score(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Return P(fake) of each video, whatever the labels are called.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            The detectors of `fit` in the same order; NaN where a score is missing.

        Returns
        -------
        p_fake : ndarray of shape (n_videos,)
            NaN where no detector has a score.
        """
        checked = self._checked(X)
        return self.to_probability(self.combiner_.fake_score(checked))

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
        """Return the label of each video: fake where P(fake) is above `threshold_`.

        A label cannot be unsure: `judge` says what is known, and what is not.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)

        Returns
        -------
        labels : ndarray of shape (n_videos,)

        Raises
        ------
        ValueError
            If a video has no score, or `thresholds_` leaves videos unsure.
        """
        score = self.fake_score(X)
        check_all_scored(score, X, "judge or predict_proba, which give NaN")
        is_fake = above(score, self.threshold_)
        return self.classes_[np.where(is_fake, self.fake_index_, 1 - self.fake_index_)]

    def judge(
        self, X: ArrayLike | pd.DataFrame, contributions: bool = True
    ) -> pd.DataFrame:
        """Say what is known of each video, and what is not.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_videos, n_detectors)
            A DataFrame is taken by the names of the rule, in any order; other columns
            are left aside.
        contributions : bool, default=True
            Whether to say what each detector contributed, which takes one more scoring
            for each of them.

        Returns
        -------
        DataFrame of shape (n_videos, 7 + n_detectors)
            ``p_fake``; ``lower`` and ``upper``, its interval (see Notes of the class);
            ``verdict``: FAKE, REAL or UNSURE; ``status``: scored, partial (a detector
            has no score) or unscorable; ``missing``: these detectors; ``reason``: why
            P(fake) is NaN or the verdict UNSURE, and why scores are missing, where the
            table says so; ``contribution_<detector>``: how far it moved the combined
            score, in log-odds before calibration, see `Combiner.contributions`.
        """
        X = self._by_name(X)
        checked = self._checked(X)
        missing = self.combiner_.missing_scores(checked)
        known = checked.copy()
        known[missing] = np.nan
        combined = self.combiner_.fake_score(known)
        moved = None
        if contributions:
            moved = np.asarray(self.combiner_.contributions(known))
        table = pd.DataFrame(np.asarray(checked), columns=self.detector_names_)
        if isinstance(X, pd.DataFrame):
            table.index, table.attrs = X.index, X.attrs
        return verdict_table(self, table, ~missing, combined, moved)

    def to_probability(self, combined: NDArray) -> NDArray:
        """Bring combined scores to P(fake): calibration, then prior.

        Parameters
        ----------
        combined : ndarray of shape (n_videos,)
            Of ``combiner_.fake_score``.

        Returns
        -------
        ndarray of shape (n_videos,)
        """
        if self.calibrator_ is not None:
            combined = self.calibrator_(combined)
        return self._to_prior(combined)

    def interval_of(self, combined: NDArray) -> NDArray:
        """Return the interval of P(fake) for combined scores; see Notes of the class.

        Parameters
        ----------
        combined : ndarray of shape (n_videos,)
            Of ``combiner_.fake_score``.

        Returns
        -------
        ndarray of shape (n_videos, 2)
        """
        if self.calibrator_ is None or self._band is None:
            return np.full((len(combined), 2), np.nan)
        ends = interval_at(self._band, combined, self.calibrator_(combined))
        return self._to_prior(ends)

    def to_onnx(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a linear rule as an ONNX file, for other programs.

        It takes ``scores``, float64 of shape (n_videos, n_detectors), NaN where one is
        missing, in the order of `fit`, and gives ``p_fake``, float64 of shape
        (n_videos,), NaN where there is none. Names of the columns, thresholds and the
        doubt about all verdicts are in the file's metadata. Needs the extra ``onnx``.

        Parameters
        ----------
        path : str or Path
            Written whole or not at all.
        overwrite : bool, default=False
            Replace a file that is there and was not exported by this library.

        Raises
        ------
        OutputError
            If there is such a file.
        ValueError
            Naming the part that has no graph: a combiner that is no weighted sum,
            ranks, or a calibration that is a staircase.
        """
        from ensemble.pipeline.onnx import export_rule

        check_is_fitted(self)
        check_replaced(path, "onnx", overwrite=overwrite)
        export_rule(self, path)

    @property
    def thresholds_(self) -> Thresholds:
        """Where fake is said and where real, and what that was set on."""
        check_is_fitted(self)
        return thresholds_for(
            self.threshold, self._scored, self.to_probability, self.prior
        )

    @property
    def threshold_(self) -> float:
        """P(fake) above which `predict` says fake."""
        return self.thresholds_.of_labels(self.threshold)

    @property
    def rates_(self) -> pd.DataFrame:
        """How often verdicts are wrong or unsure out of fold, with intervals."""
        evidence = self.evidence()
        verdict = self.thresholds_.verdicts(self.to_probability(evidence.score))
        return verdict_rates(evidence.is_fake, verdict, evidence.groups)

    @property
    def detector_names_(self) -> list[str]:
        """Names of the columns, their numbers where there are none."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", np.arange(self.n_features_in_))
        return [str(name) for name in names]

    @property
    def auc_(self) -> Interval:
        """AUC of the out-of-fold scores, with its 95 % interval over groups."""
        check_is_fitted(self)
        return Interval(*self._auc)

    @property
    def doubt_(self) -> str:
        """Why no verdict is given at all; empty where there is no such reason."""
        evidence = self.evidence()
        if is_above_chance(self.auc_, evidence.is_fake, evidence.groups):
            return self._broken_promise()
        auc, low, _ = self.auc_
        if np.isnan(auc):
            return "a class was in one group, so that nothing is known of unseen ones"
        return (
            f"not shown to beat chance out of fold (AUC {auc:.2f}, at least {low:.2f})"
        )

    def _broken_promise(self):
        """Say where the rule errs more on videos that it saw than on those held out.

        With `shift` what is held out is judged by copies that saw other sources, whose
        scores may be of another scale than those of the rule in use.
        """
        own = getattr(self, "_own_score", None)
        if own is None:
            return ""
        there = ~np.isnan(own) & ~np.isnan(self.oof_fake_score_)
        seen, held_out = (
            self.thresholds_.verdicts(self.to_probability(score[there]))
            for score in (own, self.oof_fake_score_)
        )
        is_fake = self._is_fake[there]
        for kind, said, label in (("false alarm", FAKE, 0), ("miss", REAL, 1)):
            came, rate = (
                np.mean(verdict[is_fake == label] == said)
                for verdict in (seen, held_out)
            )
            # the interval, which takes many draws, lies around the rate
            if came <= rate + _MARGIN:
                continue
            if came > self.rates_.loc[kind, "high"] + _MARGIN:
                return (
                    f"its rate of {kind} is {came:.0%} on videos that it was fitted on "
                    f"and {rate:.0%} on those held out by shift, so that "
                    "what was learned there does not hold for it; fit without shift, "
                    'or with another combiner, such as "log_odds"'
                )
        return ""

    @property
    def fitted_prior_(self) -> float:
        """Share of fakes that P(fake) starts from, before `prior`."""
        learned = self.calibrator_ is not None or learns(self.combiner_)
        return self.prior_ if learned else 0.5

    @property
    def weights_(self) -> NDArray | None:
        """The combiner's weights of the detectors; None where it has none."""
        check_is_fitted(self)
        return getattr(self.combiner_, "weights_", None)

    def describe(self) -> str:
        """Return the rule in words and numbers.

        Returns
        -------
        str
            Several lines, to print.
        """
        from ensemble.pipeline.description import describe_rule

        check_is_fitted(self)
        return describe_rule(self)

    def save(
        self,
        path: str | Path,
        overwrite: bool = False,
        key: bytes | str | Path | None = None,
    ) -> None:
        """Write the fitted rule to a file for `load`; no code is in it.

        Parameters
        ----------
        path : str or Path
            Written whole or not at all; ``.dfe`` by habit.
        overwrite : bool, default=False
            Replace a file that is there and is no saved rule.
        key : bytes, str, Path or None, default=None
            A secret of 16 bytes or more, or the path of a file that holds it, to sign
            the file with; `load` with the same key refuses any other. None is the
            file that ``DEEPFAKE_ENSEMBLE_KEY`` names, or no signature.

        Raises
        ------
        OutputError
            If there is such a file.
        """
        from ensemble.persistence.signature import secret
        from ensemble.pipeline.files import save_rule

        check_is_fitted(self)
        signed = secret(key)
        check_replaced(path, "model", ("combine",), overwrite)
        save_rule(self, path, signed)

    def evidence(self) -> OutOfFoldEvidence:
        """Return the out-of-fold scores that there are, with labels and groups.

        Returns
        -------
        OutOfFoldEvidence
            Without a table.
        """
        check_is_fitted(self)
        there = ~np.isnan(self.oof_fake_score_)
        fold = getattr(self, "_fold", None)  # not in older files
        return OutOfFoldEvidence(
            table=pd.DataFrame(),
            score=self.oof_fake_score_[there],
            is_fake=self._is_fake[there],
            groups=None if self._groups is None else self._groups[there],
            fold=None if fold is None else np.asarray(fold)[there],
            kind="out-of-fold",
            deciding=[],
        )

    def _scored(self):
        """Return the same; refuse what would be set on no score at all."""
        evidence = self.evidence()
        if not len(evidence.score):
            raise ValueError(
                f"threshold={self.threshold!r} is set on scores of unseen groups, and "
                "there are none, as a class was in one group; take a number"
            )
        return evidence

    def _to_prior(self, score):
        if self.prior is None:
            return score
        return adjust_prior(score, self.fitted_prior_, self.prior)

    def _by_name(self, X):
        """Return the rule's columns in its order, where a DataFrame has them all."""
        check_is_fitted(self)
        names = list(getattr(self, "feature_names_in_", ()))
        if names and isinstance(X, pd.DataFrame) and set(names) <= set(X.columns):
            return X[names]
        return X

    def _checked(self, X):
        """Return scores as the combiner takes them."""
        check_is_fitted(self)
        check_columns(self, X, "rule")
        values = validate_data(
            self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False
        )
        names = getattr(self, "feature_names_in_", None)
        return values if names is None else pd.DataFrame(values, columns=names)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = True
        return tags
