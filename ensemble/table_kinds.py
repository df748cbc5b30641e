"""What a table that was given to `compare` holds: scores, or videos to train on."""

import numpy as np
import pandas as pd

# Columns that describe a video, whatever numbers they hold.
_NEVER_SCORES = (
    "path", "video", "video_id", "label", "group", "fold", "reason", "method", "source",
    "compression", "dataset", "time",
)  # fmt: skip


def lists_videos(frame, path, beside=()):
    """Whether a table lists videos, and not scores of them.

    Parameters
    ----------
    frame : DataFrame
    path : str or Path
        Where it comes from, for the message.
    beside : sequence of str
        Columns that were named as something else than scores.

    Returns
    -------
    bool
        True for ``path`` and ``label`` beside nothing that could be P(fake).

    Raises
    ------
    ValueError
        If it may be either.

    Examples
    --------
    >>> frame = pd.DataFrame({"path": ["a.mp4"], "label": [1], "mine": [0.9]})
    >>> lists_videos(frame, "scores.csv"), lists_videos(frame[["path", "label"]], "")
    (False, True)
    """
    if "path" not in frame:
        return False
    scores, others = score_columns(frame, beside)
    if scores and not others:
        return False
    flags = [name for name in others if _is_flag(frame[name])]
    if not scores and not flags and "label" in frame:
        return True
    may_be = ", ".join(map(str, [*scores, *others])) or "no other numbers"
    raise ValueError(
        f"{path} may be a table of scores or a list of videos: it has a column path, "
        f"and beside it {may_be}. Name the columns of scores with --scores, or say "
        "--videos to train on the videos that it lists"
    )


def score_columns(frame, beside=()):
    """Return which columns of numbers look like P(fake), and which do not.

    Parameters
    ----------
    frame : DataFrame
    beside : sequence of str
        Columns that are not to be looked at.

    Returns
    -------
    scores : list of str
        All within 0 to 1, and not just 0 and 1.
    others : list of str
        Numbers beyond that, or only 0 and 1, which may be anything.
    """
    scores, others = [], []
    for name in frame:
        if name in beside or str(name).strip().lower() in _NEVER_SCORES:
            continue
        column = frame[name]
        text = column.astype(str).str.strip().str.lower()
        empty = column.isna() | text.isin(("", "nan", "na", "n/a", "null", "none"))
        values = pd.to_numeric(column[~empty], errors="coerce").to_numpy(float)
        if not len(values) or np.isnan(values).any():
            continue
        is_share = ((values >= 0) & (values <= 1)).all()
        is_score = is_share and not _is_flag(column[~empty])
        (scores if is_score else others).append(name)
    return scores, others


def _is_flag(column):
    values = pd.to_numeric(column, errors="coerce").dropna()
    return bool(len(values)) and values.isin((0, 1)).all()
