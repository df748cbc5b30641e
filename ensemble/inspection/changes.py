"""Changes that videos go through in a stress test, made frame by frame."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

import cv2
import numpy as np

from base_models.augmentation.augment import recompress_frames

AS_IT_IS = "as it is"

# What is done to a video, at rising strength.
CHANGES = {
    "h264": (23, 28, 34, 40),  # constant rate factor of x264
    "jpeg": (90, 70, 50, 30),  # quality of each frame
    "downscale": (0.75, 0.5, 0.35, 0.25),  # of width and height, then enlarged again
    "blur": (0.5, 1.0, 2.0, 4.0),  # sigma in pixels of a frame 480 pixels high
    "noise": (2.0, 5.0, 10.0, 20.0),  # standard deviation, of 255
    "fps": (0.5, 0.25, 0.125),  # share of the frames that is left
    "darker": (0.8, 0.6, 0.4, 0.25),  # factor
    "brighter": (1.2, 1.4, 1.7, 2.0),  # factor
}
CHANGES_VERSION = 2  # another one whenever a change gives other frames than before


def changed(
    frames: np.ndarray, change: str, strength: float, draw: np.random.Generator | None
) -> np.ndarray:
    """Change the frames of a video.

    Parameters
    ----------
    frames : ndarray of shape (T, H, W, 3)
        RGB uint8.
    change : str
        A key of ``CHANGES``.
    strength : float
        In the unit told there.
    draw : numpy Generator
        For noise.

    Returns
    -------
    ndarray
        RGB uint8; with fewer frames for "fps".

    Examples
    --------
    >>> frames = np.full((8, 32, 32, 3), 100, np.uint8)
    >>> changed(frames, "darker", 0.5, None).max()
    np.uint8(50)
    >>> len(changed(frames, "fps", 0.25, None))
    2
    """
    return np.stack(list(iter_changed(frames, change, strength, draw)))


def iter_changed(
    frames: Iterable[np.ndarray],
    change: str,
    strength: float,
    draw: np.random.Generator | None,
) -> Iterator[np.ndarray]:
    """Change a video frame by frame, holding one at a time.

    Parameters
    ----------
    frames : iterable of ndarray of shape (H, W, 3)
        RGB uint8.
    change, strength, draw
        As for `changed`; ``AS_IT_IS`` changes nothing.

    Yields
    ------
    ndarray of shape (H, W, 3)
        RGB uint8.
    """
    if change == AS_IT_IS:
        yield from frames
    elif change == "h264":
        yield from recompress_frames(frames, strength)
    elif change == "fps":
        yield from islice(frames, 0, None, round(1 / strength))
    else:
        for frame in frames:
            yield _CHANGED[change](frame, strength, draw)


def noise_of(
    digest: str, change: str, strength: float, seed: int
) -> np.random.Generator:
    """Return the generator of a change's noise, the same wherever the video stands.

    Parameters
    ----------
    digest : str
        Of the video's content, hexadecimal.
    change : str
    strength : float
    seed : int
    """
    kind = zlib.crc32(f"{change} {float(strength)}".encode())
    return np.random.default_rng([seed, int(digest[:32], 16), kind])


def _jpeg(frame, quality, draw):
    options = [cv2.IMWRITE_JPEG_QUALITY, round(quality)]
    coded = cv2.imencode(".jpg", frame[..., ::-1], options)
    return cv2.imdecode(coded[1], cv2.IMREAD_COLOR)[..., ::-1]


def _downscale(frame, share, draw):
    height, width = frame.shape[:2]
    size = max(1, round(share * width)), max(1, round(share * height))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _blur(frame, sigma, draw):
    return cv2.GaussianBlur(frame, (0, 0), sigma * min(frame.shape[:2]) / 480)


def _noise(frame, deviation, draw):
    noisy = frame + draw.normal(0, deviation, frame.shape).astype(np.float32)
    return noisy.round().clip(0, 255).astype(np.uint8)


def _light(frame, factor, draw):
    return cv2.convertScaleAbs(frame, alpha=factor)


_CHANGED = {"jpeg": _jpeg, "downscale": _downscale, "blur": _blur, "noise": _noise,
            "darker": _light, "brighter": _light}  # fmt: skip
