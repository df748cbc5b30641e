"""Commands that are killed at random moments, and run again.

Each has the same bytes in the end as one that nobody disturbed; what was there before
is whole until then. In some trials two processes share a store, and one is killed.
"""

import contextlib
import functools
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from small_data import COMMANDS, command, content, make_data, unfinished
from trials import each_in_process

KILLED = ("fit", "stress", "compare videos", "index", "prepare", "batch")
_KILLS = 3  # at most, before a run may end
_PATIENCE = 300.0  # seconds

_here = {}  # of a worker: folders, what is right, how long it takes


def kills(n, seed, folder):
    """Kill n runs."""
    draw = np.random.default_rng(seed)
    whats = ["index"] if n <= 10 else KILLED  # which needs no model
    cases = (
        (
            whats[number % len(whats)],
            draw.random(_KILLS).round(4).tolist()[: 1 + number % _KILLS],
            bool(draw.random() < 0.3),  # two on one store
            bool(draw.random() < 0.5),  # old outputs
        )
        for number in range(n)
    )
    warm = functools.partial(_warm, folder)
    return each_in_process(_trial, cases, seconds=1200, mib=4096, warm=warm)


def _warm(folder):
    """Import all, so that a child need not; compute nothing, or it could not fork."""
    import pandas  # noqa: F401

    import ensemble.cli.app  # noqa: F401

    _here.update(folder=folder, right={}, seconds={})


def _trial(case):
    what, moments, two, has_old = case
    data = _here["folder"] / "data"
    if not data.is_dir():
        _ended(_begun(lambda: make_data(data, what not in ("index", "prepare"))))
    if what not in _here["right"]:
        _measure(what, data)
    right, seconds = _here["right"][what], _here["seconds"][what]
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        out, store = Path(folder) / "out", Path(folder) / "store"
        out.mkdir()
        old = _old_ones(what, out, right) if has_old else {}
        for moment in moments:
            beside = _run(what, data, Path(folder) / "beside", store) if two else None
            process = _run(what, data, out, store)
            time.sleep(moment * seconds)
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            now = content(out, COMMANDS[what][1])
            for name in old:
                if now.get(name) not in (old[name], right[name]):
                    return f"lost: {name} of before is not whole"
            if beside is not None and (wrong := _wrong(what, beside, "beside", folder)):
                return wrong
        process = _run(what, data, out, store)
        return _wrong(what, process, "out", folder) or "right: resumed"


def _wrong(what, process, name, folder):
    """Return what is wrong with a run once it has ended."""
    place = Path(folder) / name
    if code := _ended(process):
        said = (Path(folder) / f"{name}.txt").read_text()
        return f"not resumed: exit code {code}: {said}"
    now, right = content(place, COMMANDS[what][1]), _here["right"][what]
    if now != right:
        differ = [k for k in {**now, **right} if now.get(k) != right.get(k)]
        return f"other answer: {differ}"
    if left := unfinished(place):
        return f"left over: {left}"
    return None


def _measure(what, data):
    """Note what a run gives that nobody disturbs, and how long it takes."""
    folder = _here["folder"] / what
    begin = time.perf_counter()
    process = _run(what, data, folder / "out", folder / "store")
    code = _ended(process)
    assert code == 0, (folder / "out.txt").read_text()
    _here["seconds"][what] = time.perf_counter() - begin
    _here["right"][what] = content(folder / "out", COMMANDS[what][1])
    shutil.rmtree(folder)


def _old_ones(what, out, right):
    names = [n for n in COMMANDS[what][1] if n in right and n != "s.csv"]
    for name in names:
        (out / name).write_bytes(right[name] + b"\n")
    return content(out, names)


def _run(what, data, out, store):
    """Begin a command in a child."""
    out.mkdir(parents=True, exist_ok=True)
    said = out.with_name(f"{out.name}.txt")

    def run():
        code, text = command(what, data, out, store)
        said.write_text(text)
        return code

    return _begun(run)


def _begun(function):
    child = os.fork()
    if child:
        return child
    code = 1
    with contextlib.suppress(BaseException):
        code = function() or 0
    os._exit(code)


def _ended(process):
    """Wait for a child; return its exit code."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "none: it hung"
