"""Tables as people keep them, from the command line."""

import numpy as np
import pytest

import ensemble
from base_models import CallableDetector, write_video
from ensemble import DeepfakeEnsemble, stress_test
from ensemble.cli.app import main

SMALL = [
    "--backbones", "test_resnet", "--views", "frame", "--train", "head", "--weights",
    "none", "--image-size", "32", "--n-frames", "2", "--folds", "2", "--quiet",
    "--strategy", "voting",
]  # fmt: skip


def run(capsys, *arguments):
    """Return exit code and standard error."""
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return left.value.code, capsys.readouterr().err


@pytest.fixture(scope="module")
def clips(tmp_path_factory, toy_videos):
    folder = tmp_path_factory.mktemp("clips")
    videos, y, groups = toy_videos
    for row in range(8):
        write_video(folder / f"{row}.mp4", videos[row], fps=10)
    return folder, y[:8], groups[:8]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("original", "manipulated"), ["--fake-label", "manipulated"]),
        (("False", "True"), []),
        (("0.0", "1.0"), []),
    ],
)
def test_a_table_of_windows_and_its_labels_train_a_model(
    words, arguments, clips, tmp_path, capsys
):
    folder, y, groups = clips
    lines = ["Path;Label;Group"]
    lines += [f"{i}.mp4; {words[y[i]]};Jürgen {groups[i]}" for i in range(8)]
    table = folder / "set.CSV"
    table.write_bytes("\r\n".join(lines).encode("cp1252"))
    if arguments:
        code, err = run(capsys, "fit", table, "--out", tmp_path / "no.dfe", *SMALL)
        assert code == 2
        assert "do not say which is fake" in err
        assert "--fake-label" in err
    code, err = run(
        capsys, "fit", table, "--out", tmp_path / "m.dfe", *SMALL, *arguments
    )
    assert code == 0, err
    assert "read as cp1252, 'Jürgen 0'" in err
    model = ensemble.load(tmp_path / "m.dfe", device="cpu")
    assert str(model.fake_class_) in (words[1], "1")
    assert model.oof_scores_.shape[0] == 8


def test_stress_knows_the_labels_that_its_model_was_trained_on():
    videos = [np.full((4, 32, 32, 3), shade, np.uint8) for shade in range(40, 240, 25)]
    y = np.array(["original"] * 4 + ["manipulated"] * 4)
    bright = CallableDetector(lambda videos: [video.mean() / 255 for video in videos])
    model = DeepfakeEnsemble(
        [("bright", bright)], "voting", resampling=2, fake_label="manipulated"
    ).fit(videos, y, groups=np.arange(8) % 4)
    found = stress_test(model, videos, y, changes={"darker": [0.8]}, n_boot=10)
    assert found.table["auc_before"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="do not say which is fake"):
        stress_test(model, videos, np.where(y == "original", "a", "b"))
