"""Networks in 8 bits: near torch, the same after loading, never without ranges."""

import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from base_models import FrameDetector, LSTMDetector
from base_models.backbones import backbone_recipe, build_network
from base_models.detectors.feature_path import FeaturePathDetector
from base_models.errors import DeepfakeEnsembleWarning
from base_models.inference import engines as engines_module
from base_models.inference.engines import engine_key, int8_is_here, run_frozen
from base_models.inference.int8 import checked_ranges, find_ranges
from base_models.networks.forward import forward

here = pytest.mark.skipif(
    not int8_is_here(), reason="no 8 bits in this processor, or no onnxruntime"
)
SIZE = 64


def pictures(n_images=6, size=SIZE, seed=0):
    """Smooth ones: the ranges of noise are those of nothing that networks see."""
    draw = np.random.default_rng(seed)
    coarse = torch.tensor(draw.integers(0, 256, (n_images, 3, 5, 5)), dtype=torch.float)
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return fine.clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def network_of(backbone, seed=0):
    torch.manual_seed(seed)
    network = build_network(backbone, weights=None, image_size=SIZE).eval()
    nn.init.normal_(network.head.weight, std=0.1)
    return network, backbone_recipe(backbone, SIZE)


def detector_of(train, store, backbone="test_resnet", **more):
    return FrameDetector(
        backbone, "frame", train, weights=None, image_size=SIZE, n_frames=2, epochs=1,
        n_threads=1, random_state=0, store=store, pseudo_fakes=False, **more,
    )  # fmt: skip


