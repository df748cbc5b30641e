"""Frozen networks on the fastest engine that is installed, equal to torch."""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inference.cuda import run_on_gpu
from base_models.inference.int8 import Ranges, in_int8, ranges_key
from base_models.inference.kept_graphs import onnx_bytes
from base_models.inference.onnx_graph import Prepared
from base_models.inference.onnxruntime import OnnxRuntime
from base_models.inference.openvino import OpenVino
from base_models.inference.processor import has_bfloat16, has_int8
from base_models.networks.forward import forward, place
from base_models.networks.preprocessing import Preprocessing
from base_models.networks.weights import state_digest
from base_models.runtime.caches import cached, register
from base_models.runtime.devices import fixed_threads, resolve_device, resolve_threads
from base_models.runtime.warn_once import told_to_sender
from base_models.store.store import Store
from base_models.store.versions import library_version

ENGINES = ("auto", "torch", "onnxruntime", "openvino", "bfloat16", "int8")
TOLERANCE = 1e-4  # of the largest value that torch puts out, on a probe
_EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
_N_TRACED, _N_PROBED = 2, 3  # differ, so that a size that tracing froze is noticed
_BATCH = 8  # as fast as more (examples/benchmarks/engines.py), and a quarter of 32's
# Multiplications for an image. Below the first "auto" stays with torch: what compiling
# takes, such a network does not give back in hundreds of videos. From the second on
# OpenVINO's speed is worth that it takes longer to compile than ONNX Runtime.
_SMALL, _LARGE = 10e6, 1e9
_MIXED = ("auto", "bfloat16", "int8")  # what mixed precision stands for on a GPU


Engine = Literal["auto", "torch", "onnxruntime", "openvino", "bfloat16", "int8"]


def check_engine(engine: Engine) -> None:
    """Refuse an engine that does not exist or is not installed.

    Parameters
    ----------
    engine : {"auto", "torch", "onnxruntime", "openvino", "bfloat16", "int8"}

    Raises
    ------
    ValueError
        If there is no such engine.
    ImportError
        If it is not installed.

    Examples
    --------
    >>> from base_models.inference.engines import check_engine
    >>> check_engine("torch")
    """
    if engine not in ENGINES:
        raise ValueError(
            f"engine must be {', '.join(map(repr, ENGINES[:-1]))} or "
            f"{ENGINES[-1]!r}; got {engine!r}"
        )
    if engine in _EXTRAS and not _installed(engine):
        raise ImportError(
            f"engine={engine!r} needs {engine} and onnx, which are not both installed: "
            f"pip install 'deepfake-ensemble[{_EXTRAS[engine]}]', or take engine='auto'"
        )


def engine_key(
    engine: str,
    device: str | torch.device | None = None,
    ranges: Ranges | None = None,
) -> dict[Any, Any]:
    """Return what of the engine decides the bits of what a network puts out.

    Engines round differently, by less than 1e-4. So that one seed gives the same bytes
    whatever the store holds, this is part of the keys under which features and scores
    are kept. It is known without compiling anything.

    Parameters
    ----------
    engine : str
        See `check_engine`.
    device : str, torch.device or None, default=None
        Where the network computes.
    ranges : dict or None, default=None
        For "int8": see `run_frozen`.

    Returns
    -------
    dict
        Empty for torch in full precision.

    Examples
    --------
    >>> from base_models.inference.engines import engine_key
    >>> engine_key("torch")
    {}
    """
    check_engine(engine)
    kind = resolve_device(device).type
    if kind == "cuda" and engine in _MIXED:
        return {"engine": "mixed precision"}
    if kind == "cpu" and engine == "int8":
        if ranges and ranges["tensors"] and int8_is_here():
            version = _version("onnxruntime")
            return {"engine": ["int8", version, ranges_key(ranges)]}
        engine = "auto"
    if kind == "cpu" and engine == "bfloat16":
        if has_bfloat16():
            return {"engine": ["bfloat16", library_version("torch")]}
        engine = "auto"
    if kind != "cpu" or engine == "torch":
        return {}
    if engine != "auto":
        return {"engine": [engine, _version(engine)]}
    installed = [[name, _version(name)] for name in _EXTRAS if _installed(name)]
    return {"engine": ["auto", *installed]} if installed else {}


