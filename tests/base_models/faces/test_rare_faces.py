"""Faces that few frames show: looked for further, within bounds, and said."""

import numpy as np
import pytest

from base_models import Store, TorchDetector, score_videos, write_video
from base_models.faces import Face
from base_models.faces.rare_faces import NO_FACE
from base_models.scoring.per_face import look_closely
from base_models.video import sample_indices
from base_models.views import ViewRecipe, make_views
from base_models.views.making import stored_face
from ensemble import DeepfakeEnsemble


class BlueSquare:
    """Finds the blue square, and counts the frames that it looked at."""

    looked = 0

    def find(self, frame):
        type(self).looked += 1
        rows, columns = np.nonzero(frame[..., 2] > 150)
        if len(rows) < 100:
            return []
        box = (columns.min(), rows.min(), columns.max(), rows.max())
        return [Face(tuple(map(int, box)), 1.0)]

    def __getstate__(self):
        return {}


def video(shown=(), n_frames=200):
    """Grey frames, in some of which there is a blue square, redder in later ones."""
    frames = np.full((n_frames, 48, 64, 3), 40, np.uint8)
    for index in shown:
        frames[index, 10:34, 20:44] = (100 + index // 10, 20, 220)
    return frames


def recipe(**params):
    return ViewRecipe(
        "face", image_size=16, **{"n_frames": 8, "finder": BlueSquare()} | params
    )


def view_of(clip, store, **params):
    wanted = recipe(**params)
    return make_views(clip, [wanted], store)[wanted.key]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_face_between_the_sampled_frames_is_found_and_sampled_there(store):
    shown = range(90, 110)
    assert not set(shown) & set(sample_indices(200, 8).tolist())
    view = view_of(video(shown), store)
    assert set(view.frames.tolist()) <= set(shown)
    assert len(view.frames) >= 3
    assert view.reason == ""
    assert view.note.startswith("face found in 1 of ")
    red = view.images[:, 8, 8, 0].astype(int)  # it is the square of these very frames
    np.testing.assert_array_equal(red, 100 + view.frames // 10)
    again = view_of(video(shown), store)
    assert again.note == view.note
    np.testing.assert_array_equal(again.images, view.images)


@pytest.mark.parametrize("faces", ["largest", "all", "first"])
def test_it_is_so_whichever_face_is_taken(store, faces):
    assert len(view_of(video(range(90, 110)), store, faces=faces).frames) >= 3


def test_clips_are_cut_about_the_frames_with_the_face(store):
    view = view_of(video(range(90, 110)), store, clip_length=3)
    assert view.images.shape[1:] == (3, 16, 16, 3)
    assert set(view.frames.tolist()) <= set(range(90, 110))


def test_the_search_for_a_face_has_a_bound_and_says_how_far_it_went(store):
    BlueSquare.looked = 0
    view = view_of(video(), store)
    assert BlueSquare.looked <= 8 + 4 * 8
    assert view.reason == f"{NO_FACE} ({BlueSquare.looked} frames tried)"
    assert view.note == ""


def test_nothing_changes_where_one_sampled_frame_has_a_face(store):
    sampled = sample_indices(200, 8)
    BlueSquare.looked = 0
    view = view_of(video(sampled[3:4]), store)
    assert view.frames.tolist() == [sampled[3]]
    assert view.note == ""
    assert BlueSquare.looked == 8


@pytest.mark.parametrize(("n_frames", "total"), [(1, 30), (4, 5), (16, 12), (1, 1)])
def test_short_videos_and_single_frames_are_searched_whole_at_most(
    store, n_frames, total
):
    view = view_of(video([total // 3], total), store, n_frames=n_frames)
    assert len(view.frames) in (0, 1)
    empty = view_of(video([], total), store, n_frames=n_frames)
    tried = int(empty.reason.split("(")[1].split()[0])
    assert tried <= min(total, 5 * n_frames)


def test_a_file_gives_what_its_frames_give(store, tmp_path):
    path = write_video(tmp_path / "clip.mp4", video(range(90, 110)), crf=5)
    view = view_of(path, store)
    assert view.frames.tolist() == view_of(video(range(90, 110)), store).frames.tolist()


def test_what_an_older_version_gave_up_on_is_looked_at_again(store):
    clip, wanted = video(range(90, 110)), recipe()
    key = view_of(clip, store).key
    nothing = view_of(video(), store)
    arrays = {"images": nothing.images, "frames": nothing.frames}
    arrays["faces"] = nothing.faces
    store.put("view", key, arrays, {"reason": f"{NO_FACE} (8 frames tried)"})
    assert len(make_views(clip, [wanted], store)[wanted.key].frames) >= 3


def test_training_and_scoring_see_the_same_and_the_score_says_it(store):
    from torch import nn

    class Red(nn.Module):
        def forward(self, images):
            return 2 * images[:, 0].mean(dim=(1, 2))

    detector = TorchDetector(
        Red(), view="face", train="none", image_size=16, n_frames=8,
        finder=BlueSquare(), n_threads=1, store=store,
    )  # fmt: skip
    rare = video(range(90, 110))
    detector.fit([rare, video(range(200))], [0, 1])
    assert detector.unscorable_ == {}
    scores, reasons = score_videos(
        [detector], [rare, video(range(200)), video()], store
    )
    assert np.isnan(scores[:, 0]).tolist() == [False, False, True]
    assert "face found in 1 of" in reasons[0, 0]
    assert reasons[1, 0] == ""
    assert NO_FACE in reasons[2, 0]
    model = DeepfakeEnsemble([("red", detector)], strategy="voting", resampling=2)
    model.set_params(store=store, verbose=False)
    whole = [video(range(n, 200)) for n in range(4)]
    model.fit([*whole, rare], [0, 0, 1, 1, 0], groups=range(5))
    judged = model.judge([rare, whole[0]])
    assert judged["status"].tolist() == ["scored", "scored"]
    assert "face found in 1 of" in judged["reason"].iloc[0]
    assert "face" not in judged["reason"].iloc[1]
    look = look_closely([("red", detector)], rare, store)
    assert len(look.faces) == 1
    assert look.scores["red"][0] == pytest.approx(scores[0, 0])


class Always:
    """Finds one face in each frame, and keeps no count that would change its key."""

    def find(self, frame):
        return [Face((20, 10, 43, 33), 1.0)]


@pytest.mark.parametrize("clip_length", [1, 3])
def test_a_face_is_not_rare_where_it_stands_still(store, clip_length):
    clip = np.repeat(video([0], n_frames=1), 200, axis=0)
    for index, shade in ((113, 0), (114, 100), (115, 200)):  # about a sampled frame
        clip[index, 16:26, 26:36] = shade
    wanted = recipe(finder=Always(), clip_length=clip_length)
    view = make_views(clip, [wanted], store)[wanted.key]
    assert len(view.frames) == {1: 8, 3: 1}[clip_length]
    side, rarely = stored_face(clip, [wanted], store, len(clip))
    assert (side, rarely) == (24.0, "")


class Two:
    """Finds two faces; of the second, which few frames show, it is less sure."""

    def __init__(self, side, seen=2):
        self.side, self.seen = side, seen

    def find(self, frame):
        found = [Face((2, 10, 25, 33), 1.0)]
        if frame[0, 0, 0] < self.seen:
            found.append(Face((34, 10, 33 + self.side, 9 + self.side), 0.05))
        return found


@pytest.mark.parametrize(
    ("side", "seen", "said"),
    [
        (24, 2, "a face of like size, seen in 2 of 8 frames alone, was not scored"),
        (12, 1, "a face of like size, seen in 1 of 8 frames alone, was not scored"),
        (11, 2, ""),  # under half as wide: who passes by far away
        (24, 0, ""),
    ],
)
def test_a_face_of_like_size_that_is_too_weak_to_follow_is_told(
    store, side, seen, said
):
    clip = np.zeros((8, 48, 64, 3), np.uint8)
    clip[:, 0, 0, 0] = range(8)
    wanted = recipe(finder=Two(side, seen))
    make_views(clip, [wanted], store)
    assert stored_face(clip, [wanted], store, len(clip)) == (24.0, said)


def test_a_face_in_one_of_four_frames_is_seen_rarely(store):
    wanted = recipe(n_frames=4)
    shown = sample_indices(200, 4)[:1]
    make_views(clip := video(shown), [wanted], store)
    _, rarely = stored_face(clip, [wanted], store, len(clip))
    assert rarely == "a face is seen in 1 of 4 frames alone"
