"""Tensors out of pickled PyTorch modules; nothing that is pickled is ever run.

Old checkpoints (FaceForensics++ among them) hold whole modules of classes that are not
installed. Both layouts of ``torch.save``, the legacy one and the zip archive, are read
with an unpickler that knows tensors, containers and inert stand-ins for modules, and
refuses everything else by name.
"""

from __future__ import annotations

import io
import math
import mmap
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from base_models.limits import check_zip, current_limits
from base_models.networks.pickle_check import check_pickle

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# What training scripts leave beside the tensors, of which nothing is needed.
_BESIDE = {
    "argparse": {"Namespace"},
    "types": {"SimpleNamespace"},
    "collections": {"defaultdict", "Counter"},
    "pathlib": {"Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},
    "numpy": {"dtype", "ndarray", "float64", "float32", "int64"},
    "numpy.core.multiarray": {"scalar", "_reconstruct"},
    "numpy._core.multiarray": {"scalar", "_reconstruct"},
    "_codecs": {"encode"},
    "torch": {
        "device", "Size", "float32", "float16", "bfloat16", "float64", "int64", "int32",
    },
}  # fmt: skip
_TRAINING = ("torch.optim.", "torch.cuda.amp.grad_scaler.", "torch.amp.grad_scaler.")
_MODULES = ("network.", "pretrainedmodels.models.", "torch.nn.modules.")
_PARALLEL = "torch.nn.parallel."
_CONTAINERS = {"set": set, "dict": dict, "list": list, "tuple": tuple}


class RefusedGlobalError(pickle.UnpicklingError):
    """A pickle names something that is neither a tensor nor a known module."""


class ModuleStandIn:
    """What a pickled module comes out as: its attributes, and nothing to run."""

    def __setstate__(self, state):
        if not isinstance(state, dict):
            raise pickle.UnpicklingError(
                f"the state of a module must be a dict; got {type(state).__name__}"
            )
        vars(self).update(state)


class Ignored:
    """What stands in for what training scripts leave beside the tensors.

    Whatever a pickle does to it has no effect.
    """

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value: Any) -> None:
        """Take a value, as a list does, and forget it."""

    def extend(self, values: Any) -> None:
        """Take values, as a list does, and forget them."""


