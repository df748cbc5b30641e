"""What every base detector is: a scikit-learn classifier of videos."""

from abc import abstractmethod

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from base_models.errors import UnscorableVideoError
from base_models.pooling import deciding_frames
from base_models.store import fingerprint
from base_models.video import video_id


class VideoDetector(ClassifierMixin, BaseEstimator):
    """Base class of detectors; a subclass fits and says P(fake) of videos.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    """

    gives_reasons = False  # whether `_score` takes care of what cannot be scored

    @property
    def fits_on_reals(self):
        """Whether `fit` can do with real videos alone."""
        return False

    @abstractmethod
    def _score(self, videos):
        """Return P(fake) of each video, NaN where there is none, and why not."""

    def fake_score(self, videos):
        """Return P(fake) of each video.

        Parameters
        ----------
        videos : sequence of length n_videos
            Paths, or RGB uint8 arrays of shape (T, H, W, 3).

        Returns
        -------
        ndarray of shape (n_videos,)
            NaN for a video that cannot be scored.
        """
        check_is_fitted(self)
        return self._score(as_videos(videos))[0]

    def predict_proba(self, videos):
        """Return the probability of both classes.

        Parameters
        ----------
        videos : sequence of length n_videos

        Returns
        -------
        ndarray of shape (n_videos, 2)
            Columns as in ``classes_``; a row of NaN for a video that cannot be
            scored.
        """
        return two_columns(self.fake_score(videos), self.classes_)

    def predict(self, videos):
        """Return the likelier label of each video.

        Parameters
        ----------
        videos : sequence of length n_videos

        Returns
        -------
        ndarray of shape (n_videos,)

        Raises
        ------
        UnscorableVideoError
            Naming the videos that have no score.
        """
        check_is_fitted(self)
        videos = as_videos(videos)
        score, reasons = self._score(videos)
        missing = np.flatnonzero(np.isnan(score))
        if len(missing):
            raise UnscorableVideoError(
                {video_id(videos[row]): reasons[row] for row in missing}
            )
        fake = fake_column(self.classes_)
        return np.where(score > 0.5, self.classes_[fake], self.classes_[1 - fake])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags


class ViewDetector(VideoDetector):
    """Base class of detectors that look at views of a video.

    A detector says which views it needs and scores a video from them; opening
    videos, finding faces and sharing both among detectors is the business of
    `base_models.score_videos`.
    """

    @abstractmethod
    def view_recipes(self):
        """Return the `ViewRecipe` list that this fitted detector looks at."""

    @abstractmethod
    def score_views(self, views, shared):
        """Score one video.

        Parameters
        ----------
        views : dict of str to View
            By the keys of `view_recipes`.
        shared : dict
            What detectors leave for each other while one video is scored.

        Returns
        -------
        score : float
            P(fake), NaN when the video cannot be scored.
        reason : str
            Why not; empty when it was scored.
        frames : DataFrame
            Columns ``frame``, ``face``, ``score``: the timeline.
        """

    def score_frames(self, videos):
        """Return the timeline of each video.

        Parameters
        ----------
        videos : sequence of length n_videos

        Returns
        -------
        list of DataFrame
            Columns ``frame`` (0-based index in the video), ``face`` (0 for whole
            frames) and ``score``, P(fake); no rows for a video without score.
        """
        from base_models.scoring import walk_videos

        check_is_fitted(self)
        walked = walk_videos([self], videos, self.store)
        return [self.score_views(views, {})[2] for views in walked]

    def deciding_frames(self, frames):
        """Say which frames of a timeline decided the video's score.

        Parameters
        ----------
        frames : DataFrame
            From `score_views`.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            See `base_models.pooling.deciding_frames`; all, where the detector looks at
            the frames as a whole.
        """
        pooling = getattr(self, "pooling", None)
        if pooling is None:
            return np.ones(len(frames), bool)
        return deciding_frames(frames["score"], pooling)

    def _score(self, videos):
        from base_models.scoring import score_videos

        scores, reasons = score_videos([self], videos, store=self.store)
        return scores[:, 0], reasons[:, 0]


