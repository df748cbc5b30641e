"""Names and encodings that a terminal or a table cannot hold must not lose any work."""

import csv
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import ensemble
from base_models import FrameDetector, write_video
from ensemble import DeepfakeEnsemble
from ensemble.cli.app import main
from ensemble.cli.output import say_grounds
from ensemble.datasets import load_dataset
from ensemble.datasets.prepare import prepare_dataset
from ensemble.reporting.submission import submission_table

NOT_UTF8 = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
NAMES = ["Title [x].mp4", "x[/b].mp4", ":smile: €.mp4", NOT_UTF8, "red\x1b[31m.mp4"]
COMMAND = "from ensemble.cli.app import main; main()"
HEAD = FrameDetector("test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, toy_videos):
    """Videos with the names above and a symlink that leads to itself."""
    folder = tmp_path_factory.mktemp("odd")
    for name, video in zip(NAMES, toy_videos[0], strict=False):
        (folder / name).parent.mkdir(exist_ok=True)
        write_video(folder / "plain.mp4", video, fps=10).rename(folder / name)
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    return folder


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory, toy_videos):
    """A model that was fitted on files, one of whose names is no UTF-8."""
    _, y, groups = toy_videos
    videos = []
    for row in range(8):
        path = folder.parent / f"train-{row}.mp4"
        videos.append(write_video(path, toy_videos[0][row], fps=10))
    videos[0] = videos[0].rename(folder.parent / NOT_UTF8)
    path = tmp_path_factory.mktemp("model") / "model.dfe"
    fitted = DeepfakeEnsemble([("head", HEAD)], resampling=2)
    fitted.fit(videos, y[:8], groups=groups[:8])
    assert any("caf\\udce9" in name for name in fitted.oof_scores_.index)
    fitted.save(path)
    assert ensemble.load(path).oof_scores_.index.tolist() == list(
        fitted.oof_scores_.index
    )
    return path


def _predict(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["predict", *map(str, arguments), "-q"])
    out, _ = capsys.readouterr()
    return left.value.code, out


