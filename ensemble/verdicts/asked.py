"""Which members were asked of a video, where a cascade stopped before the last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

NOT_ASKED = "not asked: settled after "  # and the names of those that were


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
        found[:, column] = [
            known.get(row, "").startswith(NOT_ASKED) for row in table.index
        ]
    return found & table.isna().to_numpy()


def members_asked(table: pd.DataFrame) -> list[str]:
    """Return the names of the members that were asked of each video.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)

    Returns
    -------
    list of str
        Joined by ", ", in the order of the table.
    """
    names = np.array([str(name) for name in table.columns], object)
    return [", ".join(names[~row]) for row in not_asked(table)]
