"""Weights from files, read without running anything that is inside them."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed

from base_models.errors import CheckpointError, UnknownNetworkError, refusing
from base_models.limits import check_file, current_limits
from base_models.networks import safe_unpickler as module_pickle
from base_models.networks.checkpoint_names import (
    HEADS,
    check_one_network,
    efficientnet_of,
    heads_of,
    several_networks,
    timm_names,
    warn_of_averages,
    without_prefixes,
)
from base_models.runtime.file_digest import (
    file_sha256,
    json_digest,
    read_sha256,
    strict_json,
)
from base_models.runtime.file_writing import replacing

CARD, WEIGHTS = "card.json", "model.safetensors"
WEIGHTS_DIGEST, CARD_DIGEST = "weights_file_sha256", "card_sha256"  # in a card
_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "net", "network")
_WRAPPERS += ("model", "weights")


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a checkpoint.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``; what ``torch.save`` wrote of a state dict, bare or under a
        key such as ``state_dict``, or of a whole module (of which the tensors are
        taken and nothing is run); MesoNet's ``.h5``; a folder that
        `save_checkpoint` wrote.

    Returns
    -------
    dict of str to Tensor
        On the CPU, wrappers of training scripts (``module.``) taken off.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, or wants other things run than tensors
        and known modules need; the message names the first of them.

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
    path = weights_file(path)
    with refusing(CheckpointError, path):
        return _state_dict(path)


def _state_dict(path):
    check_file(path, CheckpointError)
    if not path.is_file():
        raise CheckpointError(
            f"no weights at {path}; give the path of a file: .safetensors, .pth, "
            ".p or .h5"
        )
    if path.suffix.lower() == ".onnx":
        raise CheckpointError(
            f"{path} is an ONNX file, which holds a graph and no state dict; give the "
            "checkpoint (.safetensors, .pth) or the .dfe file that it was exported from"
        )
    if path.suffix in (".h5", ".hdf5"):
        from base_models.networks.mesonet import read_keras_weights

        return read_keras_weights(path)[1]
    try:
        if path.suffix == ".safetensors":
            _check_header(path)
            state = load_file(path)
        else:
            state = module_pickle.read_pickled(path)
        state = _tensors_of(state, path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file: {error}"
        ) from error
    except PermissionError as error:
        raise CheckpointError(f"{path} may not be read: {error.strerror}") from error
    except module_pickle.RefusedGlobalError as error:
        raise CheckpointError(
            f"{path} wants {error} run, which is neither a tensor nor a known module; "
            "nothing of it was. Save the state_dict() of its network as safetensors"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # a damaged or foreign pickle may raise anything
        raise CheckpointError(
            f"{path} cannot be read as a PyTorch checkpoint "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}): "
            "it is truncated or of another kind; get it again, or save its "
            "state_dict() as safetensors"
        ) from error
    if not (
        isinstance(state, dict)
        and state
        and all(isinstance(value, torch.Tensor) for value in state.values())
        and all(isinstance(name, str) for name in state)
    ):
        raise CheckpointError(
            f"{path} must hold a state dict, names and tensors, or a module; got "
            f"{_kind(state)}"
        )
    check_one_network(state, path)
    return _strip(state, "module.")


def _check_header(path):
    """Refuse a safetensors file of too many tensors; others are none of its format."""
    with open(path, "rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        # Each has a name, a kind, a shape and two places.
        n_tensors = file.read(min(n_bytes, _LONGEST_HEADER)).count(b'"data_offsets"')
    most = current_limits().model_parts
    if n_tensors > most:
        raise ValueError(f"it has {n_tensors:,} tensors, and {most:,} are allowed")


_LONGEST_HEADER = 100_000_000  # bytes, of safetensors


def _tensors_of(state, path):
    """Take off what training scripts wrap around a state dict or module."""
    for _ in _WRAPPERS:
        within = state.get if isinstance(state, dict) else {}.get
        inside = [name for name in _WRAPPERS if _holds_tensors(within(name))]
        if len(inside) > 1:
            raise several_networks("it", inside)
        if inside:
            warn_of_averages(state, inside[0], path)
            state = state[inside[0]]
    if isinstance(state, module_pickle.ModuleStandIn):
        state = module_pickle.flatten(state)
    return state


def _holds_tensors(thing, depth=3):
    """Whether it is a module, or a dict with tensors in it or in what it holds."""
    if not isinstance(thing, dict) or not depth:
        return isinstance(thing, module_pickle.ModuleStandIn)
    parts = thing.values()
    return any(
        isinstance(p, torch.Tensor) or _holds_tensors(p, depth - 1) for p in parts
    )


def weights_file(path: str | Path) -> Any:
    """Return the file of weights that a path means: itself, or that of a folder."""
    path = Path(path)
    return path / WEIGHTS if path.is_dir() else path


def read_card(path: str | Path) -> dict[Any, Any] | None:
    """Return the card that lies in a checkpoint's folder, or None.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    dict or None

    Raises
    ------
    CheckpointError
        If it is no card, was changed since, or is that of other weights than lie
        beside it. Cards of earlier releases have no checksums.
    """
    file = Path(path) / CARD
    check_file(file, CheckpointError)
    if not file.is_file():
        return None
    try:
        card = strict_json(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(card, dict):
        raise CheckpointError(f"{file} is no card: it holds a {type(card).__name__}")
    own = card.pop(CARD_DIGEST, None)
    if own is not None and own != json_digest(card):
        raise CheckpointError(f"{file} was changed since it was written; get it again")
    weights, expected = weights_file(path), card.pop(WEIGHTS_DIGEST, None)
    if expected is None or not weights.is_file():
        return card
    if file_sha256(weights) != expected:
        raise CheckpointError(
            f"{file} is not the card of the {WEIGHTS} beside it: one of them was "
            "written without the other, or changed since. Write the folder anew, or "
            "get both again"
        )
    return card


def save_checkpoint(
    folder: str | Path, state: dict[str, torch.Tensor], card: dict[Any, Any]
) -> None:
    """Write a state dict and its card to a folder, as safetensors and JSON.

    Parameters
    ----------
    folder : str or Path
        Made if need be. The card says which weights it belongs to, and is replaced
        first: where a process ends in between, `read_card` sees that they are others.
    state : dict of str to Tensor
        Of a `FrameNetwork`: ``backbone.*`` and ``head.*``.
    card : dict
        See `base_models.load_checkpoint`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in state.items()}
    with (  # a full disk leaves both as they were
        replacing(folder / WEIGHTS) as unfinished,
        replacing(folder / CARD) as unfinished_card,
    ):
        _save_file(state, unfinished)
        card = {**card, WEIGHTS_DIGEST: read_sha256(unfinished)}
        card[CARD_DIGEST] = json_digest(card)
        unfinished_card.write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def _save_file(state, path):
    """Write safetensors; errors are the system's, rights what the umask leaves."""
    path.touch()
    try:
        mode = path.stat().st_mode  # to the package, only the owner may read it
        save_file(state, path)
        path.chmod(mode)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def load_backbone_weights(
    backbone: torch.nn.Module, state: dict[str, torch.Tensor], source: str | Path
) -> None:
    """Load a state dict into a headless network, every key of it accounted for.

    Parameters
    ----------
    backbone : torch.nn.Module
        A timm network without classifier.
    state : dict of str to Tensor
        Its weights, with or without a classifier of any size, bare or prefixed
        by wrappers (``module.``, ``model.``, ``encoder.``, ...), under timm's names or
        those of efficientnet_pytorch.
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
    state = _of_its_size(backbone, bare_names(state, source))
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
        given = state.get(name, torch.zeros_like(value))
        if given.ndim == 2 and value.ndim == 4:  # 1x1 convolutions of old files
            given = given[:, :, None, None]
        if given.shape != value.shape:
            raise CheckpointError(
                f"{source}: {name} has shape {tuple(given.shape)}, "
                f"{type(backbone).__name__} needs {tuple(value.shape)}"
            )
        check_numbers(name, given, value, source)
        fitting[name] = given
    backbone.load_state_dict(fitting)


def _of_its_size(backbone, state):
    """Interpolate the embeddings of position where images have another size now."""
    given = state.get("pos_embed")
    wanted = getattr(backbone, "pos_embed", None)
    if given is None or wanted is None or given.shape == wanted.shape:
        return state
    n_prefix = wanted.shape[1] - backbone.patch_embed.num_patches
    n_patches = given.shape[1] - n_prefix if given.ndim == 3 else 0
    if n_patches < 1 or math.isqrt(n_patches) ** 2 != n_patches:
        return state  # the shapes will be refused
    size = backbone.patch_embed.grid_size
    fitted = resample_abs_pos_embed(given, size, num_prefix_tokens=n_prefix)
    return {**state, "pos_embed": fitted}


def check_numbers(
    name: str, given: torch.Tensor, wanted: torch.Tensor, source: str | Path
) -> None:
    """Refuse weights that are no finite numbers, or of a type that is none of weights.

    Parameters
    ----------
    name : str
        Of the weights, for error messages, as `source`.
    given : Tensor
    wanted : Tensor
        In whose place they are to be.
    source : str or Path

    Raises
    ------
    CheckpointError

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.checkpoints import check_numbers
    >>> zeros = torch.zeros(1)
    >>> check_numbers("fc.bias", zeros / 0, zeros, "a.pth")
    Traceback (most recent call last):
    base_models.errors.CheckpointError: a.pth: fc.bias holds NaN or infinity; such \
