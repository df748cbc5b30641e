"""Frozen networks on the fastest engine that is installed, equal to torch."""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import pickle
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import timm
import torch
from torch import nn

from base_models.errors import DeepfakeEnsembleWarning
from base_models.inference.cuda import run_on_gpu
from base_models.inference.onnx_graph import (
    Prepared,
    traced_graph,
    with_weights,
    without_weights,
)
from base_models.inference.onnxruntime import OnnxRuntime
from base_models.inference.openvino import OpenVino
from base_models.networks.forward import forward, place
from base_models.networks.preprocessing import Preprocessing
from base_models.networks.weights import state_digest
from base_models.runtime.caches import Cache, cached, register
from base_models.runtime.devices import fixed_threads, resolve_device, resolve_threads
from base_models.runtime.warn_once import told_to_sender
from base_models.store.keys import class_key
from base_models.store.store import Store, resolve_store, store_key
from base_models.store.versions import is_own, library_version

ENGINES = ("auto", "torch", "onnxruntime", "openvino", "bfloat16")
TOLERANCE = 1e-4  # of the largest value that torch puts out, on a probe
_EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
_N_TRACED, _N_PROBED = 2, 3  # differ, so that a size that tracing froze is noticed
_BATCH = 8  # as fast as more (examples/benchmarks/engines.py), and a quarter of 32's
# Multiplications for an image. Below the first "auto" stays with torch: what compiling
# takes, such a network does not give back in hundreds of videos. From the second on
# OpenVINO's speed is worth that it takes longer to compile than ONNX Runtime.
_SMALL, _LARGE = 10e6, 1e9


Engine = Literal["auto", "torch", "onnxruntime", "openvino", "bfloat16"]


def check_engine(engine: Engine) -> None:
    """Refuse an engine that does not exist or is not installed.

    Parameters
    ----------
    engine : {"auto", "torch", "onnxruntime", "openvino", "bfloat16"}

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


def engine_key(engine: str, device: str | torch.device | None = None) -> dict[Any, Any]:
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
    if kind == "cuda" and engine in ("auto", "bfloat16"):
        return {"engine": "mixed precision"}
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
    engine : {"auto", "torch", "onnxruntime", "openvino", "bfloat16"}, default="auto"
        "auto" takes what is installed: OpenVINO for large networks, ONNX Runtime,
        which compiles faster, for others, and torch for those so small that compiling
        does not pay. The choice depends on the network alone, never on how much there
        is to run: a video's score must not depend on what else is scored. On a GPU it
        takes mixed precision. "bfloat16" is torch with weights and activations of 16
        bits, where the processor reckons with them, and else "auto": quicker, and the
        only one whose answers differ from torch's by more than 1e-4. How far is for
        the caller to measure (`ensemble.lean_engines`).
    n_threads : int or None, default=None
        CPU threads; None is all cores up to 4.
    device : str, torch.device or None, default=None
        None is a GPU where there is one.
    store : Store, str, Path or None, default=None
        Where the graphs of networks are kept, without weights: a network of a kind that
        was seen before is not traced again.

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
        return _run(
            network, prepare, preprocessing, images, engine, n_threads, device, store
        )


def _run(network, prepare, preprocessing, images, engine, n_threads, device, store):
    if device.type == "cuda":
        place(network, device)
        mixed = engine in ("auto", "bfloat16")
        return run_on_gpu(network, prepare, images, device, mixed=mixed)
    if engine == "bfloat16":
        answers = _in_bfloat16(network, prepare, images, device)
        if answers is not None:
            return answers
        engine = "auto"
    compiled = None
    if device.type == "cpu" and len(images) and engine_key(engine, device):
        place(network, device)
        plan = (engine, preprocessing, images.shape[1:], resolve_threads(n_threads))
        compiled = _compiled(network, prepare, plan, store)
    if compiled is None:
        return forward(network, prepare, images, device)
    outputs = []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        if preprocessing is None:
            with torch.inference_mode():
                batch = prepare(torch.tensor(batch)).contiguous().numpy()
        outputs.append(compiled(np.ascontiguousarray(batch)))
    return np.concatenate(outputs)


_of_network = weakref.WeakKeyDictionary()  # network -> (stamp, {plan: runner or None})
_of_weights = weakref.WeakValueDictionary()  # (digest, kind, plan) -> runner
_graphs = Cache(f"{__name__}._graphs", maxsize=64)  # key in the store -> bytes
_lock = threading.RLock()


def _clear():
    with _lock:
        _of_network.clear()
        _of_weights.clear()


register(__name__, _clear)


def _compiled(network, prepare, plan, store):
    """Return what runs the network on an engine; None where torch is to run it."""
    with _lock:
        runners = _runners_of(network)
        if plan not in runners:
            runners[plan] = _compile(network, prepare, plan, store)
        return runners[plan]


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
        kind = type(network).__name__
        message = f"{kind} does not run in bfloat16: {str(error).splitlines()[0]}"
        if not told_to_sender(("engine", kind), message):
            warnings.warn(message, DeepfakeEnsembleWarning, stacklevel=5)
        return None


def _halved(network):
    """Return a copy of a network in bfloat16, kept while its weights are the same."""
    with _lock:
        runners = _runners_of(network)
        if "bfloat16" not in runners:
            runners["bfloat16"] = copy.deepcopy(network).to(torch.bfloat16)
        return runners["bfloat16"]


@cached(maxsize=1)
def has_bfloat16() -> bool:
    """Say whether this processor reckons with bfloat16; False where nobody can tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return False
    named = next((x for x in lines if x.startswith(("flags", "Features"))), "")
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(named.split()))


