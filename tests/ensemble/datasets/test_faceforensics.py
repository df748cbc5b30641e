import json

import numpy as np
import pandas as pd
import pytest

from ensemble.datasets import load_dataset
from ensemble.datasets.kinds.faceforensics import groups_of_pairs

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def clip(method, name, compression="c23", place="videos"):
    top = "original_sequences" if method == "youtube" else "manipulated_sequences"
    return f"{top}/{method}/{compression}/{place}/{name}"


def tree(pairs, compressions=("c23",), methods=METHODS):
    for a, b in pairs:
        for level in compressions:
            yield from (clip("youtube", f"{name}.mp4", level) for name in (a, b))
            for method in methods:
                for name in (f"{a}_{b}.mp4", f"{b}_{a}.mp4"):
                    yield clip(method, name, level)


def plant_splits(root, lists):
    (root / "splits").mkdir(exist_ok=True)
    for name in ("train", "val", "test"):
        pairs = json.dumps(lists.get(name, []))
        (root / "splits" / f"{name}.json").write_text(pairs)


def test_the_whole_list_of_ids_has_500_groups_and_none_crosses_the_splits(plant):
    ids = [f"{number:03}" for number in np.random.default_rng(0).permutation(1000)]
    pairs = [[a, b] for a, b in zip(ids[::2], ids[1::2], strict=True)]
    root = plant(*tree(pairs, methods=("Deepfakes",)))
    sizes = {"train": pairs[:360], "val": pairs[360:430], "test": pairs[430:]}
    plant_splits(root, sizes)
    table = load_dataset("faceforensics", root, duplicates="allow").table
    assert table["group"].nunique() == 500
    assert (table["group"].value_counts() == 4).all()  # a, b, a_b, b_a
    originals = table[table["label"] == 0]
    assert originals["split"].value_counts().to_dict() == {
        "train": 720, "val": 140, "test": 140,
    }  # fmt: skip
    assert (table.groupby("group")["split"].nunique() == 1).all()


