"""Checkpoints of others, imitated: module pickles with the published class layout."""

import json
import os
import pickle
import struct
import subprocess
import sys
import types

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.base import clone
from torch import nn

from base_models import (
    CheckpointError,
    DlibFaceFinder,
    FrameDetector,
    PrefitDetector,
    load_checkpoint,
    write_video,
)
from base_models.backbones import build_network
from base_models.detectors.prefit import make_card
from base_models.faces import crop_face


@pytest.fixture(scope="module")
def xception():
    """timm's Xception with the names of pretrainedmodels, and its two logits' head."""
    torch.manual_seed(0)
    network = timm.create_model("legacy_xception", num_classes=2).eval()
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    return network


@pytest.fixture(scope="module")
def published(xception):
    """An imitation of FaceForensics++'s TransferModel; its classes exist only here."""
    modules = {
        name: types.ModuleType(name)
        for name in (
            "network",
            "network.models",
            "pretrainedmodels",
            "pretrainedmodels.models",
            "pretrainedmodels.models.xception",
        )
    }

    def declare(module, name):
        made = type(name, (nn.Module,), {"__module__": module})
        setattr(modules[module], name, made)
        return made

    transfer = declare("network.models", "TransferModel")
    inner = declare("pretrainedmodels.models.xception", "Xception")
    kinds = {
        name: declare("pretrainedmodels.models.xception", name)
        for name in ("Block", "SeparableConv2d")
    }

    def imitate(module, made):
        copy = made.__new__(made)
        nn.Module.__init__(copy)
        for name, value in module._parameters.items():
            copy.register_parameter(name, value)
        for name, value in module._buffers.items():
            copy.register_buffer(name, value)
        for name, child in module.named_children():
            child = as_published(child)
            if child is not None:
                copy.add_module("last_linear" if name == "fc" else name, child)
        return copy

    def as_published(module):
        if type(module).__name__ in kinds:
            return imitate(module, kinds[type(module).__name__])
        if isinstance(module, nn.Sequential):
            return nn.Sequential(*map(as_published, module))
        return None if type(module).__module__.startswith("timm") else module

    top = transfer()
    top.modelchoice = "xception"
    top.model = imitate(xception, inner)
    sys.modules.update(modules)
    yield top
    for name in modules:
        del sys.modules[name]


