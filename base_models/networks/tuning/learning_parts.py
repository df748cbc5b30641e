"""Parts of a network that learn while the rest stays: norms, low-rank adapters."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils import parametrize

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


class LowRank(nn.Module):
    """Weights with a change of low rank: ``W + B A`` (Hu et al., 2022, LoRA).

    It is a parametrisation of torch's, which knows how to merge it. The package peft
    does the same, and brings transformers and accelerate along.

    Parameters
    ----------
    weight : Tensor of shape (n_out, n_in)
    rank : int

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.tuning.learning_parts import LowRank
    >>> weight = torch.eye(3)
    >>> torch.equal(LowRank(weight, rank=1)(weight), weight)
    True
    """

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        n_out, n_in = weight.shape
        self.down = nn.Parameter(weight.new_empty(rank, n_in))
        self.up = nn.Parameter(weight.new_zeros(n_out, rank))  # no change at first
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.up @ self.down


def add_adapters(network: nn.Module, rank: int) -> None:
    """Give every linear layer of a network's attention a change of low rank.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place; its answers stay the same until it learns.
    rank : int
        Of the changes.

    Raises
    ------
    ValueError
        If the network has no attention.

    Examples
    --------
    >>> import timm
    >>> from base_models.networks.tuning.learning_parts import (
    ...     add_adapters, learning_names, merge_adapters)
    >>> network = timm.create_model("test_vit", num_classes=0)
    >>> names = set(network.state_dict())
    >>> add_adapters(network, rank=4)
    >>> len(learning_names(network, "lora"))  # down and up, of qkv and proj, 6 blocks
    24
    >>> merge_adapters(network)
    >>> set(network.state_dict()) == names
    True
    """
    layers = [
        layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
        and name.rpartition(".")[0].rpartition(".")[2].endswith(("attn", "attention"))
    ]
    if not layers:
        raise ValueError(
            "train='lora' changes the attention of transformers, of which this network "
            "has none; take train='norm', 'last_stage' or 'full'"
        )
    for layer in layers:
        parametrize.register_parametrization(
            layer, "weight", LowRank(layer.weight.detach(), rank), unsafe=True
        )


def merge_adapters(network: nn.Module) -> None:
    """Make the changes of `add_adapters` part of the weights, and take them off."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")


def learning_names(network: nn.Module, train: str) -> set[str] | None:
    """Return which parameters of a network learn.

    Parameters
    ----------
    network : torch.nn.Module
        With a ``head``, which learns in any case, or without.
    train : str
        Of `base_models.choices.TRAINED_PARTS`.

    Returns
    -------
    set of str or None
        Names of parameters; None for all.

    Raises
    ------
    ValueError
        If nothing of the network is of that kind.

    Examples
    --------
    >>> from base_models.backbones import build_network
    >>> from base_models.networks.tuning.learning_parts import learning_names
    >>> names = learning_names(build_network("test_resnet", None), "norm")
    >>> sorted(names)[:2], "head.weight" in names
    (['backbone.bn1.bias', 'backbone.bn1.weight'], True)
    """
    if train == "norm":
        names = {
            f"{name}.{parameter}"
            for name, layer in network.named_modules()
            if isinstance(layer, _NORMS) or "rmsnorm" in type(layer).__name__.lower()
            for parameter, _ in layer.named_parameters(recurse=False)
        }
    elif train == "lora":
        names = {
            name
            for name, _ in network.named_parameters()
            if name.endswith((".weight.0.down", ".weight.0.up"))
        }
    else:
        return None
    if not names:
        raise ValueError(
            "train='norm' trains layers of normalisation, of which this network has "
            "none; take train='full', 'last_stage' or 'head'"
        )
    head = {name for name, _ in network.named_parameters() if name.startswith("head.")}
    return names | head
