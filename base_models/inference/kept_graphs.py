"""The ONNX graphs of networks, kept in memory and in the store without weights."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import timm
import torch

from base_models.inference.onnx_graph import (
    Prepared,
    traced_graph,
    with_weights,
    without_weights,
)
from base_models.runtime.caches import Cache
from base_models.runtime.devices import fixed_threads
from base_models.store.keys import class_key
from base_models.store.store import Store, resolve_store, store_key
from base_models.store.versions import is_own

_graphs: Cache = Cache(f"{__name__}._graphs", maxsize=64)  # key in the store -> bytes


def onnx_bytes(
    whole: Prepared,
    example: torch.Tensor,
    store: Store | str | Path | None = None,
    kept: bool = True,
) -> bytes:
    """Return a network as bytes of ONNX; tracing takes seconds, so its graph is kept.

    Parameters
    ----------
    whole : Prepared
    example : Tensor of shape (2, ...)
        What it is traced with, where its graph is not known.
    store : Store, str, Path or None, default=None
        Where graphs are kept, without weights.
    kept : bool, default=True
        Whether a graph that is kept will do.

    Returns
    -------
    bytes
    """
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
