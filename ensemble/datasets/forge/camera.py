"""What the forge films: faces painted from small pictures, and recorded footage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

# The bundled pictures are 25 pixels wide and take up this share of a frame's width.
# The rest of the scene is painted around them, with a margin for camera motion.
_PICTURE, _MARGIN, _SHARE = 25, 12, 0.72
_FPS = 25


class Portrait:
    """A painted scene around a still face, filmed by a hand-held camera.

    Parameters
    ----------
    scene : ndarray of shape (L, L, 3), float32
        RGB, 0 to 255, larger than the frames to come.
    landmarks : ndarray of shape (68, 2)
        The face's landmarks (x, y) in the scene, pixels.
    size : int
        Width and height of the frames, pixels.
    """

    fps = _FPS
    n_frames = np.inf

    def __init__(self, scene: np.ndarray, landmarks: np.ndarray, size: int) -> None:
        self.scene = scene
        self.landmarks = landmarks
        self.size = size

    def film(
        self, n_frames: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Film the face: camera motion and zoom, light and its colour, focus, noise.

        Parameters
        ----------
        n_frames : int
        rng : Generator
            Draws all of that anew.

        Returns
        -------
        frames : ndarray of shape (n_frames, size, size, 3), uint8
        landmarks : ndarray of shape (n_frames, 68, 2)
        """
        import cv2

        size, middle = self.size, len(self.scene) / 2
        turn = rng.normal(0, 2) + _drift(n_frames, 1.5, rng)  # degrees
        zoom = np.exp(rng.normal(0, 0.05) + _drift(n_frames, 0.02, rng))
        shift = [rng.normal(0, 0.01) + _drift(n_frames, 0.01, rng) for _ in "xy"]
        exposure = np.exp(rng.normal(0, 0.1) + _drift(n_frames, 0.04, rng))
        rows, columns = np.indices((size, size), np.float32) / size - 0.5
        slope_down, slope_right = rng.normal(0, 0.15, 2)
        light = np.exp(slope_down * rows + slope_right * columns)[..., None]
        light = np.float32(light * np.exp(rng.normal(0, 0.03, 3)))
        focus = size / 192 * rng.uniform(0.2, 0.8)
        grain = np.exp(rng.uniform(np.log(1.5), np.log(6)))

        frames, landmarks = [], []
        for t in range(n_frames):
            camera = cv2.getRotationMatrix2D((middle, middle), turn[t], zoom[t])
            camera[:, 2] += size / 2 - middle
            camera[:, 2] += size * shift[0][t], size * shift[1][t]
            landmarks.append(self.landmarks @ camera[:, :2].T + camera[:, 2])
            frame = cv2.warpAffine(
                self.scene, camera, (size, size), borderMode=cv2.BORDER_REFLECT_101
            )
            frame *= light * np.float32(exposure[t])
            frames.append(cv2.GaussianBlur(frame, (0, 0), focus))
        return add_grain(frames, grain, rng), np.stack(landmarks)


