import threading
import time

import numpy as np
import pytest

from base_models.runtime import prefetch
from base_models.runtime.prefetch import check_wanted, look_ahead


@pytest.mark.parametrize("n_workers", [0, 1, 3, None])
def test_things_come_in_order_whoever_is_ready_first(n_workers):
    def slow_at_first(n):
        time.sleep(0.02 if n < 2 else 0)
        return n * n

    made = look_ahead(slow_at_first, range(9), n_workers)
    assert list(made) == [n * n for n in range(9)]


def test_without_workers_a_thing_is_made_when_it_is_asked_for():
    asked = []
    made = look_ahead(asked.append, range(5), n_workers=0)
    next(made)
    assert asked == [0]


def test_with_workers_the_next_are_made_while_one_is_used():
    begun = threading.Semaphore(0)

    def make(n):
        begun.release()
        return n

    made = look_ahead(make, range(5), n_workers=1, depth=2)
    assert next(made) == 0
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)  # the second was begun and nobody asked for it
    made.close()


def test_several_are_made_at_the_same_time():
    both = threading.Barrier(2, timeout=5)  # lets one pass when another is there too
    made = look_ahead(lambda n: both.wait() and None, range(4), n_workers=2)
    assert len(list(made)) == 4


def test_a_slow_consumer_does_not_let_what_is_ready_grow():
    alive, most, lock = 0, 0, threading.Lock()

    def make(n):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return np.zeros(1000, np.uint8)

    memory = 4500  # room for four
    made = look_ahead(make, range(60), 2, 40, lambda made: made.nbytes, memory)
    for _ in made:
        time.sleep(0.002)
        with lock:
            alive -= 1
    assert 4 <= most <= 5  # and the one in use


def test_an_error_comes_where_its_result_would():
    def make(n):
        if n == 2:
            raise ValueError("number 2")
        return n

    made = look_ahead(make, range(9), n_workers=2)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="number 2"):
        next(made)


def test_who_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    made = look_ahead(lambda n: n, range(1000), n_workers=3)
    next(made)
    made.close()
    assert threading.active_count() == before


def test_what_nobody_waits_for_any_more_ends():
    begun, ended = threading.Event(), threading.Event()

    def make(n):
        if n == 0:
            return n
        try:
            begun.set()
            while True:  # such as the hash of a file without end
                check_wanted()
        finally:
            ended.set()

    made = look_ahead(make, range(2), n_workers=1)
    assert next(made) == 0
    assert begun.wait(timeout=5)
    made.close()
    assert ended.is_set()
    check_wanted()  # we are


@pytest.mark.parametrize(("n_bytes", "most"), [(40, 2), (30, 3), (1000, 1)])
def test_threads_that_share_memory_wait_for_room(n_bytes, most):
    room, together, at_once = prefetch.Room(100), [], []

    def work(number):
        with room.shared():
            prefetch.take_room(n_bytes)
            together.append(number)
            at_once.append(len(together))
            prefetch.take_room(5)  # who holds some waits no more
            time.sleep(0.02)
            together.remove(number)
        return number

    assert list(prefetch.look_ahead(work, range(12), n_workers=4)) == [*range(12)]
    assert max(at_once) <= most
    assert room.taken == 0
    prefetch.take_room(10**12)  # nobody shares anything here
