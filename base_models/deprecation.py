"""How what is public goes: first a warning for some releases, then it is taken out.

Each call says since when, until when and what instead. `tests/test_deprecations.py`
fails once the version has come in which something was to go.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable)


def deprecated(
    *, since: str, until: str, instead: str = ""
) -> Callable[[Function], Function]:
    """Mark a function or a method that will go.

    Parameters
    ----------
    since, until : str
        The version that warns first, and the one in which it is gone.
    instead : str, default=""
        What to use.

    Returns
    -------
    decorator : callable

    Examples
    --------
    >>> import warnings
    >>> from base_models.deprecation import deprecated
    >>> @deprecated(since="0.2", until="0.4", instead="`total`")
    ... def add(values):
    ...     return sum(values)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     add([1, 2])
    3
    >>> print(caught[0].message)
    add is deprecated since 0.2 and goes in 0.4; use `total`
    """

    def mark(function):
        @functools.wraps(function)
        def warning(*args, **kwargs):
            _warn(function.__qualname__, since, until, instead)
            return function(*args, **kwargs)

        return warning

    return mark


def renamed_parameter(
    old: str, new: str, *, since: str, until: str
) -> Callable[[Function], Function]:
    """Let a function take a parameter by its former name for some releases.

    Parameters
    ----------
    old, new : str
        Its names; the function has the new one.
    since, until : str
        As for `deprecated`.

    Returns
    -------
    decorator : callable

    Raises
    ------
    TypeError
        Where a call gives both.

    Examples
    --------
    >>> import warnings
    >>> from base_models.deprecation import renamed_parameter
    >>> @renamed_parameter("n", "n_frames", since="0.2", until="0.4")
    ... def sample(n_frames=8):
    ...     return n_frames
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     sample(n=4)
    4
    >>> print(caught[0].message)
    parameter n of sample is deprecated since 0.2 and goes in 0.4; use n_frames
    """

    def mark(function):
        @functools.wraps(function)
        def renaming(*args, **kwargs):
            if old in kwargs:
                name = function.__qualname__
                if new in kwargs:
                    raise TypeError(f"{name} got {new}, and {old}, its former name")
                _warn(f"parameter {old} of {name}", since, until, new)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return renaming

    return mark


def _warn(what: Any, since: str, until: str, instead: str) -> None:
    text = f"{what} is deprecated since {since} and goes in {until}"
    warnings.warn(
        f"{text}; use {instead}" if instead else text, FutureWarning, stacklevel=3
    )
