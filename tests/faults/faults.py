"""Faults of the system at every call of every writer: a trial is (what, fault, where).

Nothing may be half or lost: what was there before is whole until what replaces it is.
An error names a file and is told without a traceback; the same command ends well when
the fault has gone, with the same bytes as if there had never been one.
"""

import contextlib
import functools
import gc
import os
import shutil
import sqlite3
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from disks import (
    ERRORS,
    PAGE,
    Calls,
    SmallDisk,
    failing,
    few_files,
    jumping_clock,
    longest_file,
    own_mounts,
)
from small_data import COMMANDS, command, content, make_data, unfinished
from trials import each_in_process

# Of the library: name -> what is written. They are quick, and tried more often.
WRITERS = {
    "store": [],
    "text": ["report.html"],
    "video": ["clip.mp4"],
    "plot": ["plot.png"],
    "scores": ["scores.csv", "scores.parquet"],
    "parts": ["parts"],
    "checkpoint": ["network"],
}
FAULTS = [*ERRORS, "full", "read-only", "longest file", "few files", "clock", "killed",
          "short write", "locked", "damaged"]  # fmt: skip
_OF_STORE = ("locked", "damaged", "short write")
_SLOW = ("fit", "stress", "forge", "explore", "compare", "batch", "predict",
         "compare videos")  # fmt: skip
_WITH_TORCH = (
    "fit",
    "stress",
    "batch",
    "predict",
    "compare videos",
)  # whose threads no fork survives

_here = {}  # of a worker: its disk, its data


def faults(n, seed, folder):
    """Try n faults."""
    return each_in_process(
        _trial,
        _cases(n, seed),
        seconds=300,
        mib=4096,
        warm=functools.partial(_warm, folder),
    )


def _cases(n, seed):
    draw = np.random.default_rng(seed)
    quick = [*WRITERS] * 3 + [*COMMANDS] if n > 20 else ["store", "text", "parts"]
    for number in range(n):
        what = quick[draw.integers(len(quick))]
        if what in _SLOW and draw.random() < 0.5:
            what = "combine"
        fault = FAULTS[number % len(FAULTS)]
        if fault in _OF_STORE and "STORE" not in COMMANDS.get(what, ("",))[0]:
            what = "store"
        if fault == "killed" and what in _WITH_TORCH:
            what = "prepare"
        yield what, fault, float(draw.random()), int(draw.integers(2**31))


def _warm(folder):
    _here["mounts"] = own_mounts()
    _here["data"] = folder / "data"
    _here["right"] = {}


def _trial(case):
    what, fault, where, seed = case
    if what in COMMANDS and not _here["data"].is_dir():
        make_data(_here["data"])
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        place = Path(folder) / "disk"
        with _disk(place) as disk:
            return _Trial(what, place, disk, seed).outcome(fault, where)


@contextlib.contextmanager
def _disk(place):
    if not _here["mounts"]:
        place.mkdir()
        yield None
        return
    disk = SmallDisk(place)
    try:
        yield disk
    finally:
        disk.close()


