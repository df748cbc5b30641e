"""Faces found by OpenCV: a Haar cascade or YuNet; what finders share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.base import BaseEstimator

from base_models.errors import CheckpointError, NoFaceError as NoFaceError, refusing
from base_models.faces.face import Face, check_frame
from base_models.limits import check_file
from base_models.runtime.caches import PerThread
from base_models.runtime.file_digest import file_sha256
from base_models.runtime.isolation.pool import ReaderLost, call
from base_models.store.keys import file_key

# Finders

# Where a face is looked for again: how many of its sides; the side in pixels of what
# fills a HOG window of 80; and a multiple of HOG's cells of 8 pixels on the two steps
# of the pyramid that matter, so that they lie as they did on the whole frame.
WINDOW, HOG_SIDE, HOG_GRID = 2.2, 72.4, 48


class _ScaledFinder(BaseEstimator):
    """Looks at a small copy of the frame first, and at larger ones if it finds nothing.

    A subclass has `min_face`, `max_side` and `upsample` among its parameters, and

    - `_smallest`, the side of the smallest face that it sees in an image, in pixels;
    - `_detect(image)`, which gives (left, top, right, bottom), score and further fields
      of `Face` in pixels of the RGB image; right and bottom are exclusive.
    """

    code_version = 1  # raise it as `base_models.store.versions.own_versions` says
    thread_safe = True

    def find(self, frame: np.ndarray) -> list[Face]:
        """Find the faces in a frame.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3)
            RGB uint8.

        Returns
        -------
        list of Face
            Highest score first; empty when there is none.
        """
        frame = check_frame(frame)
        for scale in self._scales(max(frame.shape[:2])):
            found = [
                face_at(scale, *each) for each in self._detect(scaled(frame, scale))
            ]
            faces = [face for face in found if face.side >= self.min_face]
            if faces:
                faces.sort(key=lambda face: -face.score)
                return [self._finished(frame, face) for face in faces]
        return []

    def key_params(self) -> dict[Any, Any]:
        """Return the parameters as keys of a store have them: files by their content.

        Returns
        -------
        dict
        """
        params = self.get_params(deep=False)
        for name in {"model", "landmarks"} & params.keys():
            if params[name] not in (None, "5", "68"):
                params[name] = file_key(params[name])
        return params

    def _scales(self, longest_side):
        for name, least in {"min_face": 1, "max_side": 1, "upsample": 0}.items():
            if not getattr(self, name) >= least:
                raise ValueError(
                    f"{name} must be at least {least}; got {getattr(self, name)}"
                )
        enough = max(1.0, self._smallest / self.min_face)
        first = min(self.max_side / longest_side, enough)
        doubled = [min(first * 2.0**i, enough) for i in range(self.upsample + 1)]
        return list(dict.fromkeys(doubled))

    def _finished(self, frame, face):
        return face


class HaarFaceFinder(_ScaledFinder):
    """Find faces with OpenCV's Haar cascades: quick and rough.

    Parameters
    ----------
    model : str, Path or None, default=None
        A cascade's XML file; None takes OpenCV's frontal face.
    scale_factor : float, default=1.1
        Step of the image pyramid, above 1.
    min_neighbors : int, default=5
        Overlapping hits that make a face; higher finds fewer and surer ones.
    min_face : int, default=36
        Smaller faces are left out; side of the box in pixels of the frame.
    max_side : int, default=640
        Longest side of the copy of the frame that is looked at first.
    upsample : int, default=2
        How often the copy is doubled while it shows no face.

    Examples
    --------
    >>> HaarFaceFinder().find(np.zeros((120, 160, 3), np.uint8))
    []
    """

    code_version = 1
    key_libraries = ("cv2",)
    _smallest = 24  # the cascade's window

    def __init__(
        self,
        model: str | Path | None = None,
        scale_factor: float = 1.1,
        min_neighbors: int = 5,
        min_face: int = 36,
        max_side: int = 640,
        upsample: int = 2,
    ) -> None:
        self.model = model
        self.scale_factor = scale_factor
        self.min_neighbors = min_neighbors
        self.min_face = min_face
        self.max_side = max_side
        self.upsample = upsample

    def _detect(self, image):
        cascade = loaded.get(_load_cascade, _optional_path(self.model))
        boxes, _, scores = cascade.detectMultiScale3(
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
            scaleFactor=self.scale_factor,
            minNeighbors=self.min_neighbors,
            outputRejectLevels=True,
        )
        for (x, y, width, height), score in zip(boxes, scores, strict=True):
            yield (x, y, x + width, y + height), score


class YuNetFaceFinder(_ScaledFinder):
    """Find faces with YuNet, a small network that OpenCV runs.

    It gives five landmarks: the eyes, the tip of the nose and the corners of the mouth,
    each pair from left to right in an upright image.

    Parameters
    ----------
    model : str or Path
        Its ONNX file, such as ``face_detection_yunet_2023mar.onnx`` of OpenCV Zoo.
    min_score : float, default=0.7
        Less sure faces are left out; 0 to 1.
    min_face : int, default=36
        Smaller faces are left out; longer side of the box in pixels of the frame.
    max_side : int, default=640
        Longest side of the copy of the frame that is looked at first.
    upsample : int, default=2
        How often the copy is doubled while it shows no face.
    """

    code_version = 1
    key_libraries = ("cv2",)
    _smallest = 16  # its finest grid has cells of 8 pixels

    def __init__(
        self,
        model: str | Path,
        min_score: float = 0.7,
        min_face: int = 36,
        max_side: int = 640,
        upsample: int = 2,
    ) -> None:
        self.model = model
        self.min_score = min_score
        self.min_face = min_face
        self.max_side = max_side
        self.upsample = upsample

    def _detect(self, image):
        detector = loaded.get(_load_yunet, _optional_path(self.model))
        # On maps of one cell OpenCV's layers read beyond them and see faces anywhere.
        narrow = [(0, max(0, 64 - side)) for side in image.shape[:2]]
        image = np.pad(image, [*narrow, (0, 0)])
        detector.setInputSize(image.shape[1::-1])
        detector.setScoreThreshold(float(self.min_score))
        with refusing(CheckpointError, self.model, "a network in it", _GET_YUNET):
            _, found = detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        for row in [] if found is None else found.astype(float):
            if np.isfinite(row).all():  # very flat images give infinite boxes
                x, y, width, height = row[:4]
                points = row[4:14].reshape(5, 2)
                yield (x, y, x + width, y + height), row[14], points, points[:2]


# Boxes and images


def overlap(one: Any, other: Any) -> Any:
    """Intersection over union of two faces' boxes."""
    left, top = np.maximum(one.box[:2], other.box[:2])
    right, bottom = np.minimum(one.box[2:], other.box[2:])
    common = max(0, right - left + 1) * max(0, bottom - top + 1)
    return common / (one.area + other.area - common)


