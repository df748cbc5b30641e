"""The folder of a batch run: its manifest, its parts, and notes of what is begun."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.addresses import public_name, remote_address
from base_models.batch.input_table import need_pyarrow
from base_models.limits import check_file
from base_models.runtime.ending.folder_lock import locked_folder
from base_models.runtime.ending.unfinished import is_unfinished
from base_models.runtime.file_writing import check_no_way_out, write_bytes
from base_models.runtime.remote.filesystems import file_system

if TYPE_CHECKING:
    import pyarrow

MANIFEST = "_manifest.json"
FORMAT = "deepfake-ensemble batch 1"
_ATTEMPTS = "_attempts"
_LOCK = "_lock"
_ALONE = "_alone"
_PART = re.compile(r"part-\d{6,}\.parquet")
_OURS = "deepfake-ensemble"  # of the metadata of a part


@dataclass(frozen=True)
class OutputFolder:
    """Where the parts of a batch run are written, on this machine or at an address.

    A part is written whole or not at all: to a hidden name that is renamed then; at an
    address as one object. Names that begin with ``_`` are no data to pandas, Spark and
    others, which read the folder as one table.

    Parameters
    ----------
    path : str
        In full, or an address that fsspec knows.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from base_models.batch.output_folder import OutputFolder
    >>> place = tempfile.TemporaryDirectory()
    >>> folder = OutputFolder(place.name)
    >>> table = pa.table({"row": [0, 1]})
    >>> folder.write_part(0, table, {"counts": {"scored": 2}}, "run 7")
    >>> folder.part_note(0, 2, "run 7"), folder.part_note(0, 3, "run 7")
    ({'counts': {'scored': 2}}, None)
    >>> place.cleanup()
    """

    path: str

    @cached_property
    def _place(self):
        """Return (None, folder), or the file system and the folder in it."""
        if remote_address(self.path) is None:
            return None, self.path
        return file_system(self.path)

    def names(self) -> list[str]:
        """Return what lies in the folder, hidden files too."""
        filesystem, place = self._place
        if filesystem is None:
            if os.path.exists(place) and not os.path.isdir(place):
                raise NotADirectoryError(
                    f"{place} is a file; give the name of a folder for the parts"
                )
            return sorted(os.listdir(place)) if os.path.isdir(place) else []
        filesystem.invalidate_cache()
        if not filesystem.exists(place):
            return []
        found = filesystem.ls(place, detail=False)
        names = [name.rstrip("/").rpartition("/")[2] for name in found]
        own = place.rstrip("/").rpartition("/")[2]
        return sorted(name for name in names if name not in ("", own))

    def _read(self, name: str) -> bytes | None:
        filesystem, place = self._place
        path = f"{place.rstrip('/')}/{name}"
        try:
            if filesystem is None:
                check_file(path)
                return Path(path).read_bytes()
            return filesystem.cat_file(path)
        except FileNotFoundError:
            return None

    def _write(self, name: str, content: bytes) -> None:
        filesystem, place = self._place
        path = f"{place.rstrip('/')}/{name}"
        if filesystem is None:
            write_bytes(path, content)
            return
        filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(path, content)

    def _delete(self, name: str) -> None:
        filesystem, place = self._place
        path = f"{place.rstrip('/')}/{name}"
        with contextlib.suppress(FileNotFoundError):
            if filesystem is None:
                os.unlink(path)
            else:
                filesystem.rm_file(path)

    def manifest(self) -> dict[str, Any] | None:
        """Return the manifest of the run there; None where there is none."""
        content = self._read(MANIFEST)
        try:
            known = json.loads(content) if content else None
        except (ValueError, RecursionError):
            return None
        is_ours = isinstance(known, dict) and known.get("format") == FORMAT
        return known if is_ours else None

    def check(self, manifest: dict[str, Any], overwrite: bool = False) -> None:
        """Refuse a folder that holds anything but this run, before it is touched.

        Parameters
        ----------
        manifest : dict
        overwrite : bool, default=False
            Whether another run may be there.

        Raises
        ------
        ValueError
            Saying what differs, or what else is in the folder: without a run anything,
            with one a table that is named as a part and was not written as one.
        FileExistsError
            If links in it lead out of it.
        """
        filesystem, place = self._place
        if filesystem is None:
            check_no_way_out(place)
        names, known = self.names(), self.manifest()
        if known is None:
            others = [n for n in names if n != _LOCK and not is_unfinished(n)]
            if others:
                raise ValueError(
                    f"{public_name(self.path)} holds {others[0]!r} and no run of this "
                    "command; give a folder that is empty or new"
                )
        elif known != manifest and not overwrite:
            is_other = known.get("model") != manifest.get("model")
            hint = " (an object that changed while it worked counts as another: make "
            raise ValueError(
                f"{public_name(self.path)} holds parts of another run: "
                f"{_difference(known, manifest)}"
                f"{hint + 'it as it was)' if is_other else ''}. Give another folder, "
                "or overwrite=True to delete them"
            )
        for name in filter(_PART.fullmatch, names):
            self._check_ours(name)

    def _described(self, name: str) -> pyarrow.parquet.FileMetaData:
        """Return what the end of a part says of it."""
        import pyarrow.parquet

        filesystem, place = self._place
        path = f"{place.rstrip('/')}/{name}"
        if filesystem is None:
            check_file(path)
        return pyarrow.parquet.read_metadata(path, filesystem=filesystem)

    def _check_ours(self, name: str) -> None:
        """Refuse a table of somebody else's that has the name of a part."""
        import pyarrow

        try:
            found = self._described(name)
        except (OSError, pyarrow.ArrowException):  # damaged: it is done again
            return
        if _OURS.encode() not in (found.metadata or {}):
            raise ValueError(
                f"{public_name(self.path)} holds {name!r}, a table that this command "
                "did not write; move it elsewhere, since a part has that name"
            )

    def begin(self, manifest: dict[str, Any], overwrite: bool = False) -> None:
        """Write the manifest, or find the same one there.

        Parameters
        ----------
        manifest, overwrite
            As for `check`. Parts of another run are deleted, and nothing else.
        """
        self.check(manifest, overwrite)
        if self.manifest() == manifest:
            return
        for name in self.names():
            if _PART.fullmatch(name):
                self._delete(name)
        for number in self.attempts():
            self.note(number, None)
        self._write(MANIFEST, json.dumps(manifest, indent=1).encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of a folder on this machine, or a shared disk.

        At an address nothing does: runs side by side write the same content there.
        """
        filesystem, place = self._place
        if filesystem is not None:
            yield
            return
        with locked_folder(self.path, os.path.join(place, _LOCK)):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody else of the run is in such a block.

        Two suspects that are tried side by side in one process, or on machines that
        end together, would both have ended it. At an address nobody waits.
        """
        filesystem, place = self._place
        if filesystem is not None:
            yield
            return
        check_file(os.path.join(place, _ALONE))
        with open(os.path.join(place, _ALONE), "ab") as file:
            # Windows has no such module, some file systems have no locks.
            with contextlib.suppress(ImportError, OSError):
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def part_note(self, number: int, n_rows: int, run: str) -> dict[str, Any] | None:
        """Return what is noted of a part that is there and whole; None if it is not.

        Parameters
        ----------
        number : int
        n_rows : int
            That it must have.
        run : str
            That it must be of.
        """
        try:
            found = self._described(part_name(number))
            noted = json.loads((found.metadata or {})[_OURS.encode()])
        except (OSError, ValueError, KeyError, RecursionError):
            return None
        if found.num_rows != n_rows or not _is_note(noted, n_rows):
            return None
        return noted if noted.pop("run") == run else None

    def column(self, number: int, name: str) -> list[Any]:
        """Return the values of one column of a part that is there."""
        import pyarrow.parquet

        filesystem, place = self._place
        path = f"{place.rstrip('/')}/{part_name(number)}"
        if filesystem is None:
            check_file(path)
        content = filesystem.open(path) if filesystem else path
        return pyarrow.parquet.read_table(content, columns=[name])[name].to_pylist()

    def write_part(
        self, number: int, table: pyarrow.Table, note: dict[str, Any], run: str
    ) -> None:
        """Write a part, whole or not at all.

        Parameters
        ----------
        number : int
        table : pyarrow.Table
        note : dict
            What to say of it, kept in the file.
        run : str
            What the run is known by.
        """
        need_pyarrow()
        import pyarrow
        import pyarrow.parquet

        noted = json.dumps({**note, "run": run})
        table = table.replace_schema_metadata({_OURS: noted})
        content = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(table, content)
        if self._place[0] is None and os.path.lexists(
            os.path.join(self.path, part_name(number))
        ):
            self._check_ours(part_name(number))  # it may have come since `check`
        self._write(part_name(number), content.getvalue().to_pybytes())

    def drop_part(self, number: int) -> None:
        """Delete a part, so that it is done again."""
        self._delete(part_name(number))

    def attempt(self, number: int) -> dict[str, int] | None:
        """Return the note of a part that was begun and not ended.

        Returns
        -------
        dict of str to int, or None
            By place of a video in the part: how often it was begun by itself. Empty
            where the part was begun as a whole.
        """
        content = self._read(f"{_ATTEMPTS}/{part_name(number)}.json")
        if content is None:
            return None
        try:
            noted = json.loads(content)
        except (ValueError, RecursionError):  # cut short: it was begun
            return {}
        is_whole = isinstance(noted, dict) and all(map(_is_count, noted.values()))
        return noted if is_whole else {}

    def note(self, number: int, attempt: dict[str, int] | None) -> None:
        """Note that a part is begun, or with None that it is not under way any more."""
        name = f"{_ATTEMPTS}/{part_name(number)}.json"
        if attempt is None:
            self._delete(name)
        else:
            self._write(name, json.dumps(attempt).encode())

    def attempts(self) -> list[int]:
        """Return the numbers of parts that have such a note."""
        found = OutputFolder(f"{self.path.rstrip('/')}/{_ATTEMPTS}").names()
        numbers = (re.fullmatch(r"part-(\d+)\.parquet\.json", name) for name in found)
        return sorted(int(number[1]) for number in numbers if number)


def part_name(number: int) -> str:
    """Return the file name of a part.

    Examples
    --------
    >>> from base_models.batch.output_folder import part_name
    >>> part_name(7)
    'part-000007.parquet'
    """
    return f"part-{number:06d}.parquet"


def _is_note(noted, n_rows):
    """Whether what a part says of itself is what `write_part` writes."""
    if not isinstance(noted, dict) or not isinstance(noted.get("counts"), dict):
        return False
    marks = noted.get("videos", [None] * n_rows)
    return (
        "run" in noted
        and all(map(_is_count, noted["counts"].values()))
        and isinstance(marks, list)
        and len(marks) == n_rows
        and all(mark is None or isinstance(mark, str) for mark in marks)
    )


def _is_count(value):
    return isinstance(value, int) and value >= 0


def _difference(known, manifest):
    found = []
    for name, value in manifest.items():
        other = known.get(name)
        if isinstance(value, dict) and isinstance(other, dict):  # what of it differs
            differ = [k for k in {**other, **value} if other.get(k) != value.get(k)]
            other = {key: other.get(key) for key in differ}
            value = {key: value.get(key) for key in differ}
        if other != value:
            found.append(f"{name} was {_short(other)}, is {_short(value)}")
    return "; ".join(found)


def _short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
