import csv
import errno
import hashlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from base_models import DivergedError, FrameDetector, write_video
from ensemble import DeepfakeEnsemble
from ensemble.cli.app import main

COMMANDS = (
    "demo explore index fit assemble predict scan stress compare combine apply models "
    "get convert export verify doctor"
)
HELP = [[], *([command] for command in COMMANDS.split())]


@pytest.fixture(scope="module")
def clips(tmp_path_factory, toy_videos):
    """A CSV of 12 small mp4 files with labels and groups."""
    folder = tmp_path_factory.mktemp("clips")
    videos, y, groups = toy_videos
    lines = ["path,label,group"]
    for row in range(12):
        write_video(folder / f"{row:02}.mp4", videos[row], fps=10)
        lines.append(f"{row:02}.mp4,{'FAKE' if y[row] else 'REAL'},g{groups[row]}")
    (folder / "set.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def model(clips, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.dfe"
    code, *_ = _run(None, "fit", clips / "set.csv", "--out", path, *SMALL)
    assert code == 0
    return path


SMALL = [
    "--backbones", "resnet18", "--views", "frame", "--train", "head", "--weights",
    "none", "--image-size", "32", "--n-frames", "2", "--folds", "2", "--quiet",
]  # fmt: skip


def _run(capsys, *arguments):
    """Return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr() if capsys else ("", "")
    return left.value.code, out, err


@pytest.mark.parametrize("command", HELP, ids=str)
def test_help_shows_examples(command, capsys):
    code, out, _ = _run(capsys, *command, "--help")
    assert code == 0
    assert "Usage" in out
    if command:
        assert "Example" in out
        assert f"deepfake-ensemble {command[0]}" in out


def test_help_needs_no_torch():
    code = (
        "import sys\n"
        "from ensemble.cli.app import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print([m for m in ('torch', 'dlib', 'cv2', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr


def test_fit_says_what_it_measured(clips, tmp_path, capsys):
    out = tmp_path / "deep" / "model.dfe"
    code, shown, err = _run(
        capsys, "fit", clips / "set.csv", "--out", out, "--strategy", "voting", *SMALL
    )
    assert code == 0, err
    assert out.is_file()
    assert "Out of fold on 12 videos of 6 groups" in shown
    assert "resnet18_frame" in shown
    lines = [line.strip(" │┃") for line in shown.splitlines()]
    named = [line for line in lines if "saved ensemble" in line or "resnet18_" in line]
    assert "the saved ensemble" in named[0]
    assert "resnet18_frame" in named[1]
    assert "for comparison: their plain mean" in shown
    assert "Learned on" in shown


def test_a_fit_without_one_of_its_videos_is_no_whole_success(clips, tmp_path, capsys):
    (tmp_path / "broken.mp4").write_text("no video")
    listed = (clips / "set.csv").read_text().replace("\n0", f"\n{clips}/0")
    listed = listed.replace("\n1", f"\n{clips}/1")
    (tmp_path / "set.csv").write_text(f"{listed}\nbroken.mp4,FAKE,other\n")
    out = tmp_path / "model.dfe"
    code, _, err = _run(capsys, "fit", tmp_path / "set.csv", "--out", out, *SMALL)
    assert code == 1
    assert "1 of 13 videos have no score" in err
    assert out.is_file()


def test_predict_prints_one_line_a_video(model, clips, capsys):
    code, out, _ = _run(capsys, "predict", model, clips, "--quiet")
    assert code == 0
    lines = [line for line in out.splitlines() if ".mp4" in line]
    assert len(lines) == 12
    assert all("UNSURE" in line for line in lines)  # the model learned from them
    _, out, _ = _run(capsys, "predict", model, clips, "--quiet", "--no-doubts")
    lines = [line for line in out.splitlines() if ".mp4" in line]
    assert all("REAL" in line or "FAKE" in line for line in lines)


@pytest.mark.slow
def test_predict_gives_csv_and_json(model, clips, capsys):
    videos = [clips / "00.mp4", clips / "01.mp4"]
    code, out, _ = _run(capsys, "predict", model, *videos, "--csv", "-q")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["video"] for row in rows] == [str(video) for video in videos]
    code, out, _ = _run(capsys, "predict", model, *videos, "--json", "-q")
    assert code == 0
    found = json.loads(out)
    for row, other in zip(found, rows, strict=True):
        assert row["p_fake"] == pytest.approx(float(other["p_fake"]))
        assert set(row) == {
            "video", "p_fake", "verdict", "status", "reason", "doubts", "resnet18_frame"
        }  # fmt: skip


def test_a_file_that_may_not_be_read_costs_itself_alone(
    model, clips, capsys, monkeypatch, tmp_path
):
    locked, allowed, opened = str(tmp_path / "locked.mp4"), os.access, open
    write_video(locked, np.full((8, 48, 48, 3), 77, np.uint8))
    monkeypatch.setattr(
        os, "access", lambda path, *args: path != locked and allowed(path, *args)
    )

    def not_locked(path, *args, **options):
        if str(path) == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), locked)
        return opened(path, *args, **options)

    monkeypatch.setattr("builtins.open", not_locked)
    code, out, _ = _run(
        capsys, "predict", model, locked, clips / "01.mp4", "--json", "-q"
    )
    assert code == 1
    first, second = json.loads(out)
    assert (first["status"], second["status"]) == ("unscorable", "scored")
    assert "Permission denied" in first["reason"]


def test_an_unscorable_video_is_told_and_the_exit_code_is_one(model, clips, capsys):
    broken = clips / "broken.mkv"
    broken.write_bytes(b"nothing")
    try:
        code, out, _ = _run(capsys, "predict", model, clips, "--json", "-q")
    finally:
        broken.unlink()
    assert code == 1
    by_name = {row["video"].rsplit("/")[-1]: row for row in json.loads(out)}
    assert len(by_name) == 13
    assert by_name["broken.mkv"]["p_fake"] is None
    assert by_name["broken.mkv"]["status"] == "unscorable"
    assert by_name["broken.mkv"]["reason"]
    assert by_name["00.mp4"]["status"] == "scored"


@pytest.mark.slow
def test_threshold_decides(model, clips, capsys):
    for threshold, verdict in (("0", "FAKE"), ("1", "REAL")):
        code, out, _ = _run(
            capsys, "predict", model, clips, "--json", "-q", "--no-doubts",
            "--threshold", threshold,
        )  # fmt: skip
        assert code == 0
        assert {row["verdict"] for row in json.loads(out)} == {verdict}


@pytest.mark.slow
def test_predict_says_what_its_threshold_stands_on(model, clips, capsys):
    code, out, err = _run(
        capsys, "predict", model, clips, "--csv", "--threshold", "fpr=0.2",
        "--prior", "0.01",
    )  # fmt: skip
    assert code == 0
    assert len(out.splitlines()) == 13
    said = " ".join(err.split())
    assert "out-of-fold scores of 6 real and 6 fake videos of 6 groups" in said
    assert "from a share of fakes of 50 % to one of 1 %" in said
    code, _, err = _run(capsys, "predict", model, clips, "--threshold", "fpr=0.01")
    assert code == 2
    assert "cannot be told on 6 real videos" in err


@pytest.mark.slow_after(1)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "absent.dfe", "a.mp4"], "no saved ensemble at absent.dfe"),
        (["fit", "absent", "--out", "m.dfe"], "nothing at absent"),
        (["fit", "."], "Missing option '--out'"),
        (["predict", "m.dfe", "a.mp4", "--csv", "--json"], "choose one"),
        (["frobnicate"], "No such command"),
        (["predict", "m.dfe"], "Missing argument"),
        (["demo", "--identities", "12"], "--identities"),
        (["fit", "videos", "--out", "m.dfe", "--seed", "-1"], "--seed"),
    ],
)
def test_mistakes_end_with_two_and_a_reason(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, _, err = _run(capsys, *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_list_that_names_absent_videos_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "here.mp4").write_bytes(b"")
    rows = "here.mp4,0,a\nabsent.mp4,1,b\n"
    (tmp_path / "list.csv").write_text("path,label,group\n" + rows)
    code, _, err = _run(
        capsys, "fit", tmp_path / "list.csv", "--out", tmp_path / "m.dfe"
    )
    assert code == 2
    assert "names 1 of 2 videos that are not there" in " ".join(err.split())
    assert "absent.mp4" in err


def test_the_saved_model_is_the_fitted_one(model, clips):
    import ensemble

    loaded = ensemble.load(model)
    assert isinstance(loaded, DeepfakeEnsemble)
    (name,) = loaded.detectors_
    assert name == "resnet18_frame"
    assert isinstance(loaded.detectors_[name], FrameDetector)
    score = loaded.fake_score([clips / "00.mp4"])
    assert np.isfinite(score).all()


@pytest.mark.slow
def test_the_demo_is_clearly_better_than_chance(tmp_path, capsys):
    pytest.importorskip("skimage")
    code, out, err = _run(capsys, "demo", "--out", tmp_path / "demo", "-q")
    assert code == 0, err
    with open(tmp_path / "demo" / "strategies.csv") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    for name in ("voting", "bagging", "blending", "stacking"):
        assert float(rows[name]["auc_low"]) > 0.6, (name, out)
    for row in rows.values():
        assert float(row["auc"]) > 0.6
    code, out, _ = _run(
        capsys, "predict", tmp_path / "demo/model.dfe", tmp_path / "demo/clips", "-q"
    )
    assert code in (0, 1)


def test_a_checkpoint_is_converted_and_verified(tmp_path, capsys):
    import torch
    from safetensors.torch import load_file, save_file

    from base_models.backbones import build_network

    torch.manual_seed(0)
    network = build_network("test_resnet", weights=None)
    torch.nn.init.normal_(network.head.weight)
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    arguments = [tmp_path / "mine.pth", tmp_path / "out", "--backbone", "test_resnet"]
    code, _, err = _run(capsys, "convert", *arguments)
    assert code == 2
    assert "give --scope frame or --scope face" in err
    code, out, _ = _run(capsys, "convert", *arguments, "--scope", "face")
    assert code == 0
    assert "test_resnet on faces" in out
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert len(card["fixture_scores"]) == 4
    code, out, _ = _run(capsys, "verify", tmp_path / "out")
    assert code == 0
    assert ": as it was (" in out
    for name, value in (("scope", "frame"), ("margin", 2.5), ("compat", "x")):
        (tmp_path / "out/card.json").write_text(json.dumps(card | {name: value}))
        code, _, err = _run(capsys, "verify", tmp_path / "out")
        assert code == 2
        assert "card.json was changed since it was written" in " ".join(err.split())
    for name in ("weights_file_sha256", "card_sha256"):
        bare = {k: v for k, v in card.items() if k not in (name, "card_sha256")}
        (tmp_path / "out/card.json").write_text(json.dumps(bare))
        code, out, _ = _run(capsys, "verify", tmp_path / "out")
        assert code == 0
        assert ": as it was (" not in out
        assert "whether it is as it was cannot be shown" in out
    weights = load_file(tmp_path / "out/model.safetensors")
    weights["head.weight"][1] += 0.3
    save_file(weights, tmp_path / "out/model.safetensors")
    code, _, err = _run(capsys, "verify", tmp_path / "out")
    assert code == 2
    assert "model.safetensors" in err
    digest = hashlib.sha256((tmp_path / "out/model.safetensors").read_bytes())
    card["weights_file_sha256"] = digest.hexdigest()
    del card["card_sha256"]
    (tmp_path / "out/card.json").write_text(json.dumps(card))
    code, _, err = _run(capsys, "verify", tmp_path / "out")
    assert code == 1
    assert "differs by" in err


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_a_device_that_is_not_there_is_a_usage_error_before_any_work(
    command, clips, tmp_path, capsys
):
    out = tmp_path / "out"
    target = ["--out", out] if command == "fit" else ["--report", out]
    code, _, err = _run(capsys, command, clips / "set.csv", *target, "--device", "gpu")
    assert code == 2
    assert "--device" in err
    assert "say 'cuda'" in " ".join(err.split())
    assert "Traceback" not in err
    assert not out.exists()


def test_a_training_that_diverges_is_an_error_without_a_traceback(
    clips, tmp_path, capsys, monkeypatch
):
    def diverged(*args, **kwargs):
        raise DivergedError("resnet18_frame: the loss became nan in epoch 1 of 2")

    monkeypatch.setattr(FrameDetector, "fit", diverged)
    code, _, err = _run(
        capsys, "fit", clips / "set.csv", "--out", tmp_path / "m.dfe", *SMALL,
        "--store", tmp_path / "store",
    )  # fmt: skip
    assert code == 2
    assert "error: resnet18_frame: the loss became nan in epoch 1 of 2" in err
    assert "Traceback" not in err
