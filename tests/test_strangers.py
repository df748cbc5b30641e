"""What somebody types who has just found the project: page, model, verdict."""

import json
import runpy
from pathlib import Path

import pytest
import timm
import torch

from base_models import probe_video
from ensemble.cli.app import main

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def _type(capsys, *words):
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    return left.value.code, out, err


@pytest.fixture(scope="module")
def dfdc(tmp_path_factory):
    """A small tree laid out as the sample of DFDC is, of forged portraits."""
    pytest.importorskip("skimage")
    miniature = runpy.run_path(str(EXAMPLES / "starter_kit.py"))["miniature"]
    return miniature(tmp_path_factory.mktemp("stranger"), n_identities=24)


@pytest.mark.slow
def test_a_sample_of_dfdc_gives_a_page_a_model_and_verdicts(
    dfdc, capsys, tmp_path, open_page
):
    page, model = tmp_path / "page.html", tmp_path / "model.dfe"
    code, _, err = _type(capsys, "explore", dfdc, "--out", page, "-q")
    assert code == 0, err
    opened = open_page(page)
    assert "clip000.mp4" in opened.page.inner_text("body")
    assert opened.complaints == []
    assert opened.requests == []
    code, _, err = _type(
        capsys, "fit", dfdc, "--split", "train", "--missing", "drop", "--out", model,
        "--backbones", "efficientnet_lite0", "--views", "face", "--train", "head",
        "--image-size", 128, "--n-frames", 4, "-q",
    )  # fmt: skip
    assert code == 1, err  # as of some no face is found
    assert "2 of 44 videos have no score" in err
    unseen = sorted((dfdc / "test_videos").glob("*.mp4"))
    code, out, err = _type(
        capsys, "scan", *unseen, "--model", model, "--json", "-",
        "--annotate", tmp_path / "{stem}-seen.mp4", "-q",
    )  # fmt: skip
    assert code in (0, 1), err
    found = json.loads(out)
    assert [Path(result["video"]).name for result in found] == [
        path.name for path in unseen
    ]
    scored = [result for result in found if result["p_fake"] is not None]
    assert scored
    assert {result["verdict"] for result in scored} <= {"REAL", "FAKE", "UNSURE"}
    for result in scored:
        film = tmp_path / f"{Path(result['video']).stem}-seen.mp4"
        assert probe_video(film).n_frames == probe_video(result["video"]).n_frames


@pytest.mark.slow
def test_a_checkpoint_and_a_video_give_a_score_of_unknown_calibration(
    dfdc, capsys, tmp_path
):
    torch.manual_seed(0)
    network = timm.create_model("legacy_xception", num_classes=2)
    state = {
        f"model.{key.replace('fc.', 'last_linear.')}": value
        for key, value in network.state_dict().items()
    }
    torch.save(state, tmp_path / "full_c23.p")
    video = next(iter(sorted((dfdc / "test_videos").glob("*.mp4"))))
    code, out, err = _type(
        capsys, "scan", video, "--model", tmp_path / "full_c23.p", "-q"
    )
    assert code == 0, err
    assert "calibration" in out + err
    assert "P(fake)" not in out
