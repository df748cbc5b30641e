"""Reads rows of tables of videos: parquet and CSV, from any row on."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from base_models.addresses import file_name, public_name
from base_models.batch.table_files import TableFile, unreadable
from base_models.errors import ScoreTableError, VideoReadError, refusing

if TYPE_CHECKING:
    import pyarrow

PACKED = (".gz", ".bz2", ".zst")
BATCH = 4096  # rows that are read at once

# Arrow reads ahead on a thread of its own, also from files of Python. A thread that
# wants Python while the interpreter ends is ended there and then; Arrow waits for it
# for ever, or aborts. So local files are opened by Arrow itself,
# and what is read from other ones has come to an end before that.
_reading: weakref.WeakSet[Any] = weakref.WeakSet()


@atexit.register
def _close_readers():
    for batches in list(_reading):
        with contextlib.suppress(ValueError):  # another thread is in it
            batches.close()


def _closed_at_exit(batches):
    _reading.add(batches)
    return batches


def _read_to_the_end(batches):
    """Wait for what is read ahead."""
    with contextlib.suppress(Exception):
        for _ in batches:
            pass


def rows_of(table: Any, start: int, stop: int) -> pyarrow.Table:
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
    files = _files_of(table, start, stop)
    try:
        found = reader.read(start, stop)
    except Exception as error:
        for file in files:
            file.check()  # then that is why
        if isinstance(error, VideoReadError):
            raise unreadable(table.path, error) from None
        with refusing(
            ScoreTableError, table.path, f"a row from {start} on", plain=True
        ):
            raise
    for file in files:
        file.check()
    if stop < table.n_rows:
        _readers[table] = reader
    return found


def _files_of(table, start, stop):
    """Return the files that hold some rows."""
    if table.kind == "csv":
        return [table.files[0][0]]
    files, begins = [], 0
    for file, n_rows in table.files:
        if begins < stop and begins + n_rows > start:
            files.append(file)
        begins += n_rows
    return files


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
                raise ValueError(
                    f"{public_name(table.path)} has changed: it ends at row {self.at}"
                )
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
        return self._table.kind == "parquet" and start - self.at > 64 * BATCH


def _batches_from(table, start):
    """Return a row at or before `start`, and batches from there on."""
    if table.kind == "csv":
        return 0, csv_batches(table)
    number = begins = 0
    while number < len(table.files) - 1 and begins + table.files[number][1] <= start:
        begins += table.files[number][1]
        number += 1
    return _parquet_batches(table, number, start, begins)


def _parquet_batches(table, number, start, begins):
    file = table.files[number][0]
    first = fragment_of(file, table)
    groups = [(group.id, group.num_rows) for group in first.row_groups]
    while groups and begins + groups[0][1] <= start:
        begins += groups.pop(0)[1]
    kept = [group for group, _ in groups]

    def batches():
        yield from _of_fragment(table, file, first, kept)
        for later, _ in table.files[number + 1 :]:
            fragment = fragment_of(later, table)
            ids = [group.id for group in fragment.row_groups]
            yield from _of_fragment(table, later, fragment, ids)

    return begins, _closed_at_exit(batches())


def fragment_of(file, table=None):
    """Return a parquet file for pyarrow, with what its folders say of its rows."""
    import pyarrow
    import pyarrow.dataset
    import pyarrow.fs

    format, given = pyarrow.dataset.ParquetFileFormat(), {}
    if table is not None:
        folders = pyarrow.dataset.HivePartitioning(pyarrow.schema(table.columns))
        below = file.place.removeprefix(table.reading["base"]).replace(os.sep, "/")
        given["partition_expression"] = folders.parse(below)
    if file.facts is not None:
        return format.make_fragment(file.open(), **given)
    file.check()
    local = pyarrow.fs.LocalFileSystem()
    return format.make_fragment(file.place, filesystem=local, **given)


def _of_fragment(table, file, fragment, groups):
    import pyarrow

    for group in groups:  # one at a time: what is read ahead takes memory
        part = fragment.subset(row_group_ids=[group])
        try:
            yield from _batches_of(part, pyarrow.schema(table.columns))
        except pyarrow.ArrowInvalid as error:
            _name_column(table, file, part)
            raise error


def _batches_of(part, schema):
    import pyarrow

    batches = part.to_batches(
        schema=schema, batch_size=BATCH, batch_readahead=1, use_threads=False
    )
    try:
        for batch in batches:
            if batch.num_rows:
                yield pyarrow.RecordBatch.from_arrays(
                    [_cast(batch.column(each.name), each.type) for each in schema],
                    schema=schema,
                )
    finally:
        _read_to_the_end(batches)


def _name_column(table, file, part):
    """Refuse the file by the column that does not fit what it is in other files."""
    import pyarrow

    for name, kind in table.columns:
        try:
            list(_batches_of(part, pyarrow.schema([(name, kind)])))
        except pyarrow.ArrowInvalid as error:
            raise ScoreTableError(
                f"column {name!r} of {file.name} does not fit what it is in other "
                f"files of the table, {kind} ({error}); write it with one type in all"
            ) from None


def _cast(array, kind):
    return array if array.type == kind else array.cast(kind)


@contextlib.contextmanager
def text_of(looked: TableFile) -> Iterator[tuple[pyarrow.NativeFile, Callable | None]]:
    """Open the text of a CSV file.

    Parameters
    ----------
    looked : TableFile

    Yields
    ------
    text : pyarrow.NativeFile
        Bytes, unpacked.
    stop : callable or None
        Makes the text end where it is read; None for a file of this machine.
    """
    import pyarrow

    name, stop = file_name(looked.place).lower(), None
    if looked.facts is None:
        looked.check()
        raw = pyarrow.OSFile(looked.place, "r")
    else:
        reader = looked.open()
        raw, stop = pyarrow.PythonFile(reader, "r"), reader.stop
    if name.endswith(PACKED):
        kind = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}[name.rpartition(".")[2]]
        raw = pyarrow.CompressedInputStream(raw, kind)
    with raw:
        yield raw, stop


def csv_batches(table) -> Iterator[Any]:
    return _closed_at_exit(_csv_batches(table))


def _csv_batches(table):
    import pyarrow
    import pyarrow.csv

    invalid = pyarrow.ArrowInvalid  # the module is gone when the interpreter ends
    names = [name for name, _ in table.columns]
    with text_of(table.files[0][0]) as (text, stop):
        batches = ()
        try:
            batches = pyarrow.csv.open_csv(
                text,
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
            yield from batches
        except invalid as error:
            if "Empty CSV file" not in str(error):
                name = public_name(table.path)
                raise ValueError(f"{name} cannot be read: {error}") from error
        finally:
            if stop is not None:
                stop()
                _read_to_the_end(batches)
