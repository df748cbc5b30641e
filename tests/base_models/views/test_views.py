import time

import numpy as np
import pytest
from PIL import Image

from base_models.faces import Face, rare_faces
from base_models.runtime.prefetch import look_ahead
from base_models.store import Store, store_key
from base_models.video.paths import video_digest
from base_models.views import (
    ViewRecipe,
    Views,
    followed_boxes,
    iter_views,
    make_views,
    making as views_module,
)


class BrightSquares:
    """Finds every pure channel-bright square: a stand-in for a face finder."""

    def find(self, frame):
        faces = []
        for channel in range(3):
            rows, columns = np.nonzero(frame[:, :, channel] > 250)
            if len(rows):
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                faces.append(Face(tuple(int(side) for side in box), 1.0))
        return faces


def _clip(squares, n_frames=8, size=(60, 80)):
    """Frames with squares: (channel, left, top, side), moving right by one a frame."""
    clip = np.full((n_frames, *size, 3), 30, np.uint8)
    for t in range(n_frames):
        for channel, left, top, side in squares:
            clip[t, top : top + side, left + t : left + t + side, channel] = 255
    return clip


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_whole_frame_is_squeezed_the_pil_way(store):
    video = np.random.default_rng(0).integers(0, 256, (5, 50, 70, 3), np.uint8)
    recipe = ViewRecipe("frame", image_size=32, n_frames=3)
    view = make_views(video, [recipe], store)[recipe.key]
    assert view.frames.tolist() == [0, 2, 4]
    for image, at in zip(view.images, view.frames, strict=True):
        expected = Image.fromarray(video[at]).resize((32, 32), Image.BILINEAR)
        np.testing.assert_array_equal(image, np.asarray(expected))


def test_a_face_crop_shows_the_face_and_its_margin(store):
    recipe = ViewRecipe("face", image_size=26, n_frames=4, finder=BrightSquares())
    view = make_views(_clip([(0, 20, 20, 20)]), [recipe], store)[recipe.key]
    assert view.images.shape == (4, 26, 26, 3)
    assert view.faces.tolist() == [0] * 4
    red = view.images[:, :, :, 0] > 200
    # 20 px of face in a crop of 1.3 x 19 (right - left) = 24 px
    np.testing.assert_allclose(red.mean((1, 2)), (20 / 24) ** 2, atol=0.08)


def test_the_largest_face_is_followed_or_all_are(store):
    video = _clip([(0, 5, 5, 12), (1, 30, 25, 24)])
    largest = ViewRecipe("face", image_size=24, n_frames=4, finder=BrightSquares())
    every = ViewRecipe(
        "face", image_size=24, n_frames=4, faces="all", finder=BrightSquares()
    )
    views = make_views(video, [largest, every], store)
    assert (views[largest.key].images[:, 12, 12, 1] > 250).all()
    assert sorted(views[every.key].faces.tolist()) == [0] * 4 + [1] * 4
    assert len(views[every.key].images) == 8


def test_a_video_is_opened_once_and_its_faces_are_found_once(store, monkeypatch):
    calls = {"opened": 0, "followed": 0}

    def counting(name, function):
        def wrapper(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return wrapper

    for name, module, function in (
        ("opened", views_module, "sample_clips"),
        ("followed", rare_faces, "follow_faces"),
    ):
        original = getattr(module, function)
        monkeypatch.setattr(module, function, counting(name, original))
    recipes = [
        ViewRecipe(view, image_size=size, n_frames=4, finder=BrightSquares())
        for view in ("frame", "face")
        for size in (16, 24)
    ]
    video = _clip([(0, 20, 20, 20)])
    first = make_views(video, recipes, store)
    again = make_views(video, recipes, store)
    assert calls == {"opened": 1, "followed": 1}
    for key, view in first.items():
        np.testing.assert_array_equal(view.images, again[key].images)
        assert view.key == again[key].key


def test_no_face_is_a_reason_and_is_remembered(store, monkeypatch):
    face = ViewRecipe("face", image_size=16, n_frames=4, finder=BrightSquares())
    frame = ViewRecipe("frame", image_size=16, n_frames=4)
    video = _clip([])
    views = make_views(video, [face, frame], store)
    assert views[face.key].reason == "no face found (8 frames tried)"  # all it has
    assert views[face.key].images.shape == (0, 16, 16, 3)
    assert not views[frame.key].reason  # the whole frame still serves
    monkeypatch.setattr(rare_faces, "follow_faces", None)
    assert make_views(video, [face], store)[face.key].reason


def test_an_unreadable_file_is_a_reason_for_every_view(store, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"not a video")
    recipes = [ViewRecipe("frame", 16), ViewRecipe("face", 16, finder=BrightSquares())]
    views = make_views(path, recipes, store)
    assert all(view.reason for view in views.values())
    views = make_views(tmp_path / "absent.mp4", recipes, store)
    assert all("no such file" in view.reason.lower() for view in views.values())


def test_ready_made_crops_need_no_finder(store, monkeypatch):
    monkeypatch.setattr(rare_faces, "follow_faces", None)
    recipe = ViewRecipe("crop", image_size=16, n_frames=2)
    view = make_views(_clip([]), [recipe], store)[recipe.key]
    assert view.images.shape == (2, 16, 16, 3)


def test_recipes_that_give_the_same_pixels_share_a_key():
    assert ViewRecipe("frame", 64).key == ViewRecipe("frame", 64, margin=2.0).key
    assert ViewRecipe("face", 64).key != ViewRecipe("face", 64, margin=2.0).key
    assert ViewRecipe("face", 64).key == ViewRecipe("face", 64).key
    other = ViewRecipe("face", 64, finder=BrightSquares())
    assert other.key != ViewRecipe("face", 64).key
    assert other.key == ViewRecipe("face", 64, finder=BrightSquares()).key


def test_views_live_on_disk_and_come_back_when_deleted(store):
    videos = [_clip([(0, 20, 20, side)]) for side in (12, 16, 20)]
    recipe = ViewRecipe("frame", image_size=16, n_frames=4)
    views = Views(videos, recipe, store, memory=1)  # keeps only the last in memory
    expected = [view.images.copy() for view in views]
    for key in views.keys:
        store.delete("view", key)
    for view, images in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view.images, images)
    assert views.n_images == [4, 4, 4]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"view": "head"}, ValueError, "view must be one of"),
        ({"faces": "both"}, ValueError, "'largest', 'all' or 'first'; got 'both'"),
        ({"n_frames": 0}, ValueError, "n_frames must be"),
        ({"finder": "hog"}, TypeError, "finder must have find.*got str"),
    ],
)
def test_bad_recipes_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        ViewRecipe(**{"view": "face", "image_size": 64, **wrong})


