"""Measure what a cluster costs and gains: overhead, bytes, memory, two workers, order.

    python examples/benchmarks/cluster.py --json results.json
    python examples/benchmarks/cluster.py --only memory --tasks 1000000

Parts: ``overhead`` of 1,000 empty tasks on each backend, alone and grouped; ``order``,
the end of a run with one long video, on two workers and, by arithmetic, on 1,000;
``memory`` of the caller while tasks come and go; ``batch``, memory while a table of
that many videos is scored, none of them opened; ``fit``, a real fit and scoring on
one worker of Dask (of Ray too, where it is installed) and on two, with the bytes that
travel; and as often side by side in plain processes without an engine: what two cores
gain at all where they share memory, caches and other guests, the ceiling of any engine.
Workers are processes of this machine: two cores that others use as well prove little of
a cluster, and ratios of one run more than seconds.
"""

import argparse
import contextlib
import heapq
import multiprocessing
import os
import pickle
import tempfile
import time
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
from goals import Goal, machine, write

from base_models import (
    CallableDetector,
    FrameDetector,
    FrequencyDetector,
    cluster,
    score_table,
    write_video,
)
from base_models.runtime import parallel, scheduling
from base_models.runtime.caches import clear_caches
from base_models.runtime.file_digest import read_sha256
from base_models.runtime.parallel import run_tasks
from base_models.runtime.scheduling import longest_first, run_each
from base_models.scoring import on_workers, score_videos
from ensemble import DeepfakeEnsemble

BACKENDS = ("threading", "loky", "dask", "ray")
PARTS = ("overhead", "order", "memory", "batch", "fit")
MIB = 2**20


# Where tasks run


def installed(backends=BACKENDS):
    """Return those of the backends whose engines are there."""
    module = {"dask": "distributed", "ray": "ray"}
    return [name for name in backends if find_spec(module.get(name, "joblib"))]


@contextlib.contextmanager
def workers(backend, n_workers):
    """Run tasks on so many workers, each of which does one at a time."""
    with contextlib.ExitStack() as opened:
        if backend == "dask":
            opened.enter_context(cluster(f"local:{n_workers}"))
        elif backend == "ray":
            opened.enter_context(_ray(n_workers))
        else:
            opened.enter_context(joblib.parallel_config(backend, n_jobs=n_workers))
        list(run_tasks(warm, [()] * 4 * n_workers))
        yield


@contextlib.contextmanager
def _ray(n_workers):
    import ray
    from ray.util.joblib import register_ray

    ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False,
             object_store_memory=200_000_000)  # fmt: skip
    try:
        register_ray()
        with joblib.parallel_config("ray", n_jobs=n_workers):
            yield
    finally:
        ray.shutdown()


def warm():
    """Import what tasks need, and leave others time to begin."""
    import base_models.detectors.frame  # noqa: F401

    time.sleep(0.05)


def empty(number):
    return number


def slept(seconds):
    time.sleep(seconds)


# Overhead of a task


def overhead(backends, n_tasks, n_workers=2):
    """Return seconds a task, for each backend: sent alone, and grouped."""
    found = {}
    for backend in backends:
        with workers(backend, n_workers):
            tasks = [(number,) for number in range(n_tasks)]
            began = time.perf_counter()
            came = dict(run_tasks(empty, tasks))
            alone = (time.perf_counter() - began) / n_tasks
            began = time.perf_counter()
            grouped_came = dict(run_each(empty, tasks))
            grouped = (time.perf_counter() - began) / n_tasks
        assert came == grouped_came == {n: n for n in range(n_tasks)}
        found[backend] = {"alone": alone, "grouped": grouped}
        print(f"{1e3 * alone:8.2f} ms a task, {1e3 * grouped:8.3f} grouped  {backend}")
    return found


# Longest first


def seconds_of_run(backend, lasts, work=None):
    """Return how long a run of tasks takes that last so long, on two workers."""
    tasks = [(float(each),) for each in lasts]
    with workers(backend, 2):
        began = time.perf_counter()
        for _ in run_each(slept, tasks, work):
            pass
        return time.perf_counter() - began


