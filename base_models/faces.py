"""Finds faces in frames and crops them."""

import importlib.util
import math
import os
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator

from base_models.keys import file_key


class NoFaceError(ValueError):
    """No face was found in a video.

    Parameters
    ----------
    video : str or Path
        The video's name.
    n_frames : int
        Frames in which one was looked for.

    Attributes
    ----------
    video : str
    n_frames : int

    Examples
    --------
    >>> print(NoFaceError("clip_017.mp4", 64))
    no face found in clip_017.mp4 (64 frames tried); lower min_face or drop the video
    """

    def __init__(self, video, n_frames):
        self.video, self.n_frames = str(video), n_frames
        super().__init__(
            f"no face found in {video} ({n_frames} frames tried); lower min_face or "
            "drop the video"
        )

    def __reduce__(self):
        return type(self), (self.video, self.n_frames)


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes
    ----------
    box : tuple of int
        Left, top, right, bottom in pixels. As in dlib, right and bottom are the last
        column and row inside the box, and a box may reach beyond the frame.
    score : float
        The finder's own confidence, higher is surer; not comparable between finders.
    landmarks : ndarray of shape (n_points, 2) or None
        x, y in pixels: dlib's 68 or 5 points, or those of another finder.
    eyes : ndarray of shape (2, 2) or None
        x, y of the centres of the eyes, the one further left in the image first. Not
        needed beside dlib's landmarks, from which they follow.

    Examples
    --------
    >>> Face((10, 20, 109, 119), score=0.8)
    Face(box=(10, 20, 109, 119), score=0.8)
    """

    box: tuple
    score: float
    landmarks: np.ndarray | None = field(default=None, repr=False, compare=False)
    eyes: np.ndarray | None = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        if self.eyes is None and self.landmarks is not None:
            object.__setattr__(self, "eyes", _eyes_of(self.landmarks))

    @property
    def area(self):
        """Pixels in the box."""
        left, top, right, bottom = self.box
        return (right - left + 1) * (bottom - top + 1)

    @property
    def side(self):
        """Longer side of the box, pixels."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top) + 1


@runtime_checkable
class FaceFinder(Protocol):
    """Anything that finds faces in a frame.

    One that several threads may ask at a time says so with ``thread_safe = True``.
    """

    def find(self, frame):
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


# Finders

# Where a face is looked for again: how many of its sides; the side in pixels of what
# fills a HOG window of 80; and a multiple of HOG's cells of 8 pixels on the two steps
# of the pyramid that matter, so that they lie as they did on the whole frame.
_WINDOW, _HOG_SIDE, _HOG_GRID = 2.2, 72.4, 48


