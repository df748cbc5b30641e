"""The contract of detectors, tried on a detector of anybody's."""

from __future__ import annotations

import inspect
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from base_models.inputs import Videos, as_videos, fake_column
from base_models.runtime.parallel import run_tasks
from base_models.scoring.together import score_videos
from base_models.testing.contract import Trial
from base_models.testing.made_videos import LabelledClips, made_clips, unreadable_files

_INVERTED = 0.25  # AUC on videos that it has learned from, below which it is inverted


def check_detector(
    detector: Any,
    videos: Videos | None = None,
    y: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    n_jobs: int = 2,
) -> None:
    """Check that a detector keeps the contract that ensembles rely on.

    It is cloned, fitted about seven times and asked for scores, on clips that are made
    on the spot. These have no faces: a detector that needs some gets `videos`. Give it
    small settings (few frames, one epoch) for a check that takes seconds.

    - **parameters**: ``get_params``, ``set_params`` and scikit-learn's ``clone``;
      ``fit`` returns self and changes no parameter, and no video or label.
    - **scores**: ``predict_proba`` has shape (n_videos, 2), within 0 to 1; columns as
      in ``classes_``, for labels 0/1 and for "REAL"/"FAKE"; fakes that it has learned
      from score higher than reals.
    - **unreadable videos**: NaN with a reason in `base_models.score_videos`, and the
      scores of other videos stay.
    - **same scores**: from the same seed, for any order of videos, in fit and in
      scoring; under other file names, and names of groups that sort alike; with a
      store that is full, empty or another; after a fit in another process, as with
      ``n_jobs``.
    - **refusals**: before a fit; for labels of another length; for fakes alone, and for
      reals alone unless ``fits_on_reals``.
    - **state**: where it has ``get_state`` and ``set_state``, these carry all that it
      learned, as JSON and arrays of numbers.

    Scores are the same where they differ by at most 1e-6.

    Parameters
    ----------
    detector : detector
        Unfitted, or fitted before (see ``prefit``, or scikit-learn's
        ``FrozenEstimator``).
    videos : sequence of length n_videos or None, default=None
        Paths of videos of your own; None makes 16 clips.
    y : array-like of shape (n_videos,) or None, default=None
        Their labels, 0 real and 1 fake.
    groups : array-like of shape (n_videos,) or None, default=None
        Videos that belong together.
    n_jobs : int, default=2
        For the fit in another process; 1 leaves that out, and saves the seconds in
        which such a process starts.

    Raises
    ------
    ContractError
        At the first thing that does not hold: what was looked at, what was expected,
        what came, what to do.

    Examples
    --------
    >>> from base_models import FrequencyDetector
    >>> from base_models.testing import check_detector
    >>> detector = FrequencyDetector(
    ...     "frame", image_size=32, n_frames=2, pseudo_fakes=False
    ... )
    >>> check_detector(detector, n_jobs=1)
    """
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of few videos, and of those left out
        if videos is None:
            clips = made_clips(Path(folder))
        else:
            clips = _given(videos, y, groups)
        trial = _DetectorTrial(detector, clips, Path(folder), n_jobs)
        for check in _CHECKS:
            check(trial)


def _given(videos, y, groups):
    videos, y = as_videos(videos), np.asarray(y)
    if len(y) != len(videos) or set(y.tolist()) != {0, 1}:
        raise ValueError(
            "y must have a label per video, 0 real and 1 fake, and both must be there; "
            f"got {len(y)} labels, {sorted(set(y.tolist()))}, for {len(videos)} videos"
        )
    groups = np.arange(len(videos)) if groups is None else np.asarray(groups)
    return LabelledClips(videos, y, groups)


class _DetectorTrial(Trial):
    """A detector, the videos it is tried on, and its scores after one fit."""

    def __init__(self, detector, clips, folder, n_jobs):
        super().__init__(detector)
        self.clips, self.folder, self.n_jobs = clips, folder, n_jobs
        self.is_prefit = isinstance(detector, FrozenEstimator) or bool(
            getattr(detector, "prefit", False)
        )
        self.fitted = self.score = None

    def seeded(self, store="store"):
        if self.is_prefit:
            return self.estimator
        made = super().seeded()
        if "store" in made.get_params(deep=False):
            made.set_params(store=str(self.folder / store))
        return made

    def fit(self, rows=None, y=None, groups=None, videos=None, **settings):
        """Fit a clone on the clips, or on some of them, or with other labels."""
        made = self.seeded(**settings)
        if self.is_prefit:
            return made
        videos = self.clips.videos if videos is None else videos
        y = self.clips.y if y is None else np.asarray(y)
        groups = self.clips.groups if groups is None else np.asarray(groups)
        rows = np.arange(len(videos)) if rows is None else rows
        given = {"groups": groups[rows]} if self.takes_groups() else {}
        made.fit([videos[row] for row in rows], y[rows], **given)
        return made

    def takes_groups(self):
        return "groups" in inspect.signature(self.estimator.fit).parameters

    def score_of(self, fitted, videos=None):
        """Return P(fake), NaN where there is none."""
        videos = self.clips.videos if videos is None else videos
        return score_videos([fitted], videos, store=self.folder / "views")[0][:, 0]


