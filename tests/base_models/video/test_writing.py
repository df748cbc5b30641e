"""Writing video files."""

import av
import cv2
import numpy as np
import pytest
from little_videos import counting_frames

from base_models.video import (
    probe_video,
    sample_frames,
    write_video,
)


def test_what_is_written_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    still = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (128, 96))
    frames = np.stack([np.roll(still, 2 * i, 1) for i in range(25)])
    path = write_video(
        tmp_path / "a.mp4",
        frames,
        fps=30000 / 1001,
        crf=15,
        tags={"synthetic": "yes ✓"},
    )
    info = probe_video(path)
    assert (info.n_frames, info.width, info.height) == (25, 128, 96)
    assert info.codec == "h264"
    assert info.fps == pytest.approx(30000 / 1001)
    assert info.seconds == pytest.approx(25 * 1001 / 30000)
    assert info.tags["synthetic"] == "yes ✓"
    assert info.file_size == path.stat().st_size
    assert 0 < info.bit_rate * info.seconds / 8 < info.file_size
    back = sample_frames(path, None)
    assert np.abs(back.astype(int) - frames).mean() < 3
    assert np.abs(back.mean((0, 1, 2)) - frames.mean((0, 1, 2))).max() < 1.5


def test_it_is_h264_yuv420p_with_the_index_in_front(tmp_path):
    path = write_video(tmp_path / "a.mp4", counting_frames(5))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frame = next(container.decode(stream))
        assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)


def test_the_same_frames_give_the_same_bytes(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), np.uint8)
    a = write_video(tmp_path / "a.mp4", frames, tags={"b": 1})
    b = write_video(tmp_path / "b.mp4", iter(frames), tags={"b": 1})
    assert a.read_bytes() == b.read_bytes()
    c = write_video(tmp_path / "c.mp4", frames, crf=40, preset="ultrafast")
    assert len(c.read_bytes()) < len(a.read_bytes())


def test_odd_sizes_get_their_last_row_and_column_twice(tmp_path):
    frames = counting_frames(4, 47, 63).copy()
    frames[:, -1], frames[:, :, -1] = 200, 200
    back = sample_frames(write_video(tmp_path / "a.mp4", frames, crf=1), 1)[0]
    assert back.shape == (48, 64, 3)
    assert np.abs(back[-2:, :-4].astype(int) - 200).max() < 12
    assert np.abs(back[:-4, -2:].astype(int) - 200).max() < 12


def stopping_midway():
    yield from counting_frames(3)
    raise RuntimeError("the source failed")


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ([], ValueError, "no frames"),
        (stopping_midway(), RuntimeError, "the source failed"),
        ([np.zeros((8, 8, 3))], TypeError, "frame 0 is float64"),
        ([np.zeros((8, 8), np.uint8)], ValueError, r"frame 0 has \(8, 8\)"),
        ([*counting_frames(2), counting_frames(1, 8, 8)[0]], ValueError, "frame 2 has"),
    ],
)
def test_a_failed_write_leaves_nothing_behind(tmp_path, frames, error, message):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"was here before")
    with pytest.raises(error, match=message):
        write_video(path, frames)
    assert path.read_bytes() == b"was here before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "a.avi"}, "writes .mp4"),
        ({"fps": 0}, "fps"),
        ({"preset": "quick"}, "preset"),
        ({"crf": 99}, "crf"),
    ],
)
def test_senseless_settings_are_refused(tmp_path, arguments, message):
    path = tmp_path / arguments.pop("path", "a.mp4")
    with pytest.raises(ValueError, match=message):
        write_video(path, counting_frames(2), **arguments)