def _stamp(network):
    """Change when the weights do: another tensor, or the same written to."""
    stamp = []
    for tensors in (network.parameters(), network.buffers()):
        for tensor in tensors:
            version = 0 if tensor.is_inference() else tensor._version
            stamp.append((tensor.data_ptr(), version))
    return tuple(stamp)


def _compile(network, prepare, plan, store):
    engine, preprocessing, shape, n_threads = plan
    whole = Prepared(network, preprocessing and preprocessing.normalise)
    rng = np.random.default_rng(0)
    probe = torch.from_numpy(rng.integers(0, 256, (_N_PROBED, *shape), np.uint8))
    try:
        with torch.inference_mode():
            if preprocessing is None:
                probe = prepare(probe).contiguous()
            expected, work = _run_and_count(whole, probe)
    except Exception:  # torch will say what is wrong with it when it runs it
        return None
    engine = _chosen(engine, work / _N_PROBED)
    if engine == "torch":
        return None
    kind = type(network).__name__
    weights = (state_digest(network), kind, engine, *plan[1:])
    runner = _of_weights.get(weights)
    trouble = None
    # A kept graph may be of a class whose code has changed: then it is traced again.
    for kept in (True, False):
        try:
            if runner is None:
                model = _model(whole, probe[:_N_TRACED].clone(), store, kept)
                runner = _MAKERS[engine](model, n_threads)
            difference = _difference(runner(probe.numpy()), expected.float().numpy())
        except Exception as error:  # of tracing, of the engine: whatever it cannot do
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            trouble = f"{engine} cannot run it ({reason})"
        else:
            if difference <= TOLERANCE:
                _of_weights[weights] = runner
                return runner
            trouble = (
                f"{engine}'s answers differ from torch's by {difference:.2g} of the "
                f"largest, more than {TOLERANCE:g}"
            )
        runner = None
    message = f"{kind} runs on torch: {trouble}"
    if not told_to_sender(("engine", kind), message):
        warnings.warn(message, DeepfakeEnsembleWarning, stacklevel=4)
    return None


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


def _model(whole, example, store, kept):
    """The network as bytes of ONNX; tracing takes seconds, so its graph is kept."""
    import onnx

    try:
        key = _graph_key(whole, example)
    except (AttributeError, TypeError, pickle.PicklingError):
        # no two such can be told to be alike
        with fixed_threads(1):
            return traced_graph(whole, example).SerializeToString()
    content = _graphs.get(key) if kept else None
    store = resolve_store(store)
    if kept and content is None:
        entry = store.get("graph", key)
        content = None if entry is None else entry[0]["graph"].tobytes()
    if content is None:
        with fixed_threads(1):  # layer by layer: more threads only wait for each other
            model = without_weights(traced_graph(whole, example), whole)
        content = model.SerializeToString()
        store.put("graph", key, {"graph": np.frombuffer(content, np.uint8)})
    _graphs[key] = content
    model = onnx.load_from_string(content)
    return with_weights(model, whole).SerializeToString()


def _graph_key(whole, example):
    """Stand for a network's architecture: all of it but the weights."""
    content = io.BytesIO()
    _ShellPickler(content, protocol=5).dump(whole)
    return store_key(
        shell=hashlib.sha256(content.getbuffer()).hexdigest(),
        example=[str(example.dtype), *example.shape],
        versions=[torch.__version__, timm.__version__],
    )


class _ShellPickler(pickle.Pickler):
    """Writes all of a network but the values of its tensors; nobody reads it."""

    def persistent_id(self, thing):
        if isinstance(thing, torch.Tensor):
            return str(thing.dtype), *thing.shape
        if isinstance(thing, type) and is_own(thing):
            return class_key(thing)  # wherever its module is
        return None


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
