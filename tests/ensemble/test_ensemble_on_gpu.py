"""A whole ensemble on a GPU: fitted, kept, loaded elsewhere, run by processes.

What each detector does there is tested beside the detectors.
"""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from typer.testing import CliRunner

import ensemble
from base_models import FrameDetector, FrequencyDetector
from ensemble import DeepfakeEnsemble
from ensemble.cli.app import app

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
GPU = "cuda"
SMALL = {"view": "frame", "image_size": 32, "n_frames": 3, "pseudo_fakes": False}
NET = SMALL | {"weights": None, "backbone": "test_resnet", "device": GPU}
MEMBERS = {
    "head": FrameDetector(train="head", **NET),
    "full": FrameDetector(train="full", epochs=2, frames_per_epoch=2, **NET),
    "frequency": FrequencyDetector(**SMALL),
}


@pytest.fixture(scope="module")
def fitted(toy_videos, tmp_path_factory):
    videos, y, groups = toy_videos
    model = DeepfakeEnsemble(
        MEMBERS, resampling=2, random_state=0, verbose=False,
        store=tmp_path_factory.mktemp("store"),
    )  # fmt: skip
    return model.fit(videos, y, groups=groups)


def test_processes_give_the_scores_of_one(fitted, toy_videos, tmp_path):
    videos, y, groups = toy_videos
    model = clone(fitted).set_params(n_jobs=2, store=tmp_path)
    model.fit(videos, y, groups=groups)
    names = list(MEMBERS)
    np.testing.assert_array_equal(
        model.oof_scores_[names].to_numpy(), fitted.oof_scores_[names].to_numpy()
    )
    np.testing.assert_array_equal(model.fake_score(videos), fitted.fake_score(videos))


def test_what_was_saved_scores_with_and_without_a_gpu(
    fitted, toy_videos, tmp_path, monkeypatch
):
    videos, _, _ = toy_videos
    score = fitted.fake_score(videos)
    fitted.save(tmp_path / "model.dfe")
    loaded = ensemble.load(tmp_path / "model.dfe")
    loaded.set_params(store=tmp_path / "a")
    np.testing.assert_allclose(loaded.fake_score(videos), score, atol=1e-6)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    without = ensemble.load(tmp_path / "model.dfe", device="cpu")
    without.set_params(store=tmp_path / "b")
    np.testing.assert_allclose(without.fake_score(videos), score, atol=0.02)


def test_the_machine_is_looked_at():
    found = CliRunner().invoke(app, ["doctor", "--json"])
    checks = json.loads(found.stdout)["checks"]
    (here,) = [check for check in checks if check["name"] == "cuda:0"]
    assert torch.cuda.get_device_name() in json.dumps(here)
