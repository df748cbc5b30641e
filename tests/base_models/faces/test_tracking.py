"""Following faces from frame to frame."""

import numpy as np
import pytest
from painted_people import CLIPS, FRAME, box_at, needs_clips, overlap, scene

from base_models.face_tracks import FaceTrack, follow_faces, largest_track
from base_models.faces import (
    DlibFaceFinder,
    Face,
)
from base_models.video import sample_frames


class Scripted:
    """A finder that gives the boxes it was told, frame by frame."""

    def __init__(self, script):
        self.script = iter(script)

    def find(self, frame):
        return [
            box if isinstance(box, Face) else Face(tuple(box), 1.0)
            for box in next(self.script)
        ]


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
