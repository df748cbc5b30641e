"""Tables as people keep them: CSV in many dialects, Excel, parquet; text stays text."""

import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from datetime import date, time, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError, refusing
from base_models.limits import check_file
from ensemble.scores.table_limits import (
    check_excel,
    check_parquet,
    check_text,
    check_text_file,
)

TABLE_SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")
_LEAST_ASCII = 0.1  # of a table: what separates and ends its fields, and figures
_ENCODINGS = ("cp949", "cp932", "cp1252")  # where it is neither UTF-8 nor UTF-16
_MARKS = {  # byte-order marks, the longer ones first
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
# What people write where there is no score, whatever its case.
_MISSING = {
    "", "nan", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "null", "none", "nil", "-",
    "--", "\u2013", "\u2014", "?", "missing", "unknown",
}  # fmt: skip
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_TIMES = (date, time, timedelta)  # as Excel has them; `datetime` is a `date`
_AT_ONCE = 2**16  # lines that are read before their lengths are compared
_SAMPLE = 50  # lines after the first that have a say in the delimiter


class Table(NamedTuple):
    """A table of text as it was read.

    Attributes
    ----------
    frame : DataFrame
        Columns of str, "" where a field is empty; of any type from parquet and Excel.
    lines : sequence of int
        Line of each row in the file, from 1.
    name : str
        The file, for messages.
    """

    frame: pd.DataFrame
    lines: Sequence[int]
    name: str


def read_table(path: str | Path, encoding: str | None = None) -> Table:
    """Read a table; nothing in it is turned into numbers, dates or missing values.

    Parameters
    ----------
    path : str or Path
        .csv, .tsv (separated by commas, semicolons, tabs or bars), .xlsx (its
        first sheet; needs openpyxl) or .parquet (needs pyarrow).
    encoding : str or None, default=None
        Of a text file. None reads UTF-8 and UTF-16, and else what can only be one of
        the usual encodings of Windows.

    Returns
    -------
    Table

    Raises
    ------
    ScoreTableError
        Naming file and line, where it cannot be read without doubt.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.scores.formats import read_table
    >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
    >>> _ = path.write_text("video;source;p_one\\na.mp4;096;0,9\\n", encoding="utf-16")
    >>> read_table(path).frame.to_dict("records")
    [{'video': 'a.mp4', 'source': '096', 'p_one': '0,9'}]
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise ScoreTableError(
            f"expected a table, a path that ends in {', '.join(TABLE_SUFFIXES)}; got "
            f"{str(path)!r}"
        )
    check_file(path, ScoreTableError)
    with refusing(ScoreTableError, path, plain=True):
        if suffix == ".parquet":
            return _from_parquet(path)
        if suffix == ".xlsx":
            return _from_excel(path)
        return _from_text(path, encoding)


def column_named(names: Sequence[str], wanted: str, alone: bool = False) -> str | None:
    """Find a column by its name, or by its only spelling in other case.

    Parameters
    ----------
    names : sequence of str
    wanted : str
    alone : bool, default=False
        Refuse others that differ in case only also beside the column of exactly that
        name: where no user wrote it, either may be meant.

    Returns
    -------
    str or None
        None where there is no such column.

    Raises
    ------
    ScoreTableError
        If several differ from it in case only.

    Examples
    --------
    >>> from ensemble.scores.formats import column_named
    >>> column_named(["path", "LABEL "], "label")
    'LABEL '
    """
    if wanted in names and not alone:
        return wanted
    alike = [
        name
        for name in names
        if isinstance(name, str) and name.strip().lower() == wanted.lower()
    ]
    if len(alike) > 1:
        raise ScoreTableError(
            f"columns {' and '.join(map(repr, alike))} may both be {wanted!r}; rename "
            "one of them"
        )
    return alike[0] if alike else None


def is_missing(text: str) -> bool:
    """Say whether a text stands for a score that is missing.

    Examples
    --------
    >>> from ensemble.scores.formats import is_missing
    >>> [is_missing(text) for text in (" N/A ", "-", "", "0", "-1")]
    [True, True, True, False, False]
    """
    return text.strip().lower() in _MISSING


def to_numbers(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Turn a column of text into numbers; a comma may stand for the decimal point.

    Parameters
    ----------
    column : Series of str

    Returns
    -------
    numbers : float ndarray
        NaN where there is none: see `is_missing`.
    wrong : int ndarray
        Places of what is no number.

    Examples
    --------
    >>> import pandas as pd
    >>> from ensemble.scores.formats import to_numbers
    >>> to_numbers(pd.Series(["0,5", "1", "n/a"]))[0]
    array([0.5, 1. , nan])
    >>> to_numbers(pd.Series(["0.5", "1_0"]))[1]
    array([1])
    """
    texts = np.array([str(text).strip() for text in column], dtype=object)
    empty = np.array([is_missing(text) for text in texts], bool)
    numbers = np.full(len(texts), np.nan)
    known = texts[~empty].tolist()
    try:
        numbers[~empty] = [_number(text) for text in known]
        return numbers, np.zeros(0, int)
    except ValueError:
        pass  # looked at one by one below
    decimals = all(_DECIMAL_COMMA.fullmatch(t) or _WHOLE.fullmatch(t) for t in known)
    doubtful = all(_THOUSANDS.fullmatch(t) or _WHOLE.fullmatch(t) for t in known)
    if decimals and not doubtful:
        numbers[~empty] = [float(text.replace(",", ".")) for text in known]
        return numbers, np.zeros(0, int)
    wrong = []
    for place in np.flatnonzero(~empty):
        try:
            numbers[place] = _number(texts[place])
        except ValueError:
            wrong.append(place)
    return numbers, np.array(wrong, int)


def _number(text: str) -> float:
    if "_" in text:  # which Python's own code may hold, and no table
        raise ValueError(text)
    return float(text)


def _from_parquet(path: Path) -> Table:
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        check_parquet(file)
    frame = _with_index(pd.read_parquet(path))
    _check_names(list(frame.columns), path)
    return Table(frame, range(1, len(frame) + 1), str(path))


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame in which its index is columns, but not one that counts its rows.

    An index without a name is a column without one, as in a CSV.
    """
    names = frame.index.names
    if list(names) == [None] and frame.index.equals(pd.RangeIndex(len(frame))):
        return frame
    levels = [
        frame.index.get_level_values(level).to_series(range(len(frame)), name or "")
        for level, name in enumerate(names)
    ]
    whole = pd.concat([*levels, frame.reset_index(drop=True)], axis=1)
    whole.attrs = frame.attrs
    return whole


def _check_names(names: list[str], path: Path) -> None:
    """Refuse a table in which a name stands for two columns, or for none."""
    repeated = sorted(str(name) for name, n in Counter(names).items() if n > 1)[:12]
    if repeated or not any(name != "" for name in names):
        raise ScoreTableError(
            f"{path}: expected a first line that names every column once; got "
            + (f"{repeated} repeatedly" if repeated else "an empty file")
        )


def _from_excel(path: Path) -> Table:
    try:
        import openpyxl  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"reading {path} needs openpyxl: pip install 'deepfake-ensemble[excel]', "
            "or save the sheet as CSV"
        ) from error
    check_excel(path)
    with pd.ExcelFile(path, engine="openpyxl") as book:
        if len(book.sheet_names) > 1:
            warnings.warn(
                f"{path} has {len(book.sheet_names)} sheets; the first, "
                f"{book.sheet_names[0]!r}, is read",
                DeepfakeEnsembleWarning,
                stacklevel=3,
            )
        cells = pd.read_excel(
            book, header=None, dtype=object, keep_default_na=False, na_values=[]
        )
    if len(cells):  # columns without a word are beside the table
        cells = cells.loc[:, (cells != "").any()]
    cells = cells.map(lambda cell: str(cell) if isinstance(cell, _TIMES) else cell)
    names = [str(name).strip() for name in cells.head(1).to_numpy().ravel()]
    _check_names(names, path)
    frame = cells.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)
    return Table(frame, range(2, len(frame) + 2), str(path))


def _from_text(path: Path, encoding: str | None) -> Table:
    check_text_file(path)
    data = path.read_bytes()
    encoding = encoding or _encoding_of(data, path)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ScoreTableError(
            f"{path} cannot be read as {encoding} ({error.reason} at byte "
            f"{error.start}); it is damaged, or no table of text: save it as CSV in "
            "UTF-8, or name its encoding (encoding=, --encoding)"
        ) from error
    except LookupError as error:
        raise ScoreTableError(
            f"{path} cannot be read as {encoding}: {error}"
        ) from error
    text = text.removeprefix("\ufeff")
    stated = re.match(r"sep=(.)\r?\n", text)  # a line that Excel understands
    skipped = 0
    if stated:
        text, skipped = text[stated.end() :], 1
    delimiter = stated[1] if stated else _delimiter_of(text, path)
    check_text(text, delimiter, path)
    rows, lines = _rows_of(text, delimiter, path, skipped)
    header = [name.strip() for name in rows[0]] if rows else []
    _check_names(header, path)
    if set(map(len, rows)) != {len(header)}:
        row = next(i for i, fields in enumerate(rows) if len(fields) != len(header))
        raise ScoreTableError(
            f"{path}, line {lines[row]}: expected {len(header)} fields in every line, "
            f"separated by a {_DELIMITERS.get(delimiter, repr(delimiter))}, as in the "
            f"first; got {len(rows[row])}"
        )
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(header)
    frame = pd.DataFrame(
        {name: np.array(column, object) for name, column in
         zip(header, columns, strict=True)},
        dtype=object,
    )  # fmt: skip
    return Table(frame, lines[1:], str(path))


def _rows_of(
    text: str, delimiter: str, path: Path, skipped: int
) -> tuple[list[list[str]], Sequence[int]]:
    """Split text into fields; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    n_fields = {0}  # of blank lines; the first that is none says how many others have
    try:
        while len(n_fields) <= 2 and (part := list(islice(reader, _AT_ONCE))):
            rows += part
            n_fields.update(map(len, part))
    except csv.Error as error:
        raise ScoreTableError(
            f"{path}, line {skipped + reader.line_num}: {error}; is a quotation mark "
            "missing?"
        ) from error
    if reader.line_num == len(rows) and all(rows):
        return rows, range(skipped + 1, skipped + len(rows) + 1)
    lines, before = [], skipped  # blank lines, or fields of several lines
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in islice(reader, len(rows)):
        if row:
            lines.append(before + 1)
        before = skipped + reader.line_num
    return [row for row in rows if row], lines


def _delimiter_of(text: str, path: Path) -> str:
    """Find what separates the fields of the first line, and of those after it."""
    lines = [line for line in text[: 1 << 20].splitlines() if line.strip()]
    lines = lines[: _SAMPLE + 1]
    if not lines:
        return ","
    counts = {}
    for delimiter in _DELIMITERS:
        n_fields = [
            len(next(csv.reader([line], delimiter=delimiter), [])) for line in lines
        ]
        if n_fields[0] > 1:
            counts[delimiter] = n_fields
    if len(counts) > 1:
        even = {d: n for d, n in counts.items() if len(set(n)) == 1}
        counts = even or counts
    if len(counts) > 1:
        names = " or ".join(_DELIMITERS[delimiter] for delimiter in counts)
        raise ScoreTableError(
            f"{path}, line 1: {lines[0][:80]!r} may be separated by a {names}; put "
            "names that hold one of them in quotation marks"
        )
    return next(iter(counts), ",")


def _encoding_of(data: bytes, path: Path) -> str:
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return encoding
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if b"\x00" not in data:
            return "utf-8"
    if b"\x00" in data[:4096]:  # UTF-16 without a mark: every other byte of ASCII is 0
        zeros = np.frombuffer(data[:4096], np.uint8) == 0
        less, most = sorted(
            [(zeros[1::2].mean(), "utf-16-le"), (zeros[::2].mean(), "utf-16-be")]
        )
        if most[0] > max(_LEAST_ASCII, 5 * less[0]):
            return most[1]
    if b"\x00" in data:
        line = data[: data.index(b"\x00")].count(b"\n") + 1
        raise ScoreTableError(
            f"{path}, line {line}: holds bytes of zero, as no text does; it is "
            "damaged, or no table of text: save it as CSV in UTF-8"
        )
    possible = {}
    for encoding in _ENCODINGS:
        try:
            possible[encoding] = data.decode(encoding)
        except UnicodeDecodeError:
            continue
    likely = _of_files_that_exist(possible, path) or _plausible(data, possible)
    if len(likely) != 1:
        shown = "; ".join(
            f"{encoding}: {_first_strange(text)!r}"
            for encoding, text in possible.items()
        )
        raise ScoreTableError(
            f"{path} is not UTF-8 and may be {shown or 'of no usual encoding'}; save "
            "it as UTF-8, or name its encoding (encoding=, --encoding)"
        )
    (encoding,) = likely
    warnings.warn(
        f"{path} is not UTF-8; it is read as {encoding}, "
        f"{_first_strange(possible[encoding])!r}. If that is wrong, name its encoding "
        "(encoding=, --encoding)",
        DeepfakeEnsembleWarning,
        stacklevel=5,
    )
    return encoding


def _of_files_that_exist(possible: dict[str, str], path: Path) -> list[str]:
    """Return the encodings by which names of files in the table are names of files."""
    found = []
    for encoding, text in possible.items():
        fields = re.split(r'[,;\t|"\r\n]+', text)
        strange = [field for field in fields if not field.isascii()][:200]
        if any(_exists(path.parent / field.strip()) for field in strange):
            found.append(encoding)
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name
        return False


def _plausible(data: bytes, possible: dict[str, str]) -> list[str]:
    """Return the encodings in which the text reads like a language."""
    if len(possible) < 2:
        return list(possible)
    from charset_normalizer import from_bytes

    strange = [line for line in data.splitlines() if not line.isascii()][:2000]
    sample = b"\n".join(strange)[: 2**20]
    matches = from_bytes(sample, cp_isolation=list(possible))
    likely = {match.encoding for match in matches}
    if "cp949" in likely:  # it can also read Chinese, as rare Chinese characters
        letters = [c for c in possible["cp949"] if not c.isascii() and c.isalpha()]
        n_hangul = sum("\uac00" <= c <= "\ud7a3" for c in letters)
        if n_hangul < 0.9 * len(letters):
            likely = set(possible)
    return [encoding for encoding in possible if encoding in likely]


def _first_strange(text: str) -> str:
    words = re.split(r'[,;\t|"\r\n]+', text)
    return next((word for word in words if not word.isascii()), "")[:40]
