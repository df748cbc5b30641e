"""What the head of a network looks at: its last features, or those of its middle."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_DEPTH = 3 / 4  # of a network of tokens: block 9 of 12


class MiddleFeatures(nn.Module):
    """Mean and spread, over the places of an image, of a network's middle features.

    Last layers know what is in an image, those before them how it is made. Of a network
    of equal blocks (a vision transformer) these are its tokens after three quarters of
    the blocks, normalised as its last ones are (as Oquab et al., 2023, DINOv2, take
    earlier layers); of one of convolutions the maps of all its stages but the first
    and the last. What stands above them is left out, and costs nothing.

    Parameters
    ----------
    body : torch.nn.Module
        A network of timm's without classifier.

    Attributes
    ----------
    num_features : int
        Width of the features: two for each channel.

    Raises
    ------
    ValueError
        If timm cannot say what lies in the middle of the network.

    Examples
    --------
    >>> import timm, torch
    >>> from base_models.networks.tuning.features import MiddleFeatures
    >>> body = timm.create_model("test_vit", num_classes=0).eval()
    >>> features = MiddleFeatures(body)
    >>> features(torch.rand(2, 3, 160, 160)).shape, len(features.body.blocks)
    (torch.Size([2, 128]), 4)
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        info = getattr(body, "feature_info", None)
        if not info or not hasattr(body, "forward_intermediates"):
            raise ValueError(
                f"{type(body).__name__} has no stages that timm knows; take "
                "features='last'"
            )
        stages = [stage["num_chs"] for stage in info]
        self.of_tokens = is_of_tokens(body)
        if self.of_tokens:
            self.stages = [max(0, round(_DEPTH * len(stages)) - 1)]
        else:
            self.stages = list(range(1, len(stages) - 1))
        if not self.stages:
            raise ValueError(
                f"{type(body).__name__} has {len(stages)} stages, and none between "
                "the first and the last; take features='last'"
            )
        body.prune_intermediate_layers(self.stages, prune_norm=not self.of_tokens)
        self.body = body
        self.num_features = 2 * sum(stages[stage] for stage in self.stages)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.body.forward_intermediates(
            images, indices=self.stages, norm=self.of_tokens, intermediates_only=True
        )
        return torch.cat([mean_and_spread(one.flatten(2)) for one in maps], dim=1)

    def of_blocks(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the features, given what the last block puts out (B, N, C)."""
        n_prefix = self.body.num_prefix_tokens
        return mean_and_spread(self.body.norm(tokens)[:, n_prefix:].transpose(1, 2))


def mean_and_spread(places: torch.Tensor) -> torch.Tensor:
    """Return mean and standard deviation over places: (B, C, N) to (B, 2 C).

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.tuning.features import mean_and_spread
    >>> mean_and_spread(torch.tensor([[[1.0, 3.0]]]))
    tensor([[2., 1.]])
    """
    mean = places.mean(dim=2, keepdim=True)
    # beside nothing at all, the root has no slope
    spread = ((places - mean).square().mean(dim=2) + 1e-12).sqrt()
    return torch.cat([mean.squeeze(2), spread], dim=1)


def is_of_tokens(body: nn.Module) -> bool:
    """Return whether a network passes tokens through blocks of one kind.

    Examples
    --------
    >>> import timm
    >>> from base_models.networks.tuning.features import is_of_tokens
    >>> [is_of_tokens(timm.create_model(n)) for n in ("test_vit", "test_resnet")]
    [True, False]
    """
    parts = ("blocks", "norm", "patch_embed", "num_prefix_tokens", "forward_head")
    return all(hasattr(body, part) for part in parts)


class NormalisedHead(nn.Linear):
    """A linear head on features that are brought to one length first.

    Then only the direction of the features speaks, as in the normalised heads of
    GenD (Yermakov et al., 2026, WACV).

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.tuning.features import NormalisedHead
    >>> NormalisedHead(4, 2).prepared(torch.tensor([[3.0, 0, 0, 4]]))
    tensor([[1.2000, 0.0000, 0.0000, 1.6000]])
    """

    def prepared(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, n_features) of mean square 1 each."""
        length = features.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
        return features * (self.in_features**0.5 / length)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(self.prepared(features))


HEADS: dict[str, type[nn.Linear]] = {"linear": nn.Linear, "normalised": NormalisedHead}


def with_features(body: nn.Module, features: str) -> Any:
    """Return a body that puts out its last features or those of its middle.

    Parameters
    ----------
    body : torch.nn.Module
    features : {"last", "middle"}

    Returns
    -------
    torch.nn.Module
    """
    return MiddleFeatures(body) if features == "middle" else body
