"""Dask and Ray as they run elsewhere: their processes are started by hand."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import joblib
import pytest

from base_models import cluster
from base_models.runtime.clusters.sending import Shared
from base_models.runtime.parallel import run_tasks, shares_arguments

pytestmark = pytest.mark.slow

HERE = os.path.dirname(__file__)


def slow_pid(number, seconds):
    time.sleep(seconds)
    return os.getpid()


def seen_gpus(number):
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()


def length(value, number):
    return len(value) + number


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def process(*command, **env):
    paths = [HERE, os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | env
    quiet = subprocess.DEVNULL
    started = subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


# Dask


def worker(address, *options):
    """A worker process that nobody starts again."""
    module = "distributed.cli.dask_worker"
    how = ("--nthreads", "1", "--no-nanny", "--no-dashboard", *options)
    return process(sys.executable, "-m", module, address, *how)


@pytest.fixture
def scheduler():
    """The address of a scheduler, which runs in a process of its own."""
    pytest.importorskip("distributed")
    port = free_port()
    module = "distributed.cli.dask_scheduler"
    how = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    with process(sys.executable, "-m", module, *how):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.2)
        yield f"tcp://127.0.0.1:{port}"


def test_tasks_of_a_killed_worker_run_again_and_a_late_worker_gets_some(scheduler):
    by: dict[int, int] = {}  # task: process

    def until_the_late_one_has_done_some():
        n_more = 10
        for number in range(600):
            if len({*by.values()}) == 2:
                n_more -= 1
            if n_more == 0:
                return
            yield number, 0.2

    with contextlib.ExitStack() as opened:
        first = opened.enter_context(worker(scheduler))
        opened.enter_context(cluster(scheduler))
        late = None
        for number, pid in run_tasks(slow_pid, until_the_late_one_has_done_some()):
            by[number] = pid
            if late is None:
                late = opened.enter_context(worker(scheduler))
            elif pid == late.pid:
                first.kill()  # which has a task under way
        assert sorted(by) == list(range(len(by)))
        assert {*by.values()} == {first.pid, late.pid}


def test_members_that_want_a_gpu_ask_dask_for_one(scheduler):
    with (
        worker(scheduler, "--resources", "GPU=1") as gpu,
        worker(scheduler) as plain,
        cluster(scheduler),
    ):
        opened_by = {
            pid for _, pid in run_tasks(slow_pid, [(n, 0.5) for n in range(8)])
        }
        assert opened_by == {gpu.pid, plain.pid}
        wanted = [number % 2 == 0 for number in range(8)]
        tasks = [(number, 0.1) for number in range(8)]
        came = dict(run_tasks(slow_pid, tasks, needs_gpu=wanted))
        assert {came[number] for number in range(0, 8, 2)} == {gpu.pid}
        assert set(dict(run_tasks(slow_pid, tasks, needs_gpu=True)).values()) == {
            gpu.pid
        }


def test_without_a_gpu_none_is_asked_for(scheduler):
    with worker(scheduler) as plain, cluster(scheduler):
        came = dict(run_tasks(slow_pid, [(0, 0), (1, 0)], needs_gpu=True))
        assert set(came.values()) == {plain.pid}


def test_what_is_left_is_cancelled_and_the_cluster_takes_new_tasks(scheduler):
    with worker(scheduler), cluster(scheduler):
        run = run_tasks(slow_pid, [(number, 0.5) for number in range(100)])
        next(run)
        run.close()
        start = time.monotonic()
        assert dict(run_tasks(divmod, [(7, 2)])) == {0: (3, 1)}
        assert time.monotonic() - start < 10


def test_a_shared_argument_outlives_the_worker_that_has_it(scheduler):
    value = Shared("x" * 1000)
    with contextlib.ExitStack() as opened:
        first = opened.enter_context(worker(scheduler))
        opened.enter_context(cluster(scheduler))
        assert shares_arguments()
        run = run_tasks(length, [(value, number) for number in range(50)])
        came = dict([next(run)])
        opened.enter_context(worker(scheduler))
        first.kill()
        came.update(run)
    assert came == {number: 1000 + number for number in range(50)}


# Ray


@pytest.fixture(scope="module")
def ray_with_gpus(engines):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        with engines["ray"](num_gpus=2) as settings, joblib.parallel_config(**settings):
            yield


def test_members_that_want_a_gpu_ask_ray_for_one(ray_with_gpus):
    wanted = [number % 2 == 0 for number in range(8)]
    came = dict(run_tasks(seen_gpus, [(n,) for n in range(8)], needs_gpu=wanted))
    assert {came[number][0] for number in range(0, 8, 2)} <= {"0", "1"}
    assert not {came[number][0] for number in range(1, 8, 2)} & {"0", "1"}


def test_ray_shares_an_argument_and_cancels_what_is_left(ray_with_gpus):
    value = Shared("x" * 1000)
    came = dict(run_tasks(length, [(value, number) for number in range(6)]))
    assert came == {number: 1000 + number for number in range(6)}
    run = run_tasks(slow_pid, [(number, 0.5) for number in range(100)])
    next(run)
    run.close()
    start = time.monotonic()
    assert dict(run_tasks(divmod, [(7, 2)])) == {0: (3, 1)}
    assert time.monotonic() - start < 20


def test_a_task_is_given_up_through_a_client_server_of_ray(request):
    pytest.importorskip("ray")
    pytest.importorskip("grpc")
    port, client_port = free_port(), free_port()
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    ray = os.path.join(os.path.dirname(sys.executable), "ray")
    folder = tempfile.mkdtemp(prefix="ray")  # paths of sockets must be short
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    head = process(
        ray, "start", "--head", "--block", "--num-cpus", "2", "--port", str(port),
        "--ray-client-server-port", str(client_port), "--include-dashboard=false",
        "--temp-dir", folder, "--object-store-memory", "100000000", **env,
    )  # fmt: skip
    script = f"""
import json, socket, time
from base_models import cluster
from base_models.runtime.parallel import run_tasks
import test_lost_tasks
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        socket.create_connection(("127.0.0.1", {client_port}), 1).close()
        break
    except OSError:
        time.sleep(0.5)
with cluster("ray://127.0.0.1:{client_port}"):
    came = dict(run_tasks(test_lost_tasks.square_or_die, test_lost_tasks.TASKS,
                          give_up=test_lost_tasks.say))
print(json.dumps(came))
"""
    paths = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")])
    with head:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | env | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    came = json.loads(done.stdout.splitlines()[-1])
    task, reason = came.pop("3")
    assert came == {str(n): n**2 for n in range(8) if n != 3}
    assert task == [3, 3]
    assert reason.startswith("it ended the process that worked on it 3 times")
