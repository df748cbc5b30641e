"""Forged data sets: layout, masks, manifest, who is paired with whom, resuming."""

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from file_metadata import metadata_aucs
from joblib import parallel_config

from base_models.runtime.ending.unfinished import unfinished_name
from base_models.video import probe_video, sample_frames, write_video
from ensemble.choices import FORGERIES
from ensemble.datasets import forge_dataset, load_dataset
from ensemble.datasets.forge.camera import Portrait, paint_portrait
from ensemble.datasets.forge.methods import METHOD
from ensemble.datasets.forge.pairing import CastClip, pair_off, split_pairs
from ensemble.datasets.forge.tree import ForgedTree

pytest.importorskip("skimage", reason="the bundled faces are scikit-image's")

LEVELS = ("raw", "c23", "c40")
SMALL = {"pairs": 2, "n_frames": 4, "size": 96}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "set"
    forge_dataset(None, folder, **SMALL)
    return folder


def digests(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.mp4")
    }


# What is written


@pytest.mark.slow
def test_the_tree_is_that_of_faceforensics(root):
    fakes = ("000_001", "001_000", "002_003", "003_002")
    expected = {
        f"original_sequences/youtube/{level}/videos/{name}.mp4"
        for level in LEVELS
        for name in ("000", "001", "002", "003")
    } | {
        f"manipulated_sequences/{method}/{level}/videos/{name}.mp4"
        for method in FORGERIES
        for level in (*LEVELS, "masks")
        for name in fakes
    }
    assert set(digests(root)) == expected
    lists = [json.loads((root / f"splits/{n}.json").read_text()) for n in
             ("train", "val", "test")]  # fmt: skip
    assert sorted(pair for pairs in lists for pair in pairs) == [
        ["000", "001"], ["002", "003"],
    ]  # fmt: skip


def test_it_is_read_back_with_pairs_groups_splits_and_compressions(root):
    table = load_dataset("auto", root)
    assert table.kind == "faceforensics"
    assert table.labels.count(0) == 4 * 3
    assert table.labels.count(1) == 4 * 4 * 3
    assert set(table.groups) == {"ff/000_001", "ff/002_003"}
    frame = table.table.set_index("video_id")
    assert (frame.groupby("group")["split"].nunique() == 1).all()
    assert frame["compression"].value_counts().to_dict() == dict.fromkeys(LEVELS, 20)
    row = frame.loc["manipulated_sequences/SelfBlend/c40/videos/003_002.mp4"]
    assert row["method"] == "SelfBlend"
    assert row["original_id"] == "003"
    assert row["source_ids"] == ("003", "002")


def test_masks_are_white_where_the_raw_fake_differs_from_the_raw_target(root):
    for method in FORGERIES:
        folder = root / "manipulated_sequences" / method
        for name in ("000_001", "003_002"):
            original = root / f"original_sequences/youtube/raw/videos/{name[:3]}.mp4"
            fake, mask, real = (
                sample_frames(path).astype(int)
                for path in (
                    folder / f"raw/videos/{name}.mp4",
                    folder / f"masks/videos/{name}.mp4",
                    original,
                )
            )
            assert ((mask < 30) | (mask > 225)).mean() > 0.995
            white = mask[..., 0] > 128
            assert white.any(axis=(1, 2)).all(), method
            assert white.mean() < 0.6
            difference = np.abs(fake - real).mean(axis=-1)
            # The codec, though nearly lossless, changes a little everywhere.
            assert difference[~white].max() < 12, method
            assert difference[white].mean() > 3 * difference[~white].mean(), method


@pytest.mark.slow
def test_what_is_not_forged_is_the_same_in_original_and_fake(root):
    infos = {}
    for path in root.rglob("*.mp4"):
        info = probe_video(path)
        infos.setdefault(path.stem[:3], set()).add(
            (info.n_frames, info.width, info.height, info.fps, info.codec)
        )
    assert set(map(len, infos.values())) == {1}