def _check_parameters(trial):
    if not trial.is_prefit:
        trial.check_parameters()


def _check_not_fitted(trial):
    if trial.is_prefit:
        return
    trial.refuses(
        "before a fit",
        "predict_proba of a detector that was not fitted",
        lambda: trial.seeded().predict_proba(trial.clips.videos[:1]),
        (NotFittedError,),
        "call sklearn.utils.validation.check_is_fitted first",
    )


def _check_fit_and_scores(trial):
    clips = trial.clips
    videos, y = list(clips.videos), clips.y.copy()
    made = trial.seeded()
    what = f"fit(videos, y) on {len(y)} readable videos with labels 0 and 1"
    with trial.doing("fit", what):
        given = {"groups": clips.groups} if trial.takes_groups() else {}
        returned = made if trial.is_prefit else made.fit(videos, y, **given)
    if not trial.is_prefit:
        trial.check_fit_keeps_parameters(made, returned)
    if videos != list(clips.videos) or (y != clips.y).any():
        trial.fail("fit", "videos and y as they were given", "other ones after fit")
    with trial.doing("predict_proba", "an answer for the videos of fit"):
        answer = made.predict_proba(videos)
    trial.check_answer(made, answer, len(videos))
    if np.isnan(answer).any():
        row = int(np.isnan(answer).any(axis=1).argmax())
        reasons = score_videos([made], videos[row : row + 1])[1]
        trial.fail(
            "scores",
            f"a score of {videos[row]}, which can be read",
            f"NaN ({reasons[0, 0]})",
            "a detector that needs faces or long videos is checked with your own: "
            "check_detector(detector, videos, y)",
        )
    trial.fitted, trial.score = made, trial.score_of(made)
    trial.same(
        "scores",
        "score_videos to give the column of predict_proba whose class is 1",
        trial.score,
        answer[:, fake_column(made.classes_)],
    )


def _check_labels(trial):
    if trial.is_prefit:
        return
    names = np.array(["REAL", "FAKE"])[trial.clips.y]
    with trial.doing("labels", 'fit with labels "REAL" and "FAKE"'):
        made = trial.fit(y=names)
    if list(made.classes_) != ["FAKE", "REAL"]:
        trial.fail("labels", "classes_ of ['FAKE', 'REAL'], sorted", made.classes_)
    trial.same(
        "labels",
        'the same P(fake) with labels "REAL"/"FAKE" as with 0/1',
        trial.score_of(made),
        trial.score,
        "columns follow classes_, so P(fake) is the first one here",
    )


def _check_orientation(trial):
    y = trial.clips.y
    with trial.doing("orientation", "fit with real and fake the other way round"):
        learned = (trial.score_of(trial.fit(y=1 - y)) != trial.score).any()
    auc = roc_auc_score(y, trial.score)
    if learned and auc < _INVERTED:
        trial.fail(
            "orientation",
            "fakes that it learned from to score higher than the reals",
            f"an AUC of {auc:.2f} on them",
            "the score must be P(fake); 1 - score turns it round",
        )


def _check_unreadable(trial):
    bad = unreadable_files(trial.folder)
    videos = [*bad, *trial.clips.videos]
    check, n_bad = "unreadable videos", len(bad)
    with trial.doing(check, "scores of the others, and NaN for these"):
        scores, reasons = score_videos([trial.fitted], videos)
    for row, (video, wrong) in enumerate(bad.items()):
        advice = "return NaN, or raise an error: its text becomes the reason"
        if not np.isnan(scores[row, 0]):
            got = f"{scores[row, 0]:.6g}"
            trial.fail(check, f"NaN for {wrong} ({Path(video).name})", got, advice)
        if not str(reasons[row, 0]).strip():
            trial.fail(check, f"a reason for {wrong}", "an empty one", advice)
    trial.same(
        check, "the others' scores as without them", scores[n_bad:, 0], trial.score
    )


def _check_order(trial):
    check, videos = "order of the videos", trial.clips.videos
    order = np.random.default_rng(1).permutation(len(videos))
    score = trial.score_of(trial.fitted, [videos[row] for row in order])
    advice = "no video may count for another's score: see batches and normalisation"
    what = "the same scores in another order"
    trial.same(check, what, score, trial.score[order], advice)
    alone = np.array([trial.score_of(trial.fitted, [video])[0] for video in videos[:2]])
    what = "the same score of a video that is scored alone"
    trial.same(check, what, alone, trial.score[:2], advice)


def _check_same_seed(trial):
    if trial.is_prefit:
        return
    trial.same(
        "same seed",
        "the same scores after another fit with the same parameters, with nothing in "
        "the store",
        trial.score_of(trial.fit(store="another store")),
        trial.score,
        "draw everything from random_state, and let nothing outlive a fit",
    )


