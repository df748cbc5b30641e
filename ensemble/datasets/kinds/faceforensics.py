"""FaceForensics++: originals, six methods, three compressions, pairs of people.

Rössler et al. (2019), FaceForensics++: Learning to detect manipulated facial images,
ICCV. A fake is called ``<target>_<source>``. Its authors forged each pair of originals
both ways, so that the group, what shares a person, is the unordered pair.
"""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from base_models.errors import DeepfakeEnsembleWarning
from ensemble.datasets.kinds.base import VideoRecord
from ensemble.datasets.kinds.dfd import dfd_record, warn_of_sources
from ensemble.datasets.kinds.files import (
    COMPRESSIONS,
    below_root,
    folders,
    named,
    read_json,
    videos_in,
    what_is_in,
)

NO_SPLITS = (
    "the official splits are the three lists train.json, val.json and test.json in "
    "dataset/splits of https://github.com/ondyari/FaceForensics; put them into "
    "splits/ below the root, or ask for no split: folds and prepare split by group"
)
ORIGINALS, MANIPULATED = "original_sequences", "manipulated_sequences"
MASKS = "masks"  # below a method, or a compression of it
_OF_DFD = ("actors", "DeepFakeDetection")
LISTS = ("train", "val", "test")
PEOPLE = "people.json"  # id -> person, in a tree that the forge made


@dataclass(frozen=True)
class Clip:
    """A file of the tree: by whom or how it was made, its compression, its path."""

    made_by: str
    compression: str
    path: Path
    is_fake: bool


def fits(path: Path) -> bool:
    """Whether it holds the folders of originals or of manipulated videos."""
    return (path / ORIGINALS).is_dir() or (path / MANIPULATED).is_dir()


def read(root: Path, encoding: str | None = None) -> list[VideoRecord]:
    """List originals and fakes of all methods and compressions."""
    clips = list(clips_of(root))
    of_dfd = [clip for clip in clips if clip.made_by in _OF_DFD]
    own = [clip for clip in clips if clip.made_by not in _OF_DFD]
    records = [dfd_record(clip.path, clip.is_fake) for clip in of_dfd]
    warn_of_sources(records, stacklevel=5)
    videos = [(clip.path, clip.is_fake) for clip in own]
    lists = _lists_in(root)
    pairs = records_of_pairs(videos, lists, _same_person_in(root))
    unlisted = [record for record in pairs if record.split is None]
    if lists and unlisted:
        warnings.warn(
            f"{len(unlisted)} of {len(pairs)} videos of {root} are in no split, such "
            f"as {below_root(unlisted[0].path, root)}: the lists of splits do not name "
            "them, or name target and source in two of them. The others keep theirs",
            DeepfakeEnsembleWarning,
            stacklevel=4,
        )
    records += pairs
    for clip, record in zip(of_dfd + own, records, strict=True):
        record.compression = clip.compression
        record.method = clip.made_by if clip.is_fake else "none"
        record.source = None if clip.is_fake else clip.made_by
    return sorted(records, key=lambda record: below_root(record.path, root))


def clips_of(root: Path) -> Iterator[Clip]:
    """Yield what lies in the tree; a folder that has no videos in it is refused.

    Raises
    ------
    ValueError
        If there are no videos, or a part was not downloaded.
    """
    looked_for = (
        f"{ORIGINALS}/<youtube, actors> and {MANIPULATED}/<method>, in each of them "
        "<raw or c0, c23, c40>/videos/ or images/"
    )
    n_found, empty = 0, []
    for top in (ORIGINALS, MANIPULATED):
        for made_by in folders(root / top):
            for level in folders(made_by):
                if level.name not in COMPRESSIONS:
                    continue
                videos = next(filter(None, map(videos_in, _places(level))), [])
                if not videos:
                    empty.append(level)
                for path in videos:
                    n_found += 1
                    compression = COMPRESSIONS[level.name]
                    is_fake = top == MANIPULATED
                    yield Clip(made_by.name, compression, path, is_fake)
    if empty:
        raise ValueError(
            f"{empty[0]} has no videos: looked for videos/ or images/ with something "
            f"in it, got {what_is_in(empty[0])}. Finish the download, or remove the "
            "empty folder" + (f" (as well as {named(empty[1:])})" if empty[1:] else "")
        )
    if not n_found:
        tops = [root / top for top in (ORIGINALS, MANIPULATED)]
        found = "; ".join(f"in {top.name}: {what_is_in(top)}" for top in tops)
        raise ValueError(
            f"{root} has no videos of FaceForensics++: looked for {looked_for}; got "
            f"{found}"
        )


def is_folder_of_masks(folder: str | Path) -> bool:
    """Whether a folder holds masks, which say where fakes were changed, and no videos.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    bool

    Examples
    --------
    >>> from ensemble.datasets.kinds.faceforensics import is_folder_of_masks
    >>> tree = "ff/manipulated_sequences/Deepfakes"
    >>> is_folder_of_masks(f"{tree}/masks/videos"), is_folder_of_masks(f"{tree}/c23")
    (True, False)
    """
    parts = Path(os.path.abspath(folder)).parts
    return any(
        MANIPULATED in parts[max(0, place - 3) : place - 1]
        for place, part in enumerate(parts)
        if part == MASKS and place > 1
    )