class _ScaledFinder(BaseEstimator):
    """Looks at a small copy of the frame first, and at larger ones if it finds nothing.

    A subclass has `min_face`, `max_side` and `upsample` among its parameters, and

    - `_smallest`, the side of the smallest face that it sees in an image, in pixels;
    - `_detect(image)`, which gives (left, top, right, bottom), score and further fields
      of `Face` in pixels of the RGB image; right and bottom are exclusive.
    """

    code_version = 1  # raise it as `base_models.keys.own_versions` says
    thread_safe = True

    def find(self, frame):
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
        frame = _check_frame(frame)
        for scale in self._scales(max(frame.shape[:2])):
            found = [
                _face_at(scale, *each) for each in self._detect(_scaled(frame, scale))
            ]
            faces = [face for face in found if face.side >= self.min_face]
            if faces:
                faces.sort(key=lambda face: -face.score)
                return [self._finished(frame, face) for face in faces]
        return []

    def key_params(self):
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
        method="hog",
        model=None,
        landmarks=None,
        min_face=36,
        max_side=640,
        upsample=2,
        every=4,
    ):
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
            detector = _per_thread(_load_hog)
            gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            boxes, scores, _ = detector.run(gray, doublings, 0.0)
        elif self.method == "cnn":
            if min(image.shape[:2]) < 16:  # dlib's layers do not fit into less
                return
            file = _dlib_file(self.model, "mmod_human_face_detector.dat", "model")
            found = _per_thread(_load_cnn, file)(image, doublings)
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

    def find_near(self, frame, faces):
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
        frame = _check_frame(frame)
        found = []
        for face in faces:
            again = self._again(frame, face)
            if again is None or any(_overlap(again, other) > 0.3 for other in found):
                return None
            found.append(again)
        return [self._finished(frame, face) for face in found]

    def _again(self, frame, face):
        """The surest face in a window around one, about the size it had, or None."""
        # One step of dlib's pyramid above the one where its HOG filled a window.
        scale = min(1.2 * _HOG_SIDE / face.side, 2.0)
        image = _scaled(frame, scale)
        middle = scale * np.add(face.box[:2], face.box[2:]) / 2
        half = scale * face.side * _WINDOW / 2
        x, y = np.maximum((middle - half) // _HOG_GRID * _HOG_GRID, 0).astype(int)
        end_x, end_y = np.ceil(middle + half).astype(int)
        window = np.ascontiguousarray(image[y:end_y, x:end_x])
        if 0 in window.shape:
            return None
        best = None
        for box, *rest in self._detect(window):
            seen = _face_at(scale, np.add(box, (x, y, x, y)), *rest)
            if seen.side >= self.min_face and _overlap(seen, face) > 0:
                best = max(seen, best or seen, key=lambda one: one.score)
        return best

    def landmarks_of(self, frame, face):
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
        file = _dlib_file(None if name else self.landmarks, name, "landmarks")
        points = _load_landmarks(file)(frame, dlib.rectangle(*face.box))
        return np.array([(point.x, point.y) for point in points.parts()], float)


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
        model=None,
        scale_factor=1.1,
        min_neighbors=5,
        min_face=36,
        max_side=640,
        upsample=2,
    ):
        self.model = model
        self.scale_factor = scale_factor
        self.min_neighbors = min_neighbors
        self.min_face = min_face
        self.max_side = max_side
        self.upsample = upsample

    def _detect(self, image):
        cascade = _per_thread(_load_cascade, _optional_path(self.model))
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

    def __init__(self, model, min_score=0.7, min_face=36, max_side=640, upsample=2):
        self.model = model
        self.min_score = min_score
        self.min_face = min_face
        self.max_side = max_side
        self.upsample = upsample

    def _detect(self, image):
        detector = _per_thread(_load_yunet, _optional_path(self.model))
        # On maps of one cell OpenCV's layers read beyond them and see faces anywhere.
        narrow = [(0, max(0, 64 - side)) for side in image.shape[:2]]
        image = np.pad(image, [*narrow, (0, 0)])
        detector.setInputSize(image.shape[1::-1])
        detector.setScoreThreshold(float(self.min_score))
        _, found = detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        for row in [] if found is None else found.astype(float):
            if np.isfinite(row).all():  # very flat images give infinite boxes
                x, y, width, height = row[:4]
                points = row[4:14].reshape(5, 2)
                yield (x, y, x + width, y + height), row[14], points, points[:2]


# Crops


