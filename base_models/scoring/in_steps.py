"""Fitted detectors that look at a quarter of their frames, at half, at all of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from base_models.scoring.pooling import pool_scores

if TYPE_CHECKING:
    from base_models.views.spec import ViewRecipe
    from base_models.views.view import View

WHOLE = 4  # quarters
STEPS = (1, 2)  # quarters of the frames, before all of them
_FEWEST = 8  # frames: a quarter of fewer tells next to nothing
TOO_FEW = f"it has no score by a part of fewer than {_FEWEST} frames"


def takes_steps(detector: Any) -> bool:
    """Say whether a detector can look at a part of its frames first.

    Parameters
    ----------
    detector : detector
        Any.

    Returns
    -------
    bool
        True for those that score each frame by itself and pool
        (``pools_frames``), with 8 frames or more.

    Examples
    --------
    >>> from base_models import FlickerDetector, FrameDetector
    >>> from base_models.scoring.in_steps import takes_steps
    >>> takes_steps(FrameDetector(n_frames=16)), takes_steps(FlickerDetector())
    (True, False)
    """
    n_frames = getattr(detector, "n_frames", None)
    enough = isinstance(n_frames, Integral) and n_frames >= _FEWEST
    return enough and bool(getattr(detector, "pools_frames", False))


def rows_of_step(frames: ArrayLike, quarters: int) -> NDArray[np.intp]:
    """Return which images of a video a step looks at: evenly over its frames.

    Parameters
    ----------
    frames : array-like of shape (n_images,)
        Index of the frame that each image comes from.
    quarters : {1, 2, 4}
        Of the frames. Half of them include the quarter.

    Returns
    -------
    ndarray of shape (n_rows,)

    Examples
    --------
    >>> from base_models.scoring.in_steps import rows_of_step
    >>> frames = [0, 10, 20, 30, 40, 50, 60, 70]
    >>> [rows_of_step(frames, quarters).tolist() for quarters in (1, 2)]
    [[2, 6], [0, 2, 4, 6]]
    """
    chosen = np.unique(frames)
    if quarters != WHOLE:
        chosen = chosen[::2]
    if quarters == 1:
        chosen = chosen[1::2] if len(chosen) > 1 else chosen
    return np.flatnonzero(np.isin(frames, chosen))


@dataclass
class FrameStep:
    """A fitted detector that looks at a part of its frames.

    Several steps of one detector that share what they leave for each other look at each
    image once. What the whole says after smaller steps is what the detector says,
    within rounding: a network may round otherwise in batches of another size. Of a
    video that shows what is looked at in fewer than 8 frames only the whole is scored.

    Attributes
    ----------
    detector : detector
        Fitted, of which `takes_steps` is true.
    quarters : {1, 2, 4}
        Of its frames.
    known_by : int
        By which steps of one detector find what the others left, also after copies.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector, score_videos
    >>> from base_models.scoring.in_steps import FrameStep
    >>> draw = np.random.default_rng(0)
    >>> videos = [draw.integers(0, 256, (8, 32, 32, 3), np.uint8) for _ in range(4)]
    >>> detector = FrameDetector(
    ...     "test_resnet", "frame", "head", None, image_size=32, n_frames=8,
    ... )
    >>> detector = detector.fit(videos, [0, 0, 1, 1])
    >>> steps = {f"{n} quarters": FrameStep(detector, n) for n in (1, 2, 4)}
    >>> scores, _ = score_videos(steps | {"all": detector}, videos[:1])
    >>> bool(np.isclose(scores[0, 2], scores[0, 3]))
    True
    """

    code_version: ClassVar[int] = 1

    detector: Any
    quarters: int
    known_by: int = 0

    def __post_init__(self) -> None:
        self.known_by = self.known_by or id(self.detector)

    def __copy__(self) -> FrameStep:
        """Return one whose detector may be in the midst of another video."""
        return FrameStep(copy.copy(self.detector), self.quarters, self.known_by)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what it is made of: whoever asks where networks compute finds them."""
        return {"detector": self.detector, "quarters": self.quarters}

    def view_recipes(self) -> list[ViewRecipe]:
        """Return what the detector looks at."""
        return self.detector.view_recipes()

    def recipes_in_use(self) -> list[ViewRecipe]:
        """Return what the detector looked at when it was asked last."""
        return self.detector.recipes_in_use()

    def score_views(
        self, views: dict[str, View], shared: dict
    ) -> tuple[float, str, pd.DataFrame]:
        """Score one video; see `base_models.detectors.bases.video.ViewDetector`."""
        (recipe,) = self.recipes_in_use()
        view = views[recipe.key]
        if view.reason:
            return self.detector.score_views(views, shared)
        if self.quarters != WHOLE and len(np.unique(view.frames)) < _FEWEST:
            return np.nan, TOO_FEW, pd.DataFrame(columns=["frame", "face", "score"])
        place = "scores of frames", self.known_by
        known = shared.setdefault(place, np.full(len(view.frames), np.nan))
        rows = rows_of_step(view.frames, self.quarters)
        new = rows[np.isnan(known[rows])]
        if len(new) == len(known):
            score, reason, timeline = self.detector.score_views(views, shared)
            known[:] = timeline["score"]
            return score, reason, timeline
        if len(new):
            part = views | {recipe.key: _part(view, new)}
            known[new] = self.detector.score_views(part, shared)[2]["score"]
        timeline = pd.DataFrame(
            {"frame": view.frames[rows], "face": view.faces[rows], "score": known[rows]}
        )
        try:
            return pool_scores(known[rows], self.detector.pooling), "", timeline
        except Exception as error:  # a callable may need more of them
            if self.quarters == WHOLE:
                raise
            return np.nan, f"its pooling takes no part of its frames: {error}", timeline


def whole_and_steps(name: str, detector: Any) -> list[tuple[str, Any]]:
    """Return a detector, and after it its smaller steps, where it can take them.

    Parameters
    ----------
    name : str
    detector : detector
        Fitted.

    Returns
    -------
    list of (str, detector)
        One, or three, which look at each image once.
    """
    if not takes_steps(detector):
        return [(name, detector)]
    whole = FrameStep(detector, WHOLE)
    steps = [(f"{name}, {n} quarters", FrameStep(detector, n)) for n in STEPS]
    return [(name, whole), *steps]


def split_steps(values: NDArray) -> tuple[NDArray, NDArray]:
    """Tell the whole's column from those of the steps, as `whole_and_steps` has them.

    Parameters
    ----------
    values : ndarray of shape (n_videos, 1 or 3)

    Returns
    -------
    whole : ndarray of shape (n_videos,)
    steps : ndarray of shape (n_videos, 2)
        NaN where the detector takes none.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.scoring.in_steps import split_steps
    >>> split_steps(np.array([[0.5]]))
    (array([0.5]), array([[nan, nan]]))
    """
    steps = values[:, 1:]
    if not steps.shape[1]:
        steps = np.full((len(values), len(STEPS)), np.nan)
    return values[:, 0], steps


def _part(view: View, rows: NDArray) -> View:
    """Some of the images of a view; the store tells them from the whole."""
    return replace(
        view,
        images=view.images[rows],
        frames=view.frames[rows],
        faces=view.faces[rows],
        key=f"{view.key} {','.join(map(str, rows))}",
    )
