"""Engines: answers equal to torch's, never stale; choices, fallbacks, what is kept."""

import gc
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from base_models import FrameDetector, TorchDetector
from base_models.backbones import Preprocessing as Prep, backbone_recipe, build_network
from base_models.inference import engines as engines_module, kept_graphs
from base_models.inference.cuda import run_on_gpu
from base_models.inference.engines import ENGINES, check_engine, engine_key, run_frozen
from base_models.inference.openvino import OpenVino
from base_models.networks.forward import forward
from base_models.store import Store

FASTER = ("onnxruntime", "openvino")
SIZES = {"mesonet4": 32, "resnet18": 32, "efficientnet_lite0": 32, "xception": 75}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()  # fixed_threads would keep other threads waiting
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=FASTER)
def engine(request):
    pytest.importorskip("onnx")
    pytest.importorskip(request.param)
    return request.param


def noise(size, n_images=5, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (n_images, size, size, 3), np.uint8)


def random_network(backbone, size, seed=0):
    torch.manual_seed(seed)
    network = build_network(backbone, weights=None, image_size=size).eval()
    nn.init.normal_(network.head.weight)
    return network


def small_network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.LazyLinear(2)).eval().to("cpu")


def built(network, size=16):
    network(torch.zeros(1, 3, size, size))  # the lazy layer takes its shape
    return network


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("backbone", SIZES)
def test_answers_are_those_of_torch(backbone, tmp_path):
    pytest.importorskip("onnx")
    network = random_network(backbone, SIZES[backbone])
    recipe, images = backbone_recipe(backbone, SIZES[backbone]), noise(SIZES[backbone])
    torchs = run_frozen(network, recipe, images, "torch", n_threads=1)
    probability = torch.softmax(torch.from_numpy(torchs), 1)
    for engine in FASTER:
        pytest.importorskip(engine)
        found = run_frozen(network, recipe, images, engine, n_threads=1, store=tmp_path)
        assert not np.array_equal(found, torchs)  # it did run elsewhere
        assert found.dtype == np.float32
        found = torch.softmax(torch.from_numpy(found), 1)
        np.testing.assert_allclose(found, probability, atol=1e-4)


def test_a_preprocessing_of_ones_own_stays_outside(engine):
    network = built(small_network())

    def halved(images):
        return images.permute(0, 3, 1, 2).float() / 510

    found = run_frozen(network, halved, noise(16, 11), engine)
    expected = forward(network, halved, noise(16, 11), "cpu")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_training_in_place_is_never_answered_stale(engine):
    network, images = built(small_network()), noise(16)
    before = run_frozen(network, Prep(16), images, engine)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network.train()
    network(torch.rand(4, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    found = run_frozen(network, Prep(16), images, engine)
    expected = forward(network, Prep(16).normalise, images, "cpu")
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found - before).max() > 1e-2


def test_loaded_weights_are_never_answered_stale(engine):
    network, other = built(small_network()), built(small_network(seed=1))
    run_frozen(network, Prep(16), noise(16), engine)
    network.load_state_dict(other.state_dict())
    found = run_frozen(network, Prep(16), noise(16), engine)
    expected = forward(other, Prep(16).normalise, noise(16), "cpu")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_weights_share_what_is_compiled(engine, monkeypatch):
    made = counted(monkeypatch, engine)
    network = built(small_network())
    again = pickle.loads(pickle.dumps(network))
    for one in (network, again, network):
        run_frozen(one, Prep(16), noise(16), engine)
    assert len(made) == 1


@pytest.mark.slow_after(1)
def test_what_is_compiled_goes_with_the_network(engine):
    network = built(small_network(seed=7))
    run_frozen(network, Prep(16), noise(16), engine)
    kept = len(engines_module._of_weights)
    del network
    gc.collect()
    assert len(engines_module._of_weights) < kept


def test_networks_of_a_kind_are_traced_once(engine, tmp_path, monkeypatch):
    traced = []
    trace = kept_graphs.traced_graph
    monkeypatch.setattr(
        kept_graphs, "traced_graph", lambda *a: traced.append(1) or trace(*a)
    )
    for seed in range(3):
        network = built(small_network(seed)).requires_grad_(seed > 0)
        found = run_frozen(network, Prep(16), noise(16), engine, store=tmp_path)
        expected = forward(network, Prep(16).normalise, noise(16), "cpu")
        np.testing.assert_allclose(found, expected, atol=1e-5)
        monkeypatch.setattr(kept_graphs, "_graphs", {})  # as in another process
    assert len(traced) == 1
    other = built(small_network(), 20)
    run_frozen(other, Prep(20), noise(20), engine, store=tmp_path)
    assert len(traced) == 2  # other sizes are other graphs


class Scaled(nn.Module):
    """Says by what its own weights do not tell."""

    factor = 1.0

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, images):
        return self.layer(images.mean(dim=(2, 3))) * type(self).factor