def as_videos(videos):
    """Return videos as a list, one entry a video.

    Parameters
    ----------
    videos : sequence
        Paths, RGB uint8 arrays (T, H, W, 3), an array (n_videos, T, H, W, 3), a
        pandas Series, or a table with one column. What the entries are is for the
        detectors to say.

    Returns
    -------
    list

    Examples
    --------
    >>> from base_models.detectors.base import as_videos
    >>> as_videos(("a.mp4", "b.mp4"))
    ['a.mp4', 'b.mp4']
    """
    if isinstance(videos, (str, bytes)) or hasattr(videos, "__fspath__"):
        raise TypeError(
            f"videos must be a list of videos; got one, [{videos!r}] is meant"
        )
    if isinstance(videos, np.ndarray) and videos.ndim in (3, 4):
        raise ValueError(
            "videos must be a list of paths or of RGB uint8 arrays (T, H, W, 3); "
            f"got one array of shape {videos.shape}"
        )
    if isinstance(videos, pd.DataFrame):
        videos = videos.to_numpy()
    if getattr(videos, "ndim", 1) == 2 and videos.shape[1] == 1:
        videos = videos[:, 0]
    return list(videos)


def check_fit_arguments(videos, y, groups, sample_weight, reals_will_do=False):
    """Return videos, labels as 0/1, weights and the classes, checked.

    Parameters
    ----------
    videos, y, groups, sample_weight
        As for a detector's ``fit``.
    reals_will_do : bool, default=False
        Whether all labels may mean real.

    Returns
    -------
    videos : list
    is_fake : ndarray of shape (n_videos,)
    sample_weight : ndarray of shape (n_videos,)
    classes : ndarray of shape (2,)
    """
    videos = as_videos(videos)
    for name, values in (
        ("y", y),
        ("groups", groups),
        ("sample_weight", sample_weight),
    ):
        if values is not None and len(values) != len(videos):
            raise ValueError(
                f"{name} must have one entry per video; got {len(values)} for "
                f"{len(videos)} videos"
            )
    y = np.asarray(y)
    classes = np.unique(y)
    if len(classes) == 1 and reals_will_do:
        classes = classes_of_reals(classes)
    if len(classes) != 2:
        raise ValueError(
            f"y must hold both classes, real and fake; got {classes.tolist()}. From "
            "real videos alone learn detectors with pseudo_fakes (and train='full')"
        )
    weight = (
        np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
    )
    if not (np.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError("sample_weight must be finite and >= 0")
    is_fake = (y == classes[fake_column(classes)]).astype(np.int64)
    if len(np.unique(is_fake[weight > 0])) < len(np.unique(is_fake)):
        raise ValueError("sample_weight must be > 0 for some videos of both classes")
    return videos, is_fake, weight, classes


def with_fingerprints(params):
    """Return parameters in which functions are described by their code.

    Parameters
    ----------
    params : dict
        Of a detector.

    Returns
    -------
    dict
        `augment`, `pseudo_fakes` and `pooling` as fingerprints where they are
        callables other than estimators, which describe themselves.

    Examples
    --------
    >>> from base_models.detectors.base import with_fingerprints
    >>> with_fingerprints({"pooling": "mean", "n_frames": 8})
    {'pooling': 'mean', 'n_frames': 8}
    """
    described = {
        name: fingerprint(value)
        for name, value in params.items()
        if name in ("augment", "pseudo_fakes", "pooling")
        and callable(value)
        and not hasattr(value, "get_params")
    }
    return {**params, **described}


def classes_of_reals(classes):
    """Return both classes where there is one and it means real, else what was given.

    Parameters
    ----------
    classes : ndarray of shape (1,)

    Returns
    -------
    ndarray of shape (2,) or (1,)
        0 gives [0, 1], False [False, True], "REAL" ["FAKE", "REAL"], sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.detectors.base import classes_of_reals
    >>> classes_of_reals(np.array([0]))
    array([0, 1])
    >>> classes_of_reals(np.array(["real"])).tolist()
    ['fake', 'real']
    """
    (only,) = classes
    if str(only).upper() == "REAL":
        fakes = {"REAL": "FAKE", "real": "fake"}
        return np.sort(np.array([fakes.get(str(only), "Fake"), str(only)]))
    if classes.dtype.kind in "biuf" and only == 0:
        return np.array([0, 1]).astype(classes.dtype)
    return classes


def fake_column(classes):
    """Return which of two sorted classes means fake: the second, or "FAKE"."""
    words = [str(label).upper() for label in classes]
    return words.index("FAKE") if sorted(words) == ["FAKE", "REAL"] else 1


def two_columns(fake_score, classes):
    """Return P(fake) as (n_videos, 2), columns in the order of the classes."""
    columns = [1 - fake_score, fake_score]
    return np.column_stack(columns if fake_column(classes) == 1 else columns[::-1])
