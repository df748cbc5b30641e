"""Any function of videos as a base detector."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from base_models.detectors.bases.video import VideoDetector
from base_models.inputs import Videos, check_fit_arguments

if TYPE_CHECKING:
    from typing_extensions import Self


class CallableDetector(VideoDetector):
    """Use any function that scores videos as a detector.

    Parameters
    ----------
    function : callable
        List of videos (paths or arrays, as they were given) -> P(fake) of each,
        shape (n_videos,), NaN where it has none. It learns nothing here, so that
        its scores of training videos are out of fold only if it has not seen them.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector
    >>> def brightness(videos):
    ...     return [video.mean() / 255 for video in videos]
    >>> videos = [np.full((8, 4, 4, 3), shade, np.uint8) for shade in (0, 255)]
    >>> CallableDetector(brightness).fit(videos, ["REAL", "FAKE"]).predict(videos)
    array(['REAL', 'FAKE'], dtype='<U4')
    """

    code_version = 1

    def __init__(self, function: Callable) -> None:
        self.function = function

    @property
    def fits_on_reals(self) -> bool:
        """Always: it does not learn from them."""
        return True

    def __str__(self):
        return getattr(self.function, "__name__", type(self.function).__name__)

    def fit(
        self,
        videos: Videos,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Note the two labels; the function learns nothing.

        Parameters
        ----------
        videos : sequence of length n_videos
        y : array-like of shape (n_videos,)
        groups, sample_weight : array-like of shape (n_videos,), default=None

        Returns
        -------
        self
        """
        *_, self.classes_ = check_fit_arguments(
            videos, y, groups, sample_weight, reals_will_do=True
        )
        if not callable(self.function):
            raise TypeError(
                f"function must be callable; got {type(self.function).__name__}"
            )
        return self

    def _score(self, videos):
        score = np.asarray(self.function(videos), float)
        if score.shape != (len(videos),):
            raise ValueError(
                f"{self} must return one P(fake) per video, shape ({len(videos)},); "
                f"got shape {score.shape}"
            )
        return score, np.where(np.isnan(score), "it gave no score", "")
