"""Opens, probes and samples videos; writes H.264 files.

A video is a path to a file, a folder of frame images, or an RGB uint8 array of shape
(T, H, W, 3). Frames come out as RGB uint8, upright, in presentation order.
"""

import hashlib
import itertools
import math
import operator
import os
import re
import uuid
from collections import namedtuple
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter

VIDEO_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"]
)
IMAGE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"])


class VideoReadError(OSError):
    """A video could not be read.

    Parameters
    ----------
    video : str or Path
        The path, or the id of an array, as `video_id` gives it.
    reason : str
        What is wrong with it.
    advice : str, optional
        What to do about it.

    Attributes
    ----------
    video : str
    reason : str
    advice : str

    Examples
    --------
    >>> print(VideoReadError("clip_017.mp4", "it is empty", "drop it"))
    cannot read video clip_017.mp4: it is empty; drop it
    """

    def __init__(self, video, reason, advice="re-encode it or drop the video"):
        self.video, self.reason, self.advice = str(video), reason, advice
        super().__init__(f"cannot read video {video}: {reason}; {advice}")

    def __reduce__(self):
        return type(self), (self.video, self.reason, self.advice)


@dataclass(frozen=True)
class VideoInfo:
    """What `probe_video` found.

    Attributes
    ----------
    path : str
        The video's id: its full path, or ``array-...``.
    n_frames : int
        Frames counted in the stream itself, whatever the header claims.
    width, height : int
        Pixels, as shown, after the rotation metadata.
    fps : float or None
        Mean frames a second; None where the video has no clock (arrays, folders).
    seconds : float or None
        Length of the video stream.
    codec : str or None
        FFmpeg's name of the codec, such as ``"h264"``.
    bit_rate : int or None
        Bits a second of the video stream alone.
    file_size : int or None
        Bytes of the file, or of the images in the folder together.
    rotation : int
        Degrees counter-clockwise by which the stored frames are turned to be upright:
        0, 90, 180 or 270. A mirrored video has the rotation left after mirroring.
    tags : dict
        The container's metadata, str to str.
    """

    path: str
    n_frames: int
    width: int
    height: int
    fps: float | None
    seconds: float | None
    codec: str | None
    bit_rate: int | None
    file_size: int | None
    rotation: int
    tags: dict


# Naming


