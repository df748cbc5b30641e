"""Runs tasks on a cluster of Dask. Loaded only where Dask is in use."""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker
from distributed.client import ClosedClientError

from base_models.errors import DeepfakeEnsembleWarning
from base_models.runtime.clusters.sending import Lost, lacking, unpacked, work

_changing = Lock()  # of:
_watching: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # client: engines
_PATIENCE = 60  # seconds without workers, after which a warning says so
_NO_WARNING = {"distributed.admin.large-graph-warning-threshold": "1 TB"}


class DaskEngine:
    """Submits tasks through a client of Dask.

    Dask gives tasks of a lost worker to others by itself, so that one which kills its
    worker would kill some more before anyone hears of it. The scheduler tells its
    clients which tasks a lost worker had: those are cancelled, and it is for the caller
    to send them again.

    Parameters
    ----------
    client : Client
    options : dict
        For each `Client.submit`, such as ``{"resources": {"GPU": 1}}``.
    """

    def __init__(self, client: Client, options: dict[str, Any]) -> None:
        self._client, self._options = client, options
        self._futures: dict[str, Future] = {}  # under way, by key
        self._lost: set[str] = set()  # keys of those whose worker is gone
        self._ended: SimpleQueue = SimpleQueue()  # keys
        self._known = (0.0, 0)  # when was asked for the threads, and how many
        self._had_workers: float | None = time.monotonic()  # None: that was warned of
        with _changing:
            if client not in _watching:
                _watching[client] = weakref.WeakSet()
                engines = _watching[client]  # not the client: it shall not hold itself

                async def hear(event):
                    await _hear(event, engines)

                client.subscribe_topic("all", hear)
            _watching[client].add(self)

    def end(self) -> None:
        """Hear no more: the scheduler would tell a client that closes of its own end.

        It finds it gone then, which it logs as critical.
        """
        with _changing:
            engines = _watching.get(self._client, ())
            if self not in engines:
                return
            engines.discard(self)
            if not engines:
                del _watching[self._client]
                with suppress(ClosedClientError):
                    self._client.unsubscribe_topic("all")

    def n_at_once(self) -> int:
        """Return how many threads the workers have that are there now."""
        asked, n_threads = self._known
        if time.monotonic() - asked > 1:
            n_threads = sum(self._client.nthreads().values())
            self._known = time.monotonic(), n_threads
            self._warn_without_workers(n_threads)
        return max(1, n_threads)

    def _warn_without_workers(self, n_threads):
        now = time.monotonic()
        if n_threads:
            self._had_workers = now
        elif self._had_workers is not None and now - self._had_workers > _PATIENCE:
            self._had_workers = None
            warnings.warn(
                f"no worker has been on the cluster of Dask for {_PATIENCE} s; tasks "
                "wait until one is started (Ctrl+C keeps what is done)",
                DeepfakeEnsembleWarning,
                stacklevel=2,
            )

    def has_gpus(self) -> bool:
        """Return whether some worker declares the resource GPU."""
        workers = self._client.scheduler_info()["workers"].values()
        return any(worker.get("resources", {}).get("GPU", 0) >= 1 for worker in workers)

    def share(self, packed: bytes) -> Future:
        """Have a pickled value as a task's result.

        Scattered data would be lost with the worker that has it.
        """
        with dask.config.set(_NO_WARNING):
            return self._client.submit(unpacked, packed, pure=False)

    def send(
        self, packed: bytes, shared: Sequence[Future], name: str, on_gpu: bool
    ) -> str:
        """Submit a task; return its key."""
        options, key = dict(self._options), f"{name}-{uuid4().hex}"
        if on_gpu:
            options["resources"] = {"GPU": 1, **options.get("resources", {})}
        with dask.config.set(_NO_WARNING):
            future = self._client.submit(
                work, packed, *shared, key=key, pure=False, **options
            )
        self._futures[key] = future
        future.add_done_callback(self._note_end)
        return key

    def wait(self, sent: Sequence[str]) -> list[tuple[str, Any]]:
        """Wait for tasks to end, a second at most; return what came of them."""
        keys = []
        with suppress(Empty):
            keys.append(self._ended.get(timeout=1))
            while True:
                keys.append(self._ended.get_nowait())
        came: list[tuple[str, Any]] = []
        done = {}
        for key in dict.fromkeys(keys):
            future = self._futures.get(key)
            if future is None:
                continue  # heard of before
            if key in self._lost:
                self._lost.discard(key)
                del self._futures[key]
                came.append((key, Lost("Dask says that the worker is gone")))
            elif future.status == "finished":
                done[key] = self._futures.pop(key)
            elif future.status in ("pending", "lost"):
                # It was done, but the result is gone with its worker: done again.
                future.add_done_callback(self._note_end)
            else:
                came.append((key, _failure(self._futures.pop(key))))
        return came + self._results(done)

    def cancel(self, sent: Sequence[str]) -> None:
        """Cancel tasks; one that runs ends by itself."""
        futures = [self._futures.pop(key) for key in sent if key in self._futures]
        self._client.cancel(futures)

    async def heard(self, keys: Any) -> None:
        """Cancel those of our tasks that a lost worker had, before others get them.

        In the client's thread: the caller's may be waiting for results.
        """
        futures = {key: self._futures[key] for key in keys if key in self._futures}
        self._lost.update(futures)
        if futures:
            await self._client.cancel(list(futures.values()), asynchronous=True)
        for key in futures:
            self._ended.put(key)

    def _note_end(self, future):
        self._ended.put(future.key)

    def _results(self, done):
        try:
            return list(
                zip(done, self._client.gather(list(done.values())), strict=True)
            )
        except Exception:  # a result was lost with its worker, and then the task
            return [(key, _result(future)) for key, future in done.items()]


async def _hear(event, engines):
    _, message = event
    if message.get("action") != "remove-worker" or message.get("expected"):
        return
    for engine in list(engines):
        await engine.heard(message.get("processing-tasks", ()))


def _result(future):
    with suppress(Exception):
        return future.result()
    return _failure(future)


def _failure(future):
    """Return what came of a task that has no result."""
    error = future.exception()
    if error is None:  # it was done, but its result went with the worker
        return Lost("Dask says that the result is gone")
    if isinstance(error, KilledWorker):
        return Lost(str(error))
    if isinstance(error, ImportError):
        error = lacking(error)
    return None, (error, "it was not begun")
