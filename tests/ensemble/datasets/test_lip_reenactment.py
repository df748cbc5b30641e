"""Lip reenactment: what moves, how far, what stays; and each method on one film."""

import cv2
import numpy as np
import pytest

from base_models.faces import DlibFaceFinder
from base_models.video import sample_frames
from ensemble.datasets import forge_dataset
from ensemble.datasets.forge.camera import Portrait, follow_landmarks, paint_portrait
from ensemble.datasets.forge.lip_reenactment import (
    LipStyle,
    followed_opening,
    mouth_opening,
    moved_lips,
    reenact_lips,
)
from ensemble.datasets.forge.methods import METHOD, Film, changed_region

pytest.importorskip("skimage", reason="the bundled faces are scikit-image's")

STYLE = LipStyle(gain=1.0, resolution=1.0, feather=0.03, grain=0.0)
LIPS = range(48, 68)


@pytest.fixture(scope="module")
def films():
    """Four frames of each of two bundled faces."""
    from skimage.data import lfw_subset

    made = []
    for number in (3, 11):
        rng = np.random.default_rng(number)
        scene = paint_portrait(lfw_subset()[number], 192, rng)
        [face] = DlibFaceFinder(landmarks="68").find(np.uint8(scene))
        made.append(Film(*Portrait(scene, face.landmarks, 192).film(4, rng), 25))
    return made


def lower_face(shape, landmarks):
    """Between nose and jaw, and two pixels around."""
    hull = cv2.convexHull(np.float32(landmarks[[*range(2, 15), *range(31, 36)]]))
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 1)
    return cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0


# Landmarks


@pytest.mark.parametrize("asked", [0.0, 0.05, 0.2, 0.3])
def test_lips_open_as_far_as_asked_and_nothing_else_moves(films, asked):
    landmarks = films[0].landmarks[0]
    moved = moved_lips(landmarks, asked)
    assert float(mouth_opening(moved)) == pytest.approx(asked, abs=0.03)
    others = [point for point in range(68) if point not in LIPS]
    np.testing.assert_array_equal(moved[others], landmarks[others])


def test_the_lower_lip_stays_clear_of_the_chin(films):
    landmarks = films[0].landmarks[0]
    moved = moved_lips(landmarks, 5.0)
    before, after = (np.linalg.norm(at[8] - at[57]) for at in (landmarks, moved))
    assert after > 0.45 * before


def test_lips_that_close_do_not_cross(films):
    landmarks = moved_lips(films[0].landmarks[0], 0.3)
    closed = moved_lips(landmarks, 0.0)
    down = landmarks[8] - landmarks[27]
    gaps = (closed[[67, 66, 65]] - closed[[61, 62, 63]]) @ down
    assert np.abs(gaps).max() / np.linalg.norm(down) < 0.02 * np.ptp(landmarks[:, 0])


def test_the_opening_follows_the_drivers_from_a_closed_mouth():
    driver = np.array([0.02, 0.12, 0.22, 0.12, 0.02] * 3)
    target = np.full(15, 0.05)
    opening = followed_opening(target, driver, STYLE, 25, None)
    np.testing.assert_allclose(opening, driver + 0.03, atol=1e-9)


def test_a_driver_whose_lips_are_still_gets_syllables():
    still = np.full(50, 0.1)
    opening = followed_opening(still, still, STYLE, 25, np.random.default_rng(0))
    assert np.ptp(opening) > 0.05
    assert opening.max() < 0.4
    crossings = np.diff(np.sign(opening - opening.mean()))
    assert 6 <= np.count_nonzero(crossings) <= 30  # 3 to 5 a second in 2 seconds


# Pixels


def test_a_dlib_finder_sees_the_mouth_open(films):
    film = films[0]
    seen = []
    for opening in (0.05, 0.3):
        frames = [
            reenact_lips(frame, points, opening, STYLE, np.random.default_rng(0))
            for frame, points in zip(film.frames, film.landmarks, strict=True)
        ]
        found = follow_landmarks(np.stack(frames), "forged")
        seen.append(mouth_opening(found).mean())
        drift = np.linalg.norm(found - film.landmarks, axis=-1)[:, 17:48]
        assert np.median(drift) < 0.03 * np.ptp(film.landmarks[..., 0])
    assert seen[1] - seen[0] > 0.1


