"""What a kind of data set reads, and what it is read as."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class LabelledVideos(NamedTuple):
    """A labelled set of videos; unpacks into its four lists.

    Attributes
    ----------
    videos : list of str
        Paths.
    labels : list of int, bool or str
        0 real and 1 fake, or what the table says.
    groups : list of str or None
        Who must not cross folds; None where nobody said.
    methods : list of str
        How each was made, ``"none"`` for a real one, empty where nobody said.
    """

    videos: list
    labels: list
    groups: list | None
    methods: list


@dataclass(slots=True)
class VideoRecord:
    """One video of a data set; what is not known is None.

    Attributes
    ----------
    path : str
        Of the file, or of the folder of its frames.
    label : int, bool, str or None
        0 real and 1 fake, or a word for it; None where it has no label.
    video_id : str or None
        Unique and like a path; None takes the path below the root.
    method : str or None
        How a fake was made; ``"none"`` for a real video.
    compression : str or None
        raw, c23, c40, ...
    split : str or None
        train, val or test, where the authors of the data set say it.
    original_id : str or None
        Name of the video that a fake was made from.
    source_ids : tuple of str
        Everybody, or every original, that went into it, the target first.
    group : str or None
        What must not cross folds.
    source : str or None
        Where in the data set it comes from, such as youtube or actors.
    dataset : str or None
        None takes the name of the data set.
    more : dict
        Other columns.
    """

    path: str
    label: Any = None
    video_id: str | None = None
    method: str | None = None
    compression: str | None = None
    split: str | None = None
    original_id: str | None = None
    source_ids: tuple = ()
    group: str | None = None
    source: str | None = None
    dataset: str | None = None
    more: dict = field(default_factory=dict)


@dataclass(frozen=True)
class DataSetKind:
    """One way in which data sets lie on the disk, as `registry.KINDS` lists it.

    Attributes
    ----------
    fits : callable
        Path -> whether it is a data set of this kind; what is in the videos is not
        read.
    read : callable
        (Path, encoding of text or None) -> list of VideoRecord, or a ValueError that
        says what was looked for and what was found.
    is_public : bool
        Whether it is one data set, which is called as the kind is; else it is called
        after its file or folder.
    no_splits : str
        Where its splits come from, for who asks for one and has none.
    aliases : tuple of str
        Other names that people use for it; case, hyphens and underscores do not count.
    """

    fits: Callable[[Path], bool]
    read: Callable[[Path, str | None], Sequence[VideoRecord]]
    is_public: bool = False
    no_splits: str = ""
    aliases: tuple[str, ...] = ()
