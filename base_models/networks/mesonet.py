"""MesoNet: two small networks made for forged faces, and their published weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from base_models.errors import CheckpointError

NAMES = ("mesonet4", "mesoinception4")
IMAGE_SIZE = 256


class _Block(nn.Sequential):
    """Convolution, ReLU, normalisation and pooling, in MesoNet's order."""

    def __init__(self, layer, channels, pool):
        # Keras' epsilon, and its momentum of 0.99
        norm = nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
        super().__init__(layer, norm, nn.MaxPool2d(pool))


class _Convolution(nn.Sequential):
    def __init__(self, n_in, n_out, size, dilation=1):
        padding = dilation * (size // 2)
        super().__init__(
            nn.Conv2d(n_in, n_out, size, padding=padding, dilation=dilation), nn.ReLU()
        )


class _Inception(nn.Module):
    """Four views of different reach side by side, by dilation."""

    def __init__(self, n_in, a, b, c, d):
        super().__init__()
        self.ways = nn.ModuleList(
            [
                _Convolution(n_in, a, 1),
                nn.Sequential(_Convolution(n_in, b, 1), _Convolution(b, b, 3)),
                nn.Sequential(_Convolution(n_in, c, 1), _Convolution(c, c, 3, 2)),
                nn.Sequential(_Convolution(n_in, d, 1), _Convolution(d, d, 3, 3)),
            ]
        )

    def forward(self, images):
        return torch.cat([way(images) for way in self.ways], dim=1)


class MesoNet(nn.Module):
    """The body of Meso4 or MesoInception4: images (B, 3, H, W) to features (B, 16).

    Parameters
    ----------
    name : {"mesonet4", "mesoinception4"}
        Which.
    image_size : int, default=256
        Side of the images, pixels, a multiple of 32.

    References
    ----------
    Afchar et al. (2018), MesoNet: a compact facial video forgery detection network.

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.mesonet import MesoNet
    >>> MesoNet("mesonet4")(torch.zeros(1, 3, 256, 256)).shape
    torch.Size([1, 16])
    """

    num_features = 16

    def __init__(
        self, name: Literal["mesonet4", "mesoinception4"], image_size: int = IMAGE_SIZE
    ) -> None:
        super().__init__()
        if image_size % 32:
            raise ValueError(
                f"image_size of {name} must be a multiple of 32; got {image_size}"
            )
        first = {
            "mesonet4": ((_Convolution(3, 8, 3), 8), (_Convolution(8, 8, 5), 8)),
            "mesoinception4": (
                (_Inception(3, 1, 4, 4, 2), 11),
                (_Inception(11, 2, 4, 4, 2), 12),
            ),
        }[name]
        channels = first[1][1]
        self.blocks = nn.Sequential(
            *(_Block(layer, n_out, 2) for layer, n_out in first),
            _Block(_Convolution(channels, 16, 5), 16, 2),
            _Block(_Convolution(16, 16, 5), 16, 4),
        )
        self.dropout = nn.Dropout(0.5)
        self.dense = nn.Linear(16 * (image_size // 32) ** 2, 16)
        self.activation = nn.LeakyReLU(0.1)

    def forward(self, images: Any) -> Any:
        maps = self.blocks(images).permute(0, 2, 3, 1)  # (B, H, W, C), as Keras has it
        return self.activation(self.dense(self.dropout(maps.flatten(1))))


def read_keras_weights(
    path: str | Path,
) -> tuple[Literal["mesonet4", "mesoinception4"], dict[str, torch.Tensor]]:
    """Read the published ``.h5`` of MesoNet as a state dict.

    Parameters
    ----------
    path : str or Path
        ``Meso4_DF.h5`` and its like.

    Returns
    -------
    name : {"mesonet4", "mesoinception4"}
        Which network they are of.
    state : dict of str to Tensor
        Of `MesoNet`, and ``head.weight`` (2, 16) and ``head.bias`` (2,) of logits in
        the order real, fake; the file's one output is P(real).

    Raises
    ------
    CheckpointError
        If it is no such file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "Keras weights are read with h5py, which is not installed; "
            "pip install 'deepfake-ensemble[mesonet]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            arrays = _own_arrays(file, path)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a whole HDF5 file: {error}") from error
    kinds = _layers_in_order(arrays, path)
    name = _BY_CONVOLUTIONS.get(len(kinds["conv2d"]))
    if name is None or len(kinds["dense"]) != 2:
        raise CheckpointError(
            f"{path} must hold Meso4 (4 convolutions) or MesoInception4 (16) and two "
            f"dense layers; got {len(kinds['conv2d'])} and {len(kinds['dense'])}"
        )
    return name, _state(name, kinds, path)


def _state(name, kinds, path):
    """Return the state of a network all of whose layers the file holds."""
    dense, last = kinds["dense"]
    n_inputs = dense["kernel"].shape[0] if dense["kernel"].ndim else 0
    network = MesoNet(name, max(32 * round((n_inputs / 16) ** 0.5), 32))
    found = _in_torch("dense", "dense", dense, path)
    for kind, of in (("conv2d", nn.Conv2d), ("batch_normalization", nn.BatchNorm2d)):
        modules = [n for n, m in network.named_modules() if isinstance(m, of)]
        if len(kinds[kind]) != len(modules):
            raise CheckpointError(
                f"{path}: {name} has {len(modules)} layers {kind}, and the file "
                f"{len(kinds[kind])}; nothing was taken in their place"
            )
        for module, layer in zip(modules, kinds[kind], strict=True):
            found |= _in_torch(kind, module, layer, path)
    if last["kernel"].shape != (16, 1) or last["bias"].shape != (1,):
        raise CheckpointError(
            f"{path}: the last dense layer must have one output, P(real): kernel "
            f"(16, 1), bias (1,); got {last['kernel'].shape}, {last['bias'].shape}"
        )
    state = network.state_dict()
    wrong = [key for key in found if found[key].shape != state[key].shape]
    if wrong:
        raise CheckpointError(
            f"{path}: {wrong[0]} has shape {tuple(found[wrong[0]].shape)}, {name} "
            f"needs {tuple(state[wrong[0]].shape)}"
        )
    weight, bias = torch.zeros(2, 16), torch.zeros(2)
    weight[0] = torch.from_numpy(np.float32(last["kernel"][:, 0]))
    bias[0] = float(last["bias"][0])
    counters = {k: v for k, v in state.items() if k.endswith("num_batches_tracked")}
    return {**counters, **found, "head.weight": weight, "head.bias": bias}


def _layers_in_order(arrays, path):
    """Return the layers of each kind as they follow: by name, its arrays.

    "conv2d_7" came seventh; some files number from one, some name no first.
    """
    layers = {}
    for name, values in arrays:
        layer, _, array = name.rpartition("/")
        layer, array = layer.rpartition("/")[2], array.split(":")[0]
        if array in layers.setdefault(layer, {}):
            raise CheckpointError(
                f"{path}: two of its arrays are {layer}/{array}, and one must be"
            )
        layers[layer][array] = values
    kinds = {kind: {} for kind in _LAYOUT}
    for name, held in layers.items():
        kind = name.rstrip("0123456789").rstrip("_")
        if kind not in kinds:
            raise CheckpointError(f"{path}: MesoNet has no layer {name!r}")
        expected = {theirs for _, theirs, _ in _LAYOUT[kind]}
        if set(held) != expected:
            raise CheckpointError(
                f"{path}: layer {name!r} must hold {', '.join(sorted(expected))}; got "
                f"{', '.join(sorted(held))}"
            )
        if _number(name) in kinds[kind]:
            raise CheckpointError(
                f"{path}: two layers {kind} have the number {_number(name)}"
            )
        kinds[kind][_number(name)] = held
    return {kind: [held[n] for n in sorted(held)] for kind, held in kinds.items()}


def _in_torch(kind, module, layer, path):
    """Return the arrays of a layer by their names in PyTorch, as that lays them out."""
    found = {}
    for ours, theirs, axes in _LAYOUT[kind]:
        if layer[theirs].ndim != len(axes):
            raise CheckpointError(
                f"{path}: {theirs} of {kind} must have {len(axes)} axes; got the shape "
                f"{layer[theirs].shape}"
            )
        values = np.ascontiguousarray(layer[theirs].transpose(axes), np.float32)
        found[f"{module}.{ours}"] = torch.from_numpy(values)
    return found


def _own_arrays(file, path):
    """Read the arrays that lie in an HDF5 file itself; refuse what leads out of it.

    All is looked at before anything is read.
    """
    import h5py

    arrays = []

    def check(name, item):
        if name.count("/") > _DEEPEST:
            raise CheckpointError(
                f"{path}: its groups lie more than {_DEEPEST} deep in one another, "
                "deeper than MesoNet's by far; nothing was read"
            )
        if isinstance(item, h5py.Group):
            for child in item:
                if not isinstance(item.get(child, getlink=True), h5py.HardLink):
                    raise CheckpointError(
                        f"{path}: {name}/{child} is a link, which may lead to another "
                        "file; it was not followed, and nothing was read"
                    )
        elif item.is_virtual or item.external:
            raise CheckpointError(
                f"{path}: the values of {name!r} lie in other files; they were not "
                "opened, and nothing was read"
            )
        elif math.prod(item.chunks or ()) > _LARGEST:
            raise CheckpointError(
                f"{path}: {name!r} is packed in chunks of {item.chunks}, larger than "
                "MesoNet by far; nothing was read"
            )
        elif item.size is None or item.size > _LARGEST or item.dtype.kind not in "fiu":
            raise CheckpointError(
                f"{path}: {name!r} ({item.dtype}, {item.shape}) is no array of weights "
                "of MesoNet; nothing was read"
            )
        else:
            arrays.append((name, item))

    check("", file)
    file.visititems(check)
    if sum(item.size for _, item in arrays) > _LARGEST:
        raise CheckpointError(
            f"{path}: its {len(arrays)} arrays are larger together than MesoNet's by "
            "far; nothing was read"
        )
    return [(name, item[()]) for name, item in arrays]


_LARGEST = 2**24  # values; MesoNet has 28 thousand
_DEEPEST = 16  # groups in one another; Keras makes four at most
_BY_CONVOLUTIONS = {4: "mesonet4", 16: "mesoinception4"}

_LAYOUT = {
    "conv2d": [("weight", "kernel", (3, 2, 0, 1)), ("bias", "bias", (0,))],
    "batch_normalization": [
        ("weight", "gamma", (0,)),
        ("bias", "beta", (0,)),
        ("running_mean", "moving_mean", (0,)),
        ("running_var", "moving_variance", (0,)),
    ],
    "dense": [("weight", "kernel", (1, 0)), ("bias", "bias", (0,))],
}


def _number(name):
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits or 0)
