"""Reading and writing video: real little files, made here and broken here."""

import os
import pickle
import shutil
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from base_models.video import (
    VIDEO_SUFFIXES,
    VideoReadError,
    decoding,
    iter_frames,
    list_videos,
    paths as video_paths,
    probe_video,
    sample_frames,
    sample_indices,
    video_digest,
    video_id,
    write_video,
)
from base_models.video.reading import sample_clips

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
CODECS = {
    "mp4": "libx264",
    "mov": "libx264",
    "mkv": "libx264",
    "avi": "mpeg4",
    "webm": "libvpx-vp9",
    "h264": "libx264",
}
CONTAINERS = ["mp4", "mov", "mkv", "avi", "webm"]


def counting_frames(n, height=48, width=64):
    """Frames that carry their number as brightness, 6 apart: n up to 40."""
    levels = 8 + 6 * np.arange(n, dtype=np.uint8)
    return np.repeat(levels, height * width * 3).reshape(n, height, width, 3)


def numbers(frames):
    """Read the numbers back."""
    return np.rint((frames.mean(axis=(1, 2, 3)) - 8) / 6).astype(int).tolist()


def encode(path, frames, codec=None, pts=None, rotation=None, flip=False, audio=False):
    """Encode with PyAV directly, not with the writer under test."""
    with av.open(str(path), "w") as container:
        stream = None
        if frames is not None:
            codec = codec or CODECS[path.suffix[1:]]
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.gop_size = 12
            stream.codec_context.bit_rate = 2_000_000
            if rotation is not None:
                stream.set_display_rotation(rotation, hflip=flip)
            if pts is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
        if audio:
            sound = container.add_stream("aac", rate=16000, layout="mono")
        for index, pixels in enumerate([] if frames is None else frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
        if audio:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 16000), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 16000, 0
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def four_colours(height=48, width=64):
    """One still whose corners tell all eight orientations apart."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[: height // 2, : width // 2] = (220, 30, 30)
    frame[: height // 2, width // 2 :] = (30, 220, 30)
    frame[height // 2 :, : width // 2] = (30, 30, 220)
    return frame


# Which frames


@pytest.mark.parametrize("total", [1, 2, 3, 7, 16, 17, 100, 1001])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 16, 31])
def test_indices_are_exact_distinct_sorted_and_reach_both_ends(total, n_frames):
    indices = sample_indices(total, n_frames).tolist()
    assert len(indices) == len(set(indices)) == min(n_frames, total)
    assert indices == sorted(indices)
    if n_frames == 1:
        assert indices == [(total - 1) // 2]
    else:
        assert (indices[0], indices[-1]) == (0, total - 1)
        gaps = np.diff(indices)
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(
    ("n_frames", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)]
)
def test_a_senseless_number_of_frames_is_refused(n_frames, error):
    with pytest.raises(error, match="n_frames must be"):
        sample_frames(np.zeros((2, 8, 8, 3), np.uint8), n_frames)


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


# Orientation


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


# Headers that lie, files that are broken


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


def test_sound_beside_the_picture_does_no_harm(tmp_path):
    path = encode(tmp_path / "a.mp4", counting_frames(25), audio=True)
    assert numbers(sample_frames(path, 3)) == [0, 12, 24]
    assert probe_video(path).n_frames == 25


def test_the_error_survives_pickling():
    error = VideoReadError("a/b.mp4", "it is broken", "drop it")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, OSError)
    assert str(copy) == str(error) == "cannot read video a/b.mp4: it is broken; drop it"
    assert (copy.video, copy.reason) == ("a/b.mp4", "it is broken")


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


# Memory


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


# Arrays


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


# Folders of frames


@pytest.fixture
def frame_folder(tmp_path):
    """Twelve images named 1.png to 12.png."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(counting_frames(12)):
        cv2.imwrite(str(folder / f"{number + 1}.png"), frame)
    (folder / "notes.txt").write_text("no image")
    (folder / "._1.png").write_bytes(b"left by a Mac")
    (folder / "more.png").mkdir()
    return folder


