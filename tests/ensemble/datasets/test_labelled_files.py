import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ensemble.datasets import index_videos, load_dataset, read_videos


@pytest.fixture
def folder(tmp_path):
    for name in ("real/a.mp4", "real/deep/b.mov", "Fake/c.mp4", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_a_folder_of_two_folders_is_a_data_set(folder):
    with pytest.warns(UserWarning, match="path,label,group"):
        found = read_videos(folder)
    names = [video.removeprefix(str(folder)) for video in found.videos]
    by_label = dict(zip(names, found.labels, strict=True))
    assert by_label == {"/real/a.mp4": 0, "/real/deep/b.mov": 0, "/Fake/c.mp4": 1}
    assert found.groups is None


def test_a_csv_is_read_relative_to_its_folder(tmp_path):
    (tmp_path / "set.csv").write_text(
        "path,label,group,method\nsub/a.mp4,REAL,ann,\n/far/b.mp4,FAKE,bob,swap\n"
    )
    found = read_videos(tmp_path / "set.csv")
    assert found.videos == [str(tmp_path / "sub/a.mp4"), "/far/b.mp4"]
    assert found.labels == ["REAL", "FAKE"]
    assert found.groups == ["ann", "bob"]
    assert found.methods == ["", "swap"]


def test_numbers_are_labels_and_groups_may_be_unknown(tmp_path):
    (tmp_path / "set.csv").write_text("path,label\na.mp4,0\nb.mp4,1\n")
    assert read_videos(tmp_path / "set.csv").labels == [0, 1]
    assert read_videos(tmp_path / "set.csv").groups is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.mp4,1\n", "a column path, and label .*; got file, label"),
        ("path,fps\na.mp4,25\n", "gives no video a label; a column label says"),
        ("path,label,Label\na.mp4,1,0\n", "'label' and 'Label' may both be 'label'"),
        ("path,label\n", "no rows"),
        ("path,label\na.mp4,\n", "line 2: path and label must be given"),
        ("path,label,group\na.mp4,1,x\nb.mp4,0,\n", "1 of 2 videos have no group"),
    ],
)
def test_a_bad_csv_is_explained(text, message, tmp_path):
    (tmp_path / "set.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_videos(tmp_path / "set.csv")


def test_videos_may_be_listed_without_labels(tmp_path):
    (tmp_path / "set.csv").write_text("path,shop\na.mp4,3\nb.mp4,4\n")
    table = load_dataset("auto", tmp_path / "set.csv", missing="keep").table
    assert [Path(path).name for path in table["path"]] == ["a.mp4", "b.mp4"]
    assert table["label"].isna().all()
    assert table["shop"].tolist() == [3, 4]


def test_what_cannot_be_looked_at_is_not_called_absent(tmp_path):
    name = "a" * 300 + ".mp4"  # as in a folder that may not be entered
    (tmp_path / "set.csv").write_text(f"path,label\n{name},0\nb.mp4,1\n")
    with pytest.raises(
        ValueError, match="names 1 of 2 videos that are not there: .*b.mp4"
    ):
        load_dataset("auto", tmp_path / "set.csv")
    kept = load_dataset("auto", tmp_path / "set.csv", missing="keep")
    reasons = index_videos(kept, 1, finder=None).table["reason"]
    assert "File name too long" in reasons[0]
    assert reasons[1] == "there is no such file"


def test_a_table_that_contradicts_itself_is_named(tmp_path):
    (tmp_path / "set.csv").write_text("path,label\na.mp4,0\na.mp4,1\n")
    with pytest.raises(ValueError, match=r"set\.csv: a\.mp4 is listed several times"):
        load_dataset("auto", tmp_path / "set.csv", missing="keep")


def test_a_folder_of_something_else_is_explained(folder, tmp_path):
    with pytest.raises(ValueError, match=r"real and fake.*got a\.mp4, deep"):
        read_videos(folder / "real")
    (folder / "Fake" / "c.mp4").unlink()
    with pytest.raises(ValueError, match="Fake has no videos"):
        read_videos(folder)
    with pytest.raises(FileNotFoundError, match="nothing at"):
        read_videos(tmp_path / "absent")


@pytest.mark.parametrize("name", ["groups", "Person", "identity", "subject_id"])
def test_a_column_that_may_say_who_is_seen_is_not_passed_over(name, tmp_path):
    rows = "a.mp4,0,ann\nb.mp4,1,bob\n"
    (tmp_path / "set.csv").write_text(f"path,label,{name}\n{rows}")
    with pytest.raises(ValueError, match=f"no column group, and one called '{name}'"):
        read_videos(tmp_path / "set.csv")
    (tmp_path / "set.csv").write_text(
        f"path,label,{name},group\n"
        + rows.replace("ann", "ann,1").replace("bob", "bob,2")
    )
    assert read_videos(tmp_path / "set.csv").groups == ["1", "2"]


AS_SOMEBODY_ELSE = """
import os, sys, warnings
from ensemble.datasets import load_dataset
if os.getuid() == 0:  # who may open everything
    os.setuid(65534)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    try:
        print(*sorted(load_dataset("auto", sys.argv[1]).table["video_id"]))
    except ValueError as error:
        print(error)
print(*(warning.message for warning in said))
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.slow_after(1)
@pytest.mark.parametrize("shut", ["manipulated_sequences/Deepfakes", "real"])
def test_a_folder_that_may_not_be_opened_is_named(shut):
    # The folders of pytest are open to their user alone.
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "set"
        for name in (
            "original_sequences/youtube/c23/videos/001.mp4",
            "manipulated_sequences/Deepfakes/c23/videos/001_002.mp4",
            "manipulated_sequences/Face2Face/c23/videos/001_002.mp4",
            "real/a.mp4",
            "fake/b.mp4",
        ):
            if name.startswith(("real", "fake")) == (shut == "real"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(name.encode())
        os.chmod(place, 0o755)
        os.chmod(root / shut, 0)
        try:
            ran = subprocess.run(
                [sys.executable, "-c", AS_SOMEBODY_ELSE, str(root)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        finally:
            os.chmod(root / shut, 0o755)
    found, said = ran.stdout.splitlines()
    assert f"{root / shut} may not be opened, and what it holds is left out" in said
    if shut == "real":
        assert "got fake/, real/ (which may not be opened)" in found
    else:
        assert "Face2Face" in found
        assert "Deepfakes" not in found
