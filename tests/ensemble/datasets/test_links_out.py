"""A folder that a command fills may hold links to files of the user's."""

import os

import pandas as pd
import pytest

from base_models import CallableDetector, score_table
from ensemble.cli.app import main
from ensemble.datasets import VideoTable, forge_dataset, make_forgeries
from ensemble.datasets.prepare import prepare_dataset
from ensemble.datasets.prepared_layout import PREPARED
from ensemble.inspection.outputs import planned_outputs
from ensemble.reporting.outputs import OutputError, check_converted, check_tables


def scored(out):
    member = CallableDetector(lambda videos: [0.5 for _ in videos])
    member.fit(["v.mp4"] * 2, [0, 1])
    pd.DataFrame({"path": ["v.mp4"]}).to_csv("t.csv")
    score_table({"half": member}, "t.csv", str(out), isolation=None, overwrite=True)


def prepared(out):
    videos = pd.DataFrame({"path": ["v.mp4", "w.mp4"], "label": [0, 1]})
    prepare_dataset(VideoTable(videos.assign(split="train")), out, n_frames=1, size=32)


FILLED = {
    make_forgeries: ("real/pair000_a_c23.mp4", "fake", "labels.csv"),
    forge_dataset: ("original_sequences/x/000.mp4", "manipulated_sequences"),
    prepared: ("train/real/a/000.jpg", "videos.csv", ".prepare"),
    scored: ("part-000000.parquet", "_manifest.json", "_attempts", "_lock"),
}


def linked(place, out, name):
    """Link a name of the folder to a file, or a folder, that is precious."""
    (place / "mine").mkdir()
    (place / "mine" / "precious").write_text("precious")
    is_file = "." in name.strip(".") or name == "_lock"
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(place / "mine" / ("precious" if is_file else ""))


def all_below(folder):
    return {
        path: (path.read_bytes() if path.is_file() else os.path.islink(path))
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize(
    ("fill", "name"),
    [(fill, name) for fill, names in FILLED.items() for name in names],
    ids=lambda case: case if isinstance(case, str) else case.__name__,
)
def test_a_link_out_of_the_folder_is_refused(fill, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"a video")
    (tmp_path / "w.mp4").write_bytes(b"another")
    out = tmp_path / "set"
    linked(tmp_path, out, name)
    before = all_below(tmp_path)
    arguments = {forge_dataset: (None, out)}.get(fill, (out,))
    with pytest.raises(FileExistsError, match=rf"{name} is a link to .*mine.*, which"):
        fill(*arguments)
    after = all_below(tmp_path)
    after.pop(tmp_path / "t.csv", None)
    assert after == before


def test_a_link_within_the_folder_and_one_to_it_are_no_ways_out(tmp_path):
    out = tmp_path / "disk" / "set"
    out.mkdir(parents=True)
    (out / "other").symlink_to("fake")
    (tmp_path / "set").symlink_to(out)
    with pytest.raises(FileExistsError, match="not made by the forge"):
        make_forgeries(tmp_path / "set")


def test_demo_tables_and_weights_go_through_no_link(tmp_path, capsys):
    out, mine = tmp_path / "out", tmp_path / "mine"
    out.mkdir()
    mine.write_text("precious")
    for name in ("model.dfe", "census.csv", "card.json", PREPARED):
        (out / name).symlink_to(mine)
    with pytest.raises(SystemExit):
        main(["demo", "--out", str(out), "--overwrite"])
    assert "model.dfe is a link to" in capsys.readouterr().err
    with pytest.raises(OutputError, match=r"census.csv is a link to"):
        check_tables("--tables", out, ["census"], [], overwrite=True)
    check_tables("--tables", out, ["videos"], [])  # other links are no matter
    with pytest.raises(OutputError, match=r"card.json is a link to"):
        check_converted(out, tmp_path / "a.pth", overwrite=True)
    assert mine.read_text() == "precious"


def test_pictures_of_many_videos_go_through_no_link(tmp_path):
    (tmp_path / "seen").mkdir()
    (tmp_path / "mine.html").write_text("precious")
    (tmp_path / "seen" / "a.html").symlink_to(tmp_path / "mine.html")
    for asked in (tmp_path / "seen", tmp_path / "seen" / "{stem}.html"):
        with pytest.raises(OutputError, match=r"--evidence: .*a.html is a link to"):
            planned_outputs({"evidence": asked}, ["a.mp4"], overwrite=True)
