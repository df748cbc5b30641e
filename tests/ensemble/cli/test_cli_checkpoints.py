"""Checkpoints that others trained, in the place of a saved ensemble."""

import csv
import hashlib
import io
import json

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

import ensemble
from base_models import PrefitDetector, load_checkpoint, write_video
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble.cli.app import main


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
def checkpoints(tmp_path_factory):
    """Two folders that convert would write, of networks that know nothing."""
    folder = tmp_path_factory.mktemp("checkpoints")
    paths = []
    for seed, name in enumerate(("one", "two__c23")):
        torch.manual_seed(seed)
        network = build_network("test_resnet", weights=None)
        torch.nn.init.normal_(network.head.weight, std=3)
        card = make_card(
            "test_resnet", "frame", 32, source=f"{name}.pth", trained_on=[]
        )
        PrefitDetector(card).with_network(network).save(folder / name)
        paths.append(folder / name)
    return paths


def run(capsys, *arguments):
    """Return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return left.value.code, out, " ".join(err.split())


@pytest.mark.slow
def test_predict_combines_checkpoints_by_the_mean_of_log_odds(
    clips, checkpoints, capsys
):
    one, two = checkpoints
    video = clips / "00.mp4"
    code, out, err = run(
        capsys, "predict", video, "--model", one, "-m", two, "--csv", "-q"
    )
    assert code == 0, err
    (row,) = csv.DictReader(io.StringIO(out))
    own = [load_checkpoint(path).fake_score([video])[0] for path in checkpoints]
    assert float(row["p_fake"]) == pytest.approx(expit(np.mean(logit(own))))
    assert float(row["one_frame"]) == pytest.approx(own[0])
    assert float(row["two_c23_frame"]) == pytest.approx(own[1])
    assert row["verdict"] == "UNSURE"
    assert row["calibration"] == "unknown"
    assert "unknown calibration" in row["doubts"]
    assert "error rates are unknown" in err


def test_lines_call_it_a_score(clips, checkpoints, capsys):
    code, out, err = run(capsys, "predict", checkpoints[0], clips / "00.mp4")
    assert code == 0
    assert "P(fake)" not in out + err
    assert "score" in out.splitlines()[0]


def test_scan_takes_a_checkpoint(clips, checkpoints, tmp_path, capsys):
    found, table = tmp_path / "found.json", tmp_path / "found.csv"
    arguments = ["scan", clips / "00.mp4", "--model", checkpoints[0]]
    arguments += ["--json", found, "--csv", table]
    for _ in range(2):  # the second time over its own files
        code, out, err = run(capsys, *arguments)
        assert code == 0, err
    assert "P(fake)" not in out + err
    (result,) = json.loads(found.read_text())
    assert result["calibration"] == "unknown"
    assert result["model"]["name"] == "one"
    assert len(result["timeline"]) == 6


@pytest.mark.slow
def test_stress_takes_checkpoints_in_both_forms(clips, checkpoints, capsys):
    few = ["--changes", "blur", "--csv", "-", "-q"]
    code, first, err = run(capsys, "stress", checkpoints[0], clips / "00.mp4", *few)
    assert code == 0, err
    code, again, err = run(
        capsys, "stress", clips / "00.mp4", "--model", checkpoints[0], *few
    )
    assert code == 0, err
    assert first == again
    assert "one_frame" in first


@pytest.mark.slow
def test_models_lists_and_get_shows_the_licence_and_keeps(
    clips, tmp_path, capsys, monkeypatch, shared
):
    pytest.importorskip("h5py")
    file = shared / "models" / "mesonet" / "Meso4_DF.h5"
    if not file.is_file():
        pytest.skip("no MesoNet weights")
    monkeypatch.setenv("DEEPFAKE_ENSEMBLE_MODELS", str(tmp_path / "models"))
    name, video = "mesonet-meso4-df", clips / "00.mp4"
    code, out, _ = run(capsys, "models")
    assert code == 0
    assert name in out
    assert "fetched" not in out
    code, _, err = run(capsys, "predict", video, "--model", name)
    assert code == 2
    assert f"deepfake-ensemble get {name} --accept-licence Apache-2.0" in err
    code, _, err = run(capsys, "get", name, "--file", file)
    assert code == 2
    assert "accept it by name: --accept-licence Apache-2.0" in err
    code, out, err = run(
        capsys, "get", name, "--file", file, "--accept-licence", "Apache-2.0"
    )
    assert code == 0, err
    assert f"--model {name}" in out
    assert "MesoNet's deepfakes" in err
    code, out, _ = run(capsys, "models", name, "--json")
    assert json.loads(out)[0]["fetched"] is True
    code, out, err = run(capsys, "predict", video, "--model", name, "--json", "-q")
    assert code in (0, 1), err  # clips of noise show no face
    assert "meso4_df_face" in json.loads(out)[0]


@pytest.mark.slow
def test_a_file_of_faceforensics_is_a_model(toy_videos, tmp_path, capsys):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    state = timm.create_model("legacy_xception", num_classes=2).state_dict()
    state = {
        f"model.{name}".replace("model.fc.", "model.last_linear."): value
        for name, value in state.items()
    }
    torch.save(state, tmp_path / "full_c23.p")
    write_video(tmp_path / "clip.mp4", toy_videos[0][0][:1], fps=10)
    code, out, err = run(
        capsys, "predict", tmp_path / "clip.mp4", "-m", tmp_path / "full_c23.p"
    )
    assert code == 0, err
    assert "UNSURE" in out
    assert "full_c23_frame trained on FaceForensics++ train" in err


@pytest.mark.slow_after(2)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "CLIP", "-m", "ONE", "-m", "ONE"], "is given twice"),
        (["predict", "CLIP", "-m", "ONE", "-m", "CLIP"], "00.mp4 is none"),
        (["predict", "CLIP", "-m", "absent.pth"], "no weights at absent.pth"),
        (["predict", "a.dfe", "CLIP", "-m", "ONE"], "a.dfe is a model, and --model"),
        (["predict", "CLIP"], "Missing argument"),
        (["predict", "CLIP", "-m", "ONE", "--threshold", "fpr=0.05"], "labelled vid"),
        (["predict", "CLIP", "-m", "ONE", "--prior", "0.1"], "unknown calibration"),
        (["predict", "CLIP", "-m", "MINE"], "convert"),
        (["scan", "CLIP"], "Missing option '--model'"),
        (["assemble", "ONE", "--out", "a.dfe", "--combiner", "logistic"], "labelled v"),
        (["assemble", "ONE", "--out", "a.dfe", "--threshold", "cost=2"], "labelled v"),
        (["assemble", "CLIP", "--out", "a.dfe"], "00.mp4"),
    ],
)
def test_mistakes_end_with_two_and_a_way_out(
    arguments, message, clips, checkpoints, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    torch.save(build_network("resnet18", weights=None).state_dict(), "mine.pth")
    given = {"CLIP": clips / "00.mp4", "ONE": checkpoints[0]}
    given["MINE"] = tmp_path / "mine.pth"
    code, _, err = run(capsys, *[given.get(word, word) for word in arguments])
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "a.dfe").exists()


@pytest.mark.slow
def test_assemble_writes_a_model_that_says_what_it_is(
    clips, checkpoints, tmp_path, capsys
):
    out = tmp_path / "model.dfe"
    code, shown, err = run(
        capsys, "assemble", *checkpoints, "--out", out, "--combiner", "max"
    )
    assert code == 0, err
    assert "unknown calibration" in err
    assert "Saved to" in shown
    model = ensemble.load(out)
    assert model.card_.unlabelled
    video = clips / "00.mp4"
    own = [load_checkpoint(path).fake_score([video])[0] for path in checkpoints]
    assert model.fake_score([video])[0] == pytest.approx(max(own))
    code, lines, err = run(capsys, "predict", out, video)
    assert code == 0
    assert "unknown calibration" in lines
    code, _, err = run(capsys, "assemble", out, "--out", tmp_path / "again.dfe")
    assert code == 2
    assert "is a saved ensemble; give the checkpoints" in err


def test_assemble_learns_from_labelled_videos(clips, checkpoints, tmp_path, capsys):
    out = tmp_path / "model.dfe"
    arguments = ["assemble", *checkpoints, "--out", out, "--combiner", "logistic"]
    arguments += ["--calibrate", clips / "set.csv", "--threshold", "fpr=0.2", "-q"]
    arguments += ["--folds", "3"]
    code, shown, err = run(capsys, *arguments)
    assert code == 0, err
    assert "Out of fold on 12 videos of 6 groups" in shown
    model = ensemble.load(out)
    assert not model.card_.unlabelled
    assert model.calibrator_ is not None
    assert model.threshold == "fpr=0.2"
    assert model.resampling == 3
    assert model.oof_scores_.attrs["provenance"]["prefit"] == list(model.oof_scores_)
    code, lines, err = run(capsys, "predict", out, clips / "00.mp4", "--csv")
    assert code == 0
    assert "calibration" not in lines.splitlines()[0]
    assert "out-of-fold scores of 6 real and 6 fake videos" in err


@pytest.mark.slow
def test_a_submission_is_clipped_and_missing_scores_are_a_half_in_it_alone(
    clips, checkpoints, tmp_path, capsys
):
    for name in ("00", "01"):
        (tmp_path / f"{name}.mp4").write_bytes((clips / f"{name}.mp4").read_bytes())
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    out = tmp_path / "out" / "submission.csv"
    arguments = ["predict", tmp_path, "-m", checkpoints[0], "--csv"]
    arguments += ["--submission", out, "--clip", "0.45,0.55"]
    code, shown, err = run(capsys, *arguments)
    assert code == 1
    rows = {row["video"][-6:]: row for row in csv.DictReader(io.StringIO(shown))}
    assert rows["no.mp4"]["p_fake"] == ""
    written = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["filename"] for row in written] == ["00.mp4", "01.mp4", "no.mp4"]
    assert "1 of 3 videos have no score and got 0.5, in this file alone: no.mp4" in err
    for row in written:
        score = rows[row["filename"]]["p_fake"] or "0.5"
        expected = min(max(float(score), 0.45), 0.55)
        assert float(row["label"]) == pytest.approx(expected)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "--overwrite" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clip", "0.4,0.8"], "--clip is of --submission"),
        (["--submission", "s.csv", "--clip", "0.8,0.4"], "the lower first"),
        (["--submission", "s.csv", "--clip", "high"], "two numbers"),
        (["CLIP", "--submission", "s.csv"], "is there twice"),
        (["--submission", "s.mp4"], "s.mp4"),
    ],
)
def test_a_submission_that_cannot_be_is_refused_before_any_work(
    arguments, message, clips, checkpoints, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    clip = clips / "00.mp4"
    arguments = [clip if word == "CLIP" else word for word in arguments]
    code, _, err = run(capsys, "predict", clip, "-m", checkpoints[0], *arguments)
    assert code == 2
    assert message in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_scan_says_which_files_it_stands_on(clips, checkpoints, tmp_path, capsys):
    found = tmp_path / "found.json"
    arguments = ["scan", clips / "00.mp4", "--json", found, "-q"]
    arguments += ["-m", checkpoints[0], "-m", checkpoints[1]]
    code, _, err = run(capsys, *arguments)
    assert code == 0, err
    (result,) = json.loads(found.read_text())
    assert result["model"] == {"name": None, "sha256": None}  # made in a test: no file
    sources = []
    for path in checkpoints:
        weights = (path / "model.safetensors").read_bytes()
        copied = tmp_path / path.name
        copied.mkdir()
        (copied / "model.safetensors").write_bytes(weights)
        card = json.loads((path / "card.json").read_text())
        del card["card_sha256"]
        digest = hashlib.sha256(weights).hexdigest()
        (copied / "card.json").write_text(json.dumps(card | {"source_sha256": digest}))
        arguments[arguments.index(path)] = copied
        sources.append(f"{path.name}.pth (sha256 {digest[:12]})")
    code, _, err = run(capsys, *arguments)
    assert code == 0, err
    (result,) = json.loads(found.read_text())
    assert result["model"]["name"] == " and ".join(sources)
