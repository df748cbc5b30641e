"""What a table that was given to `compare` holds: scores, or videos to train on."""

import numpy as np

from ensemble.scores.formats import to_numbers

# Columns that describe a video, whatever numbers they hold.
_NEVER_SCORES = (
    "path", "video", "video_id", "label", "group", "fold", "reason", "method", "source",
    "compression", "dataset", "time",
)  # fmt: skip
_NOTHING = ("", "nan", "na", "n/a", "null", "none")


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
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"path": ["a.mp4"], "label": [1], "mine": [0.9]})
    >>> lists_videos(frame, "scores.csv"), lists_videos(frame[["path", "label"]], "")
    (False, True)
    """
    if "path" not in frame:
        return False
    scores, others = score_columns(frame, beside)
    if scores and not others:
        return False
    doubtful = [name for name in others if _is_share(_values(frame[name])[0])]
    if not scores and not doubtful and "label" in frame:
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
        Numbers beyond that, or only 0 and 1, which may be anything; and columns of
        which some entries, and not most, are no numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": ["0,73", "0,1"], "b": ["0.7x", "0.1"]})
    >>> score_columns(frame.assign(n_frames=300))
    (['a'], ['b', 'n_frames'])
    """
    scores, others = [], []
    for name in frame:
        if name in beside or str(name).strip().lower() in _NEVER_SCORES:
            continue
        values, n_wrong = _values(frame[name])
        if not len(values) or n_wrong > len(values):
            continue
        is_score = (
            not n_wrong and _is_share(values) and not np.isin(values, (0, 1)).all()
        )
        (scores if is_score else others).append(name)
    return scores, others


def _values(column):
    """Return the numbers in a column, and how many entries are none."""
    text = column.astype(str).str.strip()
    known = text[~(column.isna() | text.str.lower().isin(_NOTHING))]
    numbers, wrong = to_numbers(known)
    return numbers[~np.isnan(numbers)], len(wrong)


def _is_share(values):
    return bool(len(values)) and bool(((values >= 0) & (values <= 1)).all())
