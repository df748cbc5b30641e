"""The kinds of data sets by name, of which the first that fits a path reads it.

Those of other packages (`base_models.plugins`) come after ours.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

from base_models.errors import DeepfakeEnsembleWarning, ScoreTableError
from base_models.limits import check_file
from base_models.naming import did_you_mean, squeezed
from base_models.plugins import DATA_SETS, PluginError, plugins
from ensemble.datasets.kinds import (
    celeb_df,
    class_folders,
    csv_tables,
    deepfakebench,
    dfd,
    dfdc,
    dfdc_preview,
    faceforensics,
    kodf,
)
from ensemble.datasets.kinds.base import DataSetKind
from ensemble.datasets.kinds.prepared import check_finished

KINDS = {
    "csv": DataSetKind(csv_tables.fits, csv_tables.read),
    "folder": DataSetKind(class_folders.fits, class_folders.read),
    "faceforensics": DataSetKind(
        faceforensics.fits,
        faceforensics.read,
        True,
        faceforensics.NO_SPLITS,
        aliases=("ffpp", "ff++", "faceforensics++", "faceforensicspp"),
    ),
    "dfd": DataSetKind(dfd.fits, dfd.read, True, aliases=("deepfakedetection",)),
    "dfdc_preview": DataSetKind(
        dfdc_preview.fits, dfdc_preview.read, True, aliases=("dfdcp",)
    ),
    "dfdc": DataSetKind(dfdc.fits, dfdc.read, True),
    "celeb_df": DataSetKind(celeb_df.fits, celeb_df.read, True, aliases=("cdf",)),
    "kodf": DataSetKind(kodf.fits, kodf.read, True),
    "deepfakebench": DataSetKind(deepfakebench.fits, deepfakebench.read, True),
}
AUTO = "auto"


def kind_names() -> list[str]:
    """Return the names of all kinds: "auto", ours, those of other packages.

    Examples
    --------
    >>> from ensemble.datasets.kinds.registry import kind_names
    >>> kind_names()[:3]
    ['auto', 'csv', 'folder']
    """
    return [AUTO, *KINDS, *plugins(DATA_SETS, taken=_taken())]


def kind_called(name: str) -> DataSetKind:
    """Return the kind of a name.

    Parameters
    ----------
    name : str
        One of `kind_names`, but "auto".

    Returns
    -------
    DataSetKind

    Raises
    ------
    PluginError
        If the package that declares it cannot be imported.

    Examples
    --------
    >>> from ensemble.datasets.kinds.registry import kind_called
    >>> kind_called("dfdc").is_public
    True
    """
    if name in KINDS:
        return KINDS[name]
    found = plugins(DATA_SETS, taken=_taken())[name].imported()
    if isinstance(found, DataSetKind):
        return found
    return DataSetKind(found.fits, found.read)  # a module


def _taken() -> list[str]:
    return [AUTO, *KINDS, *(alias for kind in KINDS.values() for alias in kind.aliases)]


def _all_kinds() -> Iterator[tuple[str, DataSetKind]]:
    yield from KINDS.items()
    for name in plugins(DATA_SETS, taken=_taken()):
        try:
            yield name, kind_called(name)
        except PluginError as error:
            warnings.warn(
                f"{error}. It is passed over", DeepfakeEnsembleWarning, stacklevel=4
            )


def kind_of(path: Path) -> str | None:
    """Return the name of the first kind that fits a path, or None.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str or None
    """
    return next((name for name, kind in _all_kinds() if kind.fits(path)), None)


def find_kind(kind: str) -> str:
    """Return the kind that a name means: its own, or another that people use.

    Parameters
    ----------
    kind : str

    Returns
    -------
    str
        One of `kind_names`.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> from ensemble.datasets.kinds.registry import find_kind
    >>> find_kind("ffpp"), find_kind("Celeb-DF")
    ('faceforensics', 'celeb_df')
    """
    names = kind_names()
    meant = {squeezed(name): name for name in names}
    for name, entry in KINDS.items():
        meant |= {squeezed(alias): name for alias in entry.aliases}
    if squeezed(kind) not in meant:
        raise ValueError(
            f"unknown kind of data set {kind!r}; it is one of {', '.join(names[1:])}, "
            f"or auto{did_you_mean(kind, names[1:])}"
        )
    return meant[squeezed(kind)]


def kind_for(kind: str, path: Path) -> str:
    """Return the kind to read a path as: the one named, or for "auto" what it is.

    Parameters
    ----------
    kind : str
        One of `kind_names`, or an alias.
    path : Path

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the kind is unknown.
        Or the path is a prepared folder that is not whole.
    FileNotFoundError
        If nothing is at the path.
    ScoreTableError
        If a pipe, a socket or a device is.
    """
    from base_models.addresses import is_address, public_name

    kind = find_kind(kind)
    if is_address(path) and not path.exists():
        raise FileNotFoundError(
            f"{public_name(path)} is an address, and data sets are read from this "
            "machine; give a CSV on it, whose column path may hold addresses of videos"
        )
    check_file(path, ScoreTableError)
    if not (path.is_dir() or path.is_file()):
        raise FileNotFoundError(
            f"nothing at {path}; give a folder with real/ and fake/, the root of a "
            "data set, or a CSV"
        )
    check_finished(path)
    if kind != AUTO:
        return kind
    # Where none fits, the kind that was meant most likely says what is missing.
    return kind_of(path) or ("folder" if path.is_dir() else "csv")
