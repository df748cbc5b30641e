import os
import time

import joblib
import numpy as np
import pytest

from base_models.runtime.parallel import n_jobs_here, run_tasks
from base_models.runtime.scheduling import Chunks, longest_first, run_each


def doubled(number, *more):
    return 2 * number + sum(more)


def slept(seconds):
    time.sleep(seconds)
    return os.getpid()


def begun(number, log):
    with open(log, "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.2)  # the other thread is at its first task by then


def stopping(number):
    if number == 7:
        raise OSError("no more")
    return number


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_each_result_is_that_of_its_task(n_jobs):
    work = np.random.default_rng(0).random(50)
    work[::9] = np.nan
    tasks = [(number,) for number in range(50)]
    with joblib.parallel_config("threading"):
        came = list(run_each(doubled, tasks, work, n_jobs, shared=(5, 1)))
    assert sorted(came) == [(number, 2 * number + 6) for number in range(50)]


def test_no_task_is_no_work():
    assert list(run_each(doubled, [], [], n_jobs=2)) == []


@pytest.mark.slow
def test_the_longest_is_begun_first_and_alone_in_the_given_order(tmp_path):
    tasks, work = [(number,) for number in range(6)], [1, 9, 2, 3, 8, 4]
    with joblib.parallel_config("threading"):
        for n_jobs, expected in [(2, [1, 4, 5, 3, 2, 0]), (1, range(6))]:
            log = tmp_path / str(n_jobs)
            list(run_each(begun, tasks, work, n_jobs, shared=(log,)))
            order = [int(line) for line in log.read_text().split()]
            # Which of two threads writes first is chance.
            assert sorted(order[:n_jobs]) == sorted(expected[:n_jobs])
            assert n_jobs == 2 or order == list(expected)


def test_work_must_be_said_of_each_task():
    with pytest.raises(ValueError, match="one entry per task"):
        longest_first([1, 2], 3)


def test_chunks_hold_each_task_once_and_grow_with_quick_ones_only():
    chunks = Chunks(np.arange(10_000), at_once=4)
    seen, lengths = [], []
    for place, chunk in enumerate(chunks):
        seen += chunk
        lengths.append(len(chunk))
        seconds = 0.01 * len(chunk)  # a task takes a hundredth of a second
        assert chunks.back(place, seconds) == chunk
    assert seen == list(range(10_000))
    assert max(lengths) == 100  # a second's worth
    assert lengths[:4] == [1, 2, 4, 8]
    assert lengths[-1] == 1  # small ones at the end, so that all end together
    slow = Chunks(np.arange(100), at_once=1)
    for place, chunk in enumerate(slow):
        assert len(chunk) == 1
        slow.back(place, seconds=3.0)


def test_after_an_error_comes_what_its_message_had_done():
    tasks, done = [(number,) for number in range(12)], []
    with joblib.parallel_config("threading"), pytest.raises(OSError, match="no more"):
        done.extend(run_each(stopping, tasks, n_jobs=2))
    assert all(number == result for number, result in done)
    assert 7 not in dict(done)


@pytest.mark.slow
def test_one_long_task_at_the_end_does_not_hold_up_the_others():
    """Ratio in one run: in the order given the long one is begun last."""
    seconds = [0.02] * 30 + [0.4]
    tasks = [(each,) for each in seconds]
    with joblib.parallel_config("threading", n_jobs=2):
        assert n_jobs_here(None) == 2
        began = time.perf_counter()
        list(run_tasks(slept, tasks))
        as_given = time.perf_counter() - began
        began = time.perf_counter()
        list(run_each(slept, tasks, seconds))
        longest = time.perf_counter() - began
    assert longest < 0.9 * as_given  # 0.5 s of 0.7 by arithmetic
