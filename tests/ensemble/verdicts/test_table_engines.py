"""Tables judged by other processes, of which some are killed: the same rows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

# What runs in a process of its own. Videos are files whose first letter is a digit of
# P(fake); one that is called poison ends its process, each time.
SCRIPT = """
import os, signal, sys, time
import joblib
from base_models import CallableDetector, cluster, score_table

def first_letter(videos):
    found = []
    for video in videos:
        name = os.path.basename(video)
        time.sleep(PAUSE)
        with open("asked.txt", "a") as file:
            file.write(name + chr(10))
        if "poison" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "odd" in name:
            raise ZeroDivisionError("odd")
        found.append(int(name[0]) / 10)
    return found

if __name__ == "__main__":
    where, part_size, PAUSE_ = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    first_letter.__globals__["PAUSE"] = PAUSE_
    detector = CallableDetector(first_letter).fit(["a", "b"], [0, 1])
    def run(engine=None):
        done = score_table({"digit": detector}, "t.csv", "out", engine,
                           part_size=part_size, store="store")
        print(done)
    if where == "here":
        run()
    elif where == "loky":
        with joblib.parallel_config("loky", n_jobs=2):
            run()
    elif where == "dask":
        with cluster("local:2"):
            run("dask")
    else:
        import ray
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        run("ray")
        ray.shutdown()
"""


def prepared(folder, names):
    (folder / "work.py").write_text(SCRIPT)
    for name in names:
        (folder / name).write_text(name)
    pd.DataFrame({"path": names}).to_csv(folder / "t.csv", index=False)
    return folder


def start(folder, where, part_size=3, pause=0.0):
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    return subprocess.Popen(
        [sys.executable, "work.py", where, str(part_size), str(pause)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process, seconds=280):
    try:
        out, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out


def asked(folder):
    return (folder / "asked.txt").read_text().split()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["loky", "dask", "ray"])
def test_a_video_that_ends_its_process_costs_itself_alone(where, tmp_path):
    if where != "loky":
        pytest.importorskip({"dask": "distributed"}.get(where, where))
    names = [f"{n % 10}.mp4" for n in range(10)] + ["1odd.mp4", "2x.mp4"]
    names[4] = "4poison.mp4"
    code, out = finished(start(prepared(tmp_path, names), where))
    assert code == 0, out
    assert "12 videos: 10 scored, 0 partial, 2 unscorable; 4 parts" in out
    found = pd.read_parquet(tmp_path / "out")
    expected = [int(name[0]) / 10 for name in names]
    expected[4] = expected[10] = np.nan
    assert found["path"].tolist() == names
    np.testing.assert_array_equal(found["digit"], expected)
    reasons = found["digit_reason"]
    assert reasons[4].startswith("it ended the process that worked on it 3 times")
    assert reasons[10] == "ZeroDivisionError: odd"
    assert (reasons.drop(index=[4, 10]) == "").all()
    assert list((tmp_path / "out" / "_attempts").iterdir()) == []
    assert asked(tmp_path).count("4poison.mp4") == 4  # among others, and by itself


@pytest.mark.slow
def test_a_caller_that_is_killed_each_time_gets_through(tmp_path):
    names = ["0.mp4", "1poison.mp4", "2.mp4", "3.mp4"]
    prepared(tmp_path, names)
    codes = [finished(start(tmp_path, "here", 2))[0] for _ in range(5)]
    assert codes == [-signal.SIGKILL] * 4 + [0]
    found = pd.read_parquet(tmp_path / "out")
    np.testing.assert_array_equal(found["digit"], [0, np.nan, 0.2, 0.3])
    assert asked(tmp_path).count("0.mp4") == 1  # kept in the store


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path):
    names = [f"{n}.mp4" for n in range(10)]
    process = start(prepared(tmp_path, names), "here", 3, pause=0.3)
    done = tmp_path / "asked.txt"
    until = time.monotonic() + 120
    while time.monotonic() < until and (not done.exists() or len(asked(tmp_path)) < 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    finished(process)
    assert [path.name for path in (tmp_path / "out").glob("part-*")] == [
        "part-000000.parquet"
    ]
    code, out = finished(start(tmp_path, "here", 3))
    assert code == 0, out
    assert "10 scored, 0 partial, 0 unscorable; 4 parts, 1 done before" in out
    found = pd.read_parquet(tmp_path / "out")
    np.testing.assert_array_equal(found["digit"], np.arange(10) / 10)
    counts = pd.Series(asked(tmp_path)).value_counts()
    assert counts[["0.mp4", "1.mp4", "2.mp4", "3.mp4"]].tolist() == [1, 1, 1, 1]
    assert counts.sum() <= 12  # the one in work, again
