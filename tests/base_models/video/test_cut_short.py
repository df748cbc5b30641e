"""Files that hold less than their containers promise."""

import numpy as np
import pytest
from little_videos import counting_frames, encode

from base_models.video import probe_video, write_video

FRAMES = counting_frames(30) + np.random.default_rng(0).integers(
    0, 6, (30, 48, 64, 3), np.uint8
)


def _whole(path):
    if path.suffix == ".mp4":  # with its index at the beginning
        return write_video(path, FRAMES)
    return encode(path, FRAMES, "flv" if path.suffix == ".flv" else None)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "flv"])
def test_a_file_that_is_cut_says_so_and_a_whole_one_does_not(ending, tmp_path):
    path = _whole(tmp_path / f"a.{ending}")
    content = path.read_bytes()
    assert probe_video(path).cut_short == ""
    path.write_bytes(content + b"what others put there")
    assert probe_video(path).cut_short == ""
    size = len(content) * 2 // 3
    path.write_bytes(content[:size])
    found = probe_video(path)
    said = f"it is cut short: it has {size:,} of {len(content):,} bytes"
    assert found.cut_short.startswith(said)
    if ending in ("mp4", "avi"):
        assert found.cut_short.endswith(f", and {found.n_frames} of 30 frames")
    assert 2 < found.n_frames < 30


def test_room_for_what_never_came_is_seen(tmp_path):
    path = _whole(tmp_path / "a.mp4")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))
    n_zero, word, rest = probe_video(path).cut_short.partition(" of 30 frames hold")
    assert word
    assert 5 < int(n_zero.removeprefix("it is not whole: ")) < 25
    assert rest == " only zeros"


def test_frames_that_were_written_over_are_counted(tmp_path):
    path = _whole(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = np.random.default_rng(0).bytes(third)
    path.write_bytes(content)
    n_broken, word, _ = probe_video(path).cut_short.partition(" of 30 frames are dam")
    assert word
    assert 5 < int(n_broken.removeprefix("it is not whole: ")) < 20


def test_a_container_whose_beginning_is_lost_is_not_taken_for_a_bare_stream(tmp_path):
    path = encode(tmp_path / "a.avi", FRAMES, "mpeg4")
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 3 :])
    assert probe_video(path).cut_short == (
        "it is not whole: a .avi file begins with a header, and this one with pictures "
        "(m4v)"
    )
    bare = path.rename(tmp_path / "a.m4v")
    assert "begins with" not in probe_video(bare).cut_short


def test_fragments_are_counted_by_their_index(tmp_path):
    import av

    path, plain = tmp_path / "a.mp4", _whole(tmp_path / "plain.mp4")
    how = {"movflags": "frag_keyframe+empty_moov+dash+global_sidx"}
    with av.open(str(plain)) as given, av.open(str(path), "w", options=how) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    assert probe_video(path).cut_short == ""
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"mfra") - 4 - 100])
    assert probe_video(path).cut_short.startswith("it is cut short: it has ")


def test_a_gif_whose_last_picture_stays_is_not_cut_short(tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in FRAMES[:20]]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:],
        duration=[100] * 19 + [2000],
    )  # fmt: skip
    found = probe_video(tmp_path / "a.gif").cut_short
    # one picture in twenty is looked at, and is shown for half of the time
    assert found.startswith("its frames are shown for very unequal times")