def _check_order_of_training(trial):
    if trial.is_prefit:
        return
    order = np.random.default_rng(2).permutation(len(trial.clips.y))
    trial.same(
        "order of the videos",
        "the same scores after a fit on the videos in another order",
        trial.score_of(trial.fit(order)),
        trial.score,
        "sort videos by content in fit, or draw nothing by their place",
    )


def _check_names(trial):
    """Neither a file's name nor a group's says what is in it."""
    if all(isinstance(video, str) for video in trial.clips.videos):
        moved = [
            shutil.copy(video, trial.folder / f"renamed_{len(trial.clips.y) - row}.mp4")
            for row, video in enumerate(trial.clips.videos)
        ]
        trial.same(
            "file names",
            "the same scores of the same files under other names",
            trial.score_of(trial.fitted, [str(path) for path in moved]),
            trial.score,
            "the name of a file must not count: it often says who is in it",
        )
    if trial.is_prefit or not trial.takes_groups():
        return
    groups = [f"person {code:03}" for code in _codes(trial.clips.groups)]
    trial.same(
        "groups",
        "the same scores with groups of other names, in the same order",
        trial.score_of(trial.fit(groups=groups)),
        trial.score,
        "who is together counts, and not what a group is called or its number",
    )


def _codes(groups):
    return np.unique(groups, return_inverse=True)[1]


def _check_refusals(trial):
    if trial.is_prefit:
        return
    y, videos = trial.clips.y, trial.clips.videos
    refused = (ValueError, TypeError)
    trial.refuses(
        "labels of another length",
        f"{len(y) - 1} labels for {len(y)} videos",
        lambda: trial.seeded().fit(videos, y[:-1]),
        refused,
    )
    trial.refuses(
        "one class",
        "fakes alone",
        lambda: trial.fit(np.flatnonzero(y == 1)),
        refused,
        "both classes must be there",
    )
    reals = np.flatnonzero(y == 0)
    if getattr(trial.seeded(), "fits_on_reals", False):
        with trial.doing("one class", "a fit on reals alone, as fits_on_reals says"):
            trial.fit(reals)
        return
    trial.refuses(
        "one class",
        "reals alone",
        lambda: trial.fit(reals),
        refused,
        "one that can do with them says so: fits_on_reals is True",
    )


def _check_another_process(trial):
    """It goes to another process, is fitted there and comes back, as with n_jobs=2."""
    if trial.n_jobs == 1:
        return
    check, clips = "another process", trial.clips
    groups = {"groups": clips.groups} if trial.takes_groups() else {}
    detector, fits = trial.seeded("a third store"), not trial.is_prefit
    task = detector, clips.videos, clips.y, groups, fits
    what = "a detector that can be pickled, and fitted elsewhere, as with n_jobs=2"
    advice = "keep no open file, lock or thread in it"
    with trial.doing(check, what, advice):
        ((_, elsewhere),) = run_tasks(_elsewhere, [task], trial.n_jobs)
    what = "the same scores after a fit in another process, as with n_jobs=2"
    advice = "what fit and scoring need must be in the detector, not in its module"
    trial.same(check, what, trial.score_of(elsewhere), trial.score, advice)


def _elsewhere(detector, videos, y, given, fits):
    return detector.fit(videos, y, **given) if fits else detector


def _check_state(trial):
    fitted, check = trial.fitted, "state"
    if trial.is_prefit or not hasattr(fitted, "get_state"):
        return
    with trial.doing(check, "get_state() to return (meta, arrays), meta for JSON"):
        meta, arrays = fitted.get_state()
        meta = json.loads(json.dumps(meta))
    for name, values in arrays.items():
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
            got = f"{name!r}, a {type(values).__name__}"
            trial.fail(check, "arrays of numbers by name", got)
    with trial.doing(check, "clone(detector).set_state(meta, arrays) to be fitted"):
        again = clone(fitted).set_state(meta, arrays)
        score = trial.score_of(again)
    what = "the same scores after set_state, from which files and stores are read"
    trial.same(check, what, score, trial.score, "get_state must hold all it learned")


def _check_timeline(trial):
    if not hasattr(trial.fitted, "score_frames"):
        return
    check = "timeline"
    with trial.doing(check, "score_frames(videos) to return a table per video"):
        (frames,) = trial.fitted.score_frames(trial.clips.videos[:1])
    if not {"frame", "face", "score"} <= set(frames):
        got = ", ".join(map(str, frames))
        trial.fail(check, "columns frame, face and score", got)
    outside = frames["score"][(frames["score"] < 0) | (frames["score"] > 1)]
    if len(outside):
        trial.fail(check, "scores of frames within 0 to 1", outside.iloc[0])


_CHECKS = (
    _check_parameters,
    _check_not_fitted,
    _check_fit_and_scores,
    _check_same_seed,
    _check_labels,
    _check_orientation,
    _check_order,
    _check_unreadable,
    _check_order_of_training,
    _check_names,
    _check_refusals,
    _check_another_process,
    _check_state,
    _check_timeline,
)
