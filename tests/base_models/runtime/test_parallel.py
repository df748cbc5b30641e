"""Tasks run side by side: what comes back, when, and what an error leaves."""

import gc
import os
import re
import socket
import threading
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest

from base_models.runtime.parallel import is_local, n_jobs_here, run_tasks
from base_models.store import Store, store_key

BACKENDS = ["sequential", "threading", "loky"]


def test_what_joblib_says_of_its_workers_ends_nobody():
    """An error in the thread that says it leaves all tasks waiting for ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = run_tasks(squared, [(number,) for number in range(4)], n_jobs=2)
        found = dict(run)
        warnings.warn("A worker stopped while some jobs were given to", stacklevel=1)
    assert found == {0: 0, 1: 1, 2: 4, 3: 9}


def squared(number):
    return number**2


def refuse(number):
    if number == 3:
        raise ValueError("three is refused")
    return number


def seconds(length):
    time.sleep(length)
    return length


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_task_gives_its_result_under_its_number(backend):
    with joblib.parallel_config(backend, n_jobs=2):
        came = dict(run_tasks(squared, ((number,) for number in range(20))))
    assert came == {number: number**2 for number in range(20)}
    assert list(run_tasks(squared, [])) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_is_raised_as_it_was(backend):
    with (
        joblib.parallel_config(backend, n_jobs=2),
        pytest.raises(ValueError, match="three is refused"),
    ):
        list(run_tasks(refuse, [(number,) for number in range(20)]))


def test_a_slow_task_does_not_hold_back_those_that_are_done():
    with joblib.parallel_config("threading", n_jobs=2):
        came = run_tasks(seconds, [(0.5,), (0.0,), (0.0,)])
        assert [number for number, _ in came] == [1, 2, 0]


def test_what_was_done_before_an_error_has_come():
    came = []
    with pytest.raises(ValueError, match="three"):
        came.extend(
            number for number, _ in run_tasks(refuse, [(n,) for n in range(20)])
        )
    assert came == [0, 1, 2]


def test_who_stops_early_is_told_nothing_of_the_rest():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        results = run_tasks(seconds, [(0.05,)] * 12, n_jobs=2)
        next(results)
        results.close()
        gc.collect()
    assert not [each for each in said if "tasks" in str(each.message)]


@pytest.mark.slow
def test_none_is_what_the_config_says_and_a_number_is_that_number():
    def seen(n_jobs):
        tasks = [(0.05,)] * 8
        return len({name for _, name in run_tasks(thread_after, tasks, n_jobs)})

    assert (n_jobs_here(None), seen(None)) == (1, 1)
    with joblib.parallel_config("threading", n_jobs=4):
        assert (n_jobs_here(None), n_jobs_here(2)) == (4, 2)
        assert (seen(None), seen(2), seen(1)) == (4, 2, 1)
    with joblib.parallel_config("threading"):
        assert seen(None) == 1


def thread_after(length):
    time.sleep(length)
    return threading.get_ident()


def test_the_processes_of_joblib_are_on_this_machine():
    for backend in ("loky", "multiprocessing", "sequential", "threading"):
        with joblib.parallel_config(backend):
            assert is_local()
    with joblib.parallel_config("loky", n_jobs=2):
        (_, other), *_ = run_tasks(os.getpid, [(), ()])
    assert other != os.getpid()


def test_a_process_counts_paths_from_where_the_caller_is_now(tmp_path, monkeypatch):
    with joblib.parallel_config("loky", n_jobs=2):
        list(run_tasks(os.getpid, [()] * 4))  # the processes start
        monkeypatch.chdir(tmp_path)
        came = dict(run_tasks(os.getcwd, [()] * 4))
    assert set(came.values()) == {str(tmp_path.resolve())}


def test_no_other_module_starts_joblib_by_itself():
    root = Path(__file__).resolve().parents[3]
    users = [
        path.name
        for package in ("base_models", "ensemble")
        for path in (root / package).rglob("*.py")
        if re.search(r"\bParallel\(", path.read_text("utf-8"))
    ]
    assert users == ["parallel.py"]


def unused_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def kept(address, number):
    key = store_key(number=number)
    Store(address).put("scores", key, {"scores": np.zeros(1)})
    return Store(address).get("scores", key)


def test_a_store_that_workers_cannot_use_is_told_of_once_by_the_caller():
    address = f"ftp://127.0.0.1:{unused_port()}/store"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(2):  # the processes are the same, and have warned before
            came = dict(run_tasks(kept, [(address, n) for n in range(4)], n_jobs=2))
            assert came == dict.fromkeys(range(4))
    texts = [str(each.message) for each in said]
    assert len(texts) == 4  # of each run, reading and writing
    for text, what in zip(texts, ["written to", "read"] * 2, strict=True):
        assert text.startswith(f"workers say: the store {address} cannot be {what} (")


def test_a_store_that_threads_cannot_use_is_told_of_as_this_process_does():
    address = f"ftp://127.0.0.1:{unused_port()}/store"
    with (
        joblib.parallel_config("threading", n_jobs=2),
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        assert dict(run_tasks(kept, [(address, 0), (address, 1)])) == {0: None, 1: None}
    assert {str(each.message).partition(" cannot")[0] for each in said} == {
        f"the store {address}"
    }
