"""A second video behind the first: players show one, decoders the other, or both."""

import av
import numpy as np
import pytest
from PIL import Image

from base_models.video import probe_video, write_video

NOISE = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), np.uint8)
CODECS = {".mov": "libx264", ".avi": "mpeg4", ".flv": "flv", ".wmv": "wmv2"}


def made(path):
    """Write a video of the kind that its name says."""
    if path.suffix == ".mp4":
        return write_video(path, NOISE, fps=25)
    if path.suffix not in CODECS:
        first, *others = map(Image.fromarray, NOISE)
        first.save(path, save_all=True, append_images=others, duration=40)
        return path
    with av.open(str(path), "w") as file:
        stream = file.add_stream(CODECS[path.suffix], rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in NOISE:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", *CODECS, ".gif", ".png"])
def test_a_second_video_behind_the_first_is_told(suffix, tmp_path):
    one = made(tmp_path / f"one{suffix}")
    assert probe_video(one).cut_short == ""
    two = tmp_path / f"two{suffix}"
    two.write_bytes(one.read_bytes() * 2)
    said = probe_video(two).cut_short
    assert said == "another video follows behind its end in the same file"


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_other_bytes_behind_a_video_are_no_second_one(suffix, tmp_path):
    path = made(tmp_path / f"one{suffix}")
    beside = b"\0\0\0\x10free8 bytes." if suffix == ".mp4" else b"\0\0"
    path.write_bytes(path.read_bytes() + beside)
    assert probe_video(path).cut_short == ""
