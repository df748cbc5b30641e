"""Finds texts in parquet that are a bomb of bytes: long, or kept once for many rows."""

from __future__ import annotations

from typing import Any

from base_models.errors import ScoreTableError
from base_models.limits import current_limits


def check_texts(path: str, n_rows: int, longest: int | None = None) -> None:
    """Refuse a file some rows of which, or one cell, hold more text than is allowed.

    What the file says of its columns tells which may; those alone are looked through,
    and no text is made for that.

    Parameters
    ----------
    path : str
        Of a parquet file on this machine.
    n_rows : int
        That are read at once.
    longest : int or None, default=None
        Bytes that one text may have; None allows any.

    Raises
    ------
    ScoreTableError
        Naming file and column.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow
    >>> import pyarrow.parquet
    >>> from base_models.batch.repeated_texts import check_texts
    >>> from base_models.limits import reading_limits
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/t.parquet"
    ...     table = pyarrow.table({"path": ["a" * 1000] * 5000})
    ...     pyarrow.parquet.write_table(table, path)
    ...     check_texts(path, 4096)
    ...     try:
    ...         with reading_limits(table_bytes=10**6):
    ...             check_texts(path, 4096)
    ...     except ScoreTableError as error:
    ...         print(str(error).removeprefix(path))
     holds 4,096,000 bytes of text in rows of column 'path' that are read at once, \
and 1,000,000 are allowed; allow more with base_models.limits.reading_limits(\
table_bytes=...)
    """
    import pyarrow.parquet

    most = current_limits().table_bytes
    with pyarrow.parquet.ParquetFile(path) as file:
        found = file.metadata
        groups = [found.row_group(number) for number in range(found.num_row_groups)]
        names = {
            chunk.path_in_schema
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
            if chunk.physical_type == "BYTE_ARRAY"
            and (
                (longest is not None and chunk.total_uncompressed_size > longest)
                or (
                    chunk.has_dictionary_page
                    # The longest text may stand in every row.
                    and chunk.total_uncompressed_size * min(chunk.num_values, n_rows)
                    > most
                )
            )
        }
    for name in sorted(names):
        with pyarrow.parquet.ParquetFile(path, read_dictionary=[name]) as file:
            for batch in file.iter_batches(n_rows, columns=[name]):
                n_bytes, of_one = _bytes_of(batch.column(0))
                if longest is not None and of_one > longest:
                    raise ScoreTableError(
                        f"{path} has a text of {of_one:,} bytes in column {name!r}; "
                        f"in a table of videos none is longer than {longest:,}"
                    )
                if n_bytes > most:
                    raise ScoreTableError(
                        f"{path} holds {n_bytes:,} bytes of text in rows of column "
                        f"{name!r} that are read at once, and {most:,} are allowed; "
                        "allow more with base_models.limits.reading_limits("
                        "table_bytes=...)"
                    )


def _bytes_of(column: Any) -> tuple[int, int]:
    """Return the bytes of all texts, and of the longest."""
    import pyarrow
    import pyarrow.compute

    while isinstance(column, pyarrow.ListArray | pyarrow.LargeListArray):
        column = column.flatten()
    kept_once = isinstance(column, pyarrow.DictionaryArray)
    texts = column.dictionary if kept_once else column
    if isinstance(texts, pyarrow.StructArray):
        return 0, 0
    lengths = pyarrow.compute.cast(
        pyarrow.compute.binary_length(texts), pyarrow.int64()
    )
    total = 0  # else each is written where it stands, and counted as such
    if kept_once:
        total = pyarrow.compute.sum(lengths.take(column.indices)).as_py() or 0
    return total, pyarrow.compute.max(lengths).as_py() or 0
