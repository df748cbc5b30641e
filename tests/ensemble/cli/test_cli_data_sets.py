"""Data sets as they lie on the disk, from the command line to a verdict."""

import csv
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

from base_models import write_video
from ensemble.cli.app import main
from ensemble.datasets import load_dataset

SMALL = [
    "--backbones", "resnet18", "--views", "frame", "--train", "head", "--weights",
    "none", "--image-size", "32", "--n-frames", "2", "--folds", "2",
]  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory, toy_videos):
    """A folder as the sample of DFDC, of 12 videos, and two to be judged."""
    root = tmp_path_factory.mktemp("dfdc")
    videos, y, _ = toy_videos
    metadata = {}
    for row in range(12):
        name = f"{row:02}.mp4"
        path = root / "train_sample_videos" / name
        path.parent.mkdir(exist_ok=True)
        write_video(path, videos[row], fps=10)
        metadata[name] = {"label": "FAKE" if y[row] else "REAL", "split": "train"}
        if y[row]:
            metadata[name]["original"] = f"{row - 1:02}.mp4"
    (root / "train_sample_videos" / "metadata.json").write_text(json.dumps(metadata))
    (root / "test_videos").mkdir()
    for row in (12, 13):
        write_video(root / "test_videos" / f"{row}.mp4", videos[row], fps=10)
    return root


@pytest.fixture(scope="module")
def fitted(sample, tmp_path_factory):
    """A model of the sample, and what the fit printed to both streams."""
    path, out, err = (
        tmp_path_factory.mktemp("m") / "m.dfe",
        io.StringIO(),
        io.StringIO(),
    )
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main(["fit", str(sample), "--out", str(path), *SMALL])
    assert not left.value.code
    return path, out.getvalue(), err.getvalue()


@pytest.fixture
def model(fitted):
    return fitted[0]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, *capsys.readouterr()


@pytest.mark.slow
def test_fit_says_what_it_recognised_and_what_it_leaves_out(fitted):
    _, shown, err = fitted
    assert "dfdc, 14 videos (6 real, 6 fake, 2 unlabelled), 8 groups" in err
    assert "2 videos without a label are left out" in err
    assert "Out of fold on 12 videos of 6 groups" in shown


@pytest.mark.slow
def test_predict_takes_a_split_of_a_data_set(sample, model, capsys):
    code, out, err = run(
        capsys, "predict", model, sample, "--split", "test", "--csv", "-q"
    )
    assert code == 0, err
    videos = [row["video"][-6:] for row in csv.DictReader(io.StringIO(out))]
    assert videos == ["12.mp4", "13.mp4"]
    assert "dfdc, 2 videos (2 unlabelled)" in err


@pytest.mark.slow
def test_predict_takes_the_table_of_a_data_set(sample, model, tmp_path, capsys):
    path = tmp_path / "table.csv"
    load_dataset("dfdc", sample, split="train").to_csv(path)
    code, out, err = run(capsys, "predict", model, path, "--json", "-q")
    assert code == 0, err
    assert len(json.loads(out)) == 12


@pytest.mark.slow
def test_stress_knows_the_labels_of_a_data_set(sample, model, capsys):
    code, out, err = run(
        capsys, "stress", model, sample, "--changes", "darker", "--json", "-", "-q"
    )
    assert code == 0, err
    rows = json.loads(out)
    assert {row["videos"] for row in rows} == {12}
    assert all("auc" in row for row in rows)


@pytest.mark.slow
def test_compare_fits_detectors_on_a_data_set(sample, capsys):
    code, out, err = run(
        capsys, "compare", sample, "--kind", "dfdc", "--split", "train",
        "--strategies", "soft", "--draws", "20", "--json", "-", *SMALL,
    )  # fmt: skip
    assert code == 0, err
    assert "dfdc, 12 videos (6 real, 6 fake), 6 groups" in err
    assert "resnet18_frame" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--split", "val"], "--split val is not in the data set; it has test, train"),
        (["--kind", "celeb_df"], "looked for Celeb-real"),
        (["--kind", "odd"], "celeb_df"),
    ],
)
def test_what_is_not_there_is_said(arguments, said, sample, tmp_path, capsys):
    code, _, err = run(
        capsys, "fit", sample, "--out", tmp_path / "m.dfe", *arguments, *SMALL
    )
    assert code == 2
    assert said in " ".join(err.replace("│", "").split())


def test_scores_have_no_splits(tmp_path, capsys):
    path = tmp_path / "scores.csv"
    path.write_text("video,label,p_a\na,1,0.9\nb,0,0.1\n")
    code, _, err = run(capsys, "compare", path, "--scores", "p_*", "--split", "test")
    assert code == 2
    assert "not for" in err


@pytest.mark.slow
def test_kinds_are_listed_without_loading_what_reads_them():
    code = (
        "import sys\n"
        "from ensemble.cli.app import main\n"
        "try:\n"
        "    main(['fit', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = ('pandas.core', 'numpy.linalg', 'torch', 'av', 'scipy')\n"
        "print([module for module in heavy if module in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "[]", run.stderr
