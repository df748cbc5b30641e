"""The quantiser of a video, as its stream tells it or as its bits do."""

import math

import av
import numpy as np
import pytest
from PIL import Image

from base_models import VideoReadError, estimate_qp, write_video
from base_models.video.quality import LEVELS, nearest_level


def film(n_frames=30, size=128, seed=0):
    """A patch of noise that moves over a smooth ground."""
    draw = np.random.default_rng(seed)
    rows, columns = np.indices((size, size))
    ground = 90 + 60 * np.sin(rows / 17) * np.cos(columns / 23)
    patch = draw.normal(0, 25, (40, 40))
    frames = np.repeat(ground[None], n_frames, axis=0)
    for number, frame in enumerate(frames):
        frame[20 + number : 60 + number, 30:70] += patch
    frames = frames + draw.normal(0, 3, frames.shape)
    return np.clip(frames, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=-1)


def encode(path, frames, codec, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return path


def test_h264_tells_its_quantiser(tmp_path):
    # constant quantiser: keyframes are 3 below it, B-frames 2 above, by x264's ratios
    for qp in (12, 24, 38):
        path = encode(
            tmp_path / "a.mp4", film(), "libx264", qp=str(qp), g="250", bf="0"
        )
        assert estimate_qp(path) == pytest.approx(qp, abs=1)


@pytest.mark.parametrize(("crf", "level"), [(0, "raw"), (23, "c23"), (40, "c40")])
def test_the_levels_of_the_field_are_told_apart(tmp_path, crf, level):
    path = write_video(tmp_path / "a.mp4", film(), crf=crf)
    assert nearest_level(estimate_qp(path)) == level


def test_mpeg2_counts_in_steps_of_its_own(tmp_path):
    # code 8 means a step of 16, which is 0.625 * 2 ** (QP / 6) in H.264
    path = encode(tmp_path / "a.mpg", film(), "mpeg2video", qmin="8", qmax="8", g="12")
    step = 0.625 * 2 ** (estimate_qp(path) / 6)
    assert step == pytest.approx(16, rel=0.1)


def test_other_codecs_are_judged_by_their_bits(tmp_path):
    coarse = encode(tmp_path / "a.mp4", film(), "mpeg4", qmin="20", qmax="20")
    fine = encode(tmp_path / "b.mp4", film(), "mpeg4", qmin="2", qmax="2")
    assert 0 <= estimate_qp(fine) < estimate_qp(coarse) - 8 <= 51


def test_a_damaged_file_is_judged_by_what_is_left(tmp_path):
    path = encode(tmp_path / "a.ts", film(60), "libx264", qp="30", bf="0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert estimate_qp(path) == pytest.approx(30, abs=1.5)


def test_arrays_and_folders_do_not_tell(tmp_path):
    for number, frame in enumerate(film(2)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    assert math.isnan(estimate_qp(film(2)))
    assert math.isnan(estimate_qp(tmp_path))


def test_what_is_no_video_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoReadError, match="a.mp4"):
        estimate_qp(tmp_path / "a.mp4")


def test_unknown_quality_goes_to_c23_or_its_neighbour():
    assert nearest_level(math.nan) == "c23"
    assert nearest_level(math.nan, ["raw", "c40"]) == "c40"
    assert [nearest_level(qp) for qp in LEVELS.values()] == list(LEVELS)


@pytest.mark.slow
def test_real_clips_encoded_anew_go_to_their_level(shared, tmp_path):
    from base_models import iter_frames, list_videos

    right = []
    for clip in list_videos(shared / "data/clips/real")[::4]:
        frames = [frame for _, frame in zip(range(32), iter_frames(clip), strict=False)]
        for crf, level in ((0, "raw"), (23, "c23"), (40, "c40")):
            path = write_video(tmp_path / "a.mp4", frames, crf=crf)
            right.append(nearest_level(estimate_qp(path)) == level)
    assert np.mean(right) > 0.95
