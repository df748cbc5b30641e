"""A cluster of Dask on this machine, whose processes leave Ctrl-C to who started it."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import signal
import time
from asyncio import gather, run_coroutine_threadsafe
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import LocalCluster
from distributed.utils import LoopRunner

_KEPT: dict[str, Any] = {
    # It would close the nanny of a worker that is just being started again so many
    # seconds after an earlier loss, 15 unless set, and have one worker less.
    "distributed.deploy.lost-worker-timeout": "1 day",
    # Dask has workers give each piece of memory back at once: a fit, which takes it
    # again with each batch, then spends a third of its time on that.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
}
# A worker tells of tasks that it drops, and of a scheduler that is gone, as it ends.
# What is wrong with a task comes back to who sent it.
_HEARD = {
    "distributed.worker": logging.CRITICAL,
    "distributed.worker.memory": logging.WARNING,
}
_DYING = 1.0  # seconds in which all notice that workers were ended


@contextmanager
def local_cluster(n_workers: int) -> Iterator[LocalCluster]:
    """Start a cluster of Dask here, and end it after the block.

    Ctrl-C at a terminal goes to all processes that were started there. The workers
    never get it: whoever runs the block ends them, at whatever moment it comes.

    Parameters
    ----------
    n_workers : int
        Processes, of one thread each.

    Yields
    ------
    LocalCluster
    """
    preload = [*dask.config.get("distributed.worker.preload"), __name__]
    with dask.config.set(_KEPT | {"distributed.worker.preload": preload}):
        runner = LoopRunner()
        with _deaf():
            runner.start()  # from its thread all others come, and the workers
        try:
            started = LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                loop=runner.loop,
            )
        except KeyboardInterrupt:
            _abandon(runner.loop)
            raise
        try:
            yield started
        finally:
            _end(started)
            runner.stop()


def dask_setup(worker: Any) -> None:
    """Have a worker end without a word, and not by Ctrl-C; Dask calls it there.

    Libraries that it loads may let signals through again.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name, level in _HEARD.items():
        logging.getLogger(name).setLevel(level)


@contextmanager
def _deaf() -> Iterator[None]:
    """Have threads that are begun in the block, and their processes, get no SIGINT."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it lets SIGINT through in the thread that asks
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _abandon(loop: Any) -> None:
    """End what there is of a cluster that is still starting, without a word."""
    logging.disable(logging.CRITICAL)
    try:
        for each in list(LocalCluster._instances):
            if each.loop is loop:
                each.shutdown_on_close = False  # when Python ends: it cannot, half made
                run_coroutine_threadsafe(_closed(each), loop.asyncio_loop)
        until = time.monotonic() + _DYING
        while time.monotonic() < until:  # more may be on their way
            for process in multiprocessing.active_children():
                if "Dask Worker" in process.name:
                    with suppress(OSError, ValueError):
                        process.kill()
            time.sleep(_DYING / 10)
        gc.collect()  # here its failed tasks say so
    finally:
        logging.disable(logging.NOTSET)


async def _closed(cluster: Any) -> None:
    """Have nobody begin a worker again in place of one that is ended."""
    closing = [each.close(timeout=_DYING / 10) for each in list(cluster._created)]
    await gather(*closing, return_exceptions=True)


def _end(started: LocalCluster) -> None:
    """End a cluster of ours, whose work is done: its workers have a second to leave.

    With torch loaded an interpreter takes some, and is killed then, which is no news.
    """

    async def ended() -> None:
        workers = started.workers.values()
        closing = [worker.close(timeout=1) for worker in workers]
        await gather(*closing, return_exceptions=True)

    log = logging.getLogger("distributed.nanny")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        started.sync(ended)
    finally:
        log.setLevel(level)
        started.close()
