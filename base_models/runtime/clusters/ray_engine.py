"""Runs tasks on a cluster of Ray. Loaded only where Ray is in use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import ray
from ray import exceptions

from base_models.runtime.clusters.ray_starting import start_ray
from base_models.runtime.clusters.sending import Lost, work

_LOST = (
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,  # a result, with the machine that had it
)


class RayEngine:
    """Runs each task as one of Ray, in a process that does no other at that time.

    Parameters
    ----------
    options : dict
        Of each task, as for ``ray.remote``, such as ``{"num_gpus": 1}``.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        if not ray.is_initialized():
            start_ray()
        self._work = ray.remote(work)
        # Who kills its worker is counted by our caller.
        self._options = {**options, "max_retries": 0}
        self._known = (0.0, 0)  # when was asked for the cores, and how many

    def end(self) -> None:
        """Nothing of it stays."""

    def n_at_once(self) -> int:
        """Return how many cores the machines have that are there now."""
        asked, n_cores = self._known
        if time.monotonic() - asked > 1:
            n_cores = int(ray.cluster_resources().get("CPU", 0))
            self._known = time.monotonic(), n_cores
        return max(1, n_cores)

    def has_gpus(self) -> bool:
        """Return whether some machine has a GPU."""
        return ray.cluster_resources().get("GPU", 0) >= 1

    def share(self, packed: bytes) -> Any:
        """Have a pickled value in Ray's store of objects."""
        return ray.put(packed)

    def send(
        self, packed: bytes, shared: Sequence[Any], name: str, on_gpu: bool
    ) -> Any:
        """Begin a task; return the reference of its result."""
        options = {"num_gpus": 1, **self._options} if on_gpu else self._options
        task = self._work.options(name=name, **options)
        return task.remote(packed, *shared, are_packed=True)

    def wait(self, sent: Sequence[Any]) -> list[tuple[Any, Any]]:
        """Wait for tasks to end, a second at most; return what came of them."""
        if not ray.wait(sent, num_returns=1, timeout=1)[0]:
            return []
        ended, _ = ray.wait(sent, num_returns=len(sent), timeout=0)
        return [(each, _outcome(each)) for each in ended]

    def cancel(self, sent: Sequence[Any]) -> None:
        """Cancel tasks; one that runs is interrupted as by Ctrl+C."""
        for each in sent:
            ray.cancel(each)


def _outcome(reference):
    try:
        return ray.get(reference)
    except _LOST as error:
        return Lost(" ".join(str(error).split()))
    except exceptions.RayError as error:  # it was not begun
        return None, (error, str(error))