def test_a_folder_of_images_is_read_in_natural_order(frame_folder):
    frames, indices = sample_frames(frame_folder, None, return_indices=True)
    assert numbers(frames) == indices.tolist() == list(range(12))
    assert numbers(sample_frames(frame_folder, 3)) == [0, 6, 11]
    assert numbers(np.stack(list(iter_frames(frame_folder)))) == list(range(12))
    info = probe_video(frame_folder)
    assert (info.n_frames, info.height, info.width) == (12, 48, 64)


def test_images_are_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), four_colours()[:, :, ::-1])
    np.testing.assert_array_equal(sample_frames(tmp_path, 1)[0], four_colours())


def test_a_broken_image_is_passed_over_and_another_size_scaled(frame_folder):
    (frame_folder / "1.png").write_bytes(b"broken")
    (frame_folder / "7.png").write_bytes(b"")
    cv2.imwrite(str(frame_folder / "3.png"), counting_frames(3, 96, 128)[2])
    frames, indices = sample_frames(frame_folder, None, return_indices=True)
    assert frames.shape == (10, 48, 64, 3)
    assert numbers(frames) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert indices.tolist() == list(range(10))
    assert numbers(sample_frames(frame_folder, 3)) == [1, 5, 11]


def test_what_the_file_system_refuses_is_named(frame_folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    path = write_video(frame_folder.parent / "a.mp4", counting_frames(3))
    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(VideoReadError, match=r"a\.mp4: Permission denied; check"):
        video_digest(path)
    with pytest.raises(VideoReadError, match=r"1\.png: Permission denied"):
        sample_frames(frame_folder)
    with pytest.raises(VideoReadError, match="null"):
        sample_frames("a\0.mp4")


def test_a_folder_of_broken_images_is_an_error(tmp_path):
    (tmp_path / "1.png").write_bytes(b"broken")
    for read in [sample_frames, lambda v: list(iter_frames(v)), probe_video]:
        with pytest.raises(VideoReadError, match="decoded"):
            read(tmp_path)


def test_videos_are_listed_recursively_and_frame_folders_count_as_one(tmp_path):
    for name in [
        "b.MP4", "real/a.avi", "real/deep/c.webm", "real/thumbnail.jpg", "notes.txt",
        "fake/x/1.png", "fake/x/2.png", ".hidden/d.mp4", "real/._a.avi", "empty/z.txt",
    ]:  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    with pytest.warns(UserWarning, match=r"1 files are left out.*: 1 \.jpg\."):
        videos = list_videos(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in videos]
    assert names == ["b.MP4", "fake/x", "real/a.avi", "real/deep/c.webm"]
    with pytest.raises(NotADirectoryError, match="not a folder"):
        list_videos(tmp_path / "missing")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", VIDEO_SUFFIXES)
def test_a_folder_lists_what_opens_by_its_path(tmp_path, suffix):
    for name in (f"a{suffix}", f"b{suffix.upper()}", "notes.txt"):
        (tmp_path / name).touch()
    assert [video.name for video in list_videos(tmp_path)] == [
        f"a{suffix}", f"b{suffix.upper()}"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".3gp", "mpeg4"), (".ts", "libx264"), (".mts", "libx264"), (".gif", "gif"),
        (".mxf", "mpeg2video"), (".y4m", "wrapped_avframe"), (".vob", "mpeg2video"),
        (".f4v", "libx264"),
    ],
)  # fmt: skip
def test_what_a_folder_lists_can_be_read(tmp_path, suffix, codec):
    with av.open(str(tmp_path / f"a{suffix}"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = 64, 64
        stream.pix_fmt = "rgb8" if suffix == ".gif" else "yuv420p"
        for image in counting_frames(5, 64, 64):
            frame = av.VideoFrame.from_ndarray(image).reformat(format=stream.pix_fmt)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    (video,) = list_videos(tmp_path)
    assert sample_frames(video, 2).shape == (2, 64, 64, 3)


def test_source_code_is_no_transport_stream_and_is_counted(tmp_path):
    (tmp_path / "index.ts").write_text("export const x = 1;")
    (tmp_path / "b.mp4").touch()
    (tmp_path / "odd.xyz").touch()
    with pytest.warns(UserWarning, match="2 files.*1 .ts, 1 .xyz"):
        assert [video.name for video in list_videos(tmp_path)] == ["b.mp4"]


# Names and digests


def test_a_link_keeps_its_name_and_follows_its_content(tmp_path):
    blobs = [tmp_path / "blobs" / name for name in ("3fa9c2", "77b1e0")]
    blobs[0].parent.mkdir()
    for blob, n_frames in zip(blobs, (3, 5), strict=True):
        write_video(tmp_path / "new.mp4", counting_frames(n_frames)).rename(blob)
        os.utime(blob, ns=(0, 0))
    link = tmp_path / "id0_0001.mp4"
    link.symlink_to(blobs[0])
    assert video_id(link) == str(link)
    assert video_digest(link) == video_digest(blobs[0])
    assert len(list(iter_frames(link))) == 3
    link.unlink()
    link.symlink_to(blobs[1])
    assert video_digest(link) == video_digest(blobs[1]) != video_digest(blobs[0])


def test_ids_tell_videos_of_one_name_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert video_id("a/clip.mp4") == str(tmp_path / "a" / "clip.mp4")
    assert video_id("a/clip.mp4") != video_id("b/clip.mp4")
    array = counting_frames(3)
    assert video_id(array) == f"array-{video_digest(array)[:12]}"


def test_digests_follow_content_and_nothing_else(tmp_path, frame_folder):
    path = write_video(tmp_path / "a.mp4", counting_frames(5))
    before = video_digest(path)
    assert video_digest(shutil.copy(path, tmp_path / "copy.mp4")) == before
    os.utime(path, ns=(0, 0))
    assert video_digest(path) == before
    path.write_bytes(path.read_bytes() + b"x")
    assert video_digest(path) != before

    whole = video_digest(frame_folder)
    (frame_folder / "12.png").rename(frame_folder / "13.png")
    renamed = video_digest(frame_folder)
    assert renamed != whole

    array = counting_frames(4)
    assert video_digest(array[:, ::-1][:, ::-1]) == video_digest(array)
    assert video_digest(array.reshape(4, 64, 48, 3)) != video_digest(array)


def test_a_file_is_hashed_once(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", counting_frames(5))
    digest = video_digest(path)
    monkeypatch.setattr(video_paths.hashlib, "sha256", None)
    assert video_digest(path) == digest


# Writing


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


# Real footage


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


@pytest.mark.parametrize("seek", [True, False])
@pytest.mark.parametrize("n_frames", [1, 2, 5, 40])
def test_clips_of_a_file_are_its_frames_in_a_row(tmp_path, n_frames, seek):
    draw = np.random.default_rng(0)
    path = tmp_path / "clip.mp4"
    write_video(path, draw.integers(0, 256, (20, 32, 32, 3), np.uint8), fps=25)
    every = np.stack(list(iter_frames(path)))
    sample = sample_clips(path, n_frames, clip_length=3, seek=seek)
    expected, indices = sample_frames(path, n_frames, return_indices=True)
    np.testing.assert_array_equal(sample.indices, indices)
    np.testing.assert_array_equal(np.stack(sample.sampled), expected)
    np.testing.assert_array_equal(sample.frames, every[sample.numbers])
    around = {n for i in indices for n in (i - 1, i, i + 1)} & set(range(20))
    assert around <= set(sample.numbers.tolist())
    assert sample.total == 20


def test_a_video_shorter_than_a_clip_gives_all_it_has():
    sample = sample_clips(np.zeros((2, 8, 8, 3), np.uint8), 16, clip_length=3)
    assert sample.numbers.tolist() == [0, 1]