def run_frozen(
    network: torch.nn.Module,
    preprocess: Preprocessing | Callable[..., Any],
    images: np.ndarray,
    engine: Engine = "auto",
    n_threads: int | None = None,
    device: str | torch.device | None = None,
    store: Store | str | Path | None = None,
    ranges: Ranges | None = None,
) -> np.ndarray:
    """Run a network that does not learn over the images of one video.

    On a CPU the network is compiled for the engine when it is first used, for images of
    this size and any number of them; what was compiled is kept while the network lives,
    shared with others of equal weights, and made anew when its weights change. Its
    answers are compared with torch's on a probe: where they differ by more than 1e-4 of
    the largest, or where the engine cannot run it, torch runs it, and a warning says
    so. On a GPU torch runs, whatever the engine.

    Parameters
    ----------
    network : torch.nn.Module
        Images (B, 3, H, W) to an array of B rows.
    preprocess : Preprocessing or callable
        uint8 RGB (B, H, W, 3) to what the network takes. A `Preprocessing` becomes
        part of what is compiled.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8.
    engine : str, default="auto"
        One of `ENGINES`. "auto" takes what is installed: OpenVINO for large networks,
        ONNX Runtime, which compiles faster, for others, and torch for those so small
        that compiling does not pay. The choice depends on the network alone, never on
        how much there is to run: a video's score must not depend on what else is
        scored. On a GPU it takes mixed precision. "bfloat16" is torch with weights and
        activations of 16 bits, "int8" ONNX Runtime with those of 8; where the processor
        does not reckon with them, both are "auto". They can be quicker, and are the
        only ones whose answers differ from torch's by more than 1e-4, so that "auto"
        never takes them: how far is for the caller to measure
        (`ensemble.lean_engines`).
    n_threads : int or None, default=None
        CPU threads; None is all cores up to 4.
    device : str, torch.device or None, default=None
        None is a GPU where there is one.
    store : Store, str, Path or None, default=None
        Where the graphs of networks are kept, without weights: a network of a kind that
        was seen before is not traced again.
    ranges : dict or None, default=None
        Of the network's activations, from `base_models.inference.int8.find_ranges`.
        Without them "int8" is "auto", with a warning.

    Returns
    -------
    ndarray of shape (n_images, ...)
        float32, what the network put out.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.backbones import Preprocessing, build_network
    >>> from base_models.inference.engines import run_frozen
    >>> network = build_network("test_resnet", weights=None)
    >>> images = np.zeros((3, 32, 32, 3), np.uint8)
    >>> run_frozen(network, Preprocessing(32), images, engine="torch").shape
    (3, 2)
    """
    check_engine(engine)
    device = resolve_device(device)
    preprocessing = preprocess if isinstance(preprocess, Preprocessing) else None
    prepare = preprocess if preprocessing is None else preprocessing.normalise
    with fixed_threads(resolve_threads(n_threads)):
        plan = _Plan(
            engine, preprocessing, images.shape[1:], resolve_threads(n_threads)
        )
        return _run(network, prepare, plan, images, device, store, ranges)


class _Plan(NamedTuple):
    """What a network is compiled for."""

    engine: Engine
    preprocessing: Preprocessing | None
    shape: tuple[int, ...]
    n_threads: int
    ranges: str = ""  # what stands for them