def simulated(lasts, order, n_workers):
    """Return when the last worker is done, if each takes the next task when free."""
    free = [0.0] * n_workers
    heapq.heapify(free)
    for number in order:
        heapq.heappush(free, heapq.heappop(free) + lasts[number])
    return max(free)


def order(backend, scale=1.0):
    """Return the ends of runs whose longest video is begun last, and first."""
    lasts = scale * np.append(np.full(40, 0.1), 2.0)
    found = {
        "two workers": {
            "as given": seconds_of_run(backend, lasts),
            "longest first": seconds_of_run(backend, lasts, lasts),
            "least possible": max(lasts.sum() / 2, lasts.max()),
        }
    }
    # Unlike lengths, the longest some hundred times the shortest: 100 a worker.
    lasts = np.random.default_rng(0).lognormal(0, 1, 100_000)
    found["1,000 workers, simulated"] = {
        "as given": simulated(lasts, range(len(lasts)), 1000),
        "longest first": simulated(lasts, longest_first(lasts, len(lasts)), 1000),
        "least possible": max(lasts.sum() / 1000, lasts.max()),
    }
    for name, ends in found.items():
        line = ", ".join(f"{key} {value:.2f}" for key, value in ends.items())
        print(f"{name}: {line}")
    return found


# Memory of the caller


