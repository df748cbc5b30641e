"""Clusters by their address: what is connected to, what is closed, what is refused."""

import logging
import os
import socket
import sys
import time

import pytest
import torch

from base_models import cluster
from base_models.runtime.clusters.connecting import check_address
from base_models.runtime.parallel import is_local, run_tasks, runs_elsewhere


@pytest.fixture
def silent_port():
    """A port of this machine where somebody listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def pid_exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("tcp://10.0.0.1:8786", ("tcp", "10.0.0.1", "8786", None)),
        ("tcp://[::1]:8786", ("tcp", "[::1]", "8786", None)),
        ("ray://head.lab:10001", ("ray", "head.lab", "10001", None)),
        ("local", (None, None, None, None)),
        ("local:4", (None, None, None, "4")),
    ],
)
def test_an_address_is_read(address, parts):
    written = check_address(address)
    assert tuple(written[k] for k in ("engine", "host", "port", "workers")) == parts


@pytest.mark.parametrize(
    "address",
    ["", "10.0.0.1:8786", "tcp://10.0.0.1", "http://a:1", "local:0", "local:-1",
     "local:two", "tcp://a:99999", "tcp://a:0", "tcp:// :1/x", None, 4],
)  # fmt: skip
def test_an_odd_address_is_refused(address):
    with (
        pytest.raises(ValueError, match="must be one of tcp://HOST:PORT, ray://"),
        cluster(address),
    ):
        pass


@pytest.mark.parametrize("engine", ["tcp", "ray"])
def test_nobody_at_an_address_is_an_error_at_once(engine):
    pytest.importorskip("distributed" if engine == "tcp" else "grpc")
    address = f"{engine}://127.0.0.1:{free_port()}"
    start = time.perf_counter()
    with (
        pytest.raises(ConnectionError, match=f"nobody answers at {address}.*start"),
        cluster(address),
    ):
        pass
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [("tcp://a:1", "distributed", "dask"), ("local", "distributed", "dask"),
     ("ray://a:1", "ray", "ray")],
)  # fmt: skip
def test_an_engine_that_is_not_installed_is_named(address, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(ImportError, match=rf"pip install 'deepfake-ensemble\[{extra}\]"),
        cluster(address),
    ):
        pass
    assert is_local()


@pytest.mark.slow
def test_who_is_no_scheduler_is_found_out_in_seconds(silent_port):
    pytest.importorskip("distributed")
    start = time.perf_counter()
    with (
        pytest.raises(ConnectionError, match="is no scheduler of Dask"),
        cluster(f"tcp://127.0.0.1:{silent_port}"),
    ):
        pass
    assert time.perf_counter() - start < 15


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_local_cluster_computes_in_processes_that_end_with_it(n_workers):
    pytest.importorskip("distributed")
    with cluster(f"local:{n_workers}") as started:
        assert (started.n_workers, started.n_tasks) == (n_workers, n_workers)
        assert started.dashboard.startswith("http://127.0.0.1:")
        assert runs_elsewhere()
        assert not runs_elsewhere(1)
        pids = {pid for _, pid in run_tasks(os.getpid, [()] * 6)}
        assert os.getpid() not in pids
        assert len(pids) <= n_workers
        found = [
            value for _, value in run_tasks(os.getenv, [("MALLOC_TRIM_THRESHOLD_",)])
        ]
        assert found == [os.getenv("MALLOC_TRIM_THRESHOLD_")]  # and not Dask's own
    assert is_local()
    assert not any(map(pid_exists, pids))


@pytest.mark.slow
def test_a_local_cluster_ends_in_seconds_and_without_a_word():
    pytest.importorskip("distributed")
    logged, log = [], logging.getLogger("distributed")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())
    log.addHandler(handler)
    try:
        with cluster("local:2"):
            # an interpreter with torch takes seconds to end
            assert len(list(run_tasks(torch.get_num_threads, [()] * 4))) == 4
            begun = time.perf_counter()
        assert time.perf_counter() - begun < 3.5
    finally:
        log.removeHandler(handler)
    assert logged == []


@pytest.mark.slow
def test_a_cluster_that_ran_before_stays_and_so_does_an_earlier_client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as running,
        distributed.Client(running) as own,
    ):
        for _ in range(2):
            with cluster(running.scheduler_address) as connected:
                assert connected.n_workers == 2
                assert len(dict(run_tasks(divmod, [(7, 2)] * 3))) == 3
        assert distributed.get_client() is own
        assert own.submit(divmod, 7, 2).result() == (3, 1)


@pytest.mark.slow
def test_an_error_in_the_block_closes_the_cluster_too():
    pytest.importorskip("distributed")
    with pytest.raises(ZeroDivisionError), cluster("local:1"):  # noqa: PT012
        (_, pid), *_ = run_tasks(os.getpid, [()])
        list(run_tasks(divmod, [(1, 0)]))
    assert is_local()
    assert not pid_exists(pid)
