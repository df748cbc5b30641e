"""One fit of one detector on one fold: found in the store, or computed in a job."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import group_codes
from base_models.runtime.parallel import is_local, n_jobs_here
from ensemble.out_of_fold.prefit import is_prefit
from ensemble.out_of_fold.training_set import TrainingSet

if TYPE_CHECKING:
    from base_models.store.store import Store
    from base_models.views.spec import ViewRecipe


def prepare(
    detector: Any,
    name: str,
    random_state: int,
    store: Store | None = None,
    device: str | None = None,
    verbose: bool = False,
) -> Any:
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


def jobs_that_fit(detectors: Sequence, n_jobs: int | None, n_cores: int) -> int:
    """Return how many fits may run side by side without crowding the cores.

    Parameters
    ----------
    detectors : list of detectors
    n_jobs : int or None
        As asked for, as joblib counts: None is 1, or what ``parallel_config`` says.
    n_cores : int
        Cores of this machine. They bound nothing where fits run on a cluster.

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
    asked = n_jobs_here(n_jobs)
    if not is_local():
        return asked  # its engine knows its machines
    threads = max(map(cpu_threads, detectors), default=1)
    return max(1, min(asked, n_cores // threads))


def cpu_threads(detector: Any) -> int:
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
    from base_models.runtime.devices import resolve_device, resolve_threads

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
class Task:
    """One fit: these rows train a detector, those are scored by it."""

    column: int
    detector: object
    train: np.ndarray
    test: np.ndarray
    keep: bool
    progress: str | None = None  # before a bar over the test videos
    member_key: str | None = None
    scores_key: str | None = None
    engines: tuple = ()
    store: object = None
    outcome: tuple | None = None  # fitted detector or None, scores, reasons, steps
    place: str = ""  # which of a detector's fits it is, in words
    lacks: bool = False  # videos that the next fit of the same ones may have

    def find(self, training: TrainingSet, store: Any, explicit: Any) -> None:
        """Name this fit by all that decides it, and look whether it was done before."""
        from base_models.detectors.bases.video import identity_of
        from base_models.scoring.kept_scores import known_of, steps_of_entry
        from base_models.store.code import code_digest
        from base_models.store.store import store_key

        portable = hasattr(self.detector, "identity") and (
            is_prefit(self.detector) or hasattr(self.detector, "get_state")
        )
        if not portable and not explicit:
            return  # a foreign detector is remembered only where that was asked for
        try:
            identity = (
                identity_of(self.detector)
                if portable
                else code_digest(self.detector, in_process=True)
            )
        except TypeError:
            return
        known = training.digests
        if not portable:
            known = [
                known_of([self.detector], video, digest)
                for video, digest in zip(training.videos, known, strict=True)
            ]
        self.member_key = store_key(
            detector=identity,
            videos=[known[row] for row in self.train],
            is_fake=training.is_fake[self.train],
            groups=_codes(training.groups, self.train),
            weight=None if training.weight is None else training.weight[self.train],
        )
        if portable:
            self.engines = _engines(self.detector)
        self.scores_key = self._key_of([known[row] for row in self.test])
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
        scores, reasons = arrays["scores"], np.array(meta["reasons"], object)
        self.outcome = detector, scores, reasons, steps_of_entry(arrays, len(scores))

    def _key_of(self, digests):
        """Name the scores of some videos, all together or one."""
        from base_models.store.store import store_key

        return store_key(member=self.member_key, videos=digests, engines=self.engines)

    def remember(self, store: Any, explicit: Any) -> None:
        """Keep what a foreign detector gave for the rest of this process."""
        kept_here = self.member_key is not None and self.store is None and explicit
        if kept_here and not self.lacks:
            store.remember(self.scores_key + str(self.keep), self.outcome)

    def arguments(self, training: TrainingSet, known: Sequence[Any]) -> Any:
        """What `fit_and_score` needs, and no more: it may travel to a process.

        Parameters
        ----------
        training : TrainingSet
        known : sequence of length n_videos
            From `known_digests`: no file is read again for its digest.
        """
        train = self.train
        videos, test = (
            [training.videos[row] for row in rows] for rows in (train, self.test)
        )
        store = None if self.lacks else self.store
        keys = None
        if store is not None:
            keys = [self._key_of([training.digests[row]]) for row in self.test]
        return (
            self.detector,
            videos,
            training.is_fake[train],
            None if training.groups is None else training.groups[train],
            None if training.weight is None else training.weight[train],
            test,
            [known[row] for row in (*train, *self.test)],
            self.keep,
            store,
            self.member_key,
            self.scores_key,
            keys,
            self.progress,
        )


def costly_first(tasks: list[Task], seconds: list[float]) -> list[Task]:
    """Order fits that run side by side, so that the last to end are short ones.

    Those of one detector stay in a row: they share what is frozen. Where it is not
    known how long they take, networks come before what only measures, and detectors
    that are fitted already after all others.

    Parameters
    ----------
    tasks : list of Task
    seconds : list of float
        About how long each takes; 0 where that is not known.

    Returns
    -------
    list of Task
    """
    longest = {}
    for task, each in zip(tasks, seconds, strict=True):
        longest[task.column] = max(each, longest.get(task.column, 0.0))

    def place(task):
        is_network = hasattr(task.detector, "estimate_fit_seconds")
        return (
            is_prefit(task.detector),
            -longest[task.column],
            not is_network,
            task.column,
            -len(task.train),
        )

    return sorted(tasks, key=place)


def fit_and_score(
    detector: Any,
    videos: Any,
    is_fake: Any,
    groups: Any,
    weight: np.ndarray,
    test: Any,
    digests: list[Any],
    keep: Any,
    store: Any,
    member_key: Any,
    scores_key: Any,
    keys: Any,
    progress: str | None,
) -> Any:
    """Fit one detector, score the test videos, keep what can be kept on disk."""
    from base_models.callbacks.events import FOUND, fit_told, tell
    from base_models.runtime.file_digest import held_contents
    from base_models.runtime.warn_once import warned_by_caller
    from base_models.scoring.in_steps import STEPS, split_steps, whole_and_steps
    from base_models.scoring.kept_scores import score_and_keep
    from base_models.scoring.together import score_videos
    from base_models.video.paths import hashed_once

    detector = clone(detector)
    member = None
    if store is not None and not is_prefit(detector):
        member = store.get("member", member_key)
    scores, reasons = np.zeros(0), np.zeros(0, object)
    steps = np.zeros((0, len(STEPS)))
    whole = True  # what was trained without a file is not kept, nor what it says
    with held_contents(), hashed_once([*videos, *test], digests):
        if is_prefit(detector):
            pass  # as it is
        elif member is not None:
            detector.set_state(member[1], member[0])
            tell(FOUND)
        else:
            accepted = _accepted(detector, groups=groups, weight=weight)
            # warned of once, for all fits together
            with warned_by_caller(), fit_told(detector, ""):
                detector.fit(videos, is_fake, **accepted)
            whole = _all_as_they_were(detector, videos, digests)
            if store is not None and whole:
                meta, arrays = detector.get_state(portable=False)
                store.put("member", member_key, arrays, meta)
        if len(test) and store is not None and whole:
            scores, reasons, steps = score_and_keep(
                detector, test, store, keys, progress, digests[len(videos) :]
            )
        elif len(test):
            asked = dict(whole_and_steps("detector", detector))
            table, why = score_videos(asked, test, progress=progress)
            (scores, steps), reasons = split_steps(table), why[:, 0]
        whole &= _all_as_they_were(detector, test, digests[len(videos) :])
    if store is not None and whole:
        meta = {"reasons": reasons.tolist()}
        store.put("scores", scores_key, {"scores": scores, "steps": steps}, meta)
    return detector if keep else None, scores, reasons, steps


def _all_as_they_were(detector, videos, digests):
    """Whether no file is another one by now than when the whole fit began.

    What is shown views alone went on without those files, as without any that cannot
    be read, and is not kept; whoever is given the path may have read the new content.
    """
    from base_models.errors import VideoReadError
    from base_models.video.hashing import was_replaced

    whole = True
    for video, known in zip(videos, digests[: len(videos)], strict=True):
        if not was_replaced(video, known):
            continue
        whole = False
        if not hasattr(detector, "score_views"):
            raise VideoReadError(
                video,
                "it was replaced while the fit ran",
                "leave the videos as they are and run it again; what else is done is "
                "kept",
            )
    return whole


def _engines(detector):
    """Say what runs the networks of a detector: it decides the scores' last digits."""
    from base_models.inference.engines import engine_key, int8_is_here

    while isinstance(detector, FrozenEstimator):
        detector = detector.estimator
    params, found = detector.get_params(deep=True), []
    for name, engine in sorted(params.items(), key=lambda item: item[0]):
        if re.search(r"(^|__)engine$", name):
            device = params.get(name.removesuffix("engine") + "device")
            key = engine_key(engine, device)
            if engine == "int8":  # its ranges, if it has any, are part of its state
                key |= {"8 bits": int8_is_here()}
            found.append(key)
    return found


def _accepted(detector, groups, weight):
    """Return the fit arguments that are there and that a detector takes."""
    given = {"groups": groups, "sample_weight": weight}
    takes = inspect.signature(detector.fit).parameters
    if weight is not None and "sample_weight" not in takes:
        warnings.warn(
            f"{type(detector).__name__}.fit takes no sample_weight; it is fitted "
            "without",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    return {k: v for k, v in given.items() if v is not None and k in takes}


def recipes_of(tasks: list) -> list[ViewRecipe]:
    """Return the recipes of the views that the detectors of some fits look at.

    Parameters
    ----------
    tasks : list

    Returns
    -------
    list of ViewRecipe
        Each once.
    """
    recipes = {
        recipe.key: recipe
        for task in tasks
        if hasattr(task.detector, "view_recipes")
        for recipe in task.detector.view_recipes()
    }
    return list(recipes.values())


def make_views_ready(
    tasks: list, training: TrainingSet, store: Store, verbose: bool, n_jobs: int | None
) -> dict[str, str]:
    """Make every view that the fits need, each video opened once, where fits run.

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
    n_jobs : int or None
        As for the fits.

    Returns
    -------
    dict of str to str
        Row id -> why some detector cannot look at it.
    """
    from base_models.runtime.progress import progress_bar
    from base_models.video.one_face import OneFace
    from base_models.views.all_videos import keep_views

    recipes = recipes_of(tasks)
    if not recipes:
        return {}
    n_bytes = len(training) * sum(
        recipe.n_frames * recipe.image_size**2 * 3 for recipe in recipes
    )
    if n_bytes > store.size_limit * 0.8:
        warnings.warn(
            f"the views of {len(training)} videos take about {n_bytes / 2**30:.0f} GiB "
            f"and the store holds {store.size_limit / 2**30:.0f}: they will be made "
            "again and again. Pass store=Store(path, size_limit=...) with more",
            DeepfakeEnsembleWarning,
            stacklevel=3,
        )
    rows = sorted({int(row) for t in tasks for row in (*t.train, *t.test)})
    videos = [training.videos[row] for row in rows]
    kept = keep_views(videos, recipes, store, n_jobs)
    bar = progress_bar(kept, "looking at videos" if verbose else None, len(rows))
    return {
        training.ids[rows[number]]: "; ".join(why)
        for number, why in sorted(bar)
        if why and not isinstance(videos[number], OneFace)
    }


def _codes(groups, rows):
    """Number groups in sorted order: names do not matter, who is together does."""
    return None if groups is None else group_codes(groups[rows], len(rows))
