"""Hostile tables: of scores and labels, as CSV, Excel, parquet and lists of data sets.

Right is a `ScoreTableError` that names the file, or a table. What is read of a table whose
content is plain must be what pandas reads.
"""

import functools
import gzip
import io
import json
import random
import struct
import zipfile
from pathlib import Path

from hostile import DAMAGE, Tricks, tried
from trials import each_in_process

tables = Tricks()  # return (suffix, content)
SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")


def score_tables(n, seed, folder):
    """Try tables, in all the places that read them."""
    marker = folder / "executed"
    for suffix in SUFFIXES:
        (folder / f"whole{suffix}").write_bytes(_whole(suffix))
    return each_in_process(
        functools.partial(_trial, folder, marker),
        Tricks({**tables, **DAMAGE}).cases(n, seed),
        seconds=30, mib=1200, marker=marker, warm=functools.partial(_warm, folder),
    )  # fmt: skip


def _frame():
    import pandas as pd

    return pd.DataFrame(
        {
            "video": [f"clip_{number}.mp4" for number in range(12)],
            "label": [0, 1] * 6,
            "group": [f"person {number // 2}" for number in range(12)],
            "p_one": [0.1 + number / 20 for number in range(12)],
            "p_two": [0.9 - number / 20 for number in range(12)],
        }
    )


def _whole(suffix):
    content = io.BytesIO()
    frame = _frame()
    if suffix == ".parquet":
        frame.to_parquet(content, index=False)
    elif suffix == ".xlsx":
        frame.to_excel(content, index=False)
    else:
        sep = "," if suffix == ".csv" else "\t"
        content.write(frame.to_csv(index=False, sep=sep).encode())
    return content.getvalue()


def _warm(folder):
    import warnings

    warnings.simplefilter("ignore")
    for suffix in SUFFIXES:
        for read in _READERS:
            tried(folder / f"whole{suffix}", ValueError, read)


def _trial(folder, marker, case):
    import warnings

    from base_models.errors import ScoreTableError

    warnings.simplefilter("ignore")
    trick, seed = case
    rng = random.Random(f"{trick} {seed}")
    if trick in DAMAGE:
        suffix = rng.choice(SUFFIXES)
        content = DAMAGE[trick]((folder / f"whole{suffix}").read_bytes(), rng)
    else:
        suffix, content = tables[trick](rng, marker)
    path = folder / f"hostile-{seed}{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        for read in _READERS:
            said = tried(path, ScoreTableError, read)
            if not said.startswith("right"):
                return f"{said} ({read.__name__})"
        return said
    finally:
        path.unlink()


def _scores(path):
    import numpy as np

    from ensemble import read_scores

    table = read_scores(path, probabilities=False)
    if not np.isfinite(table.to_numpy()[~table.isna().to_numpy()]).all():
        return "other answer: scores that are not finite"
    return "right: answered"


def _named(path):
    from ensemble import read_scores
    from ensemble.scores import companions

    table = read_scores(path, scores="p_*", label="label", pool="mean")
    companions(table)
    return "right: answered"


def _training(path):
    from ensemble.pipeline.tables import read_training

    read_training(path, shift="group")
    return "right: answered"


def _videos(path):
    from ensemble.datasets import read_videos

    read_videos(path)
    return "right: answered"


def _data_set(path):
    from ensemble.datasets import load_dataset

    load_dataset("csv", path, missing="keep", duplicates="allow")
    return "right: answered"


def _batch(path):
    from base_models.batch.input_table import open_table
    from base_models.batch.table_rows import rows_of

    if path.suffix == ".xlsx":
        return "right: answered"
    table = open_table(path, column="video")
    table.videos(rows_of(table, 0, min(5, table.n_rows)).column("video").to_pylist())
    return "right: answered"


_READERS = (_scores, _named, _training, _videos, _data_set, _batch)