class _Trial:
    """One thing that is written, with a fault and then without."""

    def __init__(self, what, place, disk, seed):
        self.what, self.place, self.disk = what, place, disk
        self.draw = np.random.default_rng(seed)
        self.out, self.store = place / "out", place / "store"
        self.names = COMMANDS[what][1] if what in COMMANDS else WRITERS[what]

    def run(self):
        """Write; return (0, what was said), or the exit code or error."""
        from base_models import clear_caches

        clear_caches()
        _close_databases()
        if self.what in COMMANDS:
            return command(self.what, _here["data"], self.out, self.store)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                getattr(_Writers, self.what)(self.out, self.store)
            except OSError as error:
                return 2, f"error: {error}"
        return 0, "\n".join(str(each.message) for each in said)

    def right(self):
        """Return (what is right, how many calls it takes), measured once."""
        if self.what not in _here["right"]:
            self.empty()
            with Calls(self.place) as calls:
                code, said = self.run()
            assert code == 0, said
            _here["right"][self.what] = content(self.out, self.names), calls.n
        return _here["right"][self.what]

    def empty(self):
        for folder in (self.out, self.store):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    def outcome(self, fault, where):
        """Return what came of it."""
        right, n_calls = self.right()
        self.empty()
        old = self._old_ones(right)
        if fault in ("locked", "damaged"):
            self.run()  # there is a store
            [shutil.rmtree(self.out / n, ignore_errors=True) for n in self.names]
            old = {}
        _close_databases()
        code, said = self._with(fault, where, n_calls, right)
        wrong = self._wrong(fault, code, said, right, old)
        if wrong:
            return wrong
        again, said_then = self.run()
        if again != 0:
            return f"not found again: {again}: {said_then}"
        if content(self.out, self.names) != right:
            return f"other answer: {_difference(content(self.out, self.names), right)}"
        if left := unfinished(self.out, self.store):
            return f"left over: {left}"
        return f"right: {'refused' if code else 'done'}"

    def _old_ones(self, right):
        """Write files of an earlier run in half of the trials."""
        files = [name for name in self.names if name in right]
        if len(files) < len(self.names) or self.draw.random() < 0.5:
            return {}
        for name in files:
            (self.out / name).write_bytes(right[name] + b"\n")
        if (self.out / "s.csv").exists():  # it is read, and added to
            (self.out / "s.csv").unlink()
        return content(self.out, self.names)

    def _with(self, fault, where, n_calls, right):
        at = 1 + int(where * n_calls)
        size = 1 + int(where * sum(map(len, right.values())) * 1.2) + PAGE
        longest = 1 + int(where * max(map(len, right.values()), default=3000))
        if fault in ("full", "read-only") and self.disk is None:
            fault = "ENOSPC"
        if fault == "killed":
            return self._killed(at)
        if fault == "damaged":
            return self._damaged()
        with contextlib.ExitStack() as stack:
            if fault in ERRORS:
                stack.enter_context(Calls(self.place, at, failing(ERRORS[fault])))
            elif fault == "full":
                stack.enter_context(self.disk.full_after(size))
            elif fault == "read-only":
                stack.enter_context(self.disk.read_only())
            elif fault == "longest file":
                stack.enter_context(longest_file(longest))
            elif fault == "few files":
                stack.enter_context(few_files(1 + int(where * 12)))
            elif fault == "clock":
                stack.enter_context(jumping_clock(self.draw))
            elif fault == "short write":
                stack.enter_context(_short_writes())
            elif fault == "locked":
                stack.enter_context(_locked(self.store))
            return self.run()

    def _killed(self, at):
        """End a child at a call, as a power cut does; return no exit code."""
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException), Calls(self.place, at, _die):
                self.run()
            os._exit(0)
        os.waitpid(child, 0)
        return None, ""

    def _damaged(self):
        """Damage a file of the store before it is read."""
        files = sorted(path for path in self.store.rglob("*.s*") if path.is_file())
        if files:
            file = files[self.draw.integers(len(files))]
            whole = bytearray(file.read_bytes())
            if self.draw.random() < 0.3:
                whole = whole[: self.draw.integers(len(whole) + 1)]
            elif whole:
                start = self.draw.integers(len(whole))
                garbage = self.draw.bytes(int(self.draw.integers(1, 4000)))
                whole[start : start + len(garbage)] = garbage
            file.write_bytes(whole)
        return self.run()

    def _wrong(self, fault, code, said, right, old):
        now = content(self.out, self.names)
        if "Traceback" in said or "internal error" in said or code == sys.maxsize:
            return f"traceback: {said}"
        if code == 0 and now != right:
            return f"half: it says that it is done; {_difference(now, right)}"
        for name in old:
            if now.get(name) not in (old[name], right.get(name)):
                return f"lost: {name} of before is not whole; {code} {said}"
        for name in self.names:
            if name in right and now.get(name, right[name]) not in (
                right[name],
                old.get(name),
            ):
                if name == "s.csv":  # rows are added, and checked when read
                    continue
                return f"half: {name}; {code} {said}"
        if code and tempfile.gettempdir() not in said:  # where all of it lies
            return f"unclear: it names no file: {said}"
        if code and not said.rstrip().splitlines()[-1].startswith("error: "):
            return f"unclear: {said}"
        if code is not None and (left := unfinished(self.out, self.store)):
            return f"left over: {left} after {code} {said}"
        return None


