"""Connects to a cluster of Dask or Ray, or starts one of Dask, for a block of code."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from base_models.addresses import public_name

ADDRESSES = ("tcp://HOST:PORT", "ray://HOST:PORT", "local[:N]")
_WRITTEN = re.compile(
    r"local(?::(?P<workers>\d+))?"
    r"|(?P<engine>tcp|ray)://(?P<host>\[[^\]/]+\]|[^\[\]:/@]+):(?P<port>\d+)/?"
)
_PATIENCE = 10  # seconds in which a cluster must answer
_SOON = 60  # seconds in which one without workers must get the first


@dataclass(frozen=True)
class ConnectedCluster:
    """A cluster that tasks run on.

    Attributes
    ----------
    address : str
        Of its scheduler or head.
    n_workers, n_tasks : int
        Workers of Dask, or machines of Ray; tasks that run at once on all of them.
    dashboard : str or None
        Address of the page on which the engine shows what it does.

    Examples
    --------
    >>> from base_models.runtime.clusters.connecting import ConnectedCluster
    >>> print(ConnectedCluster("tcp://10.0.0.1:8786", 2, 8, None))
    tcp://10.0.0.1:8786, 2 workers, 8 tasks at once
    """

    address: str
    n_workers: int
    n_tasks: int
    dashboard: str | None

    def __str__(self) -> str:
        some = f"{self.n_workers} worker{'s' * (self.n_workers != 1)}"
        tasks = f"{self.n_tasks} task{'s' * (self.n_tasks != 1)} at once"
        text = f"{self.address}, {some}, {tasks}"
        return text if self.dashboard is None else f"{text}, shown at {self.dashboard}"


@contextmanager
def cluster(address: str) -> Iterator[ConnectedCluster]:
    """Run every parallel step of this block on a cluster.

    The steps are those that take `n_jobs`; leave it out. At the end of the block the
    connection is closed, and a cluster that was started for it; one that ran before
    stays.

    Parameters
    ----------
    address : str
        ``"tcp://HOST:PORT"``: Dask's scheduler, with the extra ``dask``.
        ``"ray://HOST:PORT"``: the client server of Ray's head, with the extra ``ray``.
        ``"local:4"``: four worker processes, started here by Dask; ``"local"``: one for
        each core.

    Yields
    ------
    ConnectedCluster
        Printed it says where the cluster is, and where to watch it.

    Raises
    ------
    ValueError
        For an address that is none of these.
    ImportError
        Where the engine is not installed.
    ConnectionError
        Where nobody answers, after seconds.

    Notes
    -----
    Workers have this library in the same version, and see videos, the store and output
    folders under the same paths. A script that starts a local cluster does so below
    ``if __name__ == "__main__":``, as with any processes of Python.

    Examples
    --------
    >>> from base_models import cluster
    >>> from base_models.runtime.parallel import run_tasks
    >>> with cluster("local:2") as started:  # doctest: +SKIP
    ...     print(started)
    ...     sorted(run_tasks(divmod, [(7, 2), (9, 4)]))
    tcp://127.0.0.1:41003, 2 workers, 2 tasks at once, shown at http://127.0.0.1...
    [(0, (3, 1)), (1, (2, 1))]
    """
    written = check_address(address)
    with ExitStack() as opened:
        if written["engine"] == "ray":
            yield _ray(opened, address, written)
        else:
            yield _dask(opened, address, written)


def check_address(address: str) -> dict[str, Any]:
    """Return the parts of a cluster's address; nothing is opened.

    Parameters
    ----------
    address : str

    Returns
    -------
    dict of str to (str or None)
        ``engine``, ``host``, ``port``, or for a local cluster ``workers``.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> from base_models.runtime.clusters.connecting import check_address
    >>> check_address("local:2")["workers"]
    '2'
    """
    written = _WRITTEN.fullmatch(address) if isinstance(address, str) else None
    odd = written is None or written["workers"] == "0"
    if odd or int(written["port"] or 1) not in range(1, 65536):
        shown = public_name(address) if isinstance(address, str) else address
        raise ValueError(
            f"a cluster's address must be one of {', '.join(ADDRESSES)}; got {shown!r}"
        )
    return written.groupdict()


def _dask(opened, address, written):
    """Connect to Dask, or start it, and have joblib use it."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            f"{address} is a cluster of Dask, which is not installed: "
            "pip install 'deepfake-ensemble[dask]'"
        ) from error
    from joblib import parallel_config

    place = address
    if written["engine"] is None:
        from base_models.runtime.clusters.local_dask import local_cluster
        from base_models.runtime.prefetch import n_cores

        n_workers = int(written["workers"] or n_cores())
        place = opened.enter_context(local_cluster(n_workers))
    else:
        _check_there(address, written, "Dask's scheduler: dask scheduler", True)
    try:
        client = opened.enter_context(
            Client(place, timeout=_PATIENCE, set_as_default=False)
        )
    except OSError as error:  # a TimeoutError is one, too
        raise _no_scheduler(address, error) from error
    opened.enter_context(
        parallel_config("dask", client=client, wait_for_workers_timeout=_SOON)
    )
    threads = client.nthreads()
    where = client.scheduler.address
    return ConnectedCluster(
        where, len(threads), sum(threads.values()), client.dashboard_link or None
    )


def _ray(opened, address, written):
    """Connect to Ray and have joblib use it."""
    try:
        import grpc  # noqa: F401 (its client's: Ray alone does not bring it)
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise ImportError(
            f"{address} is a cluster of Ray, which is not installed with its client: "
            "pip install 'deepfake-ensemble[ray]'"
        ) from error
    from joblib import parallel_config

    if ray.is_initialized():
        raise ValueError(
            f"this process is connected to Ray already; leave {address} out and use "
            "joblib.parallel_config('ray', n_jobs=-1), or call ray.shutdown() first"
        )
    _check_there(
        address, written, "Ray's head: ray start --head --ray-client-server-port 10001"
    )
    try:
        client = ray.init(address, log_to_driver=False)
    except (ConnectionError, RuntimeError) as error:
        raise ConnectionError(
            f"what answers at {address} is no client server of Ray, or one of another "
            f"version ({error}); its port is 10001 unless set"
        ) from error
    opened.callback(client.disconnect)
    register_ray()
    opened.enter_context(parallel_config("ray", n_jobs=-1))
    board = f"http://{client.dashboard_url}" if client.dashboard_url else None
    n_tasks = int(ray.cluster_resources().get("CPU", 0))
    return ConnectedCluster(address, len(ray.nodes()), n_tasks, board)


def _check_there(address, written, how, speaks=False):
    """Refuse an address where nobody listens, before an engine waits without end.

    A scheduler of Dask is the first to speak; its client would wait for any other.
    """
    place = written["host"].strip("[]"), int(written["port"])
    try:
        connection = socket.create_connection(place, timeout=_PATIENCE / 2)
    except OSError as error:
        raise ConnectionError(
            f"nobody answers at {address} ({error.strerror or error}); start {how}, "
            "or give the address of one that runs"
        ) from error
    with connection:
        if speaks and not _hears(connection):
            raise _no_scheduler(address, "it says nothing")


def _hears(connection):
    try:
        return bool(connection.recv(1))
    except OSError:
        return False


def _no_scheduler(address, why):
    return ConnectionError(
        f"what answers at {address} is no scheduler of Dask ({why}); give the address "
        "that it printed when it started"
    )
