import warnings

import av
import numpy as np
import pytest

from base_models import FrequencyDetector, Store, write_video
from ensemble import DeepfakeEnsemble


@pytest.fixture
def clips(tmp_path):
    """Eight clips of noise and one of black, as files."""
    rng = np.random.default_rng(0)
    for number in range(8):
        noise = rng.integers(0, 256, (4, 48, 48, 3), dtype=np.uint8)
        write_video(tmp_path / f"{number}.mp4", noise)
    write_video(tmp_path / "black.mp4", np.zeros((4, 48, 48, 3), np.uint8))
    return tmp_path


def packed_anew(file, to):
    """Copy what is coded into another container."""
    with av.open(file) as given, av.open(to, "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    return to


def warnings_of_fit(videos, y, groups):
    detector = FrequencyDetector("frame", n_frames=2)
    model = DeepfakeEnsemble(
        [detector], resampling=2, verbose=False, store=Store(videos[0].parent)
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(videos, y, groups=groups)
    return [str(warning.message) for warning in said if "same" in str(warning.message)]


def test_a_copy_that_is_packed_anew_is_named(clips):
    videos = [clips / f"{number}.mp4" for number in range(8)]
    videos.append(packed_anew(clips / "2.mp4", clips / "other.mkv"))
    videos.append(clips / "longer.mp4")
    videos[-1].write_bytes((clips / "5.mp4").read_bytes() + bytes(999))
    y = [0, 1] * 4 + [1, 1]
    said = warnings_of_fit(videos, y, [*range(8), 8, 9])
    assert len(said) == 1
    assert said[0].startswith("2 videos are there several times, in files that differ")
    both = {f"{clips}/2.mp4 (real, group 2)", f"{clips}/other.mkv (fake, group 8)"}
    assert all(name in said[0] for name in both)
    assert f"{clips}/longer.mp4 (fake, group 9)" in said[0]
    assert warnings_of_fit(videos, y, [*range(8), 8, 9]) == said  # all is stored


def test_copies_of_one_group_and_label_and_black_clips_are_not_named(clips):
    videos = [clips / f"{number}.mp4" for number in range(8)]
    videos.append(packed_anew(clips / "2.mp4", clips / "other.mkv"))
    videos += [clips / "black.mp4", packed_anew(clips / "black.mp4", clips / "b.mkv")]
    assert not warnings_of_fit(videos, [0, 1] * 4 + [0, 0, 1], [*range(8), 2, 8, 9])
