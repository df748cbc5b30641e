"""Out-of-fold scores of members that looked at a part of their frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from base_models.scoring.in_steps import STEPS, WHOLE, takes_steps

_LEAST_KNOWN = 0.5  # of the videos that a member scored, to look at fewer frames at all


def check_frame_steps(steps: Any, names: Sequence[str], n_videos: int) -> None:
    """Refuse what no fit can have left of members that look at fewer frames.

    Parameters
    ----------
    steps : dict of str to ndarray of shape (n_videos, 2)
    names : sequence of str
        Of the members.
    n_videos : int
        In training.

    Raises
    ------
    ValueError
        Naming what is wrong.

    Examples
    --------
    >>> from ensemble.cascade.frame_steps import check_frame_steps
    >>> check_frame_steps({}, ["xception_face"], 10)
    """
    for name, found in steps.items():
        if name not in names:
            raise ValueError(f"it has scores by fewer frames of {name!r}, no member")
        shape = getattr(found, "shape", None)
        if shape != (n_videos, len(STEPS)):
            raise ValueError(
                f"scores of {name!r} by fewer frames must have shape "
                f"{(n_videos, len(STEPS))}; got {shape}"
            )
        if ((found < 0) | (found > 1)).any():
            raise ValueError(f"scores of {name!r} by fewer frames must lie in 0..1")


def quarters_of(model: Any) -> dict[str, list[int]]:
    """Return which steps the members of an ensemble can take, in quarters of frames.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.

    Returns
    -------
    dict of str to list of int
        4 is the whole, and ends every list.
    """
    found, record = {}, model.fit_record_
    rows = record.training.rows(model.oof_scores_.index)
    for name, members in model.detectors_.items():
        members = members if isinstance(members, list) else [members]
        known = record.frame_steps.get(name)
        can = known is not None and all(takes_steps(member) for member in members)
        if can:
            whole = model.oof_scores_[name].notna().to_numpy()
            by_step = ~np.isnan(known[rows][whole]).any(axis=1)
            can = whole.any() and by_step.mean() >= _LEAST_KNOWN
        found[name] = [*STEPS, WHOLE] if can else [WHOLE]
    return found


def table_by_steps(
    model: Any, table: pd.DataFrame, quarters: Mapping[str, int]
) -> pd.DataFrame:
    """Return out-of-fold scores as members gave them that looked at some frames.

    Parameters
    ----------
    model : DeepfakeEnsemble
        Fitted.
    table : DataFrame of shape (n_rows, n_detectors)
        Out-of-fold scores of all frames.
    quarters : mapping of str to int
        Of the frames, of each member that is asked.

    Returns
    -------
    DataFrame of shape (n_rows, n_asked)
        In the order of `table`'s columns.
    """
    part = table[[name for name in table.columns if name in quarters]]
    fewer = [name for name in part.columns if quarters[name] != WHOLE]
    if not fewer:
        return part
    part, record = part.copy(), model.fit_record_
    rows = record.training.rows(table.index)
    for name in fewer:
        part[name] = step_scores(record.frame_steps[name][rows], quarters[name])
    return part


def step_scores(steps: NDArray, quarters: int) -> NDArray:
    """Return one column of the steps' scores."""
    return steps[:, STEPS.index(quarters)]
