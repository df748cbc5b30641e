"""What a video is called and where it lies: paths, folders, ids and digests."""

import hashlib
import os
import re
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

from base_models.errors import VideoReadError
from base_models.one_face import OneFace

VIDEO_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"]
)
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.,-]+:")  # a drive has a single letter


def list_videos(folder):
    """Find the videos below a folder.

    A folder that holds frame images and no video, itself or further down, is one video.
    Hidden files and folders are passed over. A folder below it that cannot be opened
    is listed itself, so that it is missed where it is read and not silently.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    list of Path
        Sorted.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp())
    >>> for name in ["b.mp4", "a.MOV", "notes.txt", "frames/1.png", "frames/2.png"]:
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> [video.relative_to(folder).as_posix() for video in list_videos(folder)]
    ['a.MOV', 'b.mp4', 'frames']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{folder} is not a folder; give one that holds videos, or pass the "
            "videos themselves"
        )
    return sorted(_videos_below(folder, above=()))


def video_id(video):
    """Name a video: its full path, or for an array a name made of its content.

    Examples
    --------
    >>> video_id(np.zeros((2, 8, 8, 3), np.uint8))
    'array-429b9fbd4df7'
    """
    if isinstance(video, OneFace):
        return f"{video_id(video.video)}, face {video.number}"
    if isinstance(video, np.ndarray):
        return f"array-{video_digest(video)[:12]}"
    return printable(os.path.realpath(_as_path(video)))


def printable(name):
    """Return a file name as text that any program can write and read.

    Parameters
    ----------
    name : str
        Bytes of it that are no UTF-8 are surrogates, as Python gives them.

    Returns
    -------
    str
        The same, with a surrogate as the six characters of its escape.

    Examples
    --------
    >>> print(printable(b"caf\\xe9.mp4".decode("utf-8", "surrogateescape")))
    caf\\udce9.mp4
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def video_digest(video):
    """Hash a video's content (SHA-256, hexadecimal).

    Of a file its bytes count, of a folder the images' names and bytes, of an array its
    shape and values. Copies have the same digest. A file is read again only when its
    size or time of change is another.

    Examples
    --------
    >>> a = np.zeros((2, 8, 8, 3), np.uint8)
    >>> video_digest(a.copy()) == video_digest(a)
    True
    """
    if isinstance(video, OneFace):
        digest = hashlib.sha256(f"face of {video_digest(video.video)}".encode())
        digest.update(repr((video.frames, video.boxes)).encode())
        return digest.hexdigest()
    if isinstance(video, np.ndarray):
        frames = check_array(video)
        digest = hashlib.sha256(f"array {frames.shape}".encode())
        for frame in frames:
            digest.update(np.ascontiguousarray(frame))
        return digest.hexdigest()
    path = existing(video)
    if not path.is_dir():
        return _file_digest(path)
    digest = hashlib.sha256(b"folder")
    for image in frame_images(path):
        line = f"\n{image.name} {_file_digest(image)}"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _as_path(video):
    if not isinstance(video, (str, os.PathLike)):
        raise TypeError(
            "a video is a path, a folder of frame images or an RGB uint8 array "
            f"(T, H, W, 3); got {type(video).__name__}"
        )
    return Path(video)


def existing(video):
    path = _as_path(video)
    if _ADDRESS.match(str(video)) and not path.exists():
        raise VideoReadError(
            video,
            "it is an address, and only files on this machine are read",
            "download it and give the file",
        )
    with naming(path):
        status = path.stat()
        is_folder = path.is_dir()
    if not is_folder and status.st_size == 0:
        raise VideoReadError(path, "the file is empty (0 bytes)", "fetch it again")
    return path


@contextmanager
def naming(path):
    """Turn what the file system refuses into a `VideoReadError` of this video."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoReadError(path, reason, "check path and permissions") from error


@contextmanager
def reading(path):
    """Turn what reading a file may raise into a `VideoReadError` of this video.

    What only a mistake in code raises (TypeError, AttributeError ...) stays as it is.
    """
    try:
        yield
    except VideoReadError:
        raise
    except (OSError, ValueError, MemoryError, RuntimeError, EOFError) as error:
        raise _unreadable(path, error) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("av", "cv2"):
            raise
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    said = getattr(error, "strerror", None) or " ".join(str(error).split())
    kind = type(error).__name__
    return VideoReadError(path, f"{kind}: {said}" if said else kind)


def check_array(video):
    if video.dtype != np.uint8:
        advice = "convert it with astype(np.uint8)"
        if np.issubdtype(video.dtype, np.floating):
            advice = "for values 0 to 1 use (255 * video).round().astype(np.uint8)"
        raise TypeError(
            f"a video array must be RGB uint8, 0 to 255; got {video.dtype}; {advice}"
        )
    if video.ndim != 4 or video.shape[3] != 3 or 0 in video.shape:
        advice = "put time first and RGB last"
        if video.ndim == 3:
            advice = "for a single frame use frame[None]"
        raise ValueError(
            f"a video array must have shape (T, H, W, 3), none of them 0; got "
            f"{video.shape}; {advice}"
        )
    return video


def _file_digest(path):
    with naming(path):
        status = path.stat()
        known_by = str(path.resolve()), status.st_size, status.st_mtime_ns
        return _digest_of_bytes(*known_by)


@lru_cache(maxsize=65536)
def _digest_of_bytes(path, size, mtime_ns):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _videos_below(folder, above):
    here = os.path.realpath(folder)
    if here in above:  # a link that leads back up
        return []
    videos, has_images = [], False
    try:
        entries = list(folder.iterdir())
    except OSError:  # who reads it as a video is told why that cannot be done
        return [folder]
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            videos += _videos_below(entry, (*above, here))
        elif entry.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(entry)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            has_images = True
    return videos or [folder] * has_images


def frame_images(folder):
    with naming(folder):
        images = [
            entry
            for entry in folder.iterdir()
            if entry.suffix.lower() in IMAGE_SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    if not images:
        raise VideoReadError(
            folder,
            "the folder has no frame images "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}) directly in it",
            "give a video file or a folder of frames; list_videos finds them",
        )
    return sorted(images, key=lambda image: (_natural(image.name), image.name))


def _natural(name):
    parts = re.split(r"(\d+)", name.lower())
    parts[1::2] = map(int, parts[1::2])
    return parts