def memory(backend, n_tasks):
    """Return MiB of this process after a tenth, a half and all of many tasks."""
    import psutil  # Dask brings it

    process, marks = psutil.Process(), (n_tasks // 10, n_tasks // 2, n_tasks)
    found = {"tasks": n_tasks}
    with workers(backend, 2):
        began = time.perf_counter()
        came = run_tasks(empty, ((number,) for number in range(n_tasks)))
        for done, _ in enumerate(came, 1):
            if done in marks:
                found[f"{100 * done // n_tasks} %"] = process.memory_info().rss / MIB
        found["seconds"] = time.perf_counter() - began
    print(", ".join(f"{key}: {value:.1f}" for key, value in found.items()))
    return found


def batch(n_rows, folder):
    """Return MiB of the process that scores a table of so many rows, part by part."""
    import psutil

    process, marks = psutil.Process(), (n_rows // 10, n_rows // 2, n_rows)
    found = {"rows": n_rows}

    def by_name(videos):  # no video is opened
        numbers = [int(Path(video).stem) for video in videos]
        for mark in marks:
            if min(numbers) < mark <= max(numbers) + 1:
                mib = process.memory_info().rss / MIB
                found[f"{100 * mark // n_rows} %"] = mib
        return [number % 100 / 100 for number in numbers]

    table = Path(folder) / "videos.csv"
    with open(table, "w") as file:
        file.write("path\n")
        file.writelines(f"{number}.mp4\n" for number in range(n_rows))
    detector = CallableDetector(by_name).fit(["0.mp4", "1.mp4"], [0, 1])
    done = score_table({"by name": detector}, table, f"{folder}/scores")
    assert done.n_scored == n_rows
    found["seconds"] = done.seconds
    print(", ".join(f"{key}: {value:.1f}" for key, value in found.items()))
    return found


# A fit and scoring


def clips(folder, n_videos, n_frames=50, size=(120, 160)):
    """Write short videos of noise; return their paths and labels."""
    paths = []
    for number in range(n_videos):
        draw = np.random.default_rng(number)
        still = draw.integers(0, 200, (size[0] // 8, size[1] // 8, 3), np.uint8)
        still = still.repeat(8, 0).repeat(8, 1)
        moved = (np.roll(still, shift, axis=1) for shift in range(n_frames))
        paths.append(str(write_video(f"{folder}/{number:04}.mp4", moved)))
    return paths, np.arange(n_videos) % 2


def ensemble_of(store, epochs):
    network = {
        "image_size": 64, "n_frames": 4, "n_threads": 1, "device": "cpu",
        "frames_per_epoch": 2, "batch_size": 16, "epochs": epochs,
    }  # fmt: skip
    members = {
        f"network {seed}": FrameDetector(
            "mesonet4", "frame", random_state=seed, **network
        )
        for seed in range(3)
    }
    members["frequency"] = FrequencyDetector("frame", image_size=64, n_frames=4)
    return DeepfakeEnsemble(members, resampling=3, combiner="log_odds", store=store)


@contextlib.contextmanager
def weighed():
    """Collect of each message: tasks, bytes there, bytes back, seconds of the worker.

    Seconds are known of what `run_each` sends; NaN of others.
    """
    plain, found = parallel.run_tasks, defaultdict(list)

    def run(function, tasks, *more, **settings):
        name, sent = getattr(function, "__name__", str(function)), {}

        def seen():
            for number, task in enumerate(tasks):
                each = [part for part in task if not _is_shared(part)]
                several = isinstance(each[0], list) if each else False
                n_tasks = len(each[0]) if several else 1
                sent[number] = n_tasks, len(pickle.dumps(each))
                yield task

        for number, result in plain(function, seen(), *more, **settings):
            back, seconds = len(pickle.dumps(result)), np.nan
            if type(function).__module__ == scheduling.__name__:
                seconds = result[1]
            found[name].append((*sent.pop(number), back, seconds))
            yield number, result

    modules = parallel, scheduling, on_workers
    for module in modules:
        module.run_tasks = run
    try:
        yield found
    finally:
        for module in modules:
            module.run_tasks = plain


def _is_shared(argument):
    """Whether it travels once to each worker, and not with each task."""
    return type(argument).__name__ in ("_Members", "Shared")


def fit_and_score(paths, y, store, epochs):
    """Fit and score here or where joblib is set to run; return seconds and scores."""
    began = time.perf_counter()
    model = ensemble_of(f"{store} fit", epochs)
    model.fit(paths, y, groups=np.arange(len(paths)) // 2)
    fitted = time.perf_counter()
    table, _ = score_videos(model.detectors_, paths, f"{store} scoring")
    seconds = {"fit": fitted - began, "scoring": time.perf_counter() - fitted}
    return seconds, (model.oof_scores_.to_numpy(), table)


def side_by_side(n_processes, *task):
    """Do the same work in so many plain processes at once; return the mean seconds."""
    with multiprocessing.get_context("spawn").Pool(n_processes) as pool:
        pool.starmap(warm, [()] * 4 * n_processes, chunksize=1)
        each = pool.starmap(
            _alone, [(n, *task) for n in range(n_processes)], chunksize=1
        )
    return {what: float(np.mean([found[what] for found in each])) for what in each[0]}


def _alone(number, paths, y, store, epochs):
    with joblib.parallel_config(n_jobs=1):
        return fit_and_score(paths, y, f"{store} {number}", epochs)[0]


def fit(backends, n_videos, epochs, folder):
    """Fit and score on one worker and on two; return seconds, and bytes by task."""
    paths, y = clips(f"{folder}/clips", n_videos)
    seconds, travelled, scores = {}, {}, []
    for n in (1, 2):
        plain = side_by_side(n, paths, y, f"{folder}/plain {n}", epochs)
        seconds[f"plain, {n}"] = plain
        print(f"{plain['fit']:7.1f} s of fit, {plain['scoring']:6.1f} s of scoring  "
              f"without an engine, at once: {n}")  # fmt: skip
    for backend in backends:
        for n_workers in (1, 2):
            store = f"{folder}/{backend} {n_workers}"
            clear_caches()  # of the files' digests
            with workers(backend, n_workers), weighed() as found:
                took, found_scores = fit_and_score(paths, y, store, epochs)
            scores.append(found_scores)
            seconds[f"{backend}, {n_workers}"] = took
            print(f"{took['fit']:7.1f} s of fit, {took['scoring']:6.1f} s of scoring  "
                  f"{backend}, workers: {n_workers}")  # fmt: skip
            travelled[backend] = _totals(found)
    same = all(
        np.array_equal(one, first, equal_nan=True)
        for each in scores
        for one, first in zip(each, scores[0], strict=True)
    )
    for backend, lines in travelled.items():
        for name, line in lines.items():
            print(
                f"{backend}: {name}, {line['tasks']} tasks in {line['messages']}, "
                f"{line['there']:.0f} bytes a task there, {line['back']:.0f} back, "
                f"{line.get('seconds', np.nan):.3f} s"
            )
    return {"seconds": seconds, "bytes": travelled, "same": same,
            "sha256 MiB a second": _hashing(folder)}  # fmt: skip


def _totals(found):
    lines = {}
    for name, messages in found.items():
        tasks, there, back, seconds = map(sum, zip(*messages, strict=True))
        lines[name] = {"tasks": tasks, "messages": len(messages),
                       "there": there / tasks, "back": back / tasks}  # fmt: skip
        if not np.isnan(seconds):
            lines[name]["seconds"] = seconds / tasks
    return lines


def _hashing(folder):
    path = Path(folder) / "bytes"
    path.write_bytes(os.urandom(64 * MIB))
    began = time.perf_counter()
    read_sha256(path)
    return 64 / (time.perf_counter() - began)


def goals_of(raw):
    """Set figures beside what they should be."""
    goals = []
    for backend, found in raw.get("overhead", {}).items():
        goals += [
            Goal.at_most(f"{backend}: ms of overhead a task", 1e3 * found["alone"], 10),
            Goal.at_most(f"{backend}: the same, grouped", 1e3 * found["grouped"], 1),
        ]
    for name, ends in raw.get("order", {}).items():
        ratio = ends["longest first"] / ends["as given"]
        goals.append(
            Goal.at_most(f"{name}: longest first against as given", ratio, 0.9)
        )
    if "memory" in raw:
        rise = raw["memory"]["100 %"] - raw["memory"]["10 %"]
        goals.append(Goal.at_most("MiB more after all tasks than a tenth", rise, 20))
    if "batch" in raw:
        rise = raw["batch"]["100 %"] - raw["batch"]["10 %"]
        goals.append(Goal.at_most("MiB more after all rows than a tenth", rise, 50))
    if "fit" in raw:
        seconds = raw["fit"]["seconds"]
        alone, both = (seconds[f"plain, {n}"] for n in (1, 2))
        for backend in raw["fit"]["bytes"]:
            one, two = (seconds[f"{backend}, {n}"] for n in (1, 2))
            for what in one:
                ceiling = alone[what] / both[what]
                found = one[what] / two[what] / 2 / ceiling
                name = f"{backend}: efficiency of two workers, {what}, of {ceiling:.2f}"
                goals.append(Goal.at_least(name, found, 0.8))
        goals.append(Goal.at_least("same scores everywhere", raw["fit"]["same"], 1))
    return goals


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="file for goals and raw figures")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--backends", choices=BACKENDS, nargs="+", default=BACKENDS)
    parser.add_argument("--empty", type=int, default=1000, help="tasks of overhead")
    parser.add_argument(
        "--tasks", type=int, default=100_000, help="those of memory; rows of batch"
    )
    parser.add_argument("--videos", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args(words)
    print(machine())
    backends = installed(options.backends)
    engines = [name for name in backends if name in ("dask", "ray")]
    processes = [name for name in backends if name != "threading"] or backends
    raw = {}
    if "overhead" in options.only:
        raw["overhead"] = overhead(backends, options.empty)
    if "order" in options.only:
        raw["order"] = order(processes[0])
    if "memory" in options.only:
        raw["memory"] = memory(processes[0], options.tasks)
    if "batch" in options.only:
        with tempfile.TemporaryDirectory() as folder:
            raw["batch"] = batch(options.tasks, folder)
    if "fit" in options.only:
        with tempfile.TemporaryDirectory() as folder:
            some = engines or processes[:1]
            raw["fit"] = fit(some, options.videos, options.epochs, folder)
    write(goals_of(raw), raw, options.json)


if __name__ == "__main__":
    main()
