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
        time.sleep(float(os.environ["PAUSE"]))
        with open("asked.txt", "a") as file:
            file.write(name + chr(10))
        if "slow" in name:
            time.sleep(1)
        if "poison" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "odd" in name:
            raise ZeroDivisionError("odd")
        found.append(int(name[0]) / 10)
    return found

if __name__ == "__main__":
    where, part_size = sys.argv[1], int(sys.argv[2])
    detector = CallableDetector(first_letter).fit(["a", "b"], [0, 1])
    def run(engine=None):
        done = score_table({"digit": detector}, "t.csv", "out", engine,
                           part_size=part_size, store="store")
        print(done)
    if where == "here":
        run()
    elif where in ("loky", "threading"):
        with joblib.parallel_config(where, n_jobs=2):
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
        [sys.executable, "work.py", where, str(part_size)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PAUSE": str(pause)},
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
def test_who_runs_beside_a_video_that_ends_its_process_is_not_given_up(tmp_path):
    prepared(tmp_path, ["0poison.mp4", "2slow.mp4"])
    for _ in range(9):
        code, out = finished(start(tmp_path, "threading", 1, pause=0.3))
        if code == 0:
            break
    assert code == 0, out
    found = pd.read_parquet(tmp_path / "out")
    np.testing.assert_array_equal(found["digit"], [np.nan, 0.2])
    assert asked(tmp_path).count("0poison.mp4") == 4


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


@pytest.fixture(scope="module")
def judged(tmp_path_factory, toy_videos):
    """An ensemble of two small networks, a table of videos, and what judge says."""
    import torch

    from base_models import PrefitDetector, write_video
    from base_models.backbones import build_network
    from base_models.detectors.prefit import make_card
    from ensemble import DeepfakeEnsemble

    members = {}
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        network = build_network("test_resnet", weights=None)
        torch.nn.init.normal_(network.head.weight, std=3)
        card = make_card("test_resnet", "frame", 32, source=name, trained_on=[])
        members[name] = PrefitDetector(card).with_network(network)
    root = tmp_path_factory.mktemp("videos")
    for row in range(11):
        write_video(root / f"{row:02}.mp4", toy_videos[0][row], fps=10)
    names = [f"{row:02}.mp4" for row in range(11)] + ["none.mp4"]
    pd.DataFrame({"path": names}).to_parquet(root / "t.parquet")
    model = DeepfakeEnsemble.from_detectors(members)
    model.set_params(store=root / "alone")
    known = model.judge([str(root / name) for name in names]).reset_index(drop=True)
    return model, root / "t.parquet", known


def running(where):
    import joblib

    from base_models import cluster

    if where == "loky":
        return joblib.parallel_config("loky", n_jobs=2), None
    if where == "dask":
        pytest.importorskip("distributed")
        return cluster("local:2"), "dask"
    ray = pytest.importorskip("ray")
    if not ray.is_initialized():
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    return ray, "ray"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["loky", "dask", "ray"])
def test_verdicts_of_networks_are_the_same_everywhere(where, judged, tmp_path):
    model, table, known = judged
    place, engine = running(where)
    model.set_params(store=tmp_path / "store")  # where nothing is yet
    try:
        if engine == "ray":
            done = model.judge_table(table, tmp_path / "out", engine, part_size=3)
        else:
            with place:
                done = model.judge_table(table, tmp_path / "out", engine, part_size=3)
    finally:
        if engine == "ray":
            place.shutdown()
    found = pd.read_parquet(done.output)[list(known)]
    pd.testing.assert_frame_equal(found, known, check_exact=True, check_dtype=False)
    assert (done.n_scored, done.n_unscorable) == (11, 1)
