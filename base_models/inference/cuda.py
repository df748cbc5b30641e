"""Frozen networks on a GPU: few waits, half precision where it will do."""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from base_models.errors import DeepfakeEnsembleWarning
from base_models.runtime.caches import register

TOLERANCE = 1e-2  # of the largest value in full precision, on a probe
_AT_ONCE = 256  # images, where memory allows
_N_PROBED = 8


@torch.inference_mode()
def run_on_gpu(
    network: torch.nn.Module,
    preprocess: Callable[..., Any],
    images: np.ndarray,
    device: torch.device,
    mixed: bool,
) -> np.ndarray:
    """Run a network over images in batches as large as memory allows.

    Pinned memory lets a copy run while the CPU queues what comes behind it; the answers
    are waited for once, at the end. A batch that does not fit is halved, and so are
    those that the network is given later.

    Parameters
    ----------
    network : torch.nn.Module
        On the device, in eval mode.
    preprocess : callable
        uint8 RGB (B, H, W, 3) to what the network takes.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8.
    device : torch.device
    mixed : bool
        Compute in half precision, unless its answers on a probe differ from those in
        full by more than 1e-2 of the largest; then a warning says so.

    Returns
    -------
    ndarray of shape (n_images, ...)
        float32.
    """
    plan = _plans.setdefault(network, {"size": _AT_ONCE})
    shape = images.shape[1:]
    if mixed and shape not in plan:
        plan[shape] = _half_will_do(network, preprocess, shape, device)
    half = mixed and plan[shape]
    while True:
        try:
            return _run(network, preprocess, images, device, plan["size"], half)
        except torch.cuda.OutOfMemoryError:
            if plan["size"] == 1:
                raise
            torch.cuda.empty_cache()
            plan["size"] = min(plan["size"], len(images)) // 2 or 1


_plans = weakref.WeakKeyDictionary()  # network -> {"size": ..., shape: half?}
register(f"{__name__}._plans", _plans.clear)


def _run(network, preprocess, images, device, size, half):
    outputs = []
    with torch.autocast(device.type, torch.float16, enabled=half):
        for start in range(0, len(images), size):
            batch = torch.tensor(images[start : start + size])
            with contextlib.suppress(RuntimeError):  # memory may refuse to be locked
                batch = batch.pin_memory()
            inputs = preprocess(batch.to(device, non_blocking=True))
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            outputs.append(network(inputs).float())
    return torch.cat(outputs).cpu().numpy()


def _half_will_do(network, preprocess, shape, device):
    rng = np.random.default_rng(0)
    probe = rng.integers(0, 256, (_N_PROBED, *shape), np.uint8)
    full, half = (
        _run(network, preprocess, probe, device, 1, precision)
        for precision in (False, True)
    )
    difference = np.abs(half - full).max() / (np.abs(full).max() or 1)
    if difference <= TOLERANCE:  # NaN is not
        return True
    warnings.warn(
        f"{type(network).__name__} runs in full precision: in half its answers differ "
        f"by {difference:.2g} of the largest, more than {TOLERANCE:g}",
        DeepfakeEnsembleWarning,
        stacklevel=5,
    )
    return False