def list_videos(folder):
    """Find the videos below a folder.

    A folder that holds frame images and no video, itself or further down, is one video.
    Hidden files and folders are passed over.

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
    if isinstance(video, np.ndarray):
        return f"array-{video_digest(video)[:12]}"
    return str(_as_path(video).resolve())


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
    if isinstance(video, np.ndarray):
        frames = _check_array(video)
        digest = hashlib.sha256(f"array {frames.shape}".encode())
        for frame in frames:
            digest.update(np.ascontiguousarray(frame))
        return digest.hexdigest()
    path = _existing(video)
    if not path.is_dir():
        return _file_digest(path)
    digest = hashlib.sha256(b"folder")
    for image in _frame_images(path):
        digest.update(f"\n{image.name} {_file_digest(image)}".encode())
    return digest.hexdigest()


# Reading


def sample_indices(total, n_frames):
    """Choose frames evenly over a whole video, first and last included.

    Parameters
    ----------
    total : int
        Frames in the video.
    n_frames : int or None
        Frames wanted, at least 1; None for all.

    Returns
    -------
    ndarray of int
        `n_frames` distinct indices in rising order, 0-based; all `total` if there are
        no more. One frame alone is the middle one.

    Examples
    --------
    >>> sample_indices(100, 5)
    array([ 0, 25, 50, 74, 99])
    >>> sample_indices(3, 16)
    array([0, 1, 2])
    >>> sample_indices(101, 1)
    array([50])
    """
    n_frames = _check_n_frames(n_frames)
    if n_frames is None or n_frames >= total:
        return np.arange(total)
    if n_frames == 1:
        return np.array([(total - 1) // 2])
    return np.rint(np.linspace(0, total - 1, n_frames)).astype(int)


def sample_frames(video, n_frames=16, return_indices=False):
    """Read frames spread evenly over the whole of a video.

    Only the frames asked for are kept and turned into RGB, so memory is that of the
    result. The file is decoded to its end on one thread: a broken header or a damaged
    passage cannot shift the frames, and the result is the same on every machine.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
        A file, a folder of frame images (in natural order of their names: 2 before 10),
        or RGB uint8 frames.
    n_frames : int or None, default=16
        Frames wanted; None for all. A shorter video gives all it has.
    return_indices : bool, default=False
        Whether to say which frames these are.

    Returns
    -------
    frames : ndarray of shape (n, H, W, 3)
        RGB uint8, upright. A frame of another size is scaled to the first one's.
    indices : ndarray of shape (n,)
        Positions among the frames that can be decoded, 0-based; in a folder, a broken
        image is counted until a sample touches it. Only with `return_indices`.

    Raises
    ------
    VideoReadError
        The file is missing, broken, empty or has no video in it.
    TypeError, ValueError
        The array is not of RGB uint8 frames.

    Examples
    --------
    >>> video = np.arange(100, dtype=np.uint8)[:, None, None, None]
    >>> video = np.broadcast_to(video, (100, 8, 8, 3))
    >>> frames, indices = sample_frames(video, 4, return_indices=True)
    >>> frames.shape, indices
    ((4, 8, 8, 3), array([ 0, 33, 66, 99]))
    """
    n_frames = _check_n_frames(n_frames)
    if isinstance(video, np.ndarray):
        video = _check_array(video)
        indices = sample_indices(len(video), n_frames)
        frames = video[indices]
    else:
        path = _existing(video)
        read = _sample_images if path.is_dir() else _sample_file
        frames, indices = read(path, n_frames)
    return (frames, indices) if return_indices else frames


def iter_frames(video):
    """Read every frame of a video, one after the other.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
        As for `sample_frames`.

    Yields
    ------
    ndarray of shape (H, W, 3)
        RGB uint8, upright, all of one size.

    Examples
    --------
    >>> video = np.zeros((5, 8, 8, 3), np.uint8)
    >>> sum(frame.shape == (8, 8, 3) for frame in iter_frames(video))
    5
    """
    if isinstance(video, np.ndarray):
        yield from _check_array(video)
        return
    path = _existing(video)
    if path.is_dir():
        frames = (frame for _, frame in _read_images(_frame_images(path)))
    else:
        frames = _decode_rgb(path)
    is_empty = True
    for frame in frames:
        is_empty = False
        yield frame
    if is_empty:
        raise VideoReadError(path, "no frame of it can be decoded")


def probe_video(video):
    """Measure a video without decoding it all.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
        As for `sample_frames`.

    Returns
    -------
    VideoInfo

    Examples
    --------
    >>> info = probe_video(np.zeros((5, 48, 64, 3), np.uint8))
    >>> info.n_frames, info.width, info.height
    (5, 64, 48)
    """
    if isinstance(video, np.ndarray):
        return _info_without_clock(video_id(video), *_check_array(video).shape[:3])
    path = _existing(video)
    if path.is_dir():
        images = _frame_images(path)
        frame = next(iter_frames(path))
        size = sum(image.stat().st_size for image in images)
        return _info_without_clock(video_id(path), len(images), *frame.shape[:2], size)

    packets = _scan(path)
    with closing(_decode(path)) as frames:
        decoded = next(frames, None)
    if decoded is None:
        raise VideoReadError(path, "no frame of it can be decoded")
    turns, _ = _orientation(decoded)
    height, width = decoded.height, decoded.width
    seconds = packets.seconds
    if seconds is None and packets.header_fps:
        seconds = packets.n_frames / packets.header_fps
    return VideoInfo(
        path=video_id(path),
        n_frames=packets.n_frames,
        width=height if turns % 2 else width,
        height=width if turns % 2 else height,
        fps=packets.n_frames / seconds if seconds else packets.header_fps,
        seconds=seconds,
        codec=packets.codec,
        bit_rate=round(8 * packets.n_bytes / seconds) if seconds else None,
        file_size=path.stat().st_size,
        rotation=90 * turns,
        tags=packets.tags,
    )


# Writing


def write_video(path, frames, fps=25, crf=23, preset="medium", tags=None):
    """Write frames as an H.264 mp4 that plays in browsers.

    Encoding runs on one thread: the same frames give the same bytes. The file appears
    under its name only when it is complete.

    Parameters
    ----------
    path : str or Path
        Ends in ``.mp4``.
    frames : iterable of ndarray of shape (H, W, 3)
        RGB uint8, all of one size. H.264 here needs even sizes: an odd one gets its
        last row or column repeated once.
    fps : float or Fraction, default=25
    crf : float, default=23
        x264's constant rate factor, 0 to 51, lower is better; 0 loses nothing but is
        not played by every browser.
    preset : str, default="medium"
        x264's trade of time for size, ``"ultrafast"`` to ``"veryslow"``.
    tags : dict, optional
        Text to keep in the file; `probe_video` gives it back in ``.tags``.

    Returns
    -------
    Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "grey.mp4"
    >>> frames = np.full((10, 48, 64, 3), 128, np.uint8)
    >>> info = probe_video(write_video(path, frames, tags={"synthetic": "yes"}))
    >>> info.n_frames, info.seconds, info.tags["synthetic"]
    (10, 0.4, 'yes')
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"write_video writes .mp4 files; got {path}")
    if not fps > 0:
        raise ValueError(f"fps must be above 0; got {fps}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be 0 (lossless) to 51; got {crf}")
    if preset not in _PRESETS:
        raise ValueError(f"preset must be one of {_PRESETS}; got {preset!r}")
    frames = iter(frames)
    try:
        first = _check_frame(next(frames), 0)
    except StopIteration:
        raise ValueError(f"no frames to write to {path}") from None

    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with av.open(
            str(unfinished),
            "w",
            format="mp4",
            options={"movflags": "+faststart+use_metadata_tags"},
        ) as container:
            container.metadata.update(
                {str(key): str(value) for key, value in (tags or {}).items()}
            )
            stream = container.add_stream(
                "libx264",
                rate=Fraction(fps).limit_denominator(1001),
                options={
                    "crf": str(crf),
                    "preset": preset,
                    "threads": "1",
                    # With it, x264 was seen to give other bytes from run to run.
                    "x264-params": "mbtree=0",
                },
            )
            height, width = first.shape[:2]
            stream.height, stream.width = height + height % 2, width + width % 2
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            for name, value in _BT601.items():
                setattr(stream.codec_context, name, value)
            reformatter = VideoReformatter()
            for frame in _even_frames(first, frames):
                frame = reformatter.reformat(
                    av.VideoFrame.from_ndarray(frame, format="rgb24"),
                    format="yuv420p",
                    dst_colorspace=Colorspace.ITU601,
                    threads=1,
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


_PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast"]
_PRESETS += ["medium", "slow", "slower", "veryslow", "placebo"]

# The way our RGB becomes YUV, written into the file so that players undo just that:
# BT.601 matrix (6), limited range (1).
_BT601 = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}


