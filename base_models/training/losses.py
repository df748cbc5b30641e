"""The loss of a training, with classes and videos weighed."""

from __future__ import annotations

import torch
from torch import nn


def balanced_loss(
    logits: torch.Tensor,
    label: torch.Tensor,
    weight: torch.Tensor,
    smoothing: float = 0.0,
    totals: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy in which reals and fakes are averaged apart and weigh the same.

    As Seferbekov (2020) trained for the Deepfake Detection Challenge.

    Parameters
    ----------
    logits : Tensor of shape (B, 2)
        In the order real, fake.
    label : Tensor of shape (B,)
        0 real to 1 fake; from one half on it counts among the fakes.
    weight : Tensor of shape (B,)
        Within the class.
    smoothing : float, default=0.0
        How far labels move towards one half, in halves.
    totals : Tensor of shape (2,) or None, default=None
        `class_weights` of the whole batch, where this is a part of it; the losses of
        the parts add up to that of the whole.

    Returns
    -------
    Tensor
        One number; the mean of the classes that are there.

    Examples
    --------
    >>> import torch
    >>> from base_models.training import balanced_loss
    >>> logits = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]])
    >>> label, weight = torch.tensor([1.0, 1.0, 0.0]), torch.ones(3)
    >>> balanced_loss(logits, label, weight)  # (log 2 + log(1 + exp(-2))) / 2
    tensor(0.4100)
    """
    target = label * (1 - smoothing) + smoothing / 2
    each = nn.functional.binary_cross_entropy_with_logits(
        logits[:, 1] - logits[:, 0], target, reduction="none"
    )
    totals = class_weights(label, weight) if totals is None else totals
    sums = _by_class(label, weight) @ each  # (2,)
    return (sums / totals.clamp(min=1e-12)).sum() / (totals > 0).sum()


def class_weights(label: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the summed weight of reals and of fakes, a tensor of shape (2,).

    Parameters
    ----------
    label, weight : Tensor of shape (B,)
        As for `balanced_loss`.

    Examples
    --------
    >>> import torch
    >>> from base_models.training import class_weights
    >>> class_weights(torch.tensor([1.0, 0.0, 0.7]), torch.tensor([1.0, 2.0, 3.0]))
    tensor([2., 4.])
    """
    return _by_class(label, weight).sum(1)


def _by_class(label, weight):
    """Weights of reals and of fakes, (2, B), each 0 where the other class is."""
    is_fake = (label >= 0.5).float()
    return torch.stack([1 - is_fake, is_fake]) * weight
