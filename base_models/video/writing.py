"""Writes H.264 files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from base_models.runtime.file_writing import replacing

_PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast"]
_PRESETS += ["medium", "slow", "slower", "veryslow", "placebo"]

# The way our RGB becomes YUV, written into the file so that players undo just that:
# BT.601 matrix (6), limited range (1).
_BT601 = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}


_TICK = Fraction(1, 90000)  # what mp4 files commonly count time in


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: Any = 25,
    crf: float = 23,
    preset: str = "medium",
    tags: dict[Any, Any] | None = None,
    times: Sequence[float] | np.ndarray | None = None,
) -> Path:
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
    times : sequence of float, optional
        When each frame is shown, seconds from 0, rising: for videos whose frames do not
        come at one rate. The last frame stays for 1 / `fps`.

    Returns
    -------
    Path

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> from base_models import probe_video
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

    with (
        replacing(path) as unfinished,
        av.open(
            str(unfinished),
            "w",
            format="mp4",
            options={"movflags": "+faststart+use_metadata_tags"},
        ) as container,
    ):
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
        _set_up(stream, first, clock=times is not None)
        reformatter = VideoReformatter()
        for index, frame in enumerate(_even_frames(first, frames)):
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(frame, format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU601,
                threads=1,
            )
            if times is not None:
                frame.time_base = _TICK
                frame.pts, frame.duration = _shown(times, index, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _set_up(stream, first, clock):
    """Give a stream the size of its first frame, its colours and its clock."""
    height, width = first.shape[:2]
    stream.height, stream.width = height + height % 2, width + width % 2
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    if clock:
        stream.codec_context.time_base = _TICK
    for name, value in _BT601.items():
        setattr(stream.codec_context, name, value)


def _shown(times, index, fps):
    """Return when a frame is shown, and for how long, in ticks."""
    if index >= len(times):
        raise ValueError(f"times has {len(times)} entries, and there are more frames")
    begins = round(times[index] / _TICK)
    ends = times[index] + 1 / fps if index + 1 == len(times) else times[index + 1]
    lasts = round(ends / _TICK) - begins
    if begins < 0 or lasts < 1:
        raise ValueError(
            f"times must rise from 0 or later; frame {index} is shown at "
            f"{times[index]} s, the next at {ends} s"
        )
    return begins, lasts


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


def _check_frame(frame, index):
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise TypeError(f"frames must be RGB uint8 arrays; frame {index} is {kind}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(
            f"frames must have shape (H, W, 3); frame {index} has {frame.shape}"
        )
    return frame
