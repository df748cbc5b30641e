"""Measure what it costs to read videos in a process that may die.

    python examples/benchmarks/isolation.py --json results.json

Reads clips here and in a reader, turn by turn in one run, so that both meet the same
load; the frames must be equal. A reader works beside its caller: time is that on the
wall, and figures are medians over turns. Of clips that are read in milliseconds the
difference counts, of others the ratio.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from goals import Goal, write

from base_models import clear_caches, iter_frames, reading_limits, write_video
from base_models.video.reading import sample_frames

SIZES = {
    "small": (96, 128, 48),
    "640 x 360": (360, 640, 125),
    "1080p": (1080, 1920, 75),
}
LARGEST_RATIO, MOST_MS = 1.15, 20.0


def clip(path, height, width, n_frames):
    """Write moving noise."""
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    still = still.repeat(8, 0).repeat(8, 1)
    frames = (np.roll(still, 3 * shift, axis=1) for shift in range(n_frames))
    return write_video(path, frames, preset="ultrafast")


def sampled(path):
    """Read 16 frames."""
    return sample_frames(path, 16).sum()


def iterated(path):
    """Read each frame, and look at each."""
    return sum(int(frame.sum()) for frame in iter_frames(path))


def timed(read, path):
    """Return seconds, and what was read."""
    began = time.perf_counter()
    found = read(path)
    return time.perf_counter() - began, found


def turns(read, path, n_turns):
    """Read here and apart by turns; return both times of each."""
    times = []
    for _ in range(n_turns):
        here, expected = timed(read, path)
        with reading_limits(isolation="process"):
            apart, found = timed(read, path)
        assert found == expected, "other frames"
        times.append((here, apart))
    return times


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    goals, raw = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (height, width, n_frames) in SIZES.items():
            path = clip(Path(folder) / f"{height}.mp4", height, width, n_frames)
            for read in (sampled, iterated):
                turns(read, path, 1)  # begins a reader, and fills caches
                times = turns(read, path, options.turns)
                ratio = median(apart / here for here, apart in times)
                more = median(apart - here for here, apart in times)
                raw[f"{name}, {read.__name__}"] = times
                what = f"{name}, {read.__name__}: apart"
                if name == "small":
                    text = f"{what} - here, ms"
                    goals.append(Goal.at_most(text, 1000 * more, MOST_MS))
                else:
                    goals.append(Goal.at_most(f"{what} / here", ratio, LARGEST_RATIO))
        clear_caches()
        with reading_limits(isolation="process"):
            started, _ = timed(sampled, path)
        raw["first video of a process, s"] = started
        goals.append(Goal.at_most("first video of a process, s", started, 5.0))
    write(goals, raw, options.json)


if __name__ == "__main__":
    main()
