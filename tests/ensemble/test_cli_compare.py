"""The command that compares strategies."""

import json

import numpy as np
import pandas as pd
import pytest

from base_models import write_video
from ensemble.cli import main

FEW = ["--strategies", "soft,stacking", "--draws", "20", "--folds", "3", "--quiet"]


def run(capsys, *arguments):
    """Return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    return left.value.code, out, err


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """A CSV of two members' scores of 48 videos, in columns of somebody's own."""
    rng = np.random.default_rng(0)
    y = np.arange(48) % 2
    table = pd.DataFrame(
        {
            "clip": [f"clip_{row}" for row in range(48)],
            "p_good": 1 / (1 + np.exp(rng.normal(-3 * (2 * y - 1), 1.5))),
            "p_poor": 1 / (1 + np.exp(rng.normal(-0.5 * (2 * y - 1), 1.5))),
            "truth": np.where(y, "FAKE", "REAL"),
            "person": np.arange(48) // 4,
            "made_by": np.where(y == 0, "", np.where(np.arange(48) % 4 == 1, "a", "b")),
            "aside": 0.25,
        }
    )
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    table.to_csv(path, index=False)
    return path


NAMED = ["--scores", "p_*", "--label", "truth", "--group", "person", "--index", "clip"]


def test_scores_give_table_verdict_and_report(scores, tmp_path, capsys):
    report = tmp_path / "new" / "report.html"
    code, out, _ = run(capsys, scores, *NAMED, *FEW, "--report", report)
    assert code == 0
    for name in ("p_good", "p_poor", "stacking", "mean"):
        assert name in out
    assert "On groups that no strategy was fitted on" in out
    assert str(report) in out
    assert "p_good" in report.read_text(encoding="utf-8")
    assert "aside" not in out


def test_methods_are_left_out_one_by_one(scores, capsys):
    code, out, _ = run(
        capsys, scores, *NAMED, *FEW, "--method", "made_by",
        "--protocol", "leave-method-out", "--json", "-",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    held_out = {r["value"] for r in found["by_value"] if r["axis"] == "held out"}
    assert held_out == {"a", "b"}
    assert found["how"]["protocol"] == "leave-method-out"


def test_the_table_goes_to_a_file_or_to_the_next_program(scores, tmp_path, capsys):
    run(capsys, scores, *NAMED, *FEW, "--csv", tmp_path / "table.csv")
    kept = pd.read_csv(tmp_path / "table.csv", index_col="strategy")
    code, out, err = run(capsys, scores, *NAMED, *FEW, "--csv", "-")
    assert code == 0
    assert out == (tmp_path / "table.csv").read_text()
    assert kept.loc["p_good", "auc"] > kept.loc["p_poor", "auc"]
    assert "On groups that no strategy was fitted on" in err


def test_scores_may_be_named_one_by_one(scores, capsys):
    _, out, _ = run(
        capsys, scores, *FEW, "--scores", "p_poor,aside", *NAMED[2:], "--csv", "-"
    )
    assert "p_poor" in out
    assert "p_good" not in out


def test_videos_are_compared_by_detectors_that_are_fitted_for_it(
    toy_videos, tmp_path, capsys
):
    videos, y, groups = toy_videos
    lines = ["path,label,group"]
    for row in range(16):
        write_video(tmp_path / f"{row}.mp4", videos[row], fps=10)
        lines.append(f"{row}.mp4,{y[row]},g{groups[row]}")
    (tmp_path / "set.csv").write_text("\n".join(lines))
    code, out, _ = run(
        capsys, tmp_path / "set.csv", *FEW, "--backbones", "test_resnet", "--views",
        "frame", "--train", "head", "--weights", "none", "--image-size", "32",
        "--n-frames", "2", "--store", tmp_path / "store",
    )  # fmt: skip
    assert code == 0
    assert "test_resnet_frame" in out
    assert "fold" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (["notes.txt"], "neither a folder nor a .csv or .parquet file"),
        (["SCORES", *NAMED, "--method", "maker"], "no column 'maker'; it has clip"),
        (["SCORES", *NAMED, "--strategies", "magic"], "magic"),
        (["SCORES", *NAMED, "--protocol", "leave-method-out"], "method"),
    ],
)
def test_what_cannot_be_done_is_said(scores, capsys, arguments, said):
    arguments = [scores if a == "SCORES" else a for a in arguments]
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert said in " ".join(err.split())
