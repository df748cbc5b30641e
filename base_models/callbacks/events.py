"""Events of a fit, and how they reach the callbacks of whoever called it.

A callback is any callable of one `TrainingEvent`. It watches, and changes no result.
Where it fails a warning says so; it is not called again in that fit, which goes on.
Callbacks run in the process and the thread that called ``fit``. Events of fits in other
processes, threads or machines (``n_jobs``, clusters) come all together, in their order,
when such a fit is done.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from base_models.errors import DeepfakeEnsembleWarning

FIT_BEGIN, EPOCH, FIT_END, FOUND = "fit_begin", "epoch", "fit_end", "found"
ENSEMBLE_END = "ensemble_end"


@dataclass(frozen=True)
class TrainingEvent:
    """Something that happened in a fit.

    Attributes
    ----------
    kind : {"fit_begin", "epoch", "fit_end", "found", "ensemble_end"}
        A detector's fit begins or ends; an epoch of its network is over; its fit was
        found in the store and is not done again; an ensemble is fitted.
    detector : str
        Its name among the members; empty for an ensemble.
    fold : str
        Which of its fits: "split 2 of 5", or "the fit on all videos"; empty outside of
        an ensemble.
    network : str
        For "epoch": which network learns, as a detector may train several.
    epoch : int or None
        From 1, for "epoch".
    metrics : dict of str to float
        For "epoch": ``loss``, ``learning_rate``, ``seconds``, ``steps_per_second``, and
        ``validation_loss`` with ``validation_auc`` (of pseudo-fakes:
        ``validation_pseudo_auc``) where groups are held back. For "fit_end":
        ``seconds``. For "ensemble_end": the out-of-fold ``auc`` of each detector, by
        name, where there are both classes.
    artifacts : dict of str to object
        For "fit_end" ``history``, the list of epochs, where there is one; for
        "ensemble_end" ``model``, the fitted ensemble, and ``oof_scores``, its table.
        Not to be changed.

    Examples
    --------
    >>> from base_models.callbacks import TrainingEvent
    >>> TrainingEvent("epoch", "xception_face", epoch=1, metrics={"loss": 0.7}).metrics
    {'loss': 0.7}
    """

    kind: str
    detector: str = ""
    fold: str = ""
    network: str = ""
    epoch: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)


_within: ContextVar[bool] = ContextVar("within", default=False)


class _Listener:
    """One callback, which is not called again once it failed."""

    def __init__(self, callback):
        self.callback, self.failed = callback, False

    def hear(self, event):
        if self.failed:
            return
        try:
            self.callback(event)
        except Exception as error:
            self.failed = True
            warnings.warn(
                f"the callback {self.callback!r} failed at {event.kind!r} and is not "
                f"called again in this fit, which goes on: {type(error).__name__}: "
                f"{error}",
                DeepfakeEnsembleWarning,
                stacklevel=4,
            )


_listeners: ContextVar[tuple[_Listener, ...]] = ContextVar("listeners", default=())
_place: ContextVar[dict[str, str]] = ContextVar("place", default={})  # noqa: B039


class listening:
    """Call callbacks, beside those of callers, at the events inside a block.

    Parameters
    ----------
    callbacks : iterable of callable, or None
        Each is called with a `TrainingEvent`, in their order.

    Raises
    ------
    TypeError
        If one is not callable, or they are no list of them.

    Examples
    --------
    >>> from base_models.callbacks import listening, tell
    >>> with listening([lambda event: print(event.kind, event.detector)]):
    ...     tell("fit_begin", detector="xception_face")
    fit_begin xception_face
    """

    def __init__(
        self, callbacks: Iterable[Callable[[TrainingEvent], Any]] | None
    ) -> None:
        if callable(callbacks) or isinstance(callbacks, (str, dict)):
            raise TypeError(f"callbacks must be a list of callables; got {callbacks!r}")
        callbacks = [] if callbacks is None else list(callbacks)
        for callback in callbacks:
            if not callable(callback) or isinstance(callback, type):
                raise TypeError(
                    "a callback must be callable with one TrainingEvent; got "
                    f"{callback!r}"
                )
        self._mine = tuple(map(_Listener, callbacks))
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        self._tokens.append(_listeners.set((*_listeners.get(), *self._mine)))

    def __exit__(self, *failure: object) -> None:
        _listeners.reset(self._tokens.pop())


def is_heard() -> bool:
    """Say whether anybody listens here.

    Examples
    --------
    >>> from base_models.callbacks.events import is_heard
    >>> is_heard()
    False
    """
    return bool(_listeners.get())


def tell(kind: str, **fields: Any) -> None:
    """Tell those who listen of an event.

    Parameters
    ----------
    kind : str
        As of `TrainingEvent`.
    **fields
        Its other fields; detector and fold are those of `at_place`, where one is set.
    """
    if _listeners.get():
        send(TrainingEvent(kind, **(fields | _place.get())))


def send(event: TrainingEvent) -> None:
    """Send an event on to those who listen."""
    for listener in _listeners.get():
        listener.hear(event)


@contextmanager
def at_place(detector: str, fold: str) -> Iterator[None]:
    """Say for the events inside a block which member and which of its fits they are of.

    Examples
    --------
    >>> from base_models.callbacks.events import at_place, listening, tell
    >>> with listening([lambda event: print(event.detector, event.fold)]):
    ...     with at_place("sound", "split 1 of 5"):
    ...         tell("fit_begin", detector="SoundDetector()")
    sound split 1 of 5
    """
    token = _place.set({"detector": detector, "fold": fold})
    try:
        yield
    finally:
        _place.reset(token)


@contextmanager
def fit_told(detector: Any, name: str) -> Iterator[None]:
    """Tell of the begin and the end of the fit of a detector inside a block.

    A fit within another, of what a detector is made of, is a part of that one.

    Parameters
    ----------
    detector : detector
        With its history when the block is over, if it has one.
    name : str
    """
    if _within.get() or not is_heard():
        yield
        return
    token, began = _within.set(True), time.perf_counter()
    try:
        tell(FIT_BEGIN, detector=name)
        yield
    finally:
        _within.reset(token)
    history = getattr(detector, "history_", None)
    tell(
        FIT_END,
        detector=name,
        metrics={"seconds": time.perf_counter() - began},
        artifacts={} if history is None else {"history": list(history)},
    )


def with_events(
    function: Callable[..., Any], detector: str, fold: str, *arguments: Any
) -> tuple[Any, list[TrainingEvent]]:
    """Call a function where its events may be heard by nobody.

    Parameters
    ----------
    function : callable
    detector, fold : str
        As for `at_place`.
    *arguments
        Of the function.

    Returns
    -------
    result : object
        Of the function.
    events : list of TrainingEvent
        For `send` at the caller's; none where callbacks heard them at once.

    Examples
    --------
    >>> from base_models.callbacks.events import with_events
    >>> with_events(max, "sound", "split 1 of 5", 1, 2)
    (2, [])
    """
    with at_place(detector, fold):
        if is_heard():
            return function(*arguments), []
        with noted() as events:
            result = function(*arguments)
    return result, events


@contextmanager
def noted() -> Iterator[list[TrainingEvent]]:
    """Note the events of a block that nobody hears here, to be sent elsewhere.

    Models and tables stay where they are: of the artifacts histories alone travel.

    Examples
    --------
    >>> from base_models.callbacks.events import noted, tell
    >>> with noted() as events:
    ...     tell("fit_begin", detector="sound")
    >>> [event.kind for event in events]
    ['fit_begin']
    """
    events: list[TrainingEvent] = []

    def note(event):
        kept = {k: v for k, v in event.artifacts.items() if k == "history"}
        events.append(replace(event, artifacts=kept))

    with listening([note]):
        yield events
