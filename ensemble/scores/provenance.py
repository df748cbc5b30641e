"""Provenance: where the scores of a table come from, which lies beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """What ``table.attrs["provenance"]`` states, and what is taken where it does not.

    Attributes
    ----------
    out_of_fold : bool or None
        Whether no detector had learned from the videos that it scored.
    splits : int or None
        Into which the videos were split.
    scores_per_video : float or None
        How often a video was in a test part, on average.
    prefit : list of str
        Detectors that were fitted already and scored all videos once.
    trained_on : dict of str to (list of str or None)
        What those and others that started from a checkpoint had seen before; None:
        unknown, []: nothing.
    faces_pooling : str
        How scores of several faces of a video were pooled.
    several_faces : int or None
        Videos with more than one face.
    refit_offsets : dict of str to float
        See `ensemble.out_of_fold.refit_offsets`.
    inverted : list of str
        Columns that were turned round; see `ensemble.scores.invert_scores`.
    negated : list of str
        Those of them that became -x, and not 1 - x.
    failed_detectors : dict of str to str
        Detectors that failed in a fit and have no column, and why.
    skipped_videos : dict of str to str
        Videos that no detector could look at and that have no row, and why.

    Examples
    --------
    >>> from ensemble.scores import score_table
    >>> beside = stated(out_of_fold=True, prefit=["net"])
    >>> table = score_table([[0.2]], ["a.mp4"], ["net"], provenance=beside)
    >>> Provenance.of(table).prefit
    ['net']
    """

    out_of_fold: bool | None = None
    splits: int | None = None
    scores_per_video: float | None = None
    prefit: list[str] = field(default_factory=list)
    trained_on: dict[str, list[str] | None] = field(default_factory=dict)
    faces_pooling: str = "largest"
    several_faces: int | None = None
    refit_offsets: dict[str, float] = field(default_factory=dict)
    inverted: list[str] = field(default_factory=list)
    negated: list[str] = field(default_factory=list)
    failed_detectors: dict[str, str] = field(default_factory=dict)
    skipped_videos: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Any) -> Provenance:
        """Read what a table states; of anything else nothing is known."""
        known = getattr(table, "attrs", {}).get("provenance")
        if not isinstance(known, dict):
            return cls()
        return cls(**{k: v for k, v in known.items() if k in cls.__annotations__})


def stated(**facts: Any) -> dict[str, Any]:
    """Return facts as a table holds them, by the names of `Provenance`."""
    Provenance(**facts)  # refuses other names
    return facts
