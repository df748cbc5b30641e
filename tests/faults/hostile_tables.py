"""Hostile tables: of scores and labels, as CSV, Excel, parquet and lists of data sets.

Right is a `ScoreTableError` that names the file, or a table. What is read of a table
whose content is plain must be what pandas reads.
"""

import functools
import gzip
import io
import json
import random

from hostile import DAMAGE, Tricks, tried
from hostile_workbooks import a_frame, a_table, workbooks
from trials import each_in_process

tables = Tricks()  # return (suffix, content)
SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")


def score_tables(n, seed, folder):
    """Try tables, in all the places that read them."""
    marker = folder / "executed"
    for suffix in SUFFIXES:
        (folder / f"whole{suffix}").write_bytes(a_table(suffix))
    return each_in_process(
        functools.partial(_trial, folder, marker),
        Tricks({**tables, **workbooks, **DAMAGE}).cases(n, seed),
        seconds=30,
        mib=1200,
        marker=marker,
        warm=functools.partial(_warm, folder),
    )


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
        suffix, content = {**tables, **workbooks}[trick](rng, marker)
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
    return ".csv", rng.choice(
        [
            b"video,p_one\na\0b,0.5\n",
            b"vid\0eo,p_one\na,0.5\n",
            bytes(1000),
            b"\0",
            b"video,p_one\na,0.\0005\n",
            "video,p_one\na,0.5\n".encode("utf-16-le"),
            "video,p_one\na,0.5\n".encode("utf-32"),
            b"\xff\xfe\0",
            b"\xff\xfe",
        ]
    )


@tables
def encodings(rng, marker):
    """Text of other encodings, and bytes that are of none."""
    text = "video,label,p_one\nv\u00ef\u00f6\u4f60\ud55c.mp4,0,0.5\n"
    encoding = rng.choice(
        [
            "utf-8-sig",
            "utf-16",
            "utf-32-be",
            "cp1252",
            "cp949",
            "cp932",
            "utf-7",
            "gb18030",
            "ebcdic-cp-be",
        ]
    )
    content = text.encode(encoding, "replace")
    return ".csv", content + rng.choice([b"", b"\xff\xfe", b"\x81", rng.randbytes(20)])


@tables
def packed_under_this_name(rng, marker):
    """A packed file, or a pickle, that is called a table."""
    call = b"cposix\nmkdir\n(V" + str(marker).encode() + b"\ntR."
    suffix = rng.choice(SUFFIXES)
    return suffix, rng.choice(
        [
            call,
            gzip.compress(bytes(2**22)),
            b"PK\x05\x06" + bytes(18),
            b"PAR1" + call + b"PAR1",
            b"PAR1PAR1",
            b"ARROW1\0\0",
        ]
    )


@tables
def numbers_of_all_kinds(rng, marker):
    """Scores that are huge, of thousands of digits, hexadecimal, infinite or words."""
    number = rng.choice(
        [
            "1e999",
            "-1e999",
            "9" * 10_000,
            "0x10",
            "inf",
            "-Infinity",
            "nan",
            "1_000",
            "1e-999",
            "\u0665",
            "½",
            "1,5",
            "1.5.2",
            "--1",
            "True",
            "1e",
            "+",
            "0" * 100_000,
            "1" + "0" * 400,
            "$5",
            "50%",
        ]
    )
    field = rng.choice(["p_one", "label", "group", "fold"])
    row = {"video": "b", "label": "1", "group": "y", "fold": "1", "p_one": "0.5"}
    row[field] = f'"{number}"'
    first = "a,0,x,0,0.1"
    return _csv(["video,label,group,fold,p_one", first, ",".join(row.values())])


@tables
def columns_twice(rng, marker):
    """Columns of one name, of none, or that differ in case or white space alone."""
    head = rng.choice(
        [
            "video,p,p",
            "video,,",
            ",,,",
            "video,p, p",
            "video,Label,label,p",
            "video,video_id,p",
            "p_one,p_one",
            "video,P,p",
            '"",""',
            "video",
            "label,label",
            "reason,reason",
        ]
    )
    n = head.count(",") + 1
    return _csv([head, ",".join(["0.5"] * n), ",".join(["0.6"] * n)])


@tables
def names_that_run(rng, marker):
    """Formulas, markup, templates and control characters as names and ids."""
    name = rng.choice(
        [
            f"=cmd|'/c touch {marker}'!A0",
            f"$(touch {marker})",
            "\x1b[2J",
            f"<img src=x onerror=touch('{marker}')>",
            "{{7*7}}",
            "@SUM(1)",
            "%s%n",
            "../../x",
            "\u202e",
            "__class__",
            "a" * 100_000,
        ]
    )
    name = name.replace('"', "")
    return _csv([f'video,label,"{name}"', f'"{name}",0,0.5', "b,1,0.6"])


@tables
def quotes_that_do_not_end(rng, marker):
    """Quotation marks that open and never close, or fields of very many lines."""
    return ".csv", rng.choice(
        [
            'video,p\n"a,0.5\nb,0.6\n',
            'video,"p\na,0.5\n',
            'video,p\n"a""b"c,0.5\n',
            'video,p\n"' + "a\n" * 100_000 + '",0.5\n',
            '"' * 99_999,
            'sep="\nvideo"p\na"0.5\n',
            "sep=\nvideo,p\na,1\n",
            "sep=,\n",
            "sep=a\nvideoap\nxa1\n",
        ]
    )


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
    reason = rng.choice(
        [
            "[" * 5000,
            '{"p_one": 1}',
            "[1]",
            "3",
            "null",
            "{",
            "{'a': 1}",
            '{"p_one": {"a": []}}',
            '[["p_one", "x"]]',
            '"text"',
            "NaN",
        ]
    )
    quoted = '"' + reason.replace('"', '""') + '"'
    return _csv(["video,p_one,p_two,reason", f"a,,0.5,{quoted}", "b,0.1,0.2,"])


@tables
def dates_as_scores(rng, marker):
    """Dates, times and durations where scores, groups and labels are expected."""
    date = rng.choice(
        [
            "2019-10-08",
            "10/08/2019",
            "99999-01-01",
            "0000-00-00",
            "1.2.3",
            "25:61",
            "P1Y",
            "-271821-04-20",
            "9" * 20 + "-01-01",
        ]
    )
    return _csv(
        [
            "video,label,group,time,p_one",
            f"a,0,{date},{date},0.5",
            f"{date},1,x,{date},{rng.choice(['0.5', date])}",
        ]
    )


@tables
def labels_of_all_kinds(rng, marker):
    """One class, three, none, or labels that mean nothing known."""
    labels = rng.choice(
        [
            ("0", "0"),
            ("0", "2"),
            ("REAL", "real"),
            ("", ""),
            ("x", "y"),
            ("0", "1", "2"),
            ("-1", "1"),
            ("nan", "1"),
            ("[]", "{}"),
            ("0.5", "1"),
            ("true", "1"),
            ("9" * 400, "1"),
        ]
    )
    rows = [f"{n},{label},0.{n}" for n, label in enumerate(labels)]
    return _csv(["video,label,p_one", *rows])


@tables
def json_under_this_name(rng, marker):
    """JSON, of a list or nested thousands deep, that is called a table."""
    return ".csv", rng.choice(
        [
            "[" * 100_000,
            '{"a": [1, 2]}',
            '[{"video": "a"}]',
            "null",
            json.dumps({"a": {"b": ["c"] * 999}}),
        ]
    )


@tables
def odd_rows_of_a_whole_table(rng, marker):
    """A table that is whole save for one field."""
    import pandas as pd

    frame = a_frame().astype(object)
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
