"""The kinds of data sets, and `read_videos`, which takes the first that fits a path."""

from pathlib import Path

from ensemble.datasets import class_folders, csv_tables
from ensemble.datasets.base import DataSetKind, LabelledVideos

CSV_TABLES = DataSetKind(csv_tables.fits, csv_tables.read)
CLASS_FOLDERS = DataSetKind(class_folders.fits, class_folders.read)
KINDS = [CSV_TABLES, CLASS_FOLDERS]


def read_videos(path: str | Path, encoding: str | None = None) -> LabelledVideos:
    """Read a labelled set of videos from a folder or a CSV.

    Parameters
    ----------
    path : str or Path
        A folder with ``real/`` and ``fake/`` in it (or with a ``videos.csv``), or a
        table (.csv, .tsv, .xlsx, .parquet) with the columns ``path`` and ``label``,
        and, where known, ``group`` and ``method``. Paths in it are relative to its own
        folder.
    encoding : str or None, default=None
        Of a text file; None finds it out where there is no doubt.

    Returns
    -------
    LabelledVideos
        Files are not opened.

    Raises
    ------
    ValueError
        If there is neither, or a column is missing.
    FileNotFoundError
        If there is nothing at `path`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from ensemble.datasets import read_videos
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "set.csv").write_text("path,label,group\\na.mp4,REAL,ann\\n")
    32
    >>> read_videos(folder / "set.csv").groups
    ['ann']
    """
    from base_models.video.paths import is_address

    path = Path(path)
    if is_address(path) and not path.exists():
        raise FileNotFoundError(
            f"{path} is an address, and only files on this machine are read; download "
            "the videos and give their folder, or a CSV"
        )
    if not (path.is_dir() or path.is_file()):
        raise FileNotFoundError(
            f"nothing at {path}; give a folder with real/ and fake/, or a CSV"
        )
    kind = next((kind for kind in KINDS if kind.fits(path)), None)
    if kind is None:  # the kind that was meant most likely says what is missing
        kind = CLASS_FOLDERS if path.is_dir() else CSV_TABLES
    return kind.read(path, encoding)


def is_labelled(path: str | Path) -> bool:
    """Whether a path is a labelled set for `read_videos`, and not just videos.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    bool
        True for a table, and for a folder with ``real/`` and ``fake/`` (by any of their
        names) or a ``videos.csv`` in it.
    """
    return any(kind.fits(Path(path)) for kind in KINDS)
