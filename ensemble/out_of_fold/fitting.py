"""Fits base detectors on every fold and scores each video by those that missed it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inputs import Videos, as_videos
from base_models.runtime.failures import is_passing
from ensemble.out_of_fold.left_out import (
    Failed,
    LabelledVideos,
    check_on_error,
    fit_or_fail,
    given_up,
    report_failures,
    split_without,
    without_unseen,
)
from ensemble.out_of_fold.prefit import is_prefit
from ensemble.out_of_fold.table import out_of_fold_table, provenance_of
from ensemble.out_of_fold.tasks import (
    Task,
    costly_first,
    fit_and_score,
    jobs_that_fit,
    make_views_ready,
    prepare,
    recipes_of,
)
from ensemble.out_of_fold.training_set import (
    NO_GROUPS,
    TrainingSet,
    check_splits,
    training_labels,
    warn_of_same_pictures,
)
from ensemble.scores.provenance import stated

if TYPE_CHECKING:
    from pathlib import Path

    from base_models.store.store import Store


class Keep(str, Enum):
    """Which fitted detectors are handed back."""

    NONE = "none"
    REFIT = "refit"  # one more that is fitted on all rows
    SPLITS = "splits"  # those of the splits


@dataclass(frozen=True)
class FitSettings:
    """How detectors are fitted over splits.

    Attributes
    ----------
    keep : {"none", "refit", "splits"}
        Which fitted detectors to hand back: none, one more that is fitted on all
        rows, or those of the splits.
    n_jobs, random_state, store, device, verbose
        As for `out_of_fold_scores`.
    n_trained : int or None, default=None
        Rows that a fit on all rows learns from, the first ones; those after them are
        only scored. None is all.
    on_error : {"raise", "skip"}, default="raise"
        As for `out_of_fold_scores`; which videos to leave out is not asked here.
    """

    keep: Keep
    n_jobs: int | None = None
    random_state: int = 0
    store: "Store | str | Path | None" = None
    device: str | None = None
    verbose: bool = False
    n_trained: int | None = None
    on_error: str = "raise"

    def __post_init__(self):
        object.__setattr__(self, "keep", Keep(self.keep))


@dataclass
class OutOfFold:
    """What fitting detectors over splits leaves behind, in the training set's order.

    Attributes
    ----------
    scores : ndarray of shape (n_videos, n_detectors)
        P(fake); NaN where no detector scored.
    reasons : ndarray of shape (n_videos, n_detectors)
        Why not; empty where one did.
    detectors : dict of str to list
        The fitted detectors that were kept, by name: a name for each column.
    provenance : dict
        ``prefit``, ``trained_on`` and ``failed_detectors`` of
        `ensemble.scores.provenance.Provenance`, where there are such.
    failed : dict of str to str
        Detectors that have no column, and why.
    steps : dict of str to ndarray of shape (n_videos, 2)
        P(fake) by a quarter and by half of the frames, of detectors that can look so.
    """

    scores: np.ndarray
    reasons: np.ndarray
    detectors: dict
    provenance: dict
    failed: dict = field(default_factory=dict)
    steps: dict = field(default_factory=dict)


def out_of_fold_scores(
    detectors: Sequence | dict,
    videos: Videos,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    resampling: Any = None,
    n_jobs: int | None = None,
    random_state: int | None = None,
    store: "Store | str | Path | None" = None,
    device: str | None = None,
    fake_label: Any = None,
    verbose: bool = False,
    on_error: str = "raise",
) -> pd.DataFrame:
    """Score every training video by detectors that were not trained on its group.

    Parameters
    ----------
    detectors : sequence of detectors, of (name, detector) pairs, or dict
        Unfitted; they are cloned. One that is fitted already (see `is_prefit`) stays as
        it is and scores every video once: those that it has not seen before.
    videos : sequence of length n_videos
        Paths, or RGB uint8 arrays of shape (T, H, W, 3).
    y : array-like of shape (n_videos,)
        0 real, 1 fake; "REAL"/"FAKE"; booleans; other labels with `fake_label`. All
        may be real where every detector can do with that (``fits_on_reals``).
    groups : array-like of shape (n_videos,), default=None
        Videos that must stay together: the same person, the same source clip.
    sample_weight : array-like of shape (n_videos,), default=None
        For the detectors that take it.
    resampling : str, int, splitter or iterable, default=None
        ``"k-fold"`` (None: 5 folds), ``"holdout"``, ``"bootstrap"``, a number of
        folds, any scikit-learn splitter, or (train, test) row numbers.
    n_jobs : int or None, default=None
        Fits that run side by side; never so many that jobs x threads outgrow the
        cores. None is what ``joblib.parallel_config`` says, and 1 outside of it.
    random_state : int or None, default=None
        Seeds the folds and the detectors that have none of their own. None is 0,
        so that what was computed once is found again.
    store : Store, str, Path or None, default=None
        Where views, features, fitted members and scores are kept; None is the
        user's default store.
    device : str or None, default=None
        For detectors that have none of their own.
    fake_label : label or None, default=None
        Which of two other labels means fake.
    verbose : bool, default=False
        Show progress bars.
    on_error : {"raise", "skip"}, default="raise"
        ``"skip"`` goes on without a detector that fails in a fold, which then has no
        column, and without videos that no detector can look at, which have no row. A
        warning names them, and so does the table's provenance (``failed_detectors``,
        ``skipped_videos``). The other scores are those of a call without them.

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors)
        P(fake), NaN where there is none; rows in the order given, without those
        that no split tested. Label, group, fold and reasons lie beside it: see
        `ensemble.scores.companions` and `ensemble.scores.reasons`. With bootstrap
        replicas a score averages those that did not draw the video, about B/e of
        B: it never calibrates the average of all.

    Raises
    ------
    LeakError
        If a split shares a group between its two sides.
    FailedDetectorsError
        With ``on_error="skip"``: if all detectors failed.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector
    >>> from ensemble import out_of_fold_scores
    >>> videos = [np.full((4, 8, 8, 3), shade, np.uint8) for shade in range(0, 240, 20)]
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> table = out_of_fold_scores(
    ...     {"bright": bright}, videos, [0] * 6 + [1] * 6,
    ...     groups=[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], resampling=3,
    ... )
    >>> table["bright"].round(2).tolist()
    [0.0, 0.08, 0.16, 0.24, 0.31, 0.39, 0.47, 0.55, 0.63, 0.71, 0.78, 0.86]
    """
    from base_models.runtime.file_digest import held_contents
    from base_models.scoring.naming import name_detectors
    from base_models.video.paths import hashed_once
    from ensemble.out_of_fold.reals_only import check_detectors

    check_on_error(on_error)
    named = name_detectors(detectors)
    videos = as_videos(videos)
    *_, is_fake = training_labels(y, fake_label)
    if not is_fake.any():
        check_detectors(named)
    if groups is None:
        warnings.warn(NO_GROUPS, DeepfakeEnsembleWarning, stacklevel=2)
    seed = 0 if random_state is None else random_state
    resampling = "k-fold" if resampling is None else resampling
    if len(is_fake) == len(videos):
        check_splits(resampling, is_fake, groups, seed)
    given = LabelledVideos(videos, y, is_fake, groups, sample_weight, resampling)
    skipped = {}
    with held_contents(), hashed_once(videos):
        if on_error == "skip":
            given, skipped = without_unseen(named, given, store, n_jobs, verbose)
        training = TrainingSet.of(
            given.videos, given.is_fake, given.groups, given.weight, n_jobs
        )
        splits = split_without(training, given, skipped, seed)
        settings = FitSettings(
            Keep.NONE, n_jobs, seed, store, device, verbose, on_error=on_error
        )
        outcome = fit_over_splits(named, training, splits, settings)
    names = list(outcome.detectors)
    return out_of_fold_table(outcome, training, splits, names, given.y, skipped)


def fit_over_splits(
    named: list,
    training: TrainingSet,
    splits: list,
    settings: FitSettings | None = None,
    **fields: Any,
) -> OutOfFold:
    """Fit each detector on each split's training rows and score its test rows.

    Parameters
    ----------
    named : list of (str, detector)
        Unfitted.
    training : TrainingSet
        The videos.
    splits : list of (train, test)
        Rows of the training set.
    settings : FitSettings or None, default=None
        How to fit; None makes one of `fields`.
    **fields
        Those of `FitSettings`, of which ``keep`` must be there.

    Returns
    -------
    OutOfFold
    """
    from base_models.callbacks.events import FOUND, at_place, tell
    from base_models.runtime.devices import resolve_device
    from base_models.runtime.file_digest import held_contents
    from base_models.runtime.prefetch import n_cores
    from base_models.store.store import resolve_store
    from base_models.video.paths import hashed_once

    settings = FitSettings(**fields) if settings is None else settings
    device, keep, verbose = settings.device, settings.keep, settings.verbose
    resolve_device(device)  # not there? before any work
    explicit = settings.store is not None
    store = resolve_store(settings.store)
    n_jobs = jobs_that_fit([d for _, d in named], settings.n_jobs, n_cores())
    bars = verbose and n_jobs == 1  # those of several processes would mix
    named = [
        (name, prepare(detector, name, settings.random_state, store, device, bars))
        for name, detector in named
    ]
    tasks = _tasks(named, len(training), splits, settings, bars)
    with held_contents(), hashed_once(training.videos):
        for task in tasks:
            task.find(training, store, explicit)
            if task.outcome is not None and len(task.train):
                with at_place(named[task.column][0], task.place):
                    tell(FOUND)
        todo = [task for task in tasks if task.outcome is None]
        unscorable = make_views_ready(todo, training, store, verbose, settings.n_jobs)
        _mark_lacking(todo, unscorable, training)
        warn_of_same_pictures(training, recipes_of(tasks), store)
        unscorable = _known_unscorable(tasks, training) | unscorable
        _warn_of_unscorable(unscorable, len(training))
        seconds = _fit_seconds(todo)
        _warn_of_time(seconds, n_jobs)
        todo = todo if n_jobs == 1 else costly_first(todo, seconds)
        for task in _done(todo, named, training, n_jobs, settings):
            task.remember(store, explicit)
    failed = _failed(tasks, named)
    report_failures(failed, len(named), stacklevel=3)
    outcome = _collect(tasks, named, len(training), failed)
    if keep is not Keep.NONE:  # not a copy that came back from a process
        outcome.detectors |= {
            name: [d] for name, d in named if is_prefit(d) and name not in failed
        }
    return outcome


def _done(todo, named, training, n_jobs, settings):
    """Yield fits as they are done; of a detector that failed do no more."""
    from base_models.callbacks.events import is_heard, send, with_events
    from base_models.runtime.devices import uses_gpu
    from base_models.runtime.parallel import run_tasks
    from base_models.runtime.progress import progress_bar
    from base_models.video.paths import findable, known_digests

    videos = replace(training, videos=findable(training.videos))
    known = known_digests(training.videos)
    sent, failed = [], set()

    def arguments():
        for task in todo:
            if task.column not in failed:
                sent.append(task)
                given = task.arguments(videos, known)
                where = named[task.column][0], task.place
                yield (run, *where, *given) if heard else given

    skips, heard = settings.on_error == "skip", is_heard()
    run = fit_or_fail if skips else fit_and_score
    outcomes = run_tasks(
        with_events if heard else run,
        arguments(),
        n_jobs,
        given_up if skips else None,
        [uses_gpu(task.detector) for task in todo],
    )
    fits = any(len(task.train) for task in todo)
    text = "fitting detectors" if fits else "scoring by detectors"
    text = text if settings.verbose else None
    with progress_bar(text=text, total=len(todo)) as bar:
        for number, outcome in outcomes:
            task = sent[number]
            if heard and not isinstance(outcome, Failed):
                outcome, events = outcome
                for event in events:
                    send(event)
            task.outcome = outcome
            if isinstance(outcome, Failed):
                failed.add(task.column)
            else:
                yield task
            bar.update()


def _failed(tasks, named):
    """Return where each detector failed first, and why, by its name."""
    failed = {}
    for task in tasks:
        if isinstance(task.outcome, Failed):
            name = named[task.column][0]
            failed.setdefault(name, f"{task.place}: {task.outcome.reason}")
    return failed


def _tasks(named, n_videos, splits, settings, bars):
    """List the fits; what is fitted already scores every video once."""
    everything = np.arange(n_videos)
    n_splits, keep = len(splits), settings.keep is Keep.SPLITS
    runs = [
        (train, test, keep, f"split {number} of {n_splits}")
        for number, (train, test) in enumerate(splits, 1)
    ]
    if settings.keep is Keep.REFIT:
        rows = everything[: settings.n_trained]
        runs.append((rows, everything[:0], True, "the fit on all videos"))
    alone = [(everything[:0], everything, False, "scoring")]
    columns = list(enumerate(named))
    columns.sort(key=lambda column: is_prefit(column[1][1]))  # those come last
    return [
        Task(
            column,
            detector,
            train,
            test,
            keep,
            f"{name} scoring" if bars else None,
            place=place,
        )
        for column, (name, detector) in columns
        # in a row: they share what is frozen
        for train, test, keep, place in (alone if is_prefit(detector) else runs)
    ]


def _known_unscorable(tasks, training):
    """Return row id -> why, of videos without a view in fits that were found done."""
    from base_models.video.one_face import OneFace

    known = {}
    for task in tasks:
        if task.outcome is None or not hasattr(task.detector, "view_recipes"):
            continue
        _, scores, why, _ = task.outcome
        for place in np.flatnonzero(np.isnan(scores)):
            row = task.test[place]
            if why[place] and not isinstance(training.videos[row], OneFace):
                known.setdefault(training.ids[row], why[place])
    return known


def _mark_lacking(tasks, unscorable, training):
    """Have nothing kept of fits without videos that the next one may have."""
    lacking = [is_passing(unscorable.get(name, "")) for name in training.ids]
    for task in tasks:
        task.lacks = any(lacking[row] for row in (*task.train, *task.test))


def _warn_of_unscorable(unscorable, n_videos):
    if unscorable:
        shown = [f"{video} ({reason})" for video, reason in unscorable.items()]
        more = f"; and {len(shown) - 5} more" if len(shown) > 5 else ""
        warnings.warn(
            f"{len(shown)} of {n_videos} videos lack a view, such as a face; "
            f"detectors that look at it skip them: {'; '.join(shown[:5])}{more}",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def _fit_seconds(tasks):
    """Say about how long each fit takes on a CPU; 0 where a detector does not know."""
    per_video = {}
    for task in tasks:
        if task.column not in per_video:
            estimate = getattr(task.detector, "estimate_fit_seconds", lambda n: 0.0)
            per_video[task.column] = estimate(100) / 100
    return [per_video[task.column] * len(task.train) for task in tasks]


def _warn_of_time(seconds, n_jobs):
    """On a CPU, say before a long fit how long all of it will take."""
    if sum(seconds):
        from base_models.training.timing import warn_if_slow

        warn_if_slow(sum(seconds) / n_jobs, f"detectors {len(seconds)} times")


def _collect(tasks, named, n_videos, failed):
    """Put the fits together: scores averaged over splits, detectors by name."""
    from base_models.scoring.in_steps import STEPS

    columns = [c for c, (name, _) in enumerate(named) if name not in failed]
    place = {column: number for number, column in enumerate(columns)}
    kept = [named[column] for column in columns]
    names = [name for name, _ in kept]
    total = np.zeros((n_videos, len(names)))
    count = np.zeros((n_videos, len(names)), int)
    reasons = np.full((n_videos, len(names)), "", object)
    steps = {name: np.zeros((n_videos, len(STEPS))) for name in names}
    detectors = {name: [] for name in names}
    for task in tasks:
        if task.column not in place:
            continue
        column = place[task.column]
        detector, scores, why, of_steps = task.outcome
        scored = ~np.isnan(scores)
        total[task.test[scored], column] += scores[scored]
        steps[names[column]][task.test[scored]] += of_steps[scored]
        count[task.test[scored], column] += 1
        reasons[task.test, column] = why
        if detector is not None:
            detectors[names[column]].append(detector)
    with np.errstate(invalid="ignore"):
        scores = total / count  # 0 / 0 is NaN: no detector scored
        steps = {n: s / count[:, [c]] for c, (n, s) in enumerate(steps.items())}
    reasons[count > 0] = ""
    provenance = provenance_of(kept)
    if failed:
        provenance |= stated(failed_detectors=failed)
    steps = {n: s for n, s in steps.items() if not np.isnan(s).all()}
    return OutOfFold(scores, reasons, detectors, provenance, failed, steps)
