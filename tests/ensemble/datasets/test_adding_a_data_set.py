"""What CONTRIBUTING says of adding a kind of data set is followed step by step."""

import pytest

from ensemble.datasets import load_dataset, read_videos
from ensemble.datasets.kinds import registry
from ensemble.datasets.kinds.base import DataSetKind
from ensemble.datasets.loading import is_labelled


@pytest.fixture
def folder(tmp_path):
    for name in ("ann_1.mp4", "bob_1.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "labels.txt").write_text("bob_1.mp4\n")
    return tmp_path


@pytest.fixture
def listed(walk_through, monkeypatch):
    """List the kind, as its line in registry.py does."""
    text_lists = {}
    exec(walk_through("def fits(path)"), text_lists)
    kind = DataSetKind(text_lists["fits"], text_lists["read"])
    monkeypatch.setitem(registry.KINDS, "text_lists", kind)


def test_a_kind_is_two_functions_and_a_line(folder, listed):
    table = load_dataset("text_lists", folder)
    videos, labels, groups = table
    assert videos == [str(folder / "ann_1.mp4"), str(folder / "bob_1.mp4")]
    assert labels == [0, 1]
    assert groups == ["ann", "bob"]
    assert load_dataset("auto", folder).kind == "text_lists"
    assert read_videos(folder).labels == [0, 1]
    assert is_labelled(folder)


def test_a_folder_that_no_kind_fits_is_explained(folder):
    assert not is_labelled(folder)
    with pytest.raises(ValueError, match=r"real and fake.*got ann_1\.mp4, bob_1\.mp4"):
        read_videos(folder)


def test_the_first_kind_that_fits_reads_it(folder, listed):
    (folder / "videos.csv").write_text("path,label\nann_1.mp4,1\n")
    assert read_videos(folder).labels == [1]
