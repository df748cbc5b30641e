"""A score and the doubts beside it are of one content of a file."""

from pathlib import Path

import numpy as np
import pytest

from base_models import FrequencyDetector, write_video
from base_models.video import reading
from base_models.views import making
from ensemble import DeepfakeEnsemble, scan_video


@pytest.fixture
def model(tmp_path):
    draw = np.random.default_rng(0)
    videos = [
        np.clip(draw.normal(100, 4 + 40 * (n % 2), (4, 32, 32, 3)), 0, 255)
        for n in range(12)
    ]
    videos = [video.astype(np.uint8) for video in videos]
    members = {"frequency": FrequencyDetector("frame", 32, n_frames=2)}
    model = DeepfakeEnsemble(members, resampling=2, store=tmp_path / "s", verbose=False)
    model.fit(videos, np.arange(12) % 2, groups=np.arange(12) // 2)
    for name, video in zip("abc", videos, strict=False):
        write_video(tmp_path / f"{name}.mp4", video, preset="ultrafast")
    return model


def judged(model, videos, each):
    if each:
        return [row.iloc[0] for row in model.judge_each(videos)]
    return [row for _, row in model.judge(videos).iterrows()]


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("each", [False, True])
def test_no_stored_score_stays_of_a_file_that_is_replaced_before_its_doubts(
    model, each, tmp_path, monkeypatch
):
    videos = [str(tmp_path / f"{name}.mp4") for name in "abc"]
    first = judged(model, videos, each)
    assert [row["status"] for row in first] == ["scored"] * 3
    plain, other = reading.probe_video, Path(videos[2]).read_bytes()

    def replacing(video):
        if video == videos[1]:
            Path(video).write_bytes(other)  # scored by now, from what the store has
        return plain(video)

    monkeypatch.setattr(reading, "probe_video", replacing)
    a, b, c = judged(model, videos, each)
    assert np.isnan(b["p_fake"])
    assert b["status"] == "unscorable"
    assert b["verdict"] == ""
    assert b["reason"] == "it was replaced while it was looked at"
    assert (a["p_fake"], c["p_fake"]) == (first[0]["p_fake"], first[2]["p_fake"])
    now = judged(model, videos, each)  # the next call is of what is there now
    assert now[1]["p_fake"] == c["p_fake"]


def test_who_takes_verdicts_one_by_one_may_write_to_files_between_them(model, tmp_path):
    video, other = str(tmp_path / "a.mp4"), (tmp_path / "b.mp4").read_bytes()
    seen = []
    for row in model.judge_each([video]):
        Path(video).write_bytes(other)
        seen += [row["p_fake"].item(), *model.judge([video])["p_fake"]]
    assert not np.isnan(seen).any()
    assert seen[0] != seen[1]


@pytest.mark.parametrize("at", [0.5, 0.8])
def test_a_scan_is_of_one_content(model, at, tmp_path):
    path, other = tmp_path / "a.mp4", (tmp_path / "b.mp4").read_bytes()
    before = scan_video(model, path)
    assert before.status == "scored"

    def replacing(share, _):
        if share >= at:
            path.write_bytes(other)

    found = scan_video(model, path, on_step=replacing)
    assert (found.status, found.verdict) == ("unscorable", "")
    assert np.isnan(found.p_fake)
    assert found.reason == "it was replaced while it was looked at"
    assert found.timeline.empty
    assert (
        scan_video(model, path).p_fake == scan_video(model, tmp_path / "b.mp4").p_fake
    )


@pytest.mark.parametrize("of", ["views", "profile"])
def test_what_is_put_back_after_it_was_read_was_replaced_all_the_same(
    model, of, tmp_path, monkeypatch
):
    """The digest is right before and after; what was decoded lay there between."""
    path = tmp_path / "a.mp4"
    mine, other = path.read_bytes(), (tmp_path / "b.mp4").read_bytes()
    module, name = (
        (making, "sample_clips") if of == "views" else (reading, "probe_video")
    )
    plain = getattr(module, name)

    def swapped(video, *args, **more):
        path.write_bytes(other)
        try:
            return plain(video, *args, **more)
        finally:
            path.write_bytes(mine)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, swapped)
        judged = model.judge([path]).iloc[0]
    said = judged["reason"] if of == "views" else judged["doubts"]
    assert "it was replaced while it was looked at" in said
    assert judged["verdict"] in ("", "UNSURE")
    copy = tmp_path / "copy.mp4"  # is what it is, and not what the store was given
    copy.write_bytes(mine)
    apart = DeepfakeEnsemble.from_detectors(model.detectors_, store=tmp_path / "new")
    frequency = model.judge([copy])["frequency"].iloc[0]
    assert frequency == apart.detector_scores([copy])["frequency"].iloc[0]