class TwoFaces:
    """Sees nothing in dark frames; of two faces it is surer of the right one."""

    def find(self, frame):
        if frame.mean() < 50:
            return []
        return [Face((40, 8, 59, 27), 0.9), Face((2, 8, 31, 37), 0.5)]


def test_the_surest_face_of_each_frame_is_taken(tmp_path):
    video = np.full((4, 48, 64, 3), 90, np.uint8)
    video[:, :, 36:] = 200
    video[2] = 0
    recipe = ViewRecipe("face", 16, n_frames=4, faces="first", finder=TwoFaces())
    view = make_views(video, [recipe], Store(tmp_path))[recipe.key]
    assert view.frames.tolist() == [0, 1, 3]
    assert (view.images[:, 8, 8] == 200).all()


def test_views_made_ahead_are_those_made_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (6, 40, 40, 3), np.uint8) for _ in range(7)]
    videos.insert(3, tmp_path / "missing.mp4")
    recipe = ViewRecipe("frame", image_size=16, n_frames=3)
    ahead = list(iter_views(videos, [recipe], Store(tmp_path / "ahead")))
    for video, made in zip(videos, ahead, strict=True):
        alone = make_views(video, [recipe], Store(tmp_path / "alone"))[recipe.key]
        assert made[recipe.key].images.tobytes() == alone.images.tobytes()
        assert made[recipe.key].reason == alone.reason


def test_what_is_stored_comes_without_threads(store, monkeypatch):
    videos = [np.full((6, 40, 40, 3), shade, np.uint8) for shade in range(5)]
    recipe = ViewRecipe("frame", image_size=16, n_frames=3)
    for video in videos[:3]:
        make_views(video, [recipe], store)
    ahead = []

    def counting(make, things, *args, **kwargs):
        ahead.extend(things)
        yield from look_ahead(make, things, *args, **kwargs)

    monkeypatch.setattr(views_module, "look_ahead", counting)
    for n_made in (2, 0):
        ahead.clear()
        views = list(iter_views(videos, [recipe], store))
        assert [v[recipe.key].images.max() for v in views] == [0, 1, 2, 3, 4]
        assert len(ahead) == n_made


class Unsafe:
    """A finder that breaks when two threads ask it at a time."""

    asking = False

    def find(self, frame):
        assert not Unsafe.asking
        Unsafe.asking = True
        time.sleep(0.002)
        Unsafe.asking = False
        return [Face((4, 4, 30, 30), 1.0)]


def test_a_finder_of_unknown_kind_is_asked_by_one_thread_at_a_time(tmp_path):
    videos = [np.full((4, 40, 40, 3), shade, np.uint8) for shade in range(8)]
    recipe = ViewRecipe("face", image_size=16, n_frames=4, finder=Unsafe())
    for made in iter_views(videos, [recipe], Store(tmp_path)):
        assert len(made[recipe.key].images) == 4


