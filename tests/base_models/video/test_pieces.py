"""GIF, animated PNG and Ogg: cut, damaged or with pages gone, and whole."""

import av
import numpy as np
import pytest
from little_videos import counting_frames, encode
from PIL import Image

from base_models.video import probe_video, write_video
from base_models.video.bounds.pieces import pieces_missing

NOISE = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)


def animated(path):
    """Write pictures of noise, so that each takes as many bytes."""
    first, *others = map(Image.fromarray, NOISE)
    first.save(path, save_all=True, append_images=others, duration=40)
    return path


def ogg(path):
    with av.open(str(path), "w", format="ogg") as made:
        stream = made.add_stream("libvpx", rate=25, options={"b": "4M"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in np.concatenate([NOISE] * 3):
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode(None))
    return path


MAKE = {"a.gif": animated, "a.png": animated, "a.apng": animated, "a.ogv": ogg}


@pytest.fixture(params=MAKE)
def whole(request, tmp_path):
    name = request.param
    if name == "a.apng":  # Pillow knows it as PNG
        return animated(tmp_path / "b.png").rename(tmp_path / name)
    return MAKE[name](tmp_path / name)


def test_whole_files_are_no_doubt(whole):
    assert probe_video(whole).cut_short == ""


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_is_cut_short_is_told(whole, share):
    content = whole.read_bytes()
    whole.write_bytes(content[: int(share * len(content))])
    assert probe_video(whole).cut_short.startswith("it is not whole: its ")


def test_damage_in_the_middle_is_told(whole):
    content = whole.read_bytes()
    at, n = len(content) // 2, len(content) // 5
    whole.write_bytes(content[:at] + bytes(n) + content[at + n :])
    assert "it is not whole: " in probe_video(whole).cut_short


def test_fewer_pictures_than_an_animated_png_states_are_told(tmp_path):
    path = animated(tmp_path / "a.png")
    content = path.read_bytes()
    at = content.index(b"fcTL", len(content) // 2) - 4
    path.write_bytes(content[:at] + content[-12:])
    said = probe_video(path).cut_short
    assert said.startswith("it is not whole: it has 1")
    assert said.endswith(" of 30 frames")


def test_the_only_picture_of_many_is_told(tmp_path):
    path = encode(tmp_path / "a.avi", counting_frames(60), "mpeg4")
    content = path.read_bytes()
    first = content.index(b"00dc", content.index(b"movi")) + 8
    path.write_bytes(content[: first + 3000] + bytes(len(content) - first - 3000))
    assert "it is not whole: " in probe_video(path).cut_short


def test_other_files_are_left_to_others(tmp_path):
    path = write_video(tmp_path / "a.mp4", NOISE)
    with open(path, "rb") as file:
        assert pieces_missing(file, list) == ""
