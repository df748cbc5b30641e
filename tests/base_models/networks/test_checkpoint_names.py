"""Checkpoints as the winners of challenges and popular code of the field save them."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from base_models import CheckpointError, load_checkpoint
from base_models.backbones import build_network
from base_models.checkpoints import guess_backbone, head_weights, read_state_dict
from base_models.networks.checkpoint_names import (
    check_one_network,
    timm_names,
    without_prefixes,
)

VIDEO = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
PREFIXES = [
    "", "module.", "encoder.", "net.", "backbone.", "model.", "module.encoder.",
    "module.model.net.", "model.backbone.", "net.encoder.", "_orig_mod.module.",
]  # fmt: skip


@pytest.fixture(scope="module")
def body():
    torch.manual_seed(0)
    return build_network("test_resnet", weights=None).backbone.eval()


def saved(path, body, prefix="", outside="", n_outputs=1, **beside):
    """Write a state dict with a head as `fc`; return the head."""
    torch.manual_seed(1)
    head = nn.Linear(body.num_features, n_outputs)
    state = {f"{prefix}{name}": value for name, value in body.state_dict().items()}
    state |= {f"{outside}fc.{k}": v for k, v in head.state_dict().items()}
    torch.save({"state_dict": state, **beside}, path)
    return head


def opened(path, **how):
    how = {"scope": "crop", "backbone": "test_resnet", "image_size": 32} | how
    return load_checkpoint(path, n_frames=2, engine="torch", device="cpu", **how)


def logits_of(detector, body, head):
    """By hand, of the images that a detector sees."""
    images = torch.from_numpy(VIDEO)
    with torch.inference_mode():
        return head(body(detector._preprocess(images))).numpy()


@pytest.mark.slow_after(10)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_taken_off(prefix, body, tmp_path):
    path = tmp_path / "mine.pth"
    outside = prefix.partition(".")[0] + "." if prefix.startswith("module") else ""
    head = saved(path, body, prefix, outside, n_outputs=2)
    detector = opened(path)
    logits = logits_of(detector, body, head).astype(float)
    expected = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(detector.fake_score([VIDEO]), expected.mean(), atol=1e-6)


@pytest.mark.slow
def test_a_single_logit_is_the_log_odds_of_the_second_class(body, tmp_path):
    path = tmp_path / "mine.pth"
    head = saved(path, body, "module.encoder.", "module.")
    detector = opened(path)
    expected = (1 / (1 + np.exp(-logits_of(detector, body, head)[:, 0]))).mean()
    np.testing.assert_allclose(detector.fake_score([VIDEO]), expected, atol=1e-6)
    turned = opened(path, classes=("fake", "real"))
    np.testing.assert_allclose(turned.fake_score([VIDEO]), 1 - expected, atol=1e-6)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_training_scripts_leave_beside_the_weights_is_ignored(
    body, tmp_path, legacy
):
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    beside = {
        "args": argparse.Namespace(
            lr=0.1, out=Path("runs"), device=torch.device("cpu"), seed=[1, {2}]
        ),
        "optimizer": optimizer.state_dict(),
        "whole_optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(
            optimizer, [2, 2]
        ).state_dict(),
        "bce_best": np.float64(0.25),
        "losses": np.ones(3),
        "epoch": 36,
    }
    path, file = tmp_path / "mine.pth", tmp_path / "plain.pth"
    saved(file, body)
    plain = torch.load(file)["state_dict"]
    torch.save(
        {"state_dict": plain, **beside},
        path,
        _use_new_zipfile_serialization=not legacy,
    )
    state = read_state_dict(path)
    assert state.keys() == plain.keys()
    assert all(torch.equal(state[name], plain[name]) for name in plain)


class Harm:
    def __reduce__(self):
        return os.system, ("touch harm",)


def test_harm_beside_the_weights_is_refused_by_name(body, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("mine.pth", body, args=argparse.Namespace(lr=Harm()))
    with pytest.raises(CheckpointError, match=r"wants (posix|nt)\.system run"):
        read_state_dict("mine.pth")
    assert not Path("harm").exists()


def test_a_head_of_other_classes_is_refused_with_its_shape(body, tmp_path):
    path = tmp_path / "mine.pth"
    saved(path, body, n_outputs=3)
    with pytest.raises(CheckpointError, match=r"'fc' has shape \(3, 96\); \(2, 96\)"):
        opened(path)


def their_names(state):
    """Names of efficientnet_pytorch, which come in the order of timm's."""
    blocks = sorted(
        {tuple(map(int, k.split(".")[1:3])) for k in state if "blocks" in k}
    )
    names = ["_conv_stem.weight", *norm("_bn0")]
    for number, place in enumerate(blocks):
        at = f"_blocks.{number}."
        if place[0] > 0:
            names += [f"{at}_expand_conv.weight", *norm(f"{at}_bn0")]
        names += [f"{at}_depthwise_conv.weight", *norm(f"{at}_bn1")]
        for part in ("_se_reduce", "_se_expand"):
            names += [f"{at}{part}.weight", f"{at}{part}.bias"]
        names += [f"{at}_project_conv.weight", *norm(f"{at}_bn2")]
    return [*names, "_conv_head.weight", *norm("_bn1"), "_fc.weight", "_fc.bias"]


