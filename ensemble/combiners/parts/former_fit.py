"""Fitting again: what the fit before has left is no part of the new one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LEFT = "_left_by_fit"


@contextmanager
def forgetting_the_former(estimator: Any) -> Iterator[None]:
    """Take away what a former fit has set, and remember what this one sets.

    What is there when a fit begins stays, as a subclass may set something of its own
    before it calls this one's `fit`.

    Parameters
    ----------
    estimator : estimator

    Examples
    --------
    >>> class Either:
    ...     pass
    >>> either = Either()
    >>> with forgetting_the_former(either):
    ...     either.trees_ = "of the first fit"
    >>> with forgetting_the_former(either):
    ...     either.weights_ = "of the second"
    >>> hasattr(either, "trees_"), hasattr(either, "weights_")
    (False, True)
    """
    state = vars(estimator)
    for name in state.pop(_LEFT, ()):
        state.pop(name, None)
    before = set(state)
    try:
        yield
    finally:
        state[_LEFT] = [name for name in state if name not in before]
