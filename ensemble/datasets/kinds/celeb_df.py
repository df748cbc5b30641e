"""Celeb-DF, first and second version: celebrities whose faces were swapped pairwise.

Li et al. (2020), Celeb-DF: A large-scale challenging dataset for DeepFake forensics,
CVPR. In its list of test videos 1 means real.
"""

import re
from pathlib import Path

from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.files import (
    folders,
    named,
    read_text,
    videos_in,
    what_is_in,
)

LIST = "List_of_testing_videos.txt"
_REAL, _YOUTUBE, _FAKE = "Celeb-real", "YouTube-real", "Celeb-synthesis"
_FOLDERS = {name.lower(): name for name in (_REAL, _YOUTUBE, _FAKE)}
_ORIGINAL_NAME = re.compile(r"(id\d+)_(\d+)")
_FAKE_NAME = re.compile(r"(id\d+)_(id\d+)_(\d+)")


def fits(path: Path) -> bool:
    """Whether two or more of its three folders lie in it."""
    return path.is_dir() and len(_folders_of(path)) > 1


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List the videos; those of the list are the test set, the others are to train."""
    found = _folders_of(root)
    if not found:
        raise ValueError(
            f"{root} has no videos of Celeb-DF: looked for {_REAL}, {_YOUTUBE} and "
            f"{_FAKE}; got {what_is_in(root)}"
        )
    listed = _test_list(root)
    records = []
    for name, folder in found.items():
        videos = videos_in(folder / "videos") or [
            video for video in videos_in(folder) if video.name != "videos"
        ]
        if not videos:
            raise ValueError(
                f"{folder} has no videos: looked for them in it and in videos/, got "
                f"{what_is_in(folder)}. Finish the download, or remove the folder"
            )
        for video in videos:
            record = celeb_record(video, name)
            if listed is not None:
                is_test = listed.pop(_key(name, video.stem), None) is not None
                record.split = "test" if is_test else "train"
            records.append(record)
    for name, stem in listed or ():  # what is not there is missed by its path
        if name in found:
            record = celeb_record(found[name] / f"{stem}.mp4", name)
            record.split = "test"
            records.append(record)
    return records


def celeb_record(video: Path, folder: str) -> VideoRecord:
    """Describe one of its videos; the group is the target, or a YouTube video itself.

    Parameters
    ----------
    video : Path
    folder : str
        Celeb-real, YouTube-real or Celeb-synthesis.

    Returns
    -------
    VideoRecord

    Examples
    --------
    >>> record = celeb_record(Path("id0_id16_0002.mp4"), "Celeb-synthesis")
    >>> record.group, record.original_id, record.source_ids
    ('celeb_df/id0', 'id0_0002', ('id0', 'id16'))
    """
    label = int(folder == _FAKE)
    record = VideoRecord(
        str(video), label, method=folder if label else "none", source=folder
    )
    if folder == _YOUTUBE:
        record.source_ids = (f"youtube {video.stem}",)
        record.group = f"celeb_df/youtube {video.stem}"
        return record
    match = (_FAKE_NAME if label else _ORIGINAL_NAME).fullmatch(video.stem)
    if match is None:
        pattern = "id<target>_id<source>_<number>" if label else "id<person>_<number>"
        raise ValueError(
            f"{video} is not called {pattern}, as videos in {folder} are; take it out "
            "of the folder, or name it so"
        )
    record.source_ids = match.groups()[:-1]
    record.group = f"celeb_df/{match[1]}"
    if label:
        record.original_id = f"{match[1]}_{match[3]}"
        record.source = None
    return record


def folder_of(path: Path) -> str | None:
    """Return in which of its folders a video lies, as the authors call it, or None."""
    parts = (part.lower() for part in path.parts)
    return next((_FOLDERS[part] for part in parts if part in _FOLDERS), None)


def _folders_of(root: Path) -> dict[str, Path]:
    """Return its folders by the name that the authors use."""
    return {
        _FOLDERS[folder.name.lower()]: folder
        for folder in folders(root)
        if folder.name.lower() in _FOLDERS
    }


def _key(folder: str, stem: str) -> tuple[str, str]:
    return _FOLDERS.get(folder.lower(), folder), stem


def _test_list(root: Path) -> dict[tuple[str, str], str] | None:
    """Return folder and name of the test videos; None where there is no list.

    A line is ``<1 or 0> <folder>/<file>``, without a header, and 1 is real.
    """
    path = root / LIST
    if not path.is_file():
        return None
    found: dict[tuple[str, str], str] = {}
    lines = read_text(path).splitlines()
    wrong = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        flag, _, name = line.strip().partition(" ")
        parts = Path(name.strip()).parts
        if flag not in ("0", "1") or len(parts) < 2 or parts[0].lower() not in _FOLDERS:
            raise ValueError(
                f"{path}, line {number}: expected <1 or 0> <folder>/<file>, such as "
                f"1 {_YOUTUBE}/00170.mp4; got {line!r}"
            )
        key = _key(parts[0], Path(name).stem)
        found[key] = flag
        if (flag == "1") == (key[0] == _FAKE):
            wrong.append(line.strip())
    if wrong:
        raise ValueError(
            f"{path} must have 1 for real and 0 for fake; {len(wrong)} lines say "
            f"otherwise: {named(wrong)}. Fetch the authors' list again"
        )
    return found
