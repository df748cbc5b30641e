"""The preview of the Deepfake Detection Challenge: two methods, 66 actors.

Dolhansky et al. (2019), The Deepfake Detection Challenge (DFDC) preview dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import named, read_object, what_is_in

LIST = "dataset.json"
_ORIGINALS = "original_videos"
_EXPECTED = '{"method_A/.../x.mp4": {"label": "fake" or "real", "set": ...}}'
_LABELS = {"real": 0, "fake": 1}


def fits(path: Path) -> bool:
    """Whether its list lies in it, beside a folder of a method or of originals."""
    return (path / LIST).is_file() and any(
        (path / name).is_dir() for name in ("method_A", "method_B", _ORIGINALS)
    )


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List what dataset.json names; the group is the person who is seen."""
    if not (root / LIST).is_file():
        raise ValueError(
            f"{root} has no {LIST}: looked for it beside method_A, method_B and "
            f"{_ORIGINALS}; got {what_is_in(root)}"
        )
    listed = read_object(root / LIST, _EXPECTED)
    wrong = [name for name, entry in listed.items() if _label(entry) is None]
    if wrong:
        raise ValueError(
            f"{root / LIST} must say {_EXPECTED} of each video; it does not of "
            f"{named(wrong)}"
        )
    records = []
    for name, entry in listed.items():
        made_by, *between = Path(name).parent.parts or ("",)
        person = entry.get("target_id") or _person(between)
        if not made_by or not person:
            raise ValueError(
                f"{root / LIST} must name videos as <method>/<person>/.../<name>.mp4; "
                f"got {name!r}"
            )
        person = str(person)
        label = _label(entry)
        swapped = entry.get("swapped_id")
        records.append(
            VideoRecord(
                str(_place(root, name)),
                label,
                method="none" if label == 0 else made_by,
                split=entry.get("set"),
                source_ids=(person, str(swapped)) if swapped else (person,),
                group=f"dfdc_preview/{person}",
            )
        )
    return records


def _label(entry: Any) -> int | None:
    if not isinstance(entry, dict):
        return None
    return _LABELS.get(str(entry.get("label")).lower())


def _person(folders: list[str]) -> str | None:
    """Return who is seen: the first folder below that of the method, or None."""
    people = [folder for folder in folders if folder != "videos"]
    return people[0].split("_")[0] if people else None


def _place(root: Path, name: str) -> Path:
    """Return where a listed video lies; the list may leave the folder videos out."""
    first, *rest = Path(name).parts
    inserted = root.joinpath(first, "videos", *rest)
    return inserted if not (root / name).exists() and inserted.exists() else root / name