def scaled(frame: Any, scale: Any) -> Any:
    if scale == 1:
        return frame
    height, width = frame.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=way)


def face_at(
    scale: Any, box: Any, score: Any, landmarks: Any = None, eyes: Any = None
) -> Any:
    left, top, right, bottom = (round(float(edge) / scale) for edge in box)
    points = [None if at is None else at / scale for at in (landmarks, eyes)]
    return Face((left, top, right - 1, bottom - 1), float(score), *points)


# Detectors

# Neither dlib's nor OpenCV's detectors may be used by two threads at once, nor survive
# a fork or a pickle for certain: each thread of each process loads its own when it
# first needs it, and finders hold parameters only.
loaded = PerThread(f"{__name__}.loaded", maxsize=8)


def _load_cascade(file):
    if not hasattr(cv2, "CascadeClassifier"):
        raise ImportError(
            f"OpenCV {cv2.__version__} has no Haar cascades; install "
            "'opencv-python<5', or use DlibFaceFinder or YuNetFaceFinder"
        )
    if file is None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        file = os.path.join(folder, "haarcascade_frontalface_default.xml")
    check_file(file, CheckpointError)
    cascade = cv2.CascadeClassifier()
    with refusing(CheckpointError, file):
        is_read = Path(file).is_file() and cascade.load(file)
    if not is_read:
        raise FileNotFoundError(
            f"no Haar cascade can be read from {file}; give the path of a cascade's "
            "XML file as model, or install opencv-python, which brings them"
        )
    return cascade


_GET_YUNET = (
    "get face_detection_yunet_2023mar.onnx from OpenCV Zoo (github.com/opencv/"
    "opencv_zoo) and give its path as model"
)


def _load_yunet(file):
    check_file(file, CheckpointError)
    if not Path(file).is_file():
        raise FileNotFoundError(f"there is no YuNet model at {file}; {_GET_YUNET}")
    _refuse_deadly(file)
    with refusing(CheckpointError, file, advice=_GET_YUNET):
        return cv2.FaceDetectorYN.create(file, "", (320, 320))


# Of OpenCV Zoo: face_detection_yunet_2023mar.onnx
_YUNET = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"


def _refuse_deadly(file):
    """Have another process load a network first: some graphs end OpenCV's."""
    if os.name != "posix" or file_sha256(file) == _YUNET:
        return
    how, here = None, f"{__name__}:{_tried_apart.__name__}"
    with refusing(CheckpointError, file, advice=_GET_YUNET):
        try:
            call(here, os.path.abspath(file))
        except ReaderLost as error:
            how = "it takes too long" if error.hung else error.how
    if how is not None:
        raise CheckpointError(
            f"{file} ends the process that loads it with OpenCV ({how}); {_GET_YUNET}"
        )


def _tried_apart(file, make):
    """Load it and look at a flat image, in the other process."""
    flat = np.zeros((64, 64, 3), np.uint8)
    cv2.FaceDetectorYN.create(file, "", (64, 64)).detect(flat)


def _optional_path(path):
    return None if path is None else os.fspath(path)
