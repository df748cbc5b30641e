"""Runs tasks side by side, wherever joblib's backend has its workers."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from itertools import islice
from threading import Lock
from typing import Any
from uuid import uuid4

from base_models.limits import current_limits, within
from base_models.runtime.clusters.given_up import know_given_up, videos_given_up
from base_models.runtime.clusters.sending import Lost, Shared, run_on
from base_models.runtime.clusters.surviving import surviving
from base_models.runtime.ending.callers import end_with_caller
from base_models.runtime.prefetch import n_cores
from base_models.runtime.warn_once import heard_by_sender, warn_for_workers

_LOCAL = ("loky", "multiprocessing", "sequential", "threading")  # joblib's own
_BATCH = 4  # tasks a worker, where results do not come one by one
_PROCESS = uuid4().hex  # with its id: two containers have processes of the same
_threads: ContextVar[int | None] = ContextVar("threads", default=None)


def run_tasks(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    n_jobs: int | None = None,
    give_up: Callable[[tuple, str], Any] | None = None,
    needs_gpu: bool | Sequence[bool] = False,
) -> Iterator[tuple[int, Any]]:
    """Call a function with the arguments of each task, several at once.

    Where they run is what ``joblib.parallel_config`` says: in processes or threads of
    this machine, or on the workers of a Dask or Ray cluster. So a task must say all
    that it needs and be small: a file by its full path, a store by its folder. It must
    not change its arguments, which other tasks of the same worker may hold.

    The tasks of a process that ended (a machine that is gone, memory that ran out, a
    fault of a decoder) run again: those that it may have been the fault of one at a
    time, after all others. One that ends its process each time is given up. Threads,
    and one job, run in this process, and end it.

    Parameters
    ----------
    function : callable
        Of a module, so that another process finds it.
    tasks : iterable of tuple
        Arguments for each call. They are taken as workers become free.
    n_jobs : int or None, default=None
        As joblib counts; None is what ``parallel_config`` says, and 1 outside of it.
    give_up : callable or None, default=None
        Called in this process as ``give_up(task, reason)`` for one that is given up;
        what it returns is its result. None raises an error instead.
    needs_gpu : bool or sequence of bool, default=False
        Whether tasks, or which of them, ask their cluster for a GPU: Ray for one of its
        GPUs, Dask for 1 of the resource "GPU". Where no worker has it, none is asked
        for.

    Yields
    ------
    number : int
        Which task, counted from 0.
    result : object
        Each as soon as it is there, in any order. After a task that fails, what was
        done before comes first, then its error.

    Raises
    ------
    RuntimeError
        After all other results: for a task that is given up.

    Examples
    --------
    >>> from base_models.runtime.parallel import run_tasks
    >>> sorted(run_tasks(divmod, [(7, 2), (9, 4)], n_jobs=2))
    [(0, (3, 1)), (1, (2, 1))]
    """
    from joblib.parallel import get_active_backend

    at_once = n_jobs_here(n_jobs)
    engine, most = _engine(n_jobs)
    if engine is None and at_once == 1:
        for number, task in enumerate(tasks):
            yield number, function(*_with_values(task))
        return
    if engine is not None:
        run = partial(_on_engine, engine, function, needs_gpu, most)
    elif get_active_backend()[0].supports_return_generator:
        run = partial(_on_joblib, function, n_jobs, at_once)
    else:
        run = partial(_in_batches, function, n_jobs, at_once)
    try:
        yield from surviving(_told(run), tasks, at_once, _name(function), give_up)
    finally:
        if engine is not None:
            engine.end()


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

    It does on a cluster, for arguments that are
    `base_models.runtime.clusters.sending.Shared`.

    Examples
    --------
    >>> from base_models.runtime.parallel import shares_arguments
    >>> shares_arguments()
    False
    """
    return _engine(None, only_ask=True)[0] is not None


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
def with_threads(threads: int) -> Iterator[None]:
    """Let `threads_of_task` be this number within the block: of who sent the task.

    Parameters
    ----------
    threads : int
    """
    token = _threads.set(threads)
    try:
        yield
    finally:
        _threads.reset(token)


@contextmanager
def _sent_with(along):
    """Have a task know what was sent along with it, and gather what it warns of."""
    threads, given_up, sender, limits = along
    know_given_up(given_up)
    is_here = sender == (_PROCESS, os.getpid())  # it warns by itself
    with (
        with_threads(threads),
        within(limits),
        nullcontext({}) if is_here else heard_by_sender() as said,
    ):
        yield said


def _sent_along():
    """Return what a task knows of this process: threads, limits, what it gave up."""
    here = _PROCESS, os.getpid()
    return threads_of_task(), videos_given_up(), here, current_limits()


def _told(run):
    """Have a run warn of what its workers told of."""
    known: set[Hashable] = set()

    def warning(*arguments, **options):
        for number, outcome in run(*arguments, **options):
            if not isinstance(outcome, Lost):
                outcome, said = outcome
                warn_for_workers(said, known)
            yield number, outcome

    return warning


