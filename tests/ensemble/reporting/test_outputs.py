import json
import os
import re
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import ensemble.reporting
from base_models import write_video
from base_models.runtime.file_writing import watching_outputs, write_text
from ensemble.cli.app import main
from ensemble.inspection.outputs import output_paths
from ensemble.plots import save_figure
from ensemble.reporting.html import write_page
from ensemble.reporting.outputs import (
    KINDS,
    Output,
    OutputError,
    check_demo,
    check_folder,
    check_outputs,
)
from ensemble.reporting.own_files import FILM_MARK, SCORES, WROTE

SAVED = Path(__file__).parents[2] / "saved_models"
NAMES = {
    "model": "a.dfe", "csv": "a.csv", "json": "a.json", "html": "a.html",
    "plot": "a.png", "video": "a.mp4", "onnx": "a.onnx", "card": "card.json",
    "weights": "model.safetensors",
}  # fmt: skip


def _check(path, kind="json", inputs=(), marks=("p_fake",), **options):
    check_outputs([Output("--out", Path(path), kind, marks)], inputs, **options)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("overwrite", [False, True])
def test_no_output_is_an_input_by_whatever_name(kind, overwrite, tmp_path):
    path = tmp_path / NAMES[kind]
    path.write_bytes(b"")
    (tmp_path / "sub").mkdir()
    others = [path, tmp_path / "sub" / ".." / path.name]
    if sys.platform != "win32":
        linked = tmp_path / f"linked{path.suffix}"
        linked.symlink_to(path)
        hard = tmp_path / f"hard{path.suffix}"
        os.link(path, hard)
        others += [linked, hard]
    for given in others:
        for written in others:
            with pytest.raises(OutputError, match="one of the inputs"):
                _check(written, kind, [given], overwrite=overwrite)


def test_the_frames_and_the_weights_in_a_folder_are_inputs_too(tmp_path):
    for name, kind in (("1.png", "plot"), ("card.json", "card")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(OutputError, match="one of the inputs"):
            _check(tmp_path / name, kind, [tmp_path])
    _check(tmp_path / "new.csv", "csv", [tmp_path])


def test_arrays_are_no_files():
    _check("new.json", inputs=[np.zeros((2, 4, 4, 3), np.uint8)])


def test_two_outputs_are_two_files(tmp_path, monkeypatch):
    def both(one, other):
        outputs = [
            Output("--json", Path(one), "json"),
            Output("--csv", Path(other), "csv"),
        ]
        check_outputs(outputs, [])

    monkeypatch.chdir(tmp_path)
    both("a.json", "a.csv")
    both("-", "-")
    for same in ("a", "./a", tmp_path / "a", "new/../a"):
        with pytest.raises(OutputError, match="--csv .* is also what --json writes"):
            both("a", same)
    monkeypatch.setattr("ensemble.reporting.outputs._ignores_case", lambda folder: True)
    with pytest.raises(OutputError, match="also what --json writes"):
        both("new/R\u00e9sum\u00e9", "new/RE\u0301SUME\u0301")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("model", "videos.csv"), ("model", "clip.mp4"), ("model", "net.pth"),
        ("csv", "model.dfe"), ("csv", "clip.mp4"), ("csv", "page.html"),
        ("json", "clip.mp4"), ("json", "table.csv"), ("json", "model.dfe"),
        ("html", "scores.csv"), ("html", "clip.mov"), ("plot", "plot.mp4"),
        ("plot", "plot"), ("video", "clip.avi"), ("onnx", "a.json"),
    ],
)  # fmt: skip
def test_an_ending_of_another_kind_is_refused_though_no_file_is_there(
    kind, name, tmp_path
):
    with pytest.raises(OutputError, match=r"must end in|ends in"):
        _check(tmp_path / name, kind)


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("{}")
    with pytest.raises(OutputError, match="is a folder; give the name of a file"):
        _check(tmp_path / "folder")
    with pytest.raises(OutputError, match=r"file is a file and cannot hold others"):
        _check(tmp_path / "file" / "a.json")
    with pytest.raises(OutputError, match="is a file; give the name of a folder"):
        check_folder("--store", tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        _check(tmp_path / ("long" * 100))
    check_folder("--store", None)
    check_folder("--store", tmp_path / "new" / "er")
    _check(tmp_path / "new" / "er" / "a.json")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may")
def test_what_may_not_be_written_to_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "a.json").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        for name in ("a.json", "b.json"):
            with pytest.raises(OutputError, match="may not be written to"):
                _check(tmp_path / name)
    finally:
        tmp_path.chmod(0o700)


