"""Torch networks as ONNX graphs, whose weights can be taken out and put in."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_OPSET = 17


class Prepared(nn.Module):
    """A network behind its preprocessing: uint8 RGB images (B, H, W, 3) in.

    Parameters
    ----------
    network : torch.nn.Module
    prepare : callable or None, default=None
        Uint8 images to what the network takes; None where they are that already.

    Examples
    --------
    >>> import torch
    >>> from base_models.backbones import Preprocessing
    >>> from base_models.inference.onnx_graph import Prepared
    >>> black = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    >>> Prepared(torch.nn.Flatten(), Preprocessing(2).normalise)(black)[0, :3]
    tensor([-1., -1., -1.])
    """

    def __init__(
        self, network: torch.nn.Module, prepare: Callable[..., Any] | None = None
    ) -> None:
        super().__init__()
        self.network, self.prepare = network, prepare

    def forward(self, images: Any) -> Any:
        if self.prepare is not None:
            images = self.prepare(images)
        return self.network(images)


def traced_graph(
    network: Prepared,
    example: torch.Tensor,
    inputs: str = "images",
    outputs: str = "output",
) -> Any:
    """Return a network as an ONNX model, for any number of images.

    Parameters
    ----------
    network : Prepared
        On the CPU; the network in it in eval mode.
    example : Tensor of shape (2, ...)
        What it is traced with.
    inputs, outputs : str
        Names of its input and output.

    Returns
    -------
    onnx.ModelProto
        Its initializers are called as in the state dict of what was given.

    Examples
    --------
    >>> import torch
    >>> from base_models.inference.onnx_graph import Prepared, traced_graph
    >>> graph = traced_graph(Prepared(torch.nn.Linear(3, 2)), torch.zeros(2, 3)).graph
    >>> sorted(weights.name for weights in graph.initializer)
    ['network.bias', 'network.weight']
    """
    import onnx

    any_number = {0: "n_images"}
    # The exporter that traces: the newer one needs onnxscript and takes minutes. Before
    # torch 2.5 there was no other.
    known = inspect.signature(torch.onnx.export).parameters
    choice = {"dynamo": False} if "dynamo" in known else {}
    buffer = io.BytesIO()
    # Equal weights would become one, were the whole not in training mode, and batch
    # normalisation part of the convolutions: engines do that when they load it.
    was, network.training = network.training, True
    try:
        with (
            warnings.catch_warnings(),
            torch.no_grad(),
            # the exporter prints the graph of what it cannot export
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")  # of sizes that are constants, as they are
            torch.onnx.export(
                network,
                (example,),
                buffer,
                input_names=[inputs],
                output_names=[outputs],
                dynamic_axes={inputs: any_number, outputs: any_number},
                opset_version=_OPSET,
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=False,
                **choice,
            )
    finally:
        network.training = was
    return onnx.load_from_string(buffer.getvalue())


def without_weights(model: Any, network: Prepared) -> Any:
    """Take out what the state dict of a network holds; return the model.

    Parameters
    ----------
    model : onnx.ModelProto
        From `traced_graph`; changed.
    network : Prepared

    Returns
    -------
    onnx.ModelProto
    """
    names = set(network.state_dict())
    for tensor in model.graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")
    return model


def with_weights(model: Any, network: Prepared) -> Any:
    """Put the weights of a network into a graph that was traced from its like.

    Parameters
    ----------
    model : onnx.ModelProto
        From `without_weights`; changed.
    network : Prepared

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ValueError
        If the graph is of another network.

    Examples
    --------
    >>> import torch
    >>> from base_models.inference.onnx_graph import Prepared, traced_graph
    >>> from base_models.inference.onnx_graph import with_weights, without_weights
    >>> one, other = (Prepared(torch.nn.Linear(3, 2)) for _ in range(2))
    >>> example = torch.zeros(2, 3)
    >>> model = without_weights(traced_graph(one, example), one)
    >>> with_weights(model, other) == traced_graph(other, example)
    True
    """
    state = network.state_dict()
    for tensor in model.graph.initializer:
        value = state.get(tensor.name)
        if value is None:  # a constant of the graph
            continue
        if list(value.shape) != list(tensor.dims):
            raise ValueError(
                f"the graph is of another network: {tensor.name} has shape "
                f"{list(tensor.dims)} in it; got {list(value.shape)}"
            )
        value = value.detach().cpu().contiguous().reshape(-1)
        tensor.raw_data = value.view(torch.uint8).numpy().tobytes()
    return model