def test_a_clip_is_the_frames_around_a_sampled_one_cut_by_one_square(store):
    clip = ViewRecipe("face", 26, n_frames=3, finder=BrightSquares(), clip_length=3)
    still = ViewRecipe("face", 26, n_frames=3, finder=BrightSquares())
    assert clip.image_shape == (3, 26, 26, 3)
    views = make_views(_clip([(0, 20, 20, 20)]), [clip, still], store)
    clips, stills = views[clip.key], views[still.key]
    assert clips.frames.tolist() == stills.frames.tolist() == [0, 4, 7]
    # the same squares: of the first and the last frame it is not the middle one
    for place, at in enumerate((0, 1, 2)):
        np.testing.assert_array_equal(clips.images[place, at], stills.images[place])
    np.testing.assert_array_equal(clips.stills, clips.images[:, 1])
    np.testing.assert_array_equal(stills.stills, stills.images)
    # the square stays where it is while the face moves on by a pixel of 24 in 26
    left = [(frame[13, :, 0] > 128).argmax() for frame in clips.images[1]]
    assert left[0] < left[1] < left[2] <= left[0] + 3


def test_stills_are_stored_as_they_were_before_there_were_clips():
    recipe = ViewRecipe("frame", 32, n_frames=4)
    assert recipe.key == ViewRecipe("frame", 32, n_frames=4, clip_length=1).key
    assert recipe.key != ViewRecipe("frame", 32, n_frames=4, clip_length=3).key


def test_clips_with_a_repeated_frame_are_left_out(store):
    video = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
    video[8] = video[7]
    recipe = ViewRecipe("frame", 32, n_frames=16, clip_length=3)
    view = make_views(video, [recipe], store)[recipe.key]
    assert view.frames.tolist() == [n for n in range(16) if n not in (7, 8)]
    np.testing.assert_array_equal(view.images[4], video[3:6])


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        (np.zeros((9, 32, 32, 3), np.uint8), "nothing moves in it"),
        (np.zeros((2, 32, 32, 3), np.uint8), "2 frames, and it takes 3 in a row"),
    ],
)
def test_a_video_without_clips_has_a_reason_and_keeps_its_stills(store, video, reason):
    clip, still = (ViewRecipe("frame", 16, 4, clip_length=n) for n in (3, 1))
    views = make_views(video, [clip, still], store)
    assert reason in views[clip.key].reason
    assert views[clip.key].images.shape == (0, 3, 16, 16, 3)
    assert not views[still.key].reason


def test_each_followed_face_has_clips_of_its_own(store):
    video = _clip([(0, 10, 20, 20), (2, 40, 20, 16)])
    recipe = ViewRecipe(
        "face", 20, n_frames=4, faces="all", finder=BrightSquares(), clip_length=3
    )
    view = make_views(video, [recipe], store)[recipe.key]
    assert view.faces.tolist() == [0] * 4 + [1] * 4
    assert view.images.shape == (8, 3, 20, 20, 3)


def test_faces_are_told_of_where_the_store_keeps_nothing(tmp_path):
    (tmp_path / "file").touch()
    nowhere = Store(tmp_path / "file" / "store")  # below a file no folder can be made
    recipe = ViewRecipe("face", image_size=24, n_frames=4, finder=BrightSquares())
    ((frames, boxes),) = followed_boxes(_clip([(0, 20, 20, 20)]), recipe, nowhere)
    assert frames.tolist() == [0, 2, 5, 7]
    assert boxes[:, 0].tolist() == [20, 22, 25, 27]  # it moves right by one a frame
    assert nowhere.keys("faces") == []


@pytest.mark.parametrize("kind", ["frame", "face"])
def test_what_is_replaced_while_it_is_looked_at_is_not_kept(
    kind, tmp_path, monkeypatch
):
    for shade in (0, 255):  # folders of frames
        (tmp_path / f"{shade}").mkdir()
        for number in range(4):
            frame = np.full((40, 40, 3), shade, np.uint8)
            Image.fromarray(frame).save(tmp_path / f"{shade}" / f"{number}.png")
    video, plain = tmp_path / "0", views_module.sample_clips

    def replacing(*given, **more):
        (tmp_path / "255" / "3.png").replace(video / "3.png")
        return plain(*given, **more)

    store = Store(tmp_path / "store")
    recipe = ViewRecipe(kind, image_size=32, n_frames=4, finder=BrightSquares())
    monkeypatch.setattr(views_module, "sample_clips", replacing)
    view = make_views(video, [recipe], store)[recipe.key]
    assert "it was replaced while it was looked at" in view.reason
    assert not any(store.keys(each) for each in ("view", "faces"))
    monkeypatch.setattr(views_module, "sample_clips", plain)
    view = make_views(video, [recipe], store)[recipe.key]
    assert view.images.max() == 255


def test_views_of_before_files_were_held_are_made_anew(store):
    """They may be of what a file was not, and features of a network that lied."""
    recipe, video = ViewRecipe("frame", image_size=32, n_frames=2), _clip([])
    view = make_views(video, [recipe], store)[recipe.key]
    before = store_key(video=video_digest(video), recipe=recipe.key)
    assert view.key != before
    arrays = {"images": view.images + 9, "frames": view.frames, "faces": view.faces}
    store.put("view", before, arrays, {"reason": "", "note": ""})
    store.delete("view", view.key)
    again = make_views(video, [recipe], store)[recipe.key]
    assert np.array_equal(again.images, view.images)
