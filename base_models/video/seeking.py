"""Decodes only what the frames asked for need; the same frames as the plain way.

A video is cut by its key frames into passages that decode alone. Of each passage with a
frame that is asked for, decoding starts at its key frame and ends at the last such
frame; frames on the way that no other refers to are not decoded. Whatever happens
otherwise than the list of packets foretold, the plain way is taken instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from base_models.errors import VideoReadError
from base_models.video.bounds.budget import clock_of, empty_frames
from base_models.video.bounds.demuxing import demuxed
from base_models.video.bounds.promises import undecoded
from base_models.video.decoding import RgbConverter, frames_by_reading, orientation
from base_models.video.packets import ONE_FRAME_A_PACKET, list_packets, opened
from base_models.video.sampling import KeyFrames

if TYPE_CHECKING:
    from base_models.video.packets import PacketTable

# In these a frame that FFmpeg calls "non-reference" is needed for no other one. Those
# of HEVC may be, where there are temporal layers.
_FREE_TO_SKIP = {"h264", "mpeg4", "mpeg2video"}

# Up to so many packets are passed over one by one, which costs less than to seek.
_FEW_PACKETS = 50


class _NotAsForetold(Exception):
    """Decoding went otherwise than the packets said."""


class _SeekMissed(_NotAsForetold):
    """The file cannot be entered at a given packet."""


def sample_file(
    path: Path, choose: Callable[..., Any], seek: bool = True
) -> tuple[np.ndarray, int, str]:
    """Read some frames of a video file.

    Parameters
    ----------
    path : Path
    choose : callable
        Number of frames in the video -> which of them, rising.
    seek : bool, default=True
        False decodes everything, the plain way.

    Returns
    -------
    frames : ndarray of shape (n, H, W, 3)
    total : int
        Frames in the video.
    lost : str
        That more of it cannot be decoded than a video may lack; ``""`` where it is not
        so, or where nobody met it.
    """
    # Packets tell the number of frames before decoding, but not always rightly: then
    # the frames are chosen again from the number that was really decoded.
    table = list_packets(path)
    total = table.n_frames
    indices = choose(total)
    if seek and len(indices) < total:
        frames = frames_by_seeking(path, table, indices)
        if frames is not None:
            return frames, total, ""
    for _ in range(3):
        frames, n_decoded, losses = frames_by_reading(path, choose(total))
        if n_decoded == total:
            lost = undecoded(losses.n_lost, losses.n_packets, table.seconds)
            return frames, total, lost
        total = n_decoded
    raise VideoReadError(path, "its frames change while it is read", "try again")


def frames_by_seeking(
    path: Path, table: PacketTable, indices: np.ndarray
) -> np.ndarray | None:
    """Read some frames, entering the file at the key frames before them.

    Parameters
    ----------
    path : Path
    table : PacketTable
        The file's packets.
    indices : ndarray of int
        Which frames, in the order in which they are shown, rising.

    Returns
    -------
    ndarray of shape (n, H, W, 3) or None
        RGB uint8, upright; None where the plain way must be taken.
    """
    steps = _plan(table, indices)
    if steps is None:
        return None
    for may_seek in (True, False):
        try:
            return _follow(path, table, steps, may_seek)
        except _SeekMissed:
            continue
        except (_NotAsForetold, av.FFmpegError):
            break
    return None


def _plan(table, indices):
    """Return the rows of the frames and of the key frames before them, or None."""
    found = _in_order(table)
    if found is None:
        return None
    pts, keys, shown = found
    rows = shown[indices]
    entries = []
    for row in rows:
        before = keys[: np.searchsorted(keys, row, side="right")]
        # Frames decoded after a key frame but shown before it may need the one before.
        entries.append(before[pts[before] <= pts[row]][-1])
    return list(zip(rows.tolist(), map(int, entries), strict=True))


def _in_order(table):
    """Return times, rows of key frames, and rows of frames as they are shown."""
    if table.pts is None or table.is_damaged or table.codec not in ONE_FRAME_A_PACKET:
        return None
    pts, keys = table.pts, np.flatnonzero(table.is_key)
    shown = np.flatnonzero(table.is_shown)
    starts_whole = len(keys) and keys[0] == 0 and pts[shown].min() >= pts[0]
    if not starts_whole or len(np.unique(pts)) < len(pts):
        return None
    return pts, keys, shown[np.argsort(pts[shown])]


def listed_key_frames(table: PacketTable) -> KeyFrames | None:
    """Return which frames of a file are key frames; None where that is not sure."""
    found = _in_order(table)
    if found is None:
        return None
    _, keys, shown = found
    return KeyFrames(table.n_frames, np.flatnonzero(np.isin(shown, keys)))


def _follow(path, table, steps, may_seek):
    wanted_rows = {row for row, _ in steps}
    place_of = {int(table.pts[row]): place for place, (row, _) in enumerate(steps)}
    entries_after = [entry for _, entry in steps[1:]] + [len(table.pts) + 1]
    frames, convert, found = None, None, set()
    with opened(path) as (container, stream):
        walk = _Walk(path, container, stream, table, wanted_rows, may_seek)
        walk.clock = clock_of(path)
        size = stream.codec_context.width, stream.codec_context.height
        for (row, entry), entry_after in zip(steps, entries_after, strict=True):
            for frame in walk.until(row, entry, entry_after):
                place = place_of.get(frame.pts)
                if place is None:
                    continue
                convert = convert or RgbConverter(path, frame)
                turned = convert.turns, convert.mirrored
                if (frame.width, frame.height) != size or orientation(frame) != turned:
                    raise _NotAsForetold
                rgb = convert(frame)
                if frames is None:
                    frames = empty_frames(path, len(steps), rgb.shape)
                frames[place] = rgb
                found.add(place)
    if len(found) < len(steps):
        raise _NotAsForetold
    return frames


class _Walk:
    """Goes through a file from packet to packet and decodes what is needed."""

    def __init__(self, path, container, stream, table, wanted_rows, may_seek):
        self.path, self.table = path, table
        self.container, self.stream = container, stream
        self.wanted_rows, self.may_seek = wanted_rows, may_seek
        self.context = stream.codec_context
        self.context.thread_count = 1
        # A damaged passage must be noticed: there the plain way decides what is shown.
        self.context.options = {**self.context.options, "err_detect": "explode"}
        self.may_skip = table.codec in _FREE_TO_SKIP
        self.row, self.packets = 0, demuxed(path, container, stream)
        self.last_pts = self.entered = None

    def until(self, row, entry, entry_after):
        """Yield what comes out of the decoder until the packet of a row has gone in.

        Decoding starts at the row of the key frame `entry`, unless it is past it. Where
        the next start, `entry_after`, lies further on, the decoder gives out all that
        it holds; else the frame itself may follow with the next ones.
        """
        if entry > self.row:
            self._enter(entry)
        while self.row <= row:
            is_wanted = self.row in self.wanted_rows
            skip = "NONREF" if self.may_skip and not is_wanted else "DEFAULT"
            self.context.skip_frame = skip
            yield from self._checked(self.context.decode(self._next()))
        if entry_after > self.row:
            yield from self._checked(self.context.decode(None))

    def _enter(self, entry):
        if self.may_seek and entry - self.row > _FEW_PACKETS:
            self._seek(entry)
        while self.row < entry:
            self._next()
        packet = self._next()
        if self.table.codec == "h264" and not _is_idr(packet, self.context.extradata):
            raise _NotAsForetold
        self._push_back(packet)
        self.context.flush_buffers()
        self.last_pts, self.entered = None, int(self.table.pts[entry])

    def _seek(self, entry):
        pts = self.table.pts
        try:
            self.container.seek(int(pts[entry]), stream=self.stream)
        except av.FFmpegError as error:
            raise _SeekMissed from error
        self.packets = demuxed(self.path, self.container, self.stream)
        first = next((packet for packet in self.packets if packet.size), None)
        landed = [] if first is None else np.flatnonzero(pts == first.pts)
        # It may stop earlier, but is of no help behind the place where we were.
        if not len(landed) or not self.row <= landed[0] <= entry:
            raise _SeekMissed
        self.row = int(landed[0]) + 1
        self._push_back(first)

    def _next(self):
        self.clock.check()
        packet = next((packet for packet in self.packets if packet.size), None)
        if packet is None or packet.pts != self.table.pts[self.row]:
            raise _SeekMissed
        self.row += 1
        return packet

    def _push_back(self, packet):
        self.packets = itertools.chain([packet], self.packets)
        self.row -= 1

    def _checked(self, frames):
        for frame in frames:
            in_order = self.last_pts is None or frame.pts > self.last_pts
            if frame.pts is None or not in_order or frame.is_corrupt:
                raise _NotAsForetold
            self.last_pts = frame.pts
            if self.entered is not None and frame.pts >= self.entered:
                if frame.pts > self.entered or not frame.key_frame:
                    raise _NotAsForetold
                self.entered = None
            yield frame


def _is_idr(packet, extradata):
    """Whether nothing after this H.264 packet refers to anything before it.

    Containers also mark frames from which a picture merely recovers as key frames.
    """
    data = bytes(packet)
    if extradata and extradata[0] == 1:  # each unit is preceded by its length (avcC)
        n_length, at = (extradata[4] & 3) + 1, 0
        units = []
        while at + n_length < len(data):
            units.append(data[at + n_length])
            at += n_length + int.from_bytes(data[at : at + n_length], "big")
    else:
        units = [part[0] for part in data.split(b"\0\0\1")[1:] if part]
    pictures = [unit & 31 for unit in units if 1 <= unit & 31 <= 5]
    return bool(pictures) and set(pictures) == {5}
