"""Plans the files that a command writes: none of them is lost work or a lost input."""

from __future__ import annotations

import importlib.util
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from base_models.addresses import remote_address
from base_models.runtime.file_writing import check_no_way_out, plan_to_write
from ensemble.reporting.own_files import WROTE

_TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
_VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv",
           ".flv", ".3gp", ".ts", ".m2ts", ".gif", ".ogv")  # fmt: skip
_WEIGHTS = (".p", ".pt", ".pth", ".h5", ".hdf5", ".safetensors", ".onnx")
_PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf", ".bmp", ".webp", ".tif", ".tiff")
_CHECKPOINT = ("model.safetensors", "card.json")


@dataclass(frozen=True)
class Kind:
    """What a file is that a command writes.

    Attributes
    ----------
    name : str
        In a sentence.
    suffixes : tuple of str
        Endings that it must have; empty: any but those of other kinds.
    others : tuple of str
        Endings of other kinds, which it must not have.
    needs : tuple of str
        Packages beyond the library's own that write it.
    """

    name: str
    suffixes: tuple = ()
    others: tuple = ()
    needs: tuple = ()


_NO_TEXT = (*_VIDEOS, *_WEIGHTS, *_PICTURES, ".dfe")
KINDS = {
    "model": Kind("a saved model", (), (*_VIDEOS, *_TABLES, *_WEIGHTS, *_PICTURES,
                                        ".json", ".html", ".txt", ".py")),
    "csv": Kind("a table", (), (*_NO_TEXT, ".json", ".html", ".parquet", ".xlsx")),
    "json": Kind("JSON", (), (*_NO_TEXT, *_TABLES, ".html")),
    "index": Kind("a table of videos", (".parquet", ".csv")),
    "html": Kind("a page", (), (*_NO_TEXT, *_TABLES, ".json"),
                 ("jinja2", "matplotlib")),
    "plot": Kind("a plot", (".png", ".svg", ".pdf", ".jpg", ".jpeg"),
                 needs=("matplotlib",)),
    "video": Kind("an annotated video", (".mp4",)),
    "film": Kind("a film of what was watched", (".mp4",)),
    "onnx": Kind("an exported network", (".onnx",)),
    "card": Kind("the card of a network", (".json",)),
    "weights": Kind("converted weights", (".safetensors",)),
    "log": Kind("a log", (), (*_NO_TEXT, *_TABLES, ".json", ".html", ".zip", ".gz")),
    "folder": Kind("a folder"),
}  # fmt: skip


class OutputError(ValueError):
    """A file that a command is to write cannot, or should not, be written."""


@dataclass(frozen=True)
class Output:
    """A file that a command is going to write.

    Attributes
    ----------
    option : str
        How it was asked for, such as ``"--json"``.
    path : Path
    kind : str
        A key of `KINDS`.
    marks : tuple of str
        Columns of a table, or keys of JSON, that are in every file of this kind that
        the command writes; of models, pages and plots the names of commands whose own
        may be replaced.
    """

    option: str
    path: Path
    kind: str
    marks: tuple = ()


def check_outputs(
    outputs: Iterable[Output],
    inputs: Iterable,
    overwrite: bool = False,
    store: str | Path | None = None,
) -> None:
    """Refuse outputs that cannot be written or would destroy something, before work.

    Each must be a file of its own, with an ending of its kind, in a folder that can be
    made and written to, and none of the inputs: by whatever name, link or hard link. A
    file that exists is replaced where it was written by the same command before; any
    other needs `overwrite`, which never extends to inputs.

    Parameters
    ----------
    outputs : iterable of Output
        Those whose path is ``-`` are printed, and not looked at.
    inputs : iterable of (str, Path)
        Videos (files, or folders of frame images), tables, models, checkpoints.
        Arrays are passed over.
    overwrite : bool, default=False
        Replace files that this command did not write.
    store : str, Path or None, default=None
        The folder of ``--store``, which is one of the outputs.

    Raises
    ------
    OutputError
        Naming the option, the path, what is wrong and what to do.
    ImportError
        If a package that writes one of them is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from ensemble.reporting.outputs import Output, check_outputs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clip = Path(folder) / "clip.mp4"
    ...     _ = clip.write_bytes(b"a video")
    ...     try:
    ...         check_outputs([Output("--annotate", clip, "video")], [clip])
    ...     except OutputError as error:
    ...         print(str(error).replace(folder, "FOLDER"))
    --annotate FOLDER/clip.mp4 is one of the inputs; give another name
    """
    outputs = [output for output in outputs if str(output.path) != "-"]
    if store is not None and remote_address(store) is None:
        outputs.insert(0, Output("--store", Path(store), "folder"))
    taken, of_frames = {}, {}
    for path in inputs:
        if isinstance(path, (str, os.PathLike)):
            for part in _input_files(Path(path)):
                taken.setdefault(_identity(part), None)
                if part.suffix.lower() in _PICTURES and part != Path(path):
                    of_frames[_identity(path)] = path
    files = {_identity(o.path): o for o in outputs if o.kind != "folder"}
    for output in outputs:
        _check_name(output)
        _check_place(output)
        own = _identity(output.path)
        if own in taken:
            other = taken[own]
            raise OutputError(
                f"{output.option} {output.path} is "
                + (
                    "one of the inputs; give another name"
                    if other is None
                    else f"also what {other} writes; give each its own name"
                )
            )
        frames = of_frames.get(_identity(Path(os.path.realpath(output.path)).parent))
        if frames is not None and output.kind in ("plot", "video", "film"):
            raise OutputError(
                f"{output.option} {output.path} would lie among the frames of {frames} "
                "and be taken for one of them; write it elsewhere"
            )
        taken[own] = output.option
        _check_not_below(output, files)
        if not (overwrite or output.kind == "folder" or _may_replace(output)):
            raise OutputError(
                f"{output.option} {output.path} exists, and is not "
                f"{KINDS[output.kind].name} that this command wrote; give another "
                "name, or --overwrite to replace it"
            )
    plan_to_write(o.path for o in outputs if o.kind != "folder" and not overwrite)


