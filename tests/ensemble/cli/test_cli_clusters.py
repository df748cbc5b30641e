"""Commands with ``--cluster``: computed by workers, with the same outcome."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from base_models import write_video
from ensemble import load
from ensemble.cli.app import main

SMALL = [
    "--backbones", "mesonet4", "--views", "frame", "--weights", "none",
    "--image-size", "32", "--n-frames", "2", "--epochs", "1", "--folds", "2",
]  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory, toy_videos):
    """A folder with real/ and fake/, six videos in each."""
    root = tmp_path_factory.mktemp("videos")
    frames, y, _ = toy_videos
    for row in range(12):
        folder = root / ("fake" if y[row] else "real")
        folder.mkdir(exist_ok=True)
        write_video(folder / f"{row:02}.mp4", frames[row], fps=10)
    return root


@pytest.fixture(scope="module")
def address():
    """A scheduler with two workers, each its own process."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as running:
        yield running.scheduler_address


def run(capsys, *arguments, code=0):
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert (left.value.code or 0) == code, printed
    return printed


@pytest.mark.parametrize("command", ["fit", "compare", "index", "prepare", "predict"])
def test_an_odd_address_is_refused_before_anything_is_opened(command, capsys):
    extra = ["--out", "x"] if command in ("fit", "index") else []
    printed = run(capsys, command, "nothing", *extra, "--cluster", "http://a:1", code=2)
    assert "--cluster" in printed.err
    assert "tcp://HOST:PORT" in printed.err


@pytest.mark.slow
def test_a_model_is_the_same_from_a_cluster(videos, address, tmp_path, capsys):
    models = []
    for name, where in (("here", []), ("there", ["--cluster", address])):
        out, store = tmp_path / f"{name}.dfe", tmp_path / name
        printed = run(
            capsys, "fit", videos, "--out", out, "--store", store, *SMALL, *where
        )
        assert (f"cluster: {address}, 2 workers" in printed.err) == bool(where)
        models.append(load(out))
    here, there = models
    pd.testing.assert_frame_equal(here.oof_scores_, there.oof_scores_, check_exact=True)
    verdicts = [
        run(capsys, "predict", tmp_path / "here.dfe", videos, "--csv", *where).out
        for where in ([], ["--cluster", address])
    ]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].count("scored") == 12


@pytest.mark.slow
def test_a_comparison_is_the_same_from_a_cluster(videos, address, tmp_path, capsys):
    tables = []
    for name, where in (("here", []), ("there", ["--cluster", address])):
        printed = run(
            capsys, "compare", videos, "--store", tmp_path / name, "--draws", "10",
            "--strategies", "soft,logistic", "--csv", "-", *SMALL, *where,
        )  # fmt: skip
        tables.append(printed.out)
    assert tables[0] == tables[1]
    assert "stacking" in tables[0]


@pytest.mark.slow
def test_a_prepared_folder_is_the_same_from_a_cluster(
    videos, address, tmp_path, capsys
):
    contents = []
    for name, where in (("here", []), ("there", ["--cluster", address])):
        run(
            capsys, "prepare", videos, tmp_path / name, "--view", "frame", "--size",
            "32", "--n-frames", "2", "--store", tmp_path / f"{name}-store", *where,
        )  # fmt: skip
        paths = sorted((tmp_path / name).rglob("*.png"))
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert len(contents[0]) == 24


@pytest.mark.slow
def test_a_command_starts_a_local_cluster_and_says_where_to_watch(videos, tmp_path):
    pytest.importorskip("distributed")
    run = subprocess.run(
        [
            sys.executable, "-c", "from ensemble.cli.app import main; main()",
            "index", str(videos), "--out", "table.csv", "--cluster", "local:2",
            "--store", "store",
        ],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=200,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "cluster: tcp://127.0.0.1:" in run.stderr
    assert "2 workers, 2 tasks at once, shown at http://127.0.0.1:" in run.stderr
    assert pd.read_csv(tmp_path / "table.csv")["readable"].tolist() == [True] * 12
