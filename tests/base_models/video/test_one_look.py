"""What one look at a video may take: several readings, and finding faces."""

import time

import numpy as np
import pytest
from little_videos import counting_frames, encode

from base_models import Store, VideoReadError, reading_limits
from base_models.runtime.caches import clear_caches
from base_models.video.bounds import budget
from base_models.video.quality import estimate_qp
from base_models.video.reading import iter_frames, sample_frames
from base_models.views import ViewRecipe, make_views


@pytest.fixture
def clip(tmp_path):
    return encode(tmp_path / "clip.mp4", counting_frames(40))


class _Slow:
    """Finds no face, slowly."""

    def __init__(self):
        self.n_looks = 0

    def find(self, frame):
        self.n_looks += 1
        time.sleep(0.02)
        return []


def test_faces_are_looked_for_as_long_as_the_video_may_be_read(clip, tmp_path):
    finder, store = _Slow(), Store(tmp_path / "store")
    recipe = ViewRecipe("face", image_size=32, n_frames=8, finder=finder)
    with reading_limits(video_seconds=0.2):
        for _ in range(2):
            view = make_views(clip, [recipe], store)[recipe.key]
            assert "takes longer than the 0.2 s allowed" in view.reason
        assert 2 < finder.n_looks < 12  # of 34, and none the second time
    view = make_views(clip, [recipe], store)[recipe.key]
    assert view.reason == "no face found (34 frames tried)"


def _read_five_times(path):
    for _ in range(5):
        sample_frames(path, None)


def test_readings_for_one_look_are_counted_together(clip, monkeypatch):
    now = [0.0]

    def passes():
        now[0] += 0.05
        return now[0], now[0]

    monkeypatch.setattr(budget.Clock, "_now", staticmethod(passes))
    sample_frames(clip, None)
    with reading_limits(video_seconds=now[0]):
        _read_five_times(clip)  # each by itself
        with budget.one_clock(clip), pytest.raises(VideoReadError, match="s allowed"):
            _read_five_times(clip)


@pytest.mark.parametrize("spent", [20.5, 19.999999])
def test_another_process_knows_what_was_spent_before(clip, spent):
    with (
        reading_limits(video_seconds=20, isolation="process"),
        budget.one_clock(clip, spent),
        pytest.raises(VideoReadError, match="longer than the 20 s allowed"),
    ):
        sample_frames(clip, None)


def test_too_little_memory_is_the_reason_of_the_file(tmp_path):
    large = encode(tmp_path / "large.mp4", np.zeros((4, 720, 1280, 3), np.uint8))
    for read in (sample_frames, estimate_qp, lambda path: next(iter_frames(path))):
        clear_caches()
        with (
            reading_limits(video_bytes=2**20, isolation="process"),
            pytest.raises(VideoReadError, match="more than the 1,048,576 bytes of mem"),
        ):
            read(large)
