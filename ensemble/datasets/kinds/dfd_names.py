"""What the names of DeepFakeDetection's videos say: actors, scene, who is whose."""

import re
from pathlib import Path

from ensemble.datasets.kinds.base import VideoRecord

_ORIGINAL = re.compile(r"(?P<target>\d\d)__(?P<scene>[A-Za-z0-9_]+)")
_FAKE = re.compile(
    r"(?P<target>\d\d)_(?P<source>\d\d)__(?P<scene>[A-Za-z0-9_]+)__[A-Za-z0-9]{8}"
)


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
