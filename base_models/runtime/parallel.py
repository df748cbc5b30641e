"""Runs tasks side by side, wherever joblib's backend has its workers."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import chain, islice
from typing import Any

from base_models.runtime.prefetch import n_cores

_LOCAL = ("loky", "multiprocessing", "sequential", "threading")  # joblib's own
_BATCH = 4  # tasks a worker, where results do not come one by one
_threads: ContextVar[int | None] = ContextVar("threads", default=None)


def run_tasks(
    function: Callable[..., Any], tasks: Iterable[tuple], n_jobs: int | None = None
) -> Iterator[tuple[int, Any]]:
    """Call a function with the arguments of each task, several at once.

    Where they run is what ``joblib.parallel_config`` says: in processes or threads of
    this machine, or on the workers of a Dask or Ray cluster. So a task must say all
    that it needs and be small: a file by its full path, a store by its folder. It must
    not change its arguments, which other tasks of the same worker may hold.

    Parameters
    ----------
    function : callable
        Of a module, so that another process finds it.
    tasks : iterable of tuple
        Arguments for each call. They are taken as workers become free.
    n_jobs : int or None, default=None
        As joblib counts; None is what ``parallel_config`` says, and 1 outside of it.

    Yields
    ------
    number : int
        Which task, counted from 0.
    result : object
        Each as soon as it is there, in any order. A backend that cannot hand back
        results one by one, such as Ray's, gives them in batches. After a task that
        fails, what was done before comes first, then its error.

    Examples
    --------
    >>> from base_models.runtime.parallel import run_tasks
    >>> sorted(run_tasks(divmod, [(7, 2), (9, 4)], n_jobs=2))
    [(0, (3, 1)), (1, (2, 1))]
    """
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    at_once = n_jobs_here(n_jobs)
    if at_once == 1 and not (runs_elsewhere(n_jobs) and _is_dask(backend)):
        yield from ((number, function(*task)) for number, task in enumerate(tasks))
        return
    numbered = ((number, function, *task) for number, task in enumerate(tasks))
    if backend.supports_return_generator:
        call = _caller_for(backend, function)
        if _is_dask(backend):
            from base_models.runtime.clusters.dask_backend import with_errors

            first = next(numbered, ())
            backend = with_errors(backend, call, function, *map(type, first))
            numbered = chain([first] if first else [], numbered)
        run = Parallel(n_jobs, backend, return_as="generator_unordered")
        yield from run(delayed(call)(*task) for task in numbered)
        return
    with Parallel(n_jobs=n_jobs) as run:
        while batch := list(islice(numbered, _BATCH * at_once)):
            failed = None
            sent = (delayed(_tried)(threads_of_task(), *task) for task in batch)
            for number, result, problem in run(sent):
                if problem is None:
                    yield number, result
                failed = failed or problem
            if failed:
                error, story = failed
                raise error from RuntimeError(f"in a worker:\n{story}")


def n_jobs_here(n_jobs: int | None) -> int:
    """Return how many tasks run at once: joblib's number for its active backend.

    Examples
    --------
    >>> import joblib
    >>> from base_models.runtime.parallel import n_jobs_here
    >>> with joblib.parallel_config("threading", n_jobs=3):
    ...     n_jobs_here(None)
    3
    """
    import joblib

    return int(joblib.effective_n_jobs(n_jobs))


def is_local() -> bool:
    """Return whether the active backend is joblib's own, with workers on this machine.

    Examples
    --------
    >>> from base_models.runtime.parallel import is_local
    >>> is_local()
    True
    """
    from joblib.parallel import BACKENDS, get_active_backend

    backend, _ = get_active_backend()
    return type(backend) in {BACKENDS[name] for name in _LOCAL if name in BACKENDS}


def runs_elsewhere(n_jobs: int | None = None) -> bool:
    """Return whether `run_tasks` sends tasks to the workers of a cluster.

    Parameters
    ----------
    n_jobs : int or None, default=None
        As for `run_tasks`; with 1 all is done here.

    Examples
    --------
    >>> from base_models.runtime.parallel import runs_elsewhere
    >>> runs_elsewhere()
    False
    """
    return n_jobs != 1 and not is_local()


def shares_arguments() -> bool:
    """Return whether a large argument of many tasks travels once to each worker.

    It does with Dask. Others send it with each task.

    Examples
    --------
    >>> from base_models.runtime.parallel import shares_arguments
    >>> shares_arguments()
    False
    """
    from joblib.parallel import get_active_backend

    return _is_dask(get_active_backend()[0])


def threads_of_task() -> int:
    """Return how many CPU threads one fit or one scoring run uses, unless it is set.

    All cores, but at most 4. It is part of what makes scores repeatable, so that on a
    cluster's worker it is the number of the machine which sent the task, whatever cores
    the worker has.

    Examples
    --------
    >>> from base_models.runtime.parallel import threads_of_task
    >>> 1 <= threads_of_task() <= 4
    True
    """
    return _threads.get() or min(4, n_cores())


@contextmanager
def _sent_with(threads):
    token = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(token)


def _is_dask(backend):
    from joblib.parallel import BACKENDS

    return type(backend) is BACKENDS.get("dask")


def _caller_for(backend, function):
    if not is_local():
        name = getattr(function, "__name__", type(function).__name__)
        return _Named(name, partial(_numbered_inside, threads_of_task()))
    in_threads = getattr(backend, "supports_sharedmem", False)
    return partial(_numbered, threads_of_task(), None if in_threads else _folder())


def _folder():
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return None


class _Named:
    """What calls tasks, under their function's name: engines show it."""

    def __init__(self, name, call):
        self.__name__ = name
        self._call = call

    def __call__(self, *arguments):
        return self._call(*arguments)


def _numbered(threads, folder, number, function, *arguments):
    """Call it in the caller's folder: joblib's processes may be older than that is."""
    if folder is not None and folder != _folder():
        os.chdir(folder)
    with _sent_with(threads):
        return number, function(*arguments)


def _numbered_inside(threads, number, function, *arguments):
    """Call it on a worker whose own tasks stay with it, as with joblib's processes.

    Dask would send them to the cluster, where they wait for those that wait for them.
    """
    from joblib import parallel_config

    with parallel_config(backend="threading"), _sent_with(threads):
        return number, function(*arguments)


def _tried(threads, number, function, *arguments):
    """Hand an error back beside the results, which would be lost with it."""
    try:
        return *_numbered_inside(threads, number, function, *arguments), None
    except Exception as error:
        return number, None, (error, traceback.format_exc())
