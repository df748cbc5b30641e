"""Reads videos that are folders of frame images, or an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from base_models.errors import VideoReadError
from base_models.runtime.clusters.given_up import reason_given_up
from base_models.video.paths import frame_images, naming
from base_models.video.remote import is_folder


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
                frames = np.empty((len(chosen), *frame.shape), np.uint8)
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
    """Read those images that can be decoded, scaled to the first one's size."""
    import cv2

    size = None
    for image in images:
        with naming(image):
            encoded = np.frombuffer(image.read_bytes(), np.uint8)
        if (frame := _decoded(encoded)) is None:
            continue
        size = size or frame.shape[1::-1]
        if frame.shape[1::-1] != size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        yield image, np.ascontiguousarray(frame[:, :, ::-1])


def _decoded(encoded):
    """Decode one image; None where it is broken, or larger than OpenCV takes."""
    import cv2

    if not encoded.size:
        return None
    try:
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
