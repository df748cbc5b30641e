"""DeepfakeBench's lists: one JSON a data set, which names the frames of each video.

Yan et al. (2023), DeepfakeBench: A comprehensive benchmark of deepfake detection,
NeurIPS. {data set: {label: {split: {[compression]: {video: {label, frames}}}}}}; a
video is the folder of its frames.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base_models.errors import DeepfakeEnsembleWarning
from base_models.limits import is_special
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.celeb_df import celeb_record, folder_of
from ensemble.datasets.kinds.dfd import dfd_record, is_dfd
from ensemble.datasets.kinds.faceforensics import records_of_pairs
from ensemble.datasets.kinds.files import (
    COMPRESSIONS,
    below,
    check_object,
    entries,
    named,
    read_object,
    what_is_in,
)
from ensemble.datasets.kinds.prepared import PREPARED

_SPLITS = ("train", "val", "test")  # a video of several counts for the last of them
_METHODS = {
    "FF-DF": "Deepfakes",
    "FF-F2F": "Face2Face",
    "FF-FS": "FaceSwap",
    "FF-NT": "NeuralTextures",
    "FF-FH": "FaceShifter",
    "DFD_fake": "DeepFakeDetection",
}
_REAL_WORDS = ("original", "originals")
_EXPECTED = '{data set: {label: {split: {video: {"label": ..., "frames": [...]}}}}}'
_EXPECTED_VIDEOS = '{"000": {"label": ..., "frames": [...]}}'
_FRAMES_BELOW = ("", "datasets/rgb", "rgb", "datasets")
_ABOVE = 4  # folders above the list in which paths of frames may begin
_DEPTH = 2


@dataclass
class _Listed:
    """A video of the lists."""

    folder: Path
    dataset: str
    label: str
    compression: str | None
    splits: set = field(default_factory=set)

    @property
    def is_fake(self) -> bool:
        return not _is_real(self.label)


def _is_real(label: str) -> bool:
    """Whether a label has the word real or original in it.

    Examples
    --------
    >>> [_is_real(label) for label in ("FF-real", "real_youtube", "Real-v2", "FF-DF")]
    [True, True, True, False]
    """
    words = re.findall("[a-z]+", label.lower())
    return any(word.endswith("real") or word in _REAL_WORDS for word in words)


def fits(path: Path) -> bool:
    """Whether it is one of the lists, or a folder with some."""
    if path.is_file():
        return path.suffix.lower() == ".json" and _is_list(path)
    return any(_is_list(list_) for list_ in _lists(path))


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List the videos of all lists; one that several lists name is one video."""
    lists = [root] if root.is_file() else [p for p in _lists(root) if _is_list(p)]
    if not lists:
        raise ValueError(
            f"{root} has no lists of DeepfakeBench: looked for .json files such as "
            '{"FaceForensics++": {"FF-real": {"train": {"c23": {"000": {"label": '
            f'"FF-real", "frames": [...]}}}}}}}}}}}}; got {what_is_in(root)}'
        )
    found: dict[Path, _Listed] = {}
    for path in lists:
        for video, split in _videos_of(path):
            known = found.setdefault(video.folder, video)
            known.splits.add(split)
            if known.label != video.label:
                raise ValueError(
                    f"{path} calls {video.folder} {video.label}, and another list or "
                    f"label calls it {known.label}; a video has one label"
                )
    videos = list(found.values())
    _check_labels({video.label for video in videos}, root)
    return [
        _record(video, described)
        for video, described in zip(videos, _described(videos), strict=True)
    ]


def _check_labels(labels: set[str], root: Path) -> None:
    """Refuse labels that say both, and tell of those that say neither."""
    fake = {label for label in labels if "fake" in label.lower()}
    both = sorted(label for label in fake if _is_real(label))
    if both:
        raise ValueError(
            f"{root} has labels that say real and fake: {named(both)}; a label says one"
        )
    unknown = labels - fake - {*_METHODS, *_METHODS.values()}
    unknown = {label for label in unknown if not _is_real(label)}
    if unknown:
        warnings.warn(
            f"labels of {root} say neither real nor fake and are no method that is "
            f"known: {named(sorted(unknown))}; their videos are taken for fakes. If "
            "they are real, call the label so, such as FF-real",
            DeepfakeEnsembleWarning,
            stacklevel=5,
        )


def _described(videos: list[_Listed]) -> list[VideoRecord]:
    """Describe videos by the rules of the data sets that they come from."""
    of_pairs = [v for v in videos if v.label.startswith("FF-")]
    pairs = records_of_pairs([(v.folder, v.is_fake) for v in of_pairs])
    by_folder = {v.folder: record for v, record in zip(of_pairs, pairs, strict=True)}
    split_of = _splits_of(videos)
    records = []
    for video in videos:
        record = by_folder.get(video.folder)
        celeb = folder_of(video.folder) if "celeb" in video.dataset.lower() else None
        if record is None and celeb is not None:
            record = celeb_record(video.folder, celeb)
        elif record is None and is_dfd(video.folder):
            record = dfd_record(video.folder, video.is_fake)
        record = record or VideoRecord(str(video.folder), int(video.is_fake))
        record.split = split_of[video.folder]
        records.append(record)
    return records