class Recording:
    """A piece of recorded footage and the face in it.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    n_frames : int
        Length of the piece; all there is of a shorter video.
    size : int or None
        Frames are scaled so that the shorter side has this many pixels; None keeps
        them as they are.
    rng : Generator
        Draws where in the first ten seconds the piece begins.
    landmarks : ndarray of shape (T, 68, 2) or None, default=None
        Of the face in that piece, where it was followed before.
    digest : str or None, default=None
        Of the content that is meant; None takes any.

    Raises
    ------
    NoFaceError
        Less than half of the frames show a face that can be followed.
    VideoReadError
        The video cannot be read, or has another content; so does `film`.
    """

    def __init__(
        self,
        video: str | Path | np.ndarray,
        n_frames: int,
        size: int | None,
        rng: np.random.Generator,
        landmarks: np.ndarray | None = None,
        digest: str | None = None,
    ) -> None:
        from base_models.video.hashing import held_to
        from base_models.video.reading import probe_video

        self.video = video
        self.size = size
        self.digest = digest
        with held_to(video, digest):
            info = probe_video(video)
            self.name = info.path
            self.fps = info.fps or _FPS
            reach = min(info.n_frames, round(10 * self.fps))
            self.start = int(rng.integers(max(0, reach - n_frames) + 1))
            if landmarks is None:
                landmarks = follow_landmarks(self._read(n_frames), self.name)
        self.landmarks = landmarks
        self.n_frames = len(self.landmarks)

    def film(
        self, n_frames: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Play the piece: `rng` has nothing to draw, the frames are what they are.

        Parameters
        ----------
        n_frames : int
        rng : Generator

        Returns
        -------
        frames : ndarray of shape (n_frames, H, W, 3), uint8
        landmarks : ndarray of shape (n_frames, 68, 2)
        """
        from base_models.video.hashing import held_to

        with held_to(self.video, self.digest):
            return self._read(n_frames), self.landmarks[:n_frames]

    def _read(self, n_frames):
        from base_models.video.reading import iter_frames

        piece = islice(iter_frames(self.video), self.start, self.start + n_frames)
        return np.stack([_scaled(frame, self.size) for frame in piece])


def add_grain(
    frames: Sequence[np.ndarray] | np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Sensor noise: stronger in the light, slightly smeared as by demosaicing.

    Parameters
    ----------
    frames : sequence of ndarray of shape (H, W, 3)
        RGB, 0 to 255.
    strength : float
        Standard deviation in bright light, grey levels.
    rng : Generator

    Returns
    -------
    ndarray of shape (T, H, W, 3), uint8
    """
    import cv2

    # One field, a good deal larger than the frame, seen through a window that jumps:
    # as good as fresh noise in every frame, at a tenth of the time.
    height, width, channels = frames[0].shape
    field = rng.standard_normal((height + 64, width + 64, channels), np.float32)
    field = cv2.GaussianBlur(field, (3, 3), 0.6)
    field *= strength / field.std()
    grainy = np.empty((len(frames), height, width, channels), np.uint8)
    for t, (x, y) in enumerate(rng.integers(65, size=(len(frames), 2))):
        noise = field[y : y + height, x : x + width] * rng.choice([-1, 1])
        frame = np.clip(frames[t], 0, 255).astype(np.float32)
        noise = noise * np.sqrt(0.25 + frame / np.float32(340))
        grainy[t] = np.rint(np.clip(frame + noise, 0, 255))
    return grainy


def paint_portrait(
    picture: np.ndarray, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Paint a person around a small grey picture of a face.

    Skin tone, hair, clothes, background and the fine texture of it all belong to the
    person: they are the same in every clip.

    Parameters
    ----------
    picture : ndarray of shape (25, 25)
        Grey, 0 to 1; the face fills it.
    size : int
        Width of the frames to come, pixels.
    rng : Generator

    Returns
    -------
    scene : ndarray of shape (L, L, 3), float32
        RGB, 0 to 255; L is about 1.4 times `size`.
    """
    import cv2

    picture = cv2.copyMakeBorder(
        np.float32(picture), *[_MARGIN] * 4, cv2.BORDER_REFLECT_101
    )
    width = round(_SHARE * size * len(picture) / _PICTURE)
    scale = width / len(picture)

    def cloud(step):
        grid = rng.standard_normal((int(width / step) + 2,) * 2).astype(np.float32)
        return cv2.resize(grid, (width, width), interpolation=cv2.INTER_CUBIC)[
            ..., None
        ]

    def colour(low, high, saturation):
        hue = rng.uniform(-saturation, saturation, 3)
        return np.float32(rng.uniform(low, high) * (1 + hue - hue.mean()))

    def ellipse(centre, axes, blur):  # in pixels of the picture
        centre = [round(16 * scale * (_MARGIN + at)) for at in centre]
        axes = [round(16 * scale * axis) for axis in axes]
        mask = np.zeros((width, width), np.float32)
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, cv2.FILLED, cv2.LINE_8, 4)
        return cv2.GaussianBlur(mask, (0, 0), blur * scale)[..., None]

    warmth, tint = rng.uniform(0.1, 0.35), rng.uniform(-0.03, 0.03)
    skin = np.float32([1 - warmth, 1 + tint, 1 + warmth])  # exponents: red to blue
    hair = np.float32(rng.uniform(0.06, 0.4)) * np.float32([1, 0.85, 0.7])
    head = cv2.resize(picture, (width, width), interpolation=cv2.INTER_CUBIC)
    head = np.clip(head, 0.02, 1)[..., None] ** skin
    below_hairline = np.arange(width, dtype=np.float32)[:, None, None] / scale - _MARGIN
    head += np.clip(0.5 - below_hairline / 2.5, 0, 1) * (hair - head)
    chin = picture[_MARGIN + 17 : _MARGIN + 21, _MARGIN + 8 : _MARGIN + 15]
    scene = colour(0.2, 0.75, saturation=0.08) * (1 + 0.2 * cloud(width / 3))
    for mask, layer in (
        (ellipse((11.3, 5.5), (11.6, 10.2), blur=0.6), hair),
        (ellipse((11.5, 36), (21, 10.5), blur=0.5), colour(0.08, 0.6, saturation=0.15)),
        (ellipse((11.5, 24), (5.5, 7), blur=0.6), 0.75 * np.median(chin) ** skin),
        (ellipse((11.3, 10.7), (10.6, 14.2), blur=0.7), head),
    ):
        scene = scene + mask * (layer - scene)
    for step, strength in ((1, 0.03), (2, 0.045), (4, 0.04), (8, 0.025)):
        scene *= 1 + strength * cloud(step * size / 192)
    return 255 * np.clip(scene, 0, 1)


def find_landmarks(scene: Any) -> Any:
    """Landmarks of the face in a painted portrait, (68, 2), or None."""
    from base_models.faces.dlib_finder import DlibFaceFinder

    faces = DlibFaceFinder(landmarks="68").find(np.rint(scene).astype(np.uint8))
    return faces[0].landmarks if faces else None


def follow_landmarks(frames: np.ndarray, name: str) -> np.ndarray:
    """Find one face's landmarks in consecutive frames.

    Frames without the face are filled in from their neighbours, and what the landmarks
    jitter from frame to frame is smoothed away.

    Parameters
    ----------
    frames : ndarray of shape (T, H, W, 3), uint8
    name : str
        What to call the video if there is no face in it.

    Returns
    -------
    landmarks : ndarray of shape (T, 68, 2)
    """
    from scipy.ndimage import gaussian_filter1d

    from base_models.errors import NoFaceError
    from base_models.faces.dlib_finder import DlibFaceFinder
    from base_models.faces.tracking import follow_faces, largest_track

    tracks = follow_faces(frames, DlibFaceFinder(landmarks="68"))
    track = largest_track(tracks) if tracks else ()
    if 2 * len(track) < len(frames):
        raise NoFaceError(name, len(frames))
    found = np.stack([face.landmarks.ravel() for face in track.faces])
    every = [np.interp(np.arange(len(frames)), track.frames, one) for one in found.T]
    return gaussian_filter1d(every, 1, mode="nearest").T.reshape(-1, 68, 2)


def _drift(n_frames, amplitude, rng):
    """A smooth random curve around 0."""
    seconds = np.arange(n_frames) / _FPS
    periods = rng.uniform(0.7, 3, (2, 1))
    phases = rng.uniform(0, 2 * np.pi, (2, 1))
    return amplitude * np.sin(2 * np.pi * seconds / periods + phases).sum(0)


def _scaled(frame, size):
    """Scale a frame so that its shorter side has `size` pixels."""
    import cv2

    height, width = frame.shape[:2]
    if size is None or size == min(height, width):
        return frame
    factor = size / min(height, width)
    shape = round(factor * width), round(factor * height)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(frame, shape, interpolation=how)
