"""How strongly a video was compressed: the quantiser that its encoder used."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from base_models.errors import VideoReadError
from base_models.runtime.remote.facts import asking_once
from base_models.video.bounds.apart import apart
from base_models.video.bounds.budget import check_refusal, one_clock
from base_models.video.bounds.demuxing import demuxed
from base_models.video.packets import opened, read_once
from base_models.video.paths import existing, reading
from base_models.video.reading import probe_video
from base_models.video.remote import RemoteVideo, check_same

# Typical quantisers of the field's three levels. Nine real clips encoded anew by x264:
# crf 23 gave 19 to 24 (mean 20.4), crf 40 gave 31 to 41 (mean 36.0), lossless 0.
LEVELS = {"raw": 0.0, "c23": 20.0, "c40": 36.0}

_PLACES, _FRAMES = 4, 12  # looked at here and there: keyframe and what follows
_MAX_QP = 51.0

# H.264's quantiser from bits a pixel, least squares over the same 54 encodings but the
# lossless ones: 3.9 is the standard deviation of what is left.
_QP_AT_ONE_BIT, _QP_PER_OCTAVE = 2.7, -4.5


def estimate_qp(
    video: str | Path | np.ndarray, n_places: int = _PLACES, n_frames: int = _FRAMES
) -> float:
    """Estimate the quantiser of a video, on H.264's scale.

    H.264 and MPEG-2 streams say it themselves: the mean over blocks and over frames
    from a few places. Of other codecs it is reckoned from the bits a pixel, plus or
    minus 4 (one standard deviation) for material like talking heads; codecs younger
    than H.264 need fewer bits for the same picture and are taken for worse than
    they are.

    Parameters
    ----------
    video : str, Path or ndarray of shape (T, H, W, 3)
    n_places, n_frames : int, default=4, 12
        How many places of the file are looked at, and frames at each.

    Returns
    -------
    float
        0 (lossless) to 51; NaN for arrays and images, which do not tell.

    Raises
    ------
    VideoReadError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from base_models import write_video
    >>> from base_models.video.quality import estimate_qp
    >>> frames = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     worse = write_video(f"{folder}/a.mp4", frames, crf=40)
    ...     better = write_video(f"{folder}/b.mp4", frames, crf=10)
    ...     estimate_qp(worse) > estimate_qp(better) + 20
    True
    """
    if isinstance(video, np.ndarray):
        return math.nan
    with asking_once():
        info = probe_video(video)
        if info.codec is None:  # images
            return math.nan
        qp = _stated_qp(_at(existing(video)), n_places, n_frames)
    if qp is not None:
        return float(np.clip(qp, 0, _MAX_QP))
    if not info.bit_rate or not info.fps:
        return math.nan
    bits = info.bit_rate / (info.width * info.height * info.fps)
    qp = _QP_AT_ONE_BIT + _QP_PER_OCTAVE * math.log2(bits)
    return float(np.clip(qp, 0, _MAX_QP))


def nearest_level(
    qp: float, levels: Iterable[str] = LEVELS, unknown: str = "c23"
) -> str:
    """Name the level whose quantiser is nearest.

    Parameters
    ----------
    qp : float
        As `estimate_qp` gives it.
    levels : iterable of str, default=LEVELS
        Of raw, c23, c40: those to choose from.
    unknown : str, default="c23"
        The level to take NaN for, or the one nearest to it.

    Returns
    -------
    str

    Examples
    --------
    >>> from base_models.video.quality import nearest_level
    >>> nearest_level(34.0), nearest_level(34.0, ["raw", "c23"])
    ('c40', 'c23')
    """
    if math.isnan(qp):
        qp = LEVELS[unknown]
    return min(levels, key=lambda level: (abs(LEVELS[level] - qp), LEVELS[level]))


def _at(path):
    check_same(path)
    return path if isinstance(path, RemoteVideo) else os.path.realpath(path)


@read_once(maxsize=1024)
@apart
def _stated_qp(path, n_places, n_frames):
    """Mean quantiser of frames here and there, or None where the codec hides it."""
    found = []
    try:
        with (
            reading(path),
            one_clock(path) as clock,
            opened(path) as (
                container,
                stream,
            ),
        ):
            stream.codec_context.thread_count = 1
            options = {"export_side_data": "venc_params"}
            stream.codec_context.options = {**stream.codec_context.options, **options}
            if stream.codec_context.name not in ("h264", "mpeg2video"):
                return None
            for place in range(n_places):
                if stream.duration and place:
                    start = stream.start_time or 0
                    with suppress(av.FFmpegError):
                        container.seek(
                            start + stream.duration * place // n_places, stream=stream
                        )
                elif place:
                    break
                found += _qp_of_next(path, container, stream, n_frames, clock)
    except av.FFmpegError as error:
        if not found:
            raise VideoReadError(path, str(error)) from error
    return float(np.mean(found)) if found else None


def _qp_of_next(path, container, stream, n_frames, clock):
    found = []
    try:
        for packet in demuxed(path, container, stream):
            clock.check()
            for frame in packet.decode():
                if (qp := _qp_of(frame, stream)) is not None:
                    found.append(qp)
                if len(found) == n_frames:
                    return found
    except av.FFmpegError as error:  # what came before the damage counts
        check_refusal(path, stream.codec_context, error)
    return found


def _qp_of(frame, stream):
    try:
        params = frame.side_data.get(SideDataType.VIDEO_ENC_PARAMS)
    except ValueError:  # older PyAV stumbles over newer kinds beside it
        return None
    if params is None:
        return None
    qp = float(np.mean(params.qp_map() if params.nb_blocks else params.qp))
    # MPEG-2's is the step itself, H.264's doubles every 6 from 0.625
    is_h264 = stream.codec_context.name == "h264"
    return qp if is_h264 else 6 * math.log2(1.6 * max(qp, 1))
