"""The command ``forge``: a data set of fakes out of real footage."""

import csv

import numpy as np
import pytest

from base_models.video import write_video
from ensemble.cli.app import main
from ensemble.datasets import load_dataset

pytest.importorskip("skimage", reason="the bundled faces are scikit-image's")

SMALL = ("--frames", "2", "--size", "96", "--compression", "c40", "-q")


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in ("forge", *arguments)])
    return end.value.code


@pytest.mark.slow
def test_bundled_faces_are_forged_and_read_back(tmp_path, capsys):
    out = tmp_path / "forged"
    assert run(out, "--bundled", "--pairs", 1, "--methods", "SelfBlend", *SMALL) == 0
    assert "4 videos (2 real, 2 fake), 1 group" in capsys.readouterr().out
    table = load_dataset("auto", out)
    assert sorted(table.table["method"]) == ["SelfBlend"] * 2 + ["none"] * 2


@pytest.mark.slow
def test_real_videos_of_a_table_are_forged_by_person(tmp_path, capsys):
    from skimage.data import lfw_subset

    from ensemble.datasets.forge.camera import Portrait, paint_portrait

    rows = [("path", "label", "group")]
    for take, (who, number) in enumerate([("ann", 3), ("ann", 3), ("bob", 11)]):
        rng = np.random.default_rng(number)
        scene = paint_portrait(lfw_subset()[number], 96, rng)
        film = Portrait(scene, np.zeros((68, 2)), 96)
        frames, _ = film.film(2, np.random.default_rng(take))
        write_video(tmp_path / f"clips/{take}.mp4", frames)
        rows.append((f"clips/{take}.mp4", "REAL", who))
    write_video(tmp_path / "clips/fake.mp4", frames[:1])
    rows.append(("clips/fake.mp4", "FAKE", "bob"))
    with open(tmp_path / "videos.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    out = tmp_path / "forged"
    asked = ("--methods", "LandmarkSwap", *SMALL)
    assert run(tmp_path / "videos.csv", out, *asked) == 0
    assert "note: no partner is left" in capsys.readouterr().err
    assert sorted(load_dataset("auto", out).labels) == [0, 0, 1, 1]


@pytest.mark.slow_after(8)
@pytest.mark.parametrize(
    ("sources", "out"),
    [
        ("set", "set/real/out"),
        ("set", "set/forged"),
        ("set", "set"),
        ("set", "."),
        ("set/real", "set/real/out"),
        ("set/real", "set"),
        ("table.csv", "set/real/out"),
        ("table.csv", "set/real"),
        ("table.csv", "set"),
    ],
)
def test_no_fakes_are_written_among_the_sources(tmp_path, capsys, sources, out):
    rows = ["path,label"]
    for label, name in (("real", "a"), ("real", "b"), ("fake", "c")):
        path = tmp_path / "set" / label / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        rows.append(f"set/{label}/{name}.mp4,{label.upper()}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    before = sorted(tmp_path.rglob("*"))
    assert run(tmp_path / sources, tmp_path / out, *SMALL) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "the folder of the sources" in err
    assert "choose another folder" in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out"], "REAL_DIR and OUT"),
        (["reals", "out", "--bundled"], "with --bundled"),
        (["out", "--bundled", "--methods", "SelfBlent"], "did you mean 'SelfBlend'"),
        (["out", "--bundled", "--compression", "c12"], "--compression must be"),
        (["out", "--bundled", "--shares", "a,b"], "--shares must be three"),
        (["nowhere", "out"], "nowhere"),
    ],
)
def test_mistakes_are_told_in_options(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