def test_a_graph_of_code_that_changed_is_traced_again(engine, tmp_path, monkeypatch):
    network = Scaled().eval()
    run_frozen(network, Prep(8), noise(8), engine, store=tmp_path)
    monkeypatch.setattr(Scaled, "factor", 3.0)
    network = pickle.loads(pickle.dumps(network))
    found = run_frozen(network, Prep(8), noise(8), engine, store=tmp_path)
    expected = forward(network, Prep(8).normalise, noise(8), "cpu")
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Spectrum(nn.Module):
    """No engine has its transform."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        return self.head(torch.fft.rfft2(images).abs().mean(dim=(2, 3)))


class Crowded(nn.Module):
    """Answers by how many images come along, which tracing freezes."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images):
        return self.head(images.mean(dim=(2, 3))) * len(images)


@pytest.mark.parametrize(
    ("network", "message"),
    [(Spectrum(), "cannot run it"), (Crowded(), "differ from torch's")],
)
def test_torch_runs_what_an_engine_cannot(engine, network, message, capsys):
    network = network.eval()
    with pytest.warns(UserWarning, match=f"runs on torch: .*{message}"):
        found = run_frozen(network, Prep(8), noise(8), engine)
    np.testing.assert_array_equal(
        found, forward(network, Prep(8).normalise, noise(8), "cpu")
    )
    assert capsys.readouterr().out == ""


def test_torch_runs_what_openvino_cannot_in_a_forked_process(monkeypatch):
    pytest.importorskip("openvino")
    network = built(small_network())
    run_frozen(network, Prep(16), noise(16), "openvino")
    monkeypatch.setattr(OpenVino, "forked", False)
    engines_module._after_fork()
    with pytest.warns(UserWarning, match="does not survive a fork"):
        found = run_frozen(network, Prep(16), noise(16), "openvino")
    expected = forward(network, Prep(16).normalise, noise(16), "cpu")
    np.testing.assert_array_equal(found, expected)


def test_a_network_that_fails_fails_as_in_torch(engine):
    network = nn.Sequential(nn.Flatten(), nn.Linear(5, 2)).eval()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_frozen(network, Prep(8), noise(8), engine)


def test_auto_leaves_small_networks_to_torch(monkeypatch):
    made = [counted(monkeypatch, name) for name in FASTER]
    network = built(small_network())
    found = run_frozen(network, Prep(16), noise(16), "auto")
    np.testing.assert_array_equal(
        found, forward(network, Prep(16).normalise, noise(16), "cpu")
    )
    assert made == [[], []]


@pytest.mark.parametrize(
    ("large", "installed", "chosen"),
    [
        (1e12, FASTER, "onnxruntime"),
        (0, FASTER, "openvino"),
        (1e12, ["openvino"], "openvino"),
        (0, ["onnxruntime"], "onnxruntime"),
    ],
)
def test_auto_compiles_others_for_what_suits_them(
    large, installed, chosen, monkeypatch
):
    pytest.importorskip("onnx")
    pytest.importorskip(chosen)
    made = counted(monkeypatch, chosen)
    monkeypatch.setattr(engines_module, "_SMALL", 0)
    monkeypatch.setattr(engines_module, "_LARGE", large)
    monkeypatch.setattr(engines_module, "_installed", lambda name: name in installed)
    run_frozen(built(small_network()), Prep(16), noise(16), "auto", n_threads=1)
    assert len(made) == 1


