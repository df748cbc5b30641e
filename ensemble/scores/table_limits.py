"""What a table asks for, looked at before it is read: bytes, columns, cells."""

import zipfile
from pathlib import Path

from base_models.batch.repeated_texts import check_texts
from base_models.errors import ScoreTableError
from base_models.limits import current_limits

_LONGEST_LINE = 2**24  # bytes
_LONGEST_TEXT = 2**20  # bytes in a cell of parquet
_EXCEL_TAKES = 8  # bytes of memory for one of XML
_EXCEL_ROWS = 2**20  # of a sheet, as Excel writes it


def check_text_file(path: Path) -> None:
    """Refuse text that is too large, or has a line that is no row of any table.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ScoreTableError
        Saying what there is and what is allowed.
    """
    _check("bytes", path.stat().st_size, current_limits().table_bytes, path)
    with open(path, "rb") as file:
        while len(part := file.read(_LONGEST_LINE)) == _LONGEST_LINE:
            if b"\n" not in part and b"\r" not in part:
                raise ScoreTableError(
                    f"{path} has a line of more than {_LONGEST_LINE:,} bytes, so that "
                    "it is no table of text"
                )


def check_text(text: str, delimiter: str, path: Path) -> None:
    """Refuse text that would be cut into too many fields.

    Parameters
    ----------
    text : str
    delimiter : str
    path : Path

    Raises
    ------
    ScoreTableError
    """
    limits = current_limits()
    first = text[:_LONGEST_LINE].split("\n", 1)[0]
    _check("columns", 1 + first.count(delimiter), limits.table_columns, path)
    n_cells = text.count(delimiter) + text.count("\n")
    _check("cells", n_cells, limits.table_cells, path)


def check_parquet(path: Path) -> None:
    """Refuse a parquet file that unpacks to too much, by what it says of itself.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ScoreTableError
    """
    import pyarrow.parquet

    limits = current_limits()
    with pyarrow.parquet.ParquetFile(path) as file:
        found = file.metadata
        _check("columns", found.num_columns, limits.table_columns, path)
        n_cells = found.num_columns * found.num_rows
        _check("cells", n_cells, limits.table_cells, path)
        groups = [found.row_group(number) for number in range(found.num_row_groups)]
        n_bytes = sum(group.total_byte_size for group in groups)
        _check("bytes, unpacked,", n_bytes, limits.table_bytes, path)
    check_texts(str(path), max(1, found.num_rows), _LONGEST_TEXT)


def check_excel(path: Path) -> None:
    """Refuse an Excel file that unpacks to too much, or has a cell far from others.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ScoreTableError
    """
    import openpyxl

    limits = current_limits()
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    most = limits.table_bytes // _EXCEL_TAKES
    _check("bytes, unpacked,", unpacked, most, path)
    book = openpyxl.load_workbook(path, read_only=True, keep_links=False)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # what it says of them need not be so
        widest = 0
        for n_rows, row in enumerate(sheet.iter_rows(values_only=True), 1):
            widest = max(widest, len(row))
            if n_rows > _EXCEL_ROWS:
                raise ScoreTableError(
                    f"{path} has a cell below row {_EXCEL_ROWS:,}, which is the last "
                    "that a sheet can have: it is damaged or forged; save it again in "
                    "a spreadsheet program"
                )
            _check("columns", widest, limits.table_columns, path)
            _check("cells", n_rows * widest, limits.table_cells, path)
    finally:
        book.close()


def _check(what: str, n_asked: int, n_allowed: int, path: Path) -> None:
    if n_asked > n_allowed:
        raise ScoreTableError(
            f"{path} has {n_asked:,} {what}, and {n_allowed:,} are allowed; give the "
            "columns and rows that are needed, or allow more: "
            "base_models.limits.reading_limits(table_bytes=..., table_columns=..., "
            "table_cells=...)"
        )
