"""From a name to a network with its own weights and preprocessing recipe."""

from __future__ import annotations

import weakref
from collections import deque
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from base_models.networks import mesonet
from base_models.networks.checkpoints import (
    load_backbone_weights,
    read_state_dict,
)
from base_models.networks.tuning.features import HEADS, with_features
from base_models.networks.weights import (
    full_names,
    imagenet_file,
    packaged_file,
    size_to_build,
    starts_random,
    timm_name,
    weights_digest,
)
from base_models.runtime.caches import register


class FrameNetwork(nn.Module):
    """A backbone and a head of two logits, in the order real, fake.

    Parameters
    ----------
    backbone : torch.nn.Module
        Images (B, 3, H, W) to features (B, n_features).
    n_features : int
        Width of the features.
    dropout : float, default=0.0
        Before the head; it is ours because timm's legacy_xception has none.
    head : {"linear", "normalised"}, default="linear"
        ``"normalised"`` brings the features to one length first:
        `base_models.networks.tuning.features.NormalisedHead`.

    Examples
    --------
    >>> import torch
    >>> from base_models.backbones import FrameNetwork
    >>> network = FrameNetwork(torch.nn.Flatten(), n_features=12)
    >>> network(torch.ones(1, 3, 2, 2))
    tensor([[0., 0.]], grad_fn=<AddmmBackward0>)
    """

    def __init__(
        self,
        backbone: torch.nn.Module,
        n_features: int,
        dropout: float = 0.0,
        head: str = "linear",
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = HEADS[head](n_features, 2)
        # timm's own classifiers start anywhere from ±1/sqrt(2): the first loss
        # would be 1 to 7 and wreck a trained body. From zero it is log 2.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Any) -> Any:
        return self.head(self.dropout(self.backbone(images)))


def build_network(
    backbone: str,
    weights: str | Path | None = "imagenet",
    dropout: float = 0.0,
    image_size: int | None = None,
    features: str = "last",
    head: str = "linear",
) -> FrameNetwork:
    """Build a backbone with a fresh head of two logits (real, fake).

    Parameters
    ----------
    backbone : str
        See `timm_name`.
    weights : "imagenet", str, Path or None, default="imagenet"
        ``"imagenet"`` takes an installed weight package, or timm's hub; there are
        none for MesoNet, which starts random. A path is a safetensors file, a
        PyTorch checkpoint, MesoNet's ``.h5``, or a folder that `save_checkpoint`
        wrote. None is random, drawn from torch's global generator.
    dropout : float, default=0.0
        Before the head.
    image_size : int or None, default=None
        Side of its images, pixels, where the network depends on it: MesoNet, and
        networks of patches, whose embeddings of position are interpolated.
    features : {"last", "middle"}, default="last"
        What the head looks at: see
        `base_models.networks.tuning.features.MiddleFeatures`.
    head : {"linear", "normalised"}, default="linear"
        See `FrameNetwork`.

    Returns
    -------
    FrameNetwork

    Raises
    ------
    CheckpointError
        If the weights cannot be had, with the ways out.

    Examples
    --------
    >>> from base_models.backbones import build_network
    >>> network = build_network("resnet18", weights=None)
    >>> network.head
    Linear(in_features=512, out_features=2, bias=True)
    """
    name = timm_name(backbone)
    if starts_random(backbone, weights):
        body = _random_body(name, image_size)
    else:
        body = _blank_body(name, image_size)
        file = imagenet_file(name) if weights == "imagenet" else weights
        state = read_state_dict(file)
        if packaged_file(name) == file:
            # The package orders its weights as timm does and names them otherwise.
            state = dict(zip(full_names(name), state.values(), strict=True))
        load_backbone_weights(body, state, file)
    body = with_features(body, features)
    return FrameNetwork(body, _n_features(body), dropout, head)


def _random_body(name, image_size):
    if name in mesonet.NAMES:
        return mesonet.MesoNet(name, image_size or mesonet.IMAGE_SIZE)
    sized = size_to_build(name, image_size)
    return timm.create_model(name, pretrained=False, num_classes=0, **sized)


def _blank_body(name, image_size):
    """A body whose weights are about to be loaded: none are drawn in vain."""
    try:
        with torch.device("meta"):
            body = _random_body(name, image_size)
    except (NotImplementedError, RuntimeError):  # it calculates while it is built
        return _random_body(name, image_size)
    in_no_file = dict(body.named_buffers()).keys() - body.state_dict().keys()
    if in_no_file:
        return _random_body(name, image_size)
    return body.to_empty(device="cpu")


def build_frozen(
    backbone: Any,
    weights: Any,
    dropout: float = 0.0,
    image_size: Any = None,
    device: str | torch.device = "cpu",
    features: str = "last",
    head: str = "linear",
) -> FrameNetwork:
    """Build a network like `build_network`, around a body that others stand on too.

    Bodies of equal weights are one object: it is read once, and takes memory once, for
    all members that only differ in their heads (folds, replicas, whole frame and face
    crop). Whoever wants to train it copies the network first.

    Parameters
    ----------
    backbone, weights, dropout, image_size, features, head
        As for `build_network`. Random weights are shared with nobody.
    device : str or torch.device, default="cpu"
        Where it will compute; each has a body of its own.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from base_models.backbones import build_frozen, build_network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "weights.pth"
    ...     torch.save(build_network("test_resnet", None).state_dict(), file)
    ...     one, other = (build_frozen("test_resnet", file) for _ in range(2))
    >>> one.backbone is other.backbone, one.head is other.head
    (True, False)
    """
    how = dropout, image_size, features, head
    if starts_random(backbone, weights):
        return build_network(backbone, weights, *how)
    name, digest = timm_name(backbone), weights_digest(backbone, weights)
    key = (name, digest, image_size, features, str(device))
    body = _bodies.get(key)
    if body is None:
        body = build_network(backbone, weights, *how).backbone
        _bodies[key] = body
    _latest.append(body)
    return FrameNetwork(body, _n_features(body), dropout, head)


_bodies = weakref.WeakValueDictionary()  # what decides a frozen body -> the body
_latest = deque(maxlen=1)  # lives on until the next fit, even where no fit is kept
register(f"{__name__}._bodies", _bodies.clear)
register(f"{__name__}._latest", _latest.clear)


def _n_features(body):
    return getattr(body, "head_hidden_size", body.num_features)