def test_names_are_shown_as_they_are(model, folder, capsys):
    code, out = _predict(capsys, model, folder)
    assert code == 1  # of the symlink
    for name in NAMES[:3]:
        assert f"/{name}  " in out
    assert "/caf\\udce9.mp4" in out
    assert "/red\\x1b[31m.mp4" in out
    assert len(out.splitlines()) == 7
    (loop,) = [line for line in out.splitlines() if "loop.mp4" in line]
    assert "unscorable" in loop


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp949"])
@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_what_an_encoding_lacks_is_escaped(model, folder, encoding, form):
    run = subprocess.run(
        [sys.executable, "-c", COMMAND, "predict", model, folder, form, "-q"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert run.returncode == 1, run.stderr
    out = run.stdout.decode(encoding)
    read = csv.DictReader(io.StringIO(out)) if form == "--csv" else json.loads(out)
    rows = {row["video"].rpartition("/")[-1]: row for row in read}
    euro = ":smile: €.mp4"
    if form == "--csv" and encoding == "ascii":
        euro = ":smile: \\u20ac.mp4"
    assert set(rows) == {
        "Title [x].mp4",
        "b].mp4",
        euro,
        "caf\\udce9.mp4",
        "red\x1b[31m.mp4",
        "loop.mp4",
    }
    assert float(rows["caf\\udce9.mp4"]["p_fake"]) > 0


def test_verdicts_are_printed_as_they_come(model, folder, capsys, monkeypatch):
    videos = [folder / name for name in NAMES[:3]]
    original = DeepfakeEnsemble.judge_each
    printed = []

    def stopped(self, paths, **options):
        for row, table in enumerate(original(self, paths, **options)):
            printed.append(capsys.readouterr().out)
            if row == 2:
                raise KeyboardInterrupt
            yield table

    monkeypatch.setattr(DeepfakeEnsemble, "judge_each", stopped)
    with pytest.raises(SystemExit) as left:
        main(["predict", str(model), *map(str, videos), "--csv", "-q"])
    code, err = left.value.code, capsys.readouterr().err
    assert "the videos that were done are in the store" in err
    assert code == 130  # as of any program that Ctrl-C ends
    assert [text.count("\n") for text in printed] == [0, 2, 1]
    assert "Title [x].mp4" in printed[1]


def test_verdicts_one_by_one_are_those_of_all_at_once(model, folder):
    loaded = ensemble.load(model)
    videos = [folder / name for name in [*NAMES, "loop.mp4"]]
    together = loaded.judge(videos)
    for row, table in enumerate(loaded.judge_each(videos)):
        assert table.equals(together.iloc[[row]])


@pytest.mark.slow
def test_scan_goes_on_after_a_video_that_fails(model, folder, capsys, monkeypatch):
    from base_models.scoring import per_face as face_scores

    real = face_scores.look_closely

    def starved(detectors, video, *arguments):
        if "Title" in str(video):
            raise MemoryError
        return real(detectors, video, *arguments)

    monkeypatch.setattr(face_scores, "look_closely", starved)
    table = folder.parent / "scan.csv"
    with pytest.raises(SystemExit) as left:
        main(["scan", str(folder), "-m", str(model), "--csv", str(table), "-q"])
    assert left.value.code == 1
    assert "MemoryError" in capsys.readouterr().out
    with open(table, encoding="utf-8") as file:
        rows = {row["video"].rpartition("/")[-1]: row for row in csv.DictReader(file)}
    assert rows["Title [x].mp4"]["reason"] == "MemoryError"
    assert rows["caf\\udce9.mp4"]["p_fake"]


def test_a_plain_table_of_scores_is_judged_like_one_with_reasons(model, folder):
    loaded = ensemble.load(model)
    table = loaded.detector_scores([folder / NAMES[0], folder / "loop.mp4"])
    plain = pd.DataFrame(table.to_numpy(), list(table.index), list(table.columns))
    judged, expected = loaded.judge_scores(plain), loaded.judge_scores(table)
    assert judged["reason"].tolist() == ["", ""]
    assert expected["reason"].iloc[1] != ""
    columns = ["p_fake", "verdict", "status"]
    pd.testing.assert_frame_equal(
        judged[columns], expected[columns], check_names=False, check_index_type=False
    )


def test_what_a_file_of_others_says_of_itself_writes_no_line_of_its_own(capsys):
    said = "Learned from a (b\n/tmp/x.mp4   0.001  REAL  scored\x1b]0;title\x07)."
    model = SimpleNamespace(card_=SimpleNamespace(summary=lambda: said))
    say_grounds(model, quiet=True)
    assert capsys.readouterr().err == (
        "Learned from a (b\\n/tmp/x.mp4   0.001  REAL  scored\\x1b]0;title\\x07).\n"
    )


def test_submissions_and_prepared_folders_have_such_names_escaped(tmp_path):
    table, missing = submission_table([f"a/{NOT_UTF8}", "a/b.mp4"], [0.25, 0.5])
    assert table["filename"].tolist() == ["caf\\udce9.mp4", "b.mp4"]
    assert missing == []
    grey = np.full((4, 32, 32, 3), 128, np.uint8)
    videos = tmp_path / "videos"
    for row in range(6):
        kind = ("real", "fake")[row % 2]
        path = videos / kind / f"{row}.mp4"
        write_video(path, grey + np.uint8(9 * row), fps=10)
    path.rename(path.with_name(NOT_UTF8))
    bad = b"bad\xe9.mp4".decode("utf-8", "surrogateescape")
    (videos / "real" / bad).write_text("none")
    out = tmp_path / "out"
    table = load_dataset("folder", videos)
    prepare_dataset(table, out, view="frame", size=16, n_frames=1)
    assert "bad\\udce9.mp4" in (out / "left_out.csv").read_text("utf-8")
    assert len(pd.read_csv(out / "videos.csv")) == 6
