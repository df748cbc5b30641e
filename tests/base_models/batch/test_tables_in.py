"""Tables of videos: whatever the file, the same rows, from any row on."""

import gzip
import os
import traceback
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from base_models.batch.input_table import open_table
from base_models.batch.table_rows import rows_of
from base_models.errors import ScoreTableError
from base_models.runtime.remote import reading

pytest_plugins = ["remote"]

ROWS = [(f"v{n}.mp4", f"{n:03}", "caf\u00e9, \u5317") for n in range(50)]


def as_parquet(folder, group=7):
    names, ids, words = zip(*ROWS, strict=True)
    table = pa.table({"path": names, "id": ids, "word": words})
    pyarrow.parquet.write_table(table, folder / "t.parquet", row_group_size=group)
    return folder / "t.parquet"


def as_folder(folder):
    """As Spark writes it, with partitions and a mark of success."""
    names, ids, words = zip(*ROWS, strict=True)
    for day, rows in (("a", slice(0, 20)), ("b", slice(20, 50))):
        part = pa.table({"path": names[rows], "id": ids[rows], "word": words[rows]})
        (folder / "t" / f"day={day}").mkdir(parents=True)
        pyarrow.parquet.write_table(part, folder / "t" / f"day={day}" / "p-0.parquet")
    (folder / "t" / "_SUCCESS").touch()
    return folder / "t"


def as_csv(folder, sign=",", encoding="utf-8", packed=False):
    lines = [sign.join(f'"{field}"' for field in row) for row in ROWS]
    text = "\n".join([sign.join(("path", "id", "word")), *lines]).encode(encoding)
    file = folder / ("t.csv.gz" if packed else "t.csv")
    file.write_bytes(gzip.compress(text) if packed else text)
    return file


MAKERS = {
    "parquet": as_parquet,
    "folder": as_folder,
    "csv": as_csv,
    "semicolons": lambda folder: as_csv(folder, ";"),
    "utf-16": lambda folder: as_csv(folder, "\t", "utf-16"),
    "utf-8 with a mark": lambda folder: as_csv(folder, encoding="utf-8-sig"),
    "gzip": lambda folder: as_csv(folder, packed=True),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_rows_are_the_same_whatever_the_file(kind, tmp_path):
    table = open_table(MAKERS[kind](tmp_path))
    assert table.n_rows == 50
    for start, stop in [(0, 9), (9, 10), (30, 50), (3, 25), (0, 0), (49, 50)]:
        found = rows_of(table, start, stop).to_pylist()
        known = [tuple(row[name] for name in ("path", "id", "word")) for row in found]
        assert known == ROWS[start:stop]
    if kind == "folder":
        days = rows_of(table, 0, 50).column("day").to_pylist()
        assert days == ["a"] * 20 + ["b"] * 30


def test_an_address_is_read_as_a_file_is(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/tables/t.csv", as_csv(tmp_path).read_bytes())
    table = open_table("memory://tables/t.csv")
    assert rows_of(table, 48, 50).column("path").to_pylist() == ["v48.mp4", "v49.mp4"]
    assert table.videos(["v1.mp4", "s3://b/v.mp4", None]) == [
        "memory://tables/v1.mp4", "s3://b/v.mp4", "",
    ]  # fmt: skip


def test_relative_paths_begin_in_the_folder_of_the_table(tmp_path):
    table = open_table(as_csv(tmp_path))
    assert table.videos(["v.mp4", "/a/v.mp4", " v.mp4 ", "", None, " "]) == [
        str(tmp_path / "v.mp4"), "/a/v.mp4", str(tmp_path / "v.mp4"), "", "", "",
    ]  # fmt: skip
    (tmp_path / "day:1.mp4").touch()  # a name that is written like an address
    assert table.videos(["day:1.mp4"]) == [str(tmp_path / "day:1.mp4")]
    folder = open_table(as_folder(tmp_path))
    assert folder.videos(["v.mp4"]) == [str(tmp_path / "t" / "v.mp4")]


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (["video", "PATH"], None, "PATH"),
        (["video_path", "n"], None, "video_path"),
        (["url", "n"], "n", "n"),
        (["url", "file"], None, "several may be"),
        (["clip", "n"], None, "none is called path"),
        (["path"], "video", "no column 'video'"),
        (["path", "path"], None, "two columns 'path'"),
    ],
)
def test_the_column_of_videos_is_found_or_asked_for(names, wanted, found, tmp_path):
    file = tmp_path / "t.csv"
    file.write_text(",".join(names) + "\n" + ",".join("x" for _ in names) + "\n")
    if " " in found:
        with pytest.raises(ValueError, match=found):
            open_table(file, wanted)
    else:
        assert open_table(file, wanted).column == found


