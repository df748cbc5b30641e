"""The 68 landmarks of the face in a face crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.faces.face import Face
from base_models.store.keys import class_key
from base_models.store.store import store_key

if TYPE_CHECKING:
    from base_models.store.store import Store

_FINDER = DlibFaceFinder(landmarks="68", min_face=24, max_side=320, upsample=1)


def image_landmarks(
    images: Sequence[np.ndarray] | np.ndarray, margin: float = 1.3
) -> list[np.ndarray]:
    """Find the landmarks of the face in each face crop.

    dlib's HOG detector says where the face is; where it finds none, the face is taken
    to fill the crop but for the margin, as it does by construction.

    Parameters
    ----------
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8, one face crop each.
    margin : float, default=1.3
        Side of the crop, in sides of the face box.

    Returns
    -------
    list of ndarray of shape (68, 2)
        x, y in pixels, in the order of the iBUG 300-W scheme.

    Raises
    ------
    ImportError
        If the extra ``demo``, which holds dlib's landmark model, is not installed.

    References
    ----------
    Kazemi and Sullivan (2014), One millisecond face alignment with an ensemble of
    regression trees.

    Examples
    --------
    >>> from base_models.landmarks import image_landmarks
    >>> image_landmarks(np.full((1, 64, 64, 3), 128, np.uint8))[0].shape
    (68, 2)
    """
    return [_landmarks(np.ascontiguousarray(image), margin) for image in images]


class Landmarks:
    """The landmarks of the images of many videos, found when first asked for.

    Parameters
    ----------
    views : Views
    margin : float
        Side of the crops, in sides of the face box.
    store : Store
        Where they are kept.
    """

    def __init__(self, views: Any, margin: float, store: Store) -> None:
        self._views, self._margin, self._store = views, margin, store
        self._known = {}

    def __call__(self, row):
        """Return the landmarks of one video, (n_images, 68, 2).

        Of clips they are (n_images, clip_length, 68, 2).
        """
        if row not in self._known:
            view = self._views[row]
            key = store_key(
                landmarks=68,
                by=class_key(type(_FINDER)),
                view=view.key,
                margin=self._margin,
            )
            entry = self._store.get("landmarks", key)
            if entry is None:
                images = view.images.reshape(-1, *view.images.shape[-3:])
                points = np.array(image_landmarks(images, self._margin))
                points = points.reshape(*view.images.shape[:-3], 68, 2)
                self._store.put("landmarks", key, {"points": points})
            else:
                points = entry[0]["points"]
            self._known[row] = points
        return self._known[row]

    def take(self, rows: Any) -> Any:
        """Return those of some of the videos, numbered anew."""
        return Landmarks(self._views.take(rows), self._margin, self._store)


def _landmarks(image, margin):
    height, width = image.shape[:2]
    centre = np.array([width - 1, height - 1]) / 2
    side = min(height, width) / margin
    corners = [*(centre - side / 2), *(centre + side / 2)]
    for face in _FINDER.find(image):
        # another face at the rim of the crop is not the one
        away = np.abs(np.reshape(face.box, (2, 2)).mean(0) - centre).max()
        if away < side / 4 and 0.6 < face.side / side < 1.6:
            return face.landmarks
    box = tuple(round(corner) for corner in corners)
    return _FINDER.landmarks_of(image, Face(box, 0.0))
