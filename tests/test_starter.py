"""The starter: a first model from real footage, made with one command."""

import argparse
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "starter.py"


@pytest.fixture(scope="module")
def starter():
    spec = importlib.util.spec_from_file_location("starter", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_person_is_a_sub_folder_or_a_file(starter):
    videos = ["reals/anna/1.mp4", "reals/anna/day/2.mp4", "reals/b.mp4", "reals/c.mp4"]
    people = starter.people_of(Path("reals"), videos)
    assert people == ["anna", "anna", "reals/b.mp4", "reals/c.mp4"]


def test_without_a_word_on_rights_nothing_is_made(starter, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("ours\n"))  # no terminal
    for nothing in ("", "  "):
        with pytest.raises(SystemExit, match="whose footage it is and by what right"):
            starter.stated_rights(nothing)
    assert starter.stated_rights(" filmed by us ") == "filmed by us"


@pytest.mark.parametrize(
    ("reals", "out", "reason"),
    [
        ("nowhere", "out", "'nowhere' is no folder of videos"),
        ("", "out", "'.' is no folder of videos; say which one is"),
        ("reals", "notes.txt", "notes.txt is a file; name a folder"),
    ],
)
def test_what_is_no_folder_is_refused(
    starter, reals, out, reason, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reals").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    given = argparse.Namespace(reals=Path(reals), out=Path(out), rights="ours")
    with pytest.raises(SystemExit, match=reason):
        starter.main(given)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_hands_on_what_it_is_given_letter_by_letter(tmp_path):
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    reals, rights = 'my "clips"', 'Ann\'s "own" $HOME footage; `no` more'
    command = ["make", "-s", "starter", f"REALS={reals}", f"RIGHTS={rights}"]
    command += [f"BIN={tmp_path}", "READY="]
    given = subprocess.run(
        command, cwd=SCRIPT.parents[1], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert given == ["examples/starter.py", reals, "starter", "--rights", rights]


def test_a_starter_is_no_larger_than_it_may_be(starter, monkeypatch, tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a.onnx").write_bytes(bytes(600))
    assert starter.check_size(tmp_path) == 600
    monkeypatch.setattr(starter, "_LARGEST", 500)
    with pytest.raises(SystemExit, match="takes 0 MB"):
        starter.check_size(tmp_path)


def test_members_learn_from_half_of_the_kinds(starter):
    from base_models.augmentation.pseudo_fakes import KINDS
    from ensemble.out_of_fold.unseen_kinds import unseen_kinds

    members = starter.starter_members(20, 96, 4, 400)
    left = unseen_kinds(list(members.values()))
    assert 0 < len(left.kinds) < len(KINDS)
    assert members["frequency"].n_drawn == 20
    assert members["colours"].frames_per_epoch == 2


@pytest.mark.slow
def test_a_miniature_is_made_and_used_as_a_newcomer_would(tmp_path):
    from ensemble import load, scan_video
    from ensemble.datasets import make_forgeries

    made = make_forgeries(tmp_path / "made", n_identities=16, random_state=0, verbose=0)
    reals = tmp_path / "reals"
    for video, label, person in zip(made.videos, made.labels, made.groups, strict=True):
        if label == 0:
            (reals / str(person)).mkdir(parents=True, exist_ok=True)
            shutil.copy(video, reals / str(person))
    command = [sys.executable, SCRIPT, reals, tmp_path / "starter"]
    small = ["--image-size", "96", "--n-frames", "4", "--pairs", "160", "--folds", "2"]
    refused = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    assert refused.returncode
    assert "by what right" in refused.stderr
    assert not (tmp_path / "starter").exists()
    rights = "faces of lfw, in scikit-image"
    done = subprocess.run(
        [*command, *small, "--rights", rights, "--store", tmp_path / "store"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "never REAL" in done.stdout
    files = [file for file in (tmp_path / "starter").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 90e6
    names = {file.name for file in files}
    assert {"starter.dfe", "card.json", "colours.onnx", "motion.onnx"} <= names
    card = json.loads((tmp_path / "starter" / "card.json").read_text())
    assert card["rights"] == rights
    assert card["n_fake"] == 0
    model = load(tmp_path / "starter" / "starter.dfe")
    assert model.card_.rights == rights
    weights = model.weights_.to_numpy()
    assert weights.sum() == pytest.approx(1)
    assert np.ptp(weights) > 0  # they were learned
    result = scan_video(model, made.videos[0])
    assert result.verdict in ("FAKE TRACES", "UNSURE")
    assert "suspicion" in result.to_dict()
    assert str(reals) not in json.dumps(card)
