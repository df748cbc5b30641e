"""A folder in which a process died before its first file was whole is a new one."""

import pytest

from base_models.batch.output_folder import OutputFolder
from base_models.runtime.ending.unfinished import unfinished_name
from ensemble.datasets.forge.folder import was_begun


@pytest.fixture
def folder(tmp_path):
    unfinished_name(tmp_path / "recipe.json").write_text("{")
    return tmp_path


def test_it_is_taken(folder):
    OutputFolder(str(folder)).check({"model": "a"})
    assert not was_begun(folder, {})


def test_beside_a_file_of_others_it_is_not(folder):
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds 'mine\.txt' and no run of this"):
        OutputFolder(str(folder)).check({"model": "a"})
    with pytest.raises(FileExistsError, match="not made by the forge"):
        was_begun(folder, {})
