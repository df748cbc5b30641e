"""Whether a caller has warned already, so that each of many fits need not."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

_warned = contextvars.ContextVar("warned", default=False)


@contextlib.contextmanager
def warned_by_caller() -> Iterator[Any]:
    """Let fits inside leave out what was said once for all of them.

    That is how long they take, and which videos they leave out. Unlike filters of
    `warnings` it is not shared by threads.

    Examples
    --------
    >>> from base_models.runtime.warn_once import caller_has_warned, warned_by_caller
    >>> with warned_by_caller():
    ...     caller_has_warned()
    True
    >>> caller_has_warned()
    False
    """
    token = _warned.set(True)
    try:
        yield
    finally:
        _warned.reset(token)


def caller_has_warned() -> bool:
    """Return whether this runs inside `warned_by_caller`.

    Returns
    -------
    bool
    """
    return _warned.get()
