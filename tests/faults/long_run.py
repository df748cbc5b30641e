"""A long run over short videos, 1 % of them poisoned, while its double is killed.

Two processes judge the same table into folders of their own, with one store. One works
undisturbed, and its memory is looked at; the other is killed again and again, and goes
on. Then an ensemble is fitted on the same videos. A trial is a video.
"""

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from trials import Tally

from base_models import FrequencyDetector, write_video
from ensemble import DeepfakeEnsemble

KINDS = 8  # of videos, of which all others are copies with other bytes
LIFE = 60.0  # seconds from one kill to the next
LEAST = 6  # poisoned videos: one of each sort
GROWTH = 1.25, 64.0  # of memory from 10 % of the run to its end: times, plus MiB
COMMAND = "import sys; from ensemble.cli.app import main; main(sys.argv[1:])"
_POLL = 0.05


def long_run(n, seed, folder):
    """Judge `n` videos twice, fit on them once, and compare with a small run."""
    clips = _clips(folder / "clips", seed)
    videos, kind, poison = _videos(folder / "videos", clips, n, seed)
    model = folder / "model.dfe"
    _fitted(clips, folder / "small").save(model)
    expected = DeepfakeEnsemble.fake_score(_fitted(clips, folder / "small"), clips)
    table = folder / "videos.csv"
    pd.DataFrame({"path": videos}).to_csv(table, index=False)
    size = max(2, min(500, n // 20))
    steady, killed = (
        _Batch(model, table, folder / name, folder / "store", size)
        for name in ("steady", "killed")
    )
    memory, kills = _run_both(steady, killed, -(-n // size))
    tally = Tally()
    for run in (steady, killed):
        _compare(tally, run, videos, kind, poison, expected)
    _check_fit(tally, folder, videos, kind, poison)
    growth = memory[-1] - memory[0]
    flat = memory[-1] <= GROWTH[0] * memory[0] + GROWTH[1]
    said = "right: flat" if flat else f"memory: MiB at 10, 50, 100 %: {memory}"
    tally.add(said, "memory of the steady run", mib=max(growth, 0.0))
    tally.add("right: killed" if kills else "other answer: no kill came", "kills")
    print(f"long_run: {kills} kills; MiB at 10, 50 and 100 %: {memory}", flush=True)
    return tally


def _clips(folder, seed):
    folder.mkdir()
    draw = np.random.default_rng(seed)
    clips = []
    for number in range(KINDS):
        coarse = draw.integers(0, 256, (6, 8, 8, 3), np.uint8)
        frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
        if number % 2:  # fakes are finer
            frames = draw.integers(0, 256, frames.shape, np.uint8)
        clips.append(str(folder / f"{number}.mp4"))
        write_video(clips[-1], frames, fps=10)
    return clips


def _videos(folder, clips, n, seed):
    """Copy clips under other bytes; return paths, the clip of each, and the poison."""
    folder.mkdir()
    contents = [Path(clip).read_bytes() for clip in clips]
    draw = np.random.default_rng(seed + 1)
    sick = draw.choice(n, max(LEAST, n // 100), replace=False)
    sorts = ("cut", "empty", "text", "no frames", "noise", "pipe")
    poison = {int(row): sorts[i % len(sorts)] for i, row in enumerate(sick)}
    videos, kind = [], draw.integers(0, KINDS, n)
    for row in range(n):
        path = folder / f"{row:06}.mp4"
        if poison.get(row) == "pipe":  # whoever opens it waits for ever
            os.mkfifo(path)
        else:
            content = _poisoned(contents[kind[row]], poison.get(row), row)
            path.write_bytes(content)
        videos.append(str(path))
    return videos, kind, poison


def _poisoned(content, sort, row):
    own = (16).to_bytes(4, "big") + b"free" + row.to_bytes(8, "big")  # a box of MP4
    if sort is None:
        return content + own
    if sort == "cut":
        return content[: 40 + row % 100]
    if sort == "text":
        return f"<html>404: no video {row} here</html>".encode()
    if sort == "no frames":  # its head alone: no index, no picture
        return content[: int.from_bytes(content[:4], "big")] + own
    if sort == "noise":
        return np.random.default_rng(row).bytes(2000)
    return b""


def _fitted(clips, store, videos=None, y=None):
    member = FrequencyDetector(view="frame", n_frames=2, random_state=0)
    model = DeepfakeEnsemble(
        {"frequency": member}, "voting", resampling=2, verbose=False, on_error="skip",
        random_state=0, store=store,
    )  # fmt: skip
    videos = clips if videos is None else videos
    y = np.arange(KINDS) % 2 if y is None else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(videos, y, groups=np.arange(len(videos)))


class _Batch:
    """One run of ``batch``, which may be killed and goes on."""

    def __init__(self, model, table, out, store, size):
        self.out = out
        self._words = [
            "batch", model, table, "--out", out, "--store", store,
            "--part-size", size, "--quiet",
        ]  # fmt: skip
        self.begin()

    def begin(self):
        self.begun = time.monotonic()
        words = [sys.executable, "-c", COMMAND, *map(str, self._words)]
        with open(f"{self.out}.txt", "ab") as said:
            self.process = subprocess.Popen(
                words, stdout=said, stderr=said, start_new_session=True
            )

    def kill(self):
        os.killpg(self.process.pid, 9)
        self.process.wait()

    def parts(self):
        return len(list(self.out.glob("*.parquet")))

    def mib(self):
        """Return the memory that is its now, and None where it has ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            return int(status.split("VmRSS:")[1].split()[0]) / 1024
        except (OSError, IndexError):
            return None

    def said(self):
        return Path(f"{self.out}.txt").read_text(errors="replace")[-2000:]


def _run_both(steady, killed, n_parts):
    """Run until both have ended; return memory at 10, 50, 100 % and how many kills."""
    marks, memory, kills, last = [0.1, 0.5, 1.0], [], 0, 0.0
    try:
        while steady.process.poll() is None or killed.process.poll() is None:
            now = steady.mib()
            last = now or last
            while len(memory) < 2 and steady.parts() >= marks[len(memory)] * n_parts:
                memory.append(round(last))
            if killed.process.poll() is None:
                lived = time.monotonic() - killed.begun
                if lived > LIFE or (not kills and killed.parts()):
                    killed.kill()
                    kills += 1
                    killed.begin()
            time.sleep(_POLL)
    finally:
        for run in (steady, killed):
            if run.process.poll() is None:
                run.kill()
    memory += [round(last)] * (3 - len(memory))
    return memory, kills


def _compare(tally, run, videos, kind, poison, expected):
    """Count each video: its own score, or none and a reason."""
    code = run.process.returncode
    if code != 1:  # some could not be scored
        tally.add(f"other answer: exit code {code}", run.said())
    parts = sorted(run.out.glob("*.parquet"))
    if not parts:
        tally.add("lost: there is no part", run.said())
        return
    rows = pd.concat(map(pd.read_parquet, parts)).set_index("path")
    if list(rows.index) != videos:
        tally.add(f"lost: {len(rows)} rows of {len(videos)}", run.out)
        return
    counted = f"{len(poison):,} of {len(videos):,} videos have no score"
    if counted not in run.said():
        tally.add("other answer: the last lines do not count them", run.said())
    for row, (video, found) in enumerate(rows.iterrows()):
        case = f"{run.out.name} {video} {poison.get(row, '')}"
        if row in poison:
            is_right = found["status"] == "unscorable" and found["reason"]
            said = "right: named" if is_right else f"other answer: {dict(found)}"
        else:
            is_right = found["p_fake"] == expected[kind[row]]
            said = "right: equal" if is_right else f"other answer: {dict(found)}"
        tally.add(said, case)


def _check_fit(tally, folder, videos, kind, poison):
    """Fit on all of them: what is poisoned is left out, and the rest is not."""
    y = (kind % 2).astype(int)
    model = _fitted(None, folder / "store", videos, y)
    expected = {videos[row] for row in poison}
    skipped = model.skipped_videos_
    is_right = set(skipped) == expected and all(skipped.values())
    is_right &= len(model.oof_scores_) == len(videos) - len(poison)
    is_right &= bool(model.oof_scores_.notna().all(axis=None))
    tally.add("right: fitted" if is_right else f"other answer: {skipped}", "fit")