def check_ending(path: str | Path, kind: str) -> None:
    """Refuse a name whose ending is that of another kind of file, such as a table.

    Parameters
    ----------
    path : str or Path
    kind : str
        A key of `KINDS`: what is to be written.

    Raises
    ------
    OutputError
    """
    _check_name(Output(KINDS[kind].name, Path(path), kind))


def check_replaced(
    path: str | Path, kind: str, marks: tuple = (), overwrite: bool = False
) -> None:
    """Refuse a file that exists and is not what the library wrote there before.

    Parameters
    ----------
    path : str or Path
    kind : str
        A key of `KINDS`: what is to be written.
    marks : tuple of str, default=()
        As of `Output`.
    overwrite : bool, default=False
        Replace it all the same.

    Raises
    ------
    OutputError

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder) / "scores.csv"
    ...     _ = table.write_text("video,p_one")
    ...     try:
    ...         check_replaced(table, "model")
    ...     except OutputError as error:
    ...         print(str(error).replace(folder, "FOLDER"))
    FOLDER/scores.csv exists, and is not a saved model of this library, or one of \
another sort; give another name, or overwrite=True to replace it
    """
    if not (overwrite or _may_replace(Output("", Path(path), kind, marks))):
        raise OutputError(
            f"{path} exists, and is not {KINDS[kind].name} of this library, or one of "
            "another sort; give another name, or overwrite=True to replace it"
        )


def _check_not_below(output, files):
    """Refuse a path that lies below a file which is to be written."""
    for folder in Path(os.path.realpath(output.path)).parents:
        other = files.get(_identity(folder))
        if other is not None:
            raise OutputError(
                f"{output.option} {output.path} would lie in {other.path}, which is "
                f"the file that {other.option} writes; give another name"
            )


def check_names_in(option: str, folder: Path, names: Iterable[str]) -> None:
    """Refuse names that the command chose itself where links of these lead elsewhere.

    Parameters
    ----------
    option : str
        How the folder was asked for.
    folder : Path
    names : iterable of str
        Of what is written into it.

    Raises
    ------
    OutputError
    """
    try:
        check_no_way_out(folder, names)
    except FileExistsError as error:
        raise OutputError(f"{option}: {error}") from error


def check_folder(option: str, path: str | Path | None) -> None:
    """Refuse a folder that is a file, or cannot be made or written to.

    Parameters
    ----------
    option : str
        How it was asked for.
    path : str, Path or None
        None is passed over, and so is an address.

    Raises
    ------
    OutputError
    """
    if path is not None and remote_address(path) is None:
        _check_place(Output(option, Path(path), "folder"))


# Columns, and keys, of what each command writes.
_COLUMNS = {
    "scan": ("video", "verdict", "status"),
    "stress": ("change", "strength", "scorer"),
    "compare": ("strategy", "auc"),
}
_KEYS = _COLUMNS | {"compare": ("verdict", "table")}


def tables_of(
    command: str, csv_file: Path | None, json_file: Path | None
) -> list[Output]:
    """Return the outputs that ``--csv`` and ``--json`` of a command ask for."""
    asked = [("--csv", csv_file, "csv", _COLUMNS), ("--json", json_file, "json", _KEYS)]
    return [
        Output(option, Path(path), kind, marks[command])
        for option, path, kind, marks in asked
        if path is not None
    ]


def check_demo(out: Path, overwrite: bool) -> None:
    """Refuse a demo's folder in which its files would replace those of others."""
    check_folder("--out", out)
    names = ("model.dfe", "strategies.csv", "predictions.csv", "report.html")
    check_names_in("--out", out, (*names, "clips", "store"))
    if not (out / "clips" / "forge.json").is_file() and not overwrite:
        for name in names:
            if (out / name).exists():
                raise OutputError(
                    f"--out {out} holds a {name} that no demo wrote there; give "
                    "another folder, or --overwrite to replace it"
                )


