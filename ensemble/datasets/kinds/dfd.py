"""DeepFakeDetection (Google and Jigsaw): 28 actors, no official split.

Every actor is a source of fakes of others, so that all of them are linked: the group is
the target's actor, and how many videos show an actor of another group is said.
"""

import re
import warnings
from pathlib import Path

from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import (
    COMPRESSIONS,
    below,
    entries,
    videos_in,
    what_is_in,
)

_ORIGINAL = re.compile(r"(?P<target>\d\d)__(?P<scene>[A-Za-z0-9_]+)")
_FAKE = re.compile(
    r"(?P<target>\d\d)_(?P<source>\d\d)__(?P<scene>[A-Za-z0-9_]+)__[A-Za-z0-9]{8}"
)
_DEPTH = 4


def fits(path: Path) -> bool:
    """Whether fakes that are called like its own lie in it."""
    return any(
        is_fake_of_dfd(entry) for folder in below(path, 2) for entry in entries(folder)
    )


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List originals and fakes anywhere below, as in a tree of FaceForensics++."""
    records = []
    for folder in below(root, _DEPTH):
        beside = folder.name in ("images", "frames") and folder.with_name("videos")
        if folder.name == "masks" or (beside and videos_in(beside)):
            continue
        level = next((p for p in reversed(folder.parts) if p in COMPRESSIONS), "")
        for video in filter(is_dfd, videos_in(folder)):
            record = dfd_record(video, is_fake_of_dfd(video))
            record.compression = COMPRESSIONS.get(level)
            records.append(record)
    if not records:
        raise ValueError(
            f"{root} has no videos of DeepFakeDetection: looked for originals such as "
            "01__exit_phone_room.mp4 and fakes such as "
            f"01_02__exit_phone_room__YVGY8LOK.mp4; got {what_is_in(root)}"
        )
    targets = {record.source_ids[0] for record in records}
    crossing = [r for r in records if targets & set(r.source_ids[1:])]
    if crossing:
        warnings.warn(
            f"{len(crossing)} of {len(records)} videos of DeepFakeDetection were made "
            "with the face of an actor whose own videos are in another group: scores "
            "may be optimistic. Splits without that take some actors and drop the "
            "fakes between both sides (source_ids)",
            stacklevel=4,
        )
    return records


def is_dfd(path: Path) -> bool:
    """Whether a file is called as those of the data set are.

    Examples
    --------
    >>> is_dfd(Path("01__exit_phone_room.mp4")), is_dfd(Path("000_003.mp4"))
    (True, False)
    """
    return bool(_FAKE.fullmatch(path.stem) or _ORIGINAL.fullmatch(path.stem))


def is_fake_of_dfd(path: Path) -> bool:
    """Whether a file is called as the fakes of the data set are."""
    return _FAKE.fullmatch(path.stem) is not None


def dfd_record(path: Path, is_fake: bool) -> VideoRecord:
    """Describe one of its videos; the group is the target actor.

    Parameters
    ----------
    path : Path
    is_fake : bool

    Returns
    -------
    VideoRecord

    Examples
    --------
    >>> record = dfd_record(Path("01_02__exit_phone_room__YVGY8LOK.mp4"), True)
    >>> record.group, record.original_id, record.source_ids
    ('dfd/01', '01__exit_phone_room', ('01', '02'))
    """
    match = (_FAKE if is_fake else _ORIGINAL).fullmatch(path.stem)
    if match is None:
        pattern = "<target>_<source>__<scene>__<8 characters>"
        raise ValueError(
            f"{path} is not called {pattern if is_fake else '<actor>__<scene>'}, as "
            f"{'fakes' if is_fake else 'originals'} of DeepFakeDetection are; take it "
            "out of the folder, or name it so"
        )
    target, scene = match["target"], match["scene"]
    return VideoRecord(
        str(path),
        int(is_fake),
        method="DeepFakeDetection" if is_fake else "none",
        original_id=f"{target}__{scene}" if is_fake else None,
        source_ids=(target, match["source"]) if is_fake else (target,),
        group=f"dfd/{target}",
        source=None if is_fake else "actors",
        dataset="dfd",
    )