def _record(video: _Listed, record: VideoRecord) -> VideoRecord:
    """Add what the list says itself."""
    method = _METHODS.get(video.label, record.method)
    if method is None and not video.label.lower().endswith("fake"):
        method = video.label
    record.label = int(video.is_fake)
    record.method = method if video.is_fake else "none"
    record.compression = COMPRESSIONS.get(video.compression or "", video.compression)
    record.dataset = video.dataset
    return record


def _splits_of(videos: list[_Listed]) -> dict[Path, str | None]:
    """Return the split of each; None in data sets that put all into every split."""
    by_dataset = defaultdict(set)
    for video in videos:
        by_dataset[video.dataset].add(frozenset(video.splits))
    unsplit = {
        name
        for name, those in by_dataset.items()
        if len(those) == 1 and all(len(splits) > 1 for splits in those)
    }
    several = [v for v in videos if len(v.splits) > 1]
    if several:
        warnings.warn(
            f"{len(several)} of {len(videos)} videos are listed in several splits, "
            f"such as {several[0].folder.name}: "
            + (f"{named(sorted(unsplit))} has no split; " if unsplit else "")
            + "a video of the test set counts for that alone",
            DeepfakeEnsembleWarning,
            stacklevel=5,
        )
    return {
        video.folder: None
        if video.dataset in unsplit
        else next(s for s in reversed(_SPLITS) if s in video.splits)
        for video in videos
    }


def _videos_of(path: Path) -> Iterator[tuple[_Listed, str]]:
    """Yield the videos of a list and the split of each."""
    base: Path | None = None
    for dataset, labels in read_object(path, _EXPECTED).items():
        of_set = check_object(labels, "{label: {split: ...}}", f"{path}, {dataset}")
        for label, splits in of_set.items():
            where = f"{path}, {dataset}, {label}"
            for split, inside in check_object(splits, '{"train": ...}', where).items():
                if split not in _SPLITS:
                    raise ValueError(
                        f"{path} has a split {split!r} of {label}; expected one of "
                        f"{', '.join(_SPLITS)}"
                    )
                for compression, name, video in _entries(inside, f"{where}, {split}"):
                    frames = [text.replace("\\", "/") for text in video["frames"]]
                    if not frames:  # it is missed where it would lie
                        folder = path.parent / name
                    else:
                        base = base or _base_of(path, frames[0])
                        folder = (base / frames[0]).parent
                    source = _dataset_of(dataset, label)
                    yield _Listed(folder, source, label, compression), split


def _entries(
    inside: object, where: str
) -> Iterator[tuple[str | None, str, dict[str, Any]]]:
    """Yield (compression, name, entry): the level of compressions may be absent."""
    for name, entry in check_object(inside, _EXPECTED_VIDEOS, where).items():
        entry = check_object(entry, _EXPECTED_VIDEOS, f"{where}, {name}")
        if "frames" in entry or "label" in entry:
            yield None, name, _checked(entry, f"{where}, {name}")
        else:
            for video, video_entry in entry.items():
                place = f"{where}, {name}, {video}"
                yield name, video, _checked(video_entry, place)


def _checked(entry: object, where: str) -> dict[str, Any]:
    """Return what a list says of a video, which must name its frames."""
    expected = '{"label": ..., "frames": ["<folder>/000.png", ...]}'
    checked = check_object(entry, expected, where)
    frames = checked.get("frames")
    if not isinstance(frames, list) or not all(isinstance(f, str) for f in frames):
        raise ValueError(
            f"{where} must have frames, a list of paths; got "
            + (f"frames {frames!r}"[:80] if "frames" in checked else named(checked))
        )
    return checked


def _dataset_of(dataset: str, label: str) -> str:
    """Return the data set: lists of one method are called after its label."""
    return "FaceForensics++" if label.startswith("FF-") else dataset


def _base_of(path: Path, frame: str) -> Path:
    """Return the folder in which paths of frames begin."""
    folder = path.resolve().parent
    for above in [folder, *folder.parents][: _ABOVE + 1]:
        for name in _FRAMES_BELOW:
            if (above / name / frame).exists():
                return above / name
    return folder


def _lists(root: Path) -> list[Path]:
    return [
        path
        for folder in (below(root, _DEPTH) if root.is_dir() else ())
        if folder == root or not (folder / PREPARED).is_file()
        for path in entries(folder)
        if path.suffix.lower() == ".json" and path.is_file()
    ]


def _is_list(path: Path) -> bool:
    """Whether a file is a list: its first video is where one must be."""
    if is_special(path):
        return False
    try:
        found: Any = json.loads(path.read_text("utf-8-sig"))  # no list as yet
    except (ValueError, OSError, RecursionError):
        return False
    for _ in range(3):  # data set, label, split
        if not isinstance(found, dict) or not found:
            return False
        found = next((inner for inner in found.values() if inner), None)
    if not isinstance(found, dict):
        return False
    inner = [entry for entry in found.values() if isinstance(entry, dict)]
    inner += [e for entry in inner for e in entry.values() if isinstance(e, dict)]
    return any("frames" in entry for entry in inner)
