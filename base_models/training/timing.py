"""How long a fit will take, and the warning where that is long."""

from __future__ import annotations

import time
import warnings

import torch
from torch import nn

from base_models.errors import SlowFitWarning

_SLOW = 600  # seconds from which a fit on a CPU is announced


def steps_per_epoch(n_videos: int, frames_per_epoch: int, batch_size: int) -> int:
    """Return how many steps one pass over the videos takes."""
    return -(-n_videos * frames_per_epoch // batch_size)


def seconds_per_step(
    network: nn.Module, image_size: int, batch_size: int, device: torch.device | str
) -> float:
    """Estimate a training step from small ones; the network stays as it was.

    A step takes something whatever it holds, and something for each image: of small
    networks the first is most, so that it is told apart by steps of two sizes.
    """
    sizes = sorted({min(2, batch_size), min(4, batch_size)})
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network.to(device, memory_format=torch.channels_last).train()
    images = torch.rand(sizes[-1], 3, image_size, image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    quickest = {}
    for size in [*sizes, *sizes]:  # the first also warms up
        start = time.perf_counter()
        network(images[:size]).sum().backward()
        took = time.perf_counter() - start
        quickest[size] = min(took, quickest.get(size, took))
    network.zero_grad(set_to_none=True)
    network.load_state_dict(state)
    few, more = sizes[0], sizes[-1]
    if few == more:
        return quickest[few]
    an_image = (quickest[more] - quickest[few]) / (more - few)
    most = quickest[more] / more
    an_image = min(max(an_image, most / 2), most)  # of two noisy times
    return quickest[more] + an_image * (batch_size - more)


def warn_if_slow(seconds: float, what: str) -> None:
    """Say how long a fit on a CPU will take, and what would be quicker.

    Parameters
    ----------
    seconds : float
        The estimate.
    what : str
        What is being fitted.
    """
    if seconds < _SLOW:
        return
    hours = seconds / 3600
    span = f"{hours:.1f} hours" if hours >= 1 else f"{seconds / 60:.0f} minutes"
    warnings.warn(
        f"fitting {what} will take about {span} on this CPU, by a step measured just "
        "now. Quicker: a GPU; a smaller network (efficientnet_lite0 and mesonet4 are "
        "small); a smaller image_size, epochs or frames_per_epoch; or train='head', "
        "which computes features once (fast, but near chance on forgeries whose traces "
        "the frozen network does not see)",
        SlowFitWarning,
        stacklevel=3,
    )
