"""Every video is opened once, broken ones are rows, a stopped run goes on."""

import hashlib
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from base_models import Face, Store, VideoReadError, write_video
from ensemble.datasets import VideoTable, index_videos
from ensemble.datasets.indexing import index as index_module


class BrightFinder:
    """Finds a face of 20 pixels in frames that are bright."""

    def find(self, frame):
        return [Face((0, 0, 19, 19), 1.0)] if frame.mean() > 100 else []


def grey(path, level, n_frames=10, size=(48, 64), fps=20):
    return write_video(path, np.full((n_frames, *size, 3), level, np.uint8), fps=fps)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips, one that is cut short, one that is no video, one that is not there."""
    folder = tmp_path_factory.mktemp("videos")
    grey(folder / "bright.mp4", 150)
    grey(folder / "dark.mp4", 20, 5, (64, 48), fps=10)
    content = (folder / "bright.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 3])
    (folder / "text.mp4").write_text("no video at all")
    return folder


@pytest.fixture
def table(folder):
    names = ["bright", "dark", "cut", "text", "lost"]
    frame = pd.DataFrame({"path": [str(folder / f"{name}.mp4") for name in names]})
    return VideoTable(frame.assign(video_id=names, label=[0, 1, 0, 1, 0]))


def test_it_measures_what_is_there(table, folder, tmp_path):
    found = index_videos(table, finder=BrightFinder(), store=tmp_path).table
    found = found.set_index("video_id")
    bright, dark = found.loc["bright"], found.loc["dark"]
    assert bright[["width", "height", "frames"]].tolist() == [64, 48, 10]
    assert dark[["width", "height", "frames"]].tolist() == [48, 64, 5]
    assert bright[["fps", "seconds"]].tolist() == pytest.approx([20, 0.5])
    assert bright["codec"] == "h264"
    content = (folder / "bright.mp4").read_bytes()
    assert bright["file_size"] == len(content)
    assert bright["digest"] == hashlib.sha256(content).hexdigest()
    assert [bright["brightness"], dark["brightness"]] == pytest.approx([150, 20], abs=2)
    assert 0 <= bright["quantiser"] <= 51
    assert bright["face"]
    assert bright["face_size"] == 20
    assert not dark["face"]
    assert pd.isna(dark["face_size"])
    assert found["phash"].isna().all()  # flat


def test_broken_files_are_rows_with_a_reason(table, tmp_path):
    found = index_videos(table, finder=None, store=tmp_path).table
    found = found.set_index("video_id")
    assert found["readable"].tolist() == [True, True, False, False, False]
    assert found["reason"].isna().tolist() == [True, True, False, False, False]
    assert found.loc["lost", "reason"] == "there is no such file"
    assert found.loc["text", "file_size"] == 15
    assert found["face"].isna().all()


@pytest.mark.slow
def test_processes_find_what_one_finds(table, tmp_path):
    one = index_videos(table, 1, store=tmp_path / "one").table
    two = index_videos(table, 2, store=tmp_path / "two").table
    pd.testing.assert_frame_equal(one, two)


def test_a_stopped_run_goes_on(table, tmp_path, monkeypatch):
    measured = []
    measure = index_module.measure_video

    def stopped(video, finder):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(os.path.basename(video))
        return measure(video, finder)

    monkeypatch.setattr(index_module, "measure_video", stopped)
    with pytest.raises(KeyboardInterrupt):
        index_videos(table, finder=None, store=tmp_path)
    measured.clear()
    monkeypatch.setattr(
        index_module,
        "measure_video",
        lambda video, finder: (
            measured.append(os.path.basename(video)) or measure(video, finder)
        ),
    )
    found = index_videos(table, finder=None, store=tmp_path)
    assert measured == ["cut.mp4", "text.mp4", "lost.mp4"]
    fresh = index_videos(table, finder=None, store=tmp_path / "fresh")
    pd.testing.assert_frame_equal(found.table, fresh.table)


def test_a_file_that_changed_is_opened_again(tmp_path):
    path = grey(tmp_path / "a.mp4", 150)
    table = VideoTable(pd.DataFrame({"path": [str(path)], "label": [0]}))
    store = Store(tmp_path / "store")
    before = index_videos(table, finder=None, store=store).table
    grey(path, 50, 7)
    after = index_videos(table, finder=None, store=store).table
    assert [before["frames"][0], after["frames"][0]] == [10, 7]


def test_what_only_one_video_has_is_its_own_fault(table, tmp_path, monkeypatch):
    measure = index_module.measure_video

    def odd(video, finder):
        row, error = measure(video, finder)
        return (row, ZeroDivisionError()) if "dark" in video else (row, error)

    monkeypatch.setattr(index_module, "measure_video", odd)
    assert len(index_videos(table, finder=None, store=tmp_path / "one")) == 5
    monkeypatch.setattr(
        index_module, "measure_video", lambda v, f: (measure(v, f)[0], OverflowError())
    )
    with pytest.raises(OverflowError):  # every one: a fault of the code
        index_videos(table, finder=None, store=tmp_path / "all")


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_it_is_written_and_read_again(table, tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"table{ending}"
    found = index_videos(table, out=out, finder=BrightFinder(), store=tmp_path / "s")
    again = VideoTable.read(out).table
    for name in ("frames", "codec", "digest", "readable", "reason", "face_size"):
        pd.testing.assert_series_equal(
            again[name].astype(object).where(again[name].notna(), None),
            found.table[name].astype(object).where(found.table[name].notna(), None),
            check_dtype=False,
        )


def test_an_out_of_another_kind_is_refused_before_any_work(table, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .parquet or .csv; got .*a.txt"):
        index_videos(table, out=tmp_path / "a.txt")
    with pytest.raises(ValueError, match="finder must be 'dlib'"):
        index_videos(table, finder="hog")


def test_a_folder_of_frames_is_a_video(tmp_path):
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (90, 90, 90)).save(folder / f"{number}.png")
    table = VideoTable(pd.DataFrame({"path": [str(folder)], "label": [0]}))
    store = tmp_path / "store"
    row = index_videos(table, finder=None, store=store).table.iloc[0]
    assert row[["width", "height", "frames", "readable"]].tolist() == [40, 30, 3, True]
    assert pd.isna(row["codec"])
    shutil.copy(folder / "0.png", folder / "3.png")
    assert index_videos(table, finder=None, store=store).table["frames"][0] == 4


def test_an_image_is_a_video_of_one_frame(tmp_path):
    from PIL import Image

    path = tmp_path / "face.png"
    Image.new("RGB", (40, 30), (90, 90, 90)).save(path)
    table = VideoTable(pd.DataFrame({"path": [str(path)], "label": [0]}))
    row = index_videos(table, finder=None, store=tmp_path / "s").table.iloc[0]
    assert row[["width", "height", "frames", "readable"]].tolist() == [40, 30, 1, True]
    assert row["brightness"] == pytest.approx(90)
    assert pd.isna(row["seconds"])


def test_an_error_is_a_reason_and_names_no_path_twice(folder):
    row, error = index_module.measure_video(folder / "text.mp4", None)
    assert isinstance(error, VideoReadError)
    assert row["reason"] == error.reason
