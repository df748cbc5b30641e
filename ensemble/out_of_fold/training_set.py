"""Labelled videos, named by content, in an order of their own."""

from __future__ import annotations

import hashlib
import numbers
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DeepfakeEnsembleWarning
from base_models.groups import clean_groups, group_codes
from base_models.inputs import Videos, classes_of_reals, encode_labels, fake_column
from ensemble.resampling.leak_check import split_rows
from ensemble.resampling.names import resolve_resampling

if TYPE_CHECKING:
    from base_models.store.store import Store
    from base_models.views.spec import ViewRecipe

NO_GROUPS = (
    "no groups given: if two videos share a person or a source clip, the out-of-fold "
    "scores are optimistic, because a detector may know the face. Pass groups=..., one "
    "entry per video; inside cross_validate or GridSearchCV call "
    "sklearn.set_config(enable_metadata_routing=True) and pass params={'groups': ...}"
)


@dataclass
class TrainingSet:
    """Labelled videos in an order that does not depend on how they were given.

    Attributes
    ----------
    videos : list or None
        Paths or arrays; None in an ensemble that was loaded from a file.
    digests : list of str
        What stands for each video's content.
    ids : list of str
        Unique names of the rows.
    is_fake : ndarray of shape (n_videos,)
        0 real, 1 fake.
    groups : ndarray of shape (n_videos,) or None
        Who must stay together.
    weight : ndarray of shape (n_videos,) or None
        Sample weights.
    given : ndarray of shape (n_videos,)
        For each row as it was given, its row here.
    """

    videos: list | None
    digests: list
    ids: list
    is_fake: np.ndarray
    groups: np.ndarray | None
    weight: np.ndarray | None
    given: np.ndarray

    def __len__(self):
        return len(self.ids)

    def rows(self, names: Iterable[str]) -> np.ndarray:
        """Return the rows of some names.

        Parameters
        ----------
        names : iterable of str

        Returns
        -------
        int ndarray
        """
        row_of = {name: row for row, name in enumerate(self.ids)}
        return np.array([row_of[name] for name in names], int)

    @classmethod
    def of(
        cls,
        videos: Any,
        is_fake: Any,
        groups: Any,
        weight: ArrayLike | None,
        n_jobs: int | None = 1,
    ) -> Any:
        """Check, name and order what was given to a fit; files are read by `n_jobs`."""
        from base_models.video.hashing import hash_ahead

        n_videos = len(videos)
        if len(is_fake) != n_videos:
            raise ValueError(
                f"y must have one entry per video; got {len(is_fake)} labels for "
                f"{n_videos} videos"
            )
        groups = clean_groups(groups, n_videos)
        codes = group_codes(groups, n_videos)
        if weight is not None:
            weight = np.asarray(weight, float)
            if weight.shape != (n_videos,):
                raise ValueError(
                    "sample_weight must have one entry per video; got shape "
                    f"{weight.shape} for {n_videos} videos"
                )
        hash_ahead(filter(is_video, videos), n_jobs)
        digests = [content_digest(video) for video in videos]
        ids = row_ids(videos)
        _check_copies(digests, ids, np.asarray(is_fake), codes)
        codes = np.zeros(n_videos, int) if groups is None else codes
        weights = np.ones(n_videos) if weight is None else weight
        order = sorted(
            range(n_videos),
            key=lambda row: (digests[row], is_fake[row], codes[row], weights[row]),
        )
        return cls(
            [videos[row] for row in order],
            [digests[row] for row in order],
            [ids[row] for row in order],
            np.asarray(is_fake)[order],
            None if groups is None else groups[order],
            None if weight is None else weight[order],
            np.argsort(order),
        )

    def with_videos(self, videos: Videos) -> TrainingSet:
        """Return this training set with the videos that a saved one does not keep.

        Parameters
        ----------
        videos : sequence
            The same videos, by content, in any order.

        Returns
        -------
        TrainingSet
        """
        if videos is None:
            raise ValueError(
                "a loaded ensemble does not keep its training videos; pass videos=..., "
                f"the same {len(self)} in any order"
            )
        from base_models.video.hashing import hash_ahead

        hash_ahead(filter(is_video, videos))
        found = {}
        for video in videos:
            found.setdefault(content_digest(video), video)
        lost = [
            name
            for name, digest in zip(self.ids, self.digests, strict=True)
            if digest not in found
        ]
        if lost:
            raise ValueError(
                f"{len(lost)} of {len(self)} training videos are not among those given "
                f"(compared by content), the first {lost[0]}"
            )
        return replace(self, videos=[found[digest] for digest in self.digests])

    def have_contents_of(self, videos: Iterable[Any]) -> list[bool]:
        """Say of each of some videos whether it is one of these, under whatever name.

        Parameters
        ----------
        videos : iterable of str, Path, ndarray or what a foreign detector understands

        Returns
        -------
        list of bool
            False of one that cannot be read, and of what is behind an address, which is
            not fetched for that.
        """
        digests = set(self.digests)
        return [_readable_digest(video) in digests for video in videos]

    def split(self, resampling: Any, random_state: Any) -> Any:
        """List the checked (train, test) rows of a resampling.

        A splitter or list of rows that was given counts rows as they were given;
        our own splitters count them here, so that their order does not matter.
        """
        splitter = resolve_resampling(resampling, random_state=random_state)
        if isinstance(resampling, (str, numbers.Integral)):
            return split_rows(splitter, self.is_fake, self.groups)
        groups = None if self.groups is None else self.groups[self.given]
        splits = split_rows(splitter, self.is_fake[self.given], groups)
        return [
            (np.sort(self.given[train]), np.sort(self.given[test]))
            for train, test in splits
        ]


