"""Reads videos that are folders of frame images, or an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.limits import current_limits
from base_models.runtime.clusters.given_up import reason_given_up
from base_models.video.bounds.budget import (
    check_picture,
    clock_of,
    empty_frames,
    over_limit,
)
from base_models.video.bounds.headers import (
    ends_in_a_chunk,
    holds_several_pictures,
    image_size,
    may_be_transparent,
)
from base_models.video.paths import (
    IMAGE_SUFFIXES,
    OTHER_IMAGES,
    frame_images,
    naming,
)
from base_models.video.remote import check_same, is_folder, n_bytes_of

_ENDS = {b"\x89PNG\r\n": b"IEND", b"\xff\xd8": b"\xff\xd9"}  # beginnings -> ends
_BROKEN = "nothing that can be read"
_SEVERAL = "several pictures, and the first was looked at"
_TRANSPARENT = "transparent parts, whose colours were looked at as if they were shown"
_SHOWN_OTHERWISE = (_SEVERAL, _TRANSPARENT)
_TAIL = 2**16  # bytes behind an image's end that others may have added


def sample_images(folder: Path, choose: Any) -> Any:
    """Read images of a folder, or one; for `choose` and result see `sample_file`."""
    # A broken image is left out and the frames are chosen again from the others.
    if (reason := reason_given_up(folder)) is not None:
        raise VideoReadError(folder, reason)
    images = frame_images(folder)
    while images:
        indices = choose(len(images))
        chosen = [images[index] for index in indices]
        frames, readable = None, set()
        for image, frame in read_images(chosen):
            if frames is None:
                frames = empty_frames(folder, len(chosen), frame.shape)
            frames[len(readable)] = frame
            readable.add(image)
        if len(readable) == len(chosen):
            return frames, len(images), ""
        broken = set(chosen) - readable
        images = [image for image in images if image not in broken]
    raise VideoReadError(
        folder,
        "none of its images can be decoded"
        if is_folder(folder)
        else "the image cannot be decoded",
    )


def read_images(images: Any) -> Iterator[Any]:
    """Read those images that can be decoded, scaled to the first one's size.

    Raises
    ------
    VideoReadError
        Of an image that asks for more than is allowed.
    """
    import cv2

    size = clock = None
    for image in images:
        clock = clock or clock_of(image)
        clock.check()
        if (frame := _decoded(image)) is None:
            continue
        size = size or frame.shape[1::-1]
        if frame.shape[1::-1] != size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        with clock.standing():
            yield image, np.ascontiguousarray(frame[:, :, ::-1])


def _decoded(image):
    """Decode one image; None where it is broken, or of a kind that is not read."""
    import cv2

    with naming(image):
        n_bytes = n_bytes_of(image)
    if n_bytes > (allowed := current_limits().video_bytes):
        asked = f"the image has {n_bytes:,} bytes, and {allowed:,} are allowed"
        raise over_limit(image, asked, "video_bytes", n_bytes)
    check_same(image)
    with naming(image):
        encoded = image.read_bytes()
    check_same(image)
    if (size := image_size(encoded)) is None:
        return None
    check_picture(image, *size, "the image has")
    return _opened(encoded, cv2.IMREAD_COLOR)


def _opened(encoded, how):
    """Decode an image as OpenCV can; None where it cannot."""
    import cv2

    if ends_in_a_chunk(encoded):
        return None
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), how)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        return None


def images_missing(folder: Path, images: Sequence[Any]) -> str:
    """Say that images of a folder are not whole; else ``""``.

    They are looked at and not decoded: a file that is no image, one that is cut short
    (PNG and JPEG say where they end), and what has an image's name and is no file.

    Parameters
    ----------
    folder : Path
    images : sequence of Path
        Those files of it.
    """
    n_others = len(_no_files(folder))
    of_images = Counter(map(_wrong_with, images))
    n_images, n_broken = n_others + len(images), n_others + of_images[_BROKEN]
    if n_broken:
        return f"it is not whole: {n_broken:,} of {n_images:,} images cannot be read"
    said = [f"{of_images[w]:,} of {n_images:,} images: {w}" for w in _SHOWN_OTHERWISE]
    return "; ".join(text for text in said if not text.startswith("0 "))


def image_shown_otherwise(image: Any) -> str:
    """Say that an image is shown otherwise than it is looked at; else ``""``.

    Parameters
    ----------
    image : Path
    """
    wrong = _wrong_with(image)
    return f"it holds {wrong}" if wrong in _SHOWN_OTHERWISE else ""


def _wrong_with(image):
    """Return what an image holds that is not looked at; `_BROKEN` of one cut short."""
    clock_of(image).check()
    with naming(image):
        if n_bytes_of(image) > current_limits().video_bytes:  # it is not read either
            return _BROKEN
        content = image.read_bytes()
    if (size := image_size(content)) is None:
        return _BROKEN
    ends = [end for start, end in _ENDS.items() if content.startswith(start)]
    if not all(end in content[-_TAIL:] for end in ends):
        return _BROKEN
    if holds_several_pictures(content):
        return _SEVERAL
    return _TRANSPARENT if _is_transparent(image, content, size) else ""


def _is_transparent(image, content, size):
    """Whether players show what is behind some of its pixels, which has no colour here.

    Its colours alone are looked at, as OpenCV gives them.
    """
    import cv2

    if not may_be_transparent(content):
        return False
    check_picture(image, *size, "the image has")
    picture = _opened(content, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim < 3 or picture.shape[2] != 4:
        return False
    alpha = picture[..., 3]
    opaque = np.iinfo(alpha.dtype).max if alpha.dtype.kind == "u" else 1.0
    return not bool((alpha >= opaque).all())  # NaN, too


def _no_files(folder):
    """Return images of a folder that are no files, or of kinds that are not read."""
    return [
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".")
        and (
            entry.suffix.lower() in OTHER_IMAGES
            or (entry.suffix.lower() in IMAGE_SUFFIXES and not entry.is_file())
        )
    ]
