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
    before it calls this one's `fit`. A fit that fails leaves the former one whole:
    parts of both would answer, and wrongly.

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
    names = state.pop(_LEFT, ())
    former = {name: state.pop(name) for name in names if name in state}
    before = set(state)
    try:
        yield
    except BaseException:
        for name in set(state) - before:
            del state[name]
        state.update(former)
        raise
    finally:
        state[_LEFT] = [name for name in state if name not in before]