weights give no scores. Get the file again, or an earlier one of its training
    """
    if wanted.is_floating_point() and not given.is_floating_point():
        raise CheckpointError(
            f"{source}: {name} is of type {given.dtype}, and {wanted.dtype} or another "
            "type of fractions is needed"
        )
    as_used = given.to(wanted.dtype) if wanted.is_floating_point() else given
    if not torch.isfinite(as_used).all():
        raise CheckpointError(
            f"{source}: {name} holds NaN or infinity; such weights give no scores. Get "
            "the file again, or an earlier one of its training"
        )


def head_weights(
    state: dict[str, torch.Tensor], n_features: int, source: str | Path
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the classifier of two classes in a state dict.

    One of a single output is the log-odds of the second class: it becomes two, of which
    the first is 0.

    Parameters
    ----------
    state : dict of str to Tensor
        As `read_state_dict` gives it.
    n_features : int
        What it must take in.
    source : str or Path
        For error messages.

    Returns
    -------
    weight : Tensor of shape (2, n_features)
    bias : Tensor of shape (2,)

    Raises
    ------
    CheckpointError
        If there is none, one of other classes, or more than one.

    Examples
    --------
    >>> import torch
    >>> from base_models.checkpoints import head_weights
    >>> state = {"model.last_linear.1.weight": torch.ones(2, 3)}
    >>> state["model.last_linear.1.bias"] = torch.zeros(2)
    >>> weight, bias = head_weights(state, 3, "xception.p")
    >>> weight.shape
    torch.Size([2, 3])
    """
    levels = without_prefixes(state)
    levels.append(timm_names(levels[-1], source))
    for name, weight, bias in heads_of(levels, n_features, source)[:1]:
        if tuple(weight.shape) not in ((2, n_features), (1, n_features)):
            raise CheckpointError(
                f"{source}: its classifier {name!r} has shape {tuple(weight.shape)}; "
                f"(2, {n_features}), real and fake, or (1, {n_features}), the log-odds "
                "of fake, is needed. As a start for training: "
                "FrameDetector(weights=...)"
            )
        for part, values in (("weight", weight), ("bias", bias)):
            check_numbers(f"{name}.{part}", values, torch.zeros(0), source)
        if len(weight) == 1:
            weight = torch.cat([torch.zeros_like(weight), weight])
            bias = torch.cat([torch.zeros_like(bias), bias])
        return weight, bias
    raise CheckpointError(
        f"{source} has no classifier (none of {', '.join(HEADS)}): it cannot score. "
        "As a start for training: FrameDetector(weights=...)"
    )


