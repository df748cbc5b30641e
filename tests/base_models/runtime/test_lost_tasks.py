"""Tasks that end the process which works on them, on real engines."""

import os
import signal

import joblib
import pytest

from base_models.runtime.parallel import run_tasks


def square_or_die(number, deadly):
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def say(task, reason):
    return task, reason


@pytest.fixture(scope="module")
def engine(request, engines):
    """The settings of `joblib.parallel_config` that move the work there."""
    with engines[request.param]() as settings:
        yield settings


def on_engines(*names, fast=()):
    """Run a test on these engines; in the fast suite on some alone."""
    marked = [
        name if name in fast else pytest.param(name, marks=pytest.mark.slow)
        for name in names
    ]
    return pytest.mark.parametrize("engine", marked, indirect=True, scope="module")


TASKS = [(number, 3) for number in range(8)]
SQUARES = {number: number**2 for number in range(8) if number != 3}


@pytest.mark.slow
@on_engines("loky", "dask", "ray", fast=["loky"])
def test_one_that_ends_its_process_is_given_up_and_all_others_are_done(engine):
    with joblib.parallel_config(**engine):
        came = dict(run_tasks(square_or_die, TASKS, give_up=say))
    task, reason = came.pop(3)
    assert came == SQUARES
    assert task == (3, 3)
    assert reason.startswith("it ended the process that worked on it 3 times")


@on_engines("loky", "dask", "ray")
def test_without_a_way_to_give_up_the_error_comes_last_and_says_what(engine):
    came = {}
    with joblib.parallel_config(**engine):
        with pytest.raises(RuntimeError, match="square_or_die ended the process"):
            came.update(run_tasks(square_or_die, TASKS))
        assert came == SQUARES
        assert dict(run_tasks(divmod, [(7, 2)] * 4))[3] == (3, 1)
