import pytest

from ensemble.datasets import load_dataset

TOP = "FaceForensics++"
REAL = f"{TOP}/original_sequences/youtube/c23/frames/000"
OTHER_REAL = f"{TOP}/original_sequences/youtube/c23/frames/071"
FAKE = f"{TOP}/manipulated_sequences/Deepfakes/c23/frames/000_003"
SWAP = f"{TOP}/manipulated_sequences/FaceSwap/c23/frames/000_003"


def entry(folder, label, slash="/"):
    frames = [f"{folder}/{number:03}.png" for number in range(2)]
    return {"label": label, "frames": [frame.replace("/", slash) for frame in frames]}


@pytest.fixture
def lists(plant, plant_json):
    """Two lists of one method each, in which the reals repeat."""
    plant(*(f"datasets/rgb/{folder}/{number:03}.png" for number in range(2)
            for folder in (REAL, OTHER_REAL, FAKE, SWAP)))  # fmt: skip
    for label, folder, slash in (("FF-DF", FAKE, "/"), ("FF-FS", SWAP, "\\")):
        content = {label: {
            "FF-real": {
                "train": {"c23": {"071": entry(OTHER_REAL, "FF-real")}},
                "val": {"c23": {}},
                "test": {"c23": {"000": entry(REAL, "FF-real")}},
            },
            label: {"test": {"c23": {"000_003": entry(folder, label, slash)}}},
        }}  # fmt: skip
        path = plant_json(f"preprocessing/dataset_json/{label}.json", content)
    return path.parent


def test_lists_that_repeat_reals_are_one_data_set(lists):
    table = load_dataset("auto", lists)
    assert table.kind == "deepfakebench"
    rows = table.table.set_index(table.table["path"].str.rsplit("rgb/", n=1).str[1])
    assert rows["label"].to_dict() == {OTHER_REAL: 0, REAL: 0, FAKE: 1, SWAP: 1}
    assert rows["method"][[FAKE, SWAP]].tolist() == ["Deepfakes", "FaceSwap"]
    assert rows["group"][[FAKE, SWAP, REAL]].tolist() == ["ff/000_003"] * 3
    assert rows["group"][OTHER_REAL] == "ff/071"  # whom nothing pairs with another
    assert rows["split"][[OTHER_REAL, REAL, FAKE]].tolist() == ["train", "test", "test"]
    assert set(rows["compression"]) == {"c23"}
    assert set(rows["dataset"]) == {"FaceForensics++"}


def test_one_list_is_a_data_set_as_well(lists):
    assert len(load_dataset("auto", lists / "FF-DF.json")) == 3


def test_celeb_df_has_no_compressions_and_tests_on_what_it_also_trains_on(
    plant, plant_json
):
    real, fake = "c/Celeb-real/frames/id0_0000", "c/Celeb-synthesis/frames/id0_id1_0000"
    plant(
        *(f"{folder}/{number:03}.png" for number in (0, 1) for folder in (real, fake))
    )
    names = {real: "CelebDFv2_real", fake: "CelebDFv2_fake"}
    content = {"Celeb-DF-v2": {
        "CelebDFv2_real": {"train": {"id0_0000": entry(real, names[real])}},
        "CelebDFv2_fake": {
            "train": {"id0_id1_0000": entry(fake, names[fake])},
            "test": {"id0_id1_0000": entry(fake, names[fake])},
        },
    }}  # fmt: skip
    path = plant_json("Celeb-DF-v2.json", content)
    with pytest.warns(UserWarning, match="1 of 2 videos are listed in several splits"):
        table = load_dataset("deepfakebench", path)
    assert table.groups == ["celeb_df/id0"] * 2
    assert table.table["split"].tolist() == ["train", "test"]


def test_a_data_set_that_is_whole_in_every_split_has_none(plant, plant_json):
    plant("frames/clip/000.png", "frames/clip/001.png")
    video = {"clip": entry("frames/clip", "DFD_real")}
    content = {"DFD": {"DFD_real": {"train": {"c23": video}, "test": {"c23": video}}}}
    path = plant_json("DFD.json", content)
    with pytest.warns(UserWarning, match="DFD has no split"):
        assert load_dataset("deepfakebench", path).table["split"].isna().all()


def test_what_is_missing_is_said(lists, plant):
    with pytest.raises(ValueError, match=r"looked for \.json files.*got x/"):
        load_dataset("deepfakebench", plant("y/x/a.mp4") / "y")
    for frame in (lists.parents[1] / "datasets/rgb" / FAKE).iterdir():
        frame.unlink()
    (lists.parents[1] / "datasets/rgb" / FAKE).rmdir()
    with pytest.raises(ValueError, match=r"names 1 of 4 videos.*000_003"):
        load_dataset("deepfakebench", lists)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("real_youtube", 0), ("Real-v2", 0), ("FFreal", 0), ("DFD_original", 0),
        ("UADFV_Fake", 1), ("FF-F2F", 1),
    ],
)  # fmt: skip
def test_a_label_with_the_word_real_in_it_is_real(
    label, expected, plant, plant_json, recwarn
):
    plant("frames/000_003/000.png", "frames/000_003/001.png")
    videos = {"000_003": entry("frames/000_003", label)}
    path = plant_json("list.json", {"set": {label: {"test": {"c23": videos}}}})
    assert load_dataset("deepfakebench", path).labels == [expected]
    assert not recwarn


def test_a_label_that_says_neither_is_told_and_one_that_says_both_refused(
    plant, plant_json
):
    plant("frames/clip/000.png", "frames/clip/001.png")
    videos = {"clip": entry("frames/clip", "simswap")}
    path = plant_json("list.json", {"set": {"simswap": {"test": videos}}})
    with pytest.warns(UserWarning, match="neither real nor fake.*: simswap; their"):
        table = load_dataset("deepfakebench", path)
    assert (table.labels, table.metadata["method"].tolist()) == ([1], ["simswap"])
    plant_json("list.json", {"set": {"real_fake": {"test": videos}}})
    with pytest.raises(ValueError, match="labels that say real and fake: real_fake"):
        load_dataset("deepfakebench", path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], r"list\.json must be an object such as .* got \[1\]"),
        ({"set": []}, r"list\.json, set must be an object .* got \[\]"),
        ({"set": {"a": 3}}, r"list\.json, set, a must be an object .* got 3"),
        ({"set": {"a": {"test": []}}}, r"set, a, test must be an object .* got \[\]"),
        ({"set": {"a": {"test": {"x": {"label": "a"}}}}},
         r"set, a, test, x must have frames, a list of paths; got label"),
        ({"set": {"a": {"test": {"c23": {"x": {"label": "a", "frames": "y"}}}}}},
         r"test, c23, x must have frames, a list of paths; got frames 'y'"),
        ({"set": {"a": {"test": {"c23": {"x": 1}}}}}, r"c23, x must be an object .* 1"),
    ],
)  # fmt: skip
def test_a_list_of_another_shape_is_named(content, message, plant_json):
    path = plant_json("list.json", content)
    with pytest.raises(ValueError, match=message):
        load_dataset("deepfakebench", path)
