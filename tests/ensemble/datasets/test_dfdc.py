import numpy as np
import pytest

from ensemble.datasets import load_dataset


def entry(original=None):
    if original is None:
        return {"label": "REAL", "split": "train"}
    return {"label": "FAKE", "split": "train", "original": original}


@pytest.fixture
def sample(plant, plant_json):
    """400 videos as in the sample set: 323 fakes, 77 reals, 209 originals."""
    draw = np.random.default_rng(0)
    originals = [f"o{number}.mp4" for number in range(209)]
    chosen = [*originals, *draw.choice(originals, 323 - 209)]
    metadata = {f"f{row}.mp4": entry(name) for row, name in enumerate(chosen)}
    metadata |= {f"r{row}.mp4": entry() for row in range(77)}
    plant(*(f"train_sample_videos/{name}" for name in metadata))
    plant(*(f"test_videos/t{number}.mp4" for number in range(4)))
    return plant_json("train_sample_videos/metadata.json", metadata).parents[1]


def test_the_sample_has_its_counts(sample):
    table = load_dataset("auto", sample)
    assert table.kind == "dfdc"
    counts = table.table["label"].value_counts(dropna=False)
    assert (counts[1], counts[0], table.table["label"].isna().sum()) == (323, 77, 4)
    fakes = table.table[table.table["label"] == 1]
    assert fakes["group"].nunique() == fakes["original_id"].nunique() == 209
    train = load_dataset("dfdc", sample, split="train")
    assert (len(train), len(set(train.groups))) == (400, 209 + 77)
    assert load_dataset("dfdc", sample, split="test").labels == [None] * 4
    assert len(table.subset(labelled=True)) == 400


def test_a_fake_is_in_the_group_of_its_original(plant, plant_json):
    for part in (0, 1):
        metadata = {"x.mp4": entry("y.mp4"), "y.mp4": entry(), "z.mp4": entry("w.mp4")}
        metadata = {f"{part}{n}": entry(e.get("original") and f"{part}{e['original']}")
                    for n, e in metadata.items()}  # fmt: skip
        plant(*(f"dfdc_train_part_{part}/{name}" for name in metadata))
        root = plant_json(f"dfdc_train_part_{part}/metadata.json", metadata).parents[1]
    table = load_dataset("dfdc", root)
    group = dict(zip(table.table["video_id"], table.groups, strict=True))
    assert group["dfdc_train_part_0/0x.mp4"] == "dfdc/0y.mp4"
    assert group["dfdc_train_part_0/0y.mp4"] == "dfdc/0y.mp4"
    assert group["dfdc_train_part_1/1z.mp4"] == "dfdc/1w.mp4"
    assert set(table.metadata["source"]) == {"dfdc_train_part_0", "dfdc_train_part_1"}


def test_the_test_set_has_its_labels_in_a_table(plant):
    root = plant("test/a.mp4", "test/b.mp4")
    (root / "labels.csv").write_text("filename,label\na.mp4,1\nb.mp4,0\n")
    table = load_dataset("auto", root)
    assert (table.labels, set(table.table["split"])) == ([1, 0], {"test"})


def test_half_a_download_is_refused_by_name_or_left_out(sample):
    (sample / "train_sample_videos/f0.mp4").unlink()
    with pytest.raises(ValueError, match=r"names 1 of 404 videos.*f0\.mp4; mend"):
        load_dataset("dfdc", sample)
    with pytest.warns(UserWarning, match=r"f0\.mp4; they are left out"):
        assert len(load_dataset("dfdc", sample, missing="drop")) == 403


def test_other_trees_are_refused(plant, plant_json, tmp_path):
    with pytest.raises(ValueError, match=r"looked for a metadata\.json.*got x/"):
        load_dataset("dfdc", plant("x/a.mp4"))
    path = plant_json("metadata.json", {"a.mp4": {"label": "MAYBE"}})
    with pytest.raises(ValueError, match=r"it does not of a\.mp4"):
        load_dataset("dfdc", tmp_path)
    path.write_text('{"a.mp4": {"label": "FA')
    with pytest.raises(ValueError, match="no whole JSON file"):
        load_dataset("dfdc", tmp_path)
    path.write_text('{"a.mp4": {"label": "FAKE"}, "a.mp4": {"label": "REAL"}}')
    with pytest.raises(ValueError, match=r"metadata\.json .*says 'a\.mp4' twice"):
        load_dataset("dfdc", tmp_path)


def test_a_video_that_metadata_does_not_name_has_no_label(plant, plant_json):
    root = plant("a.mp4", "b.mp4")
    plant_json("metadata.json", {"a.mp4": entry()})
    assert load_dataset("dfdc", root).labels == [0, None]


def test_a_part_without_metadata_is_named_and_not_dropped(plant, plant_json):
    root = plant("dfdc_train_part_0/a.mp4", "dfdc_train_part_1/b.mp4")
    plant_json("dfdc_train_part_0/metadata.json", {"a.mp4": entry()})
    with pytest.raises(
        ValueError, match=r"dfdc_train_part_1 has no metadata\.json.*got b\.mp4"
    ):
        load_dataset("auto", root)
    (root / "dfdc_train_part_1/b.mp4").unlink()  # nor where nothing of it is there
    with pytest.raises(ValueError, match=r"part_1 has no metadata.*got nothing"):
        load_dataset("dfdc", root)
    (root / "dfdc_train_part_1").rmdir()
    plant("notes/read_me.txt", "dfdc_train_part_0/crops/c.mp4")
    assert len(load_dataset("dfdc", root)) == 1
    plant("more/c.mp4")
    with pytest.raises(ValueError, match=r"more has no metadata\.json"):
        load_dataset("dfdc", root)


def test_a_part_may_lie_in_a_folder_of_its_name(plant, plant_json):
    root = plant("dfdc_train_part_00/dfdc_train_part_0/a.mp4")
    name = "dfdc_train_part_00/dfdc_train_part_0/metadata.json"
    plant_json(name, {"a.mp4": entry()})
    assert len(load_dataset("dfdc", root)) == 1


def test_the_sample_without_its_metadata_is_refused(sample):
    (sample / "train_sample_videos/metadata.json").unlink()
    with pytest.raises(ValueError, match=r"train_sample_videos has no metadata"):
        load_dataset("dfdc", sample)


def test_metadata_that_is_a_list_is_named(plant_json, tmp_path):
    plant_json("metadata.json", [1])
    with pytest.raises(ValueError, match=r'metadata\.json must be .*"x\.mp4".*got \[1'):
        load_dataset("dfdc", tmp_path)


def test_labels_without_rows_are_named(plant):
    root = plant("test/a.mp4")
    (root / "labels.csv").write_text("filename,label\n")
    with pytest.raises(ValueError, match=r"labels\.csv has no rows"):
        load_dataset("auto", root)
