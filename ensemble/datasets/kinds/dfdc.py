"""The Deepfake Detection Challenge (Kaggle): the sample, the parts, the test set.

Dolhansky et al. (2020), The DeepFake Detection Challenge (DFDC) dataset. The label is
about the picture: where only the voice was changed a video is called real.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_models.limits import is_special
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import (
    below,
    below_root,
    entries,
    named,
    read_list,
    read_object,
    videos_in,
    what_is_in,
)

METADATA, LABELS = "metadata.json", "labels.csv"
_EXPECTED = '{"x.mp4": {"label": "FAKE" or "REAL", ...}}'
_PART = re.compile(r"dfdc_train_part_\d+", re.IGNORECASE)
_DEPTH = 3  # how far below the root a part may lie
_LABELS = {"REAL": 0, "FAKE": 1}


def fits(path: Path) -> bool:
    """Whether metadata.json files of its kind, or videos to be judged, lie in it."""
    if not path.is_dir():
        return False
    return any(
        _is_metadata(folder / METADATA) or _has_labels(folder) or _is_test(folder)
        for folder in below(path, 2)
    )


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List the videos of all parts below the root, those without a label as well."""
    records: list[VideoRecord] = []
    whole: list[Path] = []
    for folder in below(root, _DEPTH):
        n_before = len(records)
        if (folder / METADATA).is_file():
            records += _part(folder, root)
        elif _has_labels(folder):
            records += _judged(folder)
        elif _is_test(folder):
            records += [_unlabelled(path, "test") for path in videos_in(folder)]
        if len(records) > n_before:
            whole.append(folder)
    lost = list(_lost_parts(root, whole))
    if lost:
        raise ValueError(
            f"{lost[0]} has no {METADATA}, which says which of its videos are fake: "
            f"looked for it beside them, got {what_is_in(lost[0])}. Finish the "
            "download, or move the folder away"
            + (f" (as well as {named(lost[1:])})" if lost[1:] else "")
        )
    if not records:
        raise ValueError(
            f"{root} has no videos of DFDC: looked for a {METADATA} beside them, in "
            f"the folder itself or in parts such as dfdc_train_part_0, a {LABELS} with "
            f"filename,label, or test_videos; got {what_is_in(root)}"
        )
    return records


def _lost_parts(root: Path, whole: list[Path]) -> Iterator[Path]:
    """Yield parts of which nothing says what is fake.

    They are called as parts are, or have videos in them and lie beside one that is
    whole.
    """
    from base_models.video.paths import VIDEO_SUFFIXES

    beside = {part.parent for part in whole if part != root}
    in_whole = {*whole, *(above for part in whole for above in part.parents)}
    for folder in below(root, _DEPTH):
        if folder in in_whole or any(part in folder.parents for part in whole):
            continue
        if _PART.fullmatch(folder.name) or (
            folder.parent in beside
            and any(path.suffix.lower() in VIDEO_SUFFIXES for path in entries(folder))
        ):
            yield folder


def _part(folder: Path, root: Path) -> list[VideoRecord]:
    """One folder with its metadata.json; those that it does not name have no label."""
    path = folder / METADATA
    metadata = read_object(path, _EXPECTED)
    wrong = [name for name, entry in metadata.items() if _label(entry) is None]
    if wrong:
        raise ValueError(
            f"{path} must say {_EXPECTED} of each video; it does not of {named(wrong)}"
        )
    source = below_root(folder, root)
    source = folder.name if source in (".", str(folder)) else source
    records = []
    for name, entry in metadata.items():
        label, original = _label(entry), entry.get("original")
        if label == 0:
            original = None
        records.append(
            VideoRecord(
                str(folder / name),
                label,
                method="none" if label == 0 else None,
                split=entry.get("split"),
                original_id=original,
                source_ids=(original or name,),
                group=f"dfdc/{original or name}",
                source=source,
            )
        )
    unnamed = [path for path in videos_in(folder) if path.name not in metadata]
    return records + [_unlabelled(path, None) for path in unnamed]


def _label(entry: Any) -> int | None:
    """Return 0 or 1 for what metadata.json says of a video, None where nothing."""
    if not isinstance(entry, dict):
        return None
    if entry.get("is_fake") in (0, 1):  # as the full test set has it
        return int(entry["is_fake"])
    return _LABELS.get(str(entry.get("label")).upper())


def _judged(folder: Path) -> list[VideoRecord]:
    """The test set: names and labels in a table, the videos beside it or below."""
    table = read_list(folder / LABELS)
    if table.frame.empty:
        raise ValueError(
            f"{folder / LABELS} has no rows; expected one a video, such as abc.mp4,1, "
            "below filename,label. Fetch it again"
        )
    places = [folder, *(path for path in entries(folder) if path.is_dir())]
    records = []
    for name, label in zip(table.frame["filename"], table.frame["label"], strict=True):
        label = {"0": 0, "1": 1}.get(str(label), _LABELS.get(str(label).upper()))
        if label is None:
            raise ValueError(
                f"{table.name} must give a label 0 or 1 for each filename; it does not "
                f"for {name}"
            )
        found = (place / name for place in places if (place / name).exists())
        record = _unlabelled(next(found, folder / name), "test")
        record.label, record.method = label, "none" if label == 0 else None
        records.append(record)
    return records


def _unlabelled(path: Path, split: str | None) -> VideoRecord:
    return VideoRecord(
        str(path), split=split, source_ids=(path.name,), group=f"dfdc/{path.name}"
    )


def _is_metadata(path: Path) -> bool:
    """Whether a metadata.json begins as those of the data set do."""
    if is_special(path):
        return False
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            start = file.read(2000)
    except OSError:
        return False
    return start.lstrip().startswith("{") and (
        '"label"' in start or '"is_fake"' in start
    )


def _has_labels(folder: Path) -> bool:
    if is_special(folder / LABELS):
        return False
    try:
        first = (folder / LABELS).read_text("utf-8-sig").split("\n", 1)[0]
    except (OSError, UnicodeDecodeError):
        return False
    return {"filename", "label"} <= {name.strip() for name in first.split(",")}


def _is_test(folder: Path) -> bool:
    return folder.name == "test_videos"
