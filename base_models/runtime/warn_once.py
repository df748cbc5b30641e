"""Whether a caller has warned already, or hears of it: so that few warn once."""

from __future__ import annotations

import contextlib
import contextvars
import warnings
from collections.abc import Hashable, Iterator
from typing import Any

from base_models.errors import DeepfakeEnsembleWarning

_listening: list[dict[Hashable, str]] = []  # of each task that was sent here
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


@contextlib.contextmanager
def heard_by_sender() -> Iterator[dict[Hashable, str]]:
    """Gather what `told_to_sender` is told in this process, in any of its threads.

    Yields
    ------
    dict of hashable to str
        By what it is about: the first warning.

    Examples
    --------
    >>> from base_models.runtime.warn_once import heard_by_sender, told_to_sender
    >>> with heard_by_sender() as said:
    ...     told_to_sender("the disk", "the disk is full")
    True
    >>> said
    {'the disk': 'the disk is full'}
    >>> told_to_sender("the disk", "the disk is full")
    False
    """
    said: dict[Hashable, str] = {}
    _listening.append(said)
    try:
        yield said
    finally:
        _listening[:] = [each for each in _listening if each is not said]


def told_to_sender(about: Hashable, message: str) -> bool:
    """Leave a warning to the process that sent a task here, if one did.

    A worker's own is seen by nobody.

    Parameters
    ----------
    about : hashable
        Of warnings about the same it is told one.
    message : str

    Returns
    -------
    bool
        False: warn here.
    """
    listening = list(_listening)
    for said in listening:
        said.setdefault(about, message)
    return bool(listening)


def warn_for_workers(said: dict[Hashable, str], known: set[Hashable]) -> None:
    """Warn of what workers told, once.

    Parameters
    ----------
    said : dict of hashable to str
        From `heard_by_sender`.
    known : set
        What was warned of; it grows.
    """
    for about, message in said.items():
        if about not in known:
            known.add(about)
            warnings.warn(
                f"workers say: {message} (each needs keys, packages and disk space of "
                "its own)",
                DeepfakeEnsembleWarning,
                stacklevel=2,
            )
