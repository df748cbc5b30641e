"""What fit, stress, prepare and index keep of a file is of the content they name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from base_models import (
    FrequencyDetector,
    VideoReadError,
    reading_limits,
    write_video,
)
from base_models.video import reading
from base_models.video.paths import video_digest
from base_models.views import making
from ensemble import DeepfakeEnsemble
from ensemble.datasets import VideoTable, prepare_dataset
from ensemble.datasets.indexing.measuring import measure_video
from ensemble.inspection import stress

REPLACED = "it was replaced while it was looked at"


@pytest.fixture
def clips(tmp_path):
    """Two videos of as many bytes, and what they hold."""
    draw = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    path, contents = tmp_path / "clips" / "a.mp4", []
    for _ in range(2):
        frames = draw.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
        contents.append(write_video(path, frames).read_bytes())
    n_bytes = max(map(len, contents))
    contents = [content.ljust(n_bytes, b"\0") for content in contents]
    path.write_bytes(contents[0])
    return str(path), *contents


@pytest.fixture
def turned(clips, monkeypatch):
    """Have the file turned to the other one when somebody begins to read it."""
    path, _, other = clips
    plain, looked = reading.probe_video, []

    def probe(video):
        if str(video) == path and not looked:
            looked.append(video)
            Path(path).write_bytes(other)
        return plain(video)

    for module in (reading, stress):
        monkeypatch.setattr(module, "probe_video", probe)
    return looked


def test_stress_keeps_no_score_under_the_digest_of_another(clips, turned, tmp_path):
    path, first, _ = clips
    draw = np.random.default_rng(1)
    videos = [draw.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8) for _ in range(8)]
    videos[::2] = [video // 2 for video in videos[::2]]
    model = DeepfakeEnsemble(
        {"frequency": FrequencyDetector("frame", 32, n_frames=2)}, resampling=2,
        verbose=False,
    )  # fmt: skip
    model.fit(videos, np.arange(8) % 2, groups=np.arange(8) // 2)
    kept = tmp_path / "scores.csv"
    settings = {"changes": {"darker": [0.5]}, "scores_file": kept}
    found = stress.stress_test(model, [path], **settings)
    assert turned
    assert list(found.reasons.values()) == [REPLACED]
    assert not kept.exists()
    Path(path).write_bytes(first)
    again = stress.stress_test(model, [path], **settings)
    (score,) = model.detector_scores([path])["frequency"]
    assert again.scores["frequency"][0] == pytest.approx(score)


def test_prepare_writes_no_image_of_another(clips, turned, tmp_path):
    path, _, other = clips
    rows = {"path": [path], "label": [0], "group": ["a"], "split": ["train"]}
    table = VideoTable(pd.DataFrame(rows))
    settings = {"view": "frame", "size": 32, "n_frames": 2, "every": 0.04}
    with pytest.raises(ValueError, match=f"none of 1 videos gave .*{REPLACED}"):
        prepare_dataset(table, tmp_path / "out", **settings)
    assert turned
    assert not list(tmp_path.rglob("*.png"))
    assert len(prepare_dataset(table, tmp_path / "out", **settings)) == 1
    assert Path(path).read_bytes() == other


def test_index_measures_one_content(clips, turned):
    path, *_ = clips
    row, _ = measure_video(path, None)
    assert turned
    assert (row["readable"], row["reason"]) == (False, REPLACED)
    row, _ = measure_video(path, None)
    assert (row["readable"], row["digest"]) == (True, video_digest(path, in_full=True))


def test_fit_keeps_no_member_that_was_trained_without_a_file(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    paths, labels = [], np.arange(8) % 2
    for number, label in enumerate(labels):
        frames = draw.integers(0, 200 + 55 * label, (6, 32, 32, 3)).astype(np.uint8)
        paths.append(str(write_video(tmp_path / f"{number}.mp4", frames)))
    first, other = (Path(paths[number]).read_bytes() for number in (0, 3))
    plain, looked = making.sample_clips, []

    def sample(video, *rest, **more):
        if str(video) == paths[0] and not looked:
            looked.append(video)
            Path(video).write_bytes(other)
        return plain(video, *rest, **more)

    def scores(store):
        members = [FrequencyDetector("frame", 32, n_frames=2)]
        model = DeepfakeEnsemble(members, resampling=2, store=store, verbose=False)
        model.fit(paths, labels, groups=np.arange(8))
        return model.oof_scores_.to_numpy()[:, 0]

    def too_slow(video, *rest, **more):
        if str(video) == paths[0]:
            raise VideoReadError(video, "it takes longer than the 0.2 s allowed")
        return plain(video, *rest, **more)

    monkeypatch.setattr(making, "sample_clips", sample)
    assert np.isnan(scores(tmp_path / "store")).tolist() == [True] + [False] * 7
    assert looked
    Path(paths[0]).write_bytes(first)
    again = scores(tmp_path / "store")
    monkeypatch.setattr(making, "sample_clips", too_slow)
    assert np.isnan(scores(tmp_path / "third")).tolist() == [True] + [False] * 7
    monkeypatch.setattr(making, "sample_clips", plain)
    assert again.tolist() == scores(tmp_path / "another").tolist()
    assert again.tolist() == scores(tmp_path / "third").tolist()


def test_prepare_tries_again_what_failed_for_a_while(clips, tmp_path):
    path, *_ = clips
    rows = {"path": [path], "label": [0], "group": ["a"], "split": ["train"]}
    table = VideoTable(pd.DataFrame(rows))
    settings = {"view": "frame", "size": 40, "n_frames": 2}  # seen by nobody before
    with (
        reading_limits(video_pixels=64),
        pytest.raises(ValueError, match="none of 1 videos gave an image.*allowed"),
    ):
        prepare_dataset(table, tmp_path / "out", **settings)
    assert len(prepare_dataset(table, tmp_path / "out", **settings)) == 1
