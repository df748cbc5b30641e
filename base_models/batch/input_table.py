"""Reads tables of videos of any length: parquet and CSV, from any row on."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base_models.addresses import is_address, local_path, remote_address
from base_models.runtime.remote.filesystems import file_system

if TYPE_CHECKING:
    import pyarrow

_PATHS = ("path", "video", "video_path", "url", "uri", "file", "filename", "file_path",
          "filepath")  # fmt: skip
_DELIMITERS = ",;\t|"
_SUFFIXES = (".parquet", ".csv", ".tsv")
_PACKED = (".gz", ".bz2", ".zst")
_BATCH = 4096  # rows that are read at once


@dataclass(frozen=True)
class InputTable:
    """A table of videos, as whoever reads rows of it needs to know it.

    Attributes
    ----------
    path : str
        In full: a file, a folder of parquet files, or an address that fsspec knows.
    kind : {"parquet", "csv"}
    files : tuple of (str, int)
        Of a parquet table: each file and how many rows it has; of CSV the file.
    columns : tuple of (str, pyarrow.DataType)
    column : str
        Which of them holds the videos.
    version : str
        Changes with the files: their sizes and times of change, or tags.
    reading : dict
        How the files are read: of CSV delimiter and encoding.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from base_models.batch.input_table import open_table, rows_of
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
        own = self.path.rstrip("/")
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
    ValueError
        Where it is no such table, or it is unclear where its videos are.
    ImportError
        Without pyarrow.
    """
    need_pyarrow()
    full = in_full(path)
    filesystem, place = _opened(full)
    if not filesystem.exists(place):
        raise FileNotFoundError(f"there is no table {path}; check the path")
    name = place.lower().rstrip("/")
    for packed in _PACKED:
        name = name.removesuffix(packed)
    is_folder = filesystem.isdir(place)
    if not (is_folder or name.endswith(_SUFFIXES)):
        raise ValueError(
            "expected a table of videos: a .parquet or .csv file (also .csv.gz), or a "
            f"folder of parquet files; got {path}"
        )
    if is_folder or name.endswith(".parquet"):
        return _parquet(path, full, filesystem, place, column)
    return _csv(path, full, filesystem, place, column, encoding)


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


def _parquet(path, full, filesystem, place, column):
    import pyarrow
    import pyarrow.dataset

    try:
        data = pyarrow.dataset.dataset(
            place, format="parquet", filesystem=filesystem, partitioning="hive"
        )
        files = tuple((each.path, each.count_rows()) for each in data.get_fragments())
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OSError) as error:
        raise ValueError(f"{path} cannot be read as parquet: {error}") from error
    if not files:
        raise ValueError(
            f"{path} holds no parquet files; give a table of videos, or its folder"
        )
    infos = [filesystem.info(file) for file, _ in files]
    columns = tuple((each.name, _plain(each.type)) for each in data.schema)
    column = _column(path, columns, column)
    kind = dict(columns)[column]
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
        raise ValueError(f"column {column!r} of {path} holds {kind}; paths are text")
    reading = {"base": place, "is_folder": filesystem.isdir(place)}
    return InputTable(full, "parquet", files, columns, column, _version(infos), reading)


def _plain(kind):
    import pyarrow

    return kind.value_type if pyarrow.types.is_dictionary(kind) else kind


def _csv(path, full, filesystem, place, column, encoding):
    import pyarrow

    with _text(filesystem, place) as file:
        start = file.read(2**16)
    if encoding is None:
        marks = (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if start.startswith(marks) else "utf-8"
    try:
        head = start.decode(encoding, "ignore").lstrip("\ufeff")
    except LookupError as error:
        raise ValueError(f"unknown encoding {encoding!r} of {path}") from error
    first = head.splitlines()[0] if head.strip() else ""
    if not first.strip():
        raise ValueError(f"{path} is empty; its first line must name the columns")
    delimiter = max(_DELIMITERS, key=lambda sign: len(_fields(first, sign)))
    names = _fields(first, delimiter)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has two columns {twice[0]!r}; give each its own name")
    columns = tuple((name, pyarrow.string()) for name in names)
    table = InputTable(
        full, "csv", ((full, 0),), columns, _column(path, columns, column),
        _version([filesystem.info(place)]),
        {"delimiter": delimiter, "encoding": encoding},
    )  # fmt: skip
    n_rows = sum(batch.num_rows for batch in _csv_batches(table))
    return InputTable(**{**vars(table), "files": ((full, n_rows),)})


def _fields(line, delimiter):
    return next(csv.reader([line], delimiter=delimiter))


def _version(infos):
    """Return what differs between versions of files, as their file system knows it."""
    import hashlib

    digest = hashlib.sha256()
    for info in infos:
        tag = next(
            (
                str(info[name])
                for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified")
                if info.get(name)
            ),
            "",
        )
        digest.update(f"{info['name']} {info['size']} {tag}\n".encode())
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


def rows_of(table: InputTable, start: int, stop: int) -> pyarrow.Table:
    """Return some rows of a table, from `start` up to before `stop`.

    This process goes on reading where it stands, if that is not behind `start`: parts
    that are read in their order cost one reading in all, also of CSV.

    Parameters
    ----------
    table : InputTable
    start, stop : int

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ValueError
        If the table has fewer rows, or others, than it had when it was opened.
    """
    reader = _readers.pop(table, None)
    if reader is None or reader.at > start:
        reader = _Reader(table)
    found = reader.read(start, stop)
    if stop < table.n_rows:
        _readers[table] = reader
    return found


class _Readers:
    """The reader of each thread that was used last: one table is read at a time."""

    def __init__(self):
        import threading

        self._own = threading.local()

    def pop(self, table, default):
        key, reader = getattr(self._own, "entry", (None, default))
        self._own.entry = (None, default)
        return reader if key == (table.path, table.version) else default

    def __setitem__(self, table, reader):
        self._own.entry = (table.path, table.version), reader


_readers = _Readers()


class _Reader:
    """Stands at a row of a table and reads on."""

    def __init__(self, table):
        self.at = 0  # the row that comes next
        self._table, self._batches, self._rest = table, None, None

    def read(self, start, stop):
        import pyarrow

        table = self._table
        if self._batches is None or self._far(start):
            self.at, self._batches = _batches_from(table, start)
            self._rest = None
        taken = []
        while self.at < stop:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            self._rest = None
            if batch is None:
                raise ValueError(f"{table.path} has changed: it ends at row {self.at}")
            skipped = min(batch.num_rows, max(0, start - self.at))
            wanted = min(batch.num_rows, stop - self.at)
            if wanted > skipped:
                taken.append(batch.slice(skipped, wanted - skipped))
            if wanted < batch.num_rows:
                self._rest = batch.slice(wanted)
            self.at += wanted
        schema = pyarrow.schema(table.columns)
        return pyarrow.Table.from_batches(taken, schema)

    def _far(self, start):
        """Whether it is quicker to seek than to read on."""
        return self._table.kind == "parquet" and start - self.at > 64 * _BATCH


def _batches_from(table, start):
    """Return a row at or before `start`, and batches from there on."""
    if table.kind == "csv":
        return 0, _csv_batches(table)
    number = begins = 0
    while number < len(table.files) - 1 and begins + table.files[number][1] <= start:
        begins += table.files[number][1]
        number += 1
    return _parquet_batches(table, number, start, begins)


def _parquet_batches(table, number, start, begins):
    filesystem, _ = _opened(table.path)
    first = _fragment(table, filesystem, number)
    groups = [(group.id, group.num_rows) for group in first.row_groups]
    while groups and begins + groups[0][1] <= start:
        begins += groups.pop(0)[1]
    kept = [group for group, _ in groups]

    def batches():
        yield from _of_fragment(table, first, kept)
        for later in range(number + 1, len(table.files)):
            fragment = _fragment(table, filesystem, later)
            ids = [group.id for group in fragment.row_groups]
            yield from _of_fragment(table, fragment, ids)

    return begins, batches()


def _fragment(table, filesystem, number):
    import pyarrow
    import pyarrow.dataset

    data = pyarrow.dataset.dataset(
        [table.files[number][0]],
        schema=pyarrow.schema(table.columns),
        format="parquet",
        filesystem=filesystem,
        partitioning=pyarrow.dataset.HivePartitioning(pyarrow.schema(table.columns)),
        partition_base_dir=table.reading["base"],
    )
    return next(iter(data.get_fragments()))


def _of_fragment(table, fragment, groups):
    import pyarrow

    schema = pyarrow.schema(table.columns)
    for group in groups:  # one at a time: what is read ahead takes memory
        part = fragment.subset(row_group_ids=[group])
        for batch in part.to_batches(
            schema=schema, batch_size=_BATCH, batch_readahead=1, use_threads=False
        ):
            if batch.num_rows:
                yield pyarrow.RecordBatch.from_arrays(
                    [_cast(batch.column(each.name), each.type) for each in schema],
                    schema=schema,
                )


def _cast(array, kind):
    return array if array.type == kind else array.cast(kind)


def _text(filesystem, place):
    import pyarrow

    raw = filesystem.open(place, "rb")
    packed = place.lower().endswith(_PACKED)
    if not packed:
        return raw
    kind = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}[place.lower().rpartition(".")[2]]
    return pyarrow.CompressedInputStream(pyarrow.PythonFile(raw, "r"), kind)


def _csv_batches(table) -> Iterator[Any]:
    import pyarrow
    import pyarrow.csv

    filesystem, place = _opened(table.path)
    invalid = pyarrow.ArrowInvalid  # the module is gone when the interpreter ends
    names = [name for name, _ in table.columns]
    with _text(filesystem, place) as file:
        try:
            yield from pyarrow.csv.open_csv(
                file,
                pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=2**20,
                    encoding=table.reading["encoding"],
                    column_names=names,
                    skip_rows=1,
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=table.reading["delimiter"], newlines_in_values=True
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict(table.columns), strings_can_be_null=False
                ),
            )
        except invalid as error:
            if "Empty CSV file" not in str(error):
                raise ValueError(f"{table.path} cannot be read: {error}") from error


def _video_at(base, entry):
    """Return the path that a table names; white space around it may be a mistake."""
    clean = entry.strip().strip("\ufeff\u200b").strip()
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
