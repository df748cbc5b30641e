"""People painted onto grey frames, and where their faces are."""

from pathlib import Path

import cv2
import numpy as np
import pytest

SHARED = Path(__file__).parents[4] / "shared"
CLIPS = sorted((SHARED / "data" / "clips").glob("real/*.mp4"))
needs_clips = pytest.mark.skipif(not CLIPS, reason="no clips beside us")


def scene(height, width, *placed):
    """Paint people onto grey: each (face, x, y, side). Gives frame and their boxes."""
    frame = np.full((height, width, 3), 110, np.uint8)
    for face, x, y, side in placed:
        way = cv2.INTER_AREA if side < 200 else cv2.INTER_CUBIC
        painted = cv2.resize(face, (side, side), interpolation=way)
        shown = frame[max(y, 0) : y + side, max(x, 0) : x + side]
        shown[:] = painted[max(-y, 0) :, max(-x, 0) :][: len(shown), : shown.shape[1]]
    return frame


def overlap(a, b):
    """Intersection over union of two inclusive boxes, counted pixel by pixel."""
    left, top = min(a[0], b[0]), min(a[1], b[1])
    right, bottom = max(a[2], b[2]) + 1, max(a[3], b[3]) + 1
    covered = np.zeros((2, bottom - top, right - left), bool)
    for layer, box in zip(covered, (a, b), strict=True):
        layer[box[1] - top : box[3] - top + 1, box[0] - left : box[2] - left + 1] = True
    return (covered[0] & covered[1]).sum() / (covered[0] | covered[1]).sum()


def box_at(x, y, side):
    return (x, y, x + side - 1, y + side - 1)


FRAME = np.zeros((90, 120, 3), np.uint8)