def _csv(lines):
    return ".csv", "\n".join(lines) + "\n"


@tables
def very_many_columns(rng, marker):
    """A thousand columns, or a hundred thousand."""
    n = rng.choice([1000, 100_000])
    head = "video,label," + ",".join(f"p_{number}" for number in range(n))
    return _csv([head, "a.mp4,0," + ",".join(["0.5"] * n)])


@tables
def a_line_without_end(rng, marker):
    """A line of tens of megabytes, with or without separators."""
    what = rng.choice([b"a", b",", b"0.5,", b'"', b"\n,"])
    return ".csv", b"video,label,p_one\n" + what * (2**25 // len(what))


@tables
def zero_bytes(rng, marker):
    """NUL bytes in names, in fields, or all over."""
    return ".csv", rng.choice([
        b"video,p_one\na\0b,0.5\n", b"vid\0eo,p_one\na,0.5\n", bytes(1000), b"\0",
        b"video,p_one\na,0.\0005\n", "video,p_one\na,0.5\n".encode("utf-16-le"),
        "video,p_one\na,0.5\n".encode("utf-32"), b"\xff\xfe\0", b"\xff\xfe",
    ])  # fmt: skip


@tables
def encodings(rng, marker):
    """Text of other encodings, and bytes that are of none."""
    text = "video,label,p_one\nv\u00ef\u00f6\u4f60\ud55c.mp4,0,0.5\n"
    encoding = rng.choice(["utf-8-sig", "utf-16", "utf-32-be", "cp1252", "cp949", "cp932",
                           "utf-7", "gb18030", "ebcdic-cp-be"])  # fmt: skip
    content = text.encode(encoding, "replace")
    return ".csv", content + rng.choice([b"", b"\xff\xfe", b"\x81", rng.randbytes(20)])


@tables
def packed_under_this_name(rng, marker):
    """A packed file, or a pickle, that is called a table."""
    call = b"cposix\nmkdir\n(V" + str(marker).encode() + b"\ntR."
    suffix = rng.choice(SUFFIXES)
    return suffix, rng.choice([call, gzip.compress(bytes(2**22)), b"PK\x05\x06" + bytes(18),
                               b"PAR1" + call + b"PAR1", b"PAR1PAR1", b"ARROW1\0\0"])  # fmt: skip


@tables
def numbers_of_all_kinds(rng, marker):
    """Scores that are huge, of thousands of digits, hexadecimal, infinite or words."""
    number = rng.choice(["1e999", "-1e999", "9" * 10_000, "0x10", "inf", "-Infinity", "nan",
                         "1_000", "1e-999", "\u0665", "½", "1,5", "1.5.2", "--1", "True",
                         "1e", "+", "0" * 100_000, "1" + "0" * 400, "$5", "50%"])  # fmt: skip
    field = rng.choice(["p_one", "label", "group", "fold"])
    row = {"video": "b", "label": "1", "group": "y", "fold": "1", "p_one": "0.5"}
    row[field] = f'"{number}"'
    first = "a,0,x,0,0.1"
    return _csv(["video,label,group,fold,p_one", first, ",".join(row.values())])


@tables
def columns_twice(rng, marker):
    """Columns of one name, of none, or that differ in case or white space alone."""
    head = rng.choice(["video,p,p", "video,,", ",,,", "video,p, p", "video,Label,label,p",
                       "video,video_id,p", "p_one,p_one", "video,P,p", '"",""', "video",
                       "label,label", "reason,reason"])  # fmt: skip
    n = head.count(",") + 1
    return _csv([head, ",".join(["0.5"] * n), ",".join(["0.6"] * n)])


@tables
def names_that_run(rng, marker):
    """Formulas, markup, templates and control characters as names and ids."""
    name = rng.choice([f"=cmd|'/c touch {marker}'!A0", f"$(touch {marker})", "\x1b[2J",
                       f"<img src=x onerror=touch('{marker}')>", "{{7*7}}", "@SUM(1)",
                       "%s%n", "../../x", "\u202e", "__class__", "a" * 100_000])  # fmt: skip
    name = name.replace('"', "")
    return _csv([f'video,label,"{name}"', f'"{name}",0,0.5', "b,1,0.6"])


@tables
def quotes_that_do_not_end(rng, marker):
    """Quotation marks that open and never close, or fields of very many lines."""
    return ".csv", rng.choice([
        'video,p\n"a,0.5\nb,0.6\n', 'video,"p\na,0.5\n', 'video,p\n"a""b"c,0.5\n',
        'video,p\n"' + "a\n" * 100_000 + '",0.5\n', '"' * 99_999, 'sep="\nvideo"p\na"0.5\n',
        "sep=\nvideo,p\na,1\n", "sep=,\n", "sep=a\nvideoap\nxa1\n",
    ])  # fmt: skip


@tables
def lines_of_other_lengths(rng, marker):
    """Lines that have more or fewer fields than the first, or none at all."""
    lines = ["video,label,p_one", "a,0,0.5", "b,1,0.6"]
    lines.insert(
        rng.randrange(4), rng.choice(["", ",", "a", ",,,,,,", "\r", "\x0c", "a,b"])
    )
    return ".csv", rng.choice(["\n", "\r\n", "\r", "\u2028", "\n\n"]).join(lines)


@tables
def reasons_that_are_none(rng, marker):
    """A column of reasons that holds no JSON, deep JSON, or JSON of another shape."""
    reason = rng.choice(["[" * 5000, '{"p_one": 1}', "[1]", "3", "null", "{", "{'a': 1}",
                         '{"p_one": {"a": []}}', '[["p_one", "x"]]', '"text"', "NaN"])  # fmt: skip
    quoted = '"' + reason.replace('"', '""') + '"'
    return _csv(["video,p_one,p_two,reason", f"a,,0.5,{quoted}", "b,0.1,0.2,"])


@tables
def dates_as_scores(rng, marker):
    """Dates, times and durations where scores, groups and labels are expected."""
    date = rng.choice(["2019-10-08", "10/08/2019", "99999-01-01", "0000-00-00", "1.2.3",
                       "25:61", "P1Y", "-271821-04-20", "9" * 20 + "-01-01"])  # fmt: skip
    return _csv(["video,label,group,time,p_one", f"a,0,{date},{date},0.5",
                 f"{date},1,x,{date},{rng.choice(['0.5', date])}"])  # fmt: skip


@tables
def labels_of_all_kinds(rng, marker):
    """One class, three, none, or labels that mean nothing known."""
    labels = rng.choice([("0", "0"), ("0", "2"), ("REAL", "real"), ("", ""), ("x", "y"),
                         ("0", "1", "2"), ("-1", "1"), ("nan", "1"), ("[]", "{}"),
                         ("0.5", "1"), ("true", "1"), ("9" * 400, "1")])  # fmt: skip
    rows = [f"{n},{label},0.{n}" for n, label in enumerate(labels)]
    return _csv(["video,label,p_one", *rows])


@tables
def json_under_this_name(rng, marker):
    """JSON, of a list or nested thousands deep, that is called a table."""
    return ".csv", rng.choice(["[" * 100_000, '{"a": [1, 2]}', '[{"video": "a"}]', "null",
                               json.dumps({"a": {"b": ["c"] * 999}})])  # fmt: skip


def _workbook(sheet, **others):
    content = io.BytesIO(_whole(".xlsx"))
    result = io.BytesIO()
    with (
        zipfile.ZipFile(content) as old,
        zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            part = old.read(name)
            if name == "xl/worksheets/sheet1.xml" and sheet is not None:
                part = sheet
            new.writestr(name, part)
        for name, part in others.items():
            new.writestr(name, part)
    return result.getvalue()


_SHEET = ('<?xml version="1.0"?>{}<worksheet xmlns="http://schemas.openxmlformats.org/'
          'spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>')  # fmt: skip


@tables
def cells_far_out(rng, marker):
    """A sheet of a few cells in its last row and column, by which all would be filled."""
    rows = rng.choice([
        '<row r="1"><c r="XFD1"><v>1</v></c></row><row r="1048576"><c r="A1048576"><v>2</v>'
        "</c></row>",
        '<row r="1"><c r="ZZZZZZ1"><v>1</v></c></row>', '<row r="99999999999"></row>',
        '<row r="-1"><c r="A-1"><v>1</v></c></row>', '<row r="x"><c r="!"><v>1</v></c></row>',
        '<row r="1"><c r="A1" t="s"><v>99999</v></c></row>',
        '<row r="1"><c r="A1" t="d"><v>99999-99-99</v></c></row>',
        '<row r="1"><c r="A1" s="999"><v>1e400</v></c></row>', "<row><c><f>1+1</f></c></row>",
    ])  # fmt: skip
    return ".xlsx", _workbook(_SHEET.format("", rows).encode())


@tables
def entities_in_a_sheet(rng, marker):
    """XML that names other files, or whose entities grow without end."""
    laughs = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    ) + "]>"  # fmt: skip
    outside = '<!DOCTYPE a [<!ENTITY j SYSTEM "file:///etc/passwd">]>'
    head = rng.choice([laughs, outside])
    row = '<row r="1"><c r="A1" t="inlineStr"><is><t>&j;</t></is></c></row>'
    return ".xlsx", _workbook(_SHEET.format(head, row).encode())


@tables
def workbook_bomb(rng, marker):
    """A sheet, or another part of a workbook, that unpacks to much."""
    zeros = b" " * 2**27
    if rng.random() < 0.5:
        return ".xlsx", _workbook(
            _SHEET.format("", "").encode().replace(b">", b">" + zeros, 1)
        )
    return ".xlsx", _workbook(None, **{"xl/media/a.xml": zeros})


@tables
def workbook_without_parts(rng, marker):
    """A workbook that misses a part, or has one of another kind."""
    content = io.BytesIO(_whole(".xlsx"))
    result = io.BytesIO()
    with zipfile.ZipFile(content) as old:
        names = old.namelist()
        gone = rng.choice(names)
        with zipfile.ZipFile(result, "w") as new:
            for name in names:
                if name != gone:
                    new.writestr(name, old.read(name))
                elif rng.random() < 0.5:
                    new.writestr(name, rng.choice([b"", b"<a>", b"\xff", b"<a/>"]))
    return ".xlsx", result.getvalue()


def _parquet(table, **how):
    import pyarrow.parquet

    content = io.BytesIO()
    pyarrow.parquet.write_table(table, content, **how)
    return ".parquet", content.getvalue()


@tables
def parquet_of_odd_types(rng, marker):
    """Columns of lists, tables, decimals, dates, bytes, times, nothing, or any length."""
    import datetime
    import decimal

    import pyarrow as pa

    column = rng.choice([
        pa.array([[1.0], [2.0, 3.0]]), pa.array([{"a": 1}, {"a": 2}]), pa.nulls(2),
        pa.array([decimal.Decimal("0.5"), None]), pa.array([b"\xff", b"a"]),
        pa.array([datetime.date(2019, 1, 1)] * 2), pa.array([2**63, 1], pa.uint64()),
        pa.array([datetime.timedelta(1)] * 2), pa.array([True, None]), pa.array(["x", "0,5"]),
        pa.array([float("inf"), float("nan")]), pa.array([-1, 2**62]),
        pa.array([1.0, 2.0], pa.float16()), pa.array(["a", "b"]).dictionary_encode(),
        pa.array([datetime.datetime(1, 1, 1)] * 2, pa.timestamp("us")),
        pa.array([datetime.datetime(9999, 1, 1)] * 2, pa.timestamp("us", "UTC")),
        pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
        pa.array([10**30, 1], pa.decimal256(50, 0)),
    ])  # fmt: skip
    name = rng.choice(["p_one", "video", "label", "group", "reason"])
    columns = {"video": pa.array(["a", "b"]), "label": pa.array([0, 1]),
               "group": pa.array(["x", "y"]), "p_one": pa.array([0.1, 0.2])}  # fmt: skip
    return _parquet(pa.table({**columns, name: column}))


@tables
def parquet_says_what_pandas_shall_do(rng, marker):
    """Metadata for pandas that is deep, of other shape, or names types to make."""
    import pyarrow as pa

    table = pa.table({"video": ["a", "b"], "label": [0, 1], "p_one": [0.1, 0.2]})
    text = rng.choice([
        b"[" * 100_000, b"null", b"3", b"{}", b"\xff", b'{"index_columns": ["x"]}',
        b'{"index_columns": [{"kind": "range", "start": 0, "stop": 99999999, "step": 1}],'
        b'"columns": [], "column_indexes": []}',
        json.dumps({"index_columns": ["p_one"], "column_indexes": [], "columns": [
            {"name": "p_one", "field_name": "p_one", "pandas_type": "object",
             "numpy_type": "period[D]", "metadata": None}]}).encode(),
    ])  # fmt: skip
    key = rng.choice([b"pandas", b"PANDAS_ATTRS", b"ARROW:schema"])
    return _parquet(table.replace_schema_metadata({key: text}))


@tables
def parquet_with_a_python_type(rng, marker):
    """A type that older readers would unpickle."""
    import pyarrow as pa

    payload = b"cposix\nmkdir\n(V" + str(marker).encode() + b"\ntR."
    name = rng.choice([b"arrow.py_extension_type", b"arrow.json", b"nobody.knows"])
    field = pa.field("p_one", pa.float64(), metadata={
        b"ARROW:extension:name": name, b"ARROW:extension:metadata": payload})  # fmt: skip
    schema = pa.schema([pa.field("video", pa.string()), field])
    return _parquet(pa.table([pa.array(["a", "b"]), pa.array([0.1, 0.2])], schema))


@tables
def parquet_of_one_text_repeated(rng, marker):
    """A text of megabytes that is written once and stands in every row."""
    import pyarrow as pa

    indices = pa.array([0] * 20_000, pa.int32())
    texts = pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 900_000]))
    table = pa.table({"video": texts, "p_one": pa.array([0.5] * 20_000)})
    return _parquet(table, compression="zstd")


