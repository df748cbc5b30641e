"""Detectors whose keys are asked for, for the tests of this folder."""

from base_models import (
    FrameDetector,
)

QUICK = {
    "view": "frame", "image_size": 32, "n_frames": 2, "n_threads": 1, "device": "cpu",
}  # fmt: skip
NETWORK = FrameDetector(
    "mesonet4", epochs=1, frames_per_epoch=1, random_state=0, **QUICK
)
