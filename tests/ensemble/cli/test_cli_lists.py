"""The lists that say the labels of a data set are never written onto."""

import json
import os

import pytest

from ensemble.cli.app import main
from ensemble.datasets import VideoTable, load_dataset

REAL, FAKE = "원본영상_training_메타데이터.csv", "변조영상_training_메타데이터.csv"
FF_REAL = "original_sequences/youtube/c23/videos"
FF_FAKE = "manipulated_sequences/Deepfakes/c23/videos"


def of_bench(label, name):
    return {"train": {"c23": {name: {"label": label, "frames": [f"{name}/0.png"]}}}}


# Kind -> its videos, and its lists.
TREES = {
    "csv": (
        ["a.mp4", "b.mp4"],
        {"videos.csv": "path,label\na.mp4,REAL\nb.mp4,FAKE\n"},
    ),
    "faceforensics": (
        [f"{FF_REAL}/000.mp4", f"{FF_REAL}/003.mp4", f"{FF_FAKE}/000_003.mp4"],
        {
            "splits/train.json": [["000", "003"]],
            "splits/val.json": [],
            "splits/test.json": [],
            "people.json": {"000": "ann", "003": "bob"},
        },
    ),
    "dfdc": (
        ["part_0/a.mp4", "part_0/b.mp4", "test/c.mp4"],
        {
            "part_0/metadata.json": {
                "a.mp4": {"label": "REAL"},
                "b.mp4": {"label": "FAKE", "original": "a.mp4"},
            },
            "test/labels.csv": "filename,label\nc.mp4,1\n",
        },
    ),
    "dfdc_preview": (
        ["original_videos/7/a.mp4", "method_A/7/b.mp4"],
        {
            "dataset.json": {
                "original_videos/7/a.mp4": {"label": "real", "set": "train"},
                "method_A/7/b.mp4": {"label": "fake", "set": "train"},
            }
        },
    ),
    "celeb_df": (
        ["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"],
        {"List_of_testing_videos.txt": "1 Celeb-real/id0_0000.mp4\n"},
    ),
    "kodf": (
        ["원본/a.mp4", "변조/f.mp4"],
        {
            REAL: "영상ID\na.mp4\n",
            FAKE: "영상ID,타겟영상,변조모델\nf.mp4,a.mp4,dfl\n",
        },
    ),
    "deepfakebench": (
        ["one/0.png", "two/0.png"],
        {
            "lists/one.json": {"X": {"X_real": of_bench("X_real", "one")}},
            "lists/two.json": {"X": {"X_fake": of_bench("X_fake", "two")}},
        },
    ),
}
CASES = [(kind, name) for kind, (_, lists) in TREES.items() for name in lists]


def planted(root, kind):
    """Write the tree of a kind; the content of each video is its name."""
    videos, lists = TREES[kind]
    for name, content in [*zip(videos, videos, strict=True), *lists.items()]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return root


@pytest.mark.parametrize("kind", TREES)
def test_a_table_knows_its_lists(kind, tmp_path):
    root = planted(tmp_path, kind)
    expected = {root / name for name in TREES[kind][1]}
    table = load_dataset("auto", root)
    assert table.kind == kind
    assert set(table.lists) == expected
    for other in (table.subset(labelled=True), VideoTable.concat([table, table][:1])):
        assert set(other.lists) == expected


def test_a_json_file_that_is_no_list_is_not_taken_for_one(tmp_path):
    (planted(tmp_path, "deepfakebench") / "lists" / "notes.json").write_text("{}")
    lists = load_dataset("auto", tmp_path).lists
    assert sorted(path.name for path in lists) == ["one.json", "two.json"]


def test_a_table_that_is_read_by_itself_is_its_list(tmp_path):
    path = planted(tmp_path, "csv") / "videos.csv"
    assert VideoTable.read(path).lists == (path,)


@pytest.mark.slow_after(4)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_no_command_writes_onto_a_list(kind, name, tmp_path, monkeypatch, capsys):
    target = planted(tmp_path / "set", kind) / name
    before = target.read_bytes()
    monkeypatch.chdir(tmp_path)
    os.symlink(target, "link")
    for model in ("model.dfe", "net.pth"):
        (tmp_path / model).write_text("a model")
    commands = [
        ["fit", "set", "--out", "link"],
        ["assemble", "net.pth", "--calibrate", "set", "--out", "link"],
    ]
    if target.suffix == ".json":
        commands += [
            ["explore", "set", "--json", target],
            ["scan", "set", "-m", "model.dfe", "--json", target],
            ["stress", "model.dfe", "set", "--json", target],
            ["compare", "set", "--json", target],
        ]
    else:
        commands += [
            ["scan", "set", "-m", "model.dfe", "--csv", target],
            ["stress", "model.dfe", "set", "--scores", target],
            ["predict", "set", "-m", "model.dfe", "--submission", target],
            ["compare", "set", "--csv", target],
        ]
    if target.suffix == ".csv":
        commands.append(["index", "set", "--out", target])
    for command in commands:
        with pytest.raises(SystemExit) as left:
            main([*map(str, command), "--kind", kind, "--overwrite"])
        err = " ".join(capsys.readouterr().err.split())
        assert left.value.code == 2, command
        assert "is one of the inputs; give another name" in err, command
        assert target.read_bytes() == before, command


def test_tables_of_explore_are_not_written_onto_a_list(tmp_path, capsys):
    videos = planted(tmp_path / "set", "csv") / "videos.csv"
    table = videos.rename(videos.with_name("counts.csv"))
    before = table.read_bytes()
    with pytest.raises(SystemExit) as left:
        main(["explore", str(table), "--csv", str(table.parent), "--overwrite"])
    assert left.value.code == 2
    assert "counts.csv, one of the inputs" in " ".join(capsys.readouterr().err.split())
    assert table.read_bytes() == before
