"""Where the parts of a batch run are done: by joblib's backend, Dask or Ray Data."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

from base_models.batch.job import Job, packed
from base_models.batch.parts import Done, do_part
from base_models.choices import ENGINES
from base_models.limits import current_limits, within
from base_models.naming import did_you_mean
from base_models.runtime.clusters.ray_starting import start_ray
from base_models.runtime.clusters.sending import Shared
from base_models.runtime.parallel import run_tasks, threads_of_task, with_threads

_MOST_BLOCKS = 10_000  # of a data set of Ray


def check_engine(engine: str | None) -> None:
    """Refuse an engine that is none, is not installed or has no cluster.

    Parameters
    ----------
    engine : {"dask", "ray"} or None

    Raises
    ------
    ValueError
    ImportError
        Saying which extra brings it.
    """
    if engine is None:
        return
    if engine not in ENGINES:
        raise ValueError(
            f"engine must be None, {' or '.join(map(repr, ENGINES))}; got {engine!r}"
            f"{did_you_mean(engine, ENGINES)}"
        )
    try:
        if engine == "dask":
            import distributed
        else:
            import ray.data  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"engine={engine!r} needs a package that is not installed ({error}): "
            f"pip install 'deepfake-ensemble[{engine}]'"
        ) from error
    if engine == "dask" and not _joblib_has_dask():
        try:
            distributed.get_client()
        except ValueError as error:
            raise ValueError(
                "engine='dask' needs a client: dask.distributed.Client(address), a "
                "block of base_models.cluster(address), or --cluster address"
            ) from error


def _joblib_has_dask():
    from joblib.parallel import BACKENDS, get_active_backend

    return type(get_active_backend()[0]) is BACKENDS.get("dask")


def run_parts(
    engine: str | None, job: Job, numbers: list[int]
) -> Iterator[tuple[int, Done | None]]:
    """Do parts of a batch run, several at once.

    Parameters
    ----------
    engine : {"dask", "ray"} or None
    job : Job
    numbers : list of int

    Yields
    ------
    number : int
    done : Done or None
        In any order; None of a part that ended each process which worked on it.
    """
    if engine == "ray":
        yield from _on_ray(job, numbers)
        return
    from joblib import parallel_config

    with contextlib.ExitStack() as opened:
        if engine == "dask" and not _joblib_has_dask():
            opened.enter_context(parallel_config("dask"))
        shared = Shared(opened.enter_context(packed(job)))
        tasks = ((shared, number) for number in numbers)
        came = run_tasks(do_part, tasks, give_up=_lost, needs_gpu=job.scorer.wants_gpu)
        for place, done in came:
            yield numbers[place], done


def _lost(task, reason):
    return None


def _on_ray(job, numbers):
    import ray
    from ray.data import DataContext
    from ray.exceptions import RayTaskError

    if not ray.is_initialized():
        start_ray(log_to_driver=False)
    has = ray.cluster_resources()
    on_gpu = job.scorer.wants_gpu and has.get("GPU", 0) >= 1
    n_actors = max(1, min(int(has.get("GPU" if on_gpu else "CPU", 1)), len(numbers)))
    context = DataContext.get_current()
    context.enable_progress_bars = False  # ours counts videos
    with packed(job, anywhere=True) as ours:
        parts = ray.data.from_items(
            [{"part": number} for number in numbers],
            override_num_blocks=min(len(numbers), _MOST_BLOCKS),
        )
        # Ray Data starts a dead actor again, and its part with it, without end: notes
        # beside the output say which video did that, and when it is given up.
        done = parts.map_batches(
            _Parts,
            batch_size=1,
            fn_constructor_args=[ray.put(ours), threads_of_task(), current_limits()],
            concurrency=(1, n_actors),
            num_gpus=1 if on_gpu else 0,
            num_cpus=1,
        )
        try:
            for row in done.iter_rows():
                yield int(row["part"]), pickle.loads(row["done"])
        except RayTaskError as error:
            raise _cause(error) from error


def _cause(error: Any) -> Any:
    """Return what our code raised within a worker of Ray."""
    cause = error
    while getattr(cause, "cause", None) is not None or cause.__cause__ is not None:
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause


class _Parts:
    """Does parts in an actor of Ray, which holds the model."""

    def __init__(self, packed_job, threads, limits):
        import ray

        self._packed, self._threads = ray.get(packed_job), threads
        self._limits = limits

    def __call__(self, batch):
        done = []
        with with_threads(self._threads), within(self._limits):
            for number in batch["part"]:
                done.append(pickle.dumps(do_part(self._packed, int(number))))
        return {"part": batch["part"], "done": done}
