"""ONNX networks with weights and activations of 8 bits."""

import contextlib
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from base_models.inference.onnxruntime import import_onnxruntime

_BATCH = 4


def quantize(model: Any, images: Iterable[np.ndarray] | None = None) -> Any:
    """Return a network in 8 bits.

    Parameters
    ----------
    model : onnx.ModelProto
        From `base_models.inference.onnx_graph.traced_graph`.
    images : ndarray of shape (n_images, H, W, 3) or None, default=None
        Uint8, to take the ranges of activations from (static); None measures them anew
        at each run (dynamic), which serves matrix products alone.

    Returns
    -------
    onnx.ModelProto
        The first convolution and the last layer stay in full precision: what they cost
        is little, and scores drift half as far (measured on MesoNets of the field).
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        names = ("whole.onnx", "plain.onnx", "small.onnx")
        whole, plain, small = (Path(folder, name) for name in names)
        onnx.save(model, whole)  # given itself, it would lose its weights
        # batch normalisation becomes part of the convolutions
        quant_pre_process(whole, plain, skip_symbolic_shape=True)
        exact = _first_and_last(onnx.load(plain))
        if images is None:
            quantize_dynamic(
                plain, small, nodes_to_exclude=exact, per_channel=True,
                op_types_to_quantize=["MatMul", "Gemm"],
            )  # fmt: skip
        else:
            quantize_static(
                plain, small, _Reader(images), nodes_to_exclude=exact, per_channel=True,
            )  # fmt: skip
        return onnx.load(small)


class _Reader:
    """Gives calibration images in batches, once."""

    def __init__(self, images):
        self.parts = iter(
            [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        )

    def get_next(self):
        part = next(self.parts, None)
        return None if part is None else {"images": part}


def _first_and_last(model):
    """The names of all up to the first convolution, and from the last product on."""
    nodes = list(model.graph.node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    products = [i for i, node in enumerate(nodes) if node.op_type in ("Gemm", "MatMul")]
    first = convolutions[0] + 1 if convolutions else 0
    last = products[-1] if products else len(nodes)
    return [node.name for node in (*nodes[:first], *nodes[last:])]


@contextlib.contextmanager
def _quiet():
    """Keep the quantiser's advice off the log."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