def _places(level: Path) -> list[Path]:
    return [level / name for name in ("videos", "images", "frames")]


def records_of_pairs(
    videos: Sequence[tuple[Path, bool]],
    lists: Mapping[str, list] | None = None,
    same_person: Iterable[tuple[str, ...]] = (),
) -> list[VideoRecord]:
    """Describe originals, and fakes that are called after target and source.

    Parameters
    ----------
    videos : sequence of (Path, bool)
        And whether it is a fake.
    lists : dict of str to list of pairs or None, default=None
        Split -> pairs of originals; None or empty where nobody says.
    same_person : iterable of pairs of ids, default=()
        Originals that show one person, which therefore share a group.

    Returns
    -------
    list of VideoRecord
        With split, group and who is seen.
    """
    originals = {path.stem for path, is_fake in videos if not is_fake}
    people = [
        pair_of(path, originals) if is_fake else (path.stem,)
        for path, is_fake in videos
    ]
    of_split = [(name, pair) for name, those in (lists or {}).items() for pair in those]
    split_of = {person: name for name, pair in of_split for person in pair}
    pairs = [tuple(pair) for _, pair in of_split]
    group_of = groups_of_pairs([*people, *pairs, *same_person])
    return [
        VideoRecord(
            str(path),
            int(is_fake),
            split=_split_of(who, split_of),
            original_id=who[0] if is_fake else None,
            source_ids=who,
            group=group_of[who[0]],
        )
        for (path, is_fake), who in zip(videos, people, strict=True)
    ]


def _split_of(who: tuple[str, ...], split_of: Mapping[str, str]) -> str | None:
    """Return the split that all who are seen are in, or None."""
    splits = {split_of.get(name) for name in who}
    return splits.pop() if len(splits) == 1 else None


def pair_of(path: Path, originals: Iterable[str] = ()) -> tuple[str, str]:
    """Return the target and the source of a fake, from its name.

    Parameters
    ----------
    path : Path
    originals : set of str, default=()
        Names of originals, which tell where to cut a name with several underscores.

    Examples
    --------
    >>> pair_of(Path("000_003.mp4"))
    ('000', '003')
    """
    parts = path.stem.split("_")
    cuts = [("_".join(parts[:at]), "_".join(parts[at:])) for at in range(1, len(parts))]
    known = set(originals)
    of_known = [cut for cut in cuts if set(cut) <= known]
    if len(of_known) == 1:
        return of_known[0]
    if len(cuts) != 1 or not all(cuts[0]):
        raise ValueError(
            f"{path} is not called <target>_<source>, such as 000_003.mp4, as fakes of "
            "FaceForensics++ are; take it out of the folder, or name it so"
        )
    return cuts[0]


def groups_of_pairs(pairs: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Join people who are in one video into groups, named after the first two.

    Examples
    --------
    >>> groups_of_pairs([("000", "003"), ("003", "000"), ("007",)])
    {'000': 'ff/000_003', '003': 'ff/000_003', '007': 'ff/007'}
    """
    first: dict[str, str] = {}

    def find(name: str) -> str:
        first.setdefault(name, name)
        while first[name] != name:
            first[name] = first[first[name]]
            name = first[name]
        return name

    for pair in pairs:
        first[find(pair[0])] = find(pair[-1])
    members = defaultdict(list)
    for name in sorted(first):
        members[find(name)].append(name)
    return {
        name: f"ff/{'_'.join(those[:2])}"
        for those in members.values()
        for name in those
    }


def _lists_in(root: Path) -> Mapping[str, list]:
    """Read {train,val,test}.json of a tree, in it or in splits/, where it has them."""
    for folder in (root / "splits", root / "dataset" / "splits", root):
        there = {name: folder / f"{name}.json" for name in LISTS}
        found = {name: path for name, path in there.items() if path.is_file()}
        if not found:
            continue
        if len(found) < len(there):
            lost = [str(path) for name, path in there.items() if name not in found]
            raise ValueError(
                f"{folder} lacks {named(lost)}: looked for train.json, val.json and "
                f"test.json, got {what_is_in(folder)}"
            )
        lists = {name: read_json(path) for name, path in found.items()}
        for name, pairs in lists.items():
            _check_pairs(pairs, found[name])
        times = Counter(n for pairs in lists.values() for pair in pairs for n in pair)
        repeated = [name for name, count in times.items() if count > 1]
        if repeated:
            raise ValueError(
                f"{folder} has ids more than once: {named(repeated)}; each belongs to "
                "one pair of one split"
            )
        return lists
    return {}


def _same_person_in(root: Path) -> list[tuple[str, ...]]:
    """Return pairs of originals of one person, where the tree says who is who."""
    if not (root / PEOPLE).is_file():
        return []
    first: dict[str, str] = {}
    return [
        (first.setdefault(person, name), name)
        for name, person in read_json(root / PEOPLE).items()
    ]


def _check_pairs(pairs: object, path: Path) -> None:
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(name, str) for name in pair)
        for pair in pairs
    ):
        raise ValueError(
            f"{path} must be a list of pairs of ids in quotes, such as "
            f'[["000", "003"], ...]; got {str(pairs)[:80]}'
        )
