"""Headers that lie, files that are broken."""

import pickle

import av
import cv2
import numpy as np
import pytest
from little_videos import counting_frames, encode, four_colours, numbers

from base_models.video import (
    VideoReadError,
    iter_frames,
    probe_video,
    sample_frames,
    write_video,
)


def test_a_lying_header_is_not_believed(tmp_path):
    path = encode(tmp_path / "a.avi", counting_frames(30))
    data = bytearray(path.read_bytes())
    for chunk, offset in [(b"avih", 8 + 16), (b"strh", 8 + 32)]:
        at = data.index(chunk) + offset
        assert int.from_bytes(data[at : at + 4], "little") == 30
        data[at : at + 4] = (9000).to_bytes(4, "little")
    path.write_bytes(data)
    assert int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) == 9000
    assert numbers(sample_frames(path, 4)) == [0, 10, 19, 29]
    assert probe_video(path).n_frames == 30


def test_undecodable_packets_make_it_choose_again(tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(30), codec="mjpeg")
    damaged = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        spans = [(packet.pos, packet.size) for packet in packets]
    for position, size in spans[10:15]:
        damaged[position : position + size] = bytes(size)
    path.write_bytes(damaged)
    frames, indices = sample_frames(path, 5, return_indices=True)
    decodable = [n for n in range(30) if not 10 <= n < 15]
    assert indices.tolist() == [0, 6, 12, 18, 24]
    assert numbers(frames) == [decodable[index] for index in indices]
    assert numbers(np.stack(list(iter_frames(path)))) == decodable


def test_a_damaged_passage_is_survived_the_same_way_each_time(tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(36))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 60] = np.random.default_rng(0).bytes(60)
    path.write_bytes(data)
    frames = sample_frames(path, 8)
    assert len(frames) == 8
    np.testing.assert_array_equal(frames, sample_frames(path, 8))


def test_a_file_cut_off_gives_what_is_left(tmp_path):
    noise = np.random.default_rng(0).integers(-5, 6, (30, 48, 64, 1))
    noisy = (counting_frames(30) + noise).astype(np.uint8)
    path = write_video(tmp_path / "a.mp4", noisy, crf=10)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    frames = sample_frames(path, None)
    assert 2 < len(frames) < 30
    assert numbers(frames) == list(range(len(frames)))


def cut_before_the_first_frame(path):
    write_video(path, counting_frames(30))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])


def cut_off_the_index(path):
    encode(path, counting_frames(30))  # without faststart the index comes last
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def cover_art_only(path):
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        still = av.VideoFrame.from_ndarray(four_colours(), format="rgb24")
        container.mux(cover.encode(still))
        container.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate, silence.pts = 16000, 0
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.touch(), r"empty \(0 bytes\)"),
        (lambda path: path.write_bytes(b"no video at all" * 99), "cannot be opened"),
        (lambda path: encode(path, None, audio=True), "no video stream.* only audio"),
        (cover_art_only, "no video stream.* only audio and a cover picture"),
        (cut_before_the_first_frame, "empty|no frame"),
        (cut_off_the_index, "cannot be opened"),
        (lambda path: path.mkdir(), "the folder is empty.* frame images"),
    ],
    ids=["missing", "empty", "garbage", "audio", "cover", "headless", "cut", "folder"],
)
@pytest.mark.parametrize(
    "read", [sample_frames, probe_video, lambda v: list(iter_frames(v))]
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, break_it, reason, read):
    path = tmp_path / "clip.mp4"
    break_it(path)
    with pytest.raises(VideoReadError, match=reason) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.video == str(path)


def test_the_error_survives_pickling():
    error = VideoReadError("a/b.mp4", "it is broken", "drop it")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, OSError)
    assert str(copy) == str(error) == "cannot read video a/b.mp4: it is broken; drop it"
    assert (copy.video, copy.reason) == ("a/b.mp4", "it is broken")
