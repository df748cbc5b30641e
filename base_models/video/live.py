"""Frames of a webcam, a stream or a file, as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from base_models.addresses import is_address
from base_models.errors import VideoReadError
from base_models.video.bounds.demuxing import demuxed
from base_models.video.decoding import RgbConverter
from base_models.video.reading import iter_frames, probe_video

# An address was typed by the user, so it may lead to other addresses (as HLS does), but
# not to files of this machine.
_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtsp,rtsps,rtmp,rtmps,srt,crypto,hls"
_PATIENCE = 10.0  # seconds without a frame after which a live source has failed
_FPS_WITHOUT_CLOCK = 25.0


@dataclass(frozen=True)
class LiveFrame:
    """One frame of a source that runs.

    Attributes
    ----------
    image : ndarray of shape (H, W, 3)
        RGB uint8, upright.
    seconds : float
        Since the first frame: of the clock on the wall for live sources, of the
        video's own for files.
    arrived : float
        When it was there, by `time.perf_counter`.
    skipped : int
        Frames of a live source that came since the last one and were not taken.
    """

    image: np.ndarray
    seconds: float
    arrived: float
    skipped: int = 0


def is_live(source: int | str | Path) -> bool:
    """Whether a source runs by itself: a webcam's number, or an address.

    Examples
    --------
    >>> from base_models.video.live import is_live
    >>> is_live(0), is_live("0"), is_live("rtsp://cam/1"), is_live("clip.mp4")
    (True, True, True, False)
    """
    return _camera_number(source) is not None or (
        is_address(source) and not Path(source).exists()
    )


def live_frames(
    source: int | str | Path, stop: threading.Event | None = None
) -> Iterator[LiveFrame]:
    """Yield the frames of a webcam, a stream or a file, one in memory at a time.

    A file gives every frame. A live source is read in a thread of its own, and whoever
    is slow gets the newest frame: what came in between is skipped, so that the picture
    is never behind.

    Parameters
    ----------
    source : int, str or Path
        A webcam's number, the address of a stream, or a video file.
    stop : threading.Event or None, default=None
        Ends the frames when it is set.

    Yields
    ------
    LiveFrame

    Raises
    ------
    VideoReadError
        If it cannot be opened, has no frame, or a live source gives none for 10 s.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import mkdtemp
    >>> from base_models import write_video
    >>> from base_models.video.live import live_frames
    >>> path = write_video(f"{mkdtemp()}/clip.mp4", np.zeros((3, 48, 64, 3), np.uint8))
    >>> [frame.seconds for frame in live_frames(path)]
    [0.0, 0.04, 0.08]
    """
    stop = threading.Event() if stop is None else stop
    if not is_live(source):
        yield from _frames_of_file(source, stop)
        return
    camera = _camera_number(source)
    read = _stream_images(source) if camera is None else _camera_images(camera)
    newest = _Newest(source, read)
    try:
        yield from newest.frames(stop)
    finally:
        newest.close()


def source_fps(source: int | str | Path) -> float:
    """Return a file's frames a second; 25 for what has no such number before it runs.

    Examples
    --------
    >>> from base_models.video.live import source_fps
    >>> source_fps("rtsp://cam/1")
    25.0
    """
    if is_live(source):
        return _FPS_WITHOUT_CLOCK
    return probe_video(Path(source)).fps or _FPS_WITHOUT_CLOCK


def _camera_number(source):
    return int(source) if str(source).isascii() and str(source).isdigit() else None


def _frames_of_file(source, stop):
    begun, last = None, 0.0  # of the clock that runs, and the newest frame's time
    for number, (image, seconds) in enumerate(
        iter_frames(Path(source), return_times=True)
    ):
        if stop.is_set():
            return
        if seconds is None:
            seconds = number / _FPS_WITHOUT_CLOCK
        if begun is None:
            begun = seconds
        if seconds - begun < last:  # the clock began again, as of files in a row
            begun = seconds - last - 1 / _FPS_WITHOUT_CLOCK
        last = seconds - begun
        yield LiveFrame(image, last, time.perf_counter())


class _Newest:
    """Reads a source in a thread, and keeps its newest frame alone."""

    def __init__(self, source: Any, read: Callable[[], Iterator[np.ndarray]]) -> None:
        self._source, self._read = source, read
        self._news, self._closed = threading.Condition(), False
        self._newest, self._count = None, 0
        self._ended, self._error = False, None
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def _fill(self):
        try:
            for image in self._read():
                with self._news:
                    self._newest = image, time.perf_counter()
                    self._count += 1
                    self._news.notify()
                if self._closed:
                    return
        except Exception as error:
            self._error = error
        with self._news:
            self._ended = True
            self._news.notify()

    def frames(self, stop):
        taken, first, waited = 0, None, time.perf_counter()
        while not stop.is_set():
            with self._news:
                if self._count == taken and not self._ended:
                    self._news.wait(0.1)  # in between a stop is heard
                if self._count > taken:
                    (image, arrived), skipped = self._newest, self._count - taken - 1
                    taken = self._count
                elif self._ended:
                    break
                elif time.perf_counter() - waited > _PATIENCE:
                    raise VideoReadError(
                        self._source, f"it gave no frame for {_PATIENCE:.0f} seconds"
                    )
                else:
                    continue
            first = arrived if first is None else first
            waited = arrived
            yield LiveFrame(image, arrived - first, arrived, skipped)
        if self._error is not None:
            raise self._error
        if first is None and not stop.is_set():
            raise VideoReadError(self._source, "it ended without a frame")

    def close(self):
        self._closed = True
        self._thread.join(timeout=1.0)  # one that waits for the network ends later


def _camera_images(number):
    def read():
        import cv2

        camera = cv2.VideoCapture(number)
        try:
            if not camera.isOpened():
                raise VideoReadError(
                    f"webcam {number}",
                    "there is none, or another program has it",
                    "give 0 for the first; a file of that name is ./" + str(number),
                )
            while True:
                there, image = camera.read()
                if not there:
                    raise VideoReadError(f"webcam {number}", "it gives no frame (more)")
                yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        finally:
            camera.release()

    return read


def _stream_images(address):
    def read():
        try:
            with av.open(
                str(address),
                options={"protocol_whitelist": _PROTOCOLS},
                timeout=(_PATIENCE, _PATIENCE),
            ) as container:
                if not container.streams.video:
                    raise VideoReadError(address, "there is no video stream in it")
                stream = container.streams.video[0]
                yield from _decoded(container, stream, address)
        except av.FFmpegError as error:
            raise VideoReadError(
                address, f"the stream cannot be read ({error.strerror})"
            ) from error

    return read


def _decoded(container, stream, address):
    convert = None
    for packet in demuxed(address, container, stream):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:  # a damaged packet gives no frame; the next may
            continue
        for frame in frames:
            convert = convert or RgbConverter(address, frame)
            yield convert(frame)
