import pytest

from ensemble.datasets import load_dataset

ORIGINALS = ("01__exit_phone_room.mp4", "02__exit_phone_room.mp4")
FAKE = "01_02__exit_phone_room__YVGY8LOK.mp4"


@pytest.mark.parametrize(
    ("originals", "fakes"),
    [
        (
            "original_sequences/actors/c23/videos",
            "manipulated_sequences/DeepFakeDetection/c23/videos",
        ),
        ("DFD_original sequences", "DFD_manipulated_sequences/all"),
    ],
)
def test_the_group_is_the_target_and_crossing_sources_are_said(originals, fakes, plant):
    root = plant(
        *(f"{originals}/{name}" for name in ORIGINALS),
        f"{fakes}/{FAKE}",
        f"{fakes.replace('videos', 'masks')}/notes.txt",
    )
    with pytest.warns(UserWarning, match="1 of 3 videos of DeepFakeDetection were"):
        table = load_dataset("dfd", root)
    rows = table.table.set_index("video_id")
    assert rows.loc[f"{fakes}/{FAKE}", "group"] == "dfd/01"
    assert rows.loc[f"{fakes}/{FAKE}", "source_ids"] == ("01", "02")
    assert rows.loc[f"{fakes}/{FAKE}", "original_id"] == "01__exit_phone_room"
    assert rows.loc[f"{originals}/{ORIGINALS[1]}", "group"] == "dfd/02"
    assert set(rows["compression"].dropna()) == ({"c23"} if "c23" in fakes else set())
    assert set(rows["dataset"]) == {"dfd"}


def test_frames_count_where_there_are_no_videos(plant):
    fakes = "manipulated_sequences/DeepFakeDetection/c23"
    stem = FAKE.removesuffix(".mp4")
    root = plant(f"{fakes}/images/{stem}/0001.png")
    assert load_dataset("dfd", root).videos == [str(root / fakes / "images" / stem)]
    plant(f"{fakes}/videos/{FAKE}")
    assert load_dataset("dfd", root).videos == [str(root / fakes / "videos" / FAKE)]


def test_another_tree_is_refused(plant):
    with pytest.raises(ValueError, match=r"looked for originals such as.*got x/"):
        load_dataset("dfd", plant("x/a.mp4"))


def test_it_is_recognised_outside_a_tree_of_faceforensics(plant):
    assert load_dataset("auto", plant(f"clips/{FAKE}")).kind == "dfd"


@pytest.mark.parametrize(
    "name", ["01_02__exit_phone_room__YVGY8LO.mp4", "1__walk.mp4", "x/copy.mp4"]
)
def test_a_video_that_is_not_called_so_is_named_and_not_dropped(name, plant):
    root = plant(*(f"clips/{original}" for original in ORIGINALS), f"clips/{name}")
    with pytest.raises(ValueError, match=rf"1 videos that are called neither.*{name}"):
        load_dataset("dfd", root)


def test_frames_that_are_not_called_so_are_named(plant):
    stem = FAKE.removesuffix(".mp4")
    root = plant(f"images/{stem}/0001.png", "images/strange/0001.png")
    with pytest.raises(ValueError, match=r"1 videos that are called.*images/strange\."):
        load_dataset("dfd", root)


def test_what_a_tree_of_faceforensics_has_beside_it_is_no_matter(plant):
    root = plant(
        "manipulated_sequences/Deepfakes/c23/videos/000_003.mp4",
        "original_sequences/youtube/c23/videos/000.mp4",
        f"manipulated_sequences/DeepFakeDetection/c23/videos/{FAKE}",
        f"manipulated_sequences/DeepFakeDetection/c23/masks/{FAKE}",
    )
    assert len(load_dataset("dfd", root)) == 1


def test_the_tree_of_faceforensics_says_crossing_sources_too(plant):
    root = plant(
        *(f"original_sequences/actors/c23/videos/{name}" for name in ORIGINALS),
        f"manipulated_sequences/DeepFakeDetection/c23/videos/{FAKE}",
    )
    with pytest.warns(UserWarning, match="1 of 3 videos of DeepFakeDetection were"):
        load_dataset("faceforensics", root)
