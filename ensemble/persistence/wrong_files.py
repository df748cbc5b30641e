"""Says what a file is that was given for a saved ensemble, and what to do with it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from base_models.errors import CheckpointError
from base_models.limits import check_file

_CHECKPOINTS = (".p", ".pth", ".pt", ".ckpt", ".pkl", ".h5", ".hdf5", ".safetensors")
_TABLES = (".csv", ".tsv", ".parquet", ".xlsx", ".json")
_USE = (
    "predict, scan and stress take it as --model. In Python it scores videos as it is, "
    "load_checkpoint({path!r}).predict_proba(videos), or is a member of an ensemble: "
    "DeepfakeEnsemble.from_detectors([load_checkpoint({path!r})]) scores at once, and "
    "its fit(videos, labels) learns what a score means"
)


def what_it_is(path: str | Path) -> str:
    """Say what was given in the place of a file that `DeepfakeEnsemble.save` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str
        A sentence with a way out; empty where the file is of no kind that is known.

    Examples
    --------
    >>> from ensemble.persistence.wrong_files import what_it_is
    >>> what_it_is("clip.mp4")
    'it is a video; the model comes first, then the videos'
    >>> what_it_is("model.dfe")
    ''
    """
    from base_models.video.paths import VIDEO_SUFFIXES

    path = Path(path)
    suffix = path.suffix.lower()
    use = _USE.format(path=str(path))
    if path.is_dir():
        if is_checkpoint(path):
            return f"it is a folder that convert wrote. {use}"
        return "it is a folder; give the .dfe file in it, if there is one"
    if suffix in VIDEO_SUFFIXES:
        return "it is a video; the model comes first, then the videos"
    if suffix == ".onnx":
        return (
            "it is a network that export wrote, for other programs (ONNX Runtime); "
            "give the .dfe file that it came from"
        )
    if suffix in _TABLES:
        return "it is a table; the model comes first, then the videos"
    if is_checkpoint(path):
        return f"it is a checkpoint of a network. {use}"
    return ""


def is_checkpoint(path: str | Path) -> bool:
    """Say whether something is weights that `base_models.load_checkpoint` may read.

    Parameters
    ----------
    path : str or Path
        A file by its ending or content, or a folder that ``convert`` wrote.

    Returns
    -------
    bool

    Examples
    --------
    >>> from ensemble.persistence.wrong_files import is_checkpoint
    >>> is_checkpoint("full_c23.p"), is_checkpoint("clip.mp4")
    (True, False)
    """
    path = Path(path)
    check_file(path, CheckpointError)
    if path.is_dir():
        return (path / "card.json").is_file() or (path / "model.safetensors").is_file()
    return path.suffix.lower() in _CHECKPOINTS or _is_checkpoint(path)


def _is_checkpoint(path):
    """Whether a file is PyTorch's, HDF5 or a pickle, whatever it is called."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
        with open(path, "rb") as file:
            return file.read(8)[:4] == b"\x89HDF"
    except Exception:  # of an archive that is damaged it may be anything
        return False
