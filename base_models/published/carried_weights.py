"""Weights of foundation models that lie in other packages, under timm's names."""

from __future__ import annotations

import re
from os import PathLike

import numpy as np
import torch

from base_models.errors import CheckpointError
from base_models.networks.weights import full_names, timm_name

# Hugging Face's names of DINOv2, and timm's.
_OUTER = {
    "embeddings.cls_token": "cls_token",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
_INNER = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_JOINED = ("query", "key", "value")  # one layer of timm's, in this order
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.*)")


def dinov2_of_onnx(path: str | PathLike) -> dict[str, torch.Tensor]:
    """Read the body of a DINOv2 out of an ONNX file that was exported with more.

    Exported, linear weights are constants of products and have lost their names: the
    bias that is added to a product says which it is.

    Parameters
    ----------
    path : str or PathLike
        An ONNX file with Hugging Face's names, the body under ``backbone.``.

    Returns
    -------
    dict of str to Tensor
        Under timm's names.

    Raises
    ------
    CheckpointError
        If it holds another network.
    ImportError
        If onnx is not installed.
    """
    try:
        import onnx
        from onnx.numpy_helper import to_array
    except ImportError as error:
        raise ImportError(
            "reading an ONNX file needs onnx: pip install 'deepfake-ensemble[onnx]'"
        ) from error
    graph = onnx.load(path).graph
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    arrays |= _linear_weights(graph, arrays)
    body = {
        name.removeprefix("backbone."): value
        for name, value in arrays.items()
        if name.startswith("backbone.")
    }
    state, parts = {}, {}
    for name, value in body.items():
        joined = re.fullmatch(
            r"encoder\.layer\.(\d+)\.attention\.attention\.(\w+)\.(weight|bias)", name
        )
        if joined:
            number, part, kind = joined.groups()
            parts.setdefault(f"blocks.{number}.attn.qkv.{kind}", {})[part] = value
        else:
            state[_timms(name)] = value
    try:
        for name, three in parts.items():
            state[name] = np.concatenate([three[part] for part in _JOINED])
        state["pos_embed"] = _positions(arrays, state["cls_token"].shape[-1])
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} holds no DINOv2 as Hugging Face writes it: {error} is missing"
        ) from error
    return {name: torch.from_numpy(value.copy()) for name, value in state.items()}


def carried_state(path: str | PathLike, backbone: str) -> dict[str, torch.Tensor]:
    """Return the weights of a backbone out of a file that carries them, all of them.

    Parameters
    ----------
    path : str or PathLike
    backbone : str
        As `FrameDetector` calls it.

    Returns
    -------
    dict of str to Tensor
        Every weight of timm's network, and nothing else.

    Raises
    ------
    CheckpointError
        If one is missing, left over or of another shape.
    """
    state, name = dinov2_of_onnx(path), timm_name(backbone)
    wanted = full_names(name, num_classes=0)
    odd = sorted(state.keys() ^ wanted.keys()) + [
        key
        for key in state.keys() & wanted.keys()
        if state[key].shape != wanted[key].shape
    ]
    if odd:
        raise CheckpointError(
            f"{path} does not hold the weights of {name}: {odd[0]!r} is missing, left "
            "over or of another shape"
        )
    return state


def _linear_weights(graph, arrays):
    """The constants of products, transposed, under the names of the biases."""
    products = {
        node.output[0]: node.input[1]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in arrays
    }
    found = {}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, product in (node.input, reversed(node.input)):
            if product in products and bias.endswith(".bias"):
                name = bias.removesuffix("bias") + "weight"
                found[name] = arrays[products[product]].T
    return found


def _positions(arrays, width):
    """The embedding of position, which was cut into the class's and the patches'."""
    cut = [
        value
        for name, value in arrays.items()
        if name.startswith("onnx::") and value.ndim == 3 and value.shape[-1] == width
    ]
    (first, patches) = sorted(cut, key=lambda value: value.shape[1])
    return np.concatenate([first, patches], axis=1)


def _timms(name):
    start, whole, names = "", name, _OUTER
    inner = _LAYER.fullmatch(name)
    if inner:
        start, whole, names = f"blocks.{inner[1]}.", inner[2], _INNER
    for theirs, ours in names.items():
        if whole == theirs or whole.startswith(f"{theirs}."):
            return start + ours + whole.removeprefix(theirs)
    return name
