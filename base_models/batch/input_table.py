"""Looks at tables of videos of any length: their files, columns and rows."""

from __future__ import annotations

import csv
import hashlib
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from base_models.addresses import (
    file_name,
    is_address,
    local_path,
    public_name,
    remote_address,
)
from base_models.batch.repeated_texts import check_texts
from base_models.batch.table_files import look_at, unreadable
from base_models.batch.table_rows import (
    BATCH,
    PACKED,
    csv_batches,
    fragment_of,
    text_of,
)
from base_models.errors import ScoreTableError, VideoReadError, refusing
from base_models.limits import check_file
from base_models.runtime.remote.facts import is_http
from base_models.runtime.remote.filesystems import file_system, plainly

_PATHS = ("path", "video", "video_path", "url", "uri", "file", "filename", "file_path",
          "filepath")  # fmt: skip
_DELIMITERS = ",;\t|"
_SUFFIXES = (".parquet", ".csv", ".tsv")
_AT_ONCE = 16  # files that are looked at


@dataclass(frozen=True)
class InputTable:
    """A table of videos, as whoever reads rows of it needs to know it.

    Attributes
    ----------
    path : str
        In full: a file, a folder of parquet files, or an address that fsspec knows.
    kind : {"parquet", "csv"}
    files : tuple of (TableFile, int)
        Of a parquet table: each file and how many rows it has; of CSV the file.
    columns : tuple of (str, pyarrow.DataType)
    column : str
        Which of them holds the videos.
    version : str
        Changes with the files, see `TableFile`.
    reading : dict
        How the files are read: of CSV delimiter and encoding.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from base_models.batch.input_table import open_table
    >>> from base_models.batch.table_rows import rows_of
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "videos.csv"
    ...     _ = file.write_text("path;source\\na.mp4;096\\nb.mp4;097\\n")
    ...     table = open_table(file)
    ...     rows_of(table, 1, 2).to_pylist()
    [{'path': 'b.mp4', 'source': '097'}]
    >>> table.n_rows, table.column
    (2, 'path')
    """

    path: str
    kind: str
    files: tuple
    columns: tuple
    column: str
    version: str
    reading: Any

    @property
    def n_rows(self) -> int:
        """How many rows it has."""
        return sum(n_rows for _, n_rows in self.files)

    @property
    def base(self) -> str:
        """Where relative paths in it begin: its own folder."""
        own = self.path.split("?")[0] if is_http(self.path) else self.path
        own = own.rstrip("/")
        return own if self.reading.get("is_folder") else os.path.dirname(own)

    def videos(self, entries: list[str | None]) -> list[str]:
        """Return full paths, "" where the table names none.

        Parameters
        ----------
        entries : list of (str or None)
            As in the table.
        """
        return ["" if not entry else _video_at(self.base, entry) for entry in entries]


def open_table(
    path: str | os.PathLike, column: str | None = None, encoding: str | None = None
) -> InputTable:
    """Look at a table of videos: its files, columns and rows; none of it is kept.

    Parameters
    ----------
    path : str or Path
        A parquet or CSV file (also .csv.gz), a folder of parquet files, or the address
        of one.
    column : str or None, default=None
        Which column holds the videos; None takes ``path``, or the only one that is
        called like it.
    encoding : str or None, default=None
        Of CSV; None is UTF-8, or UTF-16 where the file says so.

    Returns
    -------
    InputTable

    Raises
    ------
    ScoreTableError
        Where it is no such table, or it is unclear where its videos are.
    ImportError
        Without pyarrow.
    """
    need_pyarrow()
    full = in_full(path)
    shown = public_name(full) if remote_address(full) else os.fspath(path)
    try:
        filesystem, place = _opened(full)
        with plainly(full):
            # a server of the web says so itself where the file is asked for
            is_there = is_http(full) or filesystem.exists(place)
            is_folder = not is_http(full) and filesystem.isdir(place)
    except VideoReadError as error:
        raise unreadable(full, error) from None
    if not is_there:
        raise FileNotFoundError(f"there is no table {shown}; check the path")
    name = file_name(full).lower().rstrip("/")
    for packed in PACKED:
        name = name.removesuffix(packed)
    if not (is_folder or name.endswith(_SUFFIXES)):
        raise ValueError(
            "expected a table of videos: a .parquet or .csv file (also .csv.gz), or a "
            f"folder of parquet files; got {shown}"
        )
    try:
        with refusing(ScoreTableError, shown, plain=True):
            if is_folder or name.endswith(".parquet"):
                return _parquet(shown, full, is_folder, column)
            return _csv(shown, full, column, encoding)
    except VideoReadError as error:
        raise unreadable(full, error) from None


def need_pyarrow() -> None:
    """Refuse to go on without pyarrow, and say how to get it."""
    try:
        import pyarrow.csv
        import pyarrow.dataset
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "tables of videos are read and written by pyarrow, which is not "
            "installed: pip install 'deepfake-ensemble[parquet]'"
        ) from error


def in_full(path: str | os.PathLike) -> str:
    """Return the full path of a file or folder, or an address for fsspec.

    Examples
    --------
    >>> from pathlib import Path
    >>> from base_models.batch.input_table import in_full
    >>> in_full(Path("s3://bucket/videos.parquet")), in_full("file:///a.csv")
    ('s3://bucket/videos.parquet', '/a.csv')
    """
    text = os.fspath(path)
    return remote_address(text) or os.path.abspath(local_path(text))


def _opened(full):
    if remote_address(full):
        return file_system(full)
    from fsspec.core import url_to_fs

    return url_to_fs(full)


