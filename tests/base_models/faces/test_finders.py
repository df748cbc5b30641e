"""Finding faces."""

import importlib.util
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from painted_people import CLIPS, FRAME, SHARED, box_at, needs_clips, overlap, scene
from sklearn.base import clone

from base_models import CheckpointError, clear_caches
from base_models.faces import (
    DlibFaceFinder,
    FaceFinder,
    HaarFaceFinder,
    NoFaceError,
    YuNetFaceFinder,
    crop_face,
    dlib_finder,
)
from base_models.video import sample_frames

YUNET = SHARED / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"
needs_yunet = pytest.mark.skipif(not YUNET.exists(), reason="no YuNet model beside us")
needs_models = pytest.mark.skipif(
    find_spec("face_recognition_models") is None,
    reason="face_recognition_models is not installed",
)


@pytest.mark.parametrize(
    "finder",
    [
        DlibFaceFinder(),
        DlibFaceFinder(max_side=None, upsample=1),
        pytest.param(DlibFaceFinder("cnn"), marks=needs_models),
        HaarFaceFinder(),
        pytest.param(YuNetFaceFinder(YUNET), marks=needs_yunet),
    ],
    ids=["hog", "ffpp", "cnn", "haar", "yunet"],
)
class TestEveryFinder:
    def test_finds_two_people_where_they_are(self, finder, people):
        frame = scene(240, 420, (people[0], 10, 20, 180), (people[1], 220, 30, 190))
        found = finder.find(frame)
        assert isinstance(finder, FaceFinder)
        assert len(found) == 2
        assert found[0].score >= found[1].score
        for truth in [box_at(45, 55, 110), box_at(258, 68, 114)]:
            assert max(overlap(face.box, truth) for face in found) > 0.4
        for face in found:
            assert all(type(edge) is int for edge in face.box)

    def test_a_blank_frame_has_no_face(self, finder, people):
        for level in (0, 128, 255):
            assert finder.find(np.full((90, 120, 3), level, np.uint8)) == []
        for size in [(1, 3), (13, 640), (640, 8)]:
            assert finder.find(np.zeros((*size, 3), np.uint8)) == []

    def test_smaller_faces_are_left_out(self, finder, people):
        frame = scene(220, 220, (people[0], 10, 10, 200))
        (face,) = finder.find(frame)
        side = max(face.box[2] - face.box[0], face.box[3] - face.box[1]) + 1
        assert clone(finder).set_params(min_face=side + 30).find(frame) == []

    def test_is_cloned_and_pickled_in_use(self, finder, people):
        frame = scene(220, 220, (people[0], 10, 10, 200))
        found = finder.find(frame)
        for copy in [clone(finder), pickle.loads(pickle.dumps(finder))]:
            assert copy.get_params() == finder.get_params()
            assert copy.find(frame) == found

    @pytest.mark.slow_after(1)
    def test_threads_do_not_disturb_each_other(self, finder, people):
        frames = [scene(220, 220, (people[i], 10, 10, 200)) for i in range(4)]
        expected = [finder.find(frame) for frame in frames]
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(finder.find, frames)) == expected

    @pytest.mark.parametrize(
        ("frame", "error"),
        [
            (np.zeros((90, 120)), TypeError),
            (np.zeros((90, 120), np.uint8), ValueError),
            ("frame.png", TypeError),
        ],
    )
    def test_what_is_no_frame_is_refused(self, finder, frame, error):
        with pytest.raises(error, match="a frame must be"):
            finder.find(frame)


HOG = dlib.get_frontal_face_detector()


def raw_dlib(frame):
    """Box and score as in FaceForensics++'s detect_from_video.py, from BGR."""
    gray = cv2.cvtColor(frame[:, :, ::-1].copy(), cv2.COLOR_BGR2GRAY)
    boxes, scores, _ = HOG.run(gray, 1, 0.0)
    assert list(boxes) == list(HOG(gray, 1))
    return [
        ((box.left(), box.top(), box.right(), box.bottom()), score)
        for box, score in zip(boxes, scores, strict=True)
    ]


