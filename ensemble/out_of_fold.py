"""Fits base detectors on every fold and scores each video by those that missed it."""

import inspect
import re
import warnings
from dataclasses import dataclass

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from base_models.inputs import as_videos, clean_labels, group_codes
from ensemble.scores import score_table
from ensemble.training_set import NO_GROUPS, TrainingSet, training_labels


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
        The fitted detectors that were kept, by name.
    provenance : dict
        Where there are such: ``prefit``, names of those that were fitted already and
        scored all videos once; ``trained_on``, by name, what those and others that
        started from a checkpoint saw before (None: unknown, []: nothing).
    """

    scores: np.ndarray
    reasons: np.ndarray
    detectors: dict
    provenance: dict


def out_of_fold_scores(
    detectors,
    videos,
    y,
    groups=None,
    sample_weight=None,
    resampling=None,
    n_jobs=None,
    random_state=None,
    store=None,
    device=None,
    fake_label=None,
    verbose=False,
):
    """Score every training video with detectors that saw nothing of its group.

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
        cores.
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
    from base_models.scoring import name_detectors
    from ensemble.real_only import check_detectors

    named = name_detectors(detectors)
    videos = as_videos(videos)
    *_, is_fake = training_labels(y, fake_label)
    if not is_fake.any():
        check_detectors(named)
    if groups is None:
        warnings.warn(NO_GROUPS, stacklevel=2)
    training = TrainingSet.of(videos, is_fake, groups, sample_weight)
    random_state = 0 if random_state is None else random_state
    splits = training.split(
        "k-fold" if resampling is None else resampling, random_state
    )
    outcome = fit_over_splits(
        named,
        training,
        splits,
        keep="none",
        n_jobs=n_jobs,
        random_state=random_state,
        store=store,
        device=device,
        verbose=verbose,
    )
    names = [name for name, _ in named]
    return out_of_fold_table(outcome, training, splits, names, y)


def fit_over_splits(
    named,
    training,
    splits,
    *,
    keep,
    n_jobs=None,
    random_state=0,
    store=None,
    device=None,
    verbose=False,
    n_trained=None,
):
    """Fit each detector on each split's training rows and score its test rows.

    Parameters
    ----------
    named : list of (str, detector)
        Unfitted.
    training : TrainingSet
        The videos.
    splits : list of (train, test)
        Rows of the training set.
    keep : {"none", "refit", "splits"}
        Which fitted detectors to hand back: none, one more that is fitted on all
        rows, or those of the splits.
    n_jobs, random_state, store, device, verbose
        As for `out_of_fold_scores`.
    n_trained : int or None, default=None
        Rows that a fit on all rows learns from, the first ones; those after them are
        only scored. None is all.

    Returns
    -------
    OutOfFold
    """
    from base_models.compute import n_cores, resolve_device
    from base_models.progress import progress_bar
    from base_models.store import resolve_store

    resolve_device(device)  # not there? before any work
    explicit = store is not None
    store = resolve_store(store)
    n_jobs = jobs_that_fit([d for _, d in named], n_jobs, n_cores())
    bars = verbose and n_jobs == 1  # those of several processes would mix
    named = [
        (name, prepare(detector, name, random_state, store, device, bars))
        for name, detector in named
    ]
    everything = np.arange(len(training))
    runs = [(train, test, keep == "splits") for train, test in splits]
    if keep == "refit":
        runs.append((everything[:n_trained], everything[:0], True))
    tasks = [
        _Task(column, detector, train, test, kept)
        for column, (_, detector) in enumerate(named)
        for train, test, kept in runs  # in a row: they share what is frozen
        if not is_prefit(detector)
    ]
    tasks += [  # fitted already: it scores every video once
        _Task(column, detector, everything[:0], everything, keep=False)
        for column, (_, detector) in enumerate(named)
        if is_prefit(detector)
    ]
    for task in tasks:
        task.find(training, store, explicit)
    todo = [task for task in tasks if task.outcome is None]
    unscorable = make_views_ready(todo, training, store, verbose)
    _warn_of_unscorable(unscorable, len(training))
    _warn_of_time(todo, n_jobs)
    run = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    outcomes = run(joblib.delayed(_fit_and_score)(*t.arguments(training)) for t in todo)
    text = "fitting detectors" if verbose else None
    with progress_bar(text=text, total=len(todo)) as bar:
        for task, outcome in zip(todo, outcomes, strict=True):
            task.outcome = outcome
            task.remember(store, explicit)
            bar.update()
    outcome = _collect(tasks, named, len(training))
    if keep != "none":  # not a copy that came back from a process
        outcome.detectors |= {name: [d] for name, d in named if is_prefit(d)}
    return outcome


