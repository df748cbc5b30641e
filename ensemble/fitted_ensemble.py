"""What a fitted ensemble answers: scores, labels, verdicts, thresholds, its card."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from base_models.errors import DeepfakeEnsembleWarning, UnscorableVideoError
from base_models.inputs import Videos
from ensemble.cascade.asking import CascadeRows, asked_table, each_asked_table
from ensemble.cascade.stages import MemberCascade, cascade_of
from ensemble.combiners.parts.answers import class_columns
from ensemble.decision.named_thresholds import Thresholds
from ensemble.metrics.ties import ROUNDING, above
from ensemble.out_of_fold.ensemble_scores import unseen_scores
from ensemble.scores.provenance import Provenance
from ensemble.scores.replaced import holding_contents, without_replaced
from ensemble.verdicts.card import (
    ModelCard,
    card_of,
    doubt_of,
    saved_card,
)
from ensemble.verdicts.member_scores import (
    combined_scores,
    each_table,
    whole_table,
)
from ensemble.verdicts.table_verdicts import VerdictRows
from ensemble.verdicts.threshold_and_prior import resolve_thresholds
from ensemble.verdicts.video_verdicts import (
    filled_scores,
    unscorable_reasons,
    verdict_table,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from base_models.batch.run import BatchSummary
    from ensemble.comparison.result import Comparison


class FittedEnsemble(ClassifierMixin, BaseEstimator):
    """What `ensemble.DeepfakeEnsemble` does once it is fitted.

    Fitting, parameters and the meaning of attributes are there.
    """

    def predict_proba(self, videos: Videos) -> NDArray:
        """Return the probability of both classes, an ndarray of shape (n_videos, 2).

        Columns are as in ``classes_``, sorted, so that with strings the second may be
        REAL: `fake_score` asks for P(fake) by name.
        """
        return class_columns(self.fake_score(videos), self._fake_column())

    def fake_score(self, videos: Videos) -> NDArray:
        """Return P(fake), whatever the labels are called: shape (n_videos,).

        NaN, and a warning, for a video that no detector can score; the share of fakes
        in training with ``unscorable="prior"``.
        """
        return self.combine(self.detector_scores(videos))

    def predict(self, videos: Videos) -> NDArray:
        """Return the label of each video, shape (n_videos,), not saying how sure it is.

        Labels are real or fake even where `judge` says UNSURE and why.

        Raises
        ------
        UnscorableVideoError
            Naming the videos that no detector can score, unless
            ``unscorable="prior"``.
        ValueError
            After a fit on real videos alone, which is no ground for calling one real.
        """
        _ = self.threshold_  # a three-way threshold is refused before any work
        self.thresholds_.check_labels()
        doubt = doubt_of(self)
        if doubt:
            warnings.warn(
                f"{doubt}; labels say little", DeepfakeEnsembleWarning, stacklevel=2
            )
        table = asked_table(self, videos, doubts=False)
        if self.unscorable == "nan":
            unscorable = unscorable_reasons(self, table, combined_scores(self, table))
            if unscorable:
                raise UnscorableVideoError(unscorable)
        return self.verdicts(self.combine(table))

    def decision_function(self, videos: Videos) -> NDArray:
        """Return log-odds of ``classes_[1]``, shape (n_videos,), 0 at the threshold.

        Positive where `predict` says ``classes_[1]``; 0 is real.
        """
        tiny = np.finfo(float).tiny
        threshold = self.threshold_  # a three-way threshold is refused before any work
        score = self.fake_score(videos)
        fake = np.clip(score, tiny, 1 - np.finfo(float).epsneg)
        margin = logit(fake) - logit(np.clip(threshold, tiny, 1 - 1e-16))
        margin[np.abs(score - threshold) <= ROUNDING] = 0.0
        return margin if self._fake_column() == 1 else -margin

    def judge(self, videos: Videos, doubts: bool = True) -> pd.DataFrame:
        """Return a verdict on each video, with what is behind it.

        Parameters
        ----------
        videos : sequence of length n_videos
        doubts : bool, default=True
            Whether a video in doubt is UNSURE; False leaves REAL or FAKE as the
            threshold says. The doubts are listed either way.

        Returns
        -------
        DataFrame of shape (n_videos, 5 + n_detectors)
            By video: ``p_fake``, or ``suspicion`` of an ensemble that learned from real
            videos alone; ``verdict``, REAL, FAKE or UNSURE, of such an ensemble FAKE
            TRACES or UNSURE, empty without a score; ``status``: ``scored``, ``partial``
            (a detector gave no score) or ``unscorable``; ``reason``, why a score is
            missing or what to know about one, as that the video was trained on;
            ``doubts``, why the score is no ground for a verdict
            (`ensemble.verdicts.doubts`); of an ensemble that no labelled video was
            shown to ``calibration``, "unknown"; with a ``cascade`` ``members_asked``,
            their names; and each detector's score, NaN of one that was not asked, which
            is no failure.
        """
        from base_models.inputs import as_videos
        from base_models.runtime.file_digest import held_contents
        from base_models.video.paths import hashed_once

        videos = as_videos(videos)
        with held_contents(), hashed_once(videos):
            return self._judged(asked_table(self, videos, doubts), videos, doubts)

    def judge_each(self, videos: Videos, doubts: bool = True) -> Iterator[pd.DataFrame]:
        """Yield the rows of `judge` one by one, each as soon as its video is scored."""
        from base_models.inputs import as_videos

        videos = as_videos(videos)
        tables = each_asked_table(self, videos, doubts)
        yield from holding_contents(
            self._judged(table, [videos[number]], doubts)
            for number, table in enumerate(tables)
        )

    def _judged(self, table, videos, doubts):
        """Judge scores, of which none stays that is of another file than the doubts."""
        judged = self.judge_scores(table, videos, doubts)
        left = without_replaced(table, videos)
        return judged if left is None else self.judge_scores(left, videos, doubts)

    def judge_table(
        self,
        table: str | os.PathLike,
        output: str | os.PathLike,
        engine: str | None = None,
        *,
        column: str | None = None,
        part_size: int = 1000,
        doubts: bool = True,
        overwrite: bool = False,
        encoding: str | None = None,
        isolation: str | None = "process",
        timeout: float | None = None,
    ) -> BatchSummary:
        """Judge a table of videos of any length into a folder of parquet files.

        Verdicts are those of `judge`, bit for bit. The output has a row for each row of
        the table, in its order: ``row``, its number from 0; all columns of the table;
        then the columns of `judge`, with a missing score where that has NaN. A column
        of the table with one of these names has ``input_`` before it.

        Parts are written as they are done, in bounded memory. Run again, those that
        are there are skipped. A video that ends its process three times, run again or
        not, gets no score and that reason.

        Parameters
        ----------
        table, output, engine, column, part_size, overwrite, encoding
            As for `base_models.score_table`.
        isolation, timeout
            As for `base_models.score_table`.
        doubts : bool, default=True
            As for `judge`.

        Returns
        -------
        BatchSummary

        Examples
        --------
        >>> import tempfile
        >>> from base_models import CallableDetector
        >>> from ensemble import DeepfakeEnsemble
        >>> half = CallableDetector(lambda videos: [len(v) / 50 for v in videos])
        >>> half = half.fit(["a.mp4", "b.mp4"], [0, 1])
        >>> model = DeepfakeEnsemble.from_detectors({"half": half})
        >>> with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        ...     table = Path(folder) / "videos.csv"
        ...     _ = table.write_text("path,source\\na.mp4,096\\n,097\\n")
        ...     done = model.judge_table(table, Path(folder) / "verdicts")
        ...     pd.read_parquet(done.output)[["row", "source", "verdict", "status"]]
           row source verdict      status
        0    0    096  UNSURE      scored
        1    1    097          unscorable
        """
        from base_models.batch.run import run_table

        check_is_fitted(self)
        scorer = VerdictRows if self.cascade is None else CascadeRows
        return run_table(
            scorer(self, doubts), table, output, engine, column, part_size,
            overwrite, encoding, "judging videos" if self.verbose else None,
            isolation, timeout,
        )  # fmt: skip

    def judge_scores(
        self, table: pd.DataFrame, videos: Videos | None = None, doubts: bool = True
    ) -> pd.DataFrame:
        """Return what `judge` does, from the detectors' scores.

        Parameters
        ----------
        table : DataFrame of shape (n_videos, n_detectors)
            As `detector_scores` gives it, or any table of P(fake) with a column for
            each detector; what is missing in that has no reason.
        videos : sequence of length n_videos or None, default=None
            None compares only scores with those of training, and not the videos' size,
            codec and quantiser.
        doubts : bool, default=True
            As for `judge`.
        """
        return verdict_table(self, table, videos, doubts)

    def verdicts(self, fake_score: ArrayLike) -> NDArray:
        """Return the label that `threshold_` gives each P(fake), shape (n_videos,).

        Raises
        ------
        ValueError
            Where a score is NaN: such a video has no label. After a fit on real videos
            alone, which is no ground for calling one real.
        """
        self.thresholds_.check_labels()
        fake = self._fake_column()
        fake_score = np.asarray(fake_score, float)
        unknown = np.flatnonzero(np.isnan(fake_score))
        if len(unknown):
            raise ValueError(
                "verdicts takes scores without NaN; got NaN at "
                f"{', '.join(map(str, unknown[:5]))}"
                f"{', ...' if len(unknown) > 5 else ''} of {len(fake_score)}. Drop "
                "these videos, or use judge, which gives them no verdict and a reason"
            )
        is_fake = above(fake_score, self.threshold_)
        return np.where(is_fake, self.classes_[fake], self.classes_[1 - fake])

    def detector_scores(self, videos: Videos) -> pd.DataFrame:
        """Return what each base detector says of new videos.

        Returns
        -------
        DataFrame of shape (n_videos, n_detectors)
            P(fake), NaN with a reason (`ensemble.scores.reasons`) where a detector
            has none.
        """
        return whole_table(self, videos)

    def each_detector_scores(self, videos: Videos) -> Iterator[pd.DataFrame]:
        """Yield the rows of `detector_scores` one by one, each when it is there."""
        yield from each_table(self, videos)

    def combine(self, table: pd.DataFrame) -> NDArray:
        """Return P(fake), shape (n_videos,), from what `detector_scores` gives."""
        check_is_fitted(self)
        return filled_scores(self, table)

    @property
    def oof_fake_score_(self) -> pd.Series:
        """P(fake) of training videos by combiners that have not seen their group."""
        check_is_fitted(self)
        return unseen_scores(self)

    @property
    def thresholds_(self) -> Thresholds:
        """Where fake is said and where real, and what that was set on."""
        check_is_fitted(self)
        return resolve_thresholds(self)

    @property
    def threshold_(self) -> float:
        """P(fake) above which `predict` says fake."""
        return self.thresholds_.of_labels(self.threshold)

    @property
    def weights_(self) -> pd.Series | Any:
        """Weight of each detector in the combiner; None for one that has none."""
        check_is_fitted(self)
        weights = getattr(self.combiner_, "weights_", None)
        return None if weights is None else pd.Series(weights, list(self.detectors_))

    @property
    def cascade_(self) -> MemberCascade | None:
        """In which order members are asked; None where ``cascade`` is not set."""
        check_is_fitted(self)
        return None if self.cascade is None else cascade_of(self)

    @property
    def failed_detectors_(self) -> dict[str, str]:
        """Detectors that failed in the fit and were left out: where, and why."""
        check_is_fitted(self)
        return dict(Provenance.of(self.oof_scores_).failed_detectors)

    @property
    def skipped_videos_(self) -> dict[str, str]:
        """Training videos that no detector could look at and were left out: why."""
        check_is_fitted(self)
        return dict(Provenance.of(self.oof_scores_).skipped_videos)

    @property
    def card_(self) -> ModelCard:
        """What the ensemble learned from and how often it errs."""
        check_is_fitted(self)
        return card_of(self)

    def describe(self, data: str, toy: bool = False, rights: str = "") -> Self:
        """Say what the ensemble learned from; it stands beside every verdict.

        Parameters
        ----------
        data : str
            In a word: "FaceForensics++ c23, deepfakes only".
        toy : bool, default=False
            Whether the ensemble shows how things work, and is meant for no real video.
        rights : str, default=""
            Whose videos they are and by what right they were used.
        """
        check_is_fitted(self)
        facts = replace(
            self.fit_record_.facts,
            data=data,
            rights=rights,
            described=True,
            toy=toy,
            cards={},
        )
        self.fit_record_ = replace(self.fit_record_, facts=facts)
        return self

    def report(
        self,
        path: str | Path,
        strategies: Any = "all",
        metadata: pd.DataFrame | None = None,
        title: str | None = None,
        **options: Any,
    ) -> Comparison:
        """Compare strategies on the out-of-fold scores; write what comes out as a page.

        The scores of one fold come from detectors that saw the labels of others, so
        that the comparison is approximate and says so; `ensemble.compare_strategies`
        with the detectors and videos is exact.

        Parameters
        ----------
        path : str or Path
            The HTML file: it opens offline and needs nothing beside it. Needs the
            extra ``report``.
        strategies : "all", name, combiner, sequence or dict, default="all"
            What is set beside this ensemble's own combiner.
        metadata : DataFrame or None, default=None
            One row for each row of `oof_scores_`, by id or in the same order: method,
            source, compression ...
        title : str or None, default=None
            Of the page.
        **options
            To `ensemble.compare_strategies`: protocol, n_folds, n_boot ...
        """
        from ensemble.comparison.ensemble_report import write_ensemble_report

        return write_ensemble_report(self, path, strategies, metadata, title, options)

    def save(
        self,
        path: str | Path,
        overwrite: bool = False,
        key: bytes | str | Path | None = None,
    ) -> None:
        """Write the fitted ensemble to a file for `ensemble.load`; no code is in it.

        Parameters
        ----------
        path : str or Path
            Written whole or not at all; ``.dfe`` by habit.
        overwrite : bool, default=False
            Replace a file that is there and is no saved ensemble.
        key : bytes, str, Path or None, default=None
            A secret of 16 bytes or more, or the path of a file that holds it, to sign
            the file with; `load` with the same key refuses any other. None is the
            file that ``DEEPFAKE_ENSEMBLE_KEY`` names, or no signature.

        Raises
        ------
        OutputError
            If there is such a file.
        """
        from ensemble.out_of_fold.record import file_of
        from ensemble.persistence.save import save_ensemble
        from ensemble.persistence.signature import secret
        from ensemble.reporting.outputs import check_replaced
        from ensemble.reporting.own_files import ENSEMBLES

        check_is_fitted(self)
        signed = secret(key)
        check_replaced(path, "model", ENSEMBLES, overwrite)
        fitted = {k: value for k, value in vars(self).items() if k.endswith("_")}
        params = self.get_params(deep=False)
        save_ensemble(path, params, fitted, saved_card(self), signed)
        self.fit_record_ = replace(self.fit_record_, **file_of(path))

    def without_names(self) -> Self:
        """Return a copy that names no training video, to be saved and handed on.

        Paths, groups and hashes of the training videos become numbers; scores,
        verdicts and figures stay as they are. `add_detector` no longer works, since it
        cannot tell the videos, and `judge` no longer knows a video that the model
        learned from. What weights reveal of what they learned from they still do.
        `ModelCard.data` is what you said with `describe`.

        Returns
        -------
        DeepfakeEnsemble
        """
        from ensemble.persistence.without_names import without_names

        check_is_fitted(self)
        return without_names(self)

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        text = super().__repr__(N_CHAR_MAX)
        record = getattr(self, "fit_record_", None)
        if record is not None and record.unlabelled:
            text += "  # scores of unknown calibration: no labelled videos"
        failed = {} if record is None else self.failed_detectors_
        if failed:
            text += f"  # without {', '.join(failed)}: failed in the fit"
        return text

    def _html_repr(self):
        from ensemble.comparison.ensemble_report import ensemble_html

        return super()._html_repr() + ensemble_html(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        tags.classifier_tags.multi_class = False
        return tags

    def _become(self, other):
        """Take over what was computed on a copy, all at once."""
        vars(self).update(vars(other))
        return self

    def _fake_column(self):
        check_is_fitted(self)
        return int(self.classes_[1] == self.fake_class_)