def test_the_faceforensics_mode_is_raw_dlib(people):
    finder = DlibFaceFinder(max_side=None, upsample=1)
    sizes = [46, 90, 200]
    for side in sizes:
        frame = scene(260, 460, (people[0], 5, 5, side), (people[1], 230, 20, 200))
        found = [(face.box, face.score) for face in finder.find(frame)]
        assert found == raw_dlib(frame)
        assert found


@pytest.mark.slow
@needs_clips
def test_real_clips_boxes_are_raw_dlibs_and_the_quick_ones_near_them():
    overlaps = []
    for clip in CLIPS[:4]:
        frame = sample_frames(clip, 1)[0]
        exact = DlibFaceFinder(max_side=None, upsample=1).find(frame)
        assert [(face.box, face.score) for face in exact] == raw_dlib(frame)
        quick = DlibFaceFinder().find(frame)
        overlaps.append(overlap(exact[0].box, quick[0].box))
    assert np.mean(overlaps) > 0.85


class Recorder:
    """Stands in for dlib's detector and notes the images it gets."""

    def __init__(self, answer_at=np.inf):
        self.sides, self.answer_at = [], answer_at

    def run(self, gray, upsample, threshold):
        assert (gray.dtype, gray.ndim, threshold) == (np.uint8, 2, 0.0)
        self.sides.append(max(gray.shape) * 2**upsample)
        if self.sides[-1] >= self.answer_at:
            side = self.sides[-1] // 4
            return [dlib.rectangle(0, 0, side - 1, side - 1)], [0.5], [0]
        return [], [], []


@pytest.mark.parametrize("size", [(1080, 1920), (2160, 3840), (1280, 720), (256, 256)])
def test_images_handed_to_dlib_are_bounded(size, monkeypatch):
    frame = np.zeros((*size, 3), np.uint8)
    recorder = Recorder(answer_at=0)
    monkeypatch.setattr(dlib_finder.loaded, "get", lambda *_: recorder)
    (face,) = DlibFaceFinder().find(frame)
    assert len(recorder.sides) == 1
    assert 640 / 1.21 < recorder.sides[0] <= 640 or max(size) * 2 <= 640
    assert face.box[2] + 1 == pytest.approx(max(size) / 4, rel=0.02)

    recorder = Recorder()
    monkeypatch.setattr(dlib_finder.loaded, "get", lambda *_: recorder)
    assert DlibFaceFinder(upsample=2).find(frame) == []
    assert recorder.sides == sorted(recorder.sides)
    assert recorder.sides[-1] <= min(4 * 640, 80 / 36 * max(size))


def test_looking_again_at_larger_copies_finds_small_faces(people):
    frame = scene(1080, 1920, (people[0], 900, 500, 170))
    assert DlibFaceFinder(upsample=0).find(frame) == []
    (face,) = DlibFaceFinder().find(frame)
    assert overlap(face.box, box_at(935, 535, 100)) > 0.5
    (face,) = DlibFaceFinder().find(scene(96, 96, (people[0], 8, 8, 80)))
    assert 36 <= face.box[2] - face.box[0] <= 70


@needs_models
@pytest.mark.parametrize(("landmarks", "n_points"), [("5", 5), ("68", 68)])
def test_landmarks_lie_on_the_face_and_level_it(landmarks, n_points, people):
    finder = DlibFaceFinder(landmarks=landmarks)
    frame = scene(300, 300, (people[0], 50, 50, 200))
    turn = cv2.getRotationMatrix2D((150, 150), 15, 1)
    turned = cv2.warpAffine(frame, turn, (300, 300), borderValue=(110, 110, 110))

    def tilt(image):
        (face,) = finder.find(image)
        assert face.landmarks.shape == (n_points, 2)
        assert (np.abs(face.landmarks.mean(axis=0) - 150) < 40).all()
        (x, y), (x_right, y_right) = face.eyes
        assert 20 < x_right - x < 90
        return np.degrees(np.arctan2(y_right - y, x_right - x)), face

    upright, _ = tilt(frame)
    angle, face = tilt(turned)
    assert angle - upright == pytest.approx(-15, abs=4)
    level = crop_face(turned, face, margin=1.6, size=300, align=True)
    assert tilt(level)[0] == pytest.approx(0, abs=4)


