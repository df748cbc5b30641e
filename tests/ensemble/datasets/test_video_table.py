import os

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble import DeepfakeEnsemble, compare_strategies
from ensemble.datasets import VideoTable, load_dataset
from ensemble.datasets.duplicates import same_content
from ensemble.datasets.kinds.class_folders import videos_below
from ensemble.datasets.video_table import COLUMNS
from ensemble.scores.table import companions


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame({
        "path": [str(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4")],
        "label": [0, 1, None],
        "method": ["none", "swap", None],
        "split": ["train", "train", "test"],
        "source_ids": [("a",), ("a", "b"), ()],
        "group": ["007", "007", None],
        "fps": [25.0, None, None],
        "frames": [100, None, None],
        "weather": ["rain", None, "sun"],
    })  # fmt: skip
    return VideoTable(frame, "csv")


def test_it_unpacks_and_what_is_unknown_is_missing(table):
    videos, labels, groups = table
    assert [video[-5:] for video in videos] == ["a.mp4", "b.mp4", "c.mp4"]
    assert labels == [0, 1, None]
    assert groups == ["007", "007", videos[2]]  # alone in its own
    assert list(table.table.columns) == [*COLUMNS, "weather"]
    assert table.table["compression"].isna().all()
    assert table.metadata["method"].tolist() == ["none", "swap", None]
    assert list(table.metadata.columns) == ["method"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_written_is_read_again(ending, table, tmp_path):
    path = tmp_path / f"table.{ending}"
    getattr(table, f"to_{ending}")(path)
    again = VideoTable.read(path)
    expected = table.table.assign(dataset="table").astype({"dataset": "string"})
    pd.testing.assert_frame_equal(again.table, expected, check_dtype=False)
    assert again.labels == table.labels
    assert again.groups == table.groups


def test_words_for_labels_come_back(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text(name)
    path = tmp_path / "set.csv"
    path.write_text("path,label\na.mp4,REAL\nb.mp4,FAKE\n")
    table = load_dataset("csv", path)
    assert table.labels == ["REAL", "FAKE"]
    assert table.table["label"].tolist() == [0, 1]
    assert table.groups is None
    path.write_text("path,label\na.mp4,clean\nb.mp4,swap\n")
    with pytest.raises(ValueError, match="do not say which is fake"):
        load_dataset("csv", path)
    table = load_dataset("csv", path, fake_label="swap")
    assert table.table["label"].tolist() == [0, 1]
    assert table.labels == ["clean", "swap"]


def test_a_mask_takes_some(table):
    assert table.subset(where=table.table["fps"] > 20).labels == [0]
    with pytest.raises(ValueError, match="one entry per video, 3; got 2"):
        table.subset(where=[True, False])


def test_bad_tables_are_refused():
    with pytest.raises(ValueError, match="path and label; path missing, got label"):
        VideoTable(pd.DataFrame({"label": [1]}))
    with pytest.raises(ValueError, match="label must be 0 for real, 1 for fake"):
        VideoTable(pd.DataFrame({"path": ["a"], "label": [2]}))
    with pytest.raises(ValueError, match="each video once"):
        VideoTable(pd.DataFrame({"path": ["a", "a"], "label": [1, 1]}))


def test_data_sets_are_joined(table):
    other = VideoTable(table.table.assign(dataset="other"))
    one = VideoTable(table.table.assign(dataset="one"))
    joined = VideoTable.concat([one, other])
    assert joined.table["video_id"].is_unique
    assert joined.table["dataset"].tolist() == ["one"] * 3 + ["other"] * 3
    assert joined.groups[0] == joined.groups[3] == "007"


def test_copies_are_found_by_content_and_not_by_size(tmp_path):
    contents = {"a": "one", "b": "two", "c": "one", "d": "three", "e": ""}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_text("image")
    videos = [str(tmp_path / name) for name in (*contents, "x", "y", "absent")]
    assert same_content(videos) == [[0, 2], [5, 6]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.mp4,0,ann\nb.mp4,1,ann\n", r"a\.mp4 and b\.mp4 \(label 0 and 1\)"),
        ("a.mp4,0,ann\nb.mp4,0,bob\n", r"a\.mp4 and b\.mp4 \(group ann and bob\)"),
    ],
)
def test_a_copy_under_another_label_or_group_is_refused(rows, message, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text("the same")
    (tmp_path / "videos.csv").write_text(f"path,label,group\n{rows}")
    with pytest.raises(ValueError, match=message):
        load_dataset("auto", tmp_path)
    with pytest.warns(UserWarning, match=message):
        load_dataset("auto", tmp_path, duplicates="warn")
    assert len(load_dataset("auto", tmp_path, duplicates="allow")) == 2


def test_a_video_that_is_listed_again_counts_once(tmp_path):
    (tmp_path / "a.mp4").write_text("a")
    path = tmp_path / "set.csv"
    path.write_text("path,label\na.mp4,1\na.mp4,1\n")
    with pytest.warns(UserWarning, match="1 videos are listed again"):
        assert len(load_dataset("csv", path)) == 1
    path.write_text("path,label\na.mp4,1\na.mp4,0\n")
    with pytest.raises(ValueError, match="with another label"):
        load_dataset("csv", path)


def test_images_of_a_class_are_videos_and_folders_of_them_too(tmp_path):
    for name in ("real/1.jpg", "real/2.webp", "fake/3.png", "fake/clip/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "fake/3.png").unlink()
    with pytest.warns(UserWarning, match="says nothing of groups"):
        table = load_dataset("folder", tmp_path)
    assert sorted(table.table["video_id"]) == ["fake/clip", "real/1.jpg", "real/2.webp"]
    assert sorted(map(str, videos_below(tmp_path))) == sorted(table.videos)
    assert videos_below(tmp_path / "real") == [tmp_path / "real"]  # frames of a video


def test_real_and_fake_are_taken_before_a_list_of_another_kind(tmp_path):
    for name in ("real/1.mp4", "fake/2.mp4"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    (tmp_path / "labels.csv").write_text("filename,label\n1.mp4,0\n2.mp4,1\n")
    with pytest.warns(UserWarning, match="says nothing of groups"):
        assert load_dataset("auto", tmp_path).kind == "folder"


@pytest.mark.parametrize("fake_label", [None, 0])
def test_a_table_that_contradicts_its_folders_is_named(tmp_path, fake_label):
    table = tmp_path / "fake" / "table.csv"  # where it lies itself says nothing
    table.parent.mkdir()
    rows = ["fake/0.mp4,1", "Real/1.mp4,0", "real/hq/2.mp4,1", "3.mp4,0"]
    table.write_text("\n".join(["path,label", *rows]))
    said = r"1 of 4 videos lie in: it lists real/hq/2.mp4 as FAKE;"
    if fake_label == 0:
        said = r"2 of 4 videos lie in: it lists fake/0.mp4 as REAL, Real/1.mp4 as FAKE;"
    with pytest.warns(UserWarning, match=f"contradicts the folders that {said}"):
        load_dataset("csv", table, missing="keep", fake_label=fake_label)


def test_unknown_kinds_and_places_are_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'faceforensics'"):
        load_dataset("faceforensic", tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing at"):
        load_dataset("auto", tmp_path / "absent")


class BySize(ClassifierMixin, BaseEstimator):
    """Knows a fake by the size of its file."""

    def fit(self, videos, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, videos):
        fake = np.array([os.stat(v).st_size % 2 for v in videos]) * 0.8 + 0.1
        return np.column_stack([1 - fake, fake])

    def predict(self, videos):
        return self.classes_[(self.predict_proba(videos)[:, 1] > 0.5).astype(int)]


@pytest.mark.slow
def test_it_is_taken_where_videos_labels_and_groups_are(tmp_path):
    rows = []
    for row in range(24):
        (tmp_path / f"{row}.mp4").write_text("x" * (100 + 2 * row + row % 2))
        rows.append(f"{row}.mp4,{row % 2},{row // 2},{['none', 'swap'][row % 2]}")
    (tmp_path / "videos.csv").write_text("path,label,group,method\n" + "\n".join(rows))
    table = load_dataset("auto", tmp_path)
    comparison = compare_strategies(
        [BySize()], videos=table, strategies=["soft"], n_boot=10, n_folds=3, store=None
    )
    assert comparison.how["n_groups"] == 12
    assert comparison.metadata["method"].tolist() == ["none", "swap"] * 12
    assert comparison.y.tolist() == table.labels
    model = DeepfakeEnsemble([("size", BySize())], "voting", resampling=3).fit(table)
    assert companions(model.oof_scores_)["group"].tolist() == table.groups
    np.testing.assert_array_equal(model.predict(table), table.labels)
    again = DeepfakeEnsemble([("size", BySize())], "voting", resampling=3).fit(*table)
    np.testing.assert_array_equal(again.fake_score(table), model.fake_score(table))


def test_a_video_that_is_called_as_a_group_is_alone():
    frame = pd.DataFrame({
        "path": ["ann", "b", "ann (alone)"], "label": [0, 1, 0],
        "group": [None, "ann", None],
    })  # fmt: skip
    groups = VideoTable(frame).groups
    assert groups[1] == "ann"
    assert len(set(groups)) == 3


def test_data_sets_that_disagree_or_have_one_name_are_not_joined(table):
    other = table.table.assign(label=[1, 1, 0], dataset="other")
    with pytest.raises(
        ValueError, match=r"1 files are real in one.*fake.*a\.mp4; take"
    ):
        VideoTable.concat([table, VideoTable(other)])
    frame = pd.DataFrame({"path": ["v1/a.mp4"], "label": [0], "video_id": ["a.mp4"]})
    frame = frame.assign(dataset="celeb_df")
    first, second = VideoTable(frame), VideoTable(frame.assign(path="v2/a.mp4"))
    with pytest.raises(ValueError, match=r"1 videos have.*'celeb_df/a\.mp4'.*name=\)"):
        VideoTable.concat([first, second])
    again = VideoTable(second.table.assign(dataset="celeb_df_v2"))
    assert len(VideoTable.concat([first, again])) == 2


def test_a_split_of_a_data_set_without_splits_is_refused_in_words():
    frame = pd.DataFrame({"path": ["a.mp4"], "label": [0]})
    message = r"split='x' was asked for, and no video has a split: 1 videos \(1 real\)"
    with pytest.raises(ValueError, match=message):
        VideoTable(frame).subset(split="x")


def test_splits_are_the_same_in_capital_letters():
    frame = pd.DataFrame({"path": list("abcd"), "label": [0, 1, 0, 1]})
    table = VideoTable(frame.assign(split=["Train", "train", "Dev", "dev"]))
    assert table.subset(split="TRAIN").videos == ["a", "b"]
    assert table.subset(split="dev").videos == ["c", "d"]
    assert table.table["split"].tolist()[:2] == ["train", "train"]
