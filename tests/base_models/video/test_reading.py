"""Reading video: real little files, made here."""

import tracemalloc
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from little_videos import counting_frames, encode, four_colours, numbers
from PIL import Image

from base_models.video import (
    decoding,
    iter_frames,
    probe_video,
    sample_frames,
    video_digest,
)

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
CONTAINERS = ["mp4", "mov", "mkv", "avi", "webm"]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_container_gives_the_exact_frames(tmp_path, suffix):
    path = encode(tmp_path / f"clip.{suffix}", counting_frames(37))
    frames, indices = sample_frames(path, 5, return_indices=True)
    assert indices.tolist() == [0, 9, 18, 27, 36]
    assert numbers(frames) == [0, 9, 18, 27, 36]
    assert frames.shape == (5, 48, 64, 3)
    assert frames.dtype == np.uint8
    assert frames.flags.c_contiguous
    assert numbers(sample_frames(path, 1)) == [18]
    assert numbers(sample_frames(str(path), None)) == list(range(37))
    assert len(sample_frames(path, 50)) == 37
    assert probe_video(path).n_frames == 37


def test_frames_are_those_that_opencv_decodes(tmp_path):
    rng = np.random.default_rng(0)
    still = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (64, 48))
    path = encode(
        tmp_path / "a.mp4", np.stack([np.roll(still, i, 1) for i in range(20)])
    )
    capture = cv2.VideoCapture(str(path))
    expected = [capture.read()[1][:, :, ::-1] for _ in range(20)]
    frames, indices = sample_frames(path, 7, return_indices=True)
    np.testing.assert_array_equal(frames, [expected[index] for index in indices])


def test_variable_frame_rate_counts_frames_not_seconds(tmp_path):
    pts = [0, 40, 80, 1000, 1040, 5000, 5040, 5080, 5120, 9000]
    path = encode(tmp_path / "vfr.mp4", counting_frames(10), pts=pts)
    assert numbers(sample_frames(path, 4)) == [0, 3, 6, 9]
    info = probe_video(path)
    assert info.n_frames == 10
    assert info.seconds == pytest.approx(9, abs=1.1)
    assert info.fps == pytest.approx(10 / info.seconds)


