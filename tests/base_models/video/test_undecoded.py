"""Files whose packets are all there, and of which a part gives no picture."""

import av
import numpy as np
import pytest
from little_videos import CODECS, counting_frames, encode

from base_models import FrequencyDetector, Store, reading_limits
from base_models.video import probe_video
from base_models.video.reading import sample_clips
from base_models.views import make_views, stored_face
from ensemble import DeepfakeEnsemble

NOISE = np.random.default_rng(0).integers(0, 6, (80, 48, 64, 3), np.uint8)
FRAMES = np.concatenate([counting_frames(40)] * 2) + NOISE


def emptied(path, first=40, n=40, change=lambda content: content[:5]):
    """Change some of the packets of a file."""
    changed = path.with_stem("changed")
    with av.open(str(path)) as given, av.open(str(changed), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        whole = [packet for packet in given.demux(video=0) if packet.size]
        for number, packet in enumerate(whole):
            content = bytes(packet)
            if first <= number < first + n:
                content = change(content)
            other = av.Packet(content)
            other.pts, other.dts = packet.pts, packet.dts
            other.time_base, other.duration = packet.time_base, packet.duration
            other.is_keyframe, other.stream = packet.is_keyframe, stream
            made.mux(other)
    return changed


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("first", [20, 40])
def test_packets_of_which_no_picture_comes_are_told(ending, first, tmp_path):
    whole = encode(tmp_path / f"a.{ending}", FRAMES, CODECS.get(ending, "libx264"))
    path = emptied(whole, first)
    assert probe_video(path).n_frames == 80
    for n_frames in (4, 16):
        sample = sample_clips(path, n_frames)
        assert sample.lost.startswith("it is not whole: ")
        assert sample.lost.endswith(" of 80 frames cannot be decoded")
        assert sample_clips(whole, n_frames, seek=False).lost == ""


@pytest.mark.parametrize(("run", "of"), [(1, 2), (3, 6), (10, 14)])
def test_losses_count_wherever_they_are(run, of, tmp_path):
    noise, number = np.random.default_rng(2), iter(range(80))
    whole = encode(tmp_path / "a.mkv", FRAMES, "mpeg2video")
    path = emptied(
        whole, 0, 80,
        lambda content: (
            noise.bytes(len(content)) if next(number) % of >= of - run else content
        ),
    )  # fmt: skip
    assert sample_clips(whole, 16, seek=False).lost == ""
    n_lost = sum(number % of >= of - run for number in range(80))
    said = f"it is not whole: {n_lost} of 80 frames cannot be decoded"
    assert sample_clips(path, 16, seek=False).lost == said


def test_pictures_that_the_decoder_made_up_are_told(tmp_path):
    whole = encode(tmp_path / "a.mp4", FRAMES, "libx264")
    path = emptied(whole, change=lambda content: bytes(24) + content[24:])
    assert "cannot be decoded" in sample_clips(path, 16).lost


def test_another_process_tells_it_too(tmp_path):
    path = emptied(encode(tmp_path / "a.mp4", FRAMES, "libx264"))
    with reading_limits(isolation="process"):
        assert (
            sample_clips(path, 4).lost == sample_clips(path, 4, seek=False).lost != ""
        )


def test_a_moment_may_be_lost(tmp_path):
    path = emptied(encode(tmp_path / "a.mp4", FRAMES, "libx264"), first=60, n=4)
    assert sample_clips(path, 16, seek=False).lost == ""


@pytest.mark.parametrize(
    ("codec", "options", "ending"),
    [
        ("libx264", {"bf": "8", "refs": "8"}, "mp4"),  # held back for long
        ("libx264", {"x264-params": "interlaced=1"}, "ts"),
        ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "25"}, "webm"),  # hidden ones
        ("mpeg4", {"bf": "2"}, "avi"),
    ],
)
def test_what_decoders_hold_back_or_hide_is_no_loss(codec, options, ending, tmp_path):
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w") as made:
        stream = made.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in FRAMES:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode(None))
    assert sample_clips(path, 4, seek=False).lost == ""


@pytest.mark.parametrize("view", ["frame", "face"])
def test_it_stays_with_the_views(view, tmp_path):
    path = emptied(encode(tmp_path / "a.mp4", FRAMES, "libx264"))
    recipes = FrequencyDetector(view, n_frames=4).view_recipes()
    for _ in range(2):  # made, and found
        make_views(path, recipes, Store(tmp_path / "store"))
        said = stored_face(path, recipes, Store(tmp_path / "store"), 80)[1]
        assert said == "it is not whole: 40 of 80 frames cannot be decoded"


def test_a_model_calls_such_a_video_unsure(tmp_path):
    draw = np.random.default_rng(1)
    videos = [draw.integers(0, 256, (4, 48, 64, 3), np.uint8) for _ in range(8)]
    smooth = [video // 2 + 64 for video in videos]
    model = DeepfakeEnsemble(
        [FrequencyDetector("frame", n_frames=4)], resampling=2, verbose=False,
        store=Store(tmp_path / "store"),
    )  # fmt: skip
    model.fit(videos + smooth, [0] * 8 + [1] * 8, groups=np.arange(16) % 8)
    path = emptied(encode(tmp_path / "a.mp4", FRAMES, "libx264"))
    (row,) = model.judge([path]).to_dict("records")
    assert row["verdict"] == "UNSURE"
    assert "40 of 80 frames cannot be decoded" in row["doubts"]
