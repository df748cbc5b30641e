"""joblib's Dask backend, which also says when the cluster gives a task up.

joblib's own waits without end for a task that killed its workers, or that no worker
could read. Loaded only where Dask is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from joblib._dask import DaskDistributedBackend


class _GivenUp(NamedTuple):
    error: BaseException


class DaskBackend(DaskDistributedBackend):
    """Raise what the cluster raises; cancel what nobody waits for any more.

    Parameters
    ----------
    client, wait_for_workers_timeout, **submit_kwargs
        As of joblib's.
    """

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks run at once; joblib would keep a single one here."""
        return max(2, super().effective_n_jobs(n_jobs))

    def submit(self, func: Any, callback: Callable | None = None) -> Any:
        """Send a batch; the callback gets what came of it, an error too."""

        def ended(future):
            if future.exception() is not None:
                callback(_GivenUp(future.exception()))

        future = super().submit(func, callback)
        future.add_done_callback(ended)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Return the results of a batch, or raise."""
        if isinstance(out, _GivenUp):
            raise out.error
        return super().retrieve_result_callback(out)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel the tasks that are still with the cluster."""
        super().abort_everything(ensure_ready)
        self.client.cancel(list(self._results))


def with_errors(backend: DaskDistributedBackend, *needed: Any) -> DaskBackend:
    """Return such a backend with the settings of joblib's own.

    Parameters
    ----------
    backend : DaskDistributedBackend
    *needed : function or class
        What tasks are made of. A worker that cannot import it would fall silent.

    Raises
    ------
    ImportError
        If a worker cannot.
    """
    from distributed.protocol.pickle import dumps, loads

    probe = backend.client.submit(
        loads, dumps(needed), pure=False, **backend.submit_kwargs
    )
    try:
        probe.result()
    except ImportError as error:
        raise ImportError(
            f"a worker of the cluster lacks what its tasks need: {error}; install this "
            "library, and the modules of your own detectors, on all workers"
        ) from error
    return DaskBackend(
        client=backend.client,
        wait_for_workers_timeout=backend.wait_for_workers_timeout,
        **backend.submit_kwargs,
    )
