"""Every command with every file that it writes, onto each file that it reads."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import ensemble.inspection.scan
from base_models import write_video
from ensemble.cli.app import main

MODEL = Path(__file__).parents[2] / "saved_models" / "version_1" / "reals_alone.dfe"


def _run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, *capsys.readouterr()


@pytest.fixture
def place(tmp_path):
    """Videos, tables and models by name; none of the models could be opened."""
    for name, shade in (("a.mp4", 0), ("b.mp4", 200)):
        write_video(tmp_path / name, np.full((3, 16, 16, 3), shade, np.uint8))
    (tmp_path / "set.csv").write_text("path,label,group\na.mp4,REAL,1\nb.mp4,FAKE,2\n")
    (tmp_path / "scores.csv").write_text(
        "label,p_one,p_two\n" + "".join(f"{n % 2},0.{n},0.2\n" for n in range(8))
    )
    for name in ("model.dfe", "net.pth", "picture.png", "page.html", "notes.json"):
        (tmp_path / name).write_bytes(b"something of the user's")
    (tmp_path / "folder").mkdir()
    return tmp_path


def test_a_scan_that_is_stopped_leaves_older_tables(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    files = ["--csv", "s.csv", "--json", "s.json"]
    scan = ["scan", "a.mp4", "b.mp4", "--model", MODEL, *files]
    assert _run(capsys, *scan)[0] == 0
    before = [(place / name).read_bytes() for name in ("s.csv", "s.json")]
    scan_video = ensemble.inspection.scan.scan_video

    def stopped(model, path, **options):
        if "b.mp4" in str(path):
            raise KeyboardInterrupt
        return scan_video(model, path, **options)

    monkeypatch.setattr("ensemble.inspection.scan.scan_video", stopped)
    for kept in ("stopped", "stopped-2"):
        code, _, err = _run(capsys, *scan)
        assert code == 130
        assert "1 of 2 videos had been scanned" in err
        assert f"s-{kept}.json and s-{kept}.csv" in err
        assert "files that were there are unchanged" in err
        assert before == [(place / name).read_bytes() for name in ("s.csv", "s.json")]
        assert len((place / f"s-{kept}.csv").read_text().splitlines()) == 2
        assert len(json.loads((place / f"s-{kept}.json").read_text())) == 1


def test_what_cannot_be_written_keeps_nothing_else_from_it(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    scan_video = ensemble.inspection.scan.scan_video

    def taking(*arguments, **options):
        (place / "s.json").mkdir(exist_ok=True)  # meanwhile, by somebody else
        return scan_video(*arguments, **options)

    monkeypatch.setattr("ensemble.inspection.scan.scan_video", taking)
    scan = ["scan", "a.mp4", "--model", MODEL, "--csv", "s.csv", "--json", "s.json"]
    code, _, err = _run(capsys, *scan)
    assert code == 2
    assert "s.json is a folder" in err
    assert len((place / "s.csv").read_text().splitlines()) == 2


SCAN = ["scan", "a.mp4", "-m", "model.dfe"]
STRESS = ["stress", "model.dfe", "a.mp4"]
STRESS_SET = ["stress", "model.dfe", "set.csv"]
COMPARE = ["compare", "scores.csv", "--scores", "p_*", "--label", "label"]
COMPARE_SET = ["compare", "set.csv", "--weights", "net.pth"]
FIT = ["fit", "set.csv", "--weights", "net.pth"]
EXPORT = ["export", "net.pth", "--int8", "--calibrate", "a.mp4"]
COMMANDS = [
    (FIT, ["--out"], ["set.csv", "a.mp4", "net.pth"]),
    (SCAN, ["--json", "--csv", "--timeline", "--annotate", "--evidence"],
     ["a.mp4", "model.dfe"]),
    (STRESS, ["--plot", "--csv", "--json", "--scores"], ["a.mp4", "model.dfe"]),
    (STRESS_SET, ["--plot", "--csv", "--json", "--scores"], ["set.csv", "b.mp4"]),
    (COMPARE, ["--report", "--csv", "--json"], ["scores.csv"]),
    (COMPARE_SET, ["--report", "--csv", "--json"], ["set.csv", "a.mp4", "net.pth"]),
    (EXPORT, ["--onnx"], ["net.pth", "a.mp4"]),
    (["convert", "net.pth"], [None], ["net.pth"]),
    (["index", "set.csv"], ["--out"], ["set.csv", "a.mp4"]),
    (["explore", "set.csv"], ["--out", "--json"], ["set.csv", "a.mp4"]),
    (["demo"], ["--out"], ["a.mp4"]),
    (["combine", "scores.csv"], ["--out"], ["scores.csv"]),
    (["apply", "model.dfe", "scores.csv"], ["--out"], ["model.dfe", "scores.csv"]),
]  # fmt: skip
CASES = [
    (command, option, name)
    for command, options, inputs in COMMANDS
    for option in options
    for name in inputs
]


def _everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.slow_after(40)
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]], ids=["", "overwrite"])
@pytest.mark.parametrize(
    ("command", "option", "name"), CASES, ids=lambda part: str(part).split("'")[-2:][0]
)
def test_no_command_writes_onto_what_it_reads(
    command, option, name, overwrite, place, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    before = _everything(place)
    target = [name] if option is None else [option, name]
    code, _, err = _run(capsys, *command, *target, *overwrite)
    assert code == 2
    assert name in err
    assert "Traceback" not in err
    assert "not a saved ensemble" not in err  # it was not opened yet
    assert _everything(place) == before


@pytest.mark.slow_after(3)
@pytest.mark.parametrize("suffix", [".dfe", ".json", ".csv", ".html"])
def test_links_to_inputs_are_inputs(suffix, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    options = {".json": "--json", ".csv": "--csv", ".html": "--evidence"}
    for make in (os.symlink, os.link):
        for name in ("a.mp4", "model.dfe"):
            link = f"link{suffix}"
            make(name, link)
            command, option = (FIT[:2], "--out") if suffix == ".dfe" else (
                SCAN, options[suffix]
            )  # fmt: skip
            if name == "a.mp4" or suffix != ".dfe":
                code, _, err = _run(capsys, *command, option, link)
                assert code == 2
                assert "one of the inputs" in err or "needs" in err
            os.unlink(link)


OTHERS = [
    (SCAN, "--annotate", "b.mp4"), (SCAN, "--json", "notes.json"),
    (SCAN, "--csv", "set.csv"), (SCAN, "--timeline", "picture.png"),
    (SCAN, "--json", "folder"), (SCAN, "--csv", "a.mp4/x.csv"),
    (STRESS, "--plot", "picture.png"), (STRESS, "--scores", "set.csv"),
    (STRESS, "--json", "notes.json"), (STRESS, "--csv", "scores.csv"),
    (COMPARE, "--report", "page.html"), (COMPARE, "--json", "notes.json"),
    (COMPARE, "--csv", "set.csv"), (COMPARE, "--report", "folder"),
    (FIT, "--out", "folder"), (FIT, "--out", "model.dfe"),
    (FIT, "--out", "a.mp4/model.dfe"), (["demo"], "--out", "."),
    (["export", "net.pth"], "--onnx", "model.dfe"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "option", "name"), OTHERS, ids=lambda part: str(part).split("'")[-2:][0]
)
def test_files_of_others_are_kept_and_mistakes_are_told_before_any_work(
    command, option, name, place, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    before = _everything(place)

    def opened(*_, **__):
        raise AssertionError("opened before the outputs were looked at")

    monkeypatch.setattr("ensemble.load", opened, raising=False)
    monkeypatch.setattr("av.open", opened)
    code, _, err = _run(capsys, *command, option, name)
    assert code == 2
    assert option in err
    assert name in err
    assert "AssertionError" not in err
    assert _everything(place) == before


def test_two_outputs_of_one_name_are_refused(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    code, _, err = _run(capsys, *SCAN, "--json", "new", "--csv", "./new")
    assert code == 2
    assert "also what" in err


@pytest.mark.parametrize(
    "option", [["--threshold", "frp=1"], ["--threshold", "2"], ["--prior", "7"]]
)
@pytest.mark.parametrize("command", [SCAN, ["predict", "model.dfe", "a.mp4"]], ids=str)
def test_settings_are_checked_before_the_model_is_opened(
    command, option, place, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    code, _, err = _run(capsys, *command, *option)
    assert code == 2
    assert "not a saved ensemble" not in err
    assert "threshold" in err or "prior" in err


@pytest.mark.slow_after(4)
@pytest.mark.parametrize(
    "option",
    [
        ["--combiner", "nope"], ["--folds", "50"], ["--backbones", "nope"],
        ["--views", "nope"], ["--weights", "missing.pth"], ["--store", "notes.json"],
    ],
    ids=lambda option: option[0],
)  # fmt: skip
def test_a_fit_that_cannot_succeed_opens_no_video(option, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    lines = ["path,label,group"]
    for n in range(12):
        write_video(f"{n}.mp4", np.full((2, 16, 16, 3), 20 * n, np.uint8))
        lines.append(f"{n}.mp4,{('REAL', 'FAKE')[n % 2]},{n}")
    (place / "set.csv").write_text("\n".join(lines))
    opened = []
    monkeypatch.setattr("av.open", lambda *_, **__: opened.append(1))
    code, _, err = _run(
        capsys, "fit", "set.csv", "--out", "new.dfe", "--weights", "none", *option, "-q"
    )
    assert code == 2
    assert option[0] in err or option[1] in err
    assert opened == []
    assert not (place / "new.dfe").exists()


def test_a_folder_of_videos_may_hold_what_was_made_of_them(place, monkeypatch, capsys):
    """The inputs of a folder are the videos in it, not all that lies beside them."""
    monkeypatch.chdir(place)
    (place / "found.json").write_text(json.dumps([{"video": 0, "p_fake": 1,
                                                   "verdict": "REAL",
                                                   "status": "scored"}]))  # fmt: skip
    code, _, err = _run(capsys, "scan", ".", "-m", "model.dfe", "--json", "found.json")
    assert code == 2
    assert "not a saved ensemble" in err  # the outputs were fine


def test_tables_have_the_line_ends_of_no_system_twice(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(os, "linesep", "\r\n")
    code, _, err = _run(
        capsys, *COMPARE, "--folds", "2", "--draws", "20", "--csv", "out.csv", "--json",
        "out.json", "--strategies", "soft", "-q",
    )  # fmt: skip
    assert code == 0, err
    for name in ("out.csv", "out.json"):
        assert b"\r" not in (place / name).read_bytes()
    code, *_ = _run(capsys, *COMPARE, "--folds", "2", "--draws", "20", "--csv",
                    "out.csv", "--strategies", "soft", "-q")  # fmt: skip
    assert code == 0  # its own table is replaced
