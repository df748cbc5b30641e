"""Opens, probes and samples videos.

A video is a path to a file, a folder of frame images, an image (a video of one frame),
the address of a file (http, s3, gs and what else fsspec reads), or an RGB uint8 array
of shape (T, H, W, 3). Frames come out as RGB uint8, upright, in presentation order.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.video.bounds.apart import apart, apart_each
from base_models.video.bounds.budget import one_clock
from base_models.video.bounds.presentation import see_through, several_in_one
from base_models.video.bounds.sizes import sizes_change
from base_models.video.decoding import decode, decode_rgb, orientation
from base_models.video.image_folders import (
    image_shown_otherwise,
    images_missing,
    read_images,
    sample_images,
)
from base_models.video.packets import list_packets, read_once
from base_models.video.paths import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_array,
    existing,
    frame_images,
    holds_images,
    list_videos,
    reading,
    video_digest,
    video_id,
)
from base_models.video.remote import RemoteVideo, is_folder, n_bytes_of
from base_models.video.sampling import (
    FrameChoice,
    KeyFrames,
    check_n_frames,
    clip_indices,
    sample_indices,
)
from base_models.video.seeking import listed_key_frames, sample_file
from base_models.video.writing import write_video

__all__ = [
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "VideoInfo",
    "VideoReadError",
    "iter_frames",
    "list_videos",
    "probe_video",
    "sample_frames",
    "sample_indices",
    "video_digest",
    "video_id",
    "write_video",
]


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
        Mean frames a second; None where the video has no clock (arrays, images).
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
    cut_short : str
        How it is known that the file is not whole: it holds less than its container
        promises. Empty where nothing says so.
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
    cut_short: str = ""


def sample_frames(
    video: str | Path | np.ndarray,
    n_frames: int | None = 16,
    return_indices: bool = False,
    seek: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Read frames spread evenly over the whole of a video.

    Only the frames asked for are kept and turned into RGB, so memory is that of the
    result. Of a file only the passages that they need are decoded, on one thread, so
    that the result is the same on every machine and a long video costs little more
    than a short one. Where its packets do not say for sure which frames those are, or
    a passage is damaged, the file is decoded from its beginning to its end.

    Behind an address (``https://...``, ``s3://...``: what fsspec reads) an MP4 or MOV
    is read where the frames lie, and not as a whole, if its server gives parts of
    files. Other containers, fragmented MP4s among them, tell only as a whole how many
    frames there are: they are brought to a temporary file, of which a process has four
    at most, and so is each file of a server that gives no parts.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
        A file, a folder of frame images (in natural order of their names: 2 before 10),
        an image, the address of a file, or RGB uint8 frames.
    n_frames : int or None, default=16
        Frames wanted; None for all. A shorter video gives all it has.
    return_indices : bool, default=False
        Whether to say which frames these are.
    seek : bool, default=True
        False always decodes a file from its beginning to its end: slower, the same
        frames, save that damage where nobody looks is counted as well.

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
    sample = sample_clips(video, n_frames, seek=seek)
    return (sample.frames, sample.indices) if return_indices else sample.frames


@dataclass(frozen=True)
class SampledFrames:
    """Frames of a video, each kept once, and which of them are asked for.

    Attributes
    ----------
    frames : ndarray of shape (n, H, W, 3)
        RGB uint8.
    numbers : ndarray of shape (n,)
        Their positions in the video, rising.
    indices : ndarray of shape (n_sampled,)
        Those spread evenly over the video; the others are around them.
    total : int
        Frames in the video.
    lost : str
        That a part of a file cannot be decoded, where that was met; else ``""``.
    """

    frames: np.ndarray
    numbers: np.ndarray
    indices: np.ndarray
    total: int
    lost: str = ""

    @property
    def sampled(self) -> Any:
        """The frames at `indices`, in a list."""
        return [self.frames[row] for row in self.rows(self.indices)]

    def rows(self, numbers: Any) -> Any:
        """Return where in `frames` are those of some positions in the video."""
        return np.searchsorted(self.numbers, numbers)


def sample_clips(
    video: Any,
    n_frames: int = 16,
    clip_length: int = 1,
    seek: Any = True,
    at: np.ndarray | None = None,
    sampling: str = "even",
) -> SampledFrames:
    """Read frames spread evenly over a video, and those around each of them.

    Parameters
    ----------
    video, n_frames, seek
        As for `sample_frames`.
    at : ndarray of int or None, default=None
        Frames to take in place of those spread evenly: positions in the video, rising.
        Those beyond its end are left out.
    clip_length : int, default=1
        Frames in a row, of which each sampled one is the middle; a video that has no
        more gives all it has.
    sampling : {"even", "keyframes"}, default="even"
        See `FrameChoice`. Of a long file key frames alone are decoded then.

    Returns
    -------
    SampledFrames

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.video.reading import sample_clips
    >>> sample = sample_clips(np.zeros((100, 8, 8, 3), np.uint8), 3, clip_length=3)
    >>> sample.indices.tolist(), sample.numbers.tolist()
    ([0, 50, 99], [0, 1, 2, 49, 50, 51, 97, 98, 99])
    """
    which = FrameChoice.of(check_n_frames(n_frames), sampling, clip_length)
    choice = _Choice(which, clip_length, at)
    if isinstance(video, np.ndarray):
        video = check_array(video)
        frames, total, lost = video[choice(len(video))], len(video), ""
    else:
        path = existing(video)
        if sampling == "keyframes" and at is None:
            choice = replace(choice, keys=key_frames(path))
        with reading(path):
            frames, (total, lost) = _sampled(path, choice, seek)
    return SampledFrames(frames, choice(total), choice.wanted(total), total, lost)


@dataclass(frozen=True)
class _Choice:
    """Which frames of a video are read, by how many it has."""

    which: FrameChoice
    clip_length: int
    at: np.ndarray | None
    keys: KeyFrames | None = None

    def wanted(self, total):
        if self.at is None:
            return self.which.indices(total, self.keys)
        inside = self.at[0] < total
        return self.at[self.at < total] if inside else np.array([total - 1])

    def __call__(self, total):
        length = min(self.clip_length, total)
        return np.unique(clip_indices(self.wanted(total), total, length))


def key_frames(video: str | PathLike | np.ndarray) -> KeyFrames | None:
    """Return where a file can be entered; None of other videos, or if it is not known.

    Examples
    --------
    >>> key_frames(np.zeros((5, 8, 8, 3), np.uint8)) is None
    True
    """
    if isinstance(video, np.ndarray):
        return None
    path = existing(video)
    return None if holds_images(path) else _key_frames(path)


@read_once(maxsize=64)
def _key_frames(path):
    return _listed(path)


@apart
def _listed(path):
    with reading(path), one_clock(path):
        return listed_key_frames(list_packets(path))


@apart
def _sampled(path, choice, seek):
    with reading(path), one_clock(path):
        if holds_images(path):
            frames, *more = sample_images(path, choice)
        else:
            frames, *more = sample_file(path, choice, seek)
        return frames, more


def iter_frames(
    video: str | PathLike | np.ndarray,
    return_times: bool = False,
    at: Container[int] | None = None,
) -> Iterator:
    """Read every frame of a video, one after the other.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
        As for `sample_frames`.
    return_times : bool, default=False
        Whether to say when each frame is shown.
    at : set of int or None, default=None
        Positions of the frames that are wanted; None for all. Of files the others are
        decoded, but not turned into RGB.

    Yields
    ------
    frame : ndarray of shape (H, W, 3) or None
        RGB uint8, upright, all of one size; None may stand for one not wanted.
    seconds : float or None
        When it is shown, as the file says; None where there is no clock (arrays,
        folders). Only with `return_times`.

    Examples
    --------
    >>> video = np.zeros((5, 8, 8, 3), np.uint8)
    >>> sum(frame.shape == (8, 8, 3) for frame in iter_frames(video))
    5
    """
    if isinstance(video, np.ndarray):
        path, timed = video, ((frame, None) for frame in check_array(video))
    else:
        path = existing(video)
        timed = _timed_frames(path, at)
    is_empty = True
    with nullcontext() if isinstance(video, np.ndarray) else reading(path):
        for frame, seconds in timed:
            is_empty = False
            yield (frame, seconds) if return_times else frame
    if is_empty:
        raise VideoReadError(path, "no frame of it can be decoded")


@apart_each
def _timed_frames(path, at):
    with reading(path):
        if not holds_images(path):
            yield from decode_rgb(path, at)
            return
        for _, frame in read_images(frame_images(path)):
            yield frame, None


def probe_video(video: str | Path | np.ndarray) -> VideoInfo:
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
        return _info_without_clock(video_id(video), *check_array(video).shape[:3])
    path = existing(video)
    if not holds_images(path):
        info = _probe_file(path)
        return replace(info, tags=dict(info.tags))  # which the caller may change
    images = frame_images(path)
    frame = next(iter_frames(video))
    size = sum(map(n_bytes_of, images))
    info = _info_without_clock(video_id(video), len(images), *frame.shape[:2], size)
    of_folder = is_folder(path)
    doubt = (
        images_missing(path, images) if of_folder else image_shown_otherwise(images[0])
    )
    return replace(info, cut_short=doubt)


@read_once(maxsize=1024)
def _probe_file(path):
    return VideoInfo(**_probed(path))


@apart
def _probed(path):
    with reading(path), one_clock(path), closing(decode(path)) as frames:
        packets = list_packets(path)
        decoded = next(frames, None)
        if decoded is None:
            raise VideoReadError(path, "no frame of it can be decoded")
        turns, _ = orientation(decoded)
        height, width = decoded.height, decoded.width
        doubt = (
            packets.cut_short
            or several_in_one(decoded)
            or see_through(decoded, packets.codec)
            or sizes_change(path, packets)
        )
    seconds = packets.seconds
    if seconds is None and packets.header_fps:
        seconds = packets.n_frames / packets.header_fps
    return {
        "path": str(path) if isinstance(path, RemoteVideo) else video_id(path),
        "n_frames": packets.n_frames,
        "width": height if turns % 2 else width,
        "height": width if turns % 2 else height,
        "fps": packets.n_frames / seconds if seconds else packets.header_fps,
        "seconds": seconds,
        "codec": packets.codec,
        "bit_rate": round(8 * packets.n_bytes / seconds) if seconds else None,
        "file_size": n_bytes_of(path),
        "rotation": 90 * turns,
        "tags": packets.tags,
        "cut_short": doubt,
    }


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