def _engine(n_jobs, only_ask=False):
    """Return Dask or Ray, if tasks go there, and how many at once are allowed."""
    from joblib.parallel import BACKENDS, get_active_backend

    backend, configured = get_active_backend()
    if n_jobs == 1 or type(backend) not in (BACKENDS.get("dask"), BACKENDS.get("ray")):
        return None, None
    if type(backend) is BACKENDS.get("dask"):
        if only_ask:
            return True, None
        from base_models.runtime.clusters.dask_engine import DaskEngine

        return DaskEngine(backend.client, backend.submit_kwargs), None
    wanted = configured if n_jobs is None else n_jobs
    if wanted in (None, 1):  # as joblib has it: one task at once is done here
        return None, None
    if only_ask:
        return True, None
    from base_models.runtime.clusters.ray_engine import RayEngine

    return RayEngine(backend.ray_remote_args or {}), wanted if wanted > 0 else None


def _name(function):
    return getattr(function, "__name__", type(function).__name__)


def _with_values(task):
    """Return arguments without what only clusters need."""
    return [each.value if isinstance(each, Shared) else each for each in task]


def _folder():
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return None


def _on_engine(engine, function, needs_gpu, most, numbered):
    """Run tasks on a cluster's workers."""
    call = partial(_inside, _sent_along(), function)
    if isinstance(needs_gpu, bool):
        queues = [(needs_gpu, iter(numbered))]
    else:
        numbered = list(numbered)
        queues = [
            (wanted, iter([each for each in numbered if needs_gpu[each[0]] == wanted]))
            for wanted in (True, False)
        ]
    return run_on(engine, call, queues, _name(function), most)


def _on_joblib(function, n_jobs, at_once, numbered):
    """Run tasks in joblib's processes or threads on this machine."""
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError
    from joblib.parallel import get_active_backend

    # It says so in a thread of its own, which would end where warnings are errors, and
    # all tasks would be waited for in vain; a worker that grew is replaced by another.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    backend, _ = get_active_backend()
    in_threads = getattr(backend, "supports_sharedmem", False)
    call = partial(_numbered, _sent_along(), None if in_threads else _folder())
    sent = _Sent(numbered)

    class Quiet(Parallel):
        def _warn_exit_early(self):
            """Say nothing of tasks that nobody waits for, as after an error."""

    # No more are sent than run at once, so that few are suspects.
    run = Quiet(n_jobs, return_as="generator_unordered", pre_dispatch=at_once)
    try:
        for number, result in run(
            delayed(call)(number, function, *_with_values(task))
            for number, task in sent
        ):
            sent.came(number)
            yield number, result
    except TerminatedWorkerError as error:
        lost = Lost(" ".join(str(error).split()))
        for number in sent.stop():
            yield number, lost
        yield from _on_joblib(function, n_jobs, at_once, sent.rest)


class _Sent:
    """Tasks as joblib takes them, in some thread, and which of them are under way."""

    def __init__(self, numbered):
        self.rest = iter(numbered)
        self._under_way, self._lock, self._stopped = set(), Lock(), False

    def __iter__(self):
        while True:
            with self._lock:
                if self._stopped or (each := next(self.rest, None)) is None:
                    return
                self._under_way.add(each[0])
            yield each

    def came(self, number):
        """Note that a task is done."""
        self._under_way.discard(number)

    def stop(self):
        """Hand out no more; return the numbers of those under way."""
        with self._lock:
            self._stopped = True
        return sorted(self._under_way)


def _in_batches(function, n_jobs, at_once, numbered):
    """Run tasks on a backend of joblib that gives results back all at once."""
    from joblib import Parallel, delayed

    numbered, along = iter(numbered), _sent_along()
    with Parallel(n_jobs=n_jobs) as run:
        while batch := list(islice(numbered, _BATCH * at_once)):
            sent = (
                delayed(_tried)(along, number, function, *_with_values(task))
                for number, task in batch
            )
            failed = None
            for number, result, problem in run(sent):
                if problem is None:
                    yield number, result
                failed = failed or problem
            if failed:
                error, story = failed
                raise error from RuntimeError(f"in a worker:\n{story}")


def _numbered(along, folder, number, function, *arguments):
    """Call it in the caller's folder: joblib's processes may be older than that is."""
    if along[2] != (_PROCESS, os.getpid()):
        end_with_caller()
    if folder is not None and folder != _folder():
        os.chdir(folder)
    with _sent_with(along) as said:
        return number, (function(*arguments), said)


def _inside(along, function, *arguments):
    """Call it on a worker whose own tasks stay with it, as with joblib's processes.

    Dask would send them to the cluster, where they wait for those that wait for them.
    """
    from joblib import parallel_config

    with parallel_config(backend="threading"), _sent_with(along) as said:
        return function(*arguments), said


def _tried(along, number, function, *arguments):
    """Hand an error back beside the results, which would be lost with it."""
    try:
        return number, _inside(along, function, *arguments), None
    except Exception as error:
        return number, None, (error, traceback.format_exc())
