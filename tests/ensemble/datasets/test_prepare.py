"""Prepared data sets: the right pixels, by group, resumable, read back with groups."""

import io
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from base_models import ArtifactError, sample_frames, write_video
from base_models.runtime.ending.unfinished import unfinished_name
from ensemble.cli.app import main
from ensemble.datasets import VideoTable, load_dataset
from ensemble.datasets.prepare import prepare_dataset

N_GROUPS = 10


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Ten groups of a real and a fake video, 1.2 seconds of noise each."""
    folder, draw = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    rows = []
    for group in range(N_GROUPS):
        for label in (0, 1):
            frames = draw.integers(0, 255, (12, 12, 16, 3)).astype(np.uint8)
            frames = frames.repeat(4, axis=1).repeat(4, axis=2)
            path = folder / f"{'swap' if label else 'clean'}" / f"{group}.mp4"
            path.parent.mkdir(exist_ok=True)
            write_video(path, frames, fps=10, crf=10)
            rows.append({"path": str(path), "label": label, "group": f"person {group}",
                         "video_id": f"{path.parent.name}/{group}.mp4",
                         "method": "swap" if label else "none"})  # fmt: skip
    return VideoTable(pd.DataFrame(rows))


SETTINGS = {"view": "frame", "size": 32, "n_frames": 3}


def _content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def prepared(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    return out, prepare_dataset(table, out, **SETTINGS)


@pytest.mark.slow
def test_images_are_the_sampled_frames(table, prepared):
    _, written = prepared
    for video, folder in zip(table.videos, written.videos, strict=True):
        frames, indices = sample_frames(video, 3, return_indices=True)
        images = sorted(Path(folder).iterdir())
        assert [image.name for image in images] == [f"{i:06d}.png" for i in indices]
        for frame, image in zip(frames, images, strict=True):
            expected = Image.fromarray(frame).resize((32, 32), Image.BILINEAR)
            np.testing.assert_array_equal(np.array(Image.open(image)), expected)


def test_no_group_is_in_two_splits_and_shares_are_kept(prepared):
    written = prepared[1].table
    assert (written.groupby("group")["split"].nunique() == 1).all()
    counts = written["split"].value_counts()
    assert counts.to_dict() == {"train": 14, "val": 2, "test": 4} or (
        counts.to_dict() == {"train": 14, "val": 4, "test": 2}
    )
    for split, rows in written.groupby("split"):
        assert set(rows["label"]) == {0, 1}, split


def test_it_is_read_back_as_a_folder_with_its_groups(table, prepared):
    out, written = prepared
    for kind in ("folder", "csv", "auto"):
        read = load_dataset(kind, out)
        assert read.labels == table.labels
        assert read.groups == table.groups
        assert [Path(v) for v in read.videos] == [Path(v) for v in written.videos]
        assert list(read.table["split"]) == list(written.table["split"])
    assert len(load_dataset("folder", out, split="train")) == 14


def test_it_is_read_back_as_a_list_of_deepfakebench(prepared):
    out, written = prepared
    read = load_dataset("deepfakebench", out / "deepfakebench.json")
    labels = dict(zip(map(Path, read.videos), read.labels, strict=True))
    splits = dict(zip(map(Path, read.videos), read.table["split"], strict=True))
    for path, label, split in zip(
        written.videos, written.labels, written.table["split"], strict=True
    ):
        assert labels[Path(path)] == label
        assert splits[Path(path)] == split


def test_a_second_run_makes_nothing_and_changes_no_byte(table, prepared, monkeypatch):
    out, _ = prepared
    before = _content(out)
    monkeypatch.setattr("ensemble.datasets.prepare._write_images", None)
    prepare_dataset(table, out, **SETTINGS)
    assert _content(out) == before


@pytest.mark.slow
@pytest.mark.parametrize("format", ["png", "jpg", "webdataset"])
def test_the_same_bytes_whatever_the_order_of_work(table, tmp_path, format):
    some = table.subset(where=np.arange(2 * N_GROUPS) < 8)
    settings = SETTINGS | {"format": format, "shares": (0.5, 0.25, 0.25)}
    prepare_dataset(some, tmp_path / "one", **settings)
    prepare_dataset(some, tmp_path / "two", n_jobs=2, **settings)
    assert _content(tmp_path / "one") == _content(tmp_path / "two")


def test_a_stopped_run_goes_on(table, prepared, tmp_path, monkeypatch):
    from ensemble.datasets import prepare

    real, written = prepare._write_images, []

    def stops(folder, view, images):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(folder)
        real(folder, view, images)

    monkeypatch.setattr(prepare, "_write_images", stops)
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(table, tmp_path / "out", **SETTINGS)
    assert not (tmp_path / "out/videos.csv").exists()  # not complete, and says so
    (tmp_path / "out/videos.csv").write_text("path,label\n")  # as of an earlier run
    for path in (tmp_path / "out", tmp_path / "out/videos.csv"):
        with pytest.raises(ValueError, match="out is not whole: prepare writes into"):
            load_dataset("auto", path)
    done = list(written)
    monkeypatch.setattr(
        prepare, "_write_images", lambda *a: written.append(a[0]) or real(*a)
    )
    prepare_dataset(table, tmp_path / "out", **SETTINGS)
    assert not set(done) & set(written[5:])
    assert _content(tmp_path / "out") == _content(prepared[0])


def test_images_are_on_the_disk_before_a_note_says_so(table, tmp_path, monkeypatch):
    synced, sync, replace = set(), os.fsync, os.replace

    def note_sync(handle):
        synced.add(os.fstat(handle).st_ino)
        sync(handle)

    def check_images(old, new):
        if "/.prepared/" in str(new) and str(new).endswith(".json"):
            images = json.loads(Path(old).read_text())
            images = [tmp_path / "out" / images["name"] / n for n in images["images"]]
            assert len(images) == 3
            assert {image.stat().st_ino for image in images} <= synced
            noted.append(new)
        replace(old, new)

    noted = []
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", check_images)
    settings = SETTINGS | {"shares": (1, 0, 0)}
    prepare_dataset(table.subset(where=np.arange(20) < 3), tmp_path / "out", **settings)
    assert len(noted) == 3


def test_a_changed_video_is_prepared_anew(table, tmp_path):
    copies = table.table.copy()
    folder = tmp_path / "clips"
    for row, path in enumerate(copies["path"]):
        copy = folder / f"{row}.mp4"
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(Path(path).read_bytes())
        copies.loc[row, "path"] = str(copy)
    copies = VideoTable(copies)
    out = tmp_path / "out"
    first = prepare_dataset(copies, out, **SETTINGS)
    before = _content(out)
    write_video(folder / "3.mp4", np.full((12, 48, 64, 3), 77, np.uint8), fps=10)
    prepare_dataset(copies, out, **SETTINGS)
    after = _content(out)
    changed = {name for name in before if before[name] != after[name]}
    place = str(Path(first.videos[3]).relative_to(out))
    assert {name for name in changed if name.endswith(".png")} == {
        name for name in before if name.startswith(place)
    }


@pytest.mark.slow
def test_videos_without_an_image_are_listed_with_the_reason(table, tmp_path):
    broken = tmp_path / "more" / "broken.mp4"
    broken.parent.mkdir()
    broken.write_bytes(b"no video")
    more = pd.DataFrame({"path": [str(broken)], "label": [1], "group": ["person 0"]})
    both = VideoTable(pd.concat([table.table, more], ignore_index=True).assign(
        video_id=[*table.table["video_id"], "broken.mp4"]))  # fmt: skip
    written = prepare_dataset(both, tmp_path / "out", **SETTINGS)
    assert len(written) == len(table)
    left = pd.read_csv(tmp_path / "out/left_out.csv")
    assert left["video_id"].tolist() == ["broken.mp4"]
    assert "cannot be opened" in left["reason"][0]
    with pytest.raises(ValueError, match="none of 20 videos gave an image.*no face"):
        prepare_dataset(table, tmp_path / "faces", view="face", size=32, n_frames=1)


def test_one_frame_every_so_many_seconds(table, tmp_path):
    some = table.subset(where=np.arange(2 * N_GROUPS) < 8)
    written = prepare_dataset(
        some, tmp_path / "out", view="frame", size=16, every=0.4, shares=(1, 0, 0)
    )
    assert written.table["n_images"].tolist() == [3] * 8  # 1.2 seconds
    assert set(written.table["split"]) == {"train"}


def test_shards_hold_each_frame_with_its_label(table, tmp_path):
    some = table.subset(where=np.arange(2 * N_GROUPS) < 12)
    settings = SETTINGS | {"format": "webdataset", "shard_videos": 4}
    settings["shares"] = (0.5, 0.25, 0.25)
    out = tmp_path / "out"
    written = prepare_dataset(some, out, **settings)
    before, found = _content(out), []
    for path in sorted(out.glob("*.tar")):
        with tarfile.open(path) as shard:
            names = shard.getnames()
            keys = list(dict.fromkeys(name.partition(".")[0] for name in names))
            assert names == [
                f"{key}.{e}" for key in keys for e in ("png", "cls", "json")
            ]
            for key in keys:
                label = int(shard.extractfile(f"{key}.cls").read())
                facts = json.load(shard.extractfile(f"{key}.json"))
                image = Image.open(io.BytesIO(shard.extractfile(f"{key}.png").read()))
                assert image.size == (32, 32)
                assert path.name.startswith(facts["split"])
                found.append((facts["video_id"], label))
    expected = zip(some.table["video_id"], some.labels, strict=True)
    assert sorted(found) == sorted(3 * list(expected))
    assert not list(out.rglob("*.png"))
    prepare_dataset(some, out, **settings)
    assert _content(out) == before
    assert len(written) == 12


def _copies(table, folder):
    """The same videos in files of their own, by label, as a data set in a folder."""
    rows = table.table.copy()
    for row, (path, label) in enumerate(zip(rows["path"], rows["label"], strict=True)):
        copy = folder / ("fake" if label else "real") / f"{row}.mp4"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(Path(path).read_bytes())
        rows.loc[row, "path"] = str(copy)
    return VideoTable(rows)


def test_crops_among_the_videos_are_refused_and_never_read_as_the_data_set(
    capsys, table, tmp_path
):
    copies = _copies(table, tmp_path / "set")
    with pytest.raises(FileExistsError, match="real, where the videos are"):
        prepare_dataset(copies, tmp_path / "set/real/crops", **SETTINGS)
    code, _, err = _run(capsys, "prepare", tmp_path / "set", tmp_path / "set/crops")
    assert code == 2
    assert "read as a part of it" in " ".join(err.replace("│", "").split())
    prepare_dataset(copies, tmp_path / "set/crops", **SETTINGS)
    before = _content(tmp_path / "set")
    assert load_dataset("auto", tmp_path / "set").kind == "folder"
    prepare_dataset(copies, tmp_path / "set/crops", **SETTINGS)
    assert _content(tmp_path / "set") == before


def test_a_video_that_became_empty_leaves_no_image_and_other_files_stay(
    table, tmp_path
):
    copies, out = _copies(table, tmp_path / "set"), tmp_path / "out"
    written = prepare_dataset(copies, out, **SETTINGS)
    lost, kept = Path(written.videos[0]), Path(written.videos[1])
    (kept / "note.txt").write_text("mine")
    Path(copies.videos[0]).write_bytes(b"")
    Path(copies.videos[1]).write_bytes(Path(copies.videos[3]).read_bytes())
    prepare_dataset(copies, out, **SETTINGS)
    assert not lost.exists()
    assert (kept / "note.txt").read_text() == "mine"
    assert sorted(path.read_bytes() for path in kept.glob("*.png")) == sorted(
        path.read_bytes() for path in Path(written.videos[3]).glob("*.png")
    )


@pytest.mark.slow
def test_shards_are_made_anew_where_what_they_say_has_changed(table, tmp_path):
    settings = SETTINGS | {"format": "webdataset"}
    settings["shares"] = (0.5, 0.25, 0.25)
    prepare_dataset(table, tmp_path / "out", **settings)
    group = table.table["group"].str.replace("person", "pair")
    corrected = VideoTable(table.table.assign(method="other", group=group))
    prepare_dataset(corrected, tmp_path / "out", **settings)
    prepare_dataset(corrected, tmp_path / "fresh", **settings)
    shards = sorted(path.name for path in (tmp_path / "fresh").glob("*.tar"))
    for name in shards:
        old, new = ((tmp_path / part / name).read_bytes() for part in ("out", "fresh"))
        assert old == new


def test_keys_of_shards_differ_where_ids_differ_in_a_dot(table, tmp_path):
    rows = table.table.head(3).assign(
        video_id=["a.b", "a_b", "a b"], label=[1, 1, 1], split="train"
    )
    prepare_dataset(
        VideoTable(rows), tmp_path / "out", **SETTINGS | {"format": "webdataset"}
    )
    (path,) = (tmp_path / "out").glob("*.tar")
    with tarfile.open(path) as shard:
        names = shard.getnames()
    assert len(names) == len(set(names)) == 27


def test_a_split_that_is_known_stays_and_takes_its_group_along(table, tmp_path):
    given = [None] * (2 * N_GROUPS)
    given[0] = given[2] = "test"  # one video of two groups each
    written = prepare_dataset(
        VideoTable(table.table.assign(split=given)), tmp_path / "out", **SETTINGS
    )
    assert list(written.table["split"][:4]) == ["test"] * 4
    assert (written.table.groupby("group")["split"].nunique() == 1).all()
    assert set(written.table["split"][4:]) == {"train", "val", "test"}


def test_official_splits_are_kept(table, tmp_path):
    split = ["test", "train"] * N_GROUPS
    official = VideoTable(table.table.assign(split=split))
    written = prepare_dataset(official, tmp_path / "out", **SETTINGS)
    assert list(written.table["split"]) == split


@pytest.mark.slow
def test_into_the_store_alone(table, tmp_path, monkeypatch):
    from base_models import FrameDetector, Store

    store = Store(tmp_path / "store")
    kept = prepare_dataset(table, None, store=store, **SETTINGS)
    assert len(kept) == len(table)
    monkeypatch.setattr(
        "base_models.views.making.sample_clips", None
    )  # nothing is read
    detector = FrameDetector(
        "resnet18", view="frame", train="head", weights=None, image_size=32, n_frames=3,
        store=store,
    )  # fmt: skip
    detector.fit(table.videos, table.labels)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"view": "crop"}, "view must be face or frame; got 'crop'"),
        ({"format": "bmp"}, "format must be one of png, jpg, webdataset; got 'bmp'"),
        ({"size": 0}, "size must be a whole number from 1; got 0"),
        ({"every": 0}, "every must be above 0 seconds; got 0"),
        ({"shares": (0.5, 0.6, 0)}, "add up to 1; got"),
    ],
)
def test_unusable_settings_are_named(table, tmp_path, settings, said):
    with pytest.raises(ValueError, match=said):
        prepare_dataset(table, tmp_path / "out", **SETTINGS | settings)
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_left_alone(table, prepared, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="was not made by prepare"):
        prepare_dataset(table, tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "mine.txt").rename(unfinished_name(tmp_path / "of-the-dead.json"))
    prepare_dataset(table, tmp_path, **SETTINGS)  # who died before his first file
    with pytest.raises(FileExistsError, match="prepared with another size"):
        prepare_dataset(table, prepared[0], **SETTINGS | {"size": 48})


def test_two_ids_that_look_alike_get_two_folders(table, tmp_path):
    rows = table.table.head(2).assign(video_id=["a b.mp4", "a_b.mp4"], label=[1, 1],
                                      split="train")  # fmt: skip
    written = prepare_dataset(VideoTable(rows), tmp_path / "out", **SETTINGS)
    assert len(set(written.videos)) == 2


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_the_command_prepares_what_fit_reads(capsys, table, tmp_path):
    listed, out = tmp_path / "videos.csv", tmp_path / "out"
    table.to_csv(listed)
    arguments = ("prepare", listed, out, "--view", "frame", "--size", 32)
    arguments += ("--n-frames", 3, "-q")
    code, printed, _ = _run(capsys, *arguments)
    assert code == 0
    assert "20 videos (10 real, 10 fake), 10 groups" in printed
    assert _run(capsys, *arguments)[0] == 0
    code, _, err = _run(capsys, "prepare", listed, out, "--size", 48, "-q")
    assert code == 2
    assert "prepared with another view, size" in err
    code, _, err = _run(capsys, "prepare", listed, out, "--shares", "most")
    assert "three numbers by comma" in err
    code, _, err = _run(
        capsys, "fit", out, "--split", "train", "--out", tmp_path / "model.dfe", "-q",
        "--backbones", "resnet18", "--views", "crop", "--train", "head", "--weights",
        "none", "--image-size", 32, "--n-frames", 2, "--folds", 2,
    )  # fmt: skip
    assert code == 0, err
    assert (tmp_path / "model.dfe").exists()


def test_a_note_that_names_another_folder_deletes_nothing_there(
    table, prepared, tmp_path
):
    out = tmp_path / "out"
    shutil.copytree(prepared[0], out)
    with tempfile.TemporaryDirectory() as elsewhere:  # of three parts: /tmp/...
        (Path(elsewhere) / "0.png").write_text("of somebody")
        note = {"name": elsewhere, "images": {"0.png": 0}, "reason": "", "digest": ""}
        (state,) = {path.parent for path in out.rglob(".*/*.json")}
        (state / "gone.json").write_text(json.dumps(note))
        prepare_dataset(table, out, **SETTINGS)
        assert (Path(elsewhere) / "0.png").read_text() == "of somebody"
    assert not (state / "gone.json").exists()


def test_a_damaged_note_is_named(table, prepared, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(prepared[0], out)
    (note,) = out.glob("prepared.json")
    note.write_text("[" * 100_000)
    with pytest.raises(ArtifactError, match=r"prepared\.json: what it says cannot be"):
        prepare_dataset(table, out, **SETTINGS)


@pytest.mark.parametrize("split", ["../../x", "/tmp/x", ".", "..", "a\\b", "", "a\0b"])
def test_a_split_that_is_no_folder_name_is_refused(split, table, tmp_path):
    """A table of others must not say where images are written."""
    rows = table.table.assign(split="train")
    rows.loc[3, "split"] = split
    with pytest.raises(ValueError, match=r"the split of swap/1\.mp4 is .* must be the"):
        prepare_dataset(VideoTable(rows), tmp_path / "out", **SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_second_run_into_the_same_folder_is_refused_while_one_writes(
    table, tmp_path, monkeypatch
):
    from ensemble.datasets import prepare

    some, refused = table.subset(where=np.arange(2 * N_GROUPS) < 4), []
    settings = SETTINGS | {"shares": (1, 0, 0)}
    real = prepare._write_images

    def write(folder, view, images):
        with pytest.raises(ValueError, match="another run is writing into .*out; wait"):
            prepare_dataset(some, tmp_path / "out", **settings)
        refused.append(folder)
        real(folder, view, images)

    monkeypatch.setattr(prepare, "_write_images", write)
    written = prepare_dataset(some, tmp_path / "out", **settings)
    assert len(refused) == len(written) == 4
    prepare_dataset(some, tmp_path / "out", **settings)  # the lock has gone


def test_shards_of_others_stay_and_old_ones_of_ours_go(table, tmp_path):
    settings = SETTINGS | {"format": "webdataset", "shard_videos": 2}
    settings["shares"] = (1, 0, 0)
    prepare_dataset(table.subset(where=np.arange(20) < 4), tmp_path / "out", **settings)
    (tmp_path / "out/holiday-202601.tar").write_text("mine")
    prepare_dataset(table.subset(where=np.arange(20) < 2), tmp_path / "out", **settings)
    assert {path.name for path in (tmp_path / "out").glob("*.tar")} == {
        "holiday-202601.tar", "train-000000.tar"
    }  # fmt: skip
    assert (tmp_path / "out/holiday-202601.tar").read_text() == "mine"