def _parquet(shown, full, is_folder, column):
    import pyarrow
    import pyarrow.dataset

    check_file(full, ScoreTableError)
    filesystem, place = _opened(full)
    try:
        if remote_address(full) and not is_folder:
            looked = look_at(full)
            schemas = [fragment_of(looked).physical_schema]
            files = ((looked, fragment_of(looked).count_rows()),)
        else:
            data = pyarrow.dataset.dataset(
                place, format="parquet", filesystem=filesystem, partitioning="hive"
            )
            names = [_full_of(full, place, each.path) for each in data.get_fragments()]
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = list(pool.map(_counted, names))
            files = tuple((looked, n_rows) for looked, n_rows, _ in found)
            schemas = [data.schema, *(own for *_, own in found)]
        # What is a whole number in one file may be a fraction, or missing, in another.
        schema = pyarrow.unify_schemas(
            list(map(_plain_schema, schemas)), promote_options="permissive"
        )
        columns = tuple((each.name, each.type) for each in schema)
    except VideoReadError:
        raise
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OSError) as error:
        raise ValueError(
            f"{shown} cannot be read as parquet: {public_name(error)}"
        ) from (None if remote_address(full) else error)
    if not files:
        raise ValueError(
            f"{shown} holds no parquet files; give a table of videos, or its folder"
        )
    column = _column(shown, columns, column)
    kind = dict(columns)[column]
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise ValueError(f"column {column!r} of {shown} holds {kind}; paths are text")
    for (file, _), own in zip(files, schemas[-len(files) :], strict=True):
        file.check()
        if column not in own.names:
            raise ValueError(
                f"{public_name(file.place)} has no column {column!r}, which other "
                f"files of {shown} have; it has {', '.join(own.names)}"
            )
    reading = {"base": full, "is_folder": is_folder}
    return InputTable(full, "parquet", files, columns, column, _version(files), reading)


def _counted(place):
    looked = look_at(place)
    if looked.facts is None:
        check_texts(place, BATCH)
    fragment = fragment_of(looked)
    return looked, fragment.count_rows(), fragment.physical_schema


def _full_of(full, place, path):
    """Return path or address of a file of a table, in whose folder it may lie."""
    if not remote_address(full):
        return os.path.abspath(path)
    steps = full.split("::")  # such as zip://tables::https://host/a.zip
    number = next(n for n, step in enumerate(steps) if ":/" in step)
    below = path.rstrip("/").removeprefix(place.rstrip("/"))
    steps[number] = steps[number].rstrip("/") + below
    return "::".join(steps)


def _plain_schema(schema):
    """Return a schema in which categories are what they stand for."""
    import pyarrow

    is_category = pyarrow.types.is_dictionary
    kinds = [(each.name, each.type) for each in schema]
    return pyarrow.schema(
        [(name, kind.value_type if is_category(kind) else kind) for name, kind in kinds]
    )


def _csv(shown, full, column, encoding):
    import pyarrow

    looked = look_at(full)
    with text_of(looked) as (text, _):
        start = text.read(2**16)
    if encoding is None:
        marks = (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if start.startswith(marks) else "utf-8"
    try:
        head = start.decode(encoding, "ignore").lstrip("\ufeff")
    except LookupError as error:
        raise ValueError(f"unknown encoding {encoding!r} of {shown}") from error
    first = head.splitlines()[0] if head.strip() else ""
    if not first.strip():
        raise ValueError(f"{shown} is empty; its first line must name the columns")
    delimiter = max(_DELIMITERS, key=lambda sign: len(_fields(first, sign)))
    names = _fields(first, delimiter)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"{shown} has two columns {twice[0]!r}; give each its own name"
        )
    columns = tuple((name, pyarrow.string()) for name in names)
    table = InputTable(
        full, "csv", ((looked, 0),), columns, _column(shown, columns, column),
        _version([(looked, 0)]),
        {"delimiter": delimiter, "encoding": encoding},
    )  # fmt: skip
    n_rows = sum(batch.num_rows for batch in csv_batches(table))
    looked.check()
    return InputTable(**{**vars(table), "files": ((looked, n_rows),)})


def _fields(line, delimiter):
    return next(csv.reader([line], delimiter=delimiter))


def _version(files):
    digest = hashlib.sha256()
    for file, _ in files:
        digest.update(
            f"{file.name} {file.version}\n".encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()[:16]


def _column(path, columns, wanted):
    names = [name for name, _ in columns]
    if wanted is not None:
        if wanted in names:
            return wanted
        raise ValueError(
            f"{path} has no column {wanted!r}; it has {', '.join(map(repr, names))}"
        )
    for known in (_PATHS[:1], _PATHS):
        found = [name for name in names if name.strip().lower() in known]
        if len(found) == 1:
            return found[0]
    several = f"several may be ({', '.join(found)})" if found else "none is called path"
    raise ValueError(
        f"which column of {path} holds the videos? {several}; name it with column=. "
        f"It has {', '.join(map(repr, names))}"
    )


def _video_at(base, entry):
    """Return the path that a table names; white space around it may be a mistake."""
    clean = entry.strip().strip("\ufeff\u200b").strip()
    beside = "" if remote_address(base) else os.path.join(base, entry)
    if clean and "://" not in clean and os.path.exists(beside):
        return beside  # such as day:1.mp4
    if not clean or is_address(clean):
        return local_path(clean)
    if remote_address(base):
        return f"{base}/{clean}"
    if clean == entry and entry.isascii():
        return os.path.join(base, entry)
    others = [unicodedata.normalize(form, clean) for form in ("NFC", "NFD")]
    paths = [os.path.join(base, each) for each in (entry, *others)]
    known = next((path for path in paths if os.path.exists(path)), None)
    return known or os.path.join(base, clean)
