import itertools
import warnings

import pytest

from ensemble.cli.inputs import videos_at
from ensemble.datasets import load_dataset

LIST = "List_of_testing_videos.txt"


@pytest.fixture(scope="module")
def second_version(tmp_path_factory):
    """The numbers of version 2: 590 + 300 real, 5639 fake, 518 of them to test."""
    root = tmp_path_factory.mktemp("Celeb-DF-v2")
    people = [f"id{number}" for number in range(59)]
    real = [f"Celeb-real/{who}_{take:04}.mp4" for who in people for take in range(10)]
    youtube = [f"YouTube-real/{number:05}.mp4" for number in range(300)]
    pairs = itertools.permutations(people, 2)
    fakes = [f"Celeb-synthesis/{a}_{b}_{take:04}.mp4" for a, b in pairs
             for take in (0, 1)][:5639]  # fmt: skip
    for folder in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        (root / folder).mkdir()
    for name in real + youtube + fakes:
        (root / name).touch()
    lines = [f"1 {name}" for name in real[:108] + youtube[:70]]
    lines += [f"0 {name}" for name in fakes[:340]]
    (root / LIST).write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.slow
def test_the_second_version_has_its_counts_and_1_means_real(second_version):
    table = load_dataset("auto", second_version)
    assert table.kind == "celeb_df"
    assert (table.table["label"] == 0).sum() == 590 + 300
    assert (table.table["label"] == 1).sum() == 5639
    assert len(set(table.groups)) == 59 + 300
    test = table.subset(split="test")
    assert (len(test), sum(test.labels)) == (518, 340)
    first = test.table[test.table["video_id"] == "Celeb-real/id0_0000.mp4"]
    assert first["label"].tolist() == [0]  # the first row is no header


def test_a_fake_is_in_the_group_of_its_target(plant):
    root = plant("Celeb-real/id0_0002.mp4", "Celeb-synthesis/id0_id16_0002.mp4")
    table = load_dataset("celeb_df", root)
    assert set(table.groups) == {"celeb_df/id0"}
    fake = table.table[table.table["label"] == 1].iloc[0]
    assert (fake["original_id"], fake["source_ids"]) == ("id0_0002", ("id0", "id16"))
    assert table.table["split"].isna().all()  # without the list nobody says


def test_trees_with_another_spelling_are_read(plant):
    root = plant(
        "Youtube-real/videos/00001.mp4", "Celeb-synthesis/videos/id0_id1_0000.mp4"
    )
    (root / LIST).write_text("1 YouTube-real/00001.mp4\n")
    table = load_dataset("auto", root)
    split = dict(zip(table.labels, table.table["split"], strict=True))
    assert split == {0: "test", 1: "train"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0 YouTube-real/00001.mp4\n", "must have 1 for real and 0 for fake; 1 lines"),
        ("label file\n", "line 1: expected <1 or 0>"),
        ("1 YouTube-real/00009.mp4\n", r"names 1 of 2 videos.*00009\.mp4"),
    ],
)
def test_a_wrong_list_is_refused(lines, message, plant):
    root = plant("YouTube-real/00001.mp4")
    (root / LIST).write_text(lines)
    with pytest.raises(ValueError, match=message):
        load_dataset("celeb_df", root)


def test_what_is_missing_is_said(plant, tmp_path):
    with pytest.raises(ValueError, match=r"looked for Celeb-real.*got x/"):
        load_dataset("celeb_df", plant("x/a.mp4"))
    (tmp_path / "Celeb-real").mkdir()
    with pytest.raises(ValueError, match="Celeb-real has no videos: looked for them"):
        load_dataset("celeb_df", tmp_path)
    with pytest.raises(ValueError, match="is not called id<person>_<number>"):
        load_dataset("celeb_df", plant("Celeb-real/strange.mp4"))


def test_a_video_that_is_in_the_folder_and_not_of_the_set_is_named(plant):
    root = plant("Celeb-real/id0_0002.mp4", "Celeb-synthesis/id0_id16_0002.mp4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(videos_at([root])[0]) == 2
    plant("evil.mp4", "more/f1.mp4")
    with pytest.warns(UserWarning, match=r"2 videos in it .*: evil.mp4, more/f1.mp4\."):
        videos, _ = videos_at([root])
    assert len(videos) == 2
