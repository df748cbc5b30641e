"""Decodes video files the plain way: every frame, one after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace, VideoReformatter

from base_models.errors import VideoReadError
from base_models.video.bounds.budget import (
    Clock,
    check_count,
    check_memory,
    check_picture,
    check_refusal,
    clock_of,
    empty_frames,
)
from base_models.video.packets import opened, packets

_MOST_HIDDEN = 0.25  # of the packets, may say that they are not to be shown


class Losses:
    """Counts packets of which no picture comes, or one that the decoder made up.

    A decoder holds pictures back, two packets may be the fields of one, and some codecs
    have packets that nobody is to see. What is missing beyond that is lost; so is what
    the decoder refuses, and what gives nothing in a row.

    Attributes
    ----------
    n_packets : int

    Examples
    --------
    >>> from base_models.video.decoding import Losses
    >>> losses = Losses()
    >>> for frames in ([], ["a"], ["b"], [], [], []):
    ...     losses.add(frames)
    >>> losses.flushed(["c"])
    >>> losses.n_packets, losses.n_lost
    (6, 3)
    """

    def __init__(self) -> None:
        self.n_packets = self._n_frames = self._n_refused = self._n_corrupt = 0
        self._run = self._longest = self._n_of_fields = self._n_hidden = 0

    def add(
        self, frames: Sequence[Any], refused: bool = False, hidden: bool = False
    ) -> None:
        """Note what came out when a packet went in, which may say that it is hidden."""
        self.n_packets += 1
        self._n_hidden += hidden
        self._n_refused += refused
        self._run = 0 if frames else self._run + 1
        self._longest = max(self._longest, self._run)
        self.flushed(frames)

    def flushed(self, frames: Sequence[Any]) -> None:
        """Note what came out at the end."""
        self._n_frames += len(frames)
        for frame in frames:
            self._n_corrupt += getattr(frame, "is_corrupt", False)
            self._n_of_fields += getattr(frame, "interlaced_frame", False)

    @property
    def n_lost(self) -> int:
        """Packets whose pictures are not there, or are not what they were."""
        missing = max(0, self.n_packets - self._n_frames)
        known = min(missing, max(self._n_refused, self._longest))
        hidden = min(self._n_hidden, int(_MOST_HIDDEN * self.n_packets))
        return max(known, missing - self._n_of_fields - hidden) + self._n_corrupt


def decode(
    path: str | Path, clock: Clock | None = None, losses: Losses | None = None
) -> Iterator[Any]:
    """Yield each frame. What is done with one counts, unless it has the clock stand."""
    n_frames, losses = 0, losses or Losses()
    with opened(path) as (container, stream):
        stream.codec_context.thread_count = 1
        is_vp8 = stream.codec_context.name == "vp8"
        clock = clock or clock_of(path)
        for packet in itertools.chain(packets(path, container, stream, clock), [None]):
            clock.check()
            try:
                frames = stream.decode(packet)
            except av.FFmpegError as error:
                check_refusal(path, stream.codec_context, error)
                losses.add([], refused=True)
                continue  # a damaged packet gives no frame; the decoder goes on
            if packet is None:
                losses.flushed(frames)
            else:  # the others put what is hidden into the packet of another
                losses.add(frames, hidden=is_vp8 and not bytes(packet)[0] & 0x10)
            for frame in frames:
                n_frames += 1
                check_count(path, n_frames)
                check_picture(path, frame.width, frame.height, "one of its frames has")
                yield frame


def decode_rgb(path: str | Path, at: Any = None) -> Iterator[Any]:
    """Yield each frame as RGB (None if not among `at`), and when it is shown."""
    convert, tick, clock = None, None, clock_of(path)
    for index, frame in enumerate(decode(path, clock)):
        convert = convert or RgbConverter(path, frame)
        tick = frame.time_base or tick  # the last frames do not bring theirs
        timed = frame.pts is not None and tick is not None
        rgb = convert(frame) if at is None or index in at else None
        seconds = float(frame.pts * tick) if timed else None
        with clock.standing():
            yield rgb, seconds


def frames_by_reading(path: str | Path, indices: np.ndarray) -> Any:
    """Return frames, how many there are in all, and what was lost of them."""
    frames, convert, n_kept, n_decoded = None, None, 0, 0
    losses = Losses()
    for n_decoded, frame in enumerate(decode(path, losses=losses), start=1):
        convert = convert or RgbConverter(path, frame)
        if n_kept < len(indices) and indices[n_kept] == n_decoded - 1:
            rgb = convert(frame)
            if frames is None:
                frames = empty_frames(path, len(indices), rgb.shape)
            frames[n_kept] = rgb
            n_kept += 1
    if not n_decoded:
        raise VideoReadError(path, "no frame of it can be decoded")
    return frames, n_decoded, losses


class RgbConverter:
    """Turns decoded frames into upright RGB of the first decoded frame's size."""

    def __init__(self, path: str | Path, first: Any) -> None:
        self.path = path
        self.shape = {"width": first.width, "height": first.height, "format": "rgb24"}
        self.turns, self.mirrored = orientation(first)
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
            try:
                return self.reformatter.reformat(
                    frame, threads=1, **self.shape, **colours
                )
            except av.FFmpegError as error:
                check_memory(error, 4 * frame.width * frame.height)
        raise VideoReadError(
            self.path, f"its pixels ({frame.format.name}) cannot be turned into RGB"
        )


def orientation(frame: Any) -> Any:
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
