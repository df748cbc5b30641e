"""What a video is called and where it lies: paths, folders, ids and digests."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from base_models.addresses import (
    ending,
    is_address,
    local_path,
    printable,
    public_name,
    remote_address,
)
from base_models.errors import (
    DeepfakeEnsembleWarning,
    VideoReadError,
    is_of_the_machine,
)
from base_models.limits import NO_FILE, is_special
from base_models.runtime.file_digest import (
    KnownDigest,
    begun_as,
    content_stamp,
    digest_once,
    file_sha256,
    known_digest,
    learn_digest,
    place_of,
    read_sha256,
)
from base_models.runtime.parallel import is_local
from base_models.runtime.remote.facts import asking_once
from base_models.video.bounds.budget import (
    check_count,
    is_of_a_decoder,
    out_of_memory,
    too_many_files,
    unreadable,
)
from base_models.video.one_face import OneFace, whole_video
from base_models.video.remote import RemoteVideo, beginning, files_below, is_folder
from base_models.video.sampling import natural_order

VIDEO_SUFFIXES = (  # of what is opened as a video, see `base_models.video.packets`
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".f4v",
    ".mkv", ".mk3d", ".webm", ".ogv", ".ogg", ".nut",
    ".avi", ".divx", ".dv", ".wmv", ".asf", ".flv", ".amv", ".rm", ".rmvb", ".wtv",
    ".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".ts", ".mts", ".m2ts", ".mxf",
    ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".obu", ".y4m", ".mjpeg",
    ".mjpg", ".gif", ".apng",
)  # fmt: skip
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])
OTHER_IMAGES = {  # what is not read as a frame of a folder
    ".jpe", ".jfif", ".jp2", ".j2k", ".jxl", ".gif", ".apng", ".avif", ".heic", ".heif",
    ".exr", ".hdr", ".ppm", ".pgm", ".pnm", ".tga", ".dng",
}  # fmt: skip
_BESIDE_VIDEOS = {  # what may lie there and shows nothing
    ".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".md", ".html", ".srt",
    ".vtt", ".log", ".xlsx", ".pdf", ".py", ".npy", ".npz", ".pkl", ".dfe"}  # fmt: skip
_hashed: ContextVar[Mapping] = ContextVar("hashed", default=MappingProxyType({}))


def list_videos(folder: str | Path) -> list[Any]:
    """Find the videos below a folder.

    A folder that holds frame images and no video, itself or further down, is one video.
    One that links lead to again is listed once. Hidden files and folders are passed
    over. A folder that cannot be opened is listed itself, so that it is missed where it
    is read and not silently. Other files, and images beside videos, are left out with a
    warning that counts them by ending (text and tables without one); give their paths.

    Parameters
    ----------
    folder : str or Path
        Or the address of one, such as ``s3://bucket/clips``. Of frame images there no
        videos are made: they are left out with that warning.

    Returns
    -------
    list of Path
        Sorted. Of an address a list of str.

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
    address, left_out = remote_address(folder), Counter()
    listed = None if address is None else files_below(address)
    folder = Path(local_path(os.fspath(folder)))
    if address is not None and listed is not None:
        folder = public_name(address)
        videos = [name for name in listed if ending(name) in VIDEO_SUFFIXES]
        others = map(ending, set(listed) - set(videos))
        left_out.update(other for other in others if other not in _BESIDE_VIDEOS)
    elif folder.is_dir():
        videos = sorted(_videos_below(folder, set(), left_out))
    else:
        raise NotADirectoryError(
            f"{public_name(address or folder)} is not a folder; give one that holds "
            "videos, or pass the videos themselves"
        )
    if left_out:
        counts = left_out.most_common()
        endings = ", ".join(f"{n} {end or 'without ending'}" for end, n in counts)
        warnings.warn(
            f"{folder}: files left out, by their endings no videos: {endings}. If some "
            "are, give them by their paths",
            DeepfakeEnsembleWarning,
            stacklevel=2,
        )
    return videos


def video_id(video: Any) -> Any:
    """Name a video: its full path, or for an array a name made of its content.

    A link keeps its own name, wherever it leads. An address is named without what
    grants access: user and password, signatures and tokens.

    Examples
    --------
    >>> video_id(np.zeros((2, 8, 8, 3), np.uint8))
    'array-429b9fbd4df7'
    """
    if isinstance(video, OneFace):
        return f"{video_id(video.video)}, face {video.number}"
    if isinstance(video, np.ndarray):
        return f"array-{video_digest(video)[:12]}"
    path = _as_path(video)
    if isinstance(path, str):
        return printable(public_name(path))
    return printable(os.path.abspath(path))