def test_nothing_changes_outside_the_lower_face(films):
    film = films[1]
    rng = np.random.default_rng(0)
    for frame, landmarks in zip(film.frames, film.landmarks, strict=True):
        forged = reenact_lips(frame, landmarks, 0.25, STYLE, rng)
        changed = (forged != frame).any(axis=-1)
        assert changed.any()
        assert not changed[~lower_face(changed.shape, landmarks)].any()


def test_a_face_out_of_sight_leaves_the_frame_as_it_is(films):
    frame, landmarks = films[0].frames[0], films[0].landmarks[0] + 500
    forged = reenact_lips(frame, landmarks, 0.3, STYLE, np.random.default_rng(0))
    np.testing.assert_array_equal(forged, frame)


@pytest.mark.parametrize("method", METHOD)
def test_each_method_changes_the_face_alone_the_same_way_for_a_seed(films, method):
    target, source = films
    _, forge = METHOD[method]
    fake, parameters = forge(target, source, np.random.default_rng(5))
    again, _ = forge(target, source, np.random.default_rng(5))
    np.testing.assert_array_equal(fake, again)
    assert fake.shape == target.frames.shape
    assert fake.dtype == np.uint8
    assert parameters
    left, top = target.landmarks.min((0, 1)) - 40
    right, bottom = target.landmarks.max((0, 1)) + 40
    rows, columns = np.nonzero(changed_region(fake, target.frames).any(axis=0))
    assert left < columns.min()
    assert columns.max() < right
    assert top < rows.min()
    assert rows.max() < bottom


def test_a_mask_holds_all_that_changed_and_no_holes():
    real = np.zeros((2, 40, 40, 3), np.uint8)
    fake = real.copy()
    fake[0, 10:20, 10:30] = 7
    fake[0, 14, 14] = 0  # happens to be as before
    fake[1, 30, 5, 2] = 1
    expected = np.zeros((2, 40, 40), np.uint8)
    expected[0, 10:20, 10:30] = 255
    expected[1, 30, 5] = 255
    np.testing.assert_array_equal(changed_region(fake, real), expected)


@pytest.mark.slow
def test_recorded_people_speak_as_their_partners_do(tmp_path, shared):
    names = ("lp_d12", "styleheat_video", "vretalk_1", "latentsync_1")
    clips = [shared / f"data/clips/real/{name}_real.mp4" for name in names]
    table = forge_dataset(
        clips, tmp_path, n_frames=24, size=256, compression="raw", n_jobs=2
    ).table.set_index("video_id")
    assert table["label"].value_counts().to_dict() == {1: 16, 0: 4}
    for name in ("000_001", "001_000", "002_003", "003_002"):
        films = {
            key: sample_frames(tmp_path / path)
            for key, path in {
                "target": f"original_sequences/youtube/raw/videos/{name[:3]}.mp4",
                "driver": f"original_sequences/youtube/raw/videos/{name[4:]}.mp4",
                "fake": f"manipulated_sequences/LipReenactment/raw/videos/{name}.mp4",
                "mask": f"manipulated_sequences/LipReenactment/masks/videos/{name}.mp4",
            }.items()
        }
        outside = films.pop("mask")[..., 0] < 128
        difference = np.abs(films["fake"].astype(int) - films["target"]).mean(-1)
        assert difference[outside].mean() < 1
        opening = {
            key: mouth_opening(follow_landmarks(frames, key))
            for key, frames in films.items()
        }
        with_driver = np.corrcoef(opening["fake"], opening["driver"])[0, 1]
        before = np.corrcoef(opening["target"], opening["driver"])[0, 1]
        assert with_driver > before + 0.1 or with_driver > 0.8, name