def test_what_is_no_table_of_videos_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no table"):
        open_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(ValueError, match="is empty; its first line"):
        open_table(tmp_path / "t.csv")
    (tmp_path / "t.mp4").write_text("a")
    with pytest.raises(ValueError, match="expected a table of videos"):
        open_table(tmp_path / "t.mp4")
    (tmp_path / "t.parquet").write_text("a")
    with pytest.raises(ValueError, match="cannot be read as parquet"):
        open_table(tmp_path / "t.parquet")
    pyarrow.parquet.write_table(pa.table({"path": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="holds int64; paths are text"):
        open_table(tmp_path / "t.parquet")


def turned_round(file):
    """Replace a table as an export does: the same rows in reverse, of one size."""
    new = file.with_name("new")
    if file.suffix == ".parquet":
        table = pyarrow.parquet.read_table(file).take(list(range(49, -1, -1)))
        pyarrow.parquet.write_table(table, new, row_group_size=7)
    else:
        head, *lines = file.read_text().split("\n")
        new.write_text("\n".join([head, *reversed(lines)]))
    os.replace(new, file)


@pytest.mark.parametrize("make", [as_parquet, as_csv])
@pytest.mark.parametrize("begun", [False, True])
def test_a_table_that_is_replaced_is_noticed_by_all_who_read_it(make, begun, tmp_path):
    table = open_table(make(tmp_path))
    if begun:  # this reader goes on in the file that it holds open
        assert rows_of(table, 0, 2).column("path").to_pylist() == ["v0.mp4", "v1.mp4"]
    turned_round(tmp_path / os.path.basename(table.path))
    with pytest.raises(ValueError, match="has changed since it was looked at"):
        rows_of(table, 2, 4)


def test_a_table_that_is_gone_or_shorter_is_noticed(tmp_path):
    table = open_table(as_csv(tmp_path))
    (tmp_path / "t.csv").write_text("path,id,word\na,b,c\n")
    with pytest.raises(ValueError, match="has changed since"):
        rows_of(table, 0, 50)
    (tmp_path / "t.csv").unlink()
    with pytest.raises(ValueError, match="has changed since"):
        rows_of(table, 0, 50)


def of_web(web, folder, make, **stated):
    for name, value in stated.items():
        setattr(web, name, value)
    file = make(folder)
    return web.put(file.name, file.read_bytes()), file


@pytest.mark.slow_after(5)
@pytest.mark.parametrize("make", [as_parquet, as_csv])
@pytest.mark.parametrize(
    "stated",
    [{"etags": True}, {"etags": False}, {"etags": False, "dates": True}],
    ids=["tag", "nothing", "date"],
)
def test_another_table_at_an_address_is_another_version(make, stated, web, tmp_path):
    """Also where all that the server says, size and date, is what it was."""
    address, file = of_web(web, tmp_path, make, **stated)
    first = open_table(address)
    assert first.version == open_table(f"{address}?X-Amz-Signature=new").version
    assert rows_of(first, 0, 2).column("path").to_pylist() == ["v0.mp4", "v1.mp4"]
    turned_round(file)
    web.put(file.name, file.read_bytes())
    second = open_table(address)
    assert second.version != first.version
    assert rows_of(second, 0, 1).column("path").to_pylist() == ["v49.mp4"]
    if stated["etags"] or make is as_parquet:  # which is of another size then
        with pytest.raises(ValueError, match="has changed since it was looked at"):
            rows_of(first, 2, 4)
    else:  # what was hashed is read from this machine's copy
        assert rows_of(first, 2, 3).column("path").to_pylist() == ["v2.mp4"]
        reading._on_disk.clear()
        with pytest.raises(ValueError, match="it was changed while it was read"):
            rows_of(first, 1, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.csv", None),
        ("t.mp4", b"a"),
        ("t.csv", b""),
        ("t.csv", b"\n\n"),
        ("t.csv", b"path,path\na,b\n"),
        ("t.csv", b"clip,n\na,b\n"),
        ("t.csv", b"path,n\na\n"),
        ("t.parquet", b"no parquet"),
    ],
)
def test_errors_do_not_show_what_grants_access(name, content, web):
    if content is not None:
        web.put(name, content)
    address = f"{web.address}/{name}?token=SECRET".replace("//", "//ann:SECRET@", 1)
    with pytest.raises((ValueError, OSError)) as error:
        open_table(address)
    assert name in str(error.value)
    assert "SECRET" not in "".join(traceback.format_exception(error.value))


def test_categories_are_read_as_what_they_stand_for(tmp_path):
    values = pa.array(["a.mp4", "b.mp4", "a.mp4"]).dictionary_encode()
    table = pa.table({"path": values, "n": np.arange(3)})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    found = rows_of(open_table(tmp_path / "t.parquet"), 1, 3)
    assert found.to_pylist() == [{"path": "b.mp4", "n": 1}, {"path": "a.mp4", "n": 2}]


def test_files_of_a_folder_may_differ_in_types_and_not_in_the_column(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    for name, columns in (
        ("a", {"path": ["v0.mp4"], "n": [1], "word": pa.nulls(1), "only_a": ["x"]}),
        ("b", {"path": ["v1.mp4"], "n": [1.5], "word": ["w"]}),
    ):
        pyarrow.parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
    found = rows_of(open_table(folder), 0, 2)
    assert found.to_pydict() == {
        "path": ["v0.mp4", "v1.mp4"],
        "n": [1.0, 1.5],
        "word": [None, "w"],
        "only_a": ["x", None],
    }
    assert found.schema.field("n").type == pa.float64()
    pyarrow.parquet.write_table(pa.table({"n": ["many"]}), folder / "c.parquet")
    with pytest.raises(ValueError, match=r"cannot be read as parquet: .*\bn\b"):
        open_table(folder)
    pyarrow.parquet.write_table(pa.table({"video": ["v2.mp4"]}), folder / "c.parquet")
    with pytest.raises(ValueError, match=r"c\.parquet has no column 'path'"):
        open_table(folder, "path")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([2**53 + 1]), pa.array([0.5])),
        (pa.array([2**63 + 5], pa.uint64()), pa.array([-1], pa.int64())),
        (
            pa.array([1000], pa.int64()),
            pa.array([Decimal("1.25")], pa.decimal128(5, 2)),
        ),
    ],
)
def test_a_number_that_does_not_fit_other_files_is_named(one, other, tmp_path):
    for name, values in (("a", one), ("b", other)):
        columns = {"path": [f"{name}.mp4"], "n": values}
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    with pytest.raises(ScoreTableError, match=r"'n' of .*[ab]\.parquet does not fit"):
        rows_of(open_table(tmp_path), 0, 2)


def test_the_column_of_videos_may_be_categories_in_some_files(tmp_path):
    for name, make in (("a", pa.Array.dictionary_encode), ("b", lambda plain: plain)):
        columns = {"path": make(pa.array([f"{name}.mp4"]))}
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    found = rows_of(open_table(tmp_path), 0, 2)
    assert found.to_pydict() == {"path": ["a.mp4", "b.mp4"]}