def test_auto_is_torch_where_nothing_else_is_installed(monkeypatch):
    monkeypatch.setattr(engines_module, "_installed", lambda engine: False)
    monkeypatch.setattr(engines_module, "_SMALL", 0)
    network = built(small_network())
    np.testing.assert_array_equal(
        run_frozen(network, Prep(16), noise(16), "auto"),
        run_frozen(network, Prep(16), noise(16), "torch"),
    )
    assert engine_key("auto", "cpu") == {}


def test_unknown_and_missing_engines_are_named(monkeypatch):
    with pytest.raises(ValueError, match="'bfloat16' or 'int8'; got 'tensorrt'"):
        check_engine("tensorrt")
    monkeypatch.setattr(engines_module, "_installed", lambda engine: False)
    with pytest.raises(ImportError, match=r"pip install 'deepfake-ensemble\[onnx\]'"):
        check_engine("onnxruntime")
    video = noise(32, 4)
    with pytest.raises(ImportError, match="needs openvino and onnx"):
        FrameDetector("test_resnet", "frame", "head", None, 32, engine="openvino").fit(
            [video, video], [0, 1]
        )


@pytest.mark.parametrize("n_threads", [1, 2])
def test_engines_keep_to_their_threads(engine, n_threads, monkeypatch):
    made = counted(monkeypatch, engine)
    run_frozen(built(small_network()), Prep(16), noise(16), engine, n_threads)
    (runner,) = made
    if engine == "openvino":
        assert runner.model.get_property("INFERENCE_NUM_THREADS") == n_threads
    else:
        options = runner.session.get_session_options()
        assert options.intra_op_num_threads == n_threads


def test_every_engine_has_a_key_of_its_own():
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    ranges = {"network": "9f2c", "tensors": {"input": [0.0, 1.0]}}
    keys = [str(engine_key(engine, "cpu", ranges)) for engine in ENGINES]
    here = engines_module.has_bfloat16(), engines_module.int8_is_here()
    assert len(set(keys)) == len(ENGINES) - here.count(False)  # else they are "auto"


def heads(engine, **more):
    return FrameDetector(
        "test_resnet", "frame", "head", None, 32, n_frames=2, n_threads=1,
        random_state=0, engine=engine, **more,
    )  # fmt: skip


@pytest.mark.slow
def test_detectors_with_compiled_networks_are_cloned_and_pickled(
    engine, toy_videos, tmp_path
):
    videos, y, _ = toy_videos
    detector = heads(engine, store=tmp_path).fit(videos, y)
    scores = detector.fake_score(videos)
    assert clone(detector).get_params()["engine"] == engine
    again = pickle.loads(pickle.dumps(detector))
    again.set_params(store=tmp_path / "other")
    np.testing.assert_array_equal(again.fake_score(videos), scores)
    torchs = heads("torch", store=tmp_path).fit(videos, y).fake_score(videos)
    np.testing.assert_allclose(scores, torchs, atol=1e-4)


def test_threads_side_by_side_give_the_same(engine):
    network = built(small_network())
    images = [noise(16, 3, seed) for seed in range(6)]
    one_by_one = [run_frozen(network, Prep(16), i, engine, 1) for i in images]
    together = joblib.Parallel(n_jobs=3, backend="threading")(
        joblib.delayed(run_frozen)(network, Prep(16), i, engine, 1) for i in images
    )
    np.testing.assert_array_equal(together, one_by_one)


