"""A table that is scored again: files that were replaced since have new scores."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
from PIL import Image

from base_models import CallableDetector, score_table


def first_byte(videos):
    return [_first(Path(video)) / 100 for video in videos]


def _first(video):
    if video.is_dir():
        return Image.open(video / "0.png").getpixel((0, 0))[0]
    return video.read_bytes()[0]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Six files that are scored by their first byte, in two parts."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        Path(f"v{number}.mp4").write_bytes(bytes([number, 7, 7]))
    pd.DataFrame({"path": [f"v{number}.mp4" for number in range(6)]}).to_csv("t.csv")
    return "t.csv"


def scored(table, part_size=3, overwrite=False):
    member = CallableDetector(first_byte).fit(["v0.mp4"] * 2, [0, 1])
    detectors = {"byte": member}
    done = score_table(
        detectors,
        table,
        "out",
        part_size=part_size,
        overwrite=overwrite,
        isolation=None,
    )
    return done.n_skipped, pd.read_parquet("out")["byte"].fillna(-1).tolist()


def test_a_table_that_comes_under_the_name_of_a_part_stays(table, monkeypatch):
    own = pd.DataFrame({"row": [7]})
    pieces = []

    def put(videos):
        pieces.append(len(videos))
        if len(pieces) == 2:  # while the second part is scored
            own.to_parquet("out/part-000001.parquet")
        return first_byte(videos)

    member = CallableDetector(put).fit(["v0.mp4"] * 2, [0, 1])
    settings = {"part_size": 3, "isolation": None}
    with pytest.raises(ValueError, match="'part-000001.parquet', a table that this"):
        score_table({"byte": member}, table, "out", **settings)
    assert pd.read_parquet("out/part-000001.parquet").equals(own)


def run_of_its_own():
    """Score in a new process: this one has read the files already."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; "
        "from test_replaced_since import scored; print(scored('t.csv'))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ran.stdout.strip()


def test_a_file_that_was_replaced_is_scored_anew(table):
    assert scored(table) == (0, [0.0, 0.01, 0.02, 0.03, 0.04, 0.05])
    Path("v1.mp4").write_bytes(bytes([90, 7, 7]))
    assert scored(table) == (1, [0.0, 0.9, 0.02, 0.03, 0.04, 0.05])
    assert scored(table)[0] == 2


def test_copied_and_deleted_files_keep_their_scores(table):
    expected = scored(table)[1]
    for number in range(4):  # touched, or copied back from a disk
        os.utime(f"v{number}.mp4", (1, 1))
    Path("v5.mp4").unlink()
    assert scored(table) == (2, expected)


def test_a_file_that_was_not_there_before_is_scored(table):
    Path("v4.mp4").rename("elsewhere.mp4")
    assert scored(table) == (0, [0.0, 0.01, 0.02, 0.03, -1, 0.05])
    assert scored(table)[0] == 2  # still not there
    Path("elsewhere.mp4").rename("v4.mp4")
    assert scored(table) == (1, [0.0, 0.01, 0.02, 0.03, 0.04, 0.05])


def test_an_image_of_a_folder_counts(table):
    os.mkdir("frames")
    Image.new("RGB", (8, 8), (10, 10, 10)).save("frames/0.png")
    pd.DataFrame({"path": ["v0.mp4", "frames"]}).to_csv(table)
    assert scored(table) == (0, [0.0, 0.1])
    assert scored(table)[0] == 1
    Image.new("RGB", (8, 8), (60, 10, 10)).save("frames/0.png")
    assert scored(table) == (0, [0.0, 0.6])


def test_parts_of_an_earlier_release_and_damaged_ones(table):
    expected = scored(table)[1]
    old = Path("out/part-000000.parquet")
    part = pyarrow.parquet.read_table(old)
    note = part.schema.metadata[b"deepfake-ensemble"].replace(b'"videos"', b'"others"')
    part = part.replace_schema_metadata({"deepfake-ensemble": note})
    pyarrow.parquet.write_table(part, old)
    Path("v1.mp4").write_bytes(bytes([90, 7, 7]))
    assert scored(table) == (2, expected)  # nothing tells what it was of
    damaged = bytearray(Path("out/part-000001.parquet").read_bytes())
    damaged[4:200] = bytes(196)
    Path("out/part-000001.parquet").write_bytes(damaged)
    assert scored(table) == (1, expected)
    shutil.rmtree("out")
    assert scored(table) == (0, [0.0, 0.9, *expected[2:]])


def test_a_table_of_ones_own_that_is_named_as_a_part_is_kept(table):
    scored(table)
    own = Path("out/part-000001.parquet")
    pd.DataFrame({"mine": [1]}).to_parquet(own)
    content = own.read_bytes()
    for options in ({}, {"part_size": 2, "overwrite": True}):
        with pytest.raises(ValueError, match=r"holds 'part-000001.parquet', a table"):
            scored(table, **options)
        assert own.read_bytes() == content


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_the_same_size_and_time_is_another(table, ending):
    path = Path(f"same.{ending}")
    sizes = []
    for names in (["v0.mp4", "v1.mp4"], ["v4.mp4", "v5.mp4"]):
        frame = pd.DataFrame({"path": names})
        frame.to_csv(path) if ending == "csv" else frame.to_parquet(path)
        os.utime(path, (1, 1))
        sizes.append(path.stat().st_size)
        if len(sizes) == 1:
            assert scored(path) == (0, [0.0, 0.01])
    assert sizes[0] == sizes[1]
    with pytest.raises(ValueError, match="holds parts of another run"):
        scored(path)
    assert scored(path, overwrite=True) == (0, [0.04, 0.05])


@pytest.mark.slow
def test_a_file_whose_size_and_time_were_kept_is_another(table):
    scored(table)
    status = os.stat("v1.mp4")
    Path("new.mp4").write_bytes(bytes([90, 7, 7]))
    os.replace("new.mp4", "v1.mp4")
    os.utime("v1.mp4", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run_of_its_own() == "(1, [0.0, 0.9, 0.02, 0.03, 0.04, 0.05])"


@pytest.mark.slow
def test_an_image_that_was_written_over_in_place_is_another(table):
    os.mkdir("frames")
    image = Path("frames/0.png")
    Image.new("RGB", (8, 8), (10, 10, 10)).save(image, compress_level=0)
    pd.DataFrame({"path": ["v0.mp4", "frames"]}).to_csv(table)
    assert scored(table) == (0, [0.0, 0.1])
    status = image.stat()
    Image.new("RGB", (8, 8), (60, 10, 10)).save("new.png", compress_level=0)
    with image.open("r+b") as file:
        file.write(Path("new.png").read_bytes())
    assert image.stat().st_size == status.st_size
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run_of_its_own() == "(0, [0.0, 0.6])"
    assert run_of_its_own() == "(1, [0.0, 0.6])"