@pytest.fixture(scope="module", params=["legacy", "zip"])
def full_c23(request, published, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "full_c23.p"
    torch.save(published, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


@pytest.mark.slow
def test_a_module_pickle_gives_the_network_without_its_classes(full_c23, xception):
    detector = load_checkpoint(full_c23)
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(detector.module_(images), xception(images))
    card = detector.card_
    assert (card["scope"], card["compression"]) == ("frame", "c23")
    assert card["trained_on"] == ["FaceForensics++ train"]
    assert card["classes"] == ["real", "fake"]
    assert len(card["source_sha256"]) == 64
    kinds = {type(module).__module__ for module in detector.module_.modules()}
    assert not any(kind.startswith(("network", "pretrainedmodels")) for kind in kinds)


@pytest.mark.slow
def test_no_files_of_the_network_are_needed(full_c23, xception):
    """A process that never heard of the pickled classes gives the same logits."""
    code = (
        "import importlib.util, sys, torch\n"
        "from base_models import load_checkpoint\n"
        "for name in ('network', 'pretrainedmodels'):\n"
        "    assert importlib.util.find_spec(name) is None, name\n"
        "network = load_checkpoint(sys.argv[1]).module_\n"
        "with torch.no_grad():\n"
        "    print(network(torch.full((1, 3, 64, 64), 0.25)).tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(full_c23)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    with torch.no_grad():
        expected = xception(torch.full((1, 3, 64, 64), 0.25))
    torch.testing.assert_close(torch.tensor(json.loads(run.stdout)), expected)


@pytest.mark.slow
def test_a_local_file_of_imagenet_weights_is_a_start(tmp_path):
    """As the file xception-b5690688.pth: 1000 classes, flat 1x1 convolutions."""
    torch.manual_seed(0)
    imagenet = timm.create_model("legacy_xception", num_classes=1000).eval()
    state = {
        name.replace("fc.", "last_linear."): (
            value[:, :, 0, 0] if name.endswith("pointwise.weight") else value
        )
        for name, value in imagenet.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    path = tmp_path / "xception-b5690688.pth"
    torch.save(state, path)
    network = build_network("xception", weights=path).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        features = imagenet.forward_head(imagenet.forward_features(images), True)
        torch.testing.assert_close(network.backbone(images), features)


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "flat",
        "parallel",
        *(
            pytest.param(change, marks=SLOW)
            for change in ("plain", "dropout head", "no counters", "wrapped")
        ),
    ],
)
def test_variants_of_state_dicts_give_the_same_network(xception, tmp_path, change):
    state = {
        "model." + name.replace("fc.", "last_linear."): value
        for name, value in xception.state_dict().items()
    }
    if change == "dropout head":
        state = {
            k.replace("last_linear.", "last_linear.1."): v for k, v in state.items()
        }
    if change == "no counters":
        state = {k: v for k, v in state.items() if "num_batches" not in k}
        assert len(state) == 236
    if change == "flat":
        state = {
            k: v[:, :, 0, 0] if k.endswith("pointwise.weight") else v
            for k, v in state.items()
        }
    if change == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    path = tmp_path / "ffpp_c40.pth"
    torch.save({"net": state} if change == "wrapped" else state, path)
    detector = load_checkpoint(path)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(detector.module_(images), xception(images))
    assert (detector.card_["scope"], detector.card_["compression"]) == ("face", "c40")


@pytest.mark.slow
def test_classes_may_be_the_other_way_round(xception, tmp_path):
    torch.save(xception.state_dict(), tmp_path / "mine.pth")
    first = load_checkpoint(tmp_path / "mine.pth", scope="frame")
    turned = load_checkpoint(tmp_path / "mine.pth", "frame", classes=("fake", "real"))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(first.module_(images).flip(1), turned.module_(images))


def test_what_is_wrong_with_a_file_is_said(xception, tmp_path, published):
    state = xception.state_dict()
    path = tmp_path / "mine.pth"
    torch.save({k: v for k, v in state.items() if not k.startswith("fc.")}, path)
    with pytest.raises(CheckpointError, match="has no classifier"):
        load_checkpoint(path, scope="face")
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048)}, path)
    with pytest.raises(CheckpointError, match=r"shape \(1000, 2048\); \(2, 2048\)"):
        load_checkpoint(path, scope="face")
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="give scope='frame' or scope='face'"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="weights are missing"):
        load_checkpoint(path, scope="face", backbone="resnet18")
    torch.save({"a.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="give backbone="):
        load_checkpoint(path, scope="face")
    for legacy in (True, False):
        torch.save(published, path, _use_new_zipfile_serialization=not legacy)
        path.write_bytes(path.read_bytes()[:-5_000_000])
        with pytest.raises(CheckpointError, match="truncated or of another kind"):
            load_checkpoint(path, scope="face")
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="truncated or of another kind"):
        load_checkpoint(path, scope="face")
    with pytest.raises(ValueError, match="compat must be"):
        load_checkpoint(path, compat="ffpp")
    with pytest.raises(ValueError, match="scope must be"):
        load_checkpoint(path, scope="faces")
    with pytest.raises(ValueError, match="classes must be"):
        load_checkpoint(path, classes=("real",))


class _Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-done",)


@pytest.mark.parametrize("legacy", [True, False])
def test_harm_inside_a_module_is_refused_by_name(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    module = nn.Linear(2, 2)
    module.extra = _Harmful()
    torch.save(module, "full_c23.p", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"wants (posix|nt)\.mkdir run"):
        load_checkpoint("full_c23.p")
    assert not os.path.exists("harm-done")


def test_a_storage_larger_than_its_file_is_not_made(tmp_path):
    """The numbers in a pickle are not to be trusted with memory."""
    path = tmp_path / "full_c23.p"

    marker = frozenset([1])

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if thing is marker:
                return ("storage", torch.FloatStorage, "0", "cpu", 2**50, None)
            return None

    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(part, file, protocol=2)
        Pickler(file, protocol=2).dump({"weight": marker})
        pickle.dump(["0"], file, protocol=2)
        file.write(struct.pack("<q", 2**50))
    with pytest.raises(CheckpointError, match="cannot be in a file"):
        load_checkpoint(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small network in a folder with its card."""
    torch.manual_seed(2)
    network = build_network("test_resnet", weights=None).eval()
    nn.init.normal_(network.head.weight)
    card = make_card("test_resnet", "frame", 32, source="mine.pth", trained_on=["mine"])
    folder = tmp_path_factory.mktemp("card")
    PrefitDetector(card).with_network(network).save(folder)
    return folder


@pytest.mark.slow
def test_a_saved_checkpoint_is_the_same_detector(small, toy_videos):
    videos = toy_videos[0]
    detector = load_checkpoint(small, n_frames=3)
    again = PrefitDetector(detector.card_, n_frames=3).set_state(*detector.get_state())
    np.testing.assert_array_equal(detector.fake_score(videos), again.fake_score(videos))
    assert str(detector) == "mine_frame"
    assert detector.identity() == again.identity()
    assert np.ptp(detector.fake_score(videos)) > 0


@pytest.mark.slow
def test_a_prefit_detector_learns_nothing_and_is_its_own_clone(small, toy_videos):
    videos, y, _ = toy_videos
    detector = load_checkpoint(small, n_frames=3)
    before = detector.fake_score(videos)
    assert clone(detector) is detector
    assert detector.prefit
    assert detector.fits_on_reals
    words = np.where(y == 1, "FAKE", "REAL")
    detector.fit(videos, words)
    assert detector.classes_.tolist() == ["FAKE", "REAL"]
    np.testing.assert_array_equal(detector.fake_score(videos), before)
    np.testing.assert_array_equal(detector.predict_proba(videos)[:, 0], before)


def test_the_scores_of_the_card_are_replayed(small, tmp_path):
    detector = load_checkpoint(small)
    assert detector.drift() < 1e-5
    assert len(set(np.round(detector.card_["fixture_scores"], 6))) > 1
    with torch.no_grad():
        detector.module_.head.weight[1] += 0.5
    assert detector.drift() > detector.allowed_drift
    del detector.card["fixture_scores"]
    with pytest.raises(CheckpointError, match="no fixture scores"):
        detector.drift()
    damaged = tmp_path / "card.json"
    damaged.write_text("{")
    (tmp_path / "model.safetensors").write_bytes(
        (small / "model.safetensors").read_bytes()
    )
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_checkpoint(tmp_path)


@pytest.mark.slow
def test_a_checkpoint_is_a_start_for_training(small, toy_videos):
    videos, y, _ = toy_videos
    for train in ("full", "head", "last_stage"):
        detector = FrameDetector(
            "test_resnet",
            "frame",
            train=train,
            weights=small,
            image_size=32,
            n_frames=2,
            epochs=1,
            random_state=0,
        ).fit(videos, y)
        expected = load_checkpoint(small).module_.backbone.conv1[0].weight
        ours = detector.module_.backbone.conv1[0].weight
        assert torch.equal(ours, expected) == (train != "full")
        assert detector.card_["trained_on"] == ["mine"]
    assert not hasattr(FrameDetector("test_resnet", weights=None), "card_")


@pytest.mark.slow
def test_other_weights_are_another_detector_to_the_store(small, toy_videos, tmp_path):
    videos = toy_videos[0]
    first, turned = (
        load_checkpoint(small, classes=order, n_frames=3, store=tmp_path)
        for order in (("real", "fake"), ("fake", "real"))
    )
    assert first.identity() != turned.identity()
    np.testing.assert_allclose(
        first.fake_score(videos), 1 - turned.fake_score(videos), atol=1e-6
    )
    first.set_params(n_frames=2)
    assert len(first.score_frames(videos[:1])[0]) == 2


def test_whole_frames_are_prepared_as_the_reference_does(tmp_path):
    draw = np.random.default_rng(0)
    frame = draw.integers(0, 256, (90, 130, 3), np.uint8)
    card = make_card("xception", "frame", 99)
    detector = PrefitDetector(card, n_frames=1).with_network(nn.Identity())
    from base_models.store import Store
    from base_models.views import make_views

    recipe = detector.recipe_
    view = make_views(frame[None], [recipe], Store(tmp_path))[recipe.key]
    ours = detector._preprocess(torch.from_numpy(view.images))[0].numpy()
    # ToTensor and Normalize(0.5, 0.5) after PIL's bilinear Resize
    image = Image.fromarray(frame).resize((99, 99), Image.Resampling.BILINEAR)
    reference = (np.asarray(image, np.float32) / 255 - np.float32(0.5)) / np.float32(
        0.5
    )
    np.testing.assert_array_equal(ours, reference.transpose(2, 0, 1))


def test_the_command_line_of_faceforensics_is_followed(shared, tmp_path):
    from base_models import sample_frames
    from base_models.store import Store
    from base_models.views import make_views

    clip = shared / "data/clips/real/pyfeat_single_face_real.mp4"
    card = make_card("xception", "frame", 64, compat="ffpp_cli")
    detector = PrefitDetector(card, n_frames=2).with_network(nn.Identity())
    recipe = detector.recipe_
    view = make_views(clip, [recipe], Store(tmp_path))[recipe.key]
    finder = DlibFaceFinder(max_side=None, upsample=1)
    for frame, image in zip(sample_frames(clip, 2), view.images, strict=True):
        face = finder.find(frame)[0]
        np.testing.assert_array_equal(image, crop_face(frame, face, 1.3, 64))


def test_frames_without_a_face_are_skipped(tmp_path):
    card = make_card("xception", "face", 32, compat="ffpp_cli")
    detector = PrefitDetector(card, n_frames=2).with_network(nn.Identity())
    gray = np.full((3, 64, 64, 3), 90, np.uint8)
    write_video(tmp_path / "gray.mp4", gray)
    assert np.isnan(detector.fake_score([tmp_path / "gray.mp4"])).all()


MESONET = {  # P(real), published weights on the published test images
    "Meso4_DF": (0.041, 0.049, 0.990, 0.998),
    "MesoInception_DF": (0.026, 0.001, 1.000, 1.000),
    "Meso4_F2F": (0.831, 0.641, 0.881, 0.952),
    "MesoInception_F2F": (0.999, 1.000, 1.000, 0.991),
}


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("name", MESONET)
def test_published_mesonets_give_their_known_scores(shared, name):
    pytest.importorskip("h5py")
    folder = shared / "models/mesonet"
    detector = load_checkpoint(folder / f"{name}.h5", scope="crop")
    pictures = [f"df/df{n}.jpg" for n in ("00204", "01254")]
    pictures += [f"real/real{n}.jpg" for n in ("00240", "00772")]
    images = [
        # the known scores were taken with Keras' own resizing, to the nearest pixel
        Image.open(folder / "test_images" / picture).resize((256, 256), 0)
        for picture in pictures
    ]
    images = np.stack([np.asarray(image.convert("RGB")) for image in images])
    scores = [detector.fake_score([image[None]])[0] for image in images]
    np.testing.assert_allclose(1 - np.array(scores), MESONET[name], atol=6e-4)
    assert detector.card_["trained_on"]
    assert detector.card_["scope"] == "crop"


@pytest.mark.slow_after(1)
@pytest.mark.parametrize("backbone", ["mesonet4", "mesoinception4"])
def test_mesonets_train_at_other_sizes(toy_videos, backbone):
    videos, y, _ = toy_videos
    detector = FrameDetector(
        backbone,
        "frame",
        image_size=64,
        n_frames=2,
        n_threads=1,
        epochs=1,
        frames_per_epoch=1,
        learning_rate=1e-3,
        random_state=0,
    ).fit(videos, y)
    assert np.isfinite(detector.fake_score(videos)).all()
    assert detector.module_.backbone.dense.in_features == 16 * 4
    with pytest.raises(ValueError, match="multiple of 32"):
        build_network(backbone, image_size=100)


def test_cards_are_plain_json(small):
    card = json.loads((small / "card.json").read_text())
    assert card["transform"] == {
        "image_size": 32,
        "resize": "pillow bilinear, to a square",
        "mean": card["transform"]["mean"],
        "std": card["transform"]["std"],
    }
    assert len(card.pop("weights_file_sha256")) == 64
    assert len(card.pop("card_sha256")) == 64
    assert card == load_checkpoint(small).card_
