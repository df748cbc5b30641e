"""Measure what the library itself costs, where members cost nothing; of two checkouts.

    python examples/benchmarks/overhead.py --other ../before --json results.json

Tasks: a fit of 1,000 arrays with two members that take a mean, a fit of `AutoCombiner`
on scores of six members, a scan of a clip with one small network, the first scores of
that network for one frame a clip. Each task runs in a process of its own, by turns in
this checkout and in the other one; the seconds are those of the task without imports,
CPU and wall, and the medians are compared. Without ``--other`` it measures this one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from goals import Goal, machine, write

CLIPS = """
import numpy as np, tempfile, time, warnings
warnings.simplefilter("ignore")
from base_models import FrameDetector, Store, write_video
draw = np.random.default_rng(0)
folder = tempfile.mkdtemp()
def clip(name, shade, n_frames=100):
    y, x = np.mgrid[:240, :320]
    frames = [np.stack([shade + (x + 3 * t) % 90, (y + 5 * t) % 200, (x * y + t) % 120],
              -1).astype(np.uint8) for t in range(n_frames)]
    path = f"{folder}/{name}.mp4"
    write_video(path, frames, fps=25)
    return path
"""
TASKS = {
    "fit of 1,000 arrays": """
import numpy as np, warnings
warnings.simplefilter("ignore")
from base_models import CallableDetector
from ensemble import DeepfakeEnsemble
draw = np.random.default_rng(0)
y = np.arange(1000) % 2
videos = [np.clip(draw.normal(110 + 20 * label, 20, (8, 32, 32, 3)), 0, 255)
          .astype("u1") for label in y]
def bright(videos): return [float(np.mean(video)) / 255 for video in videos]
def dark(videos): return [float(np.std(video)) / 255 for video in videos]
members = [CallableDetector(bright), CallableDetector(dark)]
model = DeepfakeEnsemble(members, store=None, random_state=0)
def task(): model.fit(videos, y, groups=np.arange(1000) // 2)
""",
    "AutoCombiner, 400 x 6": """
import numpy as np, warnings
warnings.simplefilter("ignore")
from ensemble.combiners import AutoCombiner
draw = np.random.default_rng(0)
y = np.arange(400) % 2
X = 1 / (1 + np.exp(-(draw.normal(0, 1, (400, 6)) + 0.8 * y[:, None])))
def task(): AutoCombiner(random_state=0).fit(X, y, groups=np.arange(400) // 2)
""",
    "scan of a clip": CLIPS
    + """
from ensemble import DeepfakeEnsemble, scan_video
videos = [clip(i, 20 + 60 * (i % 2), 12) for i in range(8)]
member = FrameDetector("mesonet4", weights=None, view="frame", image_size=64,
                       n_frames=4, random_state=0)
model = DeepfakeEnsemble([member], resampling=2, store=Store(folder + "/store"))
model.fit(videos, [0, 1] * 4, groups=range(8))
new = clip("new", 50)
def task(): scan_video(model, new)
""",
    "scores of a small network": CLIPS
    + """
videos = [clip(i, 20 + 60 * (i % 2), 12) for i in range(16)]
member = FrameDetector("mesonet4", weights=None, view="frame", image_size=64,
                       n_frames=1, random_state=0, epochs=1)
member.fit(videos[:8], [0, 1] * 4, groups=range(8))
def task(): member.predict_proba(videos[8:])
""",
}
CLOCK = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
task()
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""


def seconds(program, checkout):
    """Return wall and CPU seconds of a task in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", program + CLOCK],
        env={**os.environ, "PYTHONPATH": str(Path(checkout).resolve())},
        cwd=Path(checkout),
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise RuntimeError(f"{checkout}: {run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--other", help="another checkout, such as one of before")
    parser.add_argument("--json", help="file for goals and raw figures")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(machine())
    checkouts = {"this": Path(__file__).resolve().parents[2]}
    if options.other:
        checkouts["other"] = Path(options.other)
    taken, goals = {}, []
    for task, program in TASKS.items():
        runs = {name: [] for name in checkouts}
        for _ in range(options.repeats):
            for name, checkout in checkouts.items():
                runs[name].append(seconds(program, checkout))
        taken[task] = runs
        for name, found in runs.items():
            wall, cpu = (statistics.median(part) for part in zip(*found, strict=True))
            print(f"{wall:7.2f} s, {cpu:7.2f} s of CPU  {task}, {name} checkout")
        if options.other:
            cpu = [statistics.median(c for _, c in runs[name]) for name in checkouts]
            goals.append(
                Goal.at_most(f"{task}: times the other one", cpu[0] / cpu[1], 1.1)
            )
    write(goals, {"seconds": taken}, options.json)


if __name__ == "__main__":
    main()
