"""What a data set is read as, and what a kind of data set can do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


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


@dataclass(frozen=True)
class DataSetKind:
    """One way in which data sets lie on the disk, as `registry.KINDS` lists it.

    Attributes
    ----------
    fits : callable
        Path -> whether it is a data set of this kind; what is in the videos is not
        read.
    read : callable
        (Path, encoding of text or None) -> LabelledVideos, or a ValueError that says
        what is missing.
    """

    fits: Callable[[Path], bool]
    read: Callable[[Path, str | None], LabelledVideos]
