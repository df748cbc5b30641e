"""index and explore from the command line."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from base_models import write_video
from ensemble.cli.app import main
from ensemble.datasets import VideoTable


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A sample of DFDC: two reals, a fake of each, a copy of one in the test set."""
    root = tmp_path_factory.mktemp("dfdc")
    train, test = root / "train_sample_videos", root / "test_videos"
    draw = np.random.default_rng(0)
    entries = {}
    for number in range(4):
        frames = draw.integers(0, 256, (4, 6, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        write_video(train / f"{number}.mp4", frames, fps=10)
        entries[f"{number}.mp4"] = {"label": "REAL", "split": "train"}
        if number % 2:
            original = f"{number - 1}.mp4"
            entries[f"{number}.mp4"] |= {"label": "FAKE", "original": original}
    entries["lost.mp4"] = {"label": "REAL", "split": "train"}
    (train / "metadata.json").write_text(json.dumps(entries))
    test.mkdir()
    (test / "copy.mp4").write_bytes((train / "0.mp4").read_bytes())
    (test / "broken.mp4").write_bytes(b"no video")
    return root


def run(capsys, *arguments):
    """Return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def test_index_writes_a_table_and_lists_what_is_wrong(sample, tmp_path, capsys):
    out = tmp_path / "table.csv"
    arguments = ["index", sample, "--kind", "dfdc", "--out", out, "--no-faces"]
    code, printed, err = run(capsys, *arguments)
    assert code == 0
    assert "dfdc, 7 videos (3 real, 2 fake, 2 unlabelled)" in err
    assert "2 cannot be read:" in printed
    assert "train_sample_videos/lost.mp4, there is no such file" in printed
    assert (
        "1 leak:\n  test_videos/copy.mp4, train_sample_videos/0.mp4: same content"
        in (printed)
    )
    assert "5 of 7 videos can be read, 2 s; the table is in" in printed
    table = VideoTable.read(out)
    assert len(table) == 7
    assert sorted(table.table["frames"].dropna()) == [4] * 5
    code, _, _ = run(capsys, *arguments, "--quiet")  # its own table is replaced
    assert code == 0


@pytest.mark.slow
def test_explore_reads_a_table_of_index(sample, tmp_path, capsys):
    table = tmp_path / "table.csv"
    run(capsys, "index", sample, "--out", table, "--no-faces")
    code, printed, _ = run(capsys, "explore", table, "--json", "-", "--quiet")
    assert code == 0
    found = json.loads(printed)
    assert len(found["metadata"]) == 7
    assert found["leak_hints"][0]["reason"].startswith("too few groups")


def test_explore_writes_page_tables_and_json(sample, tmp_path, capsys):
    pytest.importorskip("matplotlib"), pytest.importorskip("jinja2")
    page, tables, all_of_it = (tmp_path / name for name in ("p.html", "t", "a.json"))
    arguments = ["explore", sample, "--out", page, "--csv", tables, "--json", all_of_it]
    arguments += ["--embed", "--no-faces"]
    for _ in range(2):  # what it wrote itself it replaces
        code, printed, _ = run(capsys, *arguments)
        assert code == 0
    text = page.read_text("utf-8")
    assert text.count("<video") == 7  # 2 fakes, 2 reals, an original with its fake, 1
    assert 'name="generator" content="deepfake-ensemble' in text
    leaks = pd.read_csv(tables / "duplicates.csv")
    assert leaks["what"].tolist() == ["same content"]
    assert len(json.loads(all_of_it.read_text())["metadata"]) == 7
    assert "note: 1 video listed and not there" in printed
    assert f"Wrote {page}" in printed


def test_explore_prints_where_nothing_is_to_be_written(sample, capsys):
    code, printed, _ = run(capsys, "explore", sample, "--no-faces", "--quiet")
    assert code == 0
    assert "unlabelled" in printed
    assert printed.count("too few groups") == 1
    assert "note: Properties of the files were not tested: too few groups" in printed
    assert "same content" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embed"], "--embed is for a page: give --out"),
        (["--out", "page.csv"], "ends in .csv"),
        (
            ["--csv", "taken"],
            "taken holds a counts.csv that this command did not write",
        ),
        (["--out", "x.html", "--csv", "x.html"], "is also what --out writes"),
        (["--json", "x", "--csv", "./x"], "is also what --json writes"),
        (["--kind", "dfd"], "no videos"),
    ],
)
def test_explore_refuses_before_any_work(
    sample, arguments, message, tmp_path, monkeypatch, capsys
):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "counts.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ensemble.datasets.indexing.index.measure_video", None)
    code, _, err = run(capsys, "explore", sample, *arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert (tmp_path / "taken" / "counts.csv").read_text() == "mine"


def test_index_refuses_another_ending(sample, tmp_path, capsys):
    code, _, err = run(capsys, "index", sample, "--out", tmp_path / "table.xlsx")
    assert code == 2
    assert "must end in .parquet or .csv" in err


def test_help_of_both_loads_neither_torch_nor_opencv():
    code = (
        "import sys\nfrom ensemble.cli.app import main\n"
        "try:\n    main(['explore', '--help'])\nexcept SystemExit:\n"
        "    print([n for n in ('torch', 'cv2', 'av') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_index_says_of_copies_without_groups_what_may_come_of_them(
    sample, tmp_path, capsys
):
    clips = sorted((sample / "train_sample_videos").glob("*.mp4"))[:2]
    for name, clip in zip(("real/a", "real/b", "real/c", "fake/x"),
                          (*clips[:1] * 3, clips[1]), strict=True):  # fmt: skip
        path = tmp_path / "set" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(clip.read_bytes())
    arguments = ["index", tmp_path / "set", "--out", tmp_path / "t.csv", "--no-faces"]
    code, printed, _ = run(capsys, *arguments)
    assert code == 0
    assert "2 pairs would be leaks, if they come into two splits or folds" in printed
    assert "  real/a.mp4, real/b.mp4: same content\n" in printed
    assert " leak:" not in printed


def test_no_kind_of_copies_lists_those_of_another(tmp_path, capsys):
    for label, name in (("real", "a"), ("fake", "b")):
        frames = np.full((4, 32, 32, 3), 90, np.uint8)
        write_video(tmp_path / "set" / label / f"{name}.mp4", frames)
    code, printed, _ = run(
        capsys, "index", tmp_path / "set", "--out", tmp_path / "t.csv", "--no-faces"
    )
    assert code == 0
    assert "fake/b.mp4, real/a.mp4: same content (label 1 and 0" in printed
    assert "would be" not in printed
    assert "nan" not in printed.replace(str(tmp_path), "")
