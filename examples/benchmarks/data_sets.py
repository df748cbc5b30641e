"""Measure index and explore: time and memory with the number of videos.

    python examples/benchmarks/data_sets.py --json results.json

Each number of videos is measured in a process of its own, which indexes them (faces by
dlib, one job, an empty store), explores the table and writes the page, and says how
long each took and how far its memory rose above what it was before.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from goals import Goal, machine, write
from growth import short_video

STEPS = ("index", "explore", "page")


def child(folder, limit):
    """Index, explore and write a page; print seconds and mebibytes as JSON."""
    import pandas as pd

    from base_models import list_videos
    from ensemble.datasets import VideoTable, explore, index_videos

    def listed(name, limit=None):
        paths = [str(path) for path in list_videos(folder / name)][:limit]
        rows = range(len(paths))
        frame = pd.DataFrame({"path": paths, "label": [n % 2 for n in rows]})
        return VideoTable(frame.assign(group=[f"g{n // 2}" for n in rows]))

    raw = {}
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        explore(listed("warm"), store=work / "warm").to_html(work / "warm.html")
        table = listed("videos", limit)
        for step in STEPS:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.perf_counter(), time.process_time()
            if step == "index":
                table = index_videos(table, store=work / "store")
            elif step == "explore":
                found = explore(table, folder / "videos")
            else:
                raw["page, kB"] = found.to_html(work / "p.html").stat().st_size / 1e3
            raw[f"{step}, s"] = time.perf_counter() - began[0]
            raw[f"{step}, CPU s"] = time.process_time() - began[1]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            raw[f"{step}, MiB"] = (peak - before) / 1024
    print(json.dumps(raw))


def measure(folder, limit):
    command = [sys.executable, __file__, "--child", str(folder), "--limit", str(limit)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--json", help="file for goals and raw figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child), options.limit)
        return

    print(machine())
    raw, numbers = {}, sorted(options.numbers)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, count in {"videos": numbers[-1], "warm": 60}.items():
            (folder / name).mkdir()
            for number in range(count):
                seed = number if name == "videos" else 10**6 + number
                short_video(folder / name / f"{number:05}.mp4", seed, 8, (64, 96))
        for number in numbers:
            raw[f"{number} videos"] = measure(folder, number)
            print(f"{number} videos: {raw[f'{number} videos']}", flush=True)
    few, many = (raw[f"{number} videos"] for number in (numbers[0], numbers[-1]))
    times = numbers[-1] / numbers[0]
    goals = [
        Goal.at_most(
            f"CPU seconds of {step}: {numbers[-1]} videos against {numbers[0]}, over "
            f"{times:g}",
            many[f"{step}, CPU s"] / few[f"{step}, CPU s"] / times,
            1.2,
        )
        for step in STEPS
    ]
    goals += [
        Goal.at_most(
            f"rise of memory by {step}, kB a further video",
            1024 * (many[f"{step}, MiB"] - few[f"{step}, MiB"])
            / (numbers[-1] - numbers[0]),
            100,
        )
        for step in STEPS
    ]  # fmt: skip
    goals.append(
        Goal.at_most(
            "page, kB: of many less of few", many["page, kB"] - few["page, kB"], 100
        )
    )
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
