"""Scores that are high for real videos, turned round where the user says so."""

from typing import Any

import numpy as np
import pandas as pd

from ensemble.scores.provenance import Provenance, stated


def invert_scores(scores: Any, names: Any, probabilities: bool = True) -> Any:
    """Invert the scores of some detectors, so that high means fake.

    Nothing is ever turned round without being asked: combiners, comparisons and the
    command line name detectors that look inverted, and this is how to say that they
    are. New videos' scores need the same before they are combined.

    Parameters
    ----------
    scores : DataFrame or array-like of shape (n_videos, n_detectors)
    names : str, int or sequence of these
        Columns whose scores are high for real videos; numbers for an array.
    probabilities : bool, default=True
        Whether they are P(real), which becomes 1 - P(real). If False they may be any
        numbers, and change their sign.

    Returns
    -------
    turned : DataFrame or ndarray of shape (n_videos, n_detectors)
        A copy. What lies beside a score table is kept, and its provenance names the
        detectors under ``inverted``, those that changed their sign also under
        ``negated``.

    Examples
    --------
    >>> table = pd.DataFrame({"a": [0.2, 0.9], "real": [0.75, 0.25]})
    >>> invert_scores(table, "real")["real"].tolist()
    [0.25, 0.75]
    >>> invert_scores([[0.2, 3.0]], [1], probabilities=False)
    array([[ 0.2, -3. ]])
    """
    is_table = isinstance(scores, pd.DataFrame)
    turned: Any = scores.copy() if is_table else np.array(scores, dtype=float)
    known = list(scores.columns) if is_table else list(range(turned.shape[1]))
    names = [names] if isinstance(names, (str, int, np.integer)) else list(names)
    unknown = [name for name in names if name not in known]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            "names to invert must be columns, each once; got "
            f"{unknown[0] if unknown else names!r} beside {known}"
        )
    for name in names:
        column = turned[name].to_numpy(float) if is_table else turned[:, name]
        if probabilities:
            outside = np.flatnonzero((column < 0) | (column > 1))
            if outside.size:
                raise ValueError(
                    f"P(real) must be between 0 and 1; got {column[outside[0]]} in "
                    f"column {name!r}, row {outside[0]}: pass probabilities=False for "
                    "other numbers"
                )
        new = 1 - column if probabilities else -column
        if is_table:
            turned[name] = new
        else:
            turned[:, name] = new
    if is_table and "provenance" in turned.attrs:
        beside, now = Provenance.of(turned), set(map(str, names))
        inverted = set(beside.inverted) ^ now  # twice is not at all
        facts = stated(inverted=sorted(inverted))
        negated = set(beside.negated) - now
        if not probabilities:
            negated |= now & inverted
        if negated or beside.negated:
            facts |= stated(negated=sorted(negated))
        turned.attrs["provenance"] = turned.attrs["provenance"] | facts
    return turned
