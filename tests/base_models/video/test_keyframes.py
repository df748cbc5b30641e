"""Frames moved to key frames near them: which, and what is decoded for them."""

import av
import numpy as np
import pytest
from PIL import Image
from test_seeking import KINDS, encode

from base_models import Store
from base_models.video import seeking
from base_models.video.reading import key_frames, sample_clips
from base_models.video.sampling import FrameChoice, KeyFrames, sample_indices
from base_models.views import ViewRecipe, make_views


def decoded_keys(path):
    with av.open(str(path)) as container:
        return [n for n, frame in enumerate(container.decode(video=0))
                if frame.key_frame]  # fmt: skip


@pytest.mark.parametrize("offset", [0, 1, 4])
@pytest.mark.parametrize("n_frames", [1, 2, 5, 16, 200, None])
@pytest.mark.parametrize("every", [1, 7, 50, 500])
def test_places_stay_apart_and_move_less_than_half_way(every, n_frames, offset):
    total = 157
    keys = KeyFrames(total, np.arange(0, total, every))
    found = FrameChoice(n_frames, "keyframes", offset).indices(total, keys)
    even = sample_indices(total, n_frames)
    assert len(found) == len(even)
    assert (np.diff(found) > 0).all()
    if not 1 < len(even) < total:
        np.testing.assert_array_equal(found, even)
        return
    half = np.diff(even).min() / 2
    assert (abs(found - even) < half).all()
    wanted = np.minimum(keys.places + offset, total - 1)
    near = abs(wanted[:, None] - even).min(axis=0) < half
    np.testing.assert_array_equal(np.isin(found, wanted)[near], True)
    np.testing.assert_array_equal(found[~near], even[~near])


def test_without_key_frames_that_are_sure_places_are_even(tmp_path):
    choice, even = FrameChoice(5, "keyframes"), sample_indices(90, 5)
    other = KeyFrames(91, np.arange(0, 91, 9))  # of as many frames as there are not
    for keys in (None, KeyFrames(90, np.zeros(0, int)), other):
        np.testing.assert_array_equal(choice.indices(90, keys), even)
    assert key_frames(np.zeros((5, 8, 8, 3), np.uint8)) is None
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    assert key_frames(tmp_path) is None


@pytest.mark.parametrize(
    "kind",
    [k if k in ("short GOP", "B-frames", "no times", "packed AVI", "hidden frames")
     else pytest.param(k, marks=pytest.mark.slow) for k in KINDS],
)  # fmt: skip
def test_they_are_the_key_frames_of_the_decoder(kind, tmp_path):
    suffix, codec, options, _ = KINDS[kind]
    path = encode(tmp_path / f"a.{suffix}", codec, options)
    keys = key_frames(path)
    if keys is not None and kind == "refresh":  # places of recovery are marked, too
        assert set(keys.places.tolist()) > set(decoded_keys(path))
    elif keys is not None and codec != "libvpx":
        assert keys.places.tolist() == decoded_keys(path)
    for length in (1, 3):
        quick, plain = (
            sample_clips(path, 4, length, seek=seek, sampling="keyframes")
            for seek in (True, False)
        )
        np.testing.assert_array_equal(quick.frames, plain.frames)
        np.testing.assert_array_equal(quick.indices, plain.indices)
        every = sample_clips(path, None, seek=False).frames
        np.testing.assert_array_equal(quick.frames, every[quick.numbers])


@pytest.mark.parametrize("length", [1, 3])
def test_nothing_but_key_frames_and_what_follows_them_is_decoded(
    tmp_path, length, monkeypatch
):
    path = encode(tmp_path / "a.mp4", "libx264", {"g": "25", "bf": "0"}, n=600)
    rows = []
    follow = seeking._Walk._next
    monkeypatch.setattr(
        seeking._Walk, "_next", lambda walk: rows.append(walk.row) or follow(walk)
    )
    sample = sample_clips(path, 4, length, sampling="keyframes")
    assert (sample.indices - length // 2).tolist() == [0, 200, 400, 575]
    assert len(rows) <= 4 * (length + 1)


def test_a_view_is_the_same_beside_clips_of_another_length(tmp_path):
    path = encode(tmp_path / "a.mp4", "libx264", {"g": "12"}, n=90)
    settings = {"image_size": 32, "n_frames": 4, "sampling": "keyframes"}
    recipes = [ViewRecipe("frame", clip_length=n, **settings) for n in (1, 3)]
    both = make_views(path, recipes, Store(tmp_path / "both"))
    for number, recipe in enumerate(recipes):
        alone = make_views(path, [recipe], Store(tmp_path / f"{number}"))[recipe.key]
        np.testing.assert_array_equal(alone.images, both[recipe.key].images)
        np.testing.assert_array_equal(alone.frames, both[recipe.key].frames)
    even = ViewRecipe("frame", image_size=32, n_frames=4)
    assert even.key != recipes[0].key
    shown = make_views(path, [even], Store(tmp_path / "both"))[even.key]
    assert shown.frames.tolist() == [0, 30, 59, 89]
    assert both[recipes[0].key].frames.tolist() == [0, 24, 60, 84]


def test_a_recipe_of_other_frames_is_refused():
    with pytest.raises(ValueError, match=r"sampling must be one of .*; got 'random'"):
        ViewRecipe("frame", image_size=32, sampling="random")
