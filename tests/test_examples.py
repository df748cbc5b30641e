import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    sorted(
        {path.name for path in EXAMPLES.glob("*.py")}
        - {"serve_client.py", "starter.py"}
    ),
)
def test_an_example_runs_as_written(script, tmp_path):
    pytest.importorskip("skimage")
    run = subprocess.run(
        [sys.executable, EXAMPLES / script, "--identities", "24"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    assert "home-made swaps" in run.stdout or "verdict" in run.stdout
    assert not list(tmp_path.iterdir())  # leaves nothing behind
    if script == "cluster.py":
        ran = re.findall(
            r"worker tcp://.* \(process (\d+)\): (\w+) \d+ times", run.stdout
        )
        assert "fit_and_score" in {name for _, name in ran}
        assert len({process for process, _ in ran}) == 2
        assert "Traceback" not in run.stderr


def test_the_example_of_a_cluster_counts_tasks_by_the_names_dask_knows():
    pytest.importorskip("skimage")
    dask_engine = pytest.importorskip("base_models.runtime.clusters.dask_engine")
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / "cluster.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    sent = []

    class Client:  # of Dask: says which tasks it was sent, and has them nowhere
        def subscribe_topic(self, topic, handler):
            pass

        def submit(self, function, *_, key=None, **__):
            sent.append({"worker": "tcp://a:1", "key": key or f"unpacked-{'0a' * 16}"})
            return Future()

    class Future:
        def add_done_callback(self, called):
            pass

    engine = dask_engine.DaskEngine(Client(), {})
    shared = engine.share(b"")
    for name in ("score_part", "fit_and_score", "score_part"):
        engine.send(b"", [shared], name, False)
    assert example.lines_of(sent, {"tcp://a:1": 7}) == [
        "worker tcp://a:1 (process 7): fit_and_score 1 times",
        "worker tcp://a:1 (process 7): score_part 2 times",
    ]
    assert example.lines_of(sent[:1], {}) == [
        "none of 1 tasks on Dask's workers is called like one of ours"
    ]
