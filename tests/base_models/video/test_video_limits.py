"""A video that asks for too much is refused before it gets it, and says what for."""

import os
import struct

import av
import cv2
import numpy as np
import pytest

from base_models import VideoReadError, reading_limits, write_video
from base_models.limits import current_limits
from base_models.runtime import file_digest
from base_models.runtime.parallel import run_tasks
from base_models.video.bounds import budget
from base_models.video.decoding import RgbConverter
from base_models.video.paths import list_videos, video_digest
from base_models.video.quality import estimate_qp
from base_models.video.reading import iter_frames, probe_video, sample_frames

READERS = [
    sample_frames,
    probe_video,
    estimate_qp,
    lambda video: list(iter_frames(video)),
]


def write(path, sizes, codec="libx264", pix_fmt="yuv420p"):
    """Write a clip in which each (width, height) is that of two frames."""
    content = b""
    for width, height in sizes:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            for number in range(2):
                image = np.full((height, width, 3), 90 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(image).reformat(format=pix_fmt)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        content += path.read_bytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("clip.mp4", "libx264", "yuv420p"),
        ("clip.webm", "libvpx-vp9", "yuv420p"),
        ("clip.avi", "mjpeg", "yuvj420p"),
        ("clip.ts", "mpeg2video", "yuv420p"),
        ("clip.gif", "gif", "rgb8"),
    ],
)
def test_pictures_larger_than_allowed_are_refused(tmp_path, name, codec, pix_fmt):
    path = write(tmp_path / name, [(320, 240)], codec, pix_fmt)
    for read in READERS:
        with (
            reading_limits(video_pixels=320 * 240 - 1),
            pytest.raises(VideoReadError, match=r"320 x 240 pixels \(76,800\), and 76"),
        ):
            read(path)
    assert sample_frames(path).shape == (2, 240, 320, 3)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("clip.ts", "libx264", "yuv420p"),
        ("clip.mjpeg", "mjpeg", "yuvj420p"),
        ("clip.ts", "mpeg2video", "yuv420p"),
    ],
)
def test_a_later_picture_that_is_larger_is_refused(tmp_path, name, codec, pix_fmt):
    path = write(tmp_path / name, [(64, 48), (640, 480)], codec, pix_fmt)
    assert len(sample_frames(path, None)) > 2  # scaled to the first one's size
    with (
        reading_limits(video_pixels=64 * 48),
        pytest.raises(VideoReadError, match="one of its .* pixels.* allowed"),
    ):
        sample_frames(path, None)


def test_the_memory_of_frames_is_refused_before_they_are_read(tmp_path):
    path = write(tmp_path / "clip.mp4", [(64, 48)] * 1)
    two_frames = 2 * 64 * 48 * 3
    with reading_limits(video_bytes=two_frames):
        assert sample_frames(path).nbytes == two_frames
    with (
        reading_limits(video_bytes=two_frames - 1),
        pytest.raises(VideoReadError, match=r"18,432 bytes .*video_bytes=18432"),
    ):
        sample_frames(path)


def test_reading_ends_when_its_time_is_over(tmp_path):
    path = write(tmp_path / "clip.mp4", [(64, 48)])
    for read in READERS:
        with (
            reading_limits(video_seconds=1e-9),
            pytest.raises(VideoReadError, match="longer than the 1e-09 s allowed"),
        ):
            read(path)


def test_more_packets_than_allowed_are_refused(tmp_path):
    path = write(tmp_path / "clip.ts", [(64, 48)] * 2)
    with (
        reading_limits(video_frames=3),
        pytest.raises(VideoReadError, match="it has 4 frames, and 3 are allowed"),
    ):
        sample_frames(path)


def _box(kind, *content):
    content = b"".join(content)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _of_sizes(content):  # 80,000,000 frames of one byte, in one chunk
    at = content.index(b"stsz")
    content = content[: at + 8] + struct.pack(">II", 1, 80_000_000) + content[at + 16 :]
    at = content.index(b"stsc")
    return content[: at + 16] + struct.pack(">I", 80_000_000) + content[at + 20 :]


def _of_fragments(content):
    run = _box(b"trun", struct.pack(">II", 0, 80_000_000))
    header = _box(b"tfhd", struct.pack(">IIII", 0x10, 1, 1, 0))
    return content + _box(b"moof", _box(b"traf", header, run))


def _of_long_fragments(content):  # whose length has 64 bits
    run = struct.pack(">I4sQII", 1, b"trun", 24, 0, 80_000_000)
    return content + _box(b"moof", _box(b"traf", run))


def _of_edits(content):  # which show all frames again, five times
    sizes = _box(b"stsz", struct.pack(">III", 0, 1, 2**24))
    edits = struct.pack(">II", 0, 5) + struct.pack(">IIi", 9, 0, 65536) * 5
    return content + _box(b"moov", _box(b"elst", edits), sizes)