def face_square(box, width, height, margin=1.3):
    """Enlarge a face box to a square inside the frame, as FaceForensics++ does.

    At the left and top edge the square is moved, at the right and bottom it shrinks; it
    is never padded.

    Parameters
    ----------
    box : tuple of int
        Left, top, right, bottom.
    width, height : int
        Size of the frame in pixels.
    margin : float, default=1.3
        Side of the square, in longer sides of the box.

    Returns
    -------
    x, y, size : int
        The square is ``frame[y : y + size, x : x + size]``.

    Examples
    --------
    >>> face_square((175, 76, 265, 166), width=512, height=512)
    (162, 63, 117)
    """
    left, top, right, bottom = box
    size = int(max(right - left, bottom - top) * margin)
    x = max(int((left + right) // 2 - size // 2), 0)
    y = max(int((top + bottom) // 2 - size // 2), 0)
    size = min(width - x, height - y, size)
    if size < 1:
        raise ValueError(
            f"the box {tuple(box)} with margin {margin} leaves no square in a frame of "
            f"{width} x {height} pixels; box and frame must belong together"
        )
    return x, y, size


def crop_face(frame, face, margin=1.3, size=None, align=False):
    """Cut a square around a face out of a frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    face : Face
    margin : float, default=1.3
        As in `face_square`.
    size : int or None, default=None
        Side of the result in pixels, reached as FaceForensics++ does (Pillow's bilinear
        filter); None leaves it as it is.
    align : bool, default=False
        Turn the frame about the middle of the box until the eyes are level.

    Returns
    -------
    ndarray of shape (size, size, 3)
        RGB uint8.

    Examples
    --------
    >>> frame = np.zeros((480, 640, 3), np.uint8)
    >>> crop_face(frame, Face((100, 100, 199, 199), score=1.0), size=299).shape
    (299, 299, 3)
    """
    frame = _check_frame(frame)
    height, width = frame.shape[:2]
    x, y, side = face_square(face.box, width, height, margin)
    if align:
        crop = _levelled(frame, face, x, y, side)
    else:
        crop = frame[y : y + side, x : x + side]
    if size is None:
        return np.ascontiguousarray(crop)
    crop = Image.fromarray(np.ascontiguousarray(crop))
    return np.array(crop.resize((size, size), Image.Resampling.BILINEAR))


def _levelled(frame, face, x, y, side):
    if face.eyes is None:
        raise ValueError(
            "to align a crop the face needs landmarks; this one has none. Use a finder "
            "that gives them, such as DlibFaceFinder(landmarks='5'), or align=False"
        )
    (x_left, y_left), (x_right, y_right) = face.eyes
    angle = math.degrees(math.atan2(y_right - y_left, x_right - x_left))
    left, top, right, bottom = face.box
    middle = ((left + right) / 2, (top + bottom) / 2)
    turn = cv2.getRotationMatrix2D(middle, angle, 1.0)
    turn[:, 2] -= x, y
    return cv2.warpAffine(
        frame,
        turn,
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _eyes_of(landmarks):
    points = np.asarray(landmarks, float)
    if points.shape == (68, 2):
        return np.array([points[36:42].mean(axis=0), points[42:48].mean(axis=0)])
    if points.shape == (5, 2):
        # dlib's five: both corners of one eye, both of the other, under the nose.
        eyes = [points[:2].mean(axis=0), points[2:4].mean(axis=0)]
        return np.array(sorted(eyes, key=lambda eye: eye[0]))
    return None


# Boxes and images


def _overlap(one, other):
    """Intersection over union of two faces' boxes."""
    left, top = np.maximum(one.box[:2], other.box[:2])
    right, bottom = np.minimum(one.box[2:], other.box[2:])
    common = max(0, right - left + 1) * max(0, bottom - top + 1)
    return common / (one.area + other.area - common)


def _check_frame(frame):
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise TypeError(f"a frame must be an RGB uint8 array (H, W, 3); got {kind}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(
            f"a frame must be RGB of shape (H, W, 3); got shape {frame.shape}"
        )
    return frame


def _scaled(frame, scale):
    if scale == 1:
        return frame
    height, width = frame.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(frame, size, interpolation=way)


def _face_at(scale, box, score, landmarks=None, eyes=None):
    left, top, right, bottom = (round(float(edge) / scale) for edge in box)
    points = [None if at is None else at / scale for at in (landmarks, eyes)]
    return Face((left, top, right - 1, bottom - 1), float(score), *points)


def _on_dlib_pyramid(scale):
    # dlib's pyramid shrinks by 5/6 at each level.
    return 2 / 1.2 ** math.ceil(math.log(2 / scale, 1.2) - 1e-9)


# Detectors

# Neither dlib's nor OpenCV's detectors may be used by two threads at once, nor survive
# a fork or a pickle for certain: each thread of each process loads its own when it
# first needs it, and finders hold parameters only.
_loaded = threading.local()


def _per_thread(load, *arguments):
    detectors = _loaded.__dict__.setdefault("detectors", {})
    key = (os.getpid(), load, *arguments)
    if key not in detectors:
        detectors[key] = load(*arguments)
    return detectors[key]


def _load_hog():
    import dlib

    return dlib.get_frontal_face_detector()


def _load_cnn(file):
    import dlib

    return dlib.cnn_face_detection_model_v1(file)


@lru_cache(maxsize=2)
def _load_landmarks(file):
    # Up to 100 MB, and documented as safe to share between threads.
    import dlib

    return dlib.shape_predictor(file)


def _load_cascade(file):
    if not hasattr(cv2, "CascadeClassifier"):
        raise ImportError(
            f"OpenCV {cv2.__version__} has no Haar cascades; install "
            "'opencv-python<5', or use DlibFaceFinder or YuNetFaceFinder"
        )
    if file is None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        file = os.path.join(folder, "haarcascade_frontalface_default.xml")
    cascade = cv2.CascadeClassifier()
    if not (Path(file).is_file() and cascade.load(file)):
        raise FileNotFoundError(
            f"no Haar cascade can be read from {file}; give the path of a cascade's "
            "XML file as model, or install opencv-python, which brings them"
        )
    return cascade


def _load_yunet(file):
    if not Path(file).is_file():
        raise FileNotFoundError(
            f"there is no YuNet model at {file}; get face_detection_yunet_2023mar.onnx "
            "from OpenCV Zoo (github.com/opencv/opencv_zoo) and give its path as model"
        )
    return cv2.FaceDetectorYN.create(file, "", (320, 320))


def _optional_path(path):
    return None if path is None else os.fspath(path)


def _dlib_file(path, name, parameter):
    """Find a file of dlib's: the path given, or by name in face_recognition_models.

    That package is located, never imported: its import needs an old setuptools.
    """
    if path is None:
        package = importlib.util.find_spec("face_recognition_models")
        if package is None:
            raise ImportError(
                f"{name} is not installed; pip install face_recognition_models, or "
                f"give the path of such a file as {parameter}"
            )
        path = Path(package.submodule_search_locations[0]) / "models" / name
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no dlib model at {path}; give the path of one as {parameter}"
        )
    return os.fspath(path)
