"""Where and on how many threads networks compute, so that answers repeat."""

import contextlib
import functools

import torch
from threadpoolctl import ThreadpoolController

from base_models.look_ahead import n_cores


def resolve_device(device=None):
    """Return the torch device to compute on.

    Parameters
    ----------
    device : str, torch.device or None, default=None
        None takes a GPU where there is one.

    Returns
    -------
    torch.device

    Examples
    --------
    >>> from base_models.compute import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    if device is not None:
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def resolve_threads(n_threads=None):
    """Return how many CPU threads one fit or one scoring run uses.

    The number does not depend on how many run side by side, because sums over
    more threads round otherwise: it is part of what makes scores repeatable.

    Parameters
    ----------
    n_threads : int or None, default=None
        None is all cores, but at most 4.

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
        return min(4, n_cores())
    if not (isinstance(n_threads, int) and n_threads >= 1):
        raise ValueError(f"n_threads must be a whole number >= 1; got {n_threads!r}")
    return n_threads


@contextlib.contextmanager
def fixed_threads(n_threads):
    """Run torch, BLAS and OpenMP on so many threads, then restore what was.

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
    before = torch.get_num_threads()
    with _thread_pools().limit(limits=n_threads):
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@contextlib.contextmanager
def repeatable(seed, n_threads):
    """Run torch with a seed and a number of threads of its own, then restore both.

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
    deterministic = torch.backends.cudnn.deterministic
    with fixed_threads(n_threads), torch.random.fork_rng():
        torch.backends.cudnn.deterministic = True
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.backends.cudnn.deterministic = deterministic


@functools.lru_cache(maxsize=1)
def _thread_pools():
    return ThreadpoolController()  # looking for the libraries takes milliseconds