def test_the_manifest_says_how_each_file_was_made(root):
    manifest = json.loads((root / "manifest.json").read_text())
    found = digests(root)
    assert {one["path"]: one["sha256"] for one in manifest["files"]} == found
    for entry in manifest["files"]:
        assert "deepfake-ensemble" in entry["made_by"]
        assert entry["kind"] == (
            "original" if "original_" in entry["path"]
            else "mask" if "/masks/" in entry["path"] else "fake"
        )  # fmt: skip
        if entry["kind"] != "original":
            assert entry["method"] == entry["path"].split("/")[1]
            assert entry["target"] == Path(entry["path"]).stem[:3]
        if entry["method"] == "SelfBlend":
            assert entry["source"] is None
    [swap] = [
        one for one in manifest["files"]
        if one["path"].endswith("LandmarkSwap/c23/videos/000_001.mp4")
    ]  # fmt: skip
    assert swap["source"] == "001"
    assert swap["parameters"]["method"] in ("swap_poisson", "swap_feathered")
    assert swap["seed"][0] == 0
    assert manifest["recipe"]["random_state"] == 0
    assert set(manifest["people"]) == {"000", "001", "002", "003"}


def test_every_file_says_that_it_is_synthetic_in_the_same_words(root):
    said = {
        (tags["title"], tags["comment"])
        for tags in (probe_video(path).tags for path in root.rglob("*.mp4"))
    }
    [(title, comment)] = said  # words that differ would tell fakes by file size
    assert title == "Synthetic sample"
    assert "made by deepfake-ensemble's forge" in comment


@pytest.mark.slow
def test_metadata_do_not_tell_real_from_fake(tmp_path):
    aucs = []
    for seed in range(2):
        table = forge_dataset(
            None, tmp_path / str(seed), pairs=20, n_frames=6, size=96,
            compression="c23", random_state=seed,
        )  # fmt: skip
        aucs += metadata_aucs(table)
    # 80 reals, each beside its own fakes: chance strays by 0.05 or so.
    assert 0.35 < np.mean(aucs) < 0.65


def test_a_fake_that_compression_made_its_original_is_not_written(
    tmp_path, monkeypatch
):
    def faintly(target, source, rng):
        frames = target.frames.copy()
        frames[:, 40:44, 40:44] ^= 4
        return frames, {}

    monkeypatch.setitem(METHOD, "SelfBlend", (False, faintly))
    asked = {"pairs": 1, "n_frames": 4, "size": 96, "methods": ["SelfBlend"]}
    with pytest.warns(UserWarning, match="nothing of SelfBlend of 000 after .* at c40"):
        table = forge_dataset(None, tmp_path / "set", n_jobs=1, **asked)
    names = sorted(digests(tmp_path / "set"))
    assert not [n for n in names if n.startswith("manipulated") and "/c40/" in n]
    assert [n for n in names if n.startswith("manipulated") and "/raw/" in n]
    assert len(table) == len([n for n in names if "/masks/" not in n])
    manifest = (tmp_path / "set" / "manifest.json").read_text("utf-8")
    assert manifest.count("compression left nothing") == 2
    load_dataset("faceforensics", tmp_path / "set")


# Bytes, and what an interrupted run left


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(root, tmp_path):
    with parallel_config(backend="threading"):
        forge_dataset(None, tmp_path / "again", n_jobs=2, **SMALL)
    assert digests(tmp_path / "again") == digests(root)
    other = {**SMALL, "pairs": 1, "methods": "SelfBlend", "compression": "c40"}
    forge_dataset(None, tmp_path / "other", random_state=1, **other)
    assert not set(digests(tmp_path / "other").values()) & set(digests(root).values())


@pytest.mark.slow
def test_a_run_goes_on_pair_by_pair_and_ends_with_the_same_bytes(tmp_path):
    asked = {**SMALL, "compression": "c40", "methods": ["SelfBlend", "LandmarkSwap"]}
    table = forge_dataset(None, tmp_path / "set", **asked)
    whole = digests(tmp_path / "set")
    stamps = {v: Path(v).stat().st_mtime_ns for v in table.videos}
    again = forge_dataset(None, tmp_path / "set", **asked)
    assert again.table.equals(table.table)
    assert {v: Path(v).stat().st_mtime_ns for v in table.videos} == stamps

    # as if it had been stopped within the second pair
    (tmp_path / "set" / "manifest.json").unlink()
    (tmp_path / "set" / "splits" / "train.json").unlink()
    lost = [v for v in table.videos if "SelfBlend" in v and "003_002" in v]
    Path(lost[0]).unlink()
    half = unfinished_name(Path(lost[0]))
    half.write_bytes(b"half")
    forge_dataset(None, tmp_path / "set", **asked)
    assert digests(tmp_path / "set") == whole
    assert not half.exists()
    for video, stamp in stamps.items():
        is_same = Path(video).stat().st_mtime_ns == stamp
        assert is_same == (Path(video).stem[:3] in ("000", "001"))


