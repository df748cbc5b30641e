"""The table that Kaggle's Deepfake Detection Challenge takes: file name and number."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.addresses import printable

_NO_OPINION = 0.5  # a number is asked of every video, and this one costs least


def parse_clip(text: str) -> tuple[float, float]:
    """Read the two numbers of ``--clip``.

    Parameters
    ----------
    text : str

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> parse_clip("0.4,0.8")
    (0.4, 0.8)
    """
    try:
        low, high = (float(part) for part in text.split(","))
        if 0 <= low <= high <= 1:
            return low, high
    except ValueError:
        pass
    raise ValueError(
        f"clip must be two numbers from 0 to 1, the lower first, such as 0.4,0.8; got "
        f"{text!r}"
    )


def submission_table(
    videos: Sequence[str | PathLike],
    p_fake: ArrayLike,
    clip: tuple[float, float] = (0.0, 1.0),
) -> tuple[pd.DataFrame, list[str]]:
    """Lay scores out as a submission, in which every video has a number.

    Here alone a missing score becomes 0.5, since the competition takes no blank; it is
    no score, and verdicts never see it.

    Parameters
    ----------
    videos : sequence of str or Path, of length n_videos
    p_fake : array-like of shape (n_videos,)
        NaN where there is no score.
    clip : (float, float), default=(0.0, 1.0)
        Lower and higher scores become these, against the log loss of sure mistakes.

    Returns
    -------
    table : DataFrame
        ``filename`` and ``label``.
    missing : list of str
        Files that got 0.5 because they have no score.

    Examples
    --------
    >>> from ensemble.reporting.submission import submission_table
    >>> videos, scores = ["a/x.mp4", "a/y.mp4", "a/z.mp4"], [0.01, 0.7, float("nan")]
    >>> table, missing = submission_table(videos, scores, (0.4, 0.8))
    >>> table
      filename  label
    0    x.mp4    0.4
    1    y.mp4    0.7
    2    z.mp4    0.5
    >>> missing
    ['z.mp4']
    """
    names = [str(video).replace("\\", "/").rpartition("/")[2] for video in videos]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"a submission knows videos by their file names, and {twice[0]!r} is there "
            "twice; give each folder a submission of its own"
        )
    score = np.asarray(p_fake, float)
    unknown = np.isnan(score)
    label = np.where(unknown, _NO_OPINION, np.clip(score, *clip))
    table = pd.DataFrame({"filename": list(map(printable, names)), "label": label})
    return table, [n for n, lost in zip(names, unknown, strict=True) if lost]
