"""Videos whose frames change size on the way."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from base_models.video import probe_video, sample_frames
from base_models.video.bounds.sizes import vp9_size

RATE = Fraction(1, 25)
OPTIONS = {
    "libx264": {"bf": "0", "g": "4"},
    # without threads of its own, which may outlive what they work for
    "libx265": {"x265-params": "log-level=none:bframes=0:pools=none:frame-threads=1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "mpeg2video": {},
    "mpeg4": {},
}


def joined(path, codec, *parts):
    """Write films of (frames, size) one after the other, as one stream."""
    with av.open(str(path), "w") as container:
        stream, shift = container.add_stream(codec, rate=25), 0
        stream.width, stream.height, stream.pix_fmt = *parts[0][1], "yuv420p"
        stream.codec_context.options = OPTIONS[codec]
        for n_frames, (width, height) in parts:
            encoder = av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.framerate = RATE, 25
            encoder.options = OPTIONS[codec]
            found = []
            for number in range(n_frames):
                image = np.full((height, width, 3), 4 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, "rgb24")
                frame.pts, frame.time_base = number, RATE
                found += encoder.encode(frame)
            for packet in found + encoder.encode(None):
                packet.stream, packet.time_base = stream, RATE
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                container.mux(packet)
            shift += n_frames
    return path


@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        ("mp4", "libx264"),
        ("ts", "libx264"),
        ("mkv", "libx265"),
        ("webm", "libvpx"),
        ("webm", "libvpx-vp9"),
        ("mpg", "mpeg2video"),
        ("avi", "mpeg4"),
    ],
)
def test_frames_that_change_size_are_a_doubt(ending, codec, tmp_path):
    film = joined(tmp_path / f"a.{ending}", codec, (1, (64, 64)), (20, (128, 96)))
    found = probe_video(film)
    assert found.cut_short == (
        "its frames change size, from 64 x 64 to 128 x 96 pixels, and all were "
        "looked at in one size"
    )
    assert sample_frames(film, 4).shape == (4, found.height, found.width, 3)
    even = joined(tmp_path / f"b.{ending}", codec, (8, (64, 64)), (8, (64, 64)))
    assert probe_video(even).cut_short == ""


def test_key_frames_that_a_file_hides_are_seen(tmp_path):
    film = joined(tmp_path / "a.mp4", "libx264", (40, (64, 64)), (20, (128, 96)))
    content = bytearray(film.read_bytes())
    at = content.index(b"stss")
    assert struct.unpack_from(">I", content, at + 8)[0] > 1
    struct.pack_into(">I", content, at + 8, 1)  # the first alone is one, it says
    film.write_bytes(content)
    assert probe_video(film).cut_short.startswith("its frames change size, from 64 x 6")


def test_the_size_that_a_frame_of_vp9_states():
    def packed(bits):
        return memoryview(int(bits.ljust(160, "0"), 2).to_bytes(20, "big"))

    size = f"{639:016b}{359:016b}"
    inter = "10" + "00" + "0" + "1" + "1" + "0" + "00" + "1" * 8 + "0001" * 3
    intra = "10" + "00" + "0" + "1" + "0" + "0" + "1" + "00" + "01" * 12 + "1" * 8
    assert vp9_size(packed(inter + "000" + size)) == (640, 360)
    assert vp9_size(packed(inter + "001" + size)) is None
    assert vp9_size(packed(intra + size)) == (640, 360)
    assert vp9_size(packed("10" + "00" + "1" + "0" * 40)) is None
    assert vp9_size(memoryview(b"")) is None
