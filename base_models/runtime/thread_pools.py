"""The threads of BLAS and OpenMP in this process."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from threadpoolctl import ThreadpoolController

from base_models.runtime.caches import cached

_lock = threading.Lock()
_inside, _limit = 0, None


def _after_fork():
    global _lock
    _lock = threading.Lock()  # another thread may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run BLAS on one thread: products of small matrices cost more where it has more.

    The last of several threads inside restores what was before the first.

    Examples
    --------
    >>> from base_models.runtime.thread_pools import one_blas_thread, thread_pools
    >>> blas = thread_pools().select(user_api="blas")
    >>> with one_blas_thread():
    ...     {pool["num_threads"] for pool in blas.info()}
    {1}
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _limit = thread_pools().limit(limits=1, user_api="blas")
            _limit.__enter__()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.__exit__(None, None, None)


@cached(maxsize=1)
def thread_pools() -> ThreadpoolController:
    """Return the libraries found; looking for them takes milliseconds."""
    return ThreadpoolController()