@pytest.mark.parametrize(
    "bomb", [_of_sizes, _of_fragments, _of_long_fragments, _of_edits]
)
def test_an_index_that_stands_for_more_frames_than_allowed_is_refused(tmp_path, bomb):
    path = write(tmp_path / "clip.mp4", [(64, 48)])
    path.write_bytes(bomb(path.read_bytes()))
    with pytest.raises(VideoReadError, match=r"it has .* frames by its .* allowed"):
        probe_video(path)


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".bmp", ".webp", ".tif", ".gif.png", ".jp2.png"]
)
def test_images_larger_than_allowed_are_refused(tmp_path, suffix):
    folder = tmp_path / "frames"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    kind = "." + suffix.split(".")[1]
    path = folder / f"1{suffix}"
    path.write_bytes(cv2.imencode(kind, image)[1].tobytes())
    videos = [folder] if ".png" in suffix[1:] else [folder, path]
    for video in videos:
        assert sample_frames(video).shape == (1, 48, 64, 3)
        with (
            reading_limits(video_pixels=64 * 48 - 1),
            pytest.raises(VideoReadError, match=r"1\..*64 x 48 pixels \(3,072\)"),
        ):
            sample_frames(video)


def test_pipes_and_devices_are_refused_and_nobody_waits(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    os.mkfifo(tmp_path / "b.ts")
    (tmp_path / "c.mp4").symlink_to("/dev/zero")
    videos = list_videos(tmp_path)
    assert len(videos) == 3
    for video in videos:
        for read in READERS:
            with pytest.raises(VideoReadError, match="no file"):
                read(video)


def _limits_there(_):
    return current_limits().video_seconds


@pytest.mark.parametrize(
    "backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)]
)
def test_limits_travel_with_tasks(backend):
    import joblib

    with joblib.parallel_config(backend), reading_limits(video_seconds=7):
        came = dict(run_tasks(_limits_there, [(0,), (1,), (2,)], n_jobs=2))
    assert set(came.values()) == {7}


def test_wrong_limits_are_refused():
    with pytest.raises(ValueError, match="video_seconds must be above 0; got 0"):
        reading_limits(video_seconds=0).__enter__()
    with pytest.raises(TypeError, match="video_pixels must be a number; got '9'"):
        reading_limits(video_pixels="9").__enter__()


def test_a_process_that_was_stopped_did_not_read(monkeypatch):
    clock, now = budget.Clock("a.mp4"), [0.0, 0.0]
    monkeypatch.setattr(budget.Clock, "_now", staticmethod(lambda: tuple(now)))
    with reading_limits(video_seconds=60):
        clock = budget.Clock("a.mp4")
    now[0] += 3600.0  # stopped for an hour
    clock.check()
    now[0], now[1] = now[0] + 50.0, now[1] + 50.0  # at work
    clock.check()
    now[0], now[1] = now[0] + 50.0, now[1] + 50.0
    with pytest.raises(VideoReadError, match="takes longer than the 60 s allowed"):
        clock.check()


def test_converting_frames_counts_and_using_them_does_not(tmp_path, monkeypatch):
    clip = write_video(tmp_path / "a.mp4", np.zeros((30, 32, 32, 3), np.uint8))
    now = [0.0]
    monkeypatch.setattr(budget.Clock, "_now", staticmethod(lambda: (now[0], now[0])))
    convert = RgbConverter.__call__

    def slowly(self, frame):
        now[0] += 1.0
        return convert(self, frame)

    with reading_limits(video_seconds=20):
        for _ in iter_frames(clip):
            now[0] += 100.0
        monkeypatch.setattr(RgbConverter, "__call__", slowly)
        with pytest.raises(VideoReadError, match="takes longer than the 20 s allowed"):
            list(iter_frames(clip))


def test_frames_that_no_header_counts_are_counted(tmp_path):
    clip = tmp_path / "a.flv"
    write(clip, [(64, 48)])
    with reading_limits(video_frames=2):
        assert len(list(iter_frames(clip))) == 2
    with (
        reading_limits(video_frames=1),
        pytest.raises(VideoReadError, match="it has 2 frames, and 1 are allowed"),
    ):
        list(iter_frames(clip))


def test_a_file_with_holes_is_not_read_for_ever(tmp_path, monkeypatch):
    with open(tmp_path / "holes.mp4", "wb") as file:
        file.truncate(2**40)
    with (
        reading_limits(video_seconds=0.01),
        pytest.raises(VideoReadError, match=r"1,099,511,627,776 bytes, and .* 0\.01 s"),
    ):
        video_digest(tmp_path / "holes.mp4")
    monkeypatch.setattr(file_digest, "check_wanted", lambda: pytest.fail("begun again"))
    with (
        reading_limits(video_seconds=0.01),
        pytest.raises(VideoReadError, match=r"longer than the 0\.01 s"),
    ):
        video_digest(tmp_path / "holes.mp4")
