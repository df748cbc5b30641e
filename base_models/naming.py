"""Names that a user writes: found whatever their case, hyphens or spaces."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any


def squeezed(name: object) -> str:
    """Return a name in lower case, without hyphens, underscores and spaces.

    Parameters
    ----------
    name : str

    Returns
    -------
    str

    Examples
    --------
    >>> squeezed("Out-of-bag"), squeezed("out_of bag")
    ('outofbag', 'outofbag')
    """
    return "".join(letter for letter in str(name).lower() if letter not in "-_ ")


def did_you_mean(
    written: object,
    names: Iterable[Any],
    spelled: Callable[[Any], str] = str,
    cutoff: float = 0.6,
) -> str:
    """Return the end of an error's message: which name is near what was written.

    Parameters
    ----------
    written : object
    names : iterable
    spelled : callable, default=str
        Makes of a name the text that is compared.
    cutoff : float, default=0.6
        How alike they must be, 0 to 1.

    Returns
    -------
    str
        Empty where none is near.

    Examples
    --------
    >>> did_you_mean("plat", ["platt", "isotonic"])
    "; did you mean 'platt'?"
    """
    by_text = {spelled(name): name for name in names}
    near = difflib.get_close_matches(spelled(written), by_text, n=1, cutoff=cutoff)
    return f"; did you mean {by_text[near[0]]!r}?" if near else ""


def find_name(
    written: str, names: Iterable[str], what: str, expected: str | None = None
) -> str:
    """Return which of some names is meant.

    Parameters
    ----------
    written : str
    names : iterable of str
    what : str
        What they are the names of, for the error.
    expected : str or None, default=None
        What else could be written, for the error; None lists the names.

    Returns
    -------
    name : str
        One of `names`.

    Raises
    ------
    ValueError
        Naming the one that is near, if any.

    Examples
    --------
    >>> find_name("K Fold", ["k-fold", "holdout"], "resampling")
    'k-fold'
    """
    names = list(names)
    by_squeezed = {squeezed(name): name for name in names}
    if isinstance(written, str) and squeezed(written) in by_squeezed:
        return by_squeezed[squeezed(written)]
    raise ValueError(
        f"unknown {what} {written!r}; expected "
        + (f"one of {', '.join(names)}" if expected is None else expected)
        + did_you_mean(written, names, squeezed)
    )