def _close_databases():
    """Let go of files as a new process would, which a small disk waits for."""
    from base_models.store import sqlite_blobs

    for path in list(getattr(sqlite_blobs._own, "open", ())):
        sqlite_blobs._forget(path)
    gc.collect()  # those of threads that have ended


def _die(name, path):
    os.kill(os.getpid(), 9)


def _difference(now, right):
    return ", ".join(
        sorted(
            f"{name} {len(now.get(name, b''))} and not {len(right.get(name, b''))} B"
            for name in {**now, **right}
            if now.get(name) != right.get(name)
        )
    )[:600]


@contextlib.contextmanager
def _short_writes():
    """Let the system take half of what it is given, each time."""
    real = os.write
    os.write = lambda handle, content: real(
        handle, bytes(content[: len(content) // 2 or 1])
    )
    try:
        yield
    finally:
        os.write = real


@contextlib.contextmanager
def _locked(store):
    """Hold the store's database, as a process does that was stopped while writing."""
    from base_models.store import sqlite_blobs

    patience, sqlite_blobs._PATIENCE = sqlite_blobs._PATIENCE, 0.2
    file = store / "small.sqlite"
    holder = sqlite3.connect(file) if file.exists() else None
    if holder is not None:
        with contextlib.suppress(sqlite3.Error):
            holder.execute("begin immediate")
    try:
        yield
    finally:
        sqlite_blobs._PATIENCE = patience
        if holder is not None:
            holder.close()


class _Writers:
    """What the library writes, without its commands."""

    @staticmethod
    def store(out, store):
        from base_models.store import Store, store_key

        kept = Store(store)
        for number in range(6):
            key = store_key(number=number)
            values = {"x": np.full((300, 100_000)[number % 2], number, np.uint8)}
            found = kept.get("view", key)
            kept.put("view", key, values)
            for entry in filter(None, (found, kept.get("view", key))):
                if not np.array_equal(entry[0]["x"], values["x"]):
                    raise AssertionError("the store gives something else back")

    @staticmethod
    def text(out, store):
        from base_models.runtime.file_writing import write_text

        write_text(out / "report.html", "<p>report</p>\n" * 5000)

    @staticmethod
    def video(out, store):
        from base_models import write_video

        frames = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), np.uint8)
        write_video(out / "clip.mp4", frames, fps=10)

    @staticmethod
    def plot(out, store):
        import matplotlib

        matplotlib.use("agg")
        from matplotlib.figure import Figure

        from ensemble.reporting.plots.style import save_figure

        figure = Figure()
        figure.subplots().plot(np.arange(5))
        save_figure(figure, out / "plot.png")

    @staticmethod
    def scores(out, store):
        from ensemble.scores import score_table, write_scores

        draw = np.random.default_rng(0)
        names = [f"v{number}" for number in range(500)]
        table = score_table(draw.random((500, 1)), names, ["p_a"])
        write_scores(table, out / "scores.csv")
        write_scores(table, out / "scores.parquet")

    @staticmethod
    def parts(out, store):
        import pyarrow

        from base_models.batch.output_folder import OutputFolder

        folder = OutputFolder(str(out / "parts"))
        with folder.locked():
            folder.begin({"format": "deepfake-ensemble batch 1", "model": "a"})
            for number in range(3):
                folder.note(number, {"1": 1})
                table = pyarrow.table({"row": list(range(500))})
                folder.write_part(number, table, {"counts": {}}, "run")
                folder.note(number, None)

    @staticmethod
    def checkpoint(out, store):
        import torch

        from base_models.networks.checkpoints import save_checkpoint

        state = {"weight": torch.arange(20_000, dtype=torch.float32)}
        save_checkpoint(out / "network", state, {"a": 1})
