"""Of the face in a face crop: dlib's 68 landmarks, and its 128 numbers of who it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from base_models.errors import CheckpointError, refusing
from base_models.faces.dlib_finder import DlibFaceFinder, dlib_file
from base_models.faces.face import Face
from base_models.runtime.caches import cached
from base_models.store.keys import class_key
from base_models.store.store import store_key

if TYPE_CHECKING:
    from base_models.store.store import Store

ENCODER = "dlib_face_recognition_resnet_model_v1.dat"
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


def encode_faces(images: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Encode faces as dlib's recognition network does.

    Parameters
    ----------
    images : ndarray of shape (n, H, W, 3)
        RGB uint8.
    landmarks : ndarray of shape (n, 68, 2)
        x, y in pixels.

    Returns
    -------
    ndarray of shape (n, 128)
        Two of one person are less than 0.6 apart as a rule.

    Raises
    ------
    ImportError
        If the extra ``demo``, which holds dlib's network, is not installed.

    Notes
    -----
    The network is dlib's ResNet of 29 layers (King, 2017), which turns and scales each
    face by its landmarks itself.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.landmarks import encode_faces, image_landmarks
    >>> images = np.full((1, 128, 128, 3), 128, np.uint8)
    >>> encode_faces(images, np.array(image_landmarks(images))).shape
    (1, 128)
    """
    import dlib

    network = _load_encoder(dlib_file(None, ENCODER, "model"))
    codes = []
    for image, points in zip(images, landmarks, strict=True):
        left, top = points.min(0)
        right, bottom = points.max(0)
        box = dlib.rectangle(*(round(side) for side in (left, top, right, bottom)))
        dots = dlib.points([dlib.point(round(x), round(y)) for x, y in points.tolist()])
        shape = dlib.full_object_detection(box, dots)
        image = np.ascontiguousarray(image)
        codes.append(np.array(network.compute_face_descriptor(image, shape)))
    return np.array(codes)


@cached(maxsize=1)
def _load_encoder(file):
    import dlib

    with refusing(CheckpointError, file):
        return dlib.face_recognition_model_v1(file)