def _even_frames(first, others):
    yield _padded_to_even(first)
    for index, frame in enumerate(others, start=1):
        _check_frame(frame, index)
        if frame.shape != first.shape:
            raise ValueError(
                f"frames must all have the first one's shape {first.shape}; frame "
                f"{index} has {frame.shape}"
            )
        yield _padded_to_even(frame)


def _padded_to_even(frame):
    height, width = frame.shape[:2]
    return np.ascontiguousarray(
        np.pad(frame, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    )


# Checks


def _as_path(video):
    if not isinstance(video, (str, os.PathLike)):
        raise TypeError(
            "a video is a path, a folder of frame images or an RGB uint8 array "
            f"(T, H, W, 3); got {type(video).__name__}"
        )
    return Path(video)


def _existing(video):
    path = _as_path(video)
    with _naming(path):
        status = path.stat()
        is_folder = path.is_dir()
    if not is_folder and status.st_size == 0:
        raise VideoReadError(path, "the file is empty (0 bytes)", "fetch it again")
    return path


@contextmanager
def _naming(path):
    """Turn what the file system refuses into a `VideoReadError` of this video."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoReadError(path, reason, "check path and permissions") from error


def _check_array(video):
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


def _check_frame(frame, index):
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise TypeError(f"frames must be RGB uint8 arrays; frame {index} is {kind}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(
            f"frames must have shape (H, W, 3); frame {index} has {frame.shape}"
        )
    return frame


def _check_n_frames(n_frames):
    if n_frames is None:
        return None
    try:
        n_frames = operator.index(n_frames)
    except TypeError:
        raise TypeError(
            f"n_frames must be a whole number or None (all); got {n_frames!r}"
        ) from None
    if n_frames < 1:
        raise ValueError(
            f"n_frames must be at least 1, or None for all; got {n_frames}"
        )
    return n_frames


# Files


_Packets = namedtuple("_Packets", "n_frames n_bytes seconds header_fps codec tags")


@contextmanager
def _opened(path):
    try:
        container = av.open(str(path.resolve()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise VideoReadError(path, f"it cannot be opened ({error.strerror})") from error
    with container:
        yield container, _video_stream(container, path)


def _video_stream(container, path):
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    for stream in container.streams.video:
        if not stream.disposition & pictures:
            if stream.codec_context is None:
                raise VideoReadError(path, "FFmpeg has no decoder for its codec")
            return stream
    kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
    if container.streams.video:
        kinds[kinds.index("video")] = "a cover picture"
    raise VideoReadError(
        path, f"there is no video stream in it, only {' and '.join(kinds)}"
    )


def _packets(container, stream):
    # Where the file is cut off or unreadable it ends; what came before counts.
    with suppress(av.FFmpegError):
        for packet in container.demux(stream):
            if packet.size:
                yield packet


def _scan(path):
    """Count and time the packets, which is quick: nothing is decoded."""
    n_bytes, clock = 0, []
    with _opened(path) as (container, stream):
        for packet in _packets(container, stream):
            n_bytes += packet.size
            if packet.is_discard:  # cut out by an edit list: decoded, never shown
                continue
            pts = packet.dts if packet.pts is None else packet.pts
            clock.append((pts, packet.duration or 0))
        if not clock:
            raise VideoReadError(path, "its video stream is empty")
        seconds = None
        if stream.time_base and all(pts is not None for pts, _ in clock):
            seconds = float(_span(clock) * stream.time_base) or None
        return _Packets(
            n_frames=len(clock),
            n_bytes=n_bytes,
            seconds=seconds,
            header_fps=float(stream.average_rate) if stream.average_rate else None,
            codec=stream.codec_context.name,
            tags=dict(container.metadata),
        )


def _span(clock):
    first, (last, last_duration) = min(clock)[0], max(clock)
    if not last_duration and len(clock) > 1:
        last_duration = Fraction(last - first, len(clock) - 1)
    return last - first + last_duration


def _decode(path):
    with _opened(path) as (container, stream):
        stream.codec_context.thread_count = 1
        for packet in itertools.chain(_packets(container, stream), [None]):
            # A damaged packet gives no frame; the decoder goes on after it.
            with suppress(av.FFmpegError):
                yield from stream.decode(packet)


class _Converter:
    """Turns decoded frames into upright RGB of the first decoded frame's size."""

    def __init__(self, path, first):
        self.path = path
        self.shape = {"width": first.width, "height": first.height, "format": "rgb24"}
        self.turns, self.mirrored = _orientation(first)
        self.reformatter = VideoReformatter()

    def __call__(self, frame):
        frame = self._rgb(frame).to_ndarray()
        if self.mirrored:
            frame = frame[:, ::-1]
        return np.ascontiguousarray(np.rot90(frame, self.turns))

    def _rgb(self, frame):
        # FFmpeg knows no way back from some colour matrices (YCgCo, ICtCp, BT.2020 with
        # constant luminance): those are read as BT.709, near enough.
        bt709 = {
            "src_colorspace": Colorspace.ITU709,
            "dst_colorspace": Colorspace.ITU709,
        }
        for colours in ({}, bt709):
            with suppress(av.FFmpegError):
                return self.reformatter.reformat(
                    frame, threads=1, **self.shape, **colours
                )
        raise VideoReadError(
            self.path, f"its pixels ({frame.format.name}) cannot be turned into RGB"
        )


def _orientation(frame):
    """Read how to show a frame: quarter turns counter-clockwise, after mirroring.

    FFmpeg's display matrix maps stored (x, y), y downward, to shown
    (a x + c y, b x + d y) and is laid out a b u, c d v, x y w.
    """
    try:
        matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    except ValueError:  # PyAV < 19 stumbles over EXIF and other newer kinds beside it
        return round(frame.rotation / 90) % 4, False
    if matrix is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(-math.atan2(b, a) / (math.pi / 2)) % 4, mirrored


def _decode_rgb(path):
    convert = None
    for frame in _decode(path):
        convert = convert or _Converter(path, frame)
        yield convert(frame)


def _sample_file(path, n_frames):
    # Packets tell the number of frames before decoding, but not always rightly: then
    # the frames are chosen again from the number that was really decoded.
    total = _scan(path).n_frames
    for _ in range(3):
        indices = sample_indices(total, n_frames)
        frames, n_decoded = _frames_at(path, indices)
        if n_decoded == total:
            return frames, indices
        total = n_decoded
    raise VideoReadError(path, "its frames change while it is read", "try again")


def _frames_at(path, indices):
    frames, convert, n_kept, n_decoded = None, None, 0, 0
    for n_decoded, frame in enumerate(_decode(path), start=1):
        convert = convert or _Converter(path, frame)
        if n_kept < len(indices) and indices[n_kept] == n_decoded - 1:
            rgb = convert(frame)
            if frames is None:
                frames = np.empty((len(indices), *rgb.shape), np.uint8)
            frames[n_kept] = rgb
            n_kept += 1
    if not n_decoded:
        raise VideoReadError(path, "no frame of it can be decoded")
    return frames, n_decoded


def _file_digest(path):
    with _naming(path):
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


# Folders


def _videos_below(folder, above):
    here = folder.resolve()
    if here in above:  # a link that leads back up
        return []
    videos, has_images = [], False
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            videos += _videos_below(entry, (*above, here))
        elif entry.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(entry)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            has_images = True
    return videos or [folder] * has_images


def _frame_images(folder):
    with _naming(folder):
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


def _sample_images(folder, n_frames):
    # A broken image is left out and the frames are chosen again from the others.
    images = _frame_images(folder)
    while images:
        indices = sample_indices(len(images), n_frames)
        chosen = [images[index] for index in indices]
        frames, readable = None, set()
        for image, frame in _read_images(chosen):
            if frames is None:
                frames = np.empty((len(chosen), *frame.shape), np.uint8)
            frames[len(readable)] = frame
            readable.add(image)
        if len(readable) == len(chosen):
            return frames, indices
        broken = set(chosen) - readable
        images = [image for image in images if image not in broken]
    raise VideoReadError(folder, "none of its images can be decoded")


def _read_images(images):
    """Read those images that can be decoded, scaled to the first one's size."""
    import cv2

    size = None
    for image in images:
        with _naming(image):
            encoded = np.frombuffer(image.read_bytes(), np.uint8)
        frame = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
        if frame is None:
            continue
        size = size or frame.shape[1::-1]
        if frame.shape[1::-1] != size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        yield image, np.ascontiguousarray(frame[:, :, ::-1])


def _info_without_clock(name, n_frames, height, width, file_size=None):
    return VideoInfo(
        path=name,
        n_frames=n_frames,
        width=width,
        height=height,
        fps=None,
        seconds=None,
        codec=None,
        bit_rate=None,
        file_size=file_size,
        rotation=0,
        tags={},
    )