@tables
def parquet_of_very_many_rows(rng, marker):
    """A hundred million rows of one value, in some kilobytes."""
    import numpy as np
    import pyarrow as pa

    zeros = pa.array(np.zeros(30_000_000, np.int8))
    return _parquet(pa.table({"video": zeros, "p_one": zeros}), compression="zstd")


@tables
def parquet_footer_that_lies(rng, marker):
    """A parquet file whose end says another length, or is of another file."""
    content = bytearray(_whole(".parquet"))
    length = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, len(content)])
    content[-8:-4] = struct.pack("<I", length)
    return ".parquet", bytes(content)


@tables
def odd_rows_of_a_whole_table(rng, marker):
    """A table that is whole save for one field."""
    import pandas as pd

    frame = _frame().astype(object)
    frame.iloc[rng.randrange(12), rng.randrange(5)] = rng.choice(
        [None, "", " ", "x", -1, 2, 1e300, "NA", True, "clip_1.mp4", float("nan")]
    )
    suffix = rng.choice([".csv", ".xlsx"])
    content = io.BytesIO()
    if suffix == ".csv":
        return suffix, frame.to_csv(index=False)
    assert isinstance(frame, pd.DataFrame)
    frame.to_excel(content, index=False)
    return suffix, content.getvalue()
