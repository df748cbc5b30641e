"""The folder that the forge writes: one that holds anything else is refused."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from base_models.runtime.ending.folder_lock import locked_folder
from base_models.runtime.ending.unfinished import is_unfinished
from base_models.runtime.file_writing import check_no_way_out, read_record, write_text

RECIPE = "forge.json"
WORK = ".forge"


def check_apart(out_dir: str | Path, folders: Iterable[str | Path]) -> None:
    """Refuse a folder among the sources, where fakes would be taken for real videos.

    Parameters
    ----------
    out_dir : str or Path
    folders : iterable of str or Path
        Those in which sources lie.

    Raises
    ------
    ValueError
        If one of them is the folder to write, holds it, or lies in it.
    """
    inside = Path(os.path.realpath(out_dir))
    for folder in dict.fromkeys(map(os.fspath, folders)):
        top = Path(os.path.realpath(folder))
        if top == inside or top in inside.parents:
            raise ValueError(
                f"out {out_dir} lies in the folder of the sources, {folder}, where its "
                "files would be taken for sources; choose another folder"
            )
        if inside in top.parents:
            raise ValueError(
                f"out {out_dir} holds the folder of the sources, {folder}; choose "
                "another folder"
            )


@contextlib.contextmanager
def alone_in(out_dir: Path) -> Iterator[None]:
    """Keep other runs out of a folder while it is filled.

    Parameters
    ----------
    out_dir : Path

    Raises
    ------
    ValueError
        If another run is writing into it.
    """
    with locked_folder(out_dir, out_dir / WORK / "lock"):
        yield


def was_begun(out_dir: Path, recipe: Mapping[str, Any]) -> bool:
    """Whether the folder holds the set of this recipe, or a part of it.

    Parameters
    ----------
    out_dir : Path
    recipe : dict
        All that decides what is written; as JSON gives it back.

    Returns
    -------
    bool
        False for a folder that is new or empty.

    Raises
    ------
    FileExistsError
        If it holds anything else, or links that lead out of it.
    """
    check_no_way_out(out_dir)
    names = [p.name for p in out_dir.iterdir()] if out_dir.exists() else []
    if all(is_unfinished(name) or name == WORK for name in names):
        return False
    if not (out_dir / RECIPE).exists():
        raise FileExistsError(
            f"{out_dir} is not empty and was not made by the forge; choose another "
            "out_dir"
        )
    before = read_record(out_dir / RECIPE)
    changed = [key for key in recipe if before.get(key) != recipe[key]]
    if changed:
        raise FileExistsError(
            f"{out_dir} holds clips that were forged with another "
            f"{', '.join(changed)} (see {RECIPE} there); delete it or choose another "
            "out_dir"
        )
    return True


def write_recipe(out_dir: Path, recipe: Mapping[str, Any]) -> None:
    """Say what the folder will hold."""
    write_text(out_dir / RECIPE, json.dumps(recipe, indent=1) + "\n")
