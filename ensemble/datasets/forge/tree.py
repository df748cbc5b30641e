"""The tree that `forge_dataset` writes: FaceForensics++'s, with masks and a manifest.

Beside videos, splits, ``people.json`` and ``manifest.json`` it has a folder ``.forge``
with what lets an interrupted run go on: the landmarks that were found, and a record of
each pair that is done.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from base_models.runtime.ending.unfinished import remove_all_dead
from base_models.runtime.file_digest import file_sha256
from base_models.runtime.file_writing import read_record, write_text
from ensemble.choices import FORGERIES
from ensemble.datasets.forge.delivery import CRF
from ensemble.datasets.forge.folder import RECIPE, WORK, was_begun, write_recipe
from ensemble.datasets.kinds.faceforensics import (
    LISTS,
    MANIPULATED,
    ORIGINALS,
    PEOPLE,
)

MANIFEST = "manifest.json"
_LEVEL = "|".join(CRF)
_OURS = re.compile(
    rf"{RECIPE}|{MANIFEST}|{PEOPLE}|{re.escape(WORK)}/.*|(.*/)?\.unfinished-.*"
    rf"|splits/({'|'.join(LISTS)})\.json"
    rf"|{ORIGINALS}/youtube/({_LEVEL})/videos/\d{{3,}}\.mp4"
    rf"|{MANIPULATED}/({'|'.join(FORGERIES)})/({_LEVEL}|masks)/videos/"
    r"\d{3,}_\d{3,}\.mp4"
)


class ForgedTree:
    """A data set that is being forged, or has been.

    Parameters
    ----------
    root : Path
    recipe : dict
        All that decides what is written; as JSON gives it back.
    """

    def __init__(self, root: Path, recipe: Mapping[str, Any]) -> None:
        self.root = root
        self.recipe = recipe

    @property
    def landmarks(self) -> Path:
        """Folder of the landmarks that were found."""
        return self.root / WORK / "landmarks"

    def check(self) -> None:
        """Refuse a folder that holds anything else, by its recipe or beside it.

        Raises
        ------
        FileExistsError
        """
        if not was_begun(self.root, self.recipe):
            return
        for folder, _, names in os.walk(self.root):
            for name in sorted(names):
                path = (Path(folder) / name).relative_to(self.root).as_posix()
                if not _OURS.fullmatch(path):
                    raise FileExistsError(
                        f"{self.root} holds {path}, which the forge did not write; "
                        "take it out or choose another folder"
                    )

    def is_whole(self) -> bool:
        """Whether all that the manifest names is there."""
        try:
            manifest = read_record(self.root / MANIFEST, "files")
        except FileNotFoundError:
            return False
        return self._are_there(manifest["files"])

    def begin(self) -> None:
        """Say what the folder will hold; what an interrupted run left half goes."""
        self.root.mkdir(parents=True, exist_ok=True)
        folders = {path.parent for path in self.root.rglob(".unfinished-*")}
        for folder in folders:
            remove_all_dead(folder, folder.stat().st_mtime)
        (self.root / MANIFEST).unlink(missing_ok=True)
        write_recipe(self.root, self.recipe)

    def files_of(
        self, crfs: Mapping[str, int], target: str, method: str = "", source: str = ""
    ) -> dict[Path, int]:
        """Files of an original, or of a fake, and the rate factor of each."""
        return {
            self.root / _place(level, target, method, source): crf
            for level, crf in crfs.items()
        }

    def mask_of(self, target: str, method: str, source: str) -> Path:
        """File of the mask of a fake."""
        return self.root / _place("masks", target, method, source)

    def entry(self, path: Path, **more: Any) -> dict[str, Any]:
        """What manifest and record say of a file that has been written."""
        return {
            "path": path.relative_to(self.root).as_posix(),
            **more,
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
        }

    def keep_record(self, people: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Say that a pair is done.

        Parameters
        ----------
        people : dict of str to dict
            Who the two are.
        record : dict
            With ``files``, the entries of what was written.
        """
        text = json.dumps({"people": dict(people), **record}, indent=1)
        write_text(self._record_of(people), text + "\n")

    def record(self, people: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record of a pair; None where it is not done, or files are lost."""
        try:
            record = read_record(self._record_of(people), "people", "left_out", "files")
        except FileNotFoundError:
            return None
        if record["people"] != people or not self._are_there(record["files"]):
            return None
        return dict(record)

    def finish(
        self,
        records: Sequence[Mapping[str, Any]],
        splits: Mapping[str, Iterable[tuple[str, str]]],
        made_by: str,
    ) -> None:
        """Write splits, people and, last of all, the manifest.

        Parameters
        ----------
        records : list of dict
            Of all pairs, in order.
        splits : dict of str to list of pairs of ids
            For train, val and test.
        made_by : str
        """
        for videos in list(self.root.glob(f"{MANIPULATED}/*/*/videos")):
            if not any(videos.iterdir()):  # no fake of this method and level is left
                videos.rmdir()
                videos.parent.rmdir()
        for method in list(self.root.glob(f"{MANIPULATED}/*")):
            if not any(method.iterdir()):
                method.rmdir()
        people = {name: one for r in records for name, one in r["people"].items()}
        for name, pairs in splits.items():
            _write_json(self.root / "splits" / f"{name}.json", list(map(list, pairs)))
        persons = {name: one["person"] for name, one in people.items()}
        _write_json(self.root / PEOPLE, persons)
        manifest = {
            "note": "All files are synthetic samples, made for tests and augmentation.",
            "made_by": made_by,
            "recipe": self.recipe,
            "people": people,
            "left_out": [text for record in records for text in record["left_out"]],
            "files": [entry for record in records for entry in record["files"]],
        }
        _write_json(self.root / MANIFEST, manifest)

    def _record_of(self, people):
        return self.root / WORK / "pairs" / f"{'_'.join(people)}.json"

    def _are_there(self, entries):
        try:
            return all(
                (self.root / entry["path"]).stat().st_size == entry["bytes"]
                for entry in entries
            )
        except (OSError, LookupError, TypeError, ValueError):  # lost, or no entries
            return False


def _place(level, target, method, source):
    if not method:
        return f"{ORIGINALS}/youtube/{level}/videos/{target}.mp4"
    return f"{MANIPULATED}/{method}/{level}/videos/{target}_{source}.mp4"


def _write_json(path, content):
    write_text(path, json.dumps(content, indent=1) + "\n")
