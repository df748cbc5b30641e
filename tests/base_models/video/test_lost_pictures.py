"""Files of which pictures were lost, though all their bytes may be there."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from little_videos import CODECS, counting_frames, encode

from base_models.video import probe_video
from base_models.video.bounds.promises import pictures_missing

FRAMES = np.concatenate([counting_frames(40)] * 2) + np.random.default_rng(
    0
).integers(0, 6, (80, 48, 64, 3), np.uint8)  # fmt: skip
CODEC = CODECS | {"flv": "flv", "ts": "libx264", "nut": "libx264"}


@pytest.mark.parametrize("ending", ["mkv", "avi", "flv", "ts", "nut"])
def test_zeros_in_the_middle_or_at_the_end_are_seen(ending, tmp_path):
    path = encode(tmp_path / f"a.{ending}", FRAMES, CODEC[ending])
    content = path.read_bytes()
    assert probe_video(path).cut_short == ""
    n = len(content)
    for first, last in ((n * 3 // 10, n * 8 // 10), (n * 6 // 10, n)):
        path.write_bytes(content[:first] + bytes(last - first) + content[last:])
        found = probe_video(path)
        assert found.cut_short.startswith("it is not whole: "), (first, found)
        assert found.n_frames < 75


def test_fragments_that_never_came(tmp_path):
    path = tmp_path / "a.mp4"
    how = {"movflags": "frag_keyframe+empty_moov"}
    plain = encode(tmp_path / "plain.mp4", FRAMES)
    with av.open(str(plain)) as given, av.open(str(path), "w", options=how) as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    content = path.read_bytes()
    assert probe_video(path).cut_short == ""
    n_lost = len(content) // 2
    path.write_bytes(content[:-n_lost] + bytes(n_lost))
    assert probe_video(path).cut_short.startswith("it is not whole: ")


@pytest.mark.parametrize(
    ("at", "duration", "start"),
    [
        (np.arange(50) / 25, 2.0, 0.0),
        (np.arange(50) / 25, 2.4, 0.0),  # sound that outlasts the pictures a little
        (1.4 + np.arange(50) / 25, 2.0, 1.4),  # as MPEG-TS begins
        (1.0 + np.arange(50) / 25, 3.0, 0.0),  # pictures that begin late
        (np.cumsum([0.03, 0.05, 0.04, 0.2, 0.03] * 10), 0.0, 0.0),  # a phone's
        (np.arange(20.0), 20.0, 0.0),  # a picture a second
        (np.cumsum([1 / 24] * 40 + [1 / 30] * 40), 0.0, 0.0),
        (None, 9.0, 0.0),
    ],
)
def test_what_is_common_is_no_doubt(at, duration, start):
    assert pictures_missing(at, duration, 0 if at is None else len(at), start) == ""


def test_a_second_track_is_said_and_the_default_one_is_looked_at(tmp_path):
    path = tmp_path / "two.mkv"
    sides = {64: False, 96: True}  # the second one is what players show
    with av.open(str(path), "w") as container:
        tracks = {}
        for side, is_default in sides.items():
            track = tracks[side] = container.add_stream("libx264", rate=25)
            track.width = track.height = side
            track.pix_fmt = "yuv420p"
            default = av.stream.Disposition.default
            track.disposition = default if is_default else 0
        for _ in range(10):
            for side, track in tracks.items():
                image = np.full((side, side, 3), side, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(track.encode(frame))
        for track in tracks.values():
            container.mux(track.encode(None))
    found = probe_video(path)
    assert found.cut_short == "it holds 2 video tracks, and one was looked at"
    assert found.width == 96


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_images_that_cannot_be_read_are_counted(ending, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(FRAMES[:12]):
        cv2.imwrite(str(folder / f"{number}.{ending}"), frame)
    assert probe_video(folder).cut_short == ""
    (folder / f"3.{ending}").write_bytes(b"")
    image = folder / f"4.{ending}"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    (folder / f"12.{ending}").symlink_to("nowhere")
    (folder / f"13.{ending}").mkdir()
    said = "it is not whole: 4 of 14 images cannot be read"
    assert probe_video(folder).cut_short == said
    whole = folder / f"5.{ending}"
    whole.write_bytes(whole.read_bytes() + b"what a camera put behind it")
    assert probe_video(folder).cut_short == said


def test_a_huge_image_is_counted_and_not_read(tmp_path):
    for number, frame in enumerate(FRAMES[:3]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), frame)
    with open(tmp_path / "2.png", "r+b") as file:
        file.truncate(2**42)  # holes, which take no room on the disk
    said = "it is not whole: 1 of 3 images cannot be read"
    assert probe_video(tmp_path).cut_short == said


def written(path, at, ratio=None, size=(64, 64)):
    """A film of noise whose frames are shown at some milliseconds."""
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height = size
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        for shown_at in at:
            image = draw.integers(0, 256, (size[1], size[0], 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = int(shown_at), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_pauses_here_and_there_count_together(tmp_path):
    steps = ([1] * 5 + [7]) * 12  # of 12 ticks, for 6 there is a picture
    at = 40 * np.cumsum(steps)
    found = probe_video(written(tmp_path / "a.mkv", at)).cut_short
    assert found.startswith("it has no picture for 2.9 of 5.")
    few = 40 * np.cumsum([1] * 60 + [7] + [1] * 60)
    assert not probe_video(written(tmp_path / "b.mkv", few)).cut_short


def test_frames_that_are_shown_for_unequal_times_are_a_doubt(tmp_path):
    steps = [1] * 60 + [400] * 20 + [1] * 60  # what is shown is one in seven frames
    found = probe_video(written(tmp_path / "a.mkv", np.cumsum(steps))).cut_short
    assert found.startswith("its frames are shown for very unequal times")
    assert "up to 42%" in found  # 60 of 140 frames in 60 of 8,120 ms
    even = probe_video(written(tmp_path / "b.mkv", 40 * np.arange(30)))
    assert even.cut_short == ""
    at_once = pictures_missing(np.zeros(20), 0.0, 0)
    assert at_once == "all its frames are shown at the same time"


def test_frames_that_are_looked_at_but_hardly_shown_are_a_doubt(tmp_path):
    for n_sampled in (8, 10, 16, 32):
        steps = np.full(200, 40)
        steps[np.rint(np.linspace(0, 199, n_sampled)).astype(int)] = 1
        at = np.cumsum(steps) - steps
        found = pictures_missing(at / 1000, duration=0.0, n_stated=0)
        assert f"by number: {n_sampled} spread evenly are shown for" in found
    found = probe_video(written(tmp_path / "a.mkv", at)).cut_short
    assert "32 spread evenly are shown for 6% of the mean" in found
    # The last is shown for long, which makes up for none of the others.
    assert "32 spread" in pictures_missing(at / 1000, 0.0, 0, last=0.7)


def test_uneven_times_by_chance_are_no_doubt():
    draw = np.random.default_rng(0)
    for n_frames in range(60, 600, 20):
        for steps in (draw.gamma(2, 0.02, n_frames), np.tile([1, 2], n_frames) / 40):
            assert pictures_missing(np.cumsum(steps), 0.0, 0) == ""


@pytest.mark.parametrize(("ratio", "is_doubt"), [("16/15", False), ("2/1", True)])
def test_pixels_that_are_not_square_are_a_doubt(ratio, is_doubt, tmp_path):
    path = written(tmp_path / "a.mp4", 40 * np.arange(30), Fraction(ratio))
    assert bool(probe_video(path).cut_short) == is_doubt
