"""Several processes that train one network together, a device each."""

from __future__ import annotations

import contextlib
import datetime
import multiprocessing
import os
import threading
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = datetime.timedelta(days=1)  # for each other: one may have views to make


def n_processes() -> int:
    """Return how many processes a launcher started to train together.

    Only the launched processes themselves count, not the workers that they start to
    fit several detectors side by side.

    Returns
    -------
    int
        1 without a launcher.

    Examples
    --------
    >>> from base_models.runtime.distributed import n_processes
    >>> n_processes()
    1
    """
    launched = (
        {"RANK", "WORLD_SIZE"} <= os.environ.keys()
        and multiprocessing.parent_process() is None
        and threading.current_thread() is threading.main_thread()
    )
    return int(os.environ["WORLD_SIZE"]) if launched else 1


def joined_processes(device: torch.device) -> Processes:
    """Return the processes of which this one is part.

    A script started with ``accelerate launch --num_processes 4 script.py`` runs four
    times; each of them calls this, with the others.

    Parameters
    ----------
    device : torch.device
        Where to compute; without a number, every process takes a GPU of its own.

    Returns
    -------
    Processes

    Raises
    ------
    ImportError
        If there are several and ``accelerate`` is not installed.

    Examples
    --------
    >>> import torch
    >>> from base_models.runtime.distributed import joined_processes
    >>> joined_processes(torch.device("cpu")).n
    1
    """
    n = n_processes()
    if n == 1:
        return Processes()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise ImportError(
            f"this script was started as {n} processes; to train one network together "
            "they need accelerate: pip install 'deepfake-ensemble[gpus]', or start the "
            "script once"
        ) from error
    state = PartialState(cpu=device.type == "cpu", timeout=_PATIENCE)
    return Processes(state.num_processes, state.process_index)


class Processes:
    """What the processes of one training do together; alone, nothing.

    Parameters
    ----------
    n : int, default=1
        How many there are.
    rank : int, default=0
        Which of them this is; number 0 is the main one.

    Examples
    --------
    >>> from base_models.runtime.distributed import Processes
    >>> alone = Processes()
    >>> alone.main, alone.agree("mine")
    (True, 'mine')
    """

    def __init__(self, n: int = 1, rank: int = 0) -> None:
        self.n, self.rank = n, rank

    @property
    def main(self) -> Any:
        """Whether this is the process that writes and decides."""
        return self.rank == 0

    @property
    def share(self) -> Any:
        """The part of a batch, or of other work, that is this process's."""
        return slice(self.rank, None, self.n)

    def wait(self) -> None:
        """Go on when all have come this far."""
        if self.n > 1:
            self.agree(None)

    def agree(self, thing: object) -> Any:
        """Return what the main process passes, in all of them."""
        if self.n == 1:
            return thing
        things = [thing if self.main else None]
        torch.distributed.broadcast_object_list(things, src=0)
        return things[0]

    def total(self, tensor: Any) -> Any:
        """Return the sum of the processes' tensors."""
        if self.n > 1:
            tensor = tensor.clone()
            torch.distributed.all_reduce(tensor)
        return tensor

    def wrap(self, network: Any) -> Any:
        """Return the network with weights as in the main process, gradients averaged.

        Which weights learn must not change afterwards; wrap it again then.
        """
        if self.n == 1 or not any(p.requires_grad for p in network.parameters()):
            return network
        return DistributedDataParallel(network)

    def averaging(self, wrapped: Any, due: Any) -> Any:
        """Average gradients in this pass only if a step is due."""
        if self.n == 1 or due or not isinstance(wrapped, DistributedDataParallel):
            return contextlib.nullcontext()
        return wrapped.no_sync()