def _run(network, prepare, plan, images, device, store, ranges):
    place(network, device)
    if device.type == "cuda":
        mixed = plan.engine in _MIXED
        return run_on_gpu(network, prepare, images, device, mixed=mixed)
    compiled = None
    if plan.engine == "bfloat16":
        answers = _in_bfloat16(network, prepare, images, device)
        if answers is not None:
            return answers
        plan = plan._replace(engine="auto")
    compiles = device.type == "cpu" and len(images) > 0
    if plan.engine == "int8":
        if compiles and _can_run_int8(network, ranges):
            fewer = plan._replace(ranges=ranges_key(ranges))
            compiled = _compiled(network, prepare, fewer, store, ranges)
        plan = plan._replace(engine="auto")
    if compiled is None and compiles and engine_key(plan.engine, device):
        compiled = _compiled(network, prepare, plan, store)
    if compiled is None:
        return forward(network, prepare, images, device)
    outputs = []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        if plan.preprocessing is None:
            with torch.inference_mode():
                batch = prepare(torch.tensor(batch)).contiguous().numpy()
        outputs.append(compiled(np.ascontiguousarray(batch)))
    return np.concatenate(outputs)


_of_network = weakref.WeakKeyDictionary()  # network -> (stamp, {plan: runner or None})
_of_weights = weakref.WeakValueDictionary()  # (digest, kind, plan) -> runner
_lock = threading.RLock()


def _clear():
    with _lock:
        _of_network.clear()
        _of_weights.clear()


register(__name__, _clear)


def _compiled(network, prepare, plan, store, ranges=None):
    """Return what runs the network on an engine; None where it cannot."""
    with _lock:
        runners = _runners_of(network)
        if plan not in runners:
            runners[plan] = _compile(network, prepare, plan, store, ranges)
        return runners[plan]


def int8_is_here() -> bool:
    """Say whether this processor reckons with 8 bits, and what does so is installed."""
    return has_int8() and _installed("onnxruntime")


def _can_run_int8(network, ranges):
    """Whether 8 bits can run here; says once of a network what is missing for them."""
    if not has_int8() or (ranges and not ranges["tensors"]):
        return False
    if ranges is None:
        missing = (
            "it has no ranges of its activations: find_ranges of its detector finds "
            "them on videos, and so does ensemble.lean_engines"
        )
    elif not _installed("onnxruntime"):
        missing = (
            "onnxruntime and onnx are not both installed: "
            "pip install 'deepfake-ensemble[onnx]'"
        )
    else:
        return True
    with _lock:
        runners = _runners_of(network)
        if "said" not in runners:
            runners["said"] = missing
            _warn(network, f"runs as engine='auto' does, not in 8 bits: {missing}")
    return False


def _warn(network, trouble):
    kind = type(network).__name__
    message = f"{kind} {trouble}"
    if not told_to_sender(("engine", kind), message):
        warnings.warn(message, DeepfakeEnsembleWarning, stacklevel=5)


def _runners_of(network):
    """Return what was made of a network, as long as its weights are the same."""
    stamp = _stamp(network)
    known, runners = _of_network.get(network, (None, {}))
    if known != stamp:
        runners = {}
        _of_network[network] = stamp, runners
    return runners


def _in_bfloat16(network, prepare, images, device):
    """Run a network in 16 bits; None where it or the processor cannot."""
    if device.type != "cpu" or not has_bfloat16():
        return None
    place(network, device)
    try:
        return forward(_halved(network), prepare, images, device, torch.bfloat16)
    except RuntimeError as error:  # such as a layer that makes float32 by itself
        _warn(network, f"does not run in bfloat16: {str(error).splitlines()[0]}")
        return None


def _halved(network):
    """Return a copy of a network in bfloat16, kept while its weights are the same."""
    with _lock:
        runners = _runners_of(network)
        if "bfloat16" not in runners:
            runners["bfloat16"] = copy.deepcopy(network).to(torch.bfloat16)
        return runners["bfloat16"]


