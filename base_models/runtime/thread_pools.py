"""The threads of BLAS and OpenMP in this process."""

from __future__ import annotations

import os
import threading
from typing import Any

from threadpoolctl import ThreadpoolController

from base_models.runtime.caches import cached


class _OneBlasThread:
    """Where BLAS runs on one thread: more cost more for products of small matrices.

    The last of several threads inside restores what was before the first.
    """

    def __init__(self) -> None:
        self._start()
        if hasattr(os, "register_at_fork"):  # another thread may have held the lock
            os.register_at_fork(after_in_child=self._start)

    def _start(self):
        self.lock, self.inside, self.limit = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.limit = thread_pools().limit(limits=1, user_api="blas")
                self.limit.__enter__()
            self.inside += 1

    def __exit__(self, *problem: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.__exit__(None, None, None)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return _OneBlasThread, ()  # what is described is the class


@cached(maxsize=1)
def thread_pools() -> ThreadpoolController:
    """Return the libraries found; looking for them takes milliseconds.

    Examples
    --------
    >>> from base_models.runtime.thread_pools import one_blas_thread, thread_pools
    >>> blas = thread_pools().select(user_api="blas")
    >>> with one_blas_thread:
    ...     {pool["num_threads"] for pool in blas.info()}
    {1}
    """
    return ThreadpoolController()


one_blas_thread = _OneBlasThread()
