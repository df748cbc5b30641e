"""Trials of hostile input: each in a process that may die, hang or want too much."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

MIB = 2**20
SHOWN = 20  # of what went wrong, kept word for word


@dataclass
class Tally:
    """What came of the trials of one kind.

    `right` counts what may come: the right answer, or a refusal in our own words.
    `wrong` has the rest, by what it was: "executed", "hang", "memory", "died", "lost",
    "other answer", or the name of an exception that is none of ours.
    """

    tried: int = 0
    right: Counter = field(default_factory=Counter)
    wrong: Counter = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the slowest
    mib: float = 0.0  # of the one that took most, above what the process began with

    def add(self, outcome: str, case: object = "", seconds=0.0, mib=0.0) -> None:
        """Count one trial: "right: ..." or what went wrong."""
        self.tried += 1
        self.seconds, self.mib = max(self.seconds, seconds), max(self.mib, mib)
        kind, _, detail = outcome.partition(": ")
        if kind == "right":
            self.right[detail or "answered"] += 1
            return
        self.wrong[kind] += 1
        if len(self.examples) < SHOWN:
            self.examples.append(f"{case}: {outcome[:500]}")


def each_in_process(
    trial: Callable[[object], str],
    cases: Iterable[object],
    *,
    seconds: float = 20.0,
    mib: float = 1024.0,
    marker: Path | None = None,
    warm: Callable[[], object] | None = None,
) -> Tally:
    """Do trials one after another in a process that is replaced when it ends.

    Parameters
    ----------
    trial : function of a case
        Returns "right: how" or what went wrong ("other answer: ..."). An exception that
        it lets through counts under its own name.
    cases : iterable
        Made here, one when it is needed; each must go through a pipe.
    seconds, mib : float
        What one may take: more is a "hang", or "memory".
    marker : Path or None
        A file that hostile input tries to make: where it is there, it was "executed".
    warm : function or None
        Done first in each process, before its memory is looked at.
    """
    tally = Tally()
    worker = _Worker(trial, warm)
    try:
        for case in cases:
            outcome, taken, more = worker.do(case, seconds)
            if marker is not None and marker.exists():
                marker.unlink()
                outcome = f"executed: {outcome}"
            elif more > mib:
                outcome = f"memory: {more:.0f} MiB; {outcome}"
            tally.add(outcome, case, taken, more)
    finally:
        worker.end()
    return tally


class _Worker:
    """A process that does one trial after another."""

    def __init__(self, trial, warm):
        self._given = trial, warm
        self._process = None

    def do(self, case, seconds):
        """Return (outcome, seconds, MiB more than before) of one case."""
        if self._process is None:
            self._begin()
        begin = time.perf_counter()
        with contextlib.suppress(OSError):  # it died: seen below
            self._pipe.send(case)
        try:
            if self._pipe.poll(seconds):
                outcome, more = self._pipe.recv()
                return outcome, time.perf_counter() - begin, more
            outcome = f"hang: over {seconds:g} s"
        except (EOFError, OSError):
            self._process.join(5)
            outcome = f"died: exit code {self._process.exitcode}"
        self.end()
        return outcome, time.perf_counter() - begin, 0.0

    def _begin(self):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, *self._given))
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is warm

    def end(self):
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def _serve(pipe, trial, warm):
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)  # libraries in C write there what they think of a file
    if warm is not None:
        warm()
    pipe.send("warm")
    most = _peak_mib()
    while True:
        case = pipe.recv()
        try:
            outcome = trial(case)
        except BaseException as error:  # whatever it is, it is counted
            outcome = f"{type(error).__name__}: {error}"[:2000]
        now = _peak_mib()
        pipe.send((outcome, now - most))
        most = max(most, now)


def _peak_mib():
    """Return the most memory that this process ever had."""
    status = Path("/proc/self/status")
    if status.exists():  # where the other figure has that of who started it in it
        (line,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.M)
        return int(line) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024