def read_pickled(path: str | Path) -> object:
    """Read what ``torch.save`` wrote, without running anything.

    Parameters
    ----------
    path : str or Path
        A file in the legacy layout or a zip archive.

    Returns
    -------
    object
        Tensors in containers; modules as `ModuleStandIn`.

    Raises
    ------
    RefusedGlobalError
        Naming what the file wants to have run.
    pickle.UnpicklingError, EOFError, ValueError
        If the file is damaged or of another kind.
    """
    if zipfile.is_zipfile(path):
        return _read_zip(path)
    with open(path, "rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # nothing can be mapped
            raise EOFError("the file is empty") from error
        with mapped:
            return _read_legacy(file, mapped)


def flatten(
    thing: ModuleStandIn | dict[Any, Any], prefix: str = ""
) -> dict[str, torch.Tensor]:
    """Collect the tensors of a module or a nested dict, names joined by dots.

    Parameters
    ----------
    thing : ModuleStandIn or dict
        From `read_pickled`.
    prefix : str, default=""
        Goes before each name.

    Returns
    -------
    dict of str to Tensor

    Raises
    ------
    pickle.UnpicklingError
        If modules lie inside of each other, or a few everywhere, beyond the limits.
    """
    limits, found, n_modules = current_limits(), {}, 0
    waiting = [(thing, prefix, 0)]
    while waiting:
        module, prefix, depth = waiting.pop()
        n_modules += 1
        own, below = _parts(module)
        for name, value in own.items():
            if value is not None:
                found[f"{prefix}{name}"] = value
        if max(n_modules, len(found)) > limits.model_parts or (
            below and depth >= limits.model_depth
        ):
            raise pickle.UnpicklingError(
                f"its modules hold more than {limits.model_parts:,} tensors or "
                f"modules, or lie more than {limits.model_depth} deep"
            )
        waiting += [
            (child, f"{prefix}{name}.", depth + 1)
            for name, child in reversed(list(below.items()))
            if child is not None
        ]
    return found


def _parts(thing):
    """Return a module's own tensors, and the modules in it, by name."""
    if not isinstance(thing, ModuleStandIn):
        own = {k: v for k, v in thing.items() if isinstance(v, torch.Tensor)}
        below = {k: v for k, v in thing.items() if isinstance(v, (dict, ModuleStandIn))}
        return own, below
    parts = vars(thing)
    return (
        {**parts.get("_parameters", {}), **parts.get("_buffers", {})},
        parts.get("_modules", {}),
    )


class _Storage:
    """Memory of tensors that may be filled after they were made."""

    def __init__(self, dtype, n_values):
        self.values = np.zeros(n_values, dtype)


class _Unpickler(pickle.Unpickler):
    """Knows what a checkpoint of tensors needs; refuses the rest by name."""

    def __init__(self, file, load_storage=None):
        super().__init__(file, encoding="latin1")
        self._load_storage = load_storage

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("builtins", "__builtin__") and name in _CONTAINERS:
            return _CONTAINERS[name]
        if module == "torch._utils" and name in _REBUILD:
            return _REBUILD[name]
        if module in ("torch", "torch.cuda") and name in _DTYPES:
            return _storage_type(name)
        if (module, name) == ("torch.nn.parameter", "Parameter"):
            return _Parameter
        if module == "torch.nn.backends.thnn" and name == "_get_thnn_function_backend":
            return _nothing
        if f"{module}.".startswith((*_MODULES, _PARALLEL)):
            return type(name, (ModuleStandIn,), {"__module__": module})
        beside = f"{module}.".startswith(_TRAINING) and not name.startswith("_")
        if beside or name in _BESIDE.get(module, ()):
            return Ignored
        raise RefusedGlobalError(f"{module}.{name}")

    def persistent_load(self, saved):
        if not (isinstance(saved, tuple) and saved):
            raise pickle.UnpicklingError(
                f"a persistent id must be a tuple; got {type(saved).__name__}"
            )
        if saved[0] == "module":  # (class, source file, source text): the class alone
            return saved[1]
        if saved[0] != "storage" or self._load_storage is None:
            kind = saved[0] if isinstance(saved[0], str) else type(saved[0]).__name__
            raise pickle.UnpicklingError(f"unknown persistent id {kind[:50]!r}")
        return self._load_storage(*saved[1:])


def _storage_type(name):
    return type(name, (), {"dtype": _DTYPES[name]})


class _Parameter:
    """A class that pickles of parameters may name; it is never made."""

    def __new__(cls, *args):
        raise pickle.UnpicklingError("a parameter without _rebuild_parameter")


def _nothing(*args):
    return None


def _rebuild_tensor(storage, offset, size, stride, *ignored):
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without storage")
    size, stride = tuple(size), tuple(stride)
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or any(
        not isinstance(number, int) or number < 0 for number in numbers
    ):
        raise pickle.UnpicklingError(f"a tensor of size {size}, stride {stride}")
    if math.prod(size) * storage.values.itemsize > current_limits().model_bytes:
        raise pickle.UnpicklingError(f"a tensor of size {size}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= len(storage.values):
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    return torch.from_numpy(storage.values).as_strided(size, stride, offset)


def _rebuild_parameter(data, *ignored):
    return data


_REBUILD = {
    "_rebuild_tensor": _rebuild_tensor,
    "_rebuild_tensor_v2": _rebuild_tensor,
    "_rebuild_parameter": _rebuild_parameter,
}


def _read_legacy(file, mapped):
    size = len(mapped)

    def load(load_storage=None):
        mapped.seek(file.tell())
        check_pickle(mapped)
        return _Unpickler(file, load_storage).load()

    if load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("no PyTorch file: its magic number is missing")
    if load() != _LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("a PyTorch file of an unknown protocol")
    system = load()
    order = (
        "<"
        if not isinstance(system, dict) or system.get("little_endian", True)
        else ">"
    )
    storages, views, promised = {}, {}, 0

    def load_storage(kind, key, location, n_values, view=None):
        nonlocal promised
        dtype = np.dtype(kind.dtype)
        if key not in storages:
            if not isinstance(n_values, int) or n_values < 0:
                raise pickle.UnpicklingError("a storage of no whole number of values")
            promised += n_values * dtype.itemsize
            if promised > min(size, current_limits().model_bytes):
                raise EOFError(
                    f"{promised} bytes of tensors cannot be in a file of {size}, or "
                    f"are more than the {current_limits().model_bytes} allowed"
                )
            storages[key] = _Storage(dtype, n_values)
        if view is None:
            return storages[key]
        view_key, offset, n_seen = view
        if view_key not in views:
            views[view_key] = _Storage(dtype, 0)
            views[view_key].values = storages[key].values[offset : offset + n_seen]
        return views[view_key]

    thing = load(load_storage)
    for key in load():
        (n_values,) = struct.unpack(f"{order}q", _exactly(file, 8))
        storage = storages.get(key)
        if storage is None or n_values != len(storage.values):
            raise pickle.UnpicklingError(f"storage {key!r} is not as announced")
        dtype = storage.values.dtype
        content = _exactly(file, n_values * dtype.itemsize)
        storage.values[:] = np.frombuffer(content, dtype.newbyteorder(order))
    return thing


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        check_zip(archive)
        names = archive.namelist()
        (main,) = [
            name
            for name in names
            if name.count("/") == 1 and name.endswith("/data.pkl")
        ] or [None]
        if main is None:
            raise pickle.UnpicklingError("a zip file without data.pkl")
        folder = main.rpartition("/")[0]
        order = "<"
        if f"{folder}/byteorder" in names:
            order = "<" if archive.read(f"{folder}/byteorder") == b"little" else ">"
        storages = {}

        def load_storage(kind, key, location, n_values):
            if key not in storages:
                dtype = np.dtype(kind.dtype)
                content = archive.read(f"{folder}/data/{key}")
                if len(content) != n_values * dtype.itemsize:
                    raise EOFError(f"storage {key!r} has {len(content)} bytes")
                storages[key] = _Storage(dtype, 0)
                values = np.frombuffer(content, dtype.newbyteorder(order))
                storages[key].values = values.astype(dtype)  # a copy of our own
            return storages[key]

        content = io.BytesIO(archive.read(main))
        check_pickle(content)
        content.seek(0)
        return _Unpickler(content, load_storage).load()


def _exactly(file, n_bytes):
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise EOFError(f"{n_bytes - len(content)} bytes are missing at the end")
    return content