def video_digest(video: Any, in_full: bool = False) -> Any:
    """Hash a video's content (SHA-256, hexadecimal).

    Of a file its bytes count, of a folder the images' names and bytes, of an array its
    shape and values. Copies have the same digest. A file is read again only when it was
    written to or replaced, an array each time but within `hashed_once`.

    A video behind an address is not read for that: what its server says of the version
    counts, with the size and, but for content tags of buckets, the address. Another
    content has another digest, but a copy on disk, or on another server, has another
    one too. Where the server states no version, the content is read and hashed.

    Parameters
    ----------
    video : str, Path, OneFace or ndarray of shape (T, H, W, 3)
    in_full : bool, default=False
        Whether the bytes count of what is behind an address, too: it is read as a
        whole, once in a process and version, and has the digest of its copy on disk.

    Returns
    -------
    str

    Examples
    --------
    >>> a = np.zeros((2, 8, 8, 3), np.uint8)
    >>> video_digest(a.copy()) == video_digest(a)
    True
    """
    if isinstance(video, OneFace):
        whole = video_digest(video.video, in_full)
        digest = hashlib.sha256(f"face of {whole}".encode())
        digest.update(repr((video.frames, video.boxes)).encode())
        return digest.hexdigest()
    if isinstance(video, np.ndarray):
        frames = check_array(video)
        known = _hashed.get().get(id(video), [video, None])
        known[1] = known[1] or _array_digest(frames)
        return known[1]
    path = existing(video)
    if isinstance(path, RemoteVideo) and not in_full:
        return path.digest
    if is_image(path):  # whose frame is not the one that a video of these bytes has
        return hashlib.sha256(f"image {_file_digest(path)}".encode()).hexdigest()
    if not is_folder(path):
        return _file_digest(path)
    images = frame_images(path)
    with naming(path):
        stamp = content_stamp(place := place_of(path))
    return digest_once(place, stamp, lambda: _folder_digest(images))


@contextmanager
def hashed_once(
    videos: Iterable[Any], digests: Sequence[str | KnownDigest | None] | None = None
) -> Iterator[None]:
    """Hash each of these arrays once inside of the block, when it is first asked for.

    The block is one call of a fit or of scoring, in which nobody may write to an array;
    the next call hashes it again. Threads of `look_ahead` know what the block does.
    Servers of videos behind an address are asked for their version once, too.

    Parameters
    ----------
    videos : iterable
        Files are hashed once anyway, while they do not change.
    digests : sequence or None, default=None
        From `known_digests`, for videos that were sent to another process: what
        looks there as it did here is not read for its digest.

    Examples
    --------
    >>> array = np.zeros((2, 8, 8, 3), np.uint8)
    >>> with hashed_once([array]):
    ...     known_digests([array]), video_id(array), known_digests([array])[0][:12]
    ([None], 'array-429b9fbd4df7', '429b9fbd4df7')
    >>> known_digests([array])
    [None]
    """
    videos = list(videos)
    digests = [None] * len(videos) if digests is None else digests
    hashed = {
        id(video): [video, digest]  # held, so that no other object gets its id
        for video, digest in zip(videos, digests, strict=True)
        if isinstance(video, np.ndarray)
    }
    for video, known in zip(videos, digests, strict=True):
        if isinstance(known, KnownDigest):
            learn_digest(whole_video(video), known)
    token = _hashed.set({**hashed, **_hashed.get()})
    try:
        with asking_once():
            yield
    finally:
        _hashed.reset(token)


def known_digests(videos: Iterable[Any]) -> list[str | KnownDigest | None]:
    """Return what is known by now: of arrays in `hashed_once`, of files read before.

    Of what is behind an address that is the digest of its bytes, if they were read.
    """
    hashed = _hashed.get()
    return [
        known_digest(file)
        if isinstance(file := whole_video(video), (str, os.PathLike))
        else hashed.get(id(video), (video, None))[1]
        for video in videos
    ]


def findable(videos: Iterable[Any]) -> list[Any]:
    """Return videos as tasks should hold them, which may run on another machine.

    There a path counts from another folder, so files and folders get their full path,
    also that of a video with one face picked; addresses are opened there. On this
    machine all stays as it is: a foreign detector may know videos by the names that it
    was given.

    Parameters
    ----------
    videos : iterable
        Paths, arrays, or what foreign detectors take.

    Examples
    --------
    >>> findable(["a.mp4"])  # joblib's workers are on this machine
    ['a.mp4']
    """
    return list(videos) if is_local() else [_in_full(video) for video in videos]


def _in_full(video):
    if isinstance(video, OneFace):
        return replace(video, video=_in_full(video.video))
    if isinstance(video, (str, os.PathLike)) and os.path.exists(video):
        full = os.path.abspath(video)
        return full if isinstance(video, str) else Path(full)
    return video


def _folder_digest(images):
    digest = hashlib.sha256(b"folder")
    for image in images:
        with naming(image):
            line = f"\n{image.name} {read_sha256(image)}"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _array_digest(frames):
    digest = hashlib.sha256(f"array {frames.shape}".encode())
    for frame in frames:
        digest.update(np.ascontiguousarray(frame))
    return digest.hexdigest()


def _as_path(video):
    """Return a path, or the address of what is not on this machine."""
    if not isinstance(video, (str, os.PathLike)):
        raise TypeError(
            "a video is a path, a folder of frame images, an address or an RGB uint8 "
            f"array (T, H, W, 3); got {type(video).__name__}"
        )
    if not is_address(video):
        return Path(video)
    return remote_address(video) or Path(local_path(os.fspath(video)))


