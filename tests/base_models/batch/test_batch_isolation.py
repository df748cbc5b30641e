"""Batches read videos in a process of their own, unless they are told otherwise."""

import pandas as pd
import pytest

from base_models import CallableDetector, score_table
from base_models.limits import current_limits


def _limits(videos):
    limits = current_limits()
    share = 0.5 if limits.isolation == "process" else 0.25
    return [share + limits.video_seconds / 1e5] * len(videos)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, 0.5 + 0.018),
        ({"isolation": None}, 0.25 + 0.018),
        ({"timeout": 60}, 0.5 + 0.0006),
    ],
)
def test_what_reading_may_take_is_known_where_videos_are_scored(
    tmp_path, how, expected
):
    detector = CallableDetector(_limits).fit(["a.mp4", "b.mp4"], [0, 1])
    table = tmp_path / "videos.csv"
    table.write_text("path\na.mp4\n")
    score_table({"limits": detector}, table, tmp_path / "scores", **how)
    assert pd.read_parquet(tmp_path / "scores")["limits"].tolist() == [expected]


def test_a_wrong_limit_is_refused_before_any_work(tmp_path):
    table = tmp_path / "videos.csv"
    table.write_text("path\na.mp4\n")
    with pytest.raises(ValueError, match="video_seconds must be above 0; got -1"):
        score_table({}, table, tmp_path / "scores", timeout=-1)
    assert not (tmp_path / "scores").exists()
