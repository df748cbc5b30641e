"""What CONTRIBUTING says of adding a kind of data set is followed step by step."""

import pytest

from ensemble.datasets import read_videos, registry
from ensemble.datasets.base import DataSetKind
from ensemble.datasets.registry import KINDS, is_labelled


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "labels.txt").write_text("b.mp4\n")
    return tmp_path


@pytest.fixture
def listed(walk_through, monkeypatch):
    """List the kind, as its line in registry.py does."""
    text_lists = {}
    exec(walk_through("def fits(path)"), text_lists)
    kind = DataSetKind(text_lists["fits"], text_lists["read"])
    monkeypatch.setattr(registry, "KINDS", [*KINDS, kind])


def test_a_kind_is_two_functions_and_a_line(folder, listed):
    labelled = read_videos(folder)
    assert labelled.videos == [str(folder / "a.mp4"), str(folder / "b.mp4")]
    assert labelled.labels == [0, 1]
    assert is_labelled(folder)


def test_a_folder_that_no_kind_fits_is_explained(folder):
    assert not is_labelled(folder)
    with pytest.raises(ValueError, match=r"real and fake.*got a\.mp4, b\.mp4"):
        read_videos(folder)


def test_the_first_kind_that_fits_reads_it(folder, listed):
    (folder / "videos.csv").write_text("path,label\na.mp4,1\n")
    assert read_videos(folder).labels == [1]
