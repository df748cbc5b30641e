"""The square around a face, and crops of it."""

import cv2
import numpy as np
import pytest
from PIL import Image

from base_models.faces import (
    Face,
    crop_face,
    face_square,
)

VECTORS = [
    ((175, 76, 265, 166, 512, 512), (162, 63, 117)),
    ((10, 5, 110, 105, 640, 480), (0, 0, 130)),
    ((560, 300, 639, 400, 640, 480), (534, 285, 106)),
    ((100, 100, 200, 180, 640, 480), (85, 75, 130)),
    ((300, 400, 420, 479, 640, 480), (282, 361, 119)),
    ((0, 0, 639, 479, 640, 480), (0, 0, 480)),
]


@pytest.mark.parametrize(("given", "expected"), VECTORS)
def test_square_is_that_of_faceforensics(given, expected):
    *box, width, height = given
    assert face_square(tuple(box), width, height) == expected


def test_square_stays_inside_the_frame_and_holds_the_middle_of_the_face():
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height = rng.integers(20, 400, 2).tolist()
        left, top = rng.integers(-10, width), rng.integers(-10, height)
        box = (left, top, left + rng.integers(5, 90), top + rng.integers(5, 90))
        centre = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
        if not (0 <= centre[0] < width and 0 <= centre[1] < height):
            continue
        x, y, size = face_square(box, width, height, margin=1.3)
        assert 0 <= x <= centre[0]
        assert 0 <= y <= centre[1]
        assert x + size <= width
        assert y + size <= height
        assert 1 <= size <= 1.3 * max(box[2] - box[0], box[3] - box[1])


def test_a_box_outside_the_frame_is_refused():
    with pytest.raises(ValueError, match="no square in a frame of 640 x 480"):
        face_square((900, 10, 990, 100), 640, 480)


def test_a_crop_is_the_square_resized_by_pillow():
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    face = Face((100, 100, 200, 180), 1.0)
    square = frame[75:205, 85:215]
    np.testing.assert_array_equal(crop_face(frame, face), square)
    small = Image.fromarray(square).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(crop_face(frame, face, size=64), np.asarray(small))
    whole = crop_face(frame, face)
    whole[:] = 0
    assert frame[75:205, 85:215].any()


@pytest.mark.parametrize("n_points", [5, 68])
@pytest.mark.parametrize("degrees", [-30, 0, 20])
def test_an_aligned_crop_has_the_eyes_level(n_points, degrees):
    middle = np.array([320, 240])
    angle = np.deg2rad(degrees)
    along = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-along[1], along[0]])
    left_eye, right_eye = (middle + s * 40 * along - 20 * down for s in (-1, 1))
    if n_points == 5:
        corners = [right_eye + 9 * along, right_eye - 9 * along]
        corners += [left_eye - 9 * along, left_eye + 9 * along]
        points = np.array([*corners, middle])
    else:
        points = np.tile(middle.astype(float), (68, 1))
        around = [s * 8 * along + t * 4 * down for s in (-1, 0, 1) for t in (-1, 1)]
        points[36:42] = left_eye + around
        points[42:48] = right_eye + around
    frame = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(frame, np.rint(left_eye).astype(int).tolist(), 5, (255, 0, 0), -1)
    cv2.circle(frame, np.rint(right_eye).astype(int).tolist(), 5, (0, 255, 0), -1)
    face = Face((240, 160, 400, 320), 1.0, points)

    crop = crop_face(frame, face, margin=1.3, align=True)
    assert crop.shape[:2] == (208, 208)
    left, right = (np.argwhere(crop[..., c] > 128).mean(axis=0) for c in (0, 1))
    assert left[0] == pytest.approx(right[0], abs=1)
    assert right[1] - left[1] == pytest.approx(80, abs=1.5)
    # The middle of the box stays where it is: 20 px below the eyes.
    assert left == pytest.approx([104 - 20, 104 - 40], abs=2)


def test_aligning_without_landmarks_says_what_to_do():
    frame = np.zeros((480, 640, 3), np.uint8)
    with pytest.raises(ValueError, match=r"needs landmarks.*landmarks='5'"):
        crop_face(frame, Face((100, 100, 200, 180), 1.0), align=True)
