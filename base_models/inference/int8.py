"""Networks in 8 bits: weights by channel, activations within ranges seen on images."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from base_models.inference.kept_graphs import onnx_bytes
from base_models.inference.onnx_graph import Prepared
from base_models.inference.onnxruntime import OnnxRuntime, import_onnxruntime
from base_models.networks.forward import place
from base_models.networks.preprocessing import Preprocessing
from base_models.networks.weights import state_digest
from base_models.runtime.caches import Cache
from base_models.runtime.devices import fixed_threads, resolve_threads
from base_models.store.store import Store

# {"network": digest of its weights, "tensors": {name in the graph: [lowest, highest]}}
Ranges = dict[str, Any]

_BATCH = 4
# What is quicker in 8 bits. A sigmoid or a pooling over all pixels is not, and the sums
# of sizes that padding takes must not be rounded.
_ON_MAPS = ("Relu", "Clip", "Add", "Mul", "MaxPool")
_THROUGH = (*_ON_MAPS, "Sigmoid", "AveragePool", "Pad")
_PREPARING = ("Cast", "Transpose", "Div", "Sub", "Mul", "Add", "Pad")
_SHORTEST = 64  # products in a sum, from which a convolution is quicker in 8 bits
_found: Cache = Cache(f"{__name__}._found", maxsize=64)  # of weights and images


def find_ranges(
    network: torch.nn.Module,
    preprocess: Preprocessing | Callable[..., Any],
    images: np.ndarray,
    n_threads: int | None = None,
    store: Store | str | Path | None = None,
) -> Ranges:
    """Find within which ranges a network's activations lie on some images.

    Parameters
    ----------
    network : torch.nn.Module
        As for `base_models.inference.engines.run_frozen`; it is moved to the CPU.
    preprocess : Preprocessing or callable
        As there.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8, like those to come: what lies outside the ranges will be cut off.
    n_threads : int or None, default=None
        CPU threads; None is all cores up to 4.
    store : Store, str, Path or None, default=None
        Where graphs are kept.

    Returns
    -------
    dict
        Ready for JSON, some 10 kB: ``network``, the digest of its weights, and
        ``tensors``, the lowest and highest value of each by its name in the graph;
        none, where nothing in it would be quicker in 8 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.backbones import Preprocessing, build_network
    >>> from base_models.inference.int8 import find_ranges
    >>> network = build_network("test_resnet", weights=None)
    >>> images = np.zeros((2, 64, 64, 3), np.uint8)
    >>> sorted(find_ranges(network, Preprocessing(64), images))
    ['network', 'tensors']
    """
    images = np.ascontiguousarray(images)
    with fixed_threads(resolve_threads(n_threads)):
        place(network, torch.device("cpu"))
        digest = state_digest(network)
        content = hashlib.sha256(images).hexdigest()
        known = None  # no two functions can be told to be alike
        if isinstance(preprocess, Preprocessing):
            kind = type(network).__name__  # equal weights may be run in other ways
            known = (digest, kind, preprocess, content, images.shape)
        ranges = _found.get(known)
        if ranges is None:
            tensors = _measured(network, preprocess, images, store)
            ranges = {"network": digest, "tensors": tensors}
        if known is not None:
            _found[known] = ranges
    return {**ranges, "tensors": dict(ranges["tensors"])}


def checked_ranges(ranges: Any) -> Ranges:
    """Refuse ranges from a file that are none; return them.

    Examples
    --------
    >>> from base_models.inference.int8 import checked_ranges
    >>> checked_ranges({"network": "9f2c", "tensors": {"input": [0.0, 1.0]}})["network"]
    '9f2c'
    >>> checked_ranges({"network": "9f2c", "tensors": {"input": [1.0, 0.0]}})
    Traceback (most recent call last):
    ValueError: its ranges of 8 bits are damaged
    """
    tensors = ranges.get("tensors") if isinstance(ranges, dict) else None
    if not (
        isinstance(tensors, dict)
        and isinstance(ranges.get("network"), str)
        and all(isinstance(name, str) and _is_range(r) for name, r in tensors.items())
    ):
        raise ValueError("its ranges of 8 bits are damaged")
    return {"network": ranges["network"], "tensors": dict(tensors)}


def ranges_key(ranges: Ranges) -> str:
    """Return what stands for ranges in the keys of what was computed with them."""
    text = json.dumps(ranges, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def in_int8(model: bytes, ranges: Ranges, n_threads: int) -> OnnxRuntime:
    """Return what runs a network in 8 bits.

    Parameters
    ----------
    model : bytes
        Of ONNX, in full precision.
    ranges : dict
        From `find_ranges`.
    n_threads : int

    Returns
    -------
    OnnxRuntime

    Raises
    ------
    ValueError
        If the ranges are those of another graph.
    """
    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain = _plain(model, Path(folder))
        nodes = _nodes_in_int8(plain)
        known = ranges["tensors"]
        if set(_tensors(nodes, plain)) != set(known):
            raise ValueError(
                "its ranges are of another graph, such as that of another version of "
                "torch; find them again"
            )
        lying = {
            name: tuple(np.array(value, np.float32) for value in known[name])
            for name in known
        }
        quantizer = QDQQuantizer(
            plain,
            True,  # weights by channel
            False,  # of all 8 bits
            QuantType.QInt8,
            QuantType.QUInt8,  # signed ones are several times slower on x86
            TensorsData(CalibrationMethod.MinMax, lying),
            [node.name for node in nodes],
            [],
            sorted({node.op_type for node in nodes}),
            {},
        )
        quantizer.quantize_model()
        return OnnxRuntime(quantizer.model.model.SerializeToString(), n_threads)


def _measured(network, preprocess, images, store):
    """Return {tensor: [lowest, highest]} of what is to be in 8 bits."""
    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    inside = isinstance(preprocess, Preprocessing)
    whole = Prepared(network, preprocess.normalise if inside else None)
    parts = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
    if not inside:
        with torch.inference_mode():
            parts = [preprocess(torch.tensor(p)).contiguous().numpy() for p in parts]
    example = np.resize(parts[0], (2, *parts[0].shape[1:]))
    model = onnx_bytes(whole, torch.tensor(example), store)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain = _plain(model, Path(folder))
        nodes = _nodes_in_int8(plain)
        if not nodes:
            return {}
        calibrator = create_calibrator(
            Path(folder, "plain.onnx"),
            sorted({node.op_type for node in nodes}),
            str(Path(folder, "calibrated.onnx")),
            CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Reader(plain.graph.input[0].name, parts))
        data = calibrator.compute_data()
        del calibrator  # which holds a file open
    found = {}
    for name in _tensors(nodes, plain):
        lowest, highest = data[name].range_value
        found[name] = [float(np.min(lowest)), float(np.max(highest))]
    if not all(map(_is_range, found.values())):
        raise ValueError(
            f"{type(network).__name__} puts out values on these images that are not "
            "finite: it has no ranges for 8 bits"
        )
    return found


class _Reader:
    """Gives calibration images in batches, once."""

    def __init__(self, name, parts):
        self.name, self.parts = name, iter(parts)

    def get_next(self):
        part = next(self.parts, None)
        return None if part is None else {self.name: part}


def _plain(model, folder):
    """The graph with batch normalisation as part of the convolutions."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (folder / "whole.onnx").write_bytes(model)
    quant_pre_process(
        folder / "whole.onnx", folder / "plain.onnx", skip_symbolic_shape=True
    )
    return onnx.load(folder / "plain.onnx")


