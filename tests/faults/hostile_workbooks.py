"""Hostile Excel and parquet files."""

import io
import json
import struct
import zipfile

from hostile import Tricks

workbooks = Tricks()  # of (rng, marker); return (suffix, content)


def a_frame():
    """Return a table that is whole."""
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


def a_table(suffix):
    """Return a file of it, by its ending."""
    content = io.BytesIO()
    frame = a_frame()
    if suffix == ".parquet":
        frame.to_parquet(content, index=False)
    elif suffix == ".xlsx":
        frame.to_excel(content, index=False)
    else:
        sep = "," if suffix == ".csv" else "\t"
        content.write(frame.to_csv(index=False, sep=sep).encode())
    return content.getvalue()


def _workbook(sheet, **others):
    content = io.BytesIO(a_table(".xlsx"))
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


_SHEET = (
    '<?xml version="1.0"?>{}<worksheet xmlns="http://schemas.openxmlformats.org/'
    'spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>'
)


@workbooks
def cells_far_out(rng, marker):
    """A sheet of a few cells, which lie in its last row and column."""
    rows = rng.choice(
        [
            '<row r="1"><c r="XFD1"><v>1</v></c></row>'
            '<row r="1048576"><c r="A1048576"><v>2</v>'
            "</c></row>",
            '<row r="1"><c r="ZZZZZZ1"><v>1</v></c></row>',
            '<row r="99999999999"></row>',
            '<row r="-1"><c r="A-1"><v>1</v></c></row>',
            '<row r="x"><c r="!"><v>1</v></c></row>',
            '<row r="1"><c r="A1" t="s"><v>99999</v></c></row>',
            '<row r="1"><c r="A1" t="d"><v>99999-99-99</v></c></row>',
            '<row r="1"><c r="A1" s="999"><v>1e400</v></c></row>',
            "<row><c><f>1+1</f></c></row>",
        ]
    )
    return ".xlsx", _workbook(_SHEET.format("", rows).encode())


@workbooks
def entities_in_a_sheet(rng, marker):
    """XML that names other files, or whose entities grow without end."""
    laughs = (
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + "".join(
            f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
        )
        + "]>"
    )
    outside = '<!DOCTYPE a [<!ENTITY j SYSTEM "file:///etc/passwd">]>'
    head = rng.choice([laughs, outside])
    row = '<row r="1"><c r="A1" t="inlineStr"><is><t>&j;</t></is></c></row>'
    return ".xlsx", _workbook(_SHEET.format(head, row).encode())


@workbooks
def workbook_bomb(rng, marker):
    """A sheet, or another part of a workbook, that unpacks to much."""
    zeros = b" " * 2**27
    if rng.random() < 0.5:
        return ".xlsx", _workbook(
            _SHEET.format("", "").encode().replace(b">", b">" + zeros, 1)
        )
    return ".xlsx", _workbook(None, **{"xl/media/a.xml": zeros})


@workbooks
def workbook_without_parts(rng, marker):
    """A workbook that misses a part, or has one of another kind."""
    content = io.BytesIO(a_table(".xlsx"))
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


@workbooks
def parquet_of_odd_types(rng, marker):
    """Columns of lists, tables, decimals, dates, bytes, times or nothing."""
    import datetime
    import decimal

    import pyarrow as pa

    column = rng.choice(
        [
            pa.array([[1.0], [2.0, 3.0]]),
            pa.array([{"a": 1}, {"a": 2}]),
            pa.nulls(2),
            pa.array([decimal.Decimal("0.5"), None]),
            pa.array([b"\xff", b"a"]),
            pa.array([datetime.date(2019, 1, 1)] * 2),
            pa.array([2**63, 1], pa.uint64()),
            pa.array([datetime.timedelta(1)] * 2),
            pa.array([True, None]),
            pa.array(["x", "0,5"]),
            pa.array([float("inf"), float("nan")]),
            pa.array([-1, 2**62]),
            pa.array([1.0, 2.0], pa.float16()),
            pa.array(["a", "b"]).dictionary_encode(),
            pa.array([datetime.datetime(1, 1, 1)] * 2, pa.timestamp("us")),
            pa.array([datetime.datetime(9999, 1, 1)] * 2, pa.timestamp("us", "UTC")),
            pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
            pa.array([10**30, 1], pa.decimal256(50, 0)),
        ]
    )
    name = rng.choice(["p_one", "video", "label", "group", "reason"])
    columns = {
        "video": pa.array(["a", "b"]),
        "label": pa.array([0, 1]),
        "group": pa.array(["x", "y"]),
        "p_one": pa.array([0.1, 0.2]),
    }
    return _parquet(pa.table({**columns, name: column}))


@workbooks
def parquet_says_what_pandas_shall_do(rng, marker):
    """Metadata for pandas that is deep, of other shape, or names types to make."""
    import pyarrow as pa

    table = pa.table({"video": ["a", "b"], "label": [0, 1], "p_one": [0.1, 0.2]})
    text = rng.choice(
        [
            b"[" * 100_000,
            b"null",
            b"3",
            b"{}",
            b"\xff",
            b'{"index_columns": ["x"]}',
            b'{"index_columns": [{"kind": "range", "start": 0, "stop": 99999999,'
            b'"step": 1}],'
            b'"columns": [], "column_indexes": []}',
            json.dumps(
                {
                    "index_columns": ["p_one"],
                    "column_indexes": [],
                    "columns": [
                        {
                            "name": "p_one",
                            "field_name": "p_one",
                            "pandas_type": "object",
                            "numpy_type": "period[D]",
                            "metadata": None,
                        }
                    ],
                }
            ).encode(),
        ]
    )
    key = rng.choice([b"pandas", b"PANDAS_ATTRS", b"ARROW:schema"])
    return _parquet(table.replace_schema_metadata({key: text}))


@workbooks
def parquet_with_a_python_type(rng, marker):
    """A type that older readers would unpickle."""
    import pyarrow as pa

    payload = b"cposix\nmkdir\n(V" + str(marker).encode() + b"\ntR."
    name = rng.choice([b"arrow.py_extension_type", b"arrow.json", b"nobody.knows"])
    field = pa.field(
        "p_one",
        pa.float64(),
        metadata={b"ARROW:extension:name": name, b"ARROW:extension:metadata": payload},
    )
    schema = pa.schema([pa.field("video", pa.string()), field])
    return _parquet(pa.table([pa.array(["a", "b"]), pa.array([0.1, 0.2])], schema))


@workbooks
def parquet_of_one_text_repeated(rng, marker):
    """A text of megabytes that is written once and stands in every row."""
    import pyarrow as pa

    indices = pa.array([0] * 20_000, pa.int32())
    texts = pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 900_000]))
    table = pa.table({"video": texts, "p_one": pa.array([0.5] * 20_000)})
    return _parquet(table, compression="zstd")


@workbooks
def parquet_of_very_many_rows(rng, marker):
    """A hundred million rows of one value, in some kilobytes."""
    import numpy as np
    import pyarrow as pa

    zeros = pa.array(np.zeros(30_000_000, np.int8))
    return _parquet(pa.table({"video": zeros, "p_one": zeros}), compression="zstd")


@workbooks
def parquet_footer_that_lies(rng, marker):
    """A parquet file whose end says another length, or is of another file."""
    content = bytearray(a_table(".parquet"))
    length = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, len(content)])
    content[-8:-4] = struct.pack("<I", length)
    return ".parquet", bytes(content)
