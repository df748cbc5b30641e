"""Reads videos that are folders of frame images, or an image."""

from __future__ import annotations

from collections.abc import Iterator
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
from base_models.video.bounds.headers import image_size
from base_models.video.paths import frame_images, naming
from base_models.video.remote import is_folder, n_bytes_of


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
            return frames, len(images)
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
    with naming(image):
        encoded = image.read_bytes()
    if (size := image_size(encoded)) is None:
        return None
    check_picture(image, *size, "the image has")
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        return None
