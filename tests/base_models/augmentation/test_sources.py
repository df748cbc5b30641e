"""What is set in the place of a face: what must move or be lost, and what must not."""

import cv2
import numpy as np
import pytest
from skimage.data import lfw_subset

from base_models.augmentation import sources
from base_models.augmentation.regions import EYES, MOUTH, head_outline, skin_mask
from base_models.landmarks import image_landmarks

N_SEEDS = 8


@pytest.fixture(scope="module")
def face():
    """A real face of 112 px within 224 px, its landmarks and its width."""
    picture = (255 * lfw_subset()[3]).astype(np.uint8)
    large = cv2.resize(picture, (112, 112), interpolation=cv2.INTER_CUBIC)
    (points,) = image_landmarks([cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)], margin=1.0)
    large = cv2.copyMakeBorder(large, *4 * (56,), cv2.BORDER_REFLECT_101)
    image = np.float32(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB))
    return image, points + 56, np.ptp(points[:, 0])


def series(face, make, seed, n=24):
    image, points, width = face
    return np.stack(
        [
            make(image, points, width, np.random.default_rng(seed), time)
            for time in range(n)
        ]
    )


def change_around(frames, image, points):
    (left, top), (right, bottom) = points.min(0).astype(int), points.max(0).astype(int)
    part = np.s_[:, top : bottom + 1, left : right + 1]
    return np.abs(frames[part] - image[None][part]).mean((1, 2, 3))


@pytest.mark.slow
def test_mouth_and_eyes_drift_on_smoothly_and_out_of_step(face):
    image, points, _ = face
    in_step = []
    for seed in range(N_SEEDS):
        frames = series(face, sources.with_new_expression, seed)
        steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        far = np.abs(frames - frames[0]).mean((1, 2, 3))
        assert 0 < steps.max() < far.max()
        parts = [change_around(frames, image, points[list(p)]) for p in (MOUTH, EYES)]
        in_step.append(np.corrcoef(parts)[0, 1])
    assert np.median(in_step) < 0.9


def test_a_moved_head_drags_its_rim_along_and_leaves_the_rest(face):
    image, points, width = face
    inside = np.zeros(image.shape[:2], np.uint8)
    outline = cv2.convexHull(np.rint(head_outline(points)).astype(np.int32))
    cv2.fillConvexPoly(inside, outline, 1)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    rim, rest = (away > 0) & (away < 0.1 * width), away > 0.4 * width
    assert rest.mean() > 0.1
    for seed in range(N_SEEDS):
        frames = series(face, sources.with_moved_head, seed, n=6)
        changed = np.abs(frames - image)
        assert changed[:, rest].max() < 1
        assert changed[:, rim].mean() > 10 * changed[:, rest].mean()
        assert (np.abs(np.diff(frames, axis=0)).max((1, 2, 3)) > 0).all()


def test_transposed_convolutions_leave_one_pattern_in_all_frames():
    for seed in range(N_SEEDS):
        dark, light = (
            sources.transposed_convolutions(
                np.full((64, 64, 3), level, np.float32),
                1.0,
                np.random.default_rng(seed),
            )
            for level in (60, 120)
        )
        np.testing.assert_allclose(2 * dark, light, rtol=1e-4)  # a gain by place
        inner = light[8:-8, 8:-8]
        np.testing.assert_allclose(inner[4:, 4:], inner[:-4, :-4], rtol=1e-4)
        assert 0.05 < inner.std() < 12
        assert abs(inner[1:, 1:] - inner[:-1, :-1]).max() > 0.1  # a chequerboard


def test_transposed_convolutions_of_even_kernels_only_blur(face):
    image, _, _ = face

    class Even:
        def __init__(self):
            self._draw = np.random.default_rng(0)

        def __getattr__(self, name):
            return getattr(self._draw, name)

        def standard_normal(self, size):
            return np.zeros(size)

    back = sources.transposed_convolutions(image, 1.0, Even())
    assert abs(back.mean() - image.mean()) < 0.5
    lost = cv2.PSNR(np.uint8(np.clip(back, 0, 255)), np.uint8(image))
    assert 25 < lost < 50


def test_smooth_skin_loses_pores_and_keeps_eyes_and_mouth(face):
    image, points, width = face
    noise = np.random.default_rng(0).normal(0, 6, image.shape)
    grainy = np.float32(np.clip(image + noise, 0, 255))
    skin = skin_mask(image.shape[:2], points, width)
    assert 0.05 < (skin > 0.99).mean() < 0.25
    for seed in range(N_SEEDS):
        draw = np.random.default_rng(seed)
        smooth = sources.with_smooth_skin(grainy, points, width, draw)
        np.testing.assert_array_equal(smooth[skin == 0], grainy[skin == 0])
        fine = [x - cv2.GaussianBlur(x, (0, 0), 1) for x in (grainy, smooth)]
        before, after = (f[skin > 0.99].std() for f in fine)
        assert after < 0.8 * before
    for part in (EYES[:6], EYES[6:], MOUTH):
        x, y = points[list(part)].mean(0).astype(int)
        assert skin[y, x] < 0.05
