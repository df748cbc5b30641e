import signal
import subprocess
import sys
import time

import pytest

from ensemble.cli.stopping import what_is_kept

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

_BEGIN = """
import ctypes, subprocess, sys, time
from ensemble.cli.stopping import stop_on_signals
child = subprocess.Popen(["sleep", "60"])
stop_on_signals()
try:
    print(child.pid, flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", flush=True)
libc = ctypes.CDLL(None)  # compiled code that no signal ends
while True:
    libc.sleep(60)
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_in_order_and_the_second_at_once(kind):
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    process.send_signal(kind)
    assert process.stdout.readline() == "stopped\n"
    begin = time.monotonic()
    process.send_signal(kind)
    assert process.wait(20) == 130
    assert time.monotonic() - begin < 5
    assert process.stderr.read() == "stopped at once\n"
    process.stdout.close()
    process.stderr.close()
    while not _is_gone(child) and time.monotonic() - begin < 5:
        time.sleep(0.05)
    assert _is_gone(child)


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("is_last", "said"), [(False, "stopping what is under way"), (True, "")]
)
def test_nothing_is_said_after_the_last_line(is_last, said):
    code = (
        "import os, signal, time; from ensemble.cli import stopping\n"
        "stopping._SOON = 0.1; stopping.stop_on_signals()\n"
        "try: os.kill(os.getpid(), signal.SIGINT); time.sleep(9)\n"
        "except KeyboardInterrupt: pass\n"
        f"if {is_last}: stopping.say_no_more()\n"
        "time.sleep(0.5)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert done.stderr.decode().startswith(said)
    assert bool(done.stderr) == bool(said)
    assert done.returncode == 0


def _is_gone(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


_DROPPED = """
import os, signal, time
from ensemble.cli.stopping import stop_on_signals
stop_on_signals()

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000): time.sleep(0.001)  # where the stop is raised

try:
    Finalized()
    time.sleep(20)
    print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_stop_is_not_lost_where_python_drops_errors():
    done = subprocess.run(
        [sys.executable, "-c", _DROPPED], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("stopped\n", "")


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["fit", "a"], "in the store; run the same command to go on"),
        (["stress", "a"], "nothing of it was kept; with --scores FILE"),
        (["stress", "a", "--scores=b"], "in --scores; run the same command"),
        (["apply", "a"], "files that were there are unchanged"),
    ],
)
def test_a_line_says_what_is_kept_and_how_to_go_on(arguments, kept):
    assert kept in what_is_kept(arguments[0], arguments)
    assert what_is_kept(arguments[0], arguments).startswith("stopped; ")


_LOADED = """
import sys
from importlib.abc import MetaPathFinder

class Interrupted(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from ensemble.cli.start import main
main(["--help"])
"""


def test_a_signal_while_the_command_is_loaded_ends_it_in_order():
    done = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "stopped; nothing was begun\n"


@pytest.mark.slow
def test_an_error_that_a_signal_caused_is_a_stop():
    code = """
import os, signal
from ensemble.cli.app import main
from ensemble.cli.commands.networks import models
def hear(*_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        while True: pass
    except KeyboardInterrupt:
        import time; time.sleep(0.2)
        raise AttributeError("module 'pandas' has no attribute 'Series'")
import base_models.published
base_models.published.published_models = hear
main(["models"])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (
        130,
        "stopped; nothing was written, and files that were there are unchanged\n",
    )
