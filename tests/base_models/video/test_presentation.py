"""Files whose container has players show something else than their frames."""

import io
import struct

import av
import numpy as np
import pytest
from little_videos import counting_frames, encode

from base_models.video import probe_video
from base_models.video.bounds.presentation import shown_otherwise

CHAPTERS = "1043a7709f 45b99c 45bd8100 45dd8101 b691 73c48101 918100 92840bebc200 9180"
WITHIN = {"video": ("18538067", "1654ae6b", "ae", "e0"), "segment": ("18538067",)}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Of 20 frames, with clusters whose length was not known, as browsers write it."""
    path = tmp_path_factory.mktemp("film") / "a.mkv"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 48, "yuv420p"
        for picture in counting_frames(20, 48, 128):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def number(content, at):
    n_bytes = 9 - content[at].bit_length()
    found = int.from_bytes(content[at : at + n_bytes], "big")
    return n_bytes, found & 2 ** (7 * n_bytes) - 1


def with_element(content, within, extra):
    """Put bytes at the end of an element, or before what has no end in the file."""
    at, name = 0, bytes.fromhex(within[0])
    while not content.startswith(name, at):
        n_name = number(content, at)[0]
        n_length, length = number(content, at + n_name)
        at += n_name + n_length + length
    start = at + len(name)
    n_length, length = number(content, start)
    start += n_length
    is_open = length == 2 ** (7 * n_length) - 1
    end = len(content) if is_open else start + length
    inner = content[start:end]
    if len(within) > 1:
        inner = with_element(inner, within[1:], extra)
    else:
        inner += extra
    size = b"\x01" + (b"\xff" * 7 if is_open else len(inner).to_bytes(7, "big"))
    return content[:at] + name + size + inner + content[end:]


@pytest.mark.parametrize(
    ("where", "extra", "said"),
    [
        ("video", "54dd8160", "players show 25% of each picture, as its container sa"),
        ("video", "54cc8120 54bb820018", "players show 38% of each picture"),
        ("video", "54aa8104 54dd8100", ""),  # a few lines at the border
        ("video", "53b88101", "each frame holds two pictures (stereo)"),
        ("video", "53b88100", ""),
        ("video", "7670847671 8101", "its frames show all around (spherical)"),
        ("video", "53c08101", "its pictures are transparent in parts"),
        ("segment", CHAPTERS, "its chapters say in which order players show its"),
        ("segment", CHAPTERS.replace("45dd8101", "45dd8100"), ""),
        ("segment", "00000000" + CHAPTERS, "its chapters say in which order"),
    ],
)
def test_what_matroska_has_players_do_is_a_doubt(where, extra, said, film, tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(with_element(film, WITHIN[where], bytes.fromhex(extra)))
    found = probe_video(path)
    assert found.cut_short.startswith(said)
    assert bool(found.cut_short) == bool(said)
    assert (found.n_frames, found.width) == (20, 128)


@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("shown", "said"),  # 32 x 33 1/3 and 62 x 47 of 64 x 48 pixels
    [((32, 1, 100, 3), "players show 35% of"), ((62, 1, 47, 1), "")],
)
def test_a_clean_aperture_is_a_doubt(shown, said, ending, tmp_path):
    path = encode(tmp_path / f"a.{ending}", counting_frames(20))
    content = path.read_bytes()
    clap = struct.pack(">I4s8I", 40, b"clap", *shown, 0, 1, 0, 1)
    at = content.index(b"avc1", content.index(b"stsd")) - 4
    end = at + struct.unpack_from(">I", content, at)[0]
    content = bytearray(content[:end] + clap + content[end:])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        at = content.index(kind, content.index(b"moov")) - 4
        length = struct.unpack_from(">I", content, at)[0] + len(clap)
        struct.pack_into(">I", content, at, length)
    path.write_bytes(content)
    found = probe_video(path)
    assert found.cut_short.startswith(said)
    assert bool(found.cut_short) == bool(said)


@pytest.mark.parametrize("ending", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("rate", "begins", "is_told"),
    [((0, 0), 0, True), ((2, 0), 0, True), ((1, 0), 0, False), ((0, 0), -1, False)],
)
def test_a_part_that_is_held_or_hurries_is_a_doubt(
    rate, begins, is_told, ending, tmp_path
):
    path = encode(tmp_path / f"a.{ending}", counting_frames(20))
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 4
    version, n_entries = content[at], struct.unpack_from(">I", content, at + 4)[0]
    assert (version, n_entries) == (0, 1)
    struct.pack_into(">ihH", content, at + 12, begins, *rate)
    found = shown_otherwise(io.BytesIO(content), 64, 48)
    assert found.startswith("players show a part of it for another time" * is_told)
    assert bool(found) is is_told
    if is_told:
        path.write_bytes(content)
        assert probe_video(path).cut_short.startswith(found)


@pytest.mark.parametrize(
    ("matrix", "is_told"),
    [
        ((1, 0, 0, 1), False),
        ((0, 1, -1, 0), False),
        ((-1, 0, 0, 1), False),
        ((0.125, 0, 0, 0.125), False),  # smaller, and nothing else
        ((0.7, 0.7, -0.7, 0.7), True),
        ((1, 0, 0.5, 1), True),
        ((1, 0, 0, 0.25), True),
    ],
)
def test_a_picture_that_is_turned_aslant_or_stretched_is_a_doubt(
    matrix, is_told, tmp_path
):
    path = encode(tmp_path / "a.mp4", counting_frames(20))
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    a, b, c, d = (round(65536 * entry) for entry in matrix)
    struct.pack_into(">9i", content, at, a, b, 0, c, d, 0, 0, 0, 2**30)
    found = shown_otherwise(io.BytesIO(content), 64, 48)
    assert found.startswith("players turn or stretch its pictures" * is_told)
    assert bool(found) is is_told


def test_odd_bytes_end_without_a_word(film):
    draw = np.random.default_rng(0)
    for begin in (film[:40], film[:400], struct.pack(">I4s", 4096, b"moov")):
        for _ in range(20):
            content = begin + draw.integers(0, 256, 4000, np.uint8).tobytes()
            assert isinstance(shown_otherwise(io.BytesIO(content), 64, 48), str)


def _film(path, codec, pix_fmt, alpha):
    pixels = np.full((32, 32, 4), 200, np.uint8)
    pixels[..., 3] = alpha
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgba")
            container.mux(stream.encode(frame.reformat(format=pix_fmt)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "alpha", "is_told"),
    [
        ("a.mov", "png", "rgba", 255, True),  # later frames may let something through
        ("a.mov", "png", "rgb24", 255, False),
        ("a.mov", "qtrle", "argb", 0, True),
        ("a.mkv", "ffv1", "bgra", 0, True),
        ("a.apng", "apng", "rgba", 255, False),
        ("a.apng", "apng", "rgba", 9, True),
    ],
)
def test_frames_that_let_through_what_is_behind_them(
    tmp_path, name, codec, pix_fmt, alpha, is_told
):
    path = _film(tmp_path / name, codec, pix_fmt, alpha)
    assert ("transparent parts" in probe_video(path).cut_short) == is_told
