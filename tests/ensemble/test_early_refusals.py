"""What cannot work is refused before a video is read; what was decided is said."""

import numpy as np
import pandas as pd
import pytest

from base_models import CallableDetector
from base_models.video import sample_frames, write_video
from ensemble import DeepfakeEnsemble, compare_strategies, out_of_fold_scores
from ensemble.cli.tables import show_fit
from ensemble.datasets import VideoTable
from ensemble.datasets.exploring.pictures import plot_frames
from ensemble.datasets.kinds.registry import find_kind
from ensemble.out_of_fold import training_set


def brightness(videos):
    return [video.mean() / 255 for video in videos]


def unread(video):
    raise AssertionError("a video was read")


@pytest.mark.parametrize("resampling", [9, "k-fold"])
def test_folds_that_groups_do_not_allow(resampling, monkeypatch):
    videos = [np.zeros((2, 8, 8, 3), np.uint8)] * 8
    y, groups = np.arange(8) % 2, np.arange(8) // 2
    monkeypatch.setattr(training_set, "content_digest", unread)
    members = {"bright": CallableDetector(brightness)}
    model = DeepfakeEnsemble(members, resampling=resampling, verbose=False)
    with pytest.raises(ValueError, match="folds need as many groups with each class"):
        model.fit(videos, y, groups=groups)
    with pytest.raises(ValueError, match="folds need as many groups with each class"):
        out_of_fold_scores(members, videos, y, groups=groups, resampling=resampling)


@pytest.mark.slow
def test_inner_folds_that_groups_do_not_allow(monkeypatch):
    videos = [np.zeros((2, 8, 8, 3), np.uint8)] * 8
    y, groups = [0, 1, 0, 0, 1, 0, 0, 0], [1, 1, 1, 1, 2, 2, 2, 2]
    monkeypatch.setattr(training_set, "content_digest", unread)
    with pytest.raises(ValueError, match="without two folds of groups|need as many"):
        compare_strategies(
            [CallableDetector(brightness)], y, groups, videos=videos, n_folds=2,
            nesting="exact",
        )  # fmt: skip


@pytest.mark.parametrize("n_boot", [0, -1, 2.5])
def test_no_draws_give_no_interval(n_boot):
    scores = pd.DataFrame(np.random.default_rng(0).random((20, 2)), columns=["a", "b"])
    with pytest.raises(ValueError, match="n_boot must be a whole number .* 1 or more"):
        compare_strategies(scores, np.arange(20) % 2, n_boot=n_boot)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ffpp", "faceforensics"),
        ("FF++", "faceforensics"),
        ("FaceForensics++", "faceforensics"),
        ("cdf", "celeb_df"),
        ("Celeb-DF", "celeb_df"),
        ("dfdc-preview", "dfdc_preview"),
        ("DFDCP", "dfdc_preview"),
        ("DeepFakeDetection", "dfd"),
        ("auto", "auto"),
        ("csv", "csv"),
    ],
)
def test_data_sets_go_by_the_names_that_people_use(name, kind):
    assert find_kind(name) == kind


def test_a_name_that_nobody_uses_is_refused():
    with pytest.raises(ValueError, match="did you mean 'celeb_df'"):
        find_kind("celeb_dg")


@pytest.fixture
def toy_table(tmp_path):
    paths = []
    for number in range(16):
        level = 60 + 80 * (number % 2) + 2 * number
        video = np.full((4, 32, 32, 3), level, np.uint8)
        paths.append(str(write_video(tmp_path / f"{number}.mp4", video)))
    frame = pd.DataFrame({"path": paths, "label": np.arange(16) % 2})
    return VideoTable(
        frame.assign(
            group=np.arange(16) // 2, dataset="dfdc", split="train", method="none"
        )
    )


def shade(videos):
    return [sample_frames(video, 1).mean() / 255 for video in videos]


def inverted(videos):
    return [1 - score for score in shade(videos)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*real videos above fake")
def test_a_fit_of_a_data_set_says_what_it_was_and_whom_it_does_without(
    toy_table, capsys
):
    members = {"right": CallableDetector(shade), "wrong": CallableDetector(inverted)}
    model = DeepfakeEnsemble(members, resampling=2, verbose=False).fit(toy_table)
    assert model.card_.data == "dfdc, train"
    assert "(dfdc, train)" in model.card_.summary()
    assert model.weights_["wrong"] == 0 < model.weights_["right"]
    show_fit(model, "m.dfe")
    assert "gives wrong weight 0: without it" in capsys.readouterr().out
    model.describe("my own words")
    assert model.card_.data == "my own words"
    model.fit(toy_table.videos, toy_table.labels, groups=toy_table.groups)
    assert model.card_.data == ""


def test_titles_of_frames_tell_videos_of_one_name_apart(tmp_path):
    paths = [tmp_path / folder / "1.mp4" for folder in ("raw", "c23")]
    for path in paths:
        path.parent.mkdir()
        write_video(path, np.zeros((2, 16, 16, 3), np.uint8))
    figure = plot_frames([str(path) for path in paths])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["raw/1.mp4", "c23/1.mp4"]