def test_a_folder_with_anything_else_is_refused(root, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not made by the forge"):
        forge_dataset(None, tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(FileExistsError, match="another n_frames, random_state"):
        forge_dataset(None, root, **{**SMALL, "n_frames": 9}, random_state=2)
    foreign = root / "manipulated_sequences" / "Deepfakes" / "c23" / "000_001.mp4"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("somebody's")
    with pytest.raises(FileExistsError, match=r"holds manip.*Deepfakes/c23/000_001"):
        forge_dataset(None, root, **SMALL)
    foreign.unlink()
    foreign.parent.rmdir()
    foreign.parent.parent.rmdir()


@pytest.mark.parametrize("entries", [[{"path": 5}], [{}], 7, [["a", "b"]], {"a": 1}])
def test_what_a_record_says_of_files_need_not_make_sense(entries, tmp_path):
    tree = ForgedTree(tmp_path, {})
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}))
    assert not tree.is_whole()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"methods": "LipReenactement"}, "did you mean 'LipReenactment'"),
        ({"compression": "c12"}, "raw, c23, c40; got 'c12'"),
        ({"pairs": 51}, "at most 50 of the bundled"),
        ({"pairs": 0}, "at least 1"),
        ({"n_frames": 0}, "at least 1; got 0"),
        ({"size": 31}, "got 31"),
        ({"shares": (0.5, 0.5)}, "three shares"),
        ({"shares": (0.5, 0.5, 0.5)}, "sum to 1"),
        ({"source_groups": ["ann"]}, "without sources"),
    ],
)
def test_bad_requests_are_refused_and_leave_nothing(tmp_path, asked, message):
    with pytest.raises(ValueError, match=message):
        forge_dataset(None, tmp_path / "set", **asked)
    assert not (tmp_path / "set").exists()


# Who is paired with whom


def cast_of(*people):
    """Clips of people who are named by letters."""
    return [
        CastClip(number, person, f"{number}.mp4", "", SimpleNamespace())
        for number, person in enumerate(people)
    ]


def test_nobody_is_paired_with_himself_and_each_clip_is_in_one_pair():
    rng = np.random.default_rng(0)
    for _ in range(20):
        clips = cast_of(*rng.choice(list("abcdefg"), rng.integers(2, 25)))
        pairs, alone = pair_off(clips)
        assert all(one.person != other.person for one, other in pairs)
        numbers = [clip.number for pair in pairs for clip in pair]
        numbers += [clip.number for clip in alone]
        assert sorted(numbers) == list(range(len(clips)))
        assert len({clip.person for clip in alone}) <= 1


def test_people_are_never_in_two_splits():
    rng = np.random.default_rng(1)
    for _ in range(20):
        clips = cast_of(*rng.choice([f"p{i}" for i in range(40)], 60))
        pairs, _ = pair_off(clips)
        people = [
            {f"{2 * i + side:03d}": {"person": clip.person}
             for side, clip in enumerate(pair)}
            for i, pair in enumerate(pairs)
        ]  # fmt: skip
        splits = split_pairs(people, (0.6, 0.2, 0.2))
        person = {name: one["person"] for pair in people for name, one in pair.items()}
        seen = [
            {person[name] for pair in pairs for name in pair}
            for pairs in splits.values()
        ]
        assert all(seen)
        assert sum(map(len, seen)) == len(set().union(*seen))
        ids = [pair for pairs in splits.values() for pair in pairs]
        assert sorted(ids) == sorted(map(tuple, people))


def test_shares_of_pairs_are_met():
    people = [
        {f"{2 * i:03d}": {"person": f"{i}a"}, f"{2 * i + 1:03d}": {"person": f"{i}b"}}
        for i in range(50)
    ]
    sizes = {n: len(p) for n, p in split_pairs(people, (0.72, 0.14, 0.14)).items()}
    assert sizes == {"train": 36, "val": 7, "test": 7}


