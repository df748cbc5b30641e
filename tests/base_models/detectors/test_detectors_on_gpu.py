"""Every detector with a network, on a GPU: the same answers as on a CPU, repeatably."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from base_models import (
    DivergedError,
    FeaturePathDetector,
    FrameDetector,
    LSTMDetector,
    TorchDetector,
    TrainingRecipe,
    export_onnx,
)
from base_models.backbones import build_network
from base_models.detectors.prefit import PrefitDetector, make_card
from base_models.export.heat_maps import heat_maps
from base_models.training import loop

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
GPU = "cuda"
NO_FAKES = {"weights": None, "pseudo_fakes": False}
SMALL = {"view": "frame", "image_size": 32, "n_frames": 3, "random_state": 0}
TRAINED = SMALL | NO_FAKES | {"epochs": 3, "frames_per_epoch": 2, "batch_size": 8}
HEAD = FrameDetector("test_resnet", train="head", **SMALL, **NO_FAKES)
VIT = {"backbone": "test_vit"} | TRAINED


def _module():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 1),
    )  # fmt: skip


DETECTORS = {
    "head": HEAD,
    "normalised head": FrameDetector(
        "test_vit", train="head", features="middle", head="normalised", **SMALL,
        **NO_FAKES,
    ),
    "full": FrameDetector("test_resnet", train="full", **TRAINED),
    "full, averaged": FrameDetector(
        "test_resnet", recipe=TrainingRecipe(averaging="ema", mixup=0.5), **TRAINED
    ),
    "pseudo-fakes": FrameDetector(
        "test_resnet", **TRAINED | {"pseudo_fakes": True, "epochs": 1}
    ),
    "noise": FrameDetector("test_resnet", channels="residual", **TRAINED),
    "motion": FrameDetector("test_resnet", channels="motion", **TRAINED),
    "last stage": FrameDetector("test_resnet", train="last_stage", **TRAINED),
    "last blocks": FrameDetector(train="last_blocks", n_blocks=2, **VIT),
    "norm": FrameDetector(train="norm", **VIT),
    "lora": FrameDetector(train="lora", rank=2, **VIT),
    "torch": TorchDetector(_module(), epochs=3, frames_per_epoch=2, **SMALL),
    "path": FeaturePathDetector(
        "test_resnet", view="frame", image_size=32, weights=None, random_state=0
    ),
    "lstm": LSTMDetector(features=clone(HEAD), epochs=3, random_state=0),
}  # fmt: skip


@pytest.fixture(scope="module")
def clips(toy_videos):
    """The toy videos, long enough for a path of features."""
    videos, y, groups = toy_videos
    return [np.concatenate([video, video]) for video in videos], y, groups


def on(device, detector):
    """A copy of a detector that computes there, with every network inside of it."""
    copy = clone(detector)
    names = [n for n in copy.get_params() if n.rpartition("__")[2] == "device"]
    return copy.set_params(**dict.fromkeys(names, device))


def weights_of(detector):
    return {name: np.asarray(a) for name, a in detector.get_state()[1].items()}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_gpu_fits_scores_and_repeats_itself(name, clips, tmp_path):
    videos, y, groups = clips
    detector = on(GPU, DETECTORS[name])
    stores = [tmp_path / "one", tmp_path / "two"]
    fitted, again = (
        clone(detector).set_params(store=store).fit(videos, y, groups=groups)
        for store in stores
    )
    score = fitted.fake_score(videos)
    assert np.isfinite(score).all()
    np.testing.assert_array_equal(again.fake_score(videos), score)
    kept = weights_of(fitted)
    for part, value in weights_of(again).items():
        np.testing.assert_array_equal(value, kept[part], err_msg=part)
    on_cpu = on("cpu", detector).set_params(store=tmp_path / "cpu")
    on_cpu.set_state(*fitted.get_state())
    np.testing.assert_allclose(on_cpu.fake_score(videos), score, atol=0.02)
    again = on(GPU, on_cpu).set_params(store=tmp_path / "gpu")
    again.set_state(*on_cpu.get_state())
    np.testing.assert_array_equal(again.fake_score(videos), score)


@pytest.mark.parametrize("name", ["full", "full, averaged", "lora", "last blocks"])
def test_a_training_on_a_gpu_goes_on_with_the_same_bytes(
    name, clips, tmp_path, monkeypatch
):
    videos, y, groups = clips
    detector = on(GPU, DETECTORS[name]).set_params(epochs=4)
    whole = clone(detector).set_params(store=tmp_path / "a")
    expected = weights_of(whole.fit(videos, y, groups=groups))
    saved = []

    def stop(run, keep, save=loop.TrainingRun.save):
        save(run, keep)
        saved.append(1)
        if len(saved) == 2:
            raise DivergedError("stopped")

    detector.set_params(store=tmp_path / "b")
    with monkeypatch.context() as patch:
        patch.setattr(loop.TrainingRun, "save", stop)
        with pytest.raises(DivergedError, match="stopped"):
            clone(detector).fit(videos, y, groups=groups)
    resumed = detector.fit(videos, y, groups=groups)
    for part, value in weights_of(resumed).items():
        np.testing.assert_array_equal(value, expected[part], err_msg=part)


@pytest.mark.parametrize("name", ["head", "full", "lora"])
def test_what_a_gpu_learned_is_exported_and_looked_at(name, clips, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("captum")
    videos, y, groups = clips
    detector = on(GPU, DETECTORS[name]).fit(videos, y, groups=groups)
    score = detector.fake_score(videos)
    images = np.stack([video[0, :32, :32] for video in videos[:3]])
    maps = heat_maps(detector, images)
    assert maps.shape == (3, 32, 32)
    assert np.isfinite(maps).all()
    facts = export_onnx(detector, tmp_path / "net.onnx")
    assert facts["largest_difference"] < 1e-4
    # the network went to the CPU for that, and comes back
    np.testing.assert_array_equal(detector.fake_score(videos), score)


def test_a_checkpoint_scores_on_a_gpu_as_on_a_cpu(clips, tmp_path):
    videos, _, _ = clips
    network = build_network("resnet18", weights=None)
    nn.init.normal_(network.head.weight)
    card = make_card("resnet18", scope="frame", image_size=64)
    gpu, cpu = (
        PrefitDetector(card, n_frames=3, device=device, store=tmp_path / device)
        for device in (GPU, "cpu")
    )
    score = gpu.with_network(network).fake_score(videos)
    assert score.std() > 1e-3
    gpu.save(tmp_path / "checkpoint")  # which looks at images on the CPU
    np.testing.assert_array_equal(gpu.fake_score(videos), score)
    np.testing.assert_allclose(
        cpu.with_network(network).fake_score(videos), score, atol=0.02
    )