@here
@pytest.mark.parametrize("backbone", ["test_resnet", "efficientnet_lite0"])
def test_answers_are_near_those_of_torch_on_other_images(backbone, tmp_path):
    network, recipe = network_of(backbone)
    ranges = find_ranges(network, recipe, pictures(16), 1, tmp_path)
    others = pictures(5, seed=1)
    expected = forward(network, recipe.normalise, others, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = run_frozen(network, recipe, others, "int8", 1, "cpu", tmp_path, ranges)
    assert got.dtype == np.float32
    far = np.abs(got - expected).max() / np.abs(expected).max()
    assert engines_module.TOLERANCE < far < 0.2  # it did run in 8 bits
    alone = run_frozen(network, recipe, others[2:3], "int8", 1, "cpu", tmp_path, ranges)
    np.testing.assert_array_equal(alone[0], got[2])  # images never mix
    size = len(json.dumps(ranges))
    assert size < 0.1 * sum(p.numel() for p in network.parameters())


@here
def test_a_preprocessing_of_ones_own_stays_outside(tmp_path):
    network, recipe = network_of("test_resnet")
    images = pictures()

    def own(batch):
        return recipe.normalise(batch)

    whole, outside = (
        run_frozen(network, prepare, images, "int8", 1, "cpu", tmp_path,
                   find_ranges(network, prepare, images, 1, tmp_path))
        for prepare in (recipe, own)
    )  # fmt: skip
    np.testing.assert_allclose(outside, whole, atol=1e-5)


@here
@pytest.mark.parametrize("train", ["head", "full"])
def test_a_detector_keeps_its_ranges_and_gives_the_same_bits(
    train, toy_videos, tmp_path
):
    videos, y, _ = toy_videos
    detector = detector_of(train, tmp_path).fit(videos, y)
    exact = detector.fake_score(videos)
    detector.find_ranges(videos[::2])
    np.testing.assert_array_equal(detector.fake_score(videos), exact)  # still "auto"
    detector.set_params(engine="int8")
    scores = detector.fake_score(videos)
    assert 0 < np.abs(scores - exact).max() < 0.05
    meta, arrays = detector.get_state()
    again = clone(detector).set_state(json.loads(json.dumps(meta)), arrays)
    engines_module._clear()
    for other in (again, pickle.loads(pickle.dumps(detector))):
        other.set_params(store=tmp_path / "other")
        np.testing.assert_array_equal(other.fake_score(videos), scores)
    assert again.int8_ranges_ == detector.int8_ranges_
    assert set(arrays) == set(detector_of(train, tmp_path).fit(videos, y)
                              .get_state()[1])  # fmt: skip
    del meta["int8_ranges"]  # as in older files
    older = clone(detector).set_state(meta, arrays)
    older.set_params(store=tmp_path / "older")
    with pytest.warns(DeepfakeEnsembleWarning, match="no ranges of its activations"):
        np.testing.assert_array_equal(older.fake_score(videos), exact)


@here
def test_another_process_finds_the_same_names_and_bits(tmp_path):
    network, recipe = network_of("test_resnet")
    ranges = find_ranges(network, recipe, pictures(), 1, tmp_path / "one")
    got = run_frozen(network, recipe, pictures(), "int8", 1, "cpu", tmp_path, ranges)
    torch.save(network, tmp_path / "network.pt")
    (tmp_path / "ranges.json").write_text(json.dumps(ranges))
    np.save(tmp_path / "images.npy", pictures())
    code = f"""
import json, numpy as np, torch, warnings
warnings.simplefilter("error")
from base_models.backbones import backbone_recipe
from base_models.inference.engines import run_frozen
folder = {str(tmp_path)!r}
network = torch.load(folder + "/network.pt", weights_only=False)
ranges = json.load(open(folder + "/ranges.json"))
images = np.load(folder + "/images.npy")
recipe = backbone_recipe("test_resnet", {SIZE})
got = run_frozen(network, recipe, images, "int8", 1, "cpu", folder + "/two", ranges)
np.save(folder + "/got.npy", got)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    np.testing.assert_array_equal(np.load(tmp_path / "got.npy"), got)


def test_without_such_a_processor_it_is_auto_and_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(engines_module, "has_int8", lambda: False)
    network, recipe = network_of("test_resnet")
    ranges = {"network": "9f2c", "tensors": {"input": [0.0, 1.0]}}
    assert engine_key("int8", "cpu", ranges) == engine_key("auto", "cpu")
    given = network, recipe, pictures()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = run_frozen(*given, "int8", 1, "cpu", tmp_path, ranges)
        none = run_frozen(*given, "int8", 1, "cpu", tmp_path)
    expected = run_frozen(*given, "auto", 1, "cpu", tmp_path)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(none, expected)


@here
def test_without_ranges_it_is_auto_and_says_so_once(tmp_path, monkeypatch):
    network, recipe = network_of("test_resnet")
    given = network, recipe, pictures()
    expected = run_frozen(*given, "auto", 1, "cpu", tmp_path)
    assert engine_key("int8", "cpu") == engine_key("auto", "cpu")
    with pytest.warns(DeepfakeEnsembleWarning, match="no ranges"):
        got = run_frozen(*given, "int8", 1, "cpu", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = run_frozen(*given, "int8", 1, "cpu", tmp_path)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(again, expected)
    ranges = find_ranges(network, recipe, pictures(), 1, tmp_path)
    monkeypatch.setattr(engines_module, "_installed", lambda name: False)
    other, _ = network_of("test_resnet")
    with pytest.warns(DeepfakeEnsembleWarning, match="pip install"):
        run_frozen(other, recipe, pictures(), "int8", 1, "cpu", tmp_path, ranges)


@here
@pytest.mark.parametrize("wrong", ["weights", "graph"])
def test_ranges_of_another_network_are_never_used(wrong, tmp_path):
    network, recipe = network_of("test_resnet")
    ranges = find_ranges(network, recipe, pictures(), 1, tmp_path)
    if wrong == "weights":
        with torch.no_grad():
            network.head.bias += 1
        match = "its weights are no longer those"
    else:
        name, *_ = ranges["tensors"]
        ranges["tensors"]["of another torch"] = ranges["tensors"].pop(name)
        match = "its ranges are of another graph"
    given = network, recipe, pictures()
    with pytest.warns(DeepfakeEnsembleWarning, match=match):
        got = run_frozen(*given, "int8", 1, "cpu", tmp_path, ranges)
    np.testing.assert_array_equal(got, run_frozen(*given, "auto", 1, "cpu", tmp_path))


@here
def test_a_network_with_nothing_to_gain_runs_as_before(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE * 3, 2)).eval()
    recipe = backbone_recipe("test_resnet", SIZE)
    ranges = find_ranges(network, recipe, pictures(), 1, tmp_path)
    assert ranges["tensors"] == {}
    assert engine_key("int8", "cpu", ranges) == engine_key("auto", "cpu")
    given = network, recipe, pictures()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = run_frozen(*given, "int8", 1, "cpu", tmp_path, ranges)
    np.testing.assert_array_equal(got, run_frozen(*given, "auto", 1, "cpu", tmp_path))


@here
def test_other_ranges_are_other_keys_and_other_answers(toy_videos, tmp_path):
    videos, y, _ = toy_videos
    detector = detector_of("head", tmp_path).fit(videos, y)
    detector.set_params(engine="int8")
    keys, scores = set(), []
    for some in (videos[:4], [np.zeros_like(video) for video in videos[:4]]):
        detector.find_ranges(some)
        keys.add(str(detector._engine_key()))
        scores.append(detector.fake_score(videos))
    assert len(keys | {str(engine_key("int8", "cpu"))}) == 3
    assert not np.array_equal(*scores)  # one store, and nothing of it was mixed up
    detector.fit(videos, y)
    assert "int8_ranges_" not in vars(detector)


@here
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lstm", "path"])
def test_detectors_of_sequences_run_in_8_bits(kind, toy_videos, tmp_path):
    videos, y, _ = toy_videos
    settings = {"weights": None, "image_size": SIZE, "n_threads": 1, "random_state": 0}
    if kind == "lstm":
        detector = LSTMDetector(
            backbone="test_resnet", view="frame", n_frames=3, epochs=2,
            store=tmp_path, **settings,
        )  # fmt: skip
    else:
        detector = FeaturePathDetector(
            "test_resnet", "frame", clip_length=4, store=tmp_path, **settings
        )
    detector.fit(videos, y)
    exact = detector.fake_score(videos)
    detector.find_ranges(videos[::2]).set_params(engine="int8")
    scores = detector.fake_score(videos)
    assert not np.array_equal(scores, exact)
    meta, arrays = detector.get_state()
    again = clone(detector).set_state(json.loads(json.dumps(meta)), arrays)
    again.set_params(store=tmp_path / "other")
    np.testing.assert_array_equal(again.fake_score(videos), scores)


@pytest.mark.parametrize("wrong", [
    [], {"network": 1, "tensors": {}}, {"network": "9f2c"},
    {"network": "9f2c", "tensors": {"a": [0.0]}},
    {"network": "9f2c", "tensors": {"a": [0.0, float("nan")]}},
    {"network": "9f2c", "tensors": {"a": [True, 1.0]}},
])  # fmt: skip
def test_damaged_ranges_are_refused(wrong):
    with pytest.raises(ValueError, match="ranges of 8 bits are damaged"):
        checked_ranges(wrong)


@here
def test_values_that_are_not_finite_give_no_ranges(tmp_path):
    network, recipe = network_of("test_resnet")
    with torch.no_grad():
        next(network.parameters())[:] = float("inf")
    with pytest.raises(ValueError, match="not finite"):
        find_ranges(network, recipe, pictures(), 1, tmp_path)
