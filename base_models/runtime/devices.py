"""Where and on how many threads networks compute, so that answers repeat."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Iterator
from typing import Any

import torch
from sklearn.utils import check_random_state

from base_models.runtime.parallel import threads_of_task
from base_models.runtime.thread_pools import thread_pools

_MOST_THREADS = 4096  # more of them end a process that begins them


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return the torch device to compute on.

    Parameters
    ----------
    device : str, torch.device or None, default=None
        None takes a GPU where there is one.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If torch knows no such device, or there is none in this machine.

    Examples
    --------
    >>> from base_models.compute import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device is not None:
        return _checked_device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def uses_gpu(detector: Any) -> bool:
    """Return whether a detector, or one inside of it, computes on an NVIDIA GPU here.

    Parameters
    ----------
    detector : object
        Of those without a parameter `device` none does.

    Returns
    -------
    bool

    Examples
    --------
    >>> from base_models import FrameDetector, FrequencyDetector
    >>> from base_models.runtime.devices import uses_gpu
    >>> uses_gpu(FrameDetector(device="cpu")), uses_gpu(FrequencyDetector())
    (False, False)
    """
    if isinstance(detector, type) or not hasattr(detector, "get_params"):
        return False
    return any(
        resolve_device(value).type == "cuda"
        if name.rpartition("__")[2] == "device"
        else uses_gpu(value)  # FrozenEstimator hides what is inside of it
        for name, value in detector.get_params(deep=True).items()
    )


def _checked_device(device):
    """Return a device that is there; a ValueError says what is."""
    try:
        known = torch.device(device)
    except (RuntimeError, TypeError):
        hint = "; say 'cuda' for an NVIDIA GPU" if str(device).lower() == "gpu" else ""
        raise ValueError(
            f"device must be None or one that torch knows{hint}; got {device!r}. "
            f"{_devices_here()}"
        ) from None
    if known.type == "cuda":
        there = torch.cuda.is_available()
        there = there and (known.index or 0) < torch.cuda.device_count()
    elif known.type == "mps":
        there = torch.backends.mps.is_available()
    else:
        there = known.type == "cpu" or _computes(known)
    if there:
        return known
    raise ValueError(
        f"device={str(device)!r} is not there for this PyTorch ({torch.__version__}). "
        f"{_devices_here()}; leave device out to take the fastest"
    )


def _computes(device):
    """Whether torch can compute on a device of another kind."""
    try:
        return bool((torch.ones(1, device=device) + 1).cpu().item() == 2)
    except (RuntimeError, NotImplementedError, AssertionError, ImportError):
        return False


def _devices_here():
    found = ["cpu"]
    if torch.cuda.is_available():
        n = torch.cuda.device_count()
        found += ["cuda"] if n == 1 else [f"cuda:{number}" for number in range(n)]
    if torch.backends.mps.is_available():
        found.append("mps")
    return f"This machine has {', '.join(map(repr, found))}"


def resolve_threads(n_threads: int | None = None) -> int:
    """Return how many CPU threads one fit or one scoring run uses.

    The number does not depend on how many run side by side, because sums over
    more threads round otherwise: it is part of what makes scores repeatable.

    Parameters
    ----------
    n_threads : int or None, default=None
        None is all cores, but at most 4; on a cluster's worker those of the machine
        that sent the task.

    Returns
    -------
    int

    Examples
    --------
    >>> from base_models.compute import resolve_threads
    >>> resolve_threads(1)
    1
    """
    if n_threads is None:
        return threads_of_task()
    if not (isinstance(n_threads, int) and 1 <= n_threads <= _MOST_THREADS):
        raise ValueError(
            f"n_threads must be a whole number from 1 to {_MOST_THREADS}; got "
            f"{n_threads!r}"
        )
    return n_threads


# The number of threads, the generators of torch, NumPy and Python, and cuDNN's settings
# belong to the whole process. Whoever needs them set holds this lock meanwhile, so that
# threads that train or score at the same time take turns and never see each other's.
_process_settings = threading.RLock()


def _after_fork():
    global _process_settings
    _process_settings = threading.RLock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def fixed_threads(n_threads: int) -> Iterator[Any]:
    """Run torch, BLAS and OpenMP on so many threads, then restore what was.

    The setting holds for the whole process: other threads that want one of their own
    wait here until this one is done. So nothing inside may wait for another thread that
    fits or scores.

    Parameters
    ----------
    n_threads : int

    Examples
    --------
    >>> import torch
    >>> from base_models.compute import fixed_threads
    >>> with fixed_threads(1):
    ...     torch.get_num_threads()
    1
    """
    with _process_settings:
        before = torch.get_num_threads()
        with thread_pools().limit(limits=n_threads):
            torch.set_num_threads(n_threads)
            try:
                yield
            finally:
                torch.set_num_threads(before)


@contextlib.contextmanager
def repeatable(seed: int, n_threads: int) -> Iterator[Any]:
    """Run with seeds and a number of threads of one's own, then restore what was.

    It seeds the global generators of torch (on all devices), NumPy and Python, because
    layers that start random, dropout and the functions of other packages draw from
    them, and lets cuDNN choose repeatable algorithms. As these belong to the whole
    process, other threads that need them wait until this one is done.

    Parameters
    ----------
    seed : int
    n_threads : int

    Examples
    --------
    >>> import torch
    >>> from base_models.compute import repeatable
    >>> with repeatable(seed=0, n_threads=1):
    ...     first = torch.rand(1)
    >>> with repeatable(seed=0, n_threads=1):
    ...     print(torch.rand(1) == first)
    tensor([True])
    """
    with fixed_threads(n_threads), _kept_generators(), _repeatable_cudnn():
        seed_generators(seed)
        yield


def seed_generators(seed: int) -> None:
    """Seed the global generators of torch, NumPy and Python; inside `repeatable`.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    """
    torch.manual_seed(seed)
    check_random_state(None).seed([seed % 2**32, seed // 2**32])  # the global one
    random.seed(seed)


@contextlib.contextmanager
def _kept_generators():
    of_numpy, of_python = check_random_state(None).get_state(), random.getstate()
    of_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            check_random_state(None).set_state(of_numpy)
            random.setstate(of_python)
            if of_mps is not None:
                torch.mps.set_rng_state(of_mps)


@contextlib.contextmanager
def _repeatable_cudnn():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