def test_denied_access_is_noticed_before_work(tmp_path, monkeypatch):
    """As the test above, for those who run tests as root."""
    monkeypatch.setattr(
        "ensemble.reporting.outputs.os.access", lambda path, mode: False
    )
    with pytest.raises(OutputError, match="may not be written to"):
        _check(tmp_path / "b.json")


FOREIGN = {
    "model": b"PK\x05\x06" + b"\0" * 18,  # an archive of nothing
    "csv": b"path,label,group\na.mp4,REAL,ann\n",
    "json": b'{"name": "package"}',
    "html": b"<!doctype html><p>My page",
    "plot": b"\x89PNG\r\n\x1a\n a photograph",
    "video": b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x0cmoov\0\0\0\0",
    "onnx": b"a network",
    "card": b'{"name": "package"}',
    "weights": b"weights",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_somebody_else_is_replaced_only_where_that_is_asked_for(
    kind, tmp_path
):
    path = tmp_path / NAMES[kind]
    for content in (FOREIGN[kind], b"\0binary" * 100, b"prose, of some kind.\n"):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="exists, and is not .* --overwrite"):
            _check(path, kind)
        _check(path, kind, overwrite=True)
        assert path.read_bytes() == content
    path.write_bytes(b"")
    _check(path, kind)  # nothing is lost


def test_what_looks_like_ours_and_holds_more_is_somebodys_own(tmp_path):
    marks = ("video", "p_fake", "verdict")
    (tmp_path / "a.csv").write_text("video,p_fake,verdict,p_mine\n")
    _check(tmp_path / "a.csv", "csv", marks=marks)
    (tmp_path / "a.csv").write_text("video,p_fake,verdict,my notes\n")
    with pytest.raises(OutputError, match="--overwrite"):
        _check(tmp_path / "a.csv", "csv", marks=marks)
    with zipfile.ZipFile(tmp_path / "extension.zip", "w") as archive:
        archive.writestr("manifest.json", '{"manifest_version": 3}')
    with pytest.raises(OutputError, match="--overwrite"):
        _check(tmp_path / "extension.zip", "model")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".jpg"])
def test_a_plot_of_ours_is_replaced_and_one_of_the_users_is_not(suffix, tmp_path):
    figures = pytest.importorskip("matplotlib.figure")
    save_figure(figures.Figure(), tmp_path / f"a{suffix}", "stress")
    _check(tmp_path / f"a{suffix}", "plot", marks=("stress",))
    with pytest.raises(OutputError, match="not a plot that this command wrote"):
        _check(tmp_path / f"a{suffix}", "plot", marks=("scan",))
    figures.Figure().savefig(tmp_path / f"b{suffix}")
    with pytest.raises(OutputError, match="not a plot that this command wrote"):
        _check(tmp_path / f"b{suffix}", "plot")


@pytest.mark.parametrize(("kind", "name"), [("plot", "t.png"), ("video", "a.mp4")])
def test_nothing_that_would_pass_for_a_frame_is_written_among_frames(
    kind, name, tmp_path
):
    frames = tmp_path / "frames"
    frames.mkdir()
    cv2.imwrite(str(frames / "000.png"), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "link").symlink_to(frames)
    for folder in (frames, tmp_path / "link"):
        output = Output("--out", folder / name, kind)
        with pytest.raises(OutputError, match="among the frames of .*elsewhere"):
            check_outputs([output], [frames], overwrite=True)
    check_outputs([Output("--out", frames / "t.json", "json")], [frames])


