"""Which members were asked of a video, where a cascade stopped before the last.

The reasons of a score table say it: of a score that nobody asked for who was asked, and
of one that a part of the frames gave, how many of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from base_models.scoring.in_steps import WHOLE

NOT_ASKED = "not asked: settled after "  # and the names of those that were

_PARTS = {1: "a quarter of its frames", 2: "half of its frames"}
_SETTLED = {quarters: f"settled after {part}" for quarters, part in _PARTS.items()}


class Profiles(dict):
    """Profiles of videos by their place, which copies of a table share.

    pandas deep-copies ``attrs`` on every access to a column or row.
    """

    def __deepcopy__(self, memo: dict) -> Profiles:
        return self


def settled_after(names: Sequence[str]) -> str:
    """Return the reason of a score that is missing since nobody asked for it.

    Examples
    --------
    >>> settled_after(["xception_face", "b4_face"])
    'not asked: settled after xception_face, b4_face'
    """
    return NOT_ASKED + ", ".join(names)


def settled_by_part(quarters: int, reason: str = "") -> str:
    """Return what to know of a score that a part of the frames gave.

    Parameters
    ----------
    quarters : {1, 2}
        Of the frames.
    reason : str, default=""
        What else there is to know of it.

    Examples
    --------
    >>> settled_by_part(1, "few frames show the face")
    'few frames show the face; settled after a quarter of its frames'
    """
    return "; ".join(filter(None, [reason, _SETTLED[quarters]]))


def named_by_frames(name: str, quarters: int = WHOLE) -> str:
    """Return the name of a member, and at how many of its frames it looked.

    Examples
    --------
    >>> named_by_frames("b4_face", 2), named_by_frames("b4_face")
    ('b4_face (half of its frames)', 'b4_face')
    """
    return name if quarters == WHOLE else f"{name} ({_PARTS[quarters]})"


def quarters_asked(table: pd.DataFrame) -> NDArray:
    """Say at how many quarters of its frames each member looked, of each video.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        A score table; one without reasons says that everybody looked at all.

    Returns
    -------
    int ndarray of shape (n_videos, n_detectors)
        0 where nobody asked it.
    """
    found = np.where(not_asked(table), 0, WHOLE)
    reasons = table.attrs.get("reason", {})
    for column, name in enumerate(table.columns):
        known = reasons.get(name) or {}
        for row, video in enumerate(table.index if known else ()):
            for quarters, said in _SETTLED.items():
                if known.get(video, "").endswith(said):
                    found[row, column] = quarters
    return np.where(table.isna() & (found > 0), WHOLE, found)


def is_not_asked(reason: str) -> bool:
    """Say whether a score is missing since nobody asked for it.

    Examples
    --------
    >>> is_not_asked(settled_after(["b4_face"])), is_not_asked("no face found")
    (True, False)
    """
    return reason.startswith(NOT_ASKED)


def not_asked(table: pd.DataFrame) -> NDArray:
    """Say which scores of a table are missing since a cascade asked for no more.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        A score table; one without reasons says that everybody was asked.

    Returns
    -------
    bool ndarray of shape (n_videos, n_detectors)
    """
    found = np.zeros(table.shape, bool)
    reasons = table.attrs.get("reason", {})
    for column, name in enumerate(table.columns):
        known = reasons.get(name)
        if not known:
            continue
        found[:, column] = [is_not_asked(known.get(row, "")) for row in table.index]
    return found & table.isna().to_numpy()


def members_asked(table: pd.DataFrame) -> list[str]:
    """Return the names of the members that were asked of each video.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)

    Returns
    -------
    list of str
        Joined by ", ", in the order of the table; with the part of its frames of one
        that did not look at all.
    """
    names = [str(name) for name in table.columns]
    return [
        ", ".join(
            named_by_frames(name, quarters)
            for name, quarters in zip(names, row, strict=True)
            if quarters
        )
        for row in quarters_asked(table)
    ]