def out_of_fold_table(outcome, training, splits, names, y):
    """Lay out-of-fold scores as a score table, in the order the rows were given.

    Parameters
    ----------
    outcome : OutOfFold
        From `fit_over_splits`.
    training : TrainingSet
        The videos.
    splits : list of (train, test)
        The same rows as for the fits.
    names : list of str
        The detectors' names.
    y : array-like of shape (n_videos,)
        The labels, as they were given.

    Returns
    -------
    DataFrame
        Without the rows that no split tested.
    """
    tested = np.zeros(len(training), int)
    fold = np.full(len(training), -1)
    for number, (_, test) in enumerate(splits):
        tested[test] += 1
        fold[test] = number
    kept = np.flatnonzero(tested[training.given])
    rows = training.given[kept]
    once = bool((tested <= 1).all())
    return score_table(
        outcome.scores[rows],
        [training.ids[row] for row in rows],
        names,
        label=clean_labels(y)[kept].tolist(),
        group=None if training.groups is None else training.groups[rows].tolist(),
        fold=fold[rows].tolist() if once else None,
        reasons=outcome.reasons[rows],
        provenance={
            "out_of_fold": True,
            "splits": len(splits),
            "scores_per_video": round(float(tested[rows].mean()), 2),
            **outcome.provenance,
        },
    )


def is_prefit(detector):
    """Say whether a detector is fitted already, to be taken as it is.

    Parameters
    ----------
    detector : detector
        Such are those of `base_models.load_checkpoint`, any in scikit-learn's
        ``FrozenEstimator``, and those that say ``prefit = True`` and whose
        ``__sklearn_clone__`` returns themselves. What they have seen is told by
        ``card_["trained_on"]``: names of data, [] for nothing; unknown without.

    Returns
    -------
    bool

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from base_models import CallableDetector
    >>> from ensemble.out_of_fold import is_prefit
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> is_prefit(bright), is_prefit(FrozenEstimator(bright))
    (False, True)
    """
    return isinstance(detector, FrozenEstimator) or bool(
        getattr(detector, "prefit", False)
    )


def _provenance(named):
    """Say which detectors were fitted before, and what any of them saw before."""
    prefit = [name for name, detector in named if is_prefit(detector)]
    cards = {name: getattr(detector, "card_", None) for name, detector in named}
    trained_on = {
        name: _names((card or {}).get("trained_on"))
        for name, card in cards.items()
        if card is not None or name in prefit
    }
    known = {"prefit": prefit, "trained_on": trained_on}
    return {key: value for key, value in known.items() if value}


def _names(seen):
    return [seen] if isinstance(seen, str) else seen if seen is None else list(seen)


def prepare(detector, name, random_state, store=None, device=None, verbose=False):
    """Clone a detector; what it leaves open is filled in by the ensemble.

    Parameters
    ----------
    detector : detector
        Unfitted.
    name : str
        Part of the seed, so that detectors of one kind differ, wherever they stand.
    random_state : int
        The ensemble's seed.
    store, device, verbose
        Given to detectors that have none of their own.

    Returns
    -------
    detector
        A clone with every ``random_state`` that was None set.
    """
    if is_prefit(detector):
        return detector
    detector = clone(detector)
    if not hasattr(detector, "get_params"):
        return detector
    open_places = {
        key: int(joblib.hash([random_state, name, key], hash_name="sha1")[:7], 16)
        for key, value in detector.get_params(deep=True).items()
        if value is None and re.search(r"(^|__)random_state$", key)
    }
    own = detector.get_params(deep=False) if hasattr(detector, "identity") else {}
    for key, value in (("store", store), ("device", device), ("verbose", verbose)):
        if value and key in own and not own[key]:
            open_places[key] = value
    return detector.set_params(**open_places)


