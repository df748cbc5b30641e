"""The store that is meant where none is named, within a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_in_use: ContextVar[Any] = ContextVar("in_use", default=None)


@contextmanager
def store_in_use(store: Any) -> Iterator[None]:
    """Have detectors that name no store of their own keep features in this one.

    Parameters
    ----------
    store : Store

    Examples
    --------
    >>> from base_models.store import Store, resolve_store
    >>> from base_models.store.in_use import store_in_use
    >>> with store_in_use(Store("/example/scans")):
    ...     resolve_store(None).path.name, resolve_store("own").path.name
    ('scans', 'own')
    """
    token = _in_use.set(store)
    try:
        yield
    finally:
        _in_use.reset(token)


def default_store() -> Any:
    """Return the `Store` of the block; None where it is the user's."""
    return _in_use.get()
