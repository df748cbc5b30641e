"""Exported networks: what torch says, stated whole; 8 bits with their drift."""

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from base_models import (
    FrameDetector,
    FrequencyDetector,
    TorchDetector,
    export_onnx,
    load_checkpoint,
)
from base_models.backbones import build_network
from base_models.detectors.prefit import PrefitDetector, make_card
from base_models.export import onnx as onnx_export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()  # fixed_threads would keep other threads waiting
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prefit(backbone="test_resnet", size=32, scope="frame", seed=0, **params):
    torch.manual_seed(seed)
    network = build_network(backbone, weights=None, image_size=size)
    nn.init.normal_(network.head.weight, std=0.1)
    card = make_card(backbone, scope, size, source=f"{backbone}.pth")
    params = {"n_frames": 2, "engine": "torch", "n_threads": 1, **params}
    return PrefitDetector(card, **params).with_network(network)


def run(path, images):
    session = onnxruntime.InferenceSession(str(path))
    (scores,) = session.run(["fake"], {"images": images})
    return scores


def test_a_file_alone_scores_as_the_detector_does(tmp_path, toy_videos):
    from PIL import Image

    detector = prefit()
    card = export_onnx(detector, tmp_path / "net.onnx")
    assert card["largest_difference"] < 1e-5
    for video in toy_videos[0][:3]:
        frames = [video[0], video[-1]]
        small = [Image.fromarray(f).resize((32, 32), Image.BILINEAR) for f in frames]
        scores = run(tmp_path / "net.onnx", np.stack([np.asarray(s) for s in small]))
        expected = detector.fake_score([video])
        np.testing.assert_allclose(scores.mean(), expected[0], atol=1e-4)


def test_file_and_json_say_how_to_use_it(tmp_path):
    card = export_onnx(
        prefit(scope="face", pooling="median"), tmp_path / "net.onnx", name="mine"
    )
    beside = json.loads((tmp_path / "net.json").read_text())
    assert beside == card
    assert beside["input"]["shape"] == ["n_images", 32, 32, 3]
    assert beside["pooling"] == "median"
    assert beside["images"]["margin"] == 1.3
    assert beside["images"]["finder"].startswith("DlibFaceFinder {")
    assert len(beside["preprocessing_inside"]["mean"]) == 3
    held = {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert held["name"] == "mine"
    assert json.loads(held["images"]) == beside["images"]
    assert set(held) == set(card) - {"file", "sha256"}
    content = (tmp_path / "net.onnx").read_bytes()
    assert card["sha256"] == {"net.onnx": hashlib.sha256(content).hexdigest()}
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)


def test_a_transform_of_ones_own_is_inside(tmp_path, toy_videos):
    module = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(12, 1))
    detector = TorchDetector(
        module, "frame", transform=halved, train="none", image_size=16, n_frames=2
    ).fit(*toy_videos[:2])
    export_onnx(detector, tmp_path / "net.onnx")
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), np.uint8)
    with torch.inference_mode():
        inputs = halved(torch.tensor(images).permute(0, 3, 1, 2))
        expected = torch.sigmoid(module(inputs))[:, 0]
    scores = run(tmp_path / "net.onnx", images)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def halved(images):
    return images.float() / 510


@pytest.mark.slow
def test_a_head_on_frozen_features_is_exported_whole(tmp_path, toy_videos):
    videos, y, _ = toy_videos
    detector = FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=1, random_state=0
    ).fit(videos, y)
    export_onnx(detector, tmp_path / "net.onnx")
    score = detector.score_frames(videos[:1])[0]["score"]
    from PIL import Image

    (frame,) = detector.score_frames(videos[:1])[0]["frame"]
    image = Image.fromarray(videos[0][frame]).resize((32, 32), Image.BILINEAR)
    found = run(tmp_path / "net.onnx", np.asarray(image)[None])
    np.testing.assert_allclose(found, score, atol=1e-5)


def test_answers_that_differ_from_torch_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "run_onnx", lambda model, images: np.zeros(9))
    with pytest.raises(ValueError, match="differs from torch's by .* nothing was"):
        export_onnx(prefit(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_said(tmp_path, monkeypatch):
    with pytest.raises(TypeError, match="FrequencyDetector holds no network"):
        export_onnx(FrequencyDetector(), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"must end with \.onnx; got .*net\.bin"):
        export_onnx(prefit(), tmp_path / "net.bin")
    with pytest.raises(ValueError, match="--calibrate VIDEOS"):
        export_onnx(prefit(), tmp_path / "net.onnx", int8=True)
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"deepfake-ensemble\[onnx\]"):
        export_onnx(prefit(), tmp_path / "net.onnx")


@pytest.mark.slow
def test_int8_is_static_where_convolutions_are_and_says_its_drift(tmp_path, toy_videos):
    videos = [*toy_videos[0][:5], "missing.mp4"]
    detector = prefit(store=tmp_path / "store")
    card = export_onnx(detector, tmp_path / "net.onnx", int8=True, calibrate=videos)
    small = card["int8"]
    assert small["kind"] == "static"
    assert small["calibration_images"] == 6  # videos 0, 2, 4
    assert small["measured_on"] == "2 videos, not calibrated on"
    sizes = [(tmp_path / f).stat().st_size for f in ("net.int8.onnx", "net.onnx")]
    assert sizes[0] < 0.5 * sizes[1]
    looks = [detector.score_frames([video])[0] for video in (videos[1], videos[3])]
    assert 0 < small["largest_of_images"] < 0.2
    from base_models.views import Views

    views = Views([videos[1], videos[3]], detector.recipe_, detector_store(detector))
    drift = max(
        abs(run(tmp_path / "net.int8.onnx", view.images) - look["score"]).max()
        for view, look in zip(views, looks, strict=True)
    )
    assert small["largest_of_images"] == pytest.approx(drift, abs=2e-3)


def detector_store(detector):
    from base_models.store import resolve_store

    return resolve_store(detector.store)


@pytest.mark.slow
def test_int8_is_dynamic_where_products_are(tmp_path):
    card = export_onnx(prefit("test_vit", 160), tmp_path / "net.onnx", int8=True)
    assert card["int8"]["kind"] == "dynamic"
    assert card["int8"]["measured_on"] == "9 made images"
    assert card["int8"]["largest_of_images"] < 0.2


def test_nothing_to_look_at_is_no_calibration(tmp_path):
    with pytest.raises(ValueError, match="none of the 1 videos to calibrate with"):
        export_onnx(
            prefit(), tmp_path / "net.onnx", int8=True,
            calibrate=["missing.mp4"],
        )  # fmt: skip


@pytest.mark.slow
def test_mesonet_of_the_field_drifts_little_in_8_bits(shared, tmp_path):
    pytest.importorskip("h5py")
    weights = sorted((shared / "models/mesonet").glob("Meso4_DF*"))
    clips = sorted((shared / "data/clips").rglob("*.mp4"))[:4]
    if not weights or not clips:
        pytest.skip("the shared test material is not on this machine")
    detector = load_checkpoint(weights[0], scope="face", n_frames=4)
    card = export_onnx(detector, tmp_path / "net.onnx", int8=True, calibrate=clips)
    assert card["largest_difference"] < 1e-4
    assert card["int8"]["largest_of_videos"] < 0.2