def test_what_the_command_wrote_before_is_replaced(tmp_path):
    pd.DataFrame({"video": ["a"], "change": [1], "strength": [2.0]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    _check(tmp_path / "a.csv", "csv", marks=SCORES)
    (tmp_path / "a.json").write_text(json.dumps([{"p_fake": 0.5}], indent=1))
    _check(tmp_path / "a.json")
    (tmp_path / "card.json").write_text(json.dumps({"source_sha256": "00"}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    _check(tmp_path / "model.safetensors", "weights", marks=("source_sha256",))
    tags = {"comment": "FAKE P(fake) 0.731"}
    write_video(tmp_path / "a.mp4", np.zeros((3, 16, 16, 3), np.uint8), tags=tags)
    _check(tmp_path / "a.mp4", "video")
    write_video(tmp_path / "b.mp4", np.zeros((3, 16, 16, 3), np.uint8))
    with pytest.raises(OutputError, match="not an annotated video that this command"):
        _check(tmp_path / "b.mp4", "video")


MAKERS = {
    "fit": "version_1/logistic.dfe",
    "combine": "version_2/logistic.dfe",
}


@pytest.mark.parametrize("command", ["fit", "assemble", "combine", "demo"])
@pytest.mark.parametrize("maker", MAKERS)
def test_a_model_is_replaced_by_what_made_it_alone(command, maker, tmp_path):
    path = tmp_path / "model.dfe"
    shutil.copyfile(SAVED / MAKERS[maker], path)
    if command == maker:
        _check(path, "model", marks=(command,))
        return
    with pytest.raises(OutputError, match="not a saved model that this command wrote"):
        _check(path, "model", marks=(command,))


def test_an_ensemble_and_a_rule_do_not_replace_each_other(tmp_path):
    ensembles, rules = tmp_path / "ensemble.dfe", tmp_path / "rule.dfe"
    shutil.copyfile(SAVED / MAKERS["fit"], ensembles)
    shutil.copyfile(SAVED / MAKERS["combine"], rules)
    model, rule = ensemble.load(ensembles), ensemble.load(rules)
    model.save(ensembles)
    rule.save(rules)
    for saved, path in ((model, rules), (rule, ensembles)):
        before = path.read_bytes()
        with pytest.raises(OutputError, match="one of another sort; give another name"):
            saved.save(path)
        assert path.read_bytes() == before
        saved.save(path, overwrite=True)


@pytest.mark.parametrize("maker", ["compare", "explore", "scan"])
def test_a_page_is_replaced_by_what_made_it_alone(maker, tmp_path):
    names = {"compare": "report", "explore": "explore", "scan": "evidence"}
    package = Path(ensemble.reporting.__file__).parent
    template = (package / "templates" / f"{names[maker]}.html").read_text()
    page = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "1.0", template)
    (tmp_path / "a.html").write_text(page[page.lower().index("<!doctype") :])
    for command in names:
        if command == maker:
            _check(tmp_path / "a.html", "html", marks=(command,))
            continue
        with pytest.raises(OutputError, match="not a page that this command wrote"):
            _check(tmp_path / "a.html", "html", marks=(command,))


def test_films_of_scan_and_of_watch_do_not_replace_each_other(tmp_path):
    frames = np.zeros((3, 16, 16, 3), np.uint8)
    scanned, watched = tmp_path / "scanned.mp4", tmp_path / "watched.mp4"
    write_video(scanned, frames, tags={"comment": "FAKE P(fake) 0.731"})
    write_video(watched, frames, tags={"comment": f"{FILM_MARK}; a model"})
    _check(scanned, "video")
    _check(watched, "film")
    with pytest.raises(OutputError, match="not an annotated video that this command"):
        _check(watched, "video")
    with pytest.raises(OutputError, match="not a film of what was watched that this"):
        _check(scanned, "film")


def test_nothing_is_written_below_a_file_that_is_to_be_written(tmp_path):
    page = Output("--out", tmp_path / "x.html", "html")
    below = Output("--csv", tmp_path / "x.html" / "sub" / "deep", "folder")
    for outputs in ([page, below], [below, page]):
        with pytest.raises(OutputError, match=r"--csv .* the file that --out writes"):
            check_outputs(outputs, [])
    beside = Output("--csv", tmp_path / "x.html.d", "folder")
    check_outputs([page, beside], [])
    inside = Output("--json", tmp_path / "x.html.d" / "x.json", "json")
    check_outputs([beside, inside], [])


def test_the_store_is_an_output_too(tmp_path):
    page = Output("--out", tmp_path / "x.html", "html")
    with pytest.raises(OutputError, match="also what --store writes"):
        check_outputs([page], [], store=tmp_path / "x.html")
    with pytest.raises(OutputError, match=r"--store .* the file that --out writes"):
        check_outputs([page], [], store=tmp_path / "x.html" / "store")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--store .* is a file"):
        check_outputs([page], [], store=tmp_path / "file")
    check_outputs([page], [], store=str(tmp_path / "store"))


@pytest.mark.parametrize("kind", ["plot", "html"])
def test_a_package_that_is_missing_is_told_before_work(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ensemble.reporting.outputs.importlib.util.find_spec", lambda name: None
    )
    with pytest.raises(ImportError, match=r"--out needs .*matplotlib: pip install"):
        _check(tmp_path / NAMES[kind], kind)


@pytest.mark.skipif(sys.platform == "win32", reason="devices of POSIX")
def test_a_device_is_written_to():
    _check("/dev/null")


def test_a_demo_replaces_no_model_of_others(tmp_path):
    check_demo(tmp_path / "new", False)
    (tmp_path / "model.dfe").write_bytes(b"mine")
    with pytest.raises(OutputError, match="model.dfe that no demo wrote"):
        check_demo(tmp_path, False)
    check_demo(tmp_path, True)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "forge.json").write_text("{}")
    check_demo(tmp_path, False)


@pytest.mark.parametrize(
    "videos",
    [
        ["x/a.mp4", "y/a.mp4", "z/a-2.mp4"],
        ["z/a-2.mp4", "x/a.mp4", "y/a.mp4"],
        ["x/a.mp4", "y/A.mp4", "y/a.mov"],
        ["x/a.mp4", "y/a.mp4", "y/A-2.mp4", "z/a-2.mp4"],
    ],
)
def test_each_video_has_its_own_picture(videos):
    paths = output_paths("out/{stem}.png", videos, (".png",))
    assert len({str(path).casefold() for path in paths}) == len(videos)
    assert Path("out", f"{Path(videos[0]).stem}.png") == paths[0]


def test_every_kind_says_how_it_is_known_again():
    # `serve` appends to a log, and knows its own by the first line.
    assert set(WROTE) == set(KINDS) - {"folder", "log"}


def test_a_page_is_not_written_over_a_table(tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("video,p_one")
    with pytest.raises(OutputError, match=r"scores.csv ends in .csv, and what is"):
        write_page("report.html", {}, table)
    assert table.read_text() == "video,p_one"


@pytest.mark.parametrize("how", ["file", "link"])
def test_what_comes_while_a_command_runs_is_not_written_over(
    how, tmp_path, monkeypatch, capsys
):
    table, page = tmp_path / "scores.csv", tmp_path / "page.html"
    draw, y = np.random.default_rng(0), np.arange(60) % 2
    scores = np.clip(draw.normal(0.4 + 0.2 * y, 0.2), 0, 1)
    columns = {"video": range(60), "p_a": scores, "p_b": scores[::-1], "label": y}
    pd.DataFrame(columns | {"group": range(60)}).to_csv(table, index=False)
    (tmp_path / "mine").write_text("precious")
    compared = ensemble.compare_strategies

    def comes(*arguments, **options):
        if how == "link":
            page.symlink_to(tmp_path / "mine")
        else:
            page.write_text("precious")
        return compared(*arguments, **options)

    monkeypatch.setattr("ensemble.compare_strategies", comes)
    asked = ["--strategies", "soft", "--draws", "20", "--report", str(page), "-q"]
    with pytest.raises(SystemExit) as left:
        main(["compare", str(table), *asked])
    assert "written by somebody else meanwhile" in capsys.readouterr().err
    assert left.value.code == 2
    assert page.read_text() == (tmp_path / "mine").read_text() == "precious"
    assert (tmp_path / "page-2.html").read_text().startswith("<!DOCTYPE html>")


def test_what_a_run_has_written_it_may_write_again(tmp_path):
    path = tmp_path / "changes.csv"
    with watching_outputs():
        check_outputs([Output("--csv", path, "csv")], [])
        for text in ("a,b\n", "a,b\n1,2\n"):
            write_text(path, text)
        path.write_text("precious")
        with (
            ThreadPoolExecutor(1) as others,  # as `watch` writes its film
            pytest.raises(FileExistsError, match=r"changes\.csv was written by some"),
        ):
            others.submit(write_text, path, "a,b\n").result()
    write_text(path, "a,b\n")  # nothing is planned any more
    assert (tmp_path / "changes-2.csv").exists()
