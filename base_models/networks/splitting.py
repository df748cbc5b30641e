"""Where a network can be cut, so that its frozen part is computed once."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from base_models.networks.backbones import FrameNetwork
from base_models.networks.tuning.features import MiddleFeatures, is_of_tokens


class _Reached(Exception):
    """The input of the last stage is known."""


class Trunk(nn.Module):
    """All of a backbone but its last stage.

    Parameters
    ----------
    backbone : torch.nn.Module
        A network of timm's.
    stage : str
        Name of the first module of the last stage.
    """

    def __init__(self, backbone: torch.nn.Module, stage: str) -> None:
        super().__init__()
        self.backbone, self.stage = backbone, stage

    def forward(self, images: Any) -> Any:
        def catch(module, inputs):
            found.append(inputs[0])
            raise _Reached

        found = []
        hook = self.backbone.get_submodule(self.stage).register_forward_pre_hook(catch)
        try:
            self.backbone(images)
        except _Reached:
            return found[0]
        finally:
            hook.remove()
        raise RuntimeError(f"{self.stage} is no part of the forward pass")


def split_last_stage(network: nn.Module, image_size: int) -> tuple:
    """Cut a network before the last stage of its backbone.

    The last stage begins behind the feature map before the last, as timm lists them
    (half the final resolution), at the next module of the network: ``layer4`` of a
    ResNet, ``block12`` of Xception, the last two block groups of an EfficientNet, the
    fully connected layers of a VGG.

    Parameters
    ----------
    network : FrameNetwork
        With a backbone of timm's that passes images through its modules in order.
    image_size : int
        Side of its input, pixels.

    Returns
    -------
    trunk : torch.nn.Module
        Images to what the last stage takes; shares the weights of `network`.
    tail : FrameNetwork
        From there to the logits; has weights of its own, under the same names.

    Raises
    ------
    ValueError
        If the network cannot be cut; the message says what to do instead.

    Examples
    --------
    >>> import torch
    >>> from base_models.backbones import build_network
    >>> from base_models.networks.splitting import split_last_stage
    >>> network = build_network("resnet18", weights=None).eval()
    >>> trunk, tail = split_last_stage(network, image_size=64)
    >>> trunk(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 256, 4, 4])
    """
    body = network.backbone
    instead = "'last_blocks'" if is_of_tokens(body) else "'full'"
    refusal = ValueError(
        f"{type(body).__name__} cannot be cut before its last stage; take "
        f"train={instead} or train='head'"
    )
    units = _units(body)
    try:
        before_last = body.feature_info[-2]["module"]
    except (AttributeError, IndexError, KeyError, TypeError):
        raise refusal from None
    names = [name for name, _ in units]
    made_by = [
        i for i, name in enumerate(names) if f"{name}.".startswith(f"{before_last}.")
    ]
    # a map from within a unit makes the whole unit part of the last stage
    within = [i for i, name in enumerate(names) if before_last.startswith(f"{name}.")]
    first = made_by[-1] + 1 if made_by else within[0] if within else 0
    if not 0 < first < len(names):
        raise refusal
    trunk = Trunk(body, names[first])
    tail = copy.deepcopy(body)
    for name in names[:first]:
        parent, _, child = name.rpartition(".")
        setattr(tail.get_submodule(parent), child, nn.Identity())
    return trunk, _compared(trunk, _Tail(tail, network), network, image_size, refusal)


def split_last_blocks(network: nn.Module, n_blocks: int, image_size: int) -> tuple:
    """Cut a transformer before its last blocks; see `split_last_stage`.

    Parameters
    ----------
    network : FrameNetwork
        Of timm's networks that pass tokens through blocks.
    n_blocks : int
        Blocks above the cut.
    image_size : int
        Side of its input, pixels.

    Returns
    -------
    trunk : torch.nn.Module
        Images to tokens (B, N, C); shares the weights of `network`.
    tail : FrameNetwork
        From there to the logits; has weights of its own, under the same names.

    Raises
    ------
    ValueError
        If the network has no blocks, or not so many.

    Examples
    --------
    >>> import torch
    >>> from base_models.backbones import build_network
    >>> from base_models.networks.splitting import split_last_blocks
    >>> network = build_network("test_vit", weights=None).eval()
    >>> trunk, tail = split_last_blocks(network, n_blocks=2, image_size=160)
    >>> trunk(torch.zeros(1, 3, 160, 160)).shape, len(tail.backbone.blocks)
    (torch.Size([1, 101, 64]), 2)
    """
    whole = network.backbone
    middle = isinstance(whole, MiddleFeatures)
    body = whole.body if middle else whole
    refusal = ValueError(
        f"{type(body).__name__} cannot be cut before its last blocks; take "
        "train='last_stage', 'norm' or 'head'"
    )
    if not is_of_tokens(body):
        raise refusal
    first = len(body.blocks) - n_blocks
    if first < 1:
        raise ValueError(
            f"n_blocks must leave a block below the cut; got {n_blocks} of the "
            f"{len(body.blocks)} blocks that these features need: take fewer"
        )
    trunk = Trunk(whole, f"{'body.' if middle else ''}blocks.{first}")
    tail = _TailOfBlocks(copy.deepcopy(whole), network, first)
    return trunk, _compared(trunk, tail, network, image_size, refusal)


def _compared(trunk, tail, network, image_size, refusal):
    """Return the tail, if it and the trunk are the whole."""
    training = network.training
    network.eval(), tail.eval()
    try:
        with torch.no_grad():
            image = torch.rand(1, 3, image_size, image_size)
            image = image.to(next(network.parameters()).device)
            same = torch.allclose(tail(trunk(image)), network(image), atol=1e-4)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        raise refusal from None
    finally:
        network.train(training)
    if not same:
        raise refusal
    return tail


class _Tail(FrameNetwork):
    """The last stage and a head, as a network of its own."""

    def __init__(self, backbone, network):
        nn.Module.__init__(self)
        self.backbone = backbone
        self.dropout = copy.deepcopy(network.dropout)
        self.head = copy.deepcopy(network.head)


class _TailOfBlocks(_Tail):
    """The last blocks and a head: takes tokens (B, N, C) in."""

    def __init__(self, backbone, network, first):
        super().__init__(backbone, network)
        body = self._body()
        body.blocks = nn.Sequential(
            OrderedDict((str(i), b) for i, b in enumerate(body.blocks) if i >= first)
        )
        for name in ("patch_embed", "pos_drop", "patch_drop", "norm_pre"):
            if hasattr(body, name):
                setattr(body, name, nn.Identity())
        body._parameters.clear()  # embeddings of class and position

    def _body(self):
        whole = self.backbone
        return whole.body if isinstance(whole, MiddleFeatures) else whole

    def forward(self, tokens):
        body = self._body()
        tokens = body.blocks(tokens)
        if isinstance(self.backbone, MiddleFeatures):
            features = self.backbone.of_blocks(tokens)
        else:
            features = body.forward_head(body.norm(tokens))
        return self.head(self.dropout(features))


def _units(body):
    """Modules in the order of the forward pass, (name, module), sequences opened."""
    units = []
    for name, child in body.named_children():
        if isinstance(child, nn.Sequential) and len(child):
            units += [(f"{name}.{inner}", one) for inner, one in child.named_children()]
        else:
            units.append((name, child))
    return units
