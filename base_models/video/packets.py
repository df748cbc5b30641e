"""Opens video files and lists their packets, which is quick: nothing is decoded."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from base_models.errors import VideoReadError
from base_models.limits import current_limits
from base_models.runtime.caches import cached
from base_models.runtime.clusters.given_up import reason_given_up
from base_models.runtime.file_digest import REPLACED, content_stamp, place_of
from base_models.video.bounds.behind import another_behind
from base_models.video.bounds.budget import (
    Clock,
    check_count,
    check_memory,
    check_picture,
    clock_of,
)
from base_models.video.bounds.demuxing import demuxed, open_same
from base_models.video.bounds.headers import check_index
from base_models.video.bounds.pieces import pieces_missing
from base_models.video.bounds.presentation import shown_otherwise
from base_models.video.bounds.promises import (
    more_tracks,
    pictures_missing,
    promised_size,
    stretched_pixels,
    zeros_at_end,
)
from base_models.video.bounds.units import PacketDamage
from base_models.video.paths import IMAGE_SUFFIXES, naming
from base_models.video.remote import RemoteVideo, beginning, check_same, n_bytes_of

# FFmpeg also opens playlists, manifests and session descriptions (hls, dash, concat,
# sdp, image2, ...), which lead to other files and to the network: they are not here.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,"
    "asf,asf_o,mxf,nut,rm,dv,wtv,amv,ivf,yuv4mpegpipe,gif,apng,webp,"
    "m4v,h261,h263,h264,hevc,vvc,av1,obu,vc1,mjpeg,"
    "png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe"
)
_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}

# By its name FFmpeg may take an image for one of a series, so the kind is given.
_IMAGES = {
    rb"\xff\xd8\xff": "jpeg_pipe",
    rb"\x89PNG\r\n\x1a\n.*acTL": "apng",
    rb"\x89PNG\r\n\x1a\n": "png_pipe",
    rb"BM": "bmp_pipe",
    rb"RIFF....WEBP": "webp_pipe",
    rb"II\*\0|MM\0\*": "tiff_pipe",
}
_LEADS_ELSEWHERE = {  # how the text begins: what it is
    rb"#EXTM3U": "an HLS playlist",
    rb"ffconcat version": "a list of files for FFmpeg to join",
    rb"v=0\r?\n": "a session description (SDP)",
    rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<MPD\b": "a DASH manifest",
    rb"(<\?xml[^>]*>\s*)?<SmoothStreamingMedia": "a Smooth Streaming manifest",
    rb"(?i)(<\?xml[^>]*>\s*)?<(playlist|asx|smil)\b": "a playlist",
    rb"(?i)\[playlist\]": "a playlist",
    rb"(?i)\[InternetShortcut\]": "an internet shortcut",
}
_PAGE = rb"(?i)(<!doctype html|<html\b)"
_BEGINNING = 4096  # bytes
_LEAST_ZEROS, _SHARE_ZEROS = 4096, 0.1  # bytes at a file's end; of all
_REMOTE_BOXES = 64  # of a file behind an address whose index is looked at
_STREAMS = 8  # of a file that is opened without limit, to say what it asks for
# In these each packet is one frame that is shown. VP8, for one, has hidden ones.
ONE_FRAME_A_PACKET = {"h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg"}
# How FFmpeg calls pictures without a container, and endings that promise one.
_BARE = {"m4v", "h264", "hevc", "mjpeg", "mpegvideo", "h263", "vc1", "obu", "av1"}
_CONTAINERS = {
    ".mp4", ".mov", ".qt", ".3gp", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".asf",
    ".nut", ".ts", ".mts", ".m2ts", ".mxf",
}  # fmt: skip
ONE_FRAME_A_PACKET |= {"prores", "ffv1", "dnxhd", "huffyuv", "ffvhuff"}


@dataclass(frozen=True)
class PacketTable:
    """The packets of a video stream, in the order of decoding, one a row.

    Attributes
    ----------
    pts : ndarray of shape (n_packets,) or None
        When each is shown, in ticks of the stream; None where one has no time.
    is_key, is_shown : ndarray of shape (n_packets,)
        Whether decoding may start there; whether it is shown or, cut out by an edit
        list, only decoded.
    is_damaged : bool
        Whether the container itself says that a packet is incomplete.
    n_bytes : int
        All packets together.
    seconds : float or None
        From the first frame shown to the end of the last one.
    header_fps : float or None
        What the header claims.
    codec : str
        FFmpeg's name.
    tags : dict
        The container's metadata.
    cut_short : str
        How it is known that the file is not whole; empty where nothing says so.
    """

    pts: np.ndarray | None
    is_key: np.ndarray
    is_shown: np.ndarray
    is_damaged: bool
    n_bytes: int
    seconds: float | None
    header_fps: float | None
    codec: str
    tags: dict
    cut_short: str

    @property
    def n_frames(self) -> Any:
        """Packets that are shown; as a rule each is one frame."""
        return int(np.count_nonzero(self.is_shown))


def open_container(path: str | Path) -> Any:
    """Open a video file for reading; nothing but that file is opened.

    Parameters
    ----------
    path : str, Path or RemoteVideo
        What is behind an address is read by us, and FFmpeg opens nothing.

    Returns
    -------
    container : av.container.InputContainer
    reader : RemoteReader or None
        Of what is behind an address.

    Raises
    ------
    VideoReadError
        If it leads to other files, cannot be opened, or asks for more than is allowed.
    """
    path, kind, reader = _as_given(path), None, None
    known = (path.facts.address, path.digest) if isinstance(path, RemoteVideo) else ()
    if (reason := reason_given_up(*(known or [path]))) is not None:
        raise VideoReadError(path, reason)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        kind = _matching(_IMAGES, _beginning(path))
    _check_index(path)
    options = _OPTIONS
    if isinstance(path, RemoteVideo):
        file = reader = path.reader()
        options = {**_OPTIONS, "protocol_whitelist": "none"}
    else:
        file = f"file:{place_of(path)}"
    try:
        container = open_same(path, file, kind, options)
    except (av.FFmpegError, VideoReadError) as error:
        if reader is not None and reader.error is not None:
            raise reader.error from None
        if not isinstance(error, VideoReadError):
            check_memory(error, n_bytes_of(path))
        raise _not_opened(path, error) from error
    return container, reader


def _check_index(path):
    if isinstance(path, RemoteVideo):
        check_index(path, path.reader(), path.size, _REMOTE_BOXES)
    else:
        _check_index_of_file(path)


def _as_given(path):
    return path if isinstance(path, RemoteVideo) else Path(path)


def _not_opened(path, error):
    if getattr(error, "reason", "") == REPLACED:
        return error
    text = _beginning(path).removeprefix(b"\xef\xbb\xbf").lstrip()
    found = _matching(_LEADS_ELSEWHERE, text)
    if found:
        return VideoReadError(
            path,
            f"it is {found}, which leads to other files, and not a video",
            "give the video that it leads to, as a file",
        )
    if re.match(_PAGE, text):
        return VideoReadError(
            path, "it is a web page (HTML) and no video", "fetch the video itself"
        )
    if error.errno == 22:  # of the formats that FFmpeg knows, not one of ours
        return VideoReadError(
            path,
            "it is of no kind of file that is read as a video (such as MP4, MOV, "
            "Matroska, WebM, AVI, MPEG, FLV)",
            "convert it to MP4",
        )
    return VideoReadError(path, f"it cannot be opened ({error.strerror})")


def _beginning(path):
    try:
        return beginning(path, _BEGINNING)
    except OSError:
        return b""


def _matching(patterns, content):
    for pattern, found in patterns.items():
        if re.match(pattern, content, re.DOTALL):
            return found
    return None


@contextmanager
def opened(path: str | Path, unread: Sequence[tuple[int, int]] = ()) -> Iterator[Any]:
    """Open a video file.

    Parameters
    ----------
    path : str, Path or RemoteVideo
    unread : sequence of (start, end), default=()
        Places of what is behind an address from which zeros are taken, once it is
        open.

    Yields
    ------
    container, stream
    """
    container, reader = open_container(path)
    try:
        with container:
            stream = _video_stream(container, path)
            _limit_pictures(_as_given(path), stream.codec_context)
            if reader is not None:
                reader.unread = unread
            yield container, stream
    finally:
        # FFmpeg takes what a server refuses for the end of the file, or for damage.
        if reader is not None and reader.error is not None:
            raise reader.error from None


def _video_stream(container, path):
    tracks = _tracks(container)
    for stream in sorted(tracks, key=lambda s: not s.disposition & Disposition.default):
        if stream.codec_context is None:
            raise VideoReadError(path, "FFmpeg has no decoder for its codec")
        return stream  # as players do: the default one, else the first
    kinds = sorted({stream.type for stream in container.streams})
    if not kinds:
        raise VideoReadError(path, "there is no stream in it: it may be cut off")
    if container.streams.video:
        kinds[kinds.index("video")] = "a cover picture"
    raise VideoReadError(
        path, f"there is no video stream in it, only {' and '.join(kinds)}"
    )


def _tracks(container):
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    return [s for s in container.streams.video if not s.disposition & pictures]


def _limit_pictures(path, context):
    """Refuse pictures that are too large, and have the decoder refuse later ones."""
    width, height = context.width, context.height
    if not width:  # not known, or refused by FFmpeg, which does not say how large
        width, height = _size_without_limit(path)
    check_picture(path, width, height)
    context.options = {"max_pixels": str(current_limits().video_pixels)}


def _size_without_limit(path):
    file = path.reader() if isinstance(path, RemoteVideo) else f"file:{path.resolve()}"
    protocols = "none" if isinstance(path, RemoteVideo) else "file"
    options = {**_OPTIONS, "protocol_whitelist": protocols, "max_streams": _STREAMS}
    with (
        suppress(av.FFmpegError, VideoReadError),
        av.open(
            file,
            metadata_errors="replace",
            container_options={key: str(value) for key, value in options.items()},
        ) as container,
    ):
        context = _video_stream(container, path).codec_context
        return context.width, context.height
    return 0, 0


def packets(path: Any, container: Any, stream: Any, clock: Clock) -> Iterator[Any]:
    """Yield the packets of a stream, while there is time.

    Where the file is cut off or unreadable it ends; what came before counts.
    """
    try:
        for packet in demuxed(path, container, stream):
            clock.check()
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        check_memory(error, n_bytes_of(path))


def read_once(maxsize: int) -> Callable:
    """Keep what functions read of files until a file is written to or replaced.

    Of each limit they were read within, too.

    Parameters
    ----------
    maxsize : int
        Results that are kept of the function, which takes a path and what else can be
        hashed.
    """

    def decorate(function):
        @cached(maxsize)
        @wraps(function)
        def kept(path, real_path, stamp, limits, *arguments):
            return function(path, *arguments)

        @wraps(function)
        def of_file(path, *arguments):
            if isinstance(path, RemoteVideo):  # which is one version
                return kept(path, None, None, current_limits(), *arguments)
            check_same(path)
            known_by = os.path.realpath(path), content_stamp(path)
            return kept(path, *known_by, current_limits(), *arguments)

        return of_file

    return decorate


@read_once(maxsize=64)
def _check_index_of_file(path):
    with naming(path), open(path, "rb") as file:
        check_index(path, file, n_bytes_of(path))


@read_once(maxsize=16)  # ten bytes a packet
def list_packets(path: str | Path) -> Any:
    """Read a file's packets into a `PacketTable`.

    Of an MP4 behind an address the frames are not read for that: its index tells all.
    Other files behind an address are brought to the disk as a whole, since only the
    frames themselves tell how many there are.
    """
    if isinstance(path, RemoteVideo):
        places = path.unread_places()
        table = _table(path, places) if places else None
        if table is not None:
            return table
        path.fetch()
    return _table(path)


def _table(path, unread=()):
    """Make the table; None where `unread` places would have to be read for it."""
    pts, is_key, is_shown = array("q"), bytearray(), bytearray()
    span, n_bytes, is_timed, is_damaged = _Span(), 0, True, False
    most = current_limits().video_frames
    with opened(path, unread) as (container, stream):
        codec = stream.codec_context.name
        if unread and not _is_described(stream, codec):
            return None
        found = PacketDamage("" if unread else codec, stream.codec_context.extradata)
        for packet in packets(path, container, stream, clock_of(path)):
            if len(pts) == most:
                check_count(path, most + 1)
            shown_at = packet.pts
            if shown_at is None:
                is_timed, shown_at = False, packet.dts
            n_bytes += packet.size
            is_damaged |= packet.is_corrupt
            found.add(memoryview(packet))
            pts.append(shown_at or 0)
            is_key.append(packet.is_keyframe)
            is_shown.append(not packet.is_discard)
            if is_shown[-1]:
                span.add(shown_at, packet.duration or 0)
        if unread:
            is_key = bytearray(entry.is_keyframe for entry in stream.index_entries)
            if len(is_key) != len(pts):
                return None
        if not span.n_frames:
            raise VideoReadError(path, "its video stream is empty")
        seconds = None
        if stream.time_base and span.is_timed:
            seconds = float(span.ticks() * stream.time_base) or None
        return PacketTable(
            pts=np.array(pts) if is_timed else None,
            is_key=np.frombuffer(is_key, bool),
            is_shown=np.frombuffer(is_shown, bool),
            is_damaged=is_damaged,
            n_bytes=n_bytes,
            seconds=seconds,
            header_fps=float(stream.average_rate) if stream.average_rate else None,
            codec=codec,
            tags=dict(container.metadata),
            cut_short=_bare_stream(path, container.format.name)
            or _cut_short(path, len(pts), stream.frames, found.said(len(pts)))
            or pictures_missing(
                np.array(pts) * float(stream.time_base or 0) if is_timed else None,
                (container.duration or 0) / av.time_base,
                stream.frames,
                (container.start_time or 0) / av.time_base,
                float((span.last[1] if span.last else 0) * (stream.time_base or 0)),
            )
            or more_tracks(len(_tracks(container)))
            or stretched_pixels(stream.sample_aspect_ratio)
            or _shown_otherwise(path, stream.codec_context),
        )


def _cut_short(path, n_packets, n_stated, damage):
    """Say that a file holds less than its container promises, if it does."""
    is_remote = isinstance(path, RemoteVideo)
    size = n_bytes_of(path)
    with naming(path), path.reader() if is_remote else open(path, "rb") as file:
        promised = promised_size(file, *[_REMOTE_BOXES] * is_remote)
        if promised > size:
            of_frames = f", and {n_packets:,} of {n_stated:,} frames"
            text = f"it is cut short: it has {size:,} of {promised:,} bytes"
            return text + of_frames * (n_stated > n_packets)
        n_zeros = 0 if is_remote or n_stated else zeros_at_end(file)  # else counted
        if n_zeros > max(_LEAST_ZEROS, _SHARE_ZEROS * size):
            return f"it is not whole: its last {n_zeros:,} bytes are zeros"
        if is_remote or damage:
            return damage
        check = clock_of(path).check
        return pieces_missing(file, check) or another_behind(file, check)


def _shown_otherwise(path, context):
    is_remote = isinstance(path, RemoteVideo)
    with naming(path), path.reader() if is_remote else open(path, "rb") as file:
        return shown_otherwise(
            file,
            context.width,
            context.height,
            clock_of(path).check,
            *[_REMOTE_BOXES] * is_remote,
        )


def _bare_stream(path, form):
    """Say that a file has lost its container, if its name promises one."""
    suffix = Path(str(path)).suffix.lower()
    if form in _BARE and suffix in _CONTAINERS:
        return (
            f"it is not whole: a {suffix} file begins with a header, and this one with "
            f"pictures ({form})"
        )
    return ""


def _is_described(stream, codec):
    """Whether an index tells of each packet of a stream all that its bytes would."""
    return codec in ONE_FRAME_A_PACKET and hasattr(stream, "index_entries")


class _Span:
    """From the first frame that is shown to the end of the last one."""

    def __init__(self):
        self.n_frames, self.is_timed = 0, True
        self._first = self.last = None

    def add(self, shown_at, duration):
        self.n_frames += 1
        if shown_at is None:
            self.is_timed = False
            return
        frame = shown_at, duration
        self._first = frame if self._first is None else min(self._first, frame)
        self.last = frame if self.last is None else max(self.last, frame)

    def ticks(self):
        first, (last, last_duration) = self._first[0], self.last
        if not last_duration and self.n_frames > 1:
            last_duration = Fraction(last - first, self.n_frames - 1)
        return last - first + last_duration
