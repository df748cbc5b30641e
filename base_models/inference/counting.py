"""How much a network computes, counted and not timed: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from base_models.networks.forward import forward


def multiply_adds(
    network: nn.Module, preprocess: Callable, image_shape: tuple[int, ...]
) -> float:
    """Return the multiply-adds of a network for one image, by torch's own counter.

    Parameters
    ----------
    network : torch.nn.Module
    preprocess : callable
        Images to inputs, as `base_models.networks.forward.forward` takes it.
    image_shape : tuple of int
        Of one image, (H, W, 3), or of one clip, (T, H, W, 3).

    Returns
    -------
    float
        Of convolutions and matrix products; all else counts nothing.

    Examples
    --------
    >>> from torch import nn
    >>> from base_models.inference.counting import multiply_adds
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    >>> multiply_adds(network, lambda batch: batch.permute(0, 3, 1, 2) / 1.0, (2, 2, 3))
    60.0
    """
    first = next(network.parameters(), torch.zeros(0))
    blank = np.zeros((1, *image_shape), np.uint8)
    # written out as matrix products, attention counts alike on every device
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        forward(network, preprocess, blank, first.device)
    return counter.get_total_flops() / 2
