"""KoDF (AI-Hub): Korean speakers, five ways of forging, metadata in Korean tables.

Kwon et al. (2021), KoDF: A large-scale Korean DeepFake detection dataset, ICCV.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import below, entries, named, read_list, videos_in

if TYPE_CHECKING:
    import pandas as pd

_REAL, _FAKE = "원본영상", "변조영상"  # original videos, forged videos
_METADATA = "메타데이터"
_SPLITS = {"training": "train", "validation": "val", "test": "test"}
_VIDEO, _TARGET, _METHOD = "영상ID", "타겟영상", "변조모델"
_PEOPLE = ("인물ID", "피사체ID", "화자ID", "person_id")
_DEPTH = 4


def fits(path: Path) -> bool:
    """Whether its tables lie in it."""
    return path.is_dir() and bool(_tables(path, 1))


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List what the tables name; the group is the person, else the target video."""
    tables = _tables(root, _DEPTH)
    if not tables:
        raise ValueError(
            f"{root} has no tables of KoDF: looked for "
            f"{_REAL}_training_{_METADATA}.csv and "
            f"{_FAKE}_training_{_METADATA}.csv (or validation); got "
            f"{named(path.name for path in entries(root)) or 'nothing'}"
        )
    places = {
        key: video
        for folder in below(root, _DEPTH)
        for video in videos_in(folder)
        for key in (_nfc(video.name), _nfc(video.stem))
    }
    records: list[VideoRecord] = []
    person_of: dict[str, str] = {}
    for path, is_fake, split in sorted(tables, key=lambda table: table[1]):
        frame = _read_table(path, is_fake, encoding)
        person = next((name for name in _PEOPLE if name in frame), None)
        for row in frame.to_dict("records"):
            name = row[_VIDEO]
            target = row[_TARGET] if is_fake else name
            who = row[person] if person else None
            if who and not is_fake:
                person_of[_stem(name)] = who
            who = who or person_of.get(_stem(target)) or _stem(target)
            records.append(
                VideoRecord(
                    str(places.get(name) or places.get(_stem(name)) or root / name),
                    int(is_fake),
                    method=row[_METHOD] if is_fake else "none",
                    split=split,
                    original_id=target if is_fake else None,
                    source_ids=(_stem(target),),
                    group=f"kodf/{who}",
                )
            )
    return records


def _tables(root: Path, depth: int) -> list[tuple[Path, bool, str]]:
    """Return (path, whether it lists fakes, split) of the tables below a root."""
    found = []
    for folder in below(root, depth):
        for path in entries(folder):
            name = _nfc(path.stem)
            kind = next(
                (kind for kind in (_REAL, _FAKE) if name.startswith(kind)), None
            )
            split = next((s for word, s in _SPLITS.items() if word in name), None)
            if kind and split and path.suffix.lower() == ".csv":
                found.append((path, kind == _FAKE, split))
    return found


def _read_table(path: Path, is_fake: bool, encoding: str | None) -> pd.DataFrame:
    """Read a table in UTF-8 or in the encoding of Korean Windows."""
    if encoding is None:
        try:
            path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            encoding = "cp949"
    frame = read_list(path, encoding).frame
    frame.columns = [_nfc(str(name)) for name in frame.columns]
    needed = [_VIDEO, _TARGET, _METHOD] if is_fake else [_VIDEO]
    missing = [name for name in needed if name not in frame]
    if missing:
        raise ValueError(
            f"{path} must have the columns {', '.join(needed)}; {', '.join(missing)} "
            f"missing, got {', '.join(frame.columns)}"
        )
    if frame.empty:
        raise ValueError(
            f"{path} has no rows; expected one a video below the names of the columns. "
            "Fetch it again, or remove it"
        )
    return frame.map(lambda text: _nfc(str(text)).strip())


def _stem(name: str) -> str:
    return Path(name).stem if Path(name).suffix.lower() in (".mp4", ".avi") else name


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
