"""What a fit goes on without: detectors that fail, videos that none can look at."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import clean_groups
from base_models.inputs import clean_labels
from ensemble.choices import ON_ERROR
from ensemble.errors import FailedDetectorsError, listed_failures
from ensemble.out_of_fold.tasks import fit_and_score

if TYPE_CHECKING:
    from pathlib import Path

    from base_models.store.store import Store
    from ensemble.out_of_fold.training_set import TrainingSet

_SHOWN = 5  # videos named in a message


@dataclass(frozen=True)
class Failed:
    """In place of the outcome of a fit: why there is none."""

    reason: str


def check_on_error(on_error: str) -> None:
    """Refuse what is no way to go on after an error.

    Parameters
    ----------
    on_error : str
    """
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error must be one of {ON_ERROR}; got {on_error!r}")


def fit_or_fail(*arguments: Any) -> Any:
    """Do as `fit_and_score`; of one that fails return why.

    Parameters
    ----------
    *arguments
        Those of `ensemble.out_of_fold.tasks.fit_and_score`.
    """
    from base_models.runtime.failures import reason_of

    try:
        return fit_and_score(*arguments)
    except Exception as error:  # diverged, out of memory, a bug: it is that detector's
        return Failed(reason_of(error))


def given_up(task: tuple, reason: str) -> Failed:
    """Return what stands for a fit whose process ended each time it was tried."""
    return Failed(reason)


def report_failures(failed: dict[str, str], n_detectors: int, stacklevel: int) -> None:
    """Warn of detectors that failed; end the fit where none is left.

    Parameters
    ----------
    failed : dict of str to str
        Name -> where it failed and why.
    n_detectors : int
        How many there were.
    stacklevel : int
        As of ``warnings.warn``.

    Raises
    ------
    FailedDetectorsError
    """
    if not failed:
        return
    if len(failed) == n_detectors:
        raise FailedDetectorsError(failed, "no detector is left to combine")
    warnings.warn(
        f"{listed_failures(failed)}: left out, as if it had not been there "
        f"({n_detectors - len(failed)} of {n_detectors} detectors are left)",
        DeepfakeEnsembleWarning,
        stacklevel=stacklevel + 1,
    )


@dataclass(frozen=True)
class LabelledVideos:
    """What was given to a fit, row by row.

    Attributes
    ----------
    videos : list of length n_videos
    y : array-like of shape (n_videos,)
        As given.
    is_fake : ndarray of shape (n_videos,)
    groups, weight : array-like of shape (n_videos,) or None
    resampling : str, int, splitter or iterable
    """

    videos: list
    y: Any
    is_fake: np.ndarray
    groups: Any
    weight: Any
    resampling: Any


def without_unseen(
    named: list,
    given: LabelledVideos,
    store: Store | str | Path | None = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> tuple[LabelledVideos, dict[str, str]]:
    """Leave out the videos that no detector can look at, before any fold is drawn.

    What is left is fitted as if they had never been there.

    Parameters
    ----------
    named : list of (str, detector)
        Where one of them is of another package, which may read what we cannot, no
        video is left out.
    given : LabelledVideos
    store, n_jobs, verbose
        As for `out_of_fold_scores`; views that are made here are found there.

    Returns
    -------
    given : LabelledVideos
        Without them.
    skipped : dict of str to str
        Row id -> why.

    Raises
    ------
    ValueError
        If nothing is left of a class.
    """
    from base_models.store.store import resolve_store
    from ensemble.out_of_fold.training_set import row_ids

    n_videos = len(given.videos)
    lengths = [len(given.is_fake)]
    lengths += [] if given.weight is None else [np.size(given.weight)]
    if set(lengths) != {n_videos}:
        return given, {}  # which is refused
    detectors = [detector for _, detector in named]
    unseen = _unseen(detectors, given.videos, resolve_store(store), n_jobs, verbose)
    if not unseen:
        return given, {}
    ids = row_ids(given.videos)
    skipped = {ids[row]: unseen[row] for row in sorted(unseen)}
    is_kept = np.ones(n_videos, bool)
    is_kept[list(unseen)] = False
    lost = set(given.is_fake.tolist()) - set(given.is_fake[is_kept].tolist())
    if lost:
        kind = "" if len(lost) == 2 else "fake " if lost == {1} else "real "
        raise ValueError(
            f"no {kind}video is left to learn from without {listed_videos(skipped)}"
        )
    warnings.warn(
        f"left out of training: {listed_videos(skipped)}; skipped_videos_ lists all",
        DeepfakeEnsembleWarning,
        stacklevel=3,
    )
    return _rows(given, is_kept), skipped


def split_without(
    training: TrainingSet,
    given: LabelledVideos,
    skipped: dict[str, str],
    random_state: int,
) -> list:
    """Split the videos that are left; say what is missing where that cannot be.

    Parameters
    ----------
    training : TrainingSet
        The videos that are left.
    given : LabelledVideos
        They, too, with the way to split them.
    skipped : dict of str to str
        Row id -> why, of those that are not.
    random_state : int

    Returns
    -------
    list of (train, test)

    Raises
    ------
    ValueError
        For splits that do not fit, such as those of a splitter that counts on all rows.
    """
    try:
        return list(training.split(given.resampling, random_state))
    except ValueError as error:
        if not skipped:
            raise
        raise ValueError(
            f"{error} (left out before: {listed_videos(skipped)}. A splitter that goes "
            "by rows needs splits of the others: leave these videos out yourself, or "
            "give lists of train and test rows)"
        ) from error


def listed_videos(skipped: dict[str, str]) -> str:
    """Return how many videos are left out, the first of them and why.

    Examples
    --------
    >>> from ensemble.out_of_fold.left_out import listed_videos
    >>> listed_videos({"a.mp4": "it is empty"})
    '1 video that no detector can look at: a.mp4 (it is empty)'
    """
    shown = [f"{name} ({why})" for name, why in list(skipped.items())[:_SHOWN]]
    more = len(skipped) - len(shown)
    return (
        f"{len(skipped):,} video{'' if len(skipped) == 1 else 's'} that no detector "
        f"can look at: {'; '.join(shown)}{f'; and {more:,} more' if more else ''}"
    )


def _unseen(
    detectors: Sequence[Any], videos: list, store: Store, n_jobs: Any, verbose: bool
) -> dict[int, str]:
    """Return row -> why, of the videos of which no view can be made."""
    from base_models.runtime.progress import progress_bar
    from base_models.views.all_videos import keep_views

    if not all(hasattr(detector, "view_recipes") for detector in detectors):
        return {}
    recipes = {
        recipe.key: recipe
        for detector in detectors
        for recipe in detector.view_recipes()
    }
    kept = keep_views(videos, recipes.values(), store, n_jobs)
    text = "looking at videos" if verbose else None
    lacking = [row for row, why in progress_bar(kept, text, len(videos)) if why]
    unseen = {}
    for row in lacking:
        reasons = set()
        for recipe in recipes.values():
            [(_, why)] = keep_views([videos[row]], [recipe], store, 1)
            if not why:
                break
            reasons.update(why)
        else:
            unseen[row] = "; ".join(sorted(reasons))
    return unseen


def _rows(given, is_kept):
    """Take rows of all that was given."""
    n_videos, weight = len(is_kept), given.weight
    groups = clean_groups(given.groups, n_videos)
    return LabelledVideos(
        [video for video, kept in zip(given.videos, is_kept, strict=True) if kept],
        clean_labels(given.y)[is_kept],
        given.is_fake[is_kept],
        None if groups is None else groups[is_kept],
        None if weight is None else np.asarray(weight, float)[is_kept],
        _of_rows(given.resampling, is_kept),
    )


def _of_rows(resampling, is_kept):
    """Renumber (train, test) rows that were given; all else counts what it is given."""
    if isinstance(resampling, (str, int, type(None))) or hasattr(resampling, "split"):
        return resampling
    place = np.cumsum(is_kept) - 1
    return [
        tuple(place[rows][is_kept[rows]] for rows in map(np.asarray, split))
        for split in resampling
    ]
