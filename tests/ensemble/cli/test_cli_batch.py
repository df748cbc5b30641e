"""``batch``: a table in, a folder of parts out, from the command line."""

import pandas as pd
import pytest
import torch

from base_models import PrefitDetector, write_video
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble.cli.app import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that knows nothing, as convert would write it."""
    torch.manual_seed(0)
    network = build_network("test_resnet", weights=None)
    torch.nn.init.normal_(network.head.weight, std=3)
    card = make_card("test_resnet", "frame", 32, source="one.pth", trained_on=[])
    path = tmp_path_factory.mktemp("checkpoint") / "one"
    PrefitDetector(card).with_network(network).save(path)
    return path


@pytest.fixture
def table(tmp_path, toy_videos):
    for row in range(3):
        write_video(tmp_path / f"{row}.mp4", toy_videos[0][row], fps=10)
    names = ["0.mp4", "1.mp4", "2.mp4", "none.mp4"]
    pd.DataFrame({"clip": names, "n": [7, 8, 9, 10]}).to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return left.value.code, out, " ".join(err.split())


def test_a_table_is_judged_and_gone_on_with(model, table, tmp_path, capsys):
    command = ["batch", table, "--model", model, "--out", tmp_path / "out"]
    code, _, err = run(capsys, *command)
    assert code == 2
    assert "which column of" in err
    assert "name it with --column" in err
    command += ["--column", "clip", "--part-size", "2", "--quiet"]
    code, out, _ = run(capsys, *command)
    assert code == 1  # one could not be scored
    assert "4 videos: 3 scored, 0 partial, 1 unscorable; 2 parts, 0 done before" in out
    found = pd.read_parquet(tmp_path / "out")
    assert found["n"].tolist() == [7, 8, 9, 10]
    code, lines, _ = run(
        capsys, "predict", "--model", model, "--csv", "--quiet",
        *(tmp_path / f"{row}.mp4" for row in range(3)),
    )  # fmt: skip
    known = pd.read_csv(pd.io.common.StringIO(lines))
    assert found["p_fake"].tolist()[:3] == known["p_fake"].tolist()
    assert found["doubts"].tolist()[:3] == known["doubts"].tolist()
    assert "2 parts, 2 done before" in run(capsys, *command)[1]
    code, _, err = run(capsys, *command, "--no-doubts")
    assert code == 2
    assert "another run: model was" in err
    assert "or --overwrite to delete them" in err


def test_several_tables_or_none_are_refused(model, tmp_path, capsys):
    code, _, err = run(
        capsys, "batch", "a.csv", "b.csv", "--model", model, "--out", tmp_path / "out"
    )
    assert code == 2
    assert "expected one table of videos; got 2" in err
    code, _, err = run(
        capsys, "batch", tmp_path / "a.csv", "--model", model, "--out", tmp_path / "out"
    )
    assert code == 2
    assert "there is no table" in err
    assert not (tmp_path / "out").exists()


def test_mistakes_are_said_before_a_model_is_opened(table, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/own.txt").touch()
    begin = ["batch", table, "--model", tmp_path / "none.dfe", "--out"]
    wrong = {
        "has no column 'clips'": [tmp_path / "out", "--column", "clips"],
        "own.txt": [tmp_path / "full", "--column", "clip"],
        "--engine dask needs a client": [
            tmp_path / "out", "--column", "clip", "--engine", "dask",
        ],
        "--engine ray does not run on --cluster local:2": [
            tmp_path / "out", "--engine", "ray", "--cluster", "local:2",
        ],
        "--engine dask does not run on --cluster ray://a:1": [
            tmp_path / "out", "--engine", "dask", "--cluster", "ray://a:1",
        ],
    }  # fmt: skip
    pytest.importorskip("distributed")
    for said, arguments in wrong.items():
        code, _, err = run(capsys, *begin, *arguments)
        assert (code, said in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_an_empty_table_is_said_to_be_one(model, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("path\n")
    code, out, err = run(
        capsys, "batch", tmp_path / "t.csv", "--model", model, "--out", tmp_path / "out"
    )
    assert code == 0
    assert "t.csv has no rows" in err
    assert "0 videos" in out