@pytest.mark.slow
def test_processes_side_by_side_give_the_same(engine, toy_videos, tmp_path):
    videos, y, _ = toy_videos
    module = built(small_network())
    detector = TorchDetector(
        module, "frame", train="none", image_size=16, n_frames=2, n_threads=1,
        store=tmp_path, engine=engine,
    )  # fmt: skip
    scores = detector.fit(videos, y).fake_score(videos)
    halves = joblib.Parallel(n_jobs=2)(
        joblib.delayed(detector.fake_score)(half) for half in (videos[:12], videos[12:])
    )
    np.testing.assert_array_equal(np.concatenate(halves), scores)


def test_features_of_engines_are_kept_apart(engine, toy_videos, tmp_path):
    videos, y, _ = toy_videos
    for name in ("torch", engine, "torch"):
        heads(name, store=tmp_path).fit(videos[:4], y[:4])
    # noise is no key: frozen random weights are drawn alike, 4 videos a engine
    assert len(Store(tmp_path).keys("features")) == 8


def test_an_engine_changes_scores_that_are_kept_and_no_fit(
    engine, toy_videos, tmp_path
):
    from ensemble import out_of_fold_scores

    videos, y, groups = toy_videos
    for name in ("torch", engine):
        detector = TorchDetector(
            built(small_network()), "frame", train="full", image_size=16, n_frames=2,
            epochs=1, n_threads=1, random_state=0, engine=name,
        )  # fmt: skip
        out_of_fold_scores([detector], videos, y, groups, store=tmp_path, resampling=2)
    store = Store(tmp_path)
    assert len(store.keys("member")) == 2  # of two folds, whatever scores
    # of each engine: two folds' scores, and those of every video by itself
    assert len(store.keys("scores")) == 2 * (2 + len(videos))


class Narrow(nn.Module):
    """Has memory for a few images at a time; counts what it was asked."""

    def __init__(self, room):
        super().__init__()
        self.room, self.asked = room, []

    def forward(self, images):
        self.asked.append(len(images))
        if len(images) > self.room:
            raise torch.cuda.OutOfMemoryError("too many")
        return images.mean(dim=(2, 3))


def test_batches_on_a_gpu_shrink_to_its_memory():
    network, cpu = Narrow(room=5), torch.device("cpu")
    expected = Prep(4).normalise(torch.from_numpy(noise(4, 12))).mean(dim=(2, 3))
    for _ in range(2):
        found = run_on_gpu(network, Prep(4).normalise, noise(4, 12), cpu, mixed=False)
        np.testing.assert_array_equal(found, expected)
    assert network.asked == [12, 6, 3, 3, 3, 3, 3, 3, 3, 3]
    with pytest.raises(torch.cuda.OutOfMemoryError):
        run_on_gpu(Narrow(0), Prep(4).normalise, noise(4, 2), cpu, mixed=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(("engine", "tolerance"), [("torch", 1e-3), ("auto", 2e-2)])
def test_a_gpu_gives_the_answers_of_the_cpu(engine, tolerance):
    network = random_network("resnet18", 64)
    expected = run_frozen(network, Prep(64), noise(64, 40), "torch", device="cpu")
    found = run_frozen(network, Prep(64), noise(64, 40), engine, device="cuda")
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def counted(monkeypatch, engine):
    """Return the list of what is compiled for an engine from now on."""
    made, make = [], engines_module._MAKERS[engine]
    monkeypatch.setattr(engines_module, "_of_weights", {})

    def counting(model, n_threads):
        made.append(make(model, n_threads))
        return made[-1]

    monkeypatch.setitem(engines_module._MAKERS, engine, counting)
    return made


def test_onnx_runtime_leaves_nothing_in_the_home_of_its_user(tmp_path):
    """What its makers publish writes an identifier there as soon as it is imported."""
    pytest.importorskip("onnxruntime")
    script = (
        "from base_models.inference.onnxruntime import import_onnxruntime\n"
        "import_onnxruntime().get_available_providers()"
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    around = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", script], env=around | home, check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