def test_fakes_that_others_scored_are_pairs_of_two(shared, plant):
    lines = (shared / "data/scores/ffpp_4detectors.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = [dict(zip(columns, line.split(","), strict=True)) for line in lines[1:]]
    fakes = {(r["target"], r["source"]) for r in rows if r["target"] != r["source"]}
    root = plant(*(clip("Deepfakes", f"{a}_{b}.mp4") for a, b in fakes))
    table = load_dataset("faceforensics", root, duplicates="allow").table
    assert len(table) == 200
    assert table["group"].nunique() == len({frozenset(pair) for pair in fakes})


def test_a_tree_without_lists_says_where_its_splits_come_from(plant):
    root = plant(*tree([("000", "003")]))
    assert load_dataset("faceforensics", root).table["split"].isna().all()
    with pytest.raises(ValueError, match=r"no video of .* has a split: .*dataset/spl"):
        load_dataset("faceforensics", root, split="train")


def test_four_fakes_for_each_real_and_their_pair_is_the_group(plant):
    root = plant(*tree([("000", "003"), ("071", "054")]))
    plant_splits(root, {"test": [["000", "003"]], "train": [["054", "071"]]})
    table = load_dataset("auto", root)
    assert table.kind == "faceforensics"
    assert sorted(table.labels) == [0] * 4 + [1] * 16
    assert set(table.groups) == {"ff/000_003", "ff/054_071"}
    row = table.table.set_index("video_id").loc[clip("FaceSwap", "003_000.mp4")]
    expected = {
        "label": 1,
        "method": "FaceSwap",
        "compression": "c23",
        "split": "test",
        "original_id": "003",
        "source_ids": ("003", "000"),
        "group": "ff/000_003",
        "dataset": "faceforensics",
    }
    assert row[list(expected)].to_dict() == expected
    assert row[["fps", "frames", "seconds"]].isna().all()


def test_raw_and_c0_are_the_same_and_all_compressions_share_a_group(plant):
    root = plant(
        clip("youtube", "000.mp4", "raw"),
        clip("Deepfakes", "000_003.mp4", "c0"),
        *tree([("000", "003")], ("c23", "c40"), ("Deepfakes",)),
    )
    table = load_dataset("faceforensics", root)
    assert set(table.groups) == {"ff/000_003"}
    sizes = table.table["compression"].value_counts().to_dict()
    assert sizes == {"raw": 2, "c23": 4, "c40": 4}
    assert len(load_dataset("faceforensics", root, compression="c0")) == 2


def test_the_same_name_under_two_methods_is_two_videos(plant):
    root = plant(clip("Deepfakes", "000_003.mp4"), clip("Face2Face", "000_003.mp4"))
    assert load_dataset("faceforensics", root).table["video_id"].nunique() == 2


def test_splits_and_methods_are_chosen_by_name(plant):
    root = plant(*tree([("000", "003"), ("071", "054")]))
    plant_splits(root, {"test": [["000", "003"]], "train": [["054", "071"]]})
    table = load_dataset("faceforensics", root, split="test", methods="FaceSwap")
    names = [video.rsplit("/", 1)[1] for video in table.videos]
    assert sorted(names) == ["000.mp4", "000_003.mp4", "003.mp4", "003_000.mp4"]
    with pytest.raises(ValueError, match="split='val'.*it has test, train"):
        load_dataset("faceforensics", root, split="val")
    with pytest.raises(ValueError, match="did you mean 'FaceSwap'"):
        load_dataset("faceforensics", root, methods=["Faceswap"])


def test_frames_stand_in_for_videos(plant):
    root = plant(
        clip("youtube", "000/0001.png", place="images"),
        clip("Deepfakes", "000_003/0001.png", place="images"),
        clip("Deepfakes", "000_003.mp4", place="masks"),
    )
    videos = load_dataset("faceforensics", root).videos
    assert [video.rsplit("/", 2)[1:] for video in videos] == [
        ["images", "000_003"],
        ["images", "000"],
    ]


def test_lists_in_the_tree_say_the_splits(plant):
    root = plant(*tree([("a", "b"), ("c_d", "e")], methods=("Deepfakes",)))
    table = load_dataset("faceforensics", root)
    assert table.table["split"].isna().all()
    assert set(table.groups) == {"ff/a_b", "ff/c_d_e"}
    lists = {"train": [["a", "b"]], "val": [], "test": [["c_d", "e"]]}
    (root / "splits").mkdir()
    for name, pairs in lists.items():
        (root / "splits" / f"{name}.json").write_text(json.dumps(pairs))
    assert len(load_dataset("faceforensics", root, split="test")) == 4
    (root / "splits" / "val.json").unlink()
    with pytest.raises(ValueError, match=r"lacks .*val\.json.*got test\.json, train"):
        load_dataset("faceforensics", root)


def test_people_who_are_linked_are_one_group():
    groups = groups_of_pairs([("a", "b"), ("b", "c"), ("d",)])
    assert groups == dict.fromkeys("abc", "ff/a_b") | {"d": "ff/d"}


def test_actors_and_their_fakes_are_a_data_set_of_their_own(plant):
    fake = "01_02__exit_phone_room__YVGY8LOK.mp4"
    root = plant(
        *tree([("000", "003")], methods=("Deepfakes",)),
        "original_sequences/actors/c23/videos/01__exit_phone_room.mp4",
        clip("DeepFakeDetection", fake),
    )
    table = load_dataset("faceforensics", root)
    assert set(table.groups) == {"ff/000_003", "dfd/01"}
    sizes = table.table["dataset"].value_counts().to_dict()
    assert sizes == {"faceforensics": 4, "dfd": 2}


def test_what_is_missing_is_said(plant, tmp_path):
    (tmp_path / "manipulated_sequences/Deepfakes/c23/videos").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"Deepfakes/c23 has no videos: looked for"):
        load_dataset("faceforensics", tmp_path)
    with pytest.raises(ValueError, match=r"original_sequences/<youtube.*got in orig"):
        load_dataset("faceforensics", plant("x/a.mp4") / "x")
    plant(clip("Deepfakes", "strange.mp4"))
    with pytest.raises(ValueError, match=r"strange\.mp4 is not called <target>_<sou"):
        load_dataset("faceforensics", tmp_path)


def test_people_who_are_named_in_the_tree_share_a_group(plant, plant_json):
    pairs = [("000", "001"), ("002", "003"), ("004", "005")]
    root = plant(*tree(pairs, methods=("Deepfakes",)))
    people = ("ann", "bob", "cleo", "ann", "dan", "eve")
    plant_json("people.json", {f"{n:03}": who for n, who in enumerate(people)})
    table = load_dataset("faceforensics", root)
    assert set(table.groups) == {"ff/000_001", "ff/004_005"}


@pytest.mark.parametrize(
    "name",
    [
        clip("youtube", "999.mp4"),
        clip("Deepfakes", "000_999.mp4"),  # not all who are seen are listed
        clip("Deepfakes", "000_054.mp4"),  # in two splits
    ],
)
def test_who_is_in_no_list_has_no_split_and_the_others_keep_theirs(name, plant):
    root = plant(*tree([("000", "003"), ("071", "054")], methods=("Deepfakes",)), name)
    plant_splits(root, {"test": [["000", "003"]], "train": [["054", "071"]]})
    with pytest.warns(UserWarning, match=rf"1 of 9 videos.*no split, such as {name}"):
        rows = load_dataset("faceforensics", root).table.set_index("video_id")
    assert rows["split"].isna().sum() == 1
    assert pd.isna(rows.loc[name, "split"])
    assert rows["split"].value_counts().to_dict() == {"test": 4, "train": 4}


def test_lists_of_numbers_are_refused(plant):
    root = plant(*tree([("000", "003")], methods=("Deepfakes",)))
    plant_splits(root, {"train": [[0, 3]]})
    with pytest.raises(
        ValueError, match=r"train\.json must be a list.*got \[\[0, 3\]\]"
    ):
        load_dataset("faceforensics", root)