def check_tables(
    option: str,
    folder: Path,
    names: Iterable[str],
    inputs: Iterable,
    overwrite: bool = False,
) -> None:
    """Refuse a folder in which tables would replace files of others, or inputs.

    Parameters
    ----------
    option : str
        How it was asked for.
    folder : Path
    names : iterable of str
        Of the tables, without their ending. A folder that has all of them is ours.
    inputs : iterable of Path
    overwrite : bool, default=False
    """
    check_folder(option, folder)
    paths = [folder / f"{name}.csv" for name in names]
    check_names_in(option, folder, [path.name for path in paths])
    taken = {_identity(path) for path in inputs}
    there = [path for path in paths if path.exists()]
    for path in there:
        if _identity(path) in taken:
            raise OutputError(
                f"{option} {folder} would replace {path.name}, one of the inputs; give "
                "another folder"
            )
    if there and len(there) < len(paths) and not overwrite:
        raise OutputError(
            f"{option} {folder} holds a {there[0].name} that this command did not "
            "write; give another folder, or --overwrite to replace it"
        )


def check_converted(out_dir: Path, checkpoint: Path, overwrite: bool) -> None:
    """Refuse a folder in which converted weights would replace something else."""
    check_folder("OUT_DIR", out_dir)
    kinds = {"model.safetensors": "weights", "card.json": "card"}
    check_names_in("OUT_DIR", out_dir, kinds)
    check_outputs(
        [
            Output("OUT_DIR", out_dir / name, kind, ("source_sha256",))
            for name, kind in kinds.items()
        ],
        [checkpoint],
        overwrite,
    )


def _check_name(output):
    kind, suffix = KINDS[output.kind], output.path.suffix.lower()
    missing = [name for name in kind.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{output.option} needs {', '.join(missing)}: "
            "pip install 'deepfake-ensemble[report]'"
        )
    if kind.suffixes and suffix not in kind.suffixes:
        raise OutputError(
            f"{output.option} {output.path} must end in {' or '.join(kind.suffixes)}"
        )
    if suffix in kind.others:
        raise OutputError(
            f"{output.option} {output.path} ends in {suffix}, and what is written "
            f"there is {kind.name}; give another name"
        )


def _check_place(output):
    """Refuse a path whose file, or folder, cannot be made or written to."""
    path, wants_folder = output.path, output.kind == "folder"
    real = Path(os.path.realpath(path))
    try:
        is_folder, exists = real.is_dir(), real.exists()
        if exists and is_folder != wants_folder:
            raise OutputError(
                f"{output.option} {path} is a {'folder' if is_folder else 'file'}; "
                f"give the name of a {'folder' if wants_folder else 'file'}"
            )
        if not exists and not wants_folder and not path.name:
            raise OutputError(f"{output.option} {path} is no name of a file")
        nearest = real
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if nearest != real and not nearest.is_dir():
            raise OutputError(
                f"{output.option} {path}: {nearest} is a file and cannot hold others"
            )
    except OSError as error:  # such as a name that is too long
        raise OutputError(
            f"{output.option} {path} cannot be written ({error.strerror})"
        ) from error
    folder = real.parent if exists and not wants_folder else nearest
    is_special = exists and not (is_folder or real.is_file())  # such as /dev/null
    if not is_special and not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{output.option} {path}: the folder {folder} may not be written to; give "
            "another, or change its mode"
        )
    if exists and not os.access(real, os.W_OK):
        raise OutputError(f"{output.option} {path} may not be written to")


def _input_files(path):
    """Yield an input itself; of a folder its frames, or its weights and card."""
    yield path
    try:
        if path.is_dir():
            for child in path.iterdir():
                if child.suffix.lower() in _PICTURES or child.name in _CHECKPOINT:
                    yield child
    except OSError:  # who reads it says so
        return


def _identity(path):
    """Return what two paths have in common when they are one file."""
    real = os.path.realpath(path)
    missing = []
    while True:
        try:
            found = os.stat(real)
            break
        except OSError:
            above, name = os.path.split(real)
            if above == real:
                return (real, *missing)
            missing.insert(0, name)
            real = above
    if missing and _ignores_case(real):
        missing = [unicodedata.normalize("NFC", name).casefold() for name in missing]
    return (found.st_dev, found.st_ino, *missing)


def _ignores_case(folder):
    """Whether names that differ by case are one, in a folder that exists."""
    above, name = os.path.split(folder)
    other = name.swapcase()
    if other == name:
        return os.path.normcase("A") == "a"
    try:
        return os.path.samefile(folder, os.path.join(above, other))
    except OSError:
        return False


def _may_replace(output):
    """Whether there is no file yet, or one that the same command wrote."""
    try:
        if not output.path.is_file() or output.path.stat().st_size == 0:
            return True
        return WROTE[output.kind](output.path, output.marks)
    except OSError:
        return False