@needs_yunet
def test_yunets_eyes_come_left_first_and_level_the_crop(people):
    frame = scene(300, 300, (people[0], 50, 50, 200))
    (face,) = YuNetFaceFinder(YUNET).find(frame)
    assert face.landmarks.shape == (5, 2)
    (x, y), (x_right, y_right) = face.eyes
    assert x_right - x > 30
    assert abs(y_right - y) < 15
    crop_face(frame, face, align=True)


@needs_models
def test_landmarks_may_be_a_file(people):
    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0])
    file = folder / "models" / "shape_predictor_5_face_landmarks.dat"
    frame = scene(300, 300, (people[0], 50, 50, 200))
    by_file, by_name = (
        DlibFaceFinder(landmarks=landmarks).find(frame)[0] for landmarks in (file, "5")
    )
    np.testing.assert_array_equal(by_file.landmarks, by_name.landmarks)


@pytest.mark.parametrize(
    ("finder", "error", "message"),
    [
        (DlibFaceFinder("hgo"), ValueError, "'hog' or 'cnn'; got 'hgo'"),
        (DlibFaceFinder(min_face=0), ValueError, "min_face must be at least 1; got 0"),
        (DlibFaceFinder(upsample=-1), ValueError, "upsample must be at least 0"),
        (DlibFaceFinder("cnn", model="x.dat"), FileNotFoundError, "at x.dat.*as model"),
        (HaarFaceFinder("x.xml"), FileNotFoundError, "x.xml; give the path of a"),
        (YuNetFaceFinder("x.onnx"), FileNotFoundError, "no YuNet model at x.onnx; get"),
    ],
)
def test_what_is_missing_or_senseless_is_named(finder, error, message):
    with pytest.raises(error, match=message):
        finder.find(FRAME)


def test_missing_packages_are_named(monkeypatch, people):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"mmod.* pip install face_recognition_models"
    ):
        DlibFaceFinder("cnn").find(FRAME)
    with pytest.raises(ImportError, match=r"shape_predictor_68.* as landmarks"):
        DlibFaceFinder(landmarks="68").find(scene(220, 220, (people[0], 10, 10, 200)))
    monkeypatch.delattr(cv2, "CascadeClassifier")
    clear_caches()
    with pytest.raises(
        ImportError, match="no Haar cascades; install 'opencv-python<5'"
    ):
        HaarFaceFinder().find(FRAME)


def test_the_error_survives_pickling():
    error = NoFaceError("a/clip_017.mp4", 64)
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, ValueError)
    assert (copy.video, copy.n_frames) == ("a/clip_017.mp4", 64)
    assert str(copy) == str(error)
    assert str(error) == (
        "no face found in a/clip_017.mp4 (64 frames tried); "
        "lower min_face or drop the video"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="no process is tried there")
def test_a_network_that_ends_opencvs_process_is_refused(tmp_path):
    """Two nodes in a circle, of a kind whose name is no text: OpenCV crashes."""
    one, other = b"\x0a\x01b\x12\x01a\x22\x01\xff", b"\x0a\x01a\x12\x01b\x22\x01\xff"
    graph = b"\x0a\x09" + one + b"\x0a\x09" + other + b"\x12\x01g"
    path = tmp_path / "circle.onnx"
    path.write_bytes(b"\x08\x08\x3a\x19" + graph + b"\x42\x02\x10\x0d")
    with pytest.raises(CheckpointError, match=r"circle\.onnx ends the process that"):
        YuNetFaceFinder(path).find(np.full((96, 96, 3), 90, np.uint8))