def norm(name):
    kinds = "weight bias running_mean running_var num_batches_tracked".split()  # noqa: SIM905
    return [f"{name}.{kind}" for kind in kinds]


def state_of(variant):
    with torch.device("meta"):
        return timm.create_model(
            f"tf_efficientnet_b{variant}", num_classes=2
        ).state_dict()


@pytest.mark.slow_after(4)
@pytest.mark.parametrize("variant", range(8))
def test_efficientnet_pytorch_is_known_by_its_names_and_size(variant):
    expected = state_of(variant)
    theirs = dict(zip(their_names(expected), expected.values(), strict=True))
    assert guess_backbone(theirs, "mine.pth") == f"efficientnet_b{variant}"
    found = timm_names(theirs)
    assert found.keys() == expected.keys()
    assert all(found[name] is value for name, value in expected.items())


@pytest.mark.slow
def test_weights_of_efficientnet_pytorch_score_as_the_network_does(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_b0", num_classes=1).eval()
    state = network.state_dict()
    theirs = dict(zip(their_names(state), state.values(), strict=True))
    path = tmp_path / "mine.pth"
    torch.save({f"module.net.{name}": value for name, value in theirs.items()}, path)
    detector = opened(path, backbone=None, image_size=64)
    assert detector.card_["backbone"] == "efficientnet_b0"
    images = torch.from_numpy(np.repeat(np.repeat(VIDEO, 2, 1), 2, 2))
    with torch.inference_mode():
        logits = network(detector._preprocess(images))
        ours = detector.module_(detector._preprocess(images))
    torch.testing.assert_close(ours[:, 1:] - ours[:, :1], logits)


def test_an_efficientnet_with_more_parts_or_of_another_size_is_refused():
    state = state_of(0)
    theirs = dict(zip(their_names(state), state.values(), strict=True))
    with pytest.raises(
        CheckpointError, match=r"'att\.weight' beside.*CallableDetector"
    ):
        timm_names({**theirs, "att.weight": torch.ones(1)}, "attention.pth")
    less = {k: v for k, v in theirs.items() if "_blocks.15." not in k}
    with pytest.raises(CheckpointError, match="15 blocks and 1280 features"):
        timm_names(less, "mine.pth")


@pytest.mark.slow
def test_padding_that_the_weights_do_not_tell_is_asked_for():
    state = {f"encoder.{name}": value for name, value in state_of(7).items()}
    state |= {"fc.weight": torch.ones(1, 2560), "fc.bias": torch.zeros(1)}
    name = "final_111_DeepFakeClassifier_tf_efficientnet_b7_ns_0_36"
    assert guess_backbone(state, name) == "tf_efficientnet_b7"
    with pytest.raises(CheckpointError, match=r"EfficientNet-B7.*tf_efficientnet_b7'"):
        guess_backbone(state, "mine.pth")
    weight, bias = head_weights(state, 2560, name)
    assert weight.tolist() == [[0.0] * 2560, [1.0] * 2560]
    assert bias.tolist() == [0.0, 0.0]


def test_a_part_of_the_network_itself_is_no_prefix():
    state = dict.fromkeys(["encoder.a", "decoder.a", "decoder.b"], 0)
    assert without_prefixes(state) == [state]


BESIDE = {
    "prefix": lambda one, other: {**one, **_under("model.", other)},
    "module": lambda one, other: {**_under("module.", one), **other},
    "ema": lambda one, other: _under("model.", {**one, **_under("ema.", other)}),
    "student": lambda one, other: _under("student.", one) | _under("teacher.", other),
    "keys": lambda one, other: {"state_dict": one, "model": other},
    "head": lambda one, other: one | _under("classifier.", _of("fc.", other)),
}  # fmt: skip


def _under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def _of(prefix, state):
    return {name.removeprefix(prefix): value for name, value in state.items()
            if name.startswith(prefix)}  # fmt: skip


def _whole(seed):
    torch.manual_seed(seed)
    network = build_network("test_resnet", weights=None)
    head = nn.Linear(network.backbone.num_features, 2)
    return network.backbone.state_dict() | _under("fc.", head.state_dict())


@pytest.mark.parametrize("how", BESIDE)
def test_of_two_networks_in_a_file_none_is_taken(how, tmp_path):
    path = tmp_path / "two.pth"
    torch.save(BESIDE[how](_whole(0), _whole(1)), path)
    with pytest.raises(
        CheckpointError, match=r"two\.pth.* (holds several|does not fit)"
    ):
        opened(path)


def test_a_moving_average_beside_the_weights_is_named(tmp_path):
    path = tmp_path / "both.pth"
    torch.save({"state_dict": _whole(0), "ema_state_dict": _whole(1)}, path)
    with pytest.warns(UserWarning, match="'state_dict' is taken and not 'ema_state_d"):
        both = opened(path)
    torch.save(_whole(0), path)
    assert both.fake_score([VIDEO]) == opened(path).fake_score([VIDEO])


def test_a_head_that_is_there_under_two_names_is_one(tmp_path):
    state = _whole(0)
    both = {**state, "last_linear.weight": state["fc.weight"].clone(),
            "last_linear.bias": state["fc.bias"].clone()}  # fmt: skip
    torch.save(state, tmp_path / "one.pth")
    torch.save(both, tmp_path / "tied.pth")
    one, tied = (opened(tmp_path / f"{name}.pth") for name in ("one", "tied"))
    assert one.fake_score([VIDEO]) == tied.fake_score([VIDEO])


def test_a_classifier_of_other_classes_beside_the_right_one_is_no_choice(tmp_path):
    state = _whole(0)
    torch.save(state, tmp_path / "one.pth")
    wide = torch.nn.Linear(state["fc.weight"].shape[1], 1000).state_dict()
    torch.save({**state, **_under("last_linear.", wide)}, tmp_path / "both.pth")
    one, both = (opened(tmp_path / f"{name}.pth") for name in ("one", "both"))
    assert one.fake_score([VIDEO]) == both.fake_score([VIDEO])


def test_names_of_any_depth_are_looked_at_to_some():
    state = {"module." * 1_000_000 + "weight": 0}
    assert len(without_prefixes(state)) == 11
    own = {f"conv{number}.weight": 0 for number in range(6)}
    check_one_network({**own, "a." * 1_000_000 + "conv0.weight": 0}, "a.pth")


@pytest.mark.parametrize("value", [1e300, -1.0])
def test_weights_that_give_no_scores_are_not_converted(value, tmp_path):
    """Too large for the network's own type; variances below 0."""
    state = _whole(0)
    name = next(name for name in state if name.endswith("running_var"))
    kind = torch.float64 if value > 1 else torch.float32
    state[name] = torch.full_like(state[name], value, dtype=kind)
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=r"bad\.pth.*(infinity|NaN)"):
        opened(tmp_path / "bad.pth").save(tmp_path / "out")
    assert not (tmp_path / "out").exists()
