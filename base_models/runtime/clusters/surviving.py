"""Runs the tasks of lost workers again, and gives up those that end each worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from base_models.runtime.clusters.sending import Lost

_TRIES = 3  # of a task alone: one that ends its process each time is given up
_MANY = 4  # lost tasks for each that runs at once: not one worker, many are leaving


def surviving(
    run: Callable[..., Iterator[tuple[int, Any]]],
    tasks: Iterable[tuple],
    at_once: int,
    name: str,
    give_up: Callable[[tuple, str], Any] | None = None,
) -> Iterator[tuple[int, Any]]:
    """Run tasks, and those again that were under way when a worker was lost.

    They are suspects: after all others they run one at a time, so that each shows
    whether it was its fault. Where many are lost, machines are leaving; then they run
    side by side again first.

    Parameters
    ----------
    run : callable
        Runs numbered tasks; it gives their results, or `Lost`.
    tasks : iterable of tuple
    at_once : int
        How many run side by side.
    name : str
        What they do, for the error.
    give_up : callable or None, default=None
        See `base_models.runtime.parallel.run_tasks`.

    Yields
    ------
    number : int
    result : object

    Raises
    ------
    RuntimeError
        After the last result.
    """
    held: dict[int, tuple] = {}
    todo: Iterable[tuple[int, tuple]] = enumerate(tasks)
    n_before: float = float("inf")
    while True:
        suspects = []
        for number, outcome in run(_holding(todo, held)):
            if isinstance(outcome, Lost):
                suspects.append((number, held.pop(number)))
            else:
                del held[number]
                yield number, outcome
        if not _MANY * at_once < len(suspects) < n_before:
            break
        todo, n_before = suspects, len(suspects)
    error = None
    for number, task in suspects:
        for _ in range(_TRIES):
            [(_, outcome)] = run([(number, task)])
            if not isinstance(outcome, Lost):
                break
        else:
            reason = (
                f"it ended the process that worked on it {_TRIES} times (out of "
                "memory, or a fault of the decoder)"
            )
            if give_up is None:
                error = error or _given_up(name, outcome)
                continue
            outcome = give_up(task, reason)
        yield number, outcome
    if error is not None:
        raise error


def _holding(numbered, held):
    for number, task in numbered:
        held[number] = task
        yield number, task


def _given_up(name, lost):
    return RuntimeError(
        f"a task was given up: {name} ended the process that worked on it "
        f"{_TRIES} times when it ran alone (out of memory, or a fault in compiled "
        f"code); give workers more memory, or leave out what it worked on. The last "
        f"time: {lost.reason}"
    )