def training_labels(
    y: ArrayLike, fake_label: Any = None
) -> tuple[np.ndarray, Any, np.ndarray]:
    """Return both classes, which one is fake, and 0 or 1 for each video.

    Parameters
    ----------
    y : array-like of shape (n_videos,)
        As for `ensemble.scores.labels.encode_labels`; all may be real.
    fake_label : label or None, default=None
        The label that means fake.

    Returns
    -------
    classes : ndarray of shape (2,)
        Sorted. Where all are real the fake one is named to match: 1 for 0, True for
        False, "FAKE" for "REAL", or `fake_label`.
    fake_class : label
    is_fake : int ndarray of shape (n_videos,)

    Examples
    --------
    >>> from ensemble.training_set import training_labels
    >>> classes, fake_class, is_fake = training_labels(["REAL", "REAL"])
    >>> classes.tolist(), str(fake_class), is_fake.tolist()
    (['FAKE', 'REAL'], 'FAKE', [0, 0])
    """
    classes, is_fake = encode_labels(y, fake_label, allow_one_class=True)
    if len(classes) == 2:
        return classes, classes[fake_column(classes, fake_label)], is_fake
    (only,) = classes.tolist()
    if is_fake.any():
        raise ValueError(
            f"y holds one class only: {only!s}, fake ({len(is_fake)} videos); add real "
            "videos"
        )
    if fake_label is None:
        classes = classes_of_reals(np.array([only]))
        return classes, classes[fake_column(classes)], is_fake
    if isinstance(fake_label, str):
        fake_label = fake_label.strip()
    if isinstance(only, str) != isinstance(fake_label, str):
        raise ValueError(
            f"fake_label={fake_label!r} is of another kind than the label {only!r}"
        )
    return np.sort(np.array([only, fake_label])), fake_label, is_fake


def check_splits(
    resampling: Any, is_fake: Any, groups: Any, random_state: int | None
) -> None:
    """Refuse folds that labels and groups do not allow, before a video is read.

    Only resampling by name or number is checked: a splitter that is given may be one
    that splits once.

    Parameters
    ----------
    resampling : str, int, splitter or iterable
    is_fake : array-like of shape (n_videos,)
    groups : array-like of shape (n_videos,) or None
    random_state : int or None

    Raises
    ------
    ValueError
        Saying how many groups are needed.
    """
    if isinstance(resampling, (str, numbers.Integral)):
        splitter = resolve_resampling(resampling, random_state=random_state)
        groups = clean_groups(groups, len(is_fake))
        next(iter(splitter.split(None, np.asarray(is_fake), groups)))


def content_digest(video: Any) -> str:
    """Return what stands for the content of a video.

    Parameters
    ----------
    video : str, Path, ndarray or anything that a foreign detector understands

    Returns
    -------
    str
        SHA-256 of the file or array, also of a file behind an address: copies must be
        seen, wherever they lie. Of its name, where there is no file.
    """
    from base_models.errors import VideoReadError
    from base_models.video.paths import video_digest

    if is_video(video):
        try:
            return video_digest(video, in_full=True)
        except VideoReadError:  # the detectors will say so, video by video
            return joblib.hash(str(video))
    return joblib.hash(video)


def needs_labels(named: list[Any]) -> str:
    """Say why an ensemble cannot be fitted without labels, and what can be done.

    Parameters
    ----------
    named : list of (str, detector)

    Returns
    -------
    str
    """
    from ensemble.out_of_fold.prefit import is_prefit

    said = "DeepfakeEnsemble requires y to be passed, but the target y is None: "
    if not all(is_prefit(detector) for _, detector in named):
        return said + "give the label of each video, 0 real and 1 fake"
    return said + (
        "its detectors are fitted already, but the combiner and the threshold are set "
        "on labelled videos. Give some of each class, or score without them: "
        "base_models.score_videos(detectors, videos) gives P(fake) by each, of which "
        "the mean is a score, though no verdict of known errors"
    )


