"""Which frames are sampled, and clips around them."""

import numpy as np
import pytest

from base_models.video import (
    iter_frames,
    sample_frames,
    sample_indices,
    write_video,
)
from base_models.video.reading import sample_clips


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
