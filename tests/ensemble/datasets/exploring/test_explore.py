"""Tables of a data set beside those of the starter kit."""

import pandas as pd
import pytest

from ensemble.datasets import VideoTable, explore, index_videos, load_dataset
from ensemble.datasets.exploring.files import file_census, lists_against_folders


def listed(folder, *names, **columns):
    paths = [str(folder / name) for name in names]
    frame = pd.DataFrame({"path": paths, "video_id": names, "label": 0})
    return VideoTable(frame.assign(**columns))


def plant(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ascii(name).strip("'"))


def test_without_a_root_only_the_folders_of_the_videos_are_looked_at(tmp_path):
    plant(tmp_path, "a/1.mp4", "a/new.mp4", "b/c/2.mp4", "b/other/3.mp4", "b/4.mp4")
    found = explore(listed(tmp_path, "a/1.mp4", "b/c/2.mp4"), store=tmp_path / ".s")
    assert found.root == tmp_path
    assert found.files["files"].to_dict() == {("a", ".mp4"): 2, ("b/c", ".mp4"): 1}
    assert found.lists_and_folders.to_numpy().tolist() == [["a/new.mp4", "folder"]]
    found = explore(found.table, tmp_path)
    assert found.files["files"].sum() == 5
    assert len(found.lists_and_folders) == 3


def test_hidden_files_are_not_counted_and_links_lead_nowhere(tmp_path):
    plant(tmp_path, "a.mp4", ".hidden.mp4", ".git/b.mp4", "noending")
    (tmp_path / "lost.mp4").symlink_to(tmp_path / "nothing")
    census = file_census(tmp_path)
    assert census["files"].to_dict() == {(".", "(none)"): 1, (".", ".mp4"): 2}
    assert census["bytes"].sum() == len("a.mp4") + len("noending")


def test_images_are_missed_only_where_images_are_listed(tmp_path):
    plant(tmp_path, "a.mp4", "b.png", "frames/1.png", "mask.jpg")
    videos = lists_against_folders(listed(tmp_path, "a.mp4"), tmp_path)
    assert videos.empty
    images = lists_against_folders(listed(tmp_path, "b.png", "frames"), tmp_path)
    assert images["video"].tolist() == ["a.mp4", "mask.jpg"]  # not the frames


def test_masks_of_faceforensics_are_files_and_no_videos_in_no_list(tmp_path):
    fakes = "manipulated_sequences/Deepfakes"
    names = ["original_sequences/youtube/c23/videos/000.mp4"]
    names += [f"{fakes}/{level}/videos/000_003.mp4" for level in ("c23", "masks")]
    plant(tmp_path, *names, "masks/other.mp4")
    table = load_dataset("faceforensics", tmp_path)
    found = explore(table, tmp_path, finder=None, store=tmp_path / ".s")
    assert found.lists_and_folders["video"].tolist() == ["masks/other.mp4"]
    masks = found.files["masks"]
    assert masks[masks > 0].to_dict() == {(f"{fakes}/masks/videos", ".mp4"): 1}


def test_groups_their_classes_and_splits(tmp_path):
    names = [f"{n}.mp4" for n in range(5)]
    table = listed(
        tmp_path, *names, group=["a", "a", "b", None, "a"],
        split=["train", "test", "train", None, "train"],
    )  # fmt: skip
    table = VideoTable(table.table.assign(label=[0, 1, 1, None, 1]))
    found = explore(table, store=tmp_path / ".s")
    rows = found.groups.reset_index().to_numpy().tolist()
    assert rows[0] == ["a", 3, 1, 2, 0, "test, train"]
    assert sorted(rows[1:]) == [
        ["(no group)", 1, 0, 0, 1, ""],
        ["b", 1, 0, 1, 0, "train"],
    ]


def test_a_data_set_without_videos_labels_or_anything(tmp_path):
    found = explore(listed(tmp_path), store=tmp_path / ".s")
    assert "0 videos" in found.summary()
    assert found.to_dict()["metadata"] == []


def test_names_that_are_no_utf8_are_explored_and_written_escaped(tmp_path):
    try:
        for folder in ("real", "fake"):
            plant(tmp_path, f"{folder}/caf\udce9.mp4")
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")
    table = load_dataset("folder", tmp_path)
    found = explore(table, tmp_path, store=tmp_path / ".s")
    names = sorted(found.metadata.index)
    assert names == [r"fake/caf\udce9.mp4", r"real/caf\udce9.mp4"]
    assert len(found.unreadable) == 2
    found.to_json(tmp_path / "all.json")
    found.to_csv(tmp_path / "all")
    assert r"fake/caf\udce9.mp4" in (tmp_path / "all" / "unreadable.csv").read_text()
    found.to_html(tmp_path / "all.html")
    for ending in ("csv", "parquet"):
        out = tmp_path / f"table.{ending}"
        with pytest.warns(
            UserWarning, match="2 of 2 files have names that are no UTF-8"
        ):
            index_videos(table, out=out, store=tmp_path / ".s")
        paths = VideoTable.read(out).table["path"]
        assert [path.rpartition("/")[2] for path in paths] == [r"caf\udce9.mp4"] * 2


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(TypeError, match="explore takes a VideoTable, as load_dataset"):
        explore(str(tmp_path))
    found = explore(listed(tmp_path, "a.mp4"), store=tmp_path / ".s")
    with pytest.raises(ValueError, match="no video says that it was made of 'x.mp4'"):
        found.siblings("x.mp4")
