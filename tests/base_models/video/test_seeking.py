"""Decoding only what is asked for gives the frames of the plain way."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from base_models.video import sample_frames, seeking
from base_models.video.packets import list_packets
from base_models.video.sampling import sample_indices
from base_models.video.seeking import frames_by_seeking

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
N_FRAMES = 120

# name: file's ending, codec, its options, whether seeking is expected to serve
KINDS = {
    "short GOP": ("mp4", "libx264", {"g": "6", "bf": "0"}, True),
    "long GOP": ("mp4", "libx264", {"g": "50", "bf": "0"}, True),
    "one GOP": ("mp4", "libx264", {"g": "999"}, True),
    "B-frames": ("mp4", "libx264", {"g": "24", "bf": "3"}, True),
    "many B-frames": ("mkv", "libx264", {"g": "30", "bf": "8", "b-pyramid": "2"}, True),
    "only key frames": ("mp4", "libx264", {"g": "1"}, True),
    "transport stream": ("ts", "libx264", {"g": "24", "bf": "2"}, True),
    "fragments": (
        "mp4",
        "libx264",
        {"g": "24", "movflags": "frag_keyframe+empty_moov"},
        True,
    ),
    "flash": ("flv", "libx264", {"g": "24"}, True),
    "hevc": ("mp4", "libx265", {"g": "24", "x265-params": "log-level=none"}, True),
    "vp9": ("webm", "libvpx-vp9", {"g": "24", "cpu-used": "8"}, True),
    "mpeg4": ("mp4", "mpeg4", {"g": "24", "bf": "2"}, True),
    "motion jpeg": ("mov", "mjpeg", {}, True),
    "open GOP": ("mp4", "libx264", {"x264-params": "open-gop=1:keyint=24"}, False),
    "refresh": ("mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=24"}, False),
    "hidden frames": (
        "webm",
        "libvpx",
        {"g": "24", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
        False,
    ),
    "no times": ("h264", "libx264", {"g": "24"}, False),
    "packed AVI": ("avi", "mpeg4", {"g": "24", "bf": "2"}, None),
}


def moving_frames(n=N_FRAMES, height=48, width=64):
    """A texture that moves, with grain: no two frames are alike."""
    rng = np.random.default_rng(0)
    still = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (width, height))
    for index in range(n):
        moved = np.roll(still, 2 * index, 1).astype(int)
        yield np.clip(moved + rng.integers(-9, 10, moved.shape), 0, 255).astype("u1")


def encode(path, codec, options, times=None, n=N_FRAMES):
    """Encode moving frames; `times` in milliseconds make a variable frame rate."""
    muxer = {name: options[name] for name in options if name == "movflags"}
    coder = {name: options[name] for name in options if name != "movflags"}
    with av.open(str(path), "w", options=muxer) as container:
        stream = container.add_stream(codec, rate=25, options=coder)
        stream.height, stream.width = 48, 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, pixels in enumerate(moving_frames(n)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def assert_same_both_ways(path, n_frames=(1, 2, 5, 16, 40)):
    for n in n_frames:
        plain, at = sample_frames(path, n, return_indices=True, seek=False)
        quick, quick_at = sample_frames(path, n, return_indices=True)
        np.testing.assert_array_equal(quick_at, at)
        np.testing.assert_array_equal(quick, plain)


def is_sought(path, n_frames=5):
    table = list_packets(path)
    indices = sample_indices(table.n_frames, n_frames)
    return frames_by_seeking(path, table, indices) is not None


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory):
    """Encode one of KINDS, once."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def make(kind):
        if kind not in made:
            suffix, codec, options, _ = KINDS[kind]
            path = folder / f"{kind.replace(' ', '_')}.{suffix}"
            made[kind] = encode(path, codec, options)
        return made[kind]

    return make


@pytest.mark.slow_after(12)
@pytest.mark.parametrize("few_packets", [0, 50, 10**9])
@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_those_of_the_plain_way(clip_of, kind, few_packets, monkeypatch):
    # 0 seeks for every passage, 10**9 passes over the packets between without a seek.
    monkeypatch.setattr(seeking, "_FEW_PACKETS", few_packets)
    assert_same_both_ways(clip_of(kind), (1, 5, 16))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][3] is not None])
def test_seeking_serves_where_packets_tell_the_frames(clip_of, kind):
    assert is_sought(clip_of(kind)) == KINDS[kind][3]


def test_a_variable_frame_rate_changes_nothing(tmp_path):
    steps = np.random.default_rng(1).integers(5, 900, N_FRAMES)
    times = np.cumsum(steps).tolist()
    options = {"g": "20", "bf": "2"}
    for suffix in ("mp4", "mkv"):
        path = encode(tmp_path / f"a.{suffix}", "libx264", options, times)
        assert is_sought(path)
        assert_same_both_ways(path)


def test_frames_cut_out_by_an_edit_list_are_not_counted(tmp_path):
    times = [40 * (index - 7) for index in range(N_FRAMES)]
    path = encode(tmp_path / "a.mp4", "libx264", {"g": "20", "bf": "2"}, times)
    assert list_packets(path).n_frames < N_FRAMES
    assert_same_both_ways(path)


def test_only_the_passages_asked_for_are_decoded(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", "libx264", {"g": "12", "bf": "0"}, n=600)
    decoded = []
    follow = seeking._Walk._next
    monkeypatch.setattr(
        seeking._Walk, "_next", lambda walk: decoded.append(walk.row) or follow(walk)
    )
    frames, indices = sample_frames(path, 4, return_indices=True)
    assert indices.tolist() == [0, 200, 399, 599]
    assert len(decoded) <= 4 * (12 + 1)
    monkeypatch.undo()
    np.testing.assert_array_equal(frames, sample_frames(path, 4, seek=False))


def test_a_seek_that_misses_costs_time_and_nothing_else(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", "libx264", {"g": "12"}, n=300)
    expected, tried = sample_frames(path, 4, seek=False), []

    def miss(walk, entry):
        tried.append(entry)
        raise seeking._SeekMissed

    monkeypatch.setattr(seeking._Walk, "_seek", miss)
    assert is_sought(path, 4)
    assert tried
    np.testing.assert_array_equal(sample_frames(path, 4), expected)


@pytest.mark.parametrize("kind", ["short GOP", "long GOP", "B-frames", "motion jpeg"])
def test_damage_where_somebody_looks_is_judged_by_the_plain_way(
    tmp_path, clip_of, kind
):
    whole = clip_of(kind)
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        spans = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    rng = np.random.default_rng(2)
    for at in (30, 60, 61, 89, 90):  # in passages of samples 2 to 4 of 5
        position, size = spans[at]
        data[position + 8 : position + size] = rng.bytes(max(size - 8, 0))
    path = tmp_path / whole.name
    path.write_bytes(data)
    assert_same_both_ways(path, (5,))


def test_a_file_cut_off_gives_the_same_both_ways(tmp_path, clip_of):
    data = clip_of("transport stream").read_bytes()
    path = tmp_path / "a.ts"
    path.write_bytes(data[: len(data) * 3 // 5])
    assert_same_both_ways(path, (2, 5))


@pytest.mark.slow
def test_real_clips_are_the_same_both_ways():
    clips = sorted(CLIPS.glob("*/*.mp4"))
    if not clips:
        pytest.skip("no clips in ../shared/data/clips")
    for clip in clips[::6]:
        assert_same_both_ways(clip, (3,))