def _stamp(network):
    """Change when the weights do: another tensor, or the same written to."""
    stamp = []
    for tensors in (network.parameters(), network.buffers()):
        for tensor in tensors:
            version = 0 if tensor.is_inference() else tensor._version
            stamp.append((tensor.data_ptr(), version))
    return tuple(stamp)


def _compile(network, prepare, plan, store, ranges):
    preprocessing = plan.preprocessing
    whole = Prepared(network, preprocessing and preprocessing.normalise)
    rng = np.random.default_rng(0)
    probe = torch.from_numpy(rng.integers(0, 256, (_N_PROBED, *plan.shape), np.uint8))
    try:
        with torch.inference_mode():
            if preprocessing is None:
                probe = prepare(probe).contiguous()
            expected, work = _run_and_count(whole, probe)
    except Exception:  # torch will say what is wrong with it when it runs it
        return None
    engine = _chosen(plan.engine, work / _N_PROBED)
    if engine == "torch":
        return None
    digest = state_digest(network)
    weights = (digest, type(network).__name__, engine, *plan[1:])
    runner = _of_weights.get(weights)
    trouble = None
    # A kept graph may be of a class whose code has changed: then it is traced again.
    for kept in (True, False):
        try:
            if runner is None:
                model = onnx_bytes(whole, probe[:_N_TRACED].clone(), store, kept)
                runner = _made(engine, model, plan.n_threads, ranges, digest)
            difference = _difference(runner(probe.numpy()), expected.float().numpy())
        except Exception as error:  # of tracing, of the engine: whatever it cannot do
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            trouble = f"{engine} cannot run it ({reason})"
        else:
            # How far 8 bits drift shows on videos, and not on noise.
            if difference <= (sys.float_info.max if engine == "int8" else TOLERANCE):
                _of_weights[weights] = runner
                return runner
            trouble = (
                f"{engine}'s answers differ from torch's by {difference:.2g} of the "
                f"largest, more than {TOLERANCE:g}"
            )
        runner = None
    instead = "as engine='auto' does" if engine == "int8" else "on torch"
    _warn(network, f"runs {instead}: {trouble}")
    return None


def _made(engine, model, n_threads, ranges, digest):
    if engine != "int8":
        return _MAKERS[engine](model, n_threads)
    if ranges["network"] != digest:
        raise ValueError("its weights are no longer those whose ranges were found")
    return in_int8(model, ranges, n_threads)


def _run_and_count(network, inputs):
    """What it puts out, and the multiplications of its convolutions and products."""
    work = 0

    def count(layer, _, output):
        nonlocal work
        work += output.numel() * layer.weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        return network(inputs), work
    finally:
        for hook in hooks:
            hook.remove()


def _difference(got, expected):
    """Largest difference, in parts of the largest expected value."""
    if got.shape != expected.shape:
        return np.inf
    largest = np.abs(expected).max(initial=0)
    return float(np.abs(got - expected).max(initial=0) / (largest or 1))


def _after_fork():
    """Forget what was compiled: its threads are gone, and to end it would wait for
    them."""
    global _lock
    _inherited.append(list(_of_network.values()))
    _of_network.clear()
    _of_weights.clear()
    _lock = threading.RLock()  # another thread may have held it
    OpenVino.forked = OpenVino.used


_inherited = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_MAKERS = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def _chosen(engine, work):
    if engine != "auto":
        return engine
    if work < _SMALL:
        return "torch"
    order = _EXTRAS if work < _LARGE else reversed(_EXTRAS)
    return next((name for name in order if _installed(name)), "torch")


@cached(maxsize=128)
def _version(engine):
    """Major and minor; without importing it, where that can be."""
    try:
        version = importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:  # such as onnxruntime-gpu
        return library_version(engine) if importlib.util.find_spec(engine) else ""
    return ".".join(version.split(".")[:2])


@cached(maxsize=128)
def _installed(engine):
    return all(importlib.util.find_spec(name) for name in (engine, "onnx"))
