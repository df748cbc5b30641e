import pytest

from ensemble.datasets import load_dataset

FAKE = "method_A/1224068/1224068_A_1/1224068_A_1_003.mp4"
REAL = "original_videos/1224068/1224068_C_003.mp4"


def with_videos(name):
    first, rest = name.split("/", 1)
    return f"{first}/videos/{rest}"


@pytest.mark.parametrize(
    ("in_tree", "in_list"),
    [(str, str), (with_videos, str), (with_videos, with_videos)],
)
def test_the_group_is_the_person(in_tree, in_list, plant, plant_json):
    plant(in_tree(FAKE), in_tree(REAL))
    listed = {
        in_list(FAKE): {"label": "fake", "set": "train"},
        in_list(REAL): {"label": "real", "set": "test"},
    }
    table = load_dataset("auto", plant_json("dataset.json", listed).parent)
    assert table.kind == "dfdc_preview"
    assert (table.labels, table.groups) == ([1, 0], ["dfdc_preview/1224068"] * 2)
    assert table.table["method"].tolist() == ["method_A", "none"]
    assert table.table["split"].tolist() == ["train", "test"]


def test_other_trees_are_refused(plant, plant_json, tmp_path):
    with pytest.raises(ValueError, match=r"no dataset\.json: looked for it.*method_A/"):
        load_dataset("dfdc_preview", plant(FAKE))
    plant_json("dataset.json", {FAKE: {"label": "odd"}})
    with pytest.raises(ValueError, match="it does not of method_A"):
        load_dataset("dfdc_preview", tmp_path)
    plant_json("dataset.json", [])
    with pytest.raises(ValueError, match=r"dataset\.json must be an object.*got \[\]"):
        load_dataset("dfdc_preview", tmp_path)
    for name in ("x.mp4", "method_A/x.mp4"):
        plant_json("dataset.json", {name: {"label": "fake"}})
        with pytest.raises(ValueError, match=rf"dataset\.json must name .* '{name}'"):
            load_dataset("dfdc_preview", tmp_path)
