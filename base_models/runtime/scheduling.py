"""Sends many tasks of unlike length: the longest first, the small ones together."""

from __future__ import annotations

import itertools
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.runtime.parallel import n_jobs_here, run_tasks, runs_elsewhere

SECONDS = 1.0  # that a message to a worker should take: what a lost worker costs
_MOST = 256  # tasks of a message, however quick
_LEFT = 2  # messages that should be left for each worker: they end at the same time


def run_each(
    function: Callable[..., Any],
    tasks: Sequence[tuple],
    work: ArrayLike | None = None,
    n_jobs: int | None = None,
    shared: tuple = (),
    give_up: Callable[[tuple, str], Any] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Call a function with the arguments of each task, where `run_tasks` does.

    The longest are begun first, so that the last minutes are not those of one worker.
    Small tasks travel together, as many as take about a second by what the last ones
    took, and fewer at the end. In one process they run one by one in their order.

    Parameters
    ----------
    function : callable
        Of a module, called as ``function(*task, *shared)``.
    tasks : sequence of tuple
        Arguments of each call.
    work : array-like of shape (n_tasks,) or None, default=None
        How long each may take, in any unit, such as the bytes of a file; NaN where
        nobody knows. None leaves the order as it is.
    n_jobs : int or None, default=None
        As for `run_tasks`.
    shared : tuple, default=()
        Arguments that all tasks have in common. They travel once a message, and those
        that are `base_models.runtime.clusters.sending.Shared` once a worker.
    give_up : callable or None, default=None
        As for `run_tasks`, called with a task and what is shared. Those that travelled
        together are tried one by one before.

    Yields
    ------
    number : int
        Which task, as given.
    result : object
        In any order. After a task that fails, what was done before comes first.

    Examples
    --------
    >>> from base_models.runtime.scheduling import run_each
    >>> tasks = [(7,), (9,), (11,)]
    >>> sorted(run_each(divmod, tasks, work=[1, 3, 2], n_jobs=2, shared=(2,)))
    [(0, (3, 1)), (1, (4, 1)), (2, (5, 1))]
    """
    at_once = n_jobs_here(n_jobs)
    if at_once == 1 and not runs_elsewhere(n_jobs):
        alone: Iterable[int] = range(len(tasks))
        yield from _one_by_one(function, tasks, shared, alone, n_jobs, give_up)
        return
    chunks = Chunks(longest_first(work, len(tasks)), at_once)
    calls = (([tasks[number] for number in chunk], *shared) for chunk in chunks)
    came = run_tasks(_Several(function), calls, n_jobs, partial(_lost, give_up))
    alone = []
    for place, (results, seconds, problem) in came:
        if results is None:
            alone += chunks.back(place, seconds)
            continue
        yield from zip(chunks.back(place, seconds), results, strict=False)
        if problem is not None:
            error, story = problem
            raise error from RuntimeError(f"in a worker:\n{story}")
    yield from _one_by_one(function, tasks, shared, alone, n_jobs, give_up)


def _one_by_one(function, tasks, shared, numbers, n_jobs, give_up):
    numbers = list(numbers)
    calls = ((*tasks[number], *shared) for number in numbers)
    for place, result in run_tasks(function, calls, n_jobs, give_up):
        yield numbers[place], result


def _lost(give_up, message, reason):
    """Return what came of a message that is given up; of several tasks nothing."""
    (first, *others), *shared = message
    if others or give_up is None:
        return None, SECONDS, None
    return [give_up((*first, *shared), reason)], SECONDS, None


def longest_first(work: ArrayLike | None, n_tasks: int) -> np.ndarray:
    """Return the order in which tasks are begun.

    Parameters
    ----------
    work : array-like of shape (n_tasks,) or None
        Those of which nothing is known (NaN) stand where the mean would.
    n_tasks : int

    Examples
    --------
    >>> from base_models.runtime.scheduling import longest_first
    >>> longest_first([1, 3, float("nan"), 4, 3], 5).tolist()
    [3, 1, 4, 2, 0]
    """
    if work is None:
        return np.arange(n_tasks)
    work = np.asarray(work, float)
    if work.shape != (n_tasks,):
        raise ValueError(
            f"work must have one entry per task; got {work.shape} for {n_tasks} tasks"
        )
    known = ~np.isnan(work)
    middle = work[known].mean() if known.any() else 0.0
    return np.argsort(-np.where(known, work, middle), kind="stable")


class Chunks:
    """Cuts tasks into messages while they are taken, by how long the last ones took.

    Neighbours are alike, as the longest come first, and what is to come is not longer.
    A message has at most twice as many tasks as one that is back.

    Parameters
    ----------
    order : int ndarray of shape (n_tasks,)
    at_once : int
        Workers.

    Examples
    --------
    >>> from base_models.runtime.scheduling import Chunks
    >>> chunks = Chunks(np.arange(40), at_once=2)
    >>> taken = iter(chunks)
    >>> next(taken), next(taken)
    ([0], [1])
    >>> chunks.back(0, seconds=0.01)
    [0]
    >>> next(taken)
    [2, 3]
    """

    def __init__(self, order: np.ndarray, at_once: int) -> None:
        self._order = order
        self._at_once = at_once
        self._length = 1
        self._away: dict[int, list[int]] = {}

    def __iter__(self) -> Iterator[list[int]]:
        at = 0
        for place in itertools.count():
            if (left := len(self._order) - at) == 0:
                return
            length = max(1, min(self._length, left // (_LEFT * self._at_once)))
            self._away[place] = chunk = self._order[at : at + length].tolist()
            at += length
            yield chunk

    def back(self, place: int, seconds: float) -> list[int]:
        """Note how long a message took, by its place among those sent; return it."""
        chunk = self._away.pop(place)
        fits = int(SECONDS * len(chunk) / max(seconds, 1e-6))
        self._length = max(1, min(fits, 2 * len(chunk), _MOST))
        return chunk


class _Several:
    """Calls a function for the tasks of a message; engines show its name."""

    def __init__(self, function):
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self._function = function

    def __call__(self, tasks, *shared):
        results, began = [], time.perf_counter()
        problem = None
        for task in tasks:
            try:
                results.append(self._function(*task, *shared))
            except Exception as error:  # what was done before it is handed back too
                problem = error, traceback.format_exc()
                break
        return results, time.perf_counter() - began, problem
