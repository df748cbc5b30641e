"""Ctrl-C goes to every process of a terminal: only who started a cluster answers it."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

_WORK = """
import sys, time
import distributed
from base_models import cluster
from base_models.runtime.parallel import run_tasks

if __name__ == "__main__":
    try:
        print("starts", flush=True)
        with cluster("local:2"):
            print("works", flush=True)
            list(run_tasks(time.sleep, [(60,)] * 4))
    except KeyboardInterrupt:
        print("stopped", flush=True)
        sys.exit(130)
"""


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [("starts", 0.5), ("starts", 2.5), ("starts", 4.2), ("works", 0.1), ("works", 3)],
)
def test_ctrl_c_ends_a_local_cluster_without_a_word(tmp_path, moment, seconds):
    (tmp_path / "work.py").write_text(_WORK)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "work.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as at a terminal of its own
    )
    said = []
    while moment not in said:
        said.append(process.stdout.readline().strip())
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert out.splitlines()[-1] == "stopped"
    assert errors == ""
    assert process.returncode == 130
    until = time.monotonic() + 5  # what ends with it may take a moment
    while (left := _of_session(process.pid)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def _of_session(session):
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(number))
    return found
