"""What every base detector is: a scikit-learn classifier of videos."""

from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from base_models.errors import UnscorableVideoError
from base_models.inputs import (
    Videos,
    as_videos,
    check_fit_arguments,
    classes_of_reals,
    fake_column,
    two_columns,
)
from base_models.scoring.pooling import deciding_frames
from base_models.scoring.sharing import walk_videos
from base_models.scoring.together import score_videos
from base_models.store.store import fingerprint
from base_models.video.paths import video_id
from base_models.views.spec import ViewRecipe
from base_models.views.view import View

__all__ = [
    "VideoDetector",
    "ViewDetector",
    "as_videos",
    "check_fit_arguments",
    "classes_of_reals",
    "fake_column",
    "identity_of",
    "two_columns",
    "with_fingerprints",
]


class VideoDetector(ClassifierMixin, BaseEstimator):
    """Base class of detectors: a subclass learns, and gives P(fake) of videos.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    """

    gives_reasons = False  # whether `_score` takes care of what cannot be scored

    @property
    def fits_on_reals(self) -> bool:
        """Whether `fit` can do with real videos alone."""
        return False

    @property
    def default_name(self) -> str:
        """What it is called among other detectors, where the user gives no name."""
        return str(self)

    @abstractmethod
    def _score(self, videos):
        """Return P(fake) of each video, NaN where there is none, and why not."""

    def fake_score(self, videos: Videos) -> NDArray:
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

    def predict_proba(self, videos: Videos) -> NDArray:
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

    def predict(self, videos: Videos) -> NDArray:
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
    def view_recipes(self) -> list[ViewRecipe]:
        """Return the `ViewRecipe` list that this fitted detector looks at."""

    def recipes_in_use(self) -> list[ViewRecipe]:
        """Return the `ViewRecipe` list that `view_recipes` gave last.

        Their keys stay as they were then, whatever the code that they stand for does
        to what it is made of, such as counters and caches of its module.
        """
        in_use = vars(self).get("_recipes_in_use")
        return self.view_recipes() if in_use is None else in_use

    def _in_use(self, recipes):
        self._recipes_in_use = recipes
        return recipes

    def _recipe_in_use(self):
        (recipe,) = self.recipes_in_use()
        return recipe

    @abstractmethod
    def score_views(
        self, views: dict[str, View], shared: dict
    ) -> tuple[float, str, pd.DataFrame]:
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

    def score_frames(self, videos: Videos) -> list[pd.DataFrame]:
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
        check_is_fitted(self)
        walked = walk_videos([self], videos, self.store)
        return [self.score_views(views, {})[2] for views in walked]

    def deciding_frames(self, frames: pd.DataFrame) -> NDArray:
        """Say which frames of a timeline decided the video's score.

        Parameters
        ----------
        frames : DataFrame
            From `score_views`.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            See `base_models.scoring.pooling.deciding_frames`; all, where the detector
            looks at the frames as a whole.
        """
        pooling = getattr(self, "pooling", None)
        if pooling is None:
            return np.ones(len(frames), bool)
        return deciding_frames(frames["score"], pooling)

    def _score(self, videos):
        scores, reasons = score_videos([self], videos, store=self.store)
        return scores[:, 0], reasons[:, 0]


def with_fingerprints(params: dict[str, Any]) -> dict[str, Any]:
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
    >>> from base_models.detectors.bases.video import with_fingerprints
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


def identity_of(detector: Any) -> dict[str, Any]:
    """Return what decides the outcome of a detector's fit, beside the videos.

    Parameters
    ----------
    detector : detector
        With ``identity``, or such a one in ``FrozenEstimator``.

    Returns
    -------
    dict
        Ready for `store_key`; for a frozen detector with what it has learned, since
        its fit is over.

    Raises
    ------
    TypeError
        If that has no stable description.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from base_models import FlickerDetector
    >>> from base_models.detectors.bases.video import identity_of
    >>> flicker = FlickerDetector()
    >>> identity_of(flicker) == flicker.identity()
    True
    """
    if not isinstance(detector, FrozenEstimator):
        return detector.identity()
    learned = detector.estimator
    identity = identity_of(learned)
    if getattr(learned, "prefit", False):
        return identity
    if not hasattr(learned, "get_state"):
        raise TypeError(f"{learned} is frozen, and what it has learned is not known")
    meta, arrays = learned.get_state(portable=False)
    return {**identity, "learned": meta, "arrays": arrays}
