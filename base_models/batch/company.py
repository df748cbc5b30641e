"""Who works in one process at a time: one that ends it ends the others with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_changed = threading.Condition()
_one = threading.Lock()
_beside = 0  # threads at work that do not mind others
_wanted = 0  # that wait to be alone, or are


@contextmanager
def beside_others() -> Iterator[None]:
    """Work while others of this process may, but for one that is to be alone.

    Examples
    --------
    >>> from base_models.batch.company import alone_here, beside_others
    >>> with beside_others(), beside_others():
    ...     pass
    >>> with alone_here():
    ...     pass
    """
    global _beside
    with _changed:
        _changed.wait_for(lambda: not _wanted)
        _beside += 1
    try:
        yield
    finally:
        with _changed:
            _beside -= 1
            _changed.notify_all()


@contextmanager
def alone_here() -> Iterator[None]:
    """Work while no other thread of this process is in a block of these two."""
    global _wanted
    with _changed:
        _wanted += 1
    try:
        with _one:
            with _changed:
                _changed.wait_for(lambda: not _beside)
            yield
    finally:
        with _changed:
            _wanted -= 1
            _changed.notify_all()
