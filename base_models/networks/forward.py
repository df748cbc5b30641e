"""Runs a network on images: on its device, in its precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

_BATCH_IN_INFERENCE = 32


def autocast_for(amp: Any, device: Any) -> Any:
    if amp == "auto":  # older GPUs have bfloat16 in software only, and slow
        amp = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8,)
    if amp:
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


@torch.inference_mode()
def forward(
    network: nn.Module,
    preprocess: Callable,
    images: np.ndarray,
    device: str | torch.device,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Run a network over the images of one view.

    The batches are those of one video and never mix videos, so that a score does
    not depend on what else is scored.

    Parameters
    ----------
    network, preprocess, device
        As for `train_network`.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8.
    dtype : torch.dtype, default=torch.float32
        That of the network's weights.

    Returns
    -------
    ndarray of shape (n_images, ...)
        float32, what the network put out.
    """
    place(network, torch.device(device))
    outputs = []
    for start in range(0, len(images), _BATCH_IN_INFERENCE):
        batch = torch.tensor(images[start : start + _BATCH_IN_INFERENCE]).to(device)
        inputs = preprocess(batch).contiguous(memory_format=torch.channels_last)
        if dtype != torch.float32:
            inputs = inputs.to(dtype)
        outputs.append(network(inputs).float().cpu().numpy())
    return np.concatenate(outputs)


def place(network: nn.Module, device: str | torch.device) -> None:
    """Put a network where it computes and in eval mode, unless it is already."""
    first = next(network.parameters(), None)
    if first is not None and first.device != device:
        network.to(device)
    convolution = next((p for p in network.parameters() if p.ndim == 4), None)
    if convolution is not None and not convolution.is_contiguous(
        memory_format=torch.channels_last
    ):
        network.to(memory_format=torch.channels_last)
    if network.training:
        network.eval()
