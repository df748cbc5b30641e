"""Weights from files, read without running anything that is inside them."""

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from base_models.errors import CheckpointError

_WRAPPERS = ("state_dict", "model_state_dict", "net", "model")
_PREFIXES = ("module.", "model.", "backbone.")


def read_state_dict(path):
    """Read a state dict from a safetensors file or a PyTorch checkpoint.

    A PyTorch file is read with ``weights_only=True``: tensors come out, code in
    it is never run.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, or what ``torch.save`` wrote of a state dict, bare or
        under a key such as ``state_dict``.

    Returns
    -------
    dict of str to Tensor
        On the CPU, wrappers of training scripts (``module.``) taken off.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, or holds more than tensors.

    Examples
    --------
    >>> import tempfile, torch
    >>> from base_models.checkpoints import read_state_dict
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/head.pth"
    ...     torch.save({"state_dict": {"module.weight": torch.ones(1)}}, path)
    ...     read_state_dict(path)
    {'weight': tensor([1.])}
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"no weights at {path}; give the path of a .safetensors or .pth file"
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {error}"
        ) from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a state dict with weights_only=True "
            f"({str(error).splitlines()[0]}); save its state_dict() as safetensors"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not (
        isinstance(state, dict)
        and state
        and all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise CheckpointError(
            f"{path} must hold a state dict, names and tensors; got {_kind(state)}"
        )
    return _strip(state, "module.")


def load_backbone_weights(backbone, state, source):
    """Load a state dict into a headless network, every key of it accounted for.

    Parameters
    ----------
    backbone : torch.nn.Module
        A timm network without classifier.
    state : dict of str to Tensor
        Its weights, with or without a classifier of any size, bare or prefixed
        with ``model.`` or ``backbone.``.
    source : str or Path
        Where the weights came from, for error messages.

    Raises
    ------
    CheckpointError
        If a weight of the network is missing or has another shape.

    Examples
    --------
    >>> import torch
    >>> from base_models.checkpoints import load_backbone_weights
    >>> backbone = torch.nn.Linear(2, 1)
    >>> state = {"model.weight": torch.ones(1, 2), "model.bias": torch.zeros(1)}
    >>> load_backbone_weights(backbone, state, "ones.pth")
    >>> backbone.weight.data
    tensor([[1., 1.]])
    """
    for prefix in _PREFIXES:
        state = _strip(state, prefix)
    wanted = backbone.state_dict()
    # Files older than torch 0.4.1 have no counter of batches; it changes nothing.
    missing = [
        name
        for name in wanted
        if name not in state and not name.endswith("num_batches_tracked")
    ]
    if missing:
        raise CheckpointError(
            f"{source} does not fit {type(backbone).__name__}: {len(missing)} of "
            f"{len(wanted)} weights are missing, the first {missing[0]!r}; its own "
            f"keys look like {next(iter(state))!r}. Is it of another backbone?"
        )
    fitting = {}
    for name, value in wanted.items():
        given = state.get(name, value)
        if given.ndim == 2 and value.ndim == 4:  # 1x1 convolutions of old files
            given = given[:, :, None, None]
        if given.shape != value.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {tuple(given.shape)}, "
                f"{type(backbone).__name__} needs {tuple(value.shape)}"
            )
        fitting[name] = given
    backbone.load_state_dict(fitting)


def _strip(state, prefix):
    inside = {
        name[len(prefix) :]: value
        for name, value in state.items()
        if name.startswith(prefix)
    }
    return inside or state


def _kind(thing):
    if not isinstance(thing, dict):
        return type(thing).__name__
    kinds = sorted({type(value).__name__ for value in thing.values()})
    return f"a dict of {', '.join(kinds) or 'nothing'}"