# Footage


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """A folder: ann in two clips, bob, cleo, nobody, and a file that is broken."""
    from skimage.data import lfw_subset

    folder = tmp_path_factory.mktemp("footage")
    for take, (name, number) in enumerate(
        [("ann1", 3), ("ann2", 3), ("bob", 11), ("cleo", 42)]
    ):
        rng = np.random.default_rng(number)
        scene = paint_portrait(lfw_subset()[number], 160, rng)
        rng = np.random.default_rng(take)
        frames, _ = Portrait(scene, np.zeros((68, 2)), 160).film(4, rng)
        write_video(folder / f"{name}.mp4", frames, fps=30)
    empty = np.random.default_rng(0).integers(0, 255, (5, 96, 96, 3), np.uint8)
    write_video(folder / "nobody.mp4", empty)
    (folder / "torn.mp4").write_bytes(b"torn")
    return folder


@pytest.mark.slow
def test_a_folder_is_forged_and_what_has_no_face_is_left_out(tmp_path, footage):
    asked = {"n_frames": 3, "methods": "LandmarkSwap", "compression": "c23"}
    os.mkfifo(footage / "pipe.mp4")
    (footage / "empty.mp4").touch()
    with pytest.warns(UserWarning, match="left out") as warned:
        table = forge_dataset(footage, tmp_path / "set", **asked)
    for name in ("pipe.mp4", "empty.mp4"):
        (footage / name).unlink()
    said = " ".join(str(one.message) for one in warned)
    assert "2 of 8 videos" in said
    assert "pipe.mp4 (it is a pipe" in said
    assert "empty.mp4 (the file is empty" in said
    assert "nobody.mp4" in said
    assert "torn.mp4" in said
    assert table.labels.count(0) == table.labels.count(1) == 4
    infos = [probe_video(video) for video in table.videos]
    assert {(i.n_frames, i.fps, i.width) for i in infos} == {(3, 30.0, 160)}
    people = json.loads((tmp_path / "set" / "manifest.json").read_text())["people"]
    names = sorted(Path(one["source"]).stem for one in people.values())
    assert names == ["ann1", "ann2", "bob", "cleo"]


def test_clips_of_one_person_share_split_and_group(tmp_path, footage):
    clips = [footage / f"{name}.mp4" for name in ("ann1", "bob", "ann2", "cleo")]
    table = forge_dataset(
        clips, tmp_path / "set", n_frames=2, methods="SelfBlend", compression="c40",
        source_groups=["ann", "bob", "ann", "cleo"],
    )  # fmt: skip
    people = json.loads((tmp_path / "set" / "people.json").read_text())
    pairs = {tuple(sorted(people[i] for i in ids)) for ids in table.table["source_ids"]
             if len(ids) == 2}  # fmt: skip
    assert pairs == {("ann", "bob"), ("ann", "cleo")}
    assert len(set(table.groups)) == 1
    assert table.table["split"].nunique() == 1


def test_landmarks_are_found_again(tmp_path, footage, monkeypatch):
    clips = [footage / "ann1.mp4", footage / "bob.mp4"]
    asked = {"n_frames": 2, "methods": "LandmarkSwap", "compression": "c40"}
    forge_dataset(clips, tmp_path / "set", **asked)
    whole = digests(tmp_path / "set")
    (tmp_path / "set" / "manifest.json").unlink()
    (tmp_path / "set" / ".forge" / "pairs" / "000_001.json").unlink()

    def never(*_):
        raise AssertionError("followed once more")

    monkeypatch.setattr("ensemble.datasets.forge.camera.follow_landmarks", never)
    forge_dataset(clips, tmp_path / "set", **asked)
    assert digests(tmp_path / "set") == whole


def test_sources_that_cannot_be_forged_are_refused(tmp_path, footage):
    with pytest.raises(ValueError, match="lies in the folder of the sources"):
        forge_dataset(footage, footage / "out")
    with pytest.raises(ValueError, match="lies in the folder of the sources"):
        forge_dataset([footage / "ann1.mp4"], footage / "new" / "out")
    with pytest.raises(ValueError, match="holds the folder of the sources"):
        forge_dataset([str(footage / "ann1.mp4")], footage.parent)
    with pytest.raises(ValueError, match="goes with a list"):
        forge_dataset(footage, tmp_path / "set", source_groups=["ann"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no videos"):
        forge_dataset(tmp_path / "empty", tmp_path / "set")
    two = [footage / "ann1.mp4", footage / "ann2.mp4"]
    with pytest.raises(ValueError, match="takes two people"):
        forge_dataset(two, tmp_path / "set", source_groups=["ann"] * 2, n_frames=2)
    with pytest.raises(ValueError, match=r"same video .*ann1.*two people"):
        forge_dataset([two[0], two[0]], tmp_path / "other")
