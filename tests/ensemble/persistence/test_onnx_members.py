"""Members of an ensemble as ONNX files, from Python and from the command line."""

import json
import os

import numpy as np
import pytest
import torch

from base_models import (
    CallableDetector,
    CompressionRouter,
    FrameDetector,
    PrefitDetector,
    write_video,
)
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from ensemble import DeepfakeEnsemble, export_members
from ensemble.cli.app import main
from ensemble.persistence.onnx_members import check_exported

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def bright(videos):
    return [np.mean(video) / 255 for video in videos]


def head(**params):
    return FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1, **params
    )


@pytest.fixture(scope="module")
def model(toy_videos):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble(
        [head(), CallableDetector(bright)], resampling=2, random_state=0, verbose=False
    )
    return model.fit(videos, y, groups=groups)


@pytest.mark.slow
def test_networks_are_written_and_others_named(model, tmp_path):
    cards, skipped = export_members(model, tmp_path)
    assert list(cards) == ["test_resnet_frame"]
    assert "CallableDetector" in skipped["bright"]
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["test_resnet_frame.json", "test_resnet_frame.onnx"]


@pytest.mark.slow
def test_averaged_networks_are_numbered(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble([head()], resampling=2, refit=False, verbose=False)
    cards, _ = export_members(model.fit(videos, y, groups=groups), tmp_path)
    assert list(cards) == ["test_resnet_frame_1", "test_resnet_frame_2"]


def test_networks_by_compression_are_named_by_it(tmp_path):
    levels = {
        level: PrefitDetector(
            make_card("test_resnet", "frame", 32, compression=level, source="a.pth")
        ).with_network(build_network("test_resnet", None))
        for level in ("raw", "c40")
    }
    cards, _ = export_members(CompressionRouter(levels), tmp_path)
    assert {name.rpartition("_")[2] for name in cards} == {"raw", "c40"}


def test_an_ensemble_without_networks_is_refused(toy_videos, tmp_path):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble([CallableDetector(bright)], resampling=2, verbose=False)
    model.fit(videos, y, groups=groups)
    with pytest.raises(ValueError, match="no member is a network of single images"):
        export_members(model, tmp_path)


def test_the_command_line_exports_models_and_checkpoints(toy_videos, tmp_path, capsys):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble([head()], resampling=2, random_state=0, verbose=False)
    model.fit(videos, y, groups=groups).save(tmp_path / "model.dfe")
    code, out, _ = run(
        capsys, "export", tmp_path / "model.dfe", "--onnx", tmp_path / "members"
    )
    assert code == 0
    assert "test_resnet_frame.onnx: its score differs from torch's by at most" in out
    code, _, err = run(
        capsys, "export", tmp_path / "model.dfe", "--onnx", tmp_path / "x.onnx"
    )
    assert (code, "must be a folder" in err) == (2, True)
    torch.manual_seed(0)
    torch.save(build_network("test_resnet", None).state_dict(), tmp_path / "mine.pth")
    run(
        capsys, "convert", tmp_path / "mine.pth", tmp_path / "mine", "--scope", "frame",
        "--backbone", "test_resnet",
    )  # fmt: skip
    (tmp_path / "clips").mkdir()
    for row in range(2):
        write_video(tmp_path / f"clips/{row}.mp4", videos[row], fps=10)
    code, out, err = run(
        capsys, "export", tmp_path / "mine", "--onnx", tmp_path / "mine.onnx", "--int8",
        "--calibrate", tmp_path / "clips",
    )  # fmt: skip
    assert code == 0, err
    assert "8 bits (static)" in out
    assert "1 videos, not calibrated on" in out
    written = json.loads((tmp_path / "mine.json").read_text())
    assert written["int8"]["file"] == "mine.int8.onnx"


def test_no_version_of_8_bits_stays_beside_another_network(tmp_path):
    stale = tmp_path / "mine.int8.onnx"
    check_exported(tmp_path / "mine.onnx", None, False, [])
    stale.touch()
    with pytest.raises(FileExistsError, match=r"mine\.int8\.onnx is of an earlier"):
        check_exported(tmp_path / "mine.onnx", None, False, [], overwrite=True)
    assert stale.exists()


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return left.value.code, out, err


def test_a_members_name_leads_nowhere_else(toy_videos, tmp_path):
    """A model of others may call its members anything."""
    videos, y, groups = toy_videos
    names = [f"{tmp_path}/victim", "../up", "..", "up", "UP"]
    members = [(name, head(random_state=n)) for n, name in enumerate(names)]
    model = DeepfakeEnsemble(members, resampling=2).fit(videos, y, groups=groups)
    cards, _ = export_members(model, tmp_path / "members")
    assert len(cards) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["members"]
    assert {f"{card}.onnx" for card in cards} <= set(os.listdir(tmp_path / "members"))