def jobs_that_fit(detectors, n_jobs, n_cores):
    """Return how many fits may run side by side without crowding the cores.

    Parameters
    ----------
    detectors : list of detectors
    n_jobs : int or None
        As asked for; None is 1 and -1 as many as there are cores.
    n_cores : int
        Cores of this machine.

    Returns
    -------
    int

    Examples
    --------
    >>> from base_models import FrameDetector
    >>> from ensemble.out_of_fold import jobs_that_fit
    >>> jobs_that_fit([FrameDetector(n_threads=4)], n_jobs=8, n_cores=16)
    4
    """
    asked = joblib.effective_n_jobs(n_jobs)
    threads = max(map(cpu_threads, detectors), default=1)
    return max(1, min(asked, n_cores // threads))


def cpu_threads(detector):
    """Return how many CPU threads one fit of a detector keeps busy.

    Parameters
    ----------
    detector : detector
        Any. Those with ``n_threads`` are asked, and detectors inside of it.

    Returns
    -------
    int
        1 for one that does not say, and for networks on a GPU.

    Examples
    --------
    >>> from base_models import FlickerDetector, FrameDetector, LSTMDetector
    >>> from ensemble.out_of_fold import cpu_threads
    >>> frames = FrameDetector(n_threads=2, device="cpu")
    >>> cpu_threads(LSTMDetector(features=frames, n_threads=3, device="cpu"))
    3
    >>> cpu_threads(FlickerDetector())
    1
    """
    from base_models.compute import resolve_device, resolve_threads

    while isinstance(detector, FrozenEstimator):
        detector = detector.estimator
    params = detector.get_params(deep=True) if hasattr(detector, "get_params") else {}
    own = [name for name in params if re.search(r"(^|__)n_threads$", name)]
    threads = [
        resolve_threads(params[name])
        for name in own
        if resolve_device(params.get(name.removesuffix("n_threads") + "device")).type
        == "cpu"
    ]
    # a parameter in FrozenEstimator, or in a detector, hides what is inside of it
    nested = [value for value in params.values() if isinstance(value, FrozenEstimator)]
    return max([1, *threads, *map(cpu_threads, nested)])


@dataclass
class _Task:
    """One fit: these rows train a detector, those are scored by it."""

    column: int
    detector: object
    train: np.ndarray
    test: np.ndarray
    keep: bool
    member_key: str | None = None
    scores_key: str | None = None
    store: object = None
    outcome: tuple | None = None  # fitted detector or None, scores, reasons

    def find(self, training, store, explicit):
        """Name this fit by all that decides it, and look whether it was done before."""
        from base_models.code import code_digest
        from base_models.store import store_key

        portable = hasattr(self.detector, "identity") and (
            is_prefit(self.detector) or hasattr(self.detector, "get_state")
        )
        if not portable and not explicit:
            return  # a foreign detector is remembered only where that was asked for
        try:
            identity = (
                self.detector.identity()
                if portable
                else code_digest(self.detector, in_process=True)
            )
        except TypeError:
            return
        self.member_key = store_key(
            detector=identity,
            videos=[training.digests[row] for row in self.train],
            is_fake=training.is_fake[self.train],
            groups=_codes(training.groups, self.train),
            weight=None if training.weight is None else training.weight[self.train],
        )
        digests = [training.digests[row] for row in self.test]
        engines = _engines(self.detector) if portable else []
        self.scores_key = store_key(
            member=self.member_key, videos=digests, engines=engines
        )
        if not portable:
            self.outcome = store.remember(self.scores_key + str(self.keep))
            return
        self.store = store
        entry = store.get("scores", self.scores_key)
        if entry is None:
            return
        arrays, meta = entry
        detector = None
        if self.keep:
            member = store.get("member", self.member_key)
            if member is None:
                return
            detector = clone(self.detector).set_state(member[1], member[0])
        self.outcome = detector, arrays["scores"], np.array(meta["reasons"], object)

    def remember(self, store, explicit):
        """Keep what a foreign detector gave for the rest of this process."""
        if self.member_key is not None and self.store is None and explicit:
            store.remember(self.scores_key + str(self.keep), self.outcome)

    def arguments(self, training):
        """What `_fit_and_score` needs, and no more: it may travel to a process."""
        train, test = self.train, self.test
        return (
            self.detector,
            [training.videos[row] for row in train],
            training.is_fake[train],
            None if training.groups is None else training.groups[train],
            None if training.weight is None else training.weight[train],
            [training.videos[row] for row in test],
            self.keep,
            self.store,
            self.member_key,
            self.scores_key,
        )


def _fit_and_score(
    detector, videos, is_fake, groups, weight, test, keep, store, member_key, scores_key
):
    """Fit one detector, score the test videos, keep what can be kept on disk."""
    from base_models.scoring import score_videos
    from base_models.warned import warned_by_caller

    detector = clone(detector)
    member = None
    if store is not None and not is_prefit(detector):
        member = store.get("member", member_key)
    if is_prefit(detector):
        pass  # as it is
    elif member is not None:
        detector.set_state(member[1], member[0])
    else:
        accepted = _accepted(detector, groups=groups, weight=weight)
        with warned_by_caller():  # once, for all fits together
            detector.fit(videos, is_fake, **accepted)
        if store is not None:
            meta, arrays = detector.get_state(portable=False)
            store.put("member", member_key, arrays, meta)
    scores, reasons = np.zeros(0), np.zeros(0, object)
    if len(test):
        scores, reasons = (a[:, 0] for a in score_videos([detector], test, store))
    if store is not None:
        meta = {"reasons": reasons.tolist()}
        store.put("scores", scores_key, {"scores": scores}, meta)
    return detector if keep else None, scores, reasons


def _engines(detector):
    """Say what runs the networks of a detector: it decides the scores' last digits."""
    from base_models.engines import engine_key

    params = detector.get_params(deep=True)
    return [
        engine_key(engine, params.get(name.removesuffix("engine") + "device"))
        for name, engine in sorted(params.items(), key=lambda item: item[0])
        if re.search(r"(^|__)engine$", name)
    ]


def _accepted(detector, groups, weight):
    """Return the fit arguments that are there and that a detector takes."""
    given = {"groups": groups, "sample_weight": weight}
    takes = inspect.signature(detector.fit).parameters
    if weight is not None and "sample_weight" not in takes:
        warnings.warn(
            f"{type(detector).__name__}.fit takes no sample_weight; it is fitted "
            "without",
            stacklevel=3,
        )
    return {k: v for k, v in given.items() if v is not None and k in takes}


def make_views_ready(tasks, training, store, verbose):
    """Make every view that the fits need, each video opened once.

    Parameters
    ----------
    tasks : list
        The fits ahead.
    training : TrainingSet
        The videos.
    store : Store
        Where the views go.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    dict of str to str
        Row id -> why some detector cannot look at it.
    """
    from base_models.one_face import OneFace
    from base_models.progress import progress_bar
    from base_models.views import iter_views

    recipes = {
        recipe.key: recipe
        for task in tasks
        if hasattr(task.detector, "view_recipes")
        for recipe in task.detector.view_recipes()
    }
    if not recipes:
        return {}
    n_bytes = len(training) * sum(
        recipe.n_frames * recipe.image_size**2 * 3 for recipe in recipes.values()
    )
    if n_bytes > store.size_limit * 0.8:
        warnings.warn(
            f"the views of {len(training)} videos take about {n_bytes / 2**30:.0f} GiB "
            f"and the store holds {store.size_limit / 2**30:.0f}: they will be made "
            "again and again. Pass store=Store(path, size_limit=...) with more",
            stacklevel=3,
        )
    rows = sorted({int(row) for t in tasks for row in (*t.train, *t.test)})
    made = iter_views([training.videos[row] for row in rows], recipes.values(), store)
    bar = progress_bar(made, "looking at videos" if verbose else None, len(rows))
    reasons = {}
    for row, views in zip(rows, bar, strict=True):
        why = sorted({view.reason for view in views.values() if view.reason})
        if why and not isinstance(training.videos[row], OneFace):
            reasons[training.ids[row]] = "; ".join(why)
    return reasons


def _warn_of_unscorable(unscorable, n_videos):
    if unscorable:
        shown = [f"{video} ({reason})" for video, reason in unscorable.items()]
        more = f"; and {len(shown) - 5} more" if len(shown) > 5 else ""
        warnings.warn(
            f"{len(shown)} of {n_videos} videos lack a view; detectors that need it "
            f"train without them and give them NaN: {'; '.join(shown[:5])}{more}",
            stacklevel=4,
        )


def _warn_of_time(tasks, n_jobs):
    """On a CPU, say before a long fit how long all of it will take."""
    per_video, seconds = {}, 0.0
    for task in tasks:
        if not hasattr(task.detector, "estimate_fit_seconds"):
            continue
        if task.column not in per_video:
            per_video[task.column] = task.detector.estimate_fit_seconds(100) / 100
        seconds += per_video[task.column] * len(task.train)
    if seconds:
        from base_models.training import warn_if_slow

        warn_if_slow(seconds / n_jobs, f"detectors {len(tasks)} times")


def _collect(tasks, named, n_videos):
    """Put the fits together: scores averaged over splits, detectors by name."""
    names = [name for name, _ in named]
    total = np.zeros((n_videos, len(names)))
    count = np.zeros((n_videos, len(names)), int)
    reasons = np.full((n_videos, len(names)), "", object)
    detectors = {name: [] for name in names}
    for task in tasks:
        detector, scores, why = task.outcome
        scored = ~np.isnan(scores)
        total[task.test[scored], task.column] += scores[scored]
        count[task.test[scored], task.column] += 1
        reasons[task.test, task.column] = why
        if detector is not None:
            detectors[names[task.column]].append(detector)
    with np.errstate(invalid="ignore"):
        scores = total / count  # 0 / 0 is NaN: no detector scored
    reasons[count > 0] = ""
    return OutOfFold(scores, reasons, detectors, _provenance(named))


def _codes(groups, rows):
    """Number groups in sorted order: names do not matter, who is together does."""
    return None if groups is None else group_codes(groups[rows], len(rows))
