"""DeepFakeDetection (Google and Jigsaw): 28 actors, no official split.

Every actor is a source of fakes of others, so that all of them are linked: the group is
the target's actor, and how many videos show an actor of another group is said.
"""

import itertools
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import (
    COMPRESSIONS,
    below,
    entries,
    named,
    videos_in,
    what_is_in,
)

_ORIGINAL = re.compile(r"(?P<target>\d\d)__(?P<scene>[A-Za-z0-9_]+)")
_FAKE = re.compile(
    r"(?P<target>\d\d)_(?P<source>\d\d)__(?P<scene>[A-Za-z0-9_]+)__[A-Za-z0-9]{8}"
)
_ORIGINAL_PATTERN = "<actor>__<scene>"
_FAKE_PATTERN = "<target>_<source>__<scene>__<8 characters>"
_OF_A_TREE = {
    "original_sequences": "actors",
    "manipulated_sequences": "DeepFakeDetection",
}
_DEPTH = 4


def fits(path: Path) -> bool:
    """Whether fakes that are called like its own lie in it."""
    return any(
        is_fake_of_dfd(entry) for folder in below(path, 2) for entry in entries(folder)
    )


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List originals and fakes anywhere below, as in a tree of FaceForensics++."""
    records, unnamed = [], []
    for folder in below(root, _DEPTH):
        beside = folder.name in ("images", "frames") and folder.with_name("videos")
        if folder.name == "masks" or (beside and videos_in(beside)):
            continue
        level = next((p for p in reversed(folder.parts) if p in COMPRESSIONS), "")
        videos = videos_in(folder)
        unnamed += [] if _is_of_faceforensics(folder) else _unnamed(videos)
        for video in filter(is_dfd, videos):
            record = dfd_record(video, is_fake_of_dfd(video))
            record.compression = COMPRESSIONS.get(level)
            records.append(record)
    if not records:
        raise ValueError(
            f"{root} has no videos of DeepFakeDetection: looked for originals such as "
            "01__exit_phone_room.mp4 and fakes such as "
            f"01_02__exit_phone_room__YVGY8LOK.mp4; got {what_is_in(root)}"
        )
    if unnamed:
        raise ValueError(
            f"{root} has {len(unnamed)} videos that are called neither "
            f"{_ORIGINAL_PATTERN} nor {_FAKE_PATTERN}, as those of DeepFakeDetection "
            f"are: {named(unnamed)}. Take them out of the folder, or name them so"
        )
    warn_of_sources(records, stacklevel=5)
    return records


def warn_of_sources(records: Sequence[VideoRecord], stacklevel: int) -> None:
    """Say how many fakes show an actor whose own videos are in another group."""
    targets = {record.source_ids[0] for record in records}
    crossing = [r for r in records if targets & set(r.source_ids[1:])]
    if crossing:
        warnings.warn(
            f"{len(crossing)} of {len(records)} videos of DeepFakeDetection were made "
            "with the face of an actor whose own videos are in another group: scores "
            "may be optimistic. Splits without that take some actors and drop the "
            "fakes between both sides (source_ids)",
            DeepfakeEnsembleWarning,
            stacklevel=stacklevel,
        )


def _unnamed(videos: list[Path]) -> list[Path]:
    """Return videos that are not called as those of the data set; no lone images.

    A folder of frames is a video where it lies beside folders that are called so.
    """
    from base_models.video.paths import IMAGE_SUFFIXES, VIDEO_SUFFIXES

    files = [path for path in videos if path.suffix.lower() in VIDEO_SUFFIXES]
    others = set(videos) - set(files)
    are_frames = [p for p in others if p.suffix.lower() not in IMAGE_SUFFIXES]
    if any(map(is_dfd, are_frames)):
        files += are_frames
    return sorted(path for path in files if not is_dfd(path))


def _is_of_faceforensics(folder: Path) -> bool:
    """Whether a folder is one of other videos in a tree of FaceForensics++."""
    pairs = itertools.pairwise(folder.parts)
    return any(top in _OF_A_TREE and part != _OF_A_TREE[top] for top, part in pairs)


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
        pattern = _FAKE_PATTERN if is_fake else _ORIGINAL_PATTERN
        raise ValueError(
            f"{path} is not called {pattern}, as "
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