def existing(video: Any) -> Any:
    """Return the path of a video that is there, or the `RemoteVideo` of an address."""
    path = _as_path(video)
    if isinstance(path, str):
        return RemoteVideo.at(path)
    if is_address(video) and not os.path.exists(path):
        raise VideoReadError(
            video,
            "it is written like an address, and is none that files are read from",
            "give PROTOCOL://..., such as https://, s3:// or file:///; or download it "
            "and give the file",
        )
    with naming(path):
        status = path.stat()
        is_dir = path.is_dir()
    if is_special(path):
        raise VideoReadError(
            path,
            NO_FILE,
            "save the video as a file, and give that",
        )
    if not is_dir and status.st_size == 0:
        raise VideoReadError(path, "the file is empty (0 bytes)", "fetch it again")
    return path


@contextmanager
def naming(path: str | Path) -> Iterator[Any]:
    """Turn what the file system refuses into a `VideoReadError` of this video."""
    try:
        yield
    except VideoReadError:
        raise
    except (OSError, ValueError) as error:
        if is_of_the_machine(error):
            raise too_many_files(path, error) from error
        reason = getattr(error, "strerror", None) or error
        raise VideoReadError(path, reason, "check path and permissions") from error


@contextmanager
def reading(path: str | Path) -> Iterator[Any]:
    """Turn what reading a file may raise into a `VideoReadError` of this video.

    What only a mistake in code raises (TypeError, AttributeError ...) stays as it is.
    """
    try:
        yield
    except VideoReadError:
        raise
    except MemoryError as error:
        raise out_of_memory(path) from error
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        raise unreadable(path, error) from error
    except Exception as error:
        if not is_of_a_decoder(error):
            raise
        raise unreadable(path, error) from error


def check_array(video: Any) -> Any:
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
    if isinstance(path, RemoteVideo):
        return digest_once(path.facts.address, path.digest, path.sha256)
    with naming(path):
        return file_sha256(path)


def _videos_below(folder, seen, left_out):
    here = os.path.realpath(folder)
    if here in seen:  # links may lead back up, or to one place by countless ways
        return []
    seen.add(here)
    videos, images, below = [], Counter(), []
    try:
        entries = [one for one in folder.iterdir() if not one.name.startswith(".")]
        folders = {one for one in entries if one.is_dir()}
    except OSError:  # who reads it as a video is told why that cannot be done
        return [folder]
    for entry in entries:
        suffix = entry.suffix.lower()
        if entry in folders:
            below.append(entry)
        elif suffix in VIDEO_SUFFIXES and not _is_type_script(entry, suffix):
            videos.append(entry)
        elif suffix in IMAGE_SUFFIXES:
            images[suffix] += 1
        elif suffix not in _BESIDE_VIDEOS:
            left_out[suffix] += 1
    for entry in sorted(below, key=lambda below: (below.is_symlink(), below)):
        videos += _videos_below(entry, seen, left_out)
    if not videos and images:
        return [folder]
    left_out.update(images)
    return videos


def _is_type_script(path, suffix):
    """Whether a .ts file is source code: a transport stream has 0x47 every packet."""
    if suffix != ".ts" or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(5)
    except OSError:  # who reads it as a video is told why that cannot be done
        return False
    return bool(start) and b"G" not in (start[:1], start[4:5])


def is_image(path: Path | RemoteVideo) -> bool:
    """Whether a path is a still image, by its ending and by how it begins."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    try:
        start = beginning(path, 4096)
    except OSError:  # a folder, or who reads it is told why that cannot be done
        return False
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return not (start[12:16] == b"VP8X" and start[20] & 2)  # animated
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"acTL" not in start  # animated
    return start.startswith((b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"))


def holds_images(path: Path | RemoteVideo) -> bool:
    """Whether a video is an image, or a folder of them, and not a video file."""
    return is_folder(path) or is_image(path)


def frame_images(folder: Path) -> Any:
    """Return the images of a folder in their order, or an image itself."""
    if is_image(folder):
        return [folder]
    with naming(folder):
        begun = begun_as(folder)
        entries = list((folder if begun is None else Path(begun[0])).iterdir())
        _ = [entry.lstat() for entry in entries[:1]]  # some are listed, not entered
        images = [
            entry
            for entry in entries
            if entry.suffix.lower() in IMAGE_SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
    if not entries:
        raise VideoReadError(
            folder, "the folder is empty", "give a folder of videos or of frame images"
        )
    if not images:
        raise VideoReadError(
            folder,
            "the folder has no frame images "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}) directly in it",
            "give a video file or a folder of frames; list_videos finds them",
        )
    check_count(folder, len(images), "images")
    with naming(folder):
        for name in (*images, folder):  # that they are those which will be read
            begun_as(name)
    return sorted(images, key=lambda image: (natural_order(image.name), image.name))
