"""DeepfakeEnsemble: base detectors, resampling and a combiner, as one classifier."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import Videos
from base_models.naming import squeezed
from ensemble.combiner_fit import check_promise, fit_combiner, warn_of_missing_rows
from ensemble.fitted_ensemble import FittedEnsemble
from ensemble.member_fit import fit_members, made_fakes, tell_of_ensemble
from ensemble.naming import check_member_names, member_params
from ensemble.out_of_fold.left_out import LabelledVideos, split_without, without_unseen
from ensemble.out_of_fold.reals_only import check_detectors
from ensemble.out_of_fold.record import FitRecord
from ensemble.out_of_fold.table import with_column
from ensemble.out_of_fold.training_set import (
    NO_GROUPS,
    TrainingSet,
    check_splits,
    needs_labels,
    training_labels,
)
from ensemble.parameters import (
    checked_strategy,
    combiner_without_fakes,
    refuse_calibration,
)
from ensemble.presets import STRATEGIES, default_detectors
from ensemble.resampling.names import scores_are
from ensemble.scores.row_order import labelled_by_id
from ensemble.verdicts.card import facts_of_fit
from ensemble.verdicts.member_scores import fitted_pooling, named_members
from ensemble.verdicts.without_labels import put_together, ready_detector

if TYPE_CHECKING:
    from base_models.store.store import Store


class DeepfakeEnsemble(FittedEnsemble):
    """Train several deepfake detectors and learn how to combine them.

    Every base detector scores every training video out of fold: by a copy of it
    that saw no video of the same group. The combiner learns from these scores
    alone, so that what it learns holds for videos that nobody has seen.

    A detector that is already fitted (from `base_models.load_checkpoint`, or in
    scikit-learn's ``FrozenEstimator``) scores the videos once and is never refitted. If
    it may have been trained on them, a warning says so.

    You can train on real videos only if every detector is already fitted or learns
    from fakes made of the real ones (``pseudo_fakes``). The combiner is then
    `ensemble.combiners.SpreadLogOdds`: each detector's log-odds are divided by their
    spread over the real videos and averaged, with weights from kinds of pseudo-fakes
    that no detector was trained on (`PseudoFakes.split`). The threshold comes from the
    false-alarm rate on the out-of-fold real videos. Such a model says FAKE TRACES or
    UNSURE, never REAL; `predict` refuses; how many fakes it finds is unknown.

    A video is called fake if its score is above the threshold; a tie is real.

    Parameters
    ----------
    detectors : list of detectors, list of (name, detector), dict or None, default=None
        Anything with ``fit`` and ``predict_proba`` on videos. None is Xception,
        EfficientNet-B4 and ResNet-50, each on whole frames and on face crops.
    strategy : {"voting", "bagging", "blending", "stacking"}, default="stacking"
        A preset of `resampling` and `combiner`. Voting and stacking score over
        k folds and fit each detector once more on all videos (k + 1 fits); blending
        does so over one hold-out (2); bagging fits bootstrap replicas and averages
        them (25).
    resampling : str, int, splitter, iterable or None, default=None
        Overrides the strategy's: ``"k-fold"``, ``"holdout"``, ``"bootstrap"``, a
        number of folds, a scikit-learn splitter, (train, test) row numbers.
    combiner : str, combiner or None, default=None
        Overrides the strategy's: ``"log_odds"`` (voting's), ``"soft"`` (bagging's),
        ``"hard"``, ``"weighted"``, ``"logistic"`` (stacking's and blending's),
        ``"lightgbm"``, any object from `ensemble.combiners`, or any classifier.
    refit : bool, default=True
        Fit each detector once more on all videos; how far off these score, measured on
        up to 16 videos of each class, counts as noise for the combiner. False keeps
        the detectors of the splits and averages them: one fit fewer.
    n_frames : int, default=16
        Frames sampled per video, for the default detectors only.
    n_jobs : int or None, default=None
        Fits that run side by side; never so many that jobs x threads outgrow the
        cores. Scores do not depend on it.
    calibration : {"platt", "temperature", "beta", "isotonic", "venn_abers"}, \
default=None
        How P(fake) is calibrated; None does not. Fitted on cross-fitted scores of the
        combiner. Not possible with bootstrap scores, which average fewer replicas than
        the ensemble does.
    threshold : float, str or None, default=None
        P(fake) above which it is fake, or how to set it on the out-of-fold scores:
        ``"fpr=0.05"``, ``"cost=10"`` or ``"three-way"``, which leaves some videos
        unsure; see `ensemble.thresholds.parse_threshold`. None is 0.5; after a fit on
        real videos alone `false_alarm_rate` sets it. May be changed after the fit.
    prior : float or None, default=None
        Share of fakes among the videos to be scored, if it differs from that in
        training. P(fake) is corrected for it by Bayes' rule, after calibration
        (`ensemble.decision.adjust_prior`), starting from the share of fakes in
        training, or from one half if neither combiner nor calibration learned from
        labels. The correction is as good as the calibration. None does not correct.
    false_alarm_rate : float, default=0.05
        For a fit on real videos alone: the share of out-of-fold real videos, each
        counted once, that may be called fake.
    fake_label : label or None, default=None
        Which of two labels means fake, where they are not 0/1, booleans or
        "REAL"/"FAKE".
    unscorable : {"nan", "prior"}, default="nan"
        What a video gets that no detector can score: NaN (and `predict` raises
        `UnscorableVideoError`), or the share of fakes in training, for those who
        must have a number.
    random_state : int or None, default=None
        Seeds the splits, and detectors and combiner that have none of their own.
        None is 0, so that what was computed once is found again.
    store : Store, str, Path or None, default=None
        Keeps views, features, fitted detectors and their scores; None is
        the user's default store.
    device : str or None, default=None
        For detectors that have none of their own; None is a GPU where there is one.
    verbose : bool, default=True
        Show progress bars, on a terminal.
    faces_pooling : {"largest", "worst", "mean"}, default="largest"
        What decides about a video with several faces of like size (the four largest
        count). ``"largest"``: the face that each detector looks at. ``"worst"``: the
        face that looks most like a forgery, by the mean of the detectors' log-odds.
        ``"mean"``: the mean of each detector's log-odds over the faces. Out-of-fold
        scores are pooled alike, so that combiner, calibration and thresholds allow for
        the worst of many looking worse than one; the default threshold of 0.5 does
        not. Detectors learn from the largest face in any case. Where faces get
        different verdicts `judge` says so, as a doubt save with ``"worst"``.
    on_error : {"raise", "skip"}, default="raise"
        ``"skip"``: a detector that fails in a fit (it diverged, memory ran out, its
        process ended) is left out as a whole, and so is a training video that no
        detector can look at. Warnings, `failed_detectors_`, `skipped_videos_`, the
        card and the saved file name them; all else is as in a fit without them.
    cascade : {"exact"}, float or None, default=None
        `predict` and `judge` ask members in turn, and no more once the verdict is
        settled (`ensemble.cascade`): where the others cannot change it ("exact"), or
        on at most this share of videos differs, certified with 95 % confidence (then
        networks look at a quarter of the frames first, and at half).
    member_costs : dict of str to float or None, default=None
        What members cost, for `cascade`; else their networks' multiply-adds.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    fake_class_ : label
        The one that means fake.
    threshold_ : float
        P(fake) above which `predict` says fake.
    thresholds_ : Thresholds
        Where fake is said, where real, and what that was set on.
    oof_fake_score_ : Series of shape (n_videos,)
        P(fake) of the videos of `oof_scores_`, each by a combiner that has not seen its
        group, NaN where no detector has a score: what thresholds are set on. Before
        calibration and `prior`.
    false_alarms_ : Interval or None
        After a fit on real videos alone: the share of out-of-fold real videos above
        `threshold_`, with its 95 % interval over groups. Where they set the threshold
        themselves it may be more of others.
    oof_scores_ : DataFrame of shape (n_videos, n_detectors)
        The out-of-fold score table; with a hold-out, its videos only. Its provenance
        (``oof_scores_.attrs["provenance"]``) names the detectors that were fitted
        already (``prefit``) and what they saw (``trained_on``).
    detectors_ : dict of str to detector, or to list of detectors
        The fitted detectors; lists are averaged.
    combiner_ : Combiner
        Fitted on `oof_scores_`.
    calibrator_ : Calibrator or None
        Fitted on the combiner's cross-fitted scores.
    prior_ : float
        Share of fakes among the training videos; 0 where all were real.
    weights_ : Series of shape (n_detectors,) or None
        Weight of each detector in the combiner, by name; None where it has none.
    cascade_ : MemberCascade or None
        In which order members are asked, where ``cascade`` is set.
    card_ : ModelCard
        What it learned from and how often it errs out of fold; see `describe`.
    failed_detectors_, skipped_videos_ : dict of str to str
        What ``on_error="skip"`` left out, and why.
    fit_record_ : FitRecord
        What the fit leaves for the ensemble's own use: training set, splits ...

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector
    >>> from ensemble import DeepfakeEnsemble
    >>> shades = np.repeat([40, 200], 8)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None, image_size=32,
    ...     n_frames=2,
    ... )
    >>> model = DeepfakeEnsemble([("resnet18_frame", detector)], resampling=2)
    >>> model = model.fit(videos, shades > 100, groups=np.arange(16) % 8)
    >>> model.predict(videos[::8])
    array([False,  True])
    """

    __metadata_request__fit = {"groups": True}  # noqa: RUF012

    def __init__(
        self,
        detectors: Sequence | dict | None = None,
        strategy: str = "stacking",
        resampling: Any = None,
        combiner: Any = None,
        refit: bool = True,
        n_frames: int = 16,
        n_jobs: int | None = None,
        calibration: str | None = None,
        threshold: float | str | None = None,
        prior: float | None = None,
        false_alarm_rate: float = 0.05,
        fake_label: Any = None,
        unscorable: str = "nan",
        random_state: int | None = None,
        store: Store | str | Path | None = None,
        device: str | None = None,
        verbose: bool = True,
        faces_pooling: str = "largest",
        on_error: str = "raise",
        cascade: float | str | None = None,
        member_costs: dict[str, float] | None = None,
    ) -> None:
        self.detectors = detectors
        self.strategy = strategy
        self.resampling = resampling
        self.combiner = combiner
        self.refit = refit
        self.n_frames = n_frames
        self.n_jobs = n_jobs
        self.calibration = calibration
        self.threshold = threshold
        self.prior = prior
        self.false_alarm_rate = false_alarm_rate
        self.fake_label = fake_label
        self.unscorable = unscorable
        self.random_state = random_state
        self.store = store
        self.device = device
        self.verbose = verbose
        self.faces_pooling = faces_pooling
        self.on_error = on_error
        self.cascade = cascade
        self.member_costs = member_costs

    @classmethod
    def from_detectors(
        cls, detectors: Sequence | dict, combiner: Any = "log_odds", **params: Any
    ) -> DeepfakeEnsemble:
        """Put trained detectors together, without labelled videos.

        The ensemble scores videos at once. Its score is of unknown calibration and its
        error rates are unknown: it says so, `judge` calls every video UNSURE, and a
        threshold other than a number is refused. `fit` with labelled videos learns
        combiner, calibration and threshold, and trains no detector.

        Parameters
        ----------
        detectors : list of detectors, list of (name, detector) or dict
            Of `base_models.load_checkpoint`, in scikit-learn's ``FrozenEstimator``, or
            fitted.
        combiner : str or combiner, default="log_odds"
            One that learns nothing: the mean of log-odds, ``"soft"``, ``"median"``,
            ``"max"``, ``"min"``, ``"trimmed"`` or ``"hard"``.
        **params
            Of `DeepfakeEnsemble`.

        Returns
        -------
        DeepfakeEnsemble
            Fitted; `save` writes it and `ensemble.load` reads it.

        Examples
        --------
        >>> import numpy as np
        >>> from base_models import CallableDetector
        >>> from ensemble import DeepfakeEnsemble
        >>> def bright(videos):
        ...     return [video.mean() / 255 for video in videos]
        >>> model = DeepfakeEnsemble.from_detectors([CallableDetector(bright)])
        >>> video = np.full((4, 8, 8, 3), 204, np.uint8)
        >>> model.judge([video])[["p_fake", "verdict"]].to_numpy().tolist()
        [[0.8, 'UNSURE']]
        >>> model.card_.unlabelled
        True
        """
        model = cls(detectors, combiner=combiner, **params)
        checked_strategy(model)
        model.detectors = [
            (name, ready_detector(name, detector))
            for name, detector in model._named_detectors()
        ]
        return put_together(model, combiner)

    def fit(
        self,
        videos: Videos,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        callbacks: Iterable[Callable] | None = None,
    ) -> DeepfakeEnsemble:
        """Train the detectors, score the videos out of fold, fit the combiner.

        Parameters
        ----------
        videos : sequence of length n_videos
            Paths, folders of frame images, or RGB uint8 arrays (T, H, W, 3); or a data
            set of `ensemble.datasets`, which brings labels and groups.
        y : array-like of shape (n_videos,)
            0 real, 1 fake; "REAL"/"FAKE" in any case; booleans; other labels with
            `fake_label`. You can train on real videos only.
        groups : array-like of shape (n_videos,), default=None
            Videos that must never be split: the same person, the same source clip.
        sample_weight : array-like of shape (n_videos,), default=None
            For the combiner, and the detectors that take it.
        callbacks : iterable of callable, default=None
            Called with each `TrainingEvent`: see `base_models.callbacks`.
        """
        from base_models.callbacks.events import listening
        from base_models.runtime.file_digest import held_contents
        from base_models.video.paths import hashed_once

        strategy, watched = checked_strategy(self), listening(callbacks)
        data = getattr(videos, "description", "")  # of a data set
        videos, y, groups, weight = labelled_by_id(videos, y, groups, sample_weight)
        named = self._named_detectors()
        if y is None:
            raise ValueError(needs_labels(named))
        fitted = copy.copy(self)  # a fit that fails leaves this ensemble as it was
        classes, fake_class, is_fake = training_labels(y, self.fake_label)
        fitted.classes_, fitted.fake_class_ = classes, fake_class
        combiner = strategy.combiner
        if not is_fake.any():
            check_detectors(named)
            combiner = combiner_without_fakes(self)
        if groups is None:
            warnings.warn(NO_GROUPS, DeepfakeEnsembleWarning, stacklevel=2)
        if len(is_fake) == len(videos):
            check_splits(strategy.resampling, is_fake, groups, self.random_state or 0)
        given = LabelledVideos(videos, y, is_fake, groups, weight, strategy.resampling)
        skipped = {}
        with watched, held_contents(), hashed_once(videos):
            if self.on_error == "skip":
                given, skipped = without_unseen(
                    named, given, self.store, self.n_jobs, self.verbose
                )
            training = TrainingSet.of(
                given.videos, given.is_fake, given.groups, given.weight, self.n_jobs
            )
            check_promise(self.threshold, training)
            splits = split_without(training, given, skipped, self.random_state or 0)
            kind = scores_are(splits, len(training))
            if kind == "out-of-bag":
                refuse_calibration(self.calibration)
            fitted.detectors_, fitted.oof_scores_, steps = fit_members(
                self, named, training, splits, given.y, self.on_error, skipped
            )
            members = [member for _, member in named_members(fitted)]
            facts = facts_of_fit(training.videos, members, self.store, data)
            made = made_fakes(self, fitted, named, training, splits)
            fitted.fit_record_ = FitRecord(
                training, splits, facts, made_fakes=made, frame_steps=steps
            )
            fitted.prior_ = float(np.average(training.is_fake, weights=training.weight))
        if kind != "hold-out":
            warn_of_missing_rows(len(training) - len(fitted.oof_scores_))
        self._become(fit_combiner(fitted, combiner))
        with watched:
            tell_of_ensemble(self)
        return self

    def refit_combiner(self, strategy_or_combiner: Any) -> DeepfakeEnsemble:
        """Fit another combiner on the stored out-of-fold scores; no detector is.

        Parameters
        ----------
        strategy_or_combiner : str or combiner
            A strategy, of which the combiner is taken, the name of a combiner or
            an object from `ensemble.combiners`.
        """
        check_is_fitted(self)
        combiner = strategy_or_combiner
        if isinstance(combiner, str) and squeezed(combiner) in STRATEGIES:
            preset = STRATEGIES[squeezed(combiner)]
            alone = self.fit_record_.reals_alone
            combiner = "spread_log_odds" if alone else preset.combiner
        if self.fit_record_.unlabelled:
            return self._become(put_together(copy.copy(self), combiner))
        return self._become(fit_combiner(copy.copy(self), combiner))

    def add_detector(
        self, name: str, detector: Any, videos: Videos | None = None
    ) -> DeepfakeEnsemble:
        """Train one more detector over the same splits and refit the combiner.

        Parameters
        ----------
        name : str
            Its column in `oof_scores_`.
        detector : detector
            Unfitted, or fitted already and then only asked.
        videos : sequence or None, default=None
            The training videos, in any order; needed only after loading from a file.
        """
        from base_models.scoring.naming import name_detectors
        from base_models.video.paths import hashed_once

        check_is_fitted(self)
        present = [(other, detector) for other in self.detectors_]
        name_detectors([*present, (name, detector)])
        check_member_names([*dict(present), name], self._get_param_names())
        if fitted_pooling(self) != "largest":
            raise ValueError(
                f"faces_pooling={self.faces_pooling!r} chooses a face by all detectors "
                "together; call fit with all of them, which finds those that are "
                "fitted in the store"
            )
        record, named = self.fit_record_, [(name, detector)]
        if record.unlabelled:
            more = copy.copy(self)
            named = [*self.detectors_.items(), (name, ready_detector(name, detector))]
            more.detectors = named
            return self._become(put_together(more, record.chosen_combiner))
        training, splits = record.training, record.splits
        if record.reals_alone:
            check_detectors(named)
        if videos is not None or training.videos is None:
            training = training.with_videos(videos)
        with hashed_once(training.videos):
            fake = self._fake_column()
            is_fake = training.is_fake[training.given]
            labels = self.classes_[np.where(is_fake == 1, fake, 1 - fake)]
            added, column, steps = fit_members(self, named, training, splits, labels)
        more = copy.copy(self)  # where the combiner refuses, nothing was added
        more.detectors_ = self.detectors_ | added
        more.oof_scores_ = with_column(self.oof_scores_, column)
        more.fit_record_ = replace(record, frame_steps=record.frame_steps | steps)
        return self._become(fit_combiner(more, record.chosen_combiner))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, detectors by name among them when deep."""
        params = super().get_params(deep=deep)
        members = member_params(self._given_detectors()) if deep else {}
        return params | {k: v for k, v in members.items() if k not in params}

    def set_params(self, **params: Any) -> DeepfakeEnsemble:
        """Set parameters, those of detectors as ``<name>__<parameter>``."""
        changed = copy.copy(self)  # what is refused changes nothing
        if "detectors" in params:
            changed.detectors = params.pop("detectors")
        named = changed._given_detectors()
        own = self._get_param_names()  # which a detector's name never takes over
        replaced = ({name for name, _ in named} & params.keys()).difference(own)
        if replaced:
            kind = dict if isinstance(changed.detectors, dict) else list
            changed.detectors = kind(
                (name, params.pop(name) if name in replaced else detector)
                for name, detector in named
            )
        known = changed.get_params()
        for name in params:
            if name not in known:  # before a detector, which is shared, is changed
                super(DeepfakeEnsemble, changed).set_params(**{name: params[name]})
        super(DeepfakeEnsemble, changed).set_params(**params)
        return self._become(changed)

    def _given_detectors(self):
        if self.detectors is None:
            return []
        from base_models.scoring.naming import name_detectors

        return name_detectors(self.detectors)

    def _named_detectors(self):
        """Return what a fit trains: the given detectors, or the default ones."""
        from base_models.scoring.naming import name_detectors

        if self.detectors is None:
            return name_detectors(default_detectors(self.n_frames))
        named = self._given_detectors()
        if not named:
            raise ValueError("detectors is empty; give at least one, or None")
        check_member_names([name for name, _ in named], self._get_param_names())
        return named
