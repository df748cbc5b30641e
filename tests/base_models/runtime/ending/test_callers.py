import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_CALLER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_callers import sleep_long
from base_models.runtime.parallel import run_tasks
list(run_tasks(sleep_long, [(sys.argv[2], 0), (sys.argv[2], 1)], n_jobs=2))
"""


def sleep_long(folder, number):
    import os

    (Path(folder) / f"{number}.pid").write_text(str(os.getpid()))
    time.sleep(120)


def _lives(process):
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_workers_do_not_outlive_their_caller(kind, tmp_path):
    here = Path(__file__).parent
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, here, tmp_path], stderr=subprocess.PIPE
    )
    pids = _until(
        lambda: (
            [p.read_text() for p in tmp_path.glob("*.pid")]
            * (len(list(tmp_path.glob("*.pid"))) == 2)
        )
    )
    assert len(pids) == 2
    assert all(map(_lives, pids))
    caller.send_signal(kind)
    assert _until(lambda: not any(map(_lives, pids)), seconds=20)
    caller.kill()
    caller.communicate()