def _nodes_in_int8(model):
    """The nodes that look at feature maps, and products with weights."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    images = {model.graph.input[0].name}
    maps, nodes = set(), []
    for node in model.graph.node:
        kind, first = node.op_type, next(iter(node.input), "")
        if kind == "Conv" and first in images | maps and node.input[1] in constants:
            maps.update(node.output)
            if _gains(node, constants[node.input[1]]):
                nodes.append(node)
        elif kind in _THROUGH and maps & set(node.input):
            maps.update(node.output)
            if kind in _ON_MAPS:
                nodes.append(node)
        elif kind in _PREPARING and first in images:
            images.update(node.output)
        elif kind == "MatMul" and node.input[1] in constants:
            nodes.append(node)
    return nodes


def _gains(node, weights):
    """Whether a convolution sums over much, or over one channel each."""
    groups = {a.name: a.i for a in node.attribute}.get("group", 1)
    return groups > 1 or math.prod(weights.dims[1:]) >= _SHORTEST


def _tensors(nodes, model):
    """The names of what these nodes take and give, in their order, each once."""
    constants = {tensor.name for tensor in model.graph.initializer}
    names = (name for node in nodes for name in (*node.input, *node.output))
    return [name for name in dict.fromkeys(names) if name and name not in constants]


def _is_range(pair):
    """Whether it is a pair of finite numbers, the lowest first."""
    if not (isinstance(pair, (list, tuple)) and len(pair) == 2):
        return False
    numbers = all(isinstance(x, float) and math.isfinite(x) for x in pair)
    return numbers and pair[0] <= pair[1]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice to whoever writes it off the log."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
