"""Keeps the workers of a cluster busy with tasks, whichever engine it is."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Lost(NamedTuple):
    """What comes back of a task whose worker ended, or of one that waited for it.

    Attributes
    ----------
    reason : str
        What the engine says.
    """

    reason: str


@dataclass(frozen=True, eq=False)
class Shared:
    """An argument of many tasks, which travels once to each worker of a cluster.

    The function gets the value; all tasks must be given the same object of this class.

    Attributes
    ----------
    value : object

    Examples
    --------
    >>> from base_models.runtime.clusters.sending import Shared
    >>> from base_models.runtime.parallel import run_tasks
    >>> seven = Shared(7)
    >>> list(run_tasks(divmod, [(seven, 2), (seven, 4)]))
    [(0, (3, 1)), (1, (1, 3))]
    """

    value: Any


class Engine(Protocol):
    """What Dask and Ray must do for us."""

    def n_at_once(self) -> int:
        """Return how many tasks run at once on the workers that are there now."""

    def has_gpus(self) -> bool:
        """Return whether some worker says that it has a GPU to ask for."""

    def share(self, packed: bytes) -> Any:
        """Have a pickled value with the engine; return what stands for it."""

    def send(
        self, packed: bytes, shared: Sequence[Any], name: str, on_gpu: bool
    ) -> Hashable:
        """Begin `work` with these arguments; return what stands for it."""

    def wait(self, sent: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Wait a second at most for any of these; return what came of some.

        Each with what `work` returned, or with a `Lost`.
        """

    def cancel(self, sent: Sequence[Any]) -> None:
        """Forget tasks, and end those that have not begun."""

    def end(self) -> None:
        """Leave the cluster as it was: no more tasks are sent."""


class _Place(NamedTuple):
    """Stands for a shared argument: which."""

    number: int


def run_on(
    engine: Engine,
    call: Callable[..., Any],
    queues: Sequence[tuple[bool, Iterator[tuple[int, tuple]]]],
    name: str,
    most: int | None = None,
) -> Iterator[tuple[int, Any]]:
    """Run tasks on an engine, some more under way than there are workers for.

    Parameters
    ----------
    engine : Engine
    call : callable
        Made of functions of modules; called with the arguments of each task.
    queues : sequence of (on_gpu, iterator of (number, arguments))
        Tasks that ask for a GPU, and those that do not: they do not wait for each
        other.
    name : str
        Under which the engine shows them.
    most : int or None, default=None
        Tasks under way in a queue; None is as many as keep all workers busy.

    Yields
    ------
    number : int
    result : object
        What the task returned, or a `Lost`.

    Raises
    ------
    Exception
        Of a task, after the results that had come by then. What is left is cancelled.
    """
    sender = _Sender(engine, call, name)
    under_way: dict[Hashable, tuple[int, int]] = {}
    begun = [0] * len(queues)
    is_open = [True] * len(queues)
    try:
        while True:
            width = most or 2 * engine.n_at_once() + 1
            for place, (on_gpu, queue) in enumerate(queues):
                while is_open[place] and begun[place] < width:
                    number, arguments = next(queue, (None, None))
                    if number is None:
                        is_open[place] = False
                        break
                    sent = sender.send(arguments, on_gpu)
                    under_way[sent] = number, place
                    begun[place] += 1
            if not under_way:
                return
            failed = None
            for sent, outcome in engine.wait(list(under_way)):
                number, place = under_way.pop(sent)
                begun[place] -= 1
                if isinstance(outcome, Lost):
                    yield number, outcome
                    continue
                result, problem = outcome
                failed = failed or problem
                if problem is None:
                    yield number, result
            if failed is not None:
                error, story = failed
                raise error from RuntimeError(f"in a worker:\n{story}")
    finally:
        if under_way:
            engine.cancel(list(under_way))


class _Sender:
    """Sends tasks, and what they share once."""

    def __init__(self, engine, call, name):
        self._engine, self._call, self._name = engine, call, name
        self._shared: dict[int, tuple[Shared, Any]] = {}  # by id, held
        self._gpus = None

    def send(self, arguments, on_gpu):
        if on_gpu and self._gpus is None:
            self._gpus = self._engine.has_gpus()
        shared, written = [], []
        for argument in arguments:
            if isinstance(argument, Shared):
                shared.append(self._reference(argument))
                argument = _Place(len(shared) - 1)
            written.append(argument)
        packed = _packed((self._call, written))
        on_gpu = bool(on_gpu and self._gpus)
        return self._engine.send(packed, shared, self._name, on_gpu)

    def _reference(self, argument):
        if id(argument) not in self._shared:
            reference = self._engine.share(_packed(argument.value))
            self._shared[id(argument)] = argument, reference
        return self._shared[id(argument)][1]


def _packed(value):
    import cloudpickle  # takes what is defined in __main__, too

    return cloudpickle.dumps(value)


def unpacked(packed: bytes) -> Any:
    """Return a value that another process packed; of our own caller alone."""
    return pickle.loads(packed)


def work(
    packed: bytes, *shared: Any, are_packed: bool = False
) -> tuple[Any, tuple[Exception, str] | None]:
    """Do a task on a worker; return its result, and its error with the traceback.

    An error comes back as a value: so engines need not know it, and try nothing again.

    Parameters
    ----------
    packed : bytes
        The call and its arguments.
    *shared : object
        Those that travel once.
    are_packed : bool, default=False
        Whether these are pickled too.
    """
    try:
        call, arguments = unpacked(packed)
        values = [unpacked(each) for each in shared] if are_packed else shared
    except (ImportError, AttributeError) as error:
        return None, (lacking(error), traceback.format_exc())
    arguments = [
        values[argument.number] if isinstance(argument, _Place) else argument
        for argument in arguments
    ]
    try:
        return call(*arguments), None
    except Exception as error:
        from base_models.runtime.failures import that_travels  # loads scikit-learn

        return None, (that_travels(error), traceback.format_exc())


def lacking(error: Exception) -> ImportError:
    """Return what to say where a worker cannot import what it is sent."""
    return ImportError(
        f"a worker of the cluster lacks what its tasks need: {error}; install this "
        "library, and the modules of your own detectors, on all workers"
    )
