"""Transport streams in which another stream begins after a while."""

import av
import numpy as np
import pytest

from base_models import VideoReadError, iter_frames, probe_video, sample_frames
from base_models.video.bounds.budget import is_of_a_decoder
from base_models.video.quality import estimate_qp


def broadcast(path, **options):
    """Write three seconds of noise, more than is looked at to find the streams."""
    draw = np.random.default_rng(0)
    with av.open(path, "w", format="mpegts", options=options) as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width = stream.height = 64
        for _ in range(75):
            noise = draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture
def two(tmp_path):
    one = broadcast(tmp_path / "one.ts")
    other = broadcast(
        tmp_path / "other.ts",
        mpegts_start_pid="0x300",
        mpegts_pmt_start_pid="0x1100",
        mpegts_service_id="2",
    )
    (tmp_path / "two.ts").write_bytes(one + other)
    return tmp_path / "two.ts"


@pytest.mark.parametrize("look", [probe_video, sample_frames, iter_frames, estimate_qp])
def test_a_second_program_is_refused_by_name(two, look):
    with pytest.raises(VideoReadError, match=r"two\.ts: another stream begins within"):
        list(look(two))
    assert sample_frames(two.with_name("one.ts"), 2).shape == (2, 64, 64, 3)


def test_what_a_decoder_stumbles_over_is_told_from_mistakes_of_ours(two):
    with pytest.raises(IndexError) as stumbled, av.open(str(two)) as container:
        list(container.demux())
    assert is_of_a_decoder(stumbled.value)
    with pytest.raises(IndexError) as ours:
        [][1]
    assert not is_of_a_decoder(ours.value)