def row_ids(videos: Videos) -> list[str]:
    """Return a unique name for each video: its path, or one made of its content.

    Parameters
    ----------
    videos : list

    Returns
    -------
    list of str
        A video that is there twice has ``#2`` after its second name.

    Examples
    --------
    >>> from ensemble.training_set import row_ids
    >>> [name[-6:] for name in row_ids(["a.mp4", "b.mp4", "a.mp4"])]
    ['/a.mp4', '/b.mp4', '.mp4#2']
    """
    from base_models.video.paths import video_id

    seen, names = {}, []
    for row, video in enumerate(videos):
        name = video_id(video) if is_video(video) else f"video-{row}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names


def _readable_digest(video):
    from base_models.addresses import remote_address
    from base_models.video.paths import video_digest

    if not is_video(video) or remote_address(video):
        return None
    try:
        return video_digest(video)
    except OSError:  # or another by now: who scored it says so
        return None


def is_video(video: Any) -> Any:
    """Say whether something is a path or an RGB uint8 array, and no foreign object."""
    if isinstance(video, np.ndarray):
        return video.ndim == 4 and video.dtype == np.uint8
    return isinstance(video, (str, os.PathLike))


def warn_of_same_pictures(
    training: TrainingSet, recipes: Iterable[ViewRecipe], store: Store
) -> None:
    """Warn of files that differ and show the same: packed anew, or with more behind.

    All frames that are looked at must be the same to the last bit, as they are after a
    change of container, metadata or sound. `index` finds copies that were coded anew.

    Parameters
    ----------
    training : TrainingSet
    recipes : iterable of ViewRecipe
        Of the detectors; views of whole frames are compared where there are any.
    store : Store
        Where the views are.
    """
    from base_models.views.making import stored_views

    recipes = sorted(recipes, key=lambda recipe: (recipe.view != "frame", recipe.key))
    if not recipes:
        return
    looks = list(training.digests)
    for row, video in enumerate(training.videos):
        if is_video(video):  # and no face, which is a row beside its video
            view = stored_views(video, recipes[:1], store).get(recipes[0].key)
            if view is not None and len(view.images) and np.ptp(view.images):
                pixels = np.ascontiguousarray(view.images)
                looks[row] = hashlib.sha256(pixels).hexdigest()
    codes = group_codes(training.groups, len(training))
    copies = [
        rows
        for rows in _alike(looks)
        if len({training.digests[row] for row in rows}) > 1
        and len({(training.is_fake[row], codes[row]) for row in rows}) > 1
    ]
    if not copies:
        return

    def name(row):
        label = "fake" if training.is_fake[row] else "real"
        group = "" if training.groups is None else f", group {training.groups[row]}"
        return f"{training.ids[row]} ({label}{group})"

    warnings.warn(
        f"{len(copies)} videos are there several times, in files that differ and show "
        f"the same pictures: {_listed_copies(copies, name)}; one copy may train what "
        "is scored on another: drop the copies, or correct their labels and give them "
        "one group",
        DeepfakeEnsembleWarning,
        stacklevel=5,
    )


def _check_copies(digests, ids, is_fake, codes):
    """Refuse one content under both labels; warn of one under several groups."""
    copies = _alike(digests)
    contradictory = [rows for rows in copies if len(set(is_fake[rows].tolist())) > 1]
    if contradictory:
        word = {0: "real", 1: "fake"}
        raise ValueError(
            f"{len(contradictory)} contents are labelled both real and fake: "
            + _listed_copies(
                contradictory,
                lambda row: f"{ids[row]} (row {row}, {word[int(is_fake[row])]})",
            )
            + "; correct the labels or drop these videos"
        )
    apart = [rows for rows in copies if len(set(codes[rows].tolist())) > 1]
    if apart:
        warnings.warn(
            f"{len(apart)} contents are there several times under different groups, so "
            "that one copy may train what is scored on another: "
            + _listed_copies(apart, lambda row: f"{ids[row]} (row {row})")
            + "; drop the copies, or give them one group",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )


def _alike(contents):
    """Return the rows of each content that is there several times."""
    rows_of = {}
    for row, content in enumerate(contents):
        rows_of.setdefault(content, []).append(row)
    return [rows for rows in rows_of.values() if len(rows) > 1]


def _listed_copies(copies, name, at_most=10):
    shown = [" and ".join(map(name, rows[:at_most])) for rows in copies[:at_most]]
    more = len(copies) - at_most
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