def guess_backbone(state: dict[str, torch.Tensor], source: Any) -> Any:
    """Tell which network a state dict is of, by its names.

    Examples
    --------
    >>> from base_models.checkpoints import guess_backbone
    >>> guess_backbone({"model.block12.rep.1.conv1.weight": 0}, "full_c23.p")
    'xception'
    """
    names = bare_names(state)
    if any(name.startswith("block12.rep.") for name in names):
        return "xception"
    if "blocks.0.0.0.weight" in names:
        return "mesonet4"
    if "blocks.0.0.ways.0.0.weight" in names:
        return "mesoinception4"
    known = efficientnet_of(without_prefixes(state)[-1], source)
    if known is not None:
        return known
    raise UnknownNetworkError(
        f"{source}: which network it is of cannot be told from names such as "
        f"{next(iter(names))!r}; give backbone="
    )


def bare_names(state: dict[str, torch.Tensor], source: Any = "the state") -> Any:
    """Take off the prefixes of wrappers, and what lies outside of them.

    Names of efficientnet_pytorch become timm's.
    """
    return timm_names(without_prefixes(state)[-1], source)


def _strip(state, prefix):
    named = [(name, value) for name, value in state.items() if name.startswith(prefix)]
    return {name[len(prefix) :]: value for name, value in named} or state


def _kind(thing):
    if not isinstance(thing, dict):
        return type(thing).__name__
    kinds = sorted({type(value).__name__ for value in thing.values()})
    return f"a dict of {', '.join(kinds) or 'nothing'}"
