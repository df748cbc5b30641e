"""The command that compares strategies."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from base_models import PrefitDetector, load_checkpoint, write_video
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble import ScorePipeline
from ensemble.cli.app import main
from ensemble.combiners import resolve_combiner
from ensemble.datasets import load_dataset

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
    code, out, _ = run(capsys, scores, *NAMED, *FEW, "--report", report, "--details")
    assert code == 0
    for name in ("p_good", "p_poor", "stacking", "mean"):
        assert name in out
    assert "On groups that no strategy was fitted on" in out
    assert str(report) in out
    assert "p_good" in report.read_text(encoding="utf-8")
    assert "aside" not in out


@pytest.mark.slow
@pytest.mark.parametrize("what", ["method", "family"])
def test_methods_are_left_out_one_by_one(what, scores, capsys):
    code, out, _ = run(
        capsys, scores, *NAMED, *FEW, f"--{what}", "made_by",
        "--protocol", f"leave-{what}-out", "--min-coverage", "1", "--json", "-",
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)
    held_out = {r["value"] for r in found["by_value"] if r["axis"] == "held out"}
    assert held_out == {"a", "b"}
    assert found["how"]["protocol"] == f"leave-{what}-out"


@pytest.mark.slow
def test_the_table_goes_to_a_file_or_to_the_next_program(scores, tmp_path, capsys):
    run(capsys, scores, *NAMED, *FEW, "--csv", tmp_path / "table.csv")
    kept = pd.read_csv(tmp_path / "table.csv", index_col="strategy")
    code, out, err = run(capsys, scores, *NAMED, *FEW, "--csv", "-")
    assert code == 0
    assert out == (tmp_path / "table.csv").read_text()
    assert kept.loc["p_good", "auc"] > kept.loc["p_poor", "auc"]
    assert "videos it was not fitted on" in err
    assert "On groups that no strategy was fitted on" not in err  # without --details


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_the_end_names_the_command_that_ships_the_best_strategy(
    named, scores, tmp_path, capsys
):
    def change(table):
        table["p_good"] = 9 * table["p_good"].astype(float) - 4  # a scale of its own
        if not named:
            del table["aside"], table["truth"]
            table["label"] = np.arange(48) % 2

    path = rewritten(scores, tmp_path / "my scores.csv", change)
    columns = NAMED if named else ["--group", "person", "--index", "clip"]
    few = ["--strategies", "log-odds mean, calibrated, majority vote", *FEW[2:]]
    code, out, err = run(
        capsys, path, *columns, *few, "--method", "made_by", "--invert", "p_poor"
    )
    assert code == 0
    assert "p_good (-3." in err
    assert "standardised" in err
    command = shlex.split(out[out.index("To save ") :].splitlines()[1])
    assert command[:3] == ["deepfake-ensemble", "combine", str(path)]
    picked = "p_*" if named else "p_good,p_poor"
    for option, value in (("scores", picked), ("invert", "p_poor"), ("index", "clip")):
        assert command[command.index(f"--{option}") + 1] == value
    rule = tmp_path / "rule.dfe"
    command[-1] = str(rule)
    with pytest.raises(SystemExit) as left:
        main([*command[1:], "--draws", "0"])
    assert left.value.code == 0
    shipped = ScorePipeline.load(rule)
    winner = out[out.index("To save ") :].splitlines()[0]
    winner = winner.removeprefix("To save ").removesuffix(" as a rule:")
    plain = {"the plain mean": "soft", "the best single detector": "best_single_auc"}
    expected = resolve_combiner(plain.get(winner, winner), 0)
    assert repr(shipped.combiner_) == repr(expected)
    assert shipped.detector_names_ == ["p_good", "p_poor"]
    assert "It beats the plain mean" in out
    assert "The plain mean is simpler" not in out


@pytest.mark.parametrize(
    ("strength", "advice", "combiners"),
    [
        (1.2, "No strategy is above the plain mean, the simplest", ["soft"]),
        (1.0, "The best single detector is simpler and may be as good.",
         ["weighted", "best_single_auc"]),
        (0.5, "No ensemble is above the best single detector: take it alone.",
         ["best_single_auc"]),
    ],
)  # fmt: skip
def test_the_commands_save_what_the_advice_speaks_of(
    strength, advice, combiners, scores, tmp_path, capsys
):
    table = pd.read_csv(scores)
    sign = np.where(table["truth"] == "FAKE", 1, -1)
    noise = np.random.default_rng(1).normal(size=(2, len(table)))
    table["p_good"] = 1 / (1 + np.exp(-1.5 * sign - 1.5 * noise[0]))
    table["p_poor"] = 1 / (1 + np.exp(-strength * sign - 1.5 * noise[1]))
    table.to_csv(tmp_path / "scores.csv", index=False)
    few = ["--strategies", "weighted", *FEW[2:]]
    page = tmp_path / "page.html"
    given = ("--scores", "p_good,p_poor", "--report", page)
    _, out, _ = run(capsys, tmp_path / "scores.csv", *NAMED[:-2], *few, *given)
    assert advice in out
    assert advice in page.read_text(encoding="utf-8")
    commands = [line for line in out.splitlines() if "ensemble combine " in line]
    assert len(commands) == len(combiners)
    for command, combiner in zip(commands, combiners, strict=True):
        assert f"--combiner {combiner} " in command
    assert ("Take either" in out) == (len(combiners) > 1)


def test_what_may_be_a_guess_has_no_command(scores, tmp_path, capsys):
    def change(table):
        table["truth"] = np.where(np.arange(48) // 2 % 2, "FAKE", "REAL")

    path = rewritten(scores, tmp_path / "noise.csv", change)
    code, out, _ = run(capsys, path, *NAMED, *FEW)
    assert code == 0
    assert "No ensemble is shown to be better than guessing" in out
    assert "as a rule:" not in out


@pytest.mark.slow
def test_a_column_says_what_will_be_new(scores, tmp_path, capsys):
    auto = ["--strategies", "median,auto", *FEW[2:], "--draws", "10", "--details"]
    arguments = [scores, *NAMED, *auto, "--shift", "made_by"]
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "--shift must say of every video what may be new in it" in err
    assert "24 of 48 have no value" in err

    def name_reals(table):
        table["made_by"] = table["made_by"].replace("", "real")

    arguments[0] = rewritten(scores, tmp_path / "named.csv", name_reals)
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert "AutoCombiner held out values of shift" in out
    assert "--shift made_by" in out
    for column, message in (
        ("truth", "--shift truth is the column of the labels"),
        ("maker", "--shift maker is none of the columns"),
    ):
        code, _, err = run(capsys, *arguments[:-1], column)
        assert code == 2
        assert message in err


def test_scores_may_be_named_one_by_one(scores, capsys):
    _, out, _ = run(
        capsys, scores, *FEW, "--scores", "p_poor,aside", *NAMED[2:], "--csv", "-"
    )
    assert "p_poor" in out
    assert "p_good" not in out


@pytest.mark.slow
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
        "--n-frames", "2", "--store", tmp_path / "store", "--details",
    )  # fmt: skip
    assert code == 0
    assert "test_resnet_frame" in out
    assert "fold" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "nowhere.csv"),
        (
            ["notes.txt"],
            "neither a folder nor a .csv, .tsv, .xlsx or .parquet file",
        ),
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


def rewritten(scores, path, change):
    """Write the table of scores again, all of it text, with a change."""
    table = pd.read_csv(scores, dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_words_and_leading_zeros_of_a_table_stay_text(scores, tmp_path, capsys):
    def change(table):
        table["made_by"] = table["made_by"].replace({"a": "NA", "b": "None"})
        table["camera"] = ["096" if row % 3 else "97" for row in range(len(table))]
        table["truth"] = " " + table["truth"]

    path = rewritten(scores, tmp_path / "text.csv", change)
    code, out, err = run(
        capsys, path, *NAMED, *FEW, "--method", "made_by", "--source", "camera",
        "--protocol", "leave-method-out", "--json", "-",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)["by_value"]
    assert {r["value"] for r in found if r["axis"] == "held out"} == {"NA", "None"}
    assert {r["value"] for r in found if r["axis"] == "source"} == {"096", "97"}


def test_one_row_without_a_group_stops_the_comparison(scores, tmp_path, capsys):
    def change(table):
        table.loc[7, "person"] = ""

    path = rewritten(scores, tmp_path / "gap.csv", change)
    code, _, err = run(capsys, path, *NAMED, *FEW)
    assert code == 2
    assert "1 of 48 videos have no group: 'clip_7'; fill them in" in err


@pytest.mark.slow
def test_other_labels_are_understood_when_the_fake_one_is_named(
    scores, tmp_path, capsys
):
    def change(table):
        table["truth"] = table["truth"].map({"FAKE": "manipulated", "REAL": "original"})

    path = rewritten(scores, tmp_path / "words.csv", change)
    code, _, err = run(capsys, path, *NAMED, *FEW)
    assert code == 2
    assert "--fake-label" in err
    named = ["--fake-label", "manipulated", "--csv", "-"]
    _, expected, _ = run(capsys, scores, *NAMED, *FEW, "--csv", "-")
    code, out, _ = run(capsys, path, *NAMED, *FEW, *named)
    assert code == 0
    assert out == expected


def test_a_time_that_may_be_two_days_is_refused_until_its_format_is_given(
    scores, tmp_path, capsys
):
    def change(table):
        table["day"] = [
            f"{1 + row % 12:02}/{1 + row // 4:02}/2019" for row in range(48)
        ]

    path = rewritten(scores, tmp_path / "days.csv", change)
    asked = [*NAMED, *FEW, "--protocol", "time-holdout", "--time", "day"]
    code, _, err = run(capsys, path, *asked)
    assert code == 2
    assert "'02/01/2019' at row 1 may be 2 January or 1 February" in err
    code, out, _ = run(capsys, path, *asked, "--time-format", "%d/%m/%Y", "--json", "-")
    assert code == 0
    assert (
        json.loads(out)["how"]["first judged"] == "2019-09-11 00:00:00"
    )  # the 35th of 48


@pytest.mark.slow
def test_a_table_of_frames_is_pooled_on_request(scores, tmp_path, capsys):
    table = pd.read_csv(scores, dtype=str, keep_default_na=False)
    frames = pd.concat([table, table])
    frames.to_csv(tmp_path / "frames.csv", index=False)
    code, _, err = run(capsys, tmp_path / "frames.csv", *NAMED, *FEW)
    assert code == 2
    assert "--pool mean" in err
    _, expected, _ = run(capsys, scores, *NAMED, *FEW, "--csv", "-")
    code, out, _ = run(
        capsys, tmp_path / "frames.csv", *NAMED, *FEW, "--pool", "mean", "--csv", "-"
    )
    assert code == 0
    assert out == expected
    code, out, _ = run(
        capsys, tmp_path / "frames.csv", *NAMED, *FEW, "--pool", "mean", "--method",
        "made_by", "--source", "person", "--protocol", "leave-method-out", "--json", "-"
    )  # fmt: skip
    assert code == 0
    assert {r["value"] for r in json.loads(out)["by_value"]} >= {"a", "b"}


@pytest.fixture(scope="module")
def regimes(tmp_path_factory):
    """A small FaceForensics++ of three compressions; a network trained for each."""
    root = tmp_path_factory.mktemp("regimes")
    draw = np.random.default_rng(0)
    crfs = {"raw": 0, "c23": 23, "c40": 40}
    for pair in range(3):
        a, b = f"{2 * pair:03}", f"{2 * pair + 1:03}"
        for name in (a, b, f"{a}_{b}", f"{b}_{a}"):
            is_fake = "_" in name
            frames = draw.normal(150 if is_fake else 90, 25, (4, 48, 64, 3))
            frames = np.clip(frames, 0, 255).astype(np.uint8)
            for level, crf in crfs.items():
                sub = "manipulated_sequences/Deepfakes" if is_fake else (
                    "original_sequences/youtube")  # fmt: skip
                folder = root / "data" / sub / level / "videos"
                folder.mkdir(parents=True, exist_ok=True)
                write_video(folder / f"{name}.mp4", frames, crf=crf)
    for number, level in enumerate(crfs):
        torch.manual_seed(number)
        network = build_network("test_resnet", weights=None)
        torch.nn.init.normal_(network.head.weight, std=3)
        card = make_card("test_resnet", "frame", 32, compression=level,
                         source=f"all_{level}.p", trained_on=[])  # fmt: skip
        PrefitDetector(card).with_network(network).save(root / f"all_{level}")
    return root


@pytest.mark.slow
def test_networks_of_three_compressions_are_a_grid_with_auto_beside_them(
    regimes, capsys
):
    models = [a for level in ("raw", "c23", "c40")
              for a in ("-m", regimes / f"all_{level}")]  # fmt: skip
    code, out, err = run(
        capsys, regimes / "data", *models, "--strategies", "soft",
        "--folds", 2, "--draws", 20, "-q",
    )  # fmt: skip
    assert code == 0, err
    (grid,) = [part for part in out.split("\n\n") if "AUC by compression" in part]
    header, *rows = [line.split() for line in grid.splitlines() if line.strip()]
    assert header[-3:] == ["raw", "c23", "c40"] or set(header[-3:]) == {
        "raw", "c23", "c40"
    }  # fmt: skip
    shown = {row[0]: dict(zip(header[-3:], map(float, row[1:]), strict=True))
             for row in rows if row[0].startswith("all_")}  # fmt: skip
    assert len(shown) == 4
    router = next(name for name in shown if "by_compression" in name)
    some = load_dataset("faceforensics", regimes / "data").subset(compression="c40")
    (name,) = [name for name in shown if name != router and "c23" in name]
    scores = load_checkpoint(regimes / "all_c23").fake_score(some.videos)
    expected = roc_auc_score(some.labels, scores)
    assert shown[name]["c40"] == pytest.approx(expected, abs=0.06)  # within folds
    assert set(shown[router]) == {"raw", "c23", "c40"}


def test_networks_score_videos_and_no_table_of_scores(scores, regimes, capsys):
    columns = ("--scores", "p_*", "--label", "truth", "--group", "person")
    code, _, err = run(capsys, scores, *columns, "--model", regimes / "all_raw")
    assert code == 2
    assert "holds scores; leave one out" in " ".join(err.split())


def test_no_command_is_offered_that_could_not_save(scores, tmp_path, capsys):
    """Each strategy that a comparison has by name is saved, or said not to be."""
    from ensemble.cli.commands.compare import _is_foreign
    from ensemble.combiners.registry import named_strategies
    from ensemble.errors import ArtifactError

    y, groups = np.arange(24) % 2, np.arange(24) // 4
    table = np.random.default_rng(0).random((24, 2)) / 2 + y[:, None] / 2
    for name, combiner in named_strategies(0).items():
        rule = ScorePipeline(combiner).fit(table, y, groups=groups)
        if _is_foreign(combiner):
            with pytest.raises(ArtifactError, match="cannot be saved"):
                rule.save(tmp_path / f"{name}.dfe")
        else:
            rule.save(tmp_path / f"{name}.dfe")