def test_iteration_gives_every_frame(tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(20))
    frames = np.stack(list(iter_frames(path)))
    np.testing.assert_array_equal(frames, sample_frames(path, None))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_metadata_is_applied(tmp_path, degrees, flip):
    still = four_colours()
    path = encode(
        tmp_path / "a.mp4", np.stack([still] * 3), rotation=degrees, flip=flip
    )
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
    if not flip:
        assert stored.rotation % 360 == degrees
    # "a counter-clockwise rotation ... mirror after it" (PyAV)
    expected = np.rot90(still, degrees // 90)
    expected = expected[:, ::-1] if flip else expected
    frames = sample_frames(path, 2)
    assert frames.shape[1:] == expected.shape
    assert np.abs(frames[0].astype(int) - expected).mean() < 12
    info = probe_video(path)
    assert (info.height, info.width) == expected.shape[:2]
    if not flip:
        assert info.rotation == degrees


def test_a_file_that_opencv_turns_is_turned_the_same_way(tmp_path):
    path = encode(tmp_path / "a.mp4", np.stack([four_colours()] * 3), rotation=90)
    capture = cv2.VideoCapture(str(path))
    np.testing.assert_array_equal(
        sample_frames(path, 1)[0], capture.read()[1][:, :, ::-1]
    )


def test_orientation_is_read_beside_other_side_data(tmp_path):
    image = Image.fromarray(four_colours())
    exif = image.getexif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # shown after a quarter turn clockwise
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    frame = sample_frames(tmp_path / "a.jpg", 1)[0]
    expected = np.rot90(four_colours(), -1)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 12


def test_frames_cut_out_by_an_edit_list_are_not_shown(tmp_path):
    # Negative times make an edit list; the key frame before the cut is still needed.
    pts = [40 * (index - 5) for index in range(20)]
    path = encode(tmp_path / "a.mp4", counting_frames(20), pts=pts)
    capture = cv2.VideoCapture(str(path))
    shown = []
    while (read := capture.read())[0]:
        shown.append(read[1])
    assert 0 < len(shown) < 20
    assert probe_video(path).n_frames == len(shown)
    assert numbers(sample_frames(path, None)) == numbers(np.stack(shown))
    assert numbers(sample_frames(path, 2)) == [20 - len(shown), 19]


def test_sound_beside_the_picture_does_no_harm(tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(25), audio=True)
    assert numbers(sample_frames(path, 3)) == [0, 12, 24]
    assert probe_video(path).n_frames == 25


def test_a_change_of_size_within_the_stream_is_scaled_to_the_first(tmp_path):
    # Two raw streams one after the other are one stream that changes size.
    both = b""
    for height, width in [(48, 64), (96, 128)]:
        path = encode(tmp_path / "a.h264", counting_frames(20, height, width))
        both += path.read_bytes()
    path.write_bytes(both)
    frames = sample_frames(path, None)
    assert frames.shape == (40, 48, 64, 3)
    assert numbers(frames) == [*range(20), *range(20)]


@pytest.mark.parametrize("matrix", [8, 10, 14])  # YCgCo, BT.2020 constant, ICtCp
def test_a_colour_matrix_ffmpeg_cannot_undo_is_read_all_the_same(tmp_path, matrix):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = matrix
        for pixels in counting_frames(5):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert numbers(sample_frames(tmp_path / "a.mp4", None)) == [0, 1, 2, 3, 4]


def test_only_the_frames_asked_for_become_rgb(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", counting_frames(40))
    converted = []
    convert = decoding.RgbConverter.__call__
    monkeypatch.setattr(
        decoding.RgbConverter,
        "__call__",
        lambda self, frame: converted.append(1) or convert(self, frame),
    )
    sample_frames(path, 4)
    assert len(converted) == 4


def test_memory_is_that_of_the_sample(tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(40, 480, 640))
    sample_frames(path, 2)
    tracemalloc.start()
    frames = sample_frames(path, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < frames.nbytes + 3 * frames[0].nbytes


def test_arrays_are_videos_too():
    array = counting_frames(30)
    frames, indices = sample_frames(array, 4, return_indices=True)
    np.testing.assert_array_equal(frames, array[[0, 10, 19, 29]])
    assert indices.tolist() == [0, 10, 19, 29]
    frames[:] = 0
    assert numbers(sample_frames(array, 1)) == [14]
    info = probe_video(array)
    assert (info.n_frames, info.height, info.width) == (30, 48, 64)
    assert (info.fps, info.seconds, info.tags) == (None, None, {})
    assert sum(1 for _ in iter_frames(array)) == 30


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((4, 8, 8, 3)), TypeError, r"uint8.*got float64.*255 \* video"),
        (np.zeros((4, 8, 8, 3), np.int64), TypeError, "uint8.*got int64"),
        (np.zeros((8, 8, 3), np.uint8), ValueError, r"got \(8, 8, 3\).*frame\[None\]"),
        (np.zeros((4, 3, 8, 8), np.uint8), ValueError, "got .4, 3, 8, 8.*RGB last"),
        (np.zeros((4, 8, 8, 4), np.uint8), ValueError, r"got \(4, 8, 8, 4\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), ValueError, r"got \(0, 8, 8, 3\)"),
        ([np.zeros((8, 8, 3), np.uint8)], TypeError, "got list"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_wrong_arrays_are_refused(array, error, message):
    for read in [
        sample_frames,
        probe_video,
        video_digest,
        lambda v: next(iter_frames(v)),
    ]:
        with pytest.raises(error, match=message):
            read(array)


def test_real_clips_are_read_as_opencv_reads_them():
    clips = sorted(CLIPS.glob("real/*.mp4"))
    if not clips:
        pytest.skip("no clips in ../shared/data/clips")
    for clip in [*clips[:2], *(clip for clip in clips if "vretalk_4" in clip.name)]:
        capture = cv2.VideoCapture(str(clip))
        expected = []
        while (read := capture.read())[0]:
            expected.append(read[1])
        frames, indices = sample_frames(clip, 3, return_indices=True)
        assert indices[-1] == len(expected) - 1
        for frame, index in zip(frames, indices, strict=True):
            np.testing.assert_array_equal(frame, expected[index][:, :, ::-1])
