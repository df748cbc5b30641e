"""Where a network sees a forgery: HiResCAM, by captum."""

import copy
from typing import Any

import cv2
import numpy as np
import torch

from base_models.networks.tuning.features import is_of_tokens

_BATCH = 8


def heat_maps(detector: Any, images: np.ndarray) -> np.ndarray | None:
    """Say where in each image a network finds what speaks for a forgery.

    The last feature maps that still have a place in the image, times the gradient of
    the fake logit less the real one, place by place (Draelos and Carin, 2020, HiResCAM;
    where the network averages its maps, as most do, that is the Grad-CAM of Selvaraju
    et al., 2017). Of a transformer it is taken at the tokens of patches that its last
    block takes in, which is as far as those reach the logits of every kind. Of a
    network without either it is taken at the pixels.

    Parameters
    ----------
    detector : detector
        Fitted, of a network that scores images: `FrameDetector`, `TorchDetector`, or
        from `load_checkpoint`.
    images : ndarray of shape (n_images, H, W, 3)
        RGB uint8, as the detector sees them; clips (n_images, T, H, W, 3) if it does.

    Returns
    -------
    ndarray of shape (n_images, H, W) or None
        0 to 1 in each image: 1 where most speaks for a forgery, 0 where nothing does.
        None for a detector that scores no images by a network.

    Raises
    ------
    ImportError
        If captum is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import CallableDetector
    >>> from base_models.export.heat_maps import heat_maps
    >>> bright = CallableDetector(lambda videos: [v.mean() / 255 for v in videos])
    >>> heat_maps(bright, np.zeros((1, 8, 8, 3), np.uint8)) is None
    True
    """
    from base_models.detectors.bases.network import NetworkDetector

    if not isinstance(detector, NetworkDetector):
        return None
    try:
        from captum.attr import InputXGradient, LayerGradientXActivation
    except ImportError as error:
        raise ImportError(
            "heat maps need captum: pip install 'deepfake-ensemble[report]'"
        ) from error
    # a copy: weights that were moved in inference mode refuse gradients
    network = copy.deepcopy(detector.module_).eval()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))

    def evidence(inputs):
        logits = network(inputs)
        return logits[:, 1] - logits[:, 0]

    maps = []
    for start in range(0, len(images), _BATCH):
        batch = torch.tensor(images[start : start + _BATCH]).to(device)
        inputs = detector._preprocess(batch).contiguous()
        body = _body_of_tokens(network)
        layer = body.blocks[-1].norm1 if body else _last_map(network, inputs[:1])
        inputs.requires_grad_()  # so that frozen bodies have gradients too
        if layer is None:
            found = InputXGradient(evidence).attribute(inputs)
        else:
            found = LayerGradientXActivation(evidence, layer).attribute(inputs)
        found = _in_places(found, body) if body else found
        maps += list(found.detach().sum(dim=1).clamp(min=0).cpu().numpy())
    return np.stack([_scaled(one, images.shape[-3:-1]) for one in maps])


def overlay(image: np.ndarray, heat: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Lay a heat map over an image.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3)
        RGB uint8.
    heat : ndarray of shape (H, W)
        0 to 1.
    strength : float, default=0.6
        Opacity where it is 1.

    Returns
    -------
    ndarray of shape (H, W, 3)
        RGB uint8.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.export.heat_maps import overlay
    >>> image = np.full((4, 4, 3), 90, np.uint8)
    >>> (overlay(image, np.zeros((4, 4))) == image).all()
    np.True_
    """
    colours = cv2.applyColorMap(np.uint8(255 * heat), cv2.COLORMAP_INFERNO)
    share = strength * heat[..., None]
    mixed = (1 - share) * image + share * cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    return mixed.round().astype(np.uint8)


def _body_of_tokens(network):
    """The part that passes tokens through blocks, None where there is none."""
    for part in network.modules():
        if is_of_tokens(part) and hasattr(part.blocks[-1], "norm1"):
            return part
    return None


def _in_places(tokens, body):
    """Tokens (B, N, C) as maps (B, C, H, W): those of patches, where they lie."""
    patches = tokens[:, body.num_prefix_tokens :].transpose(1, 2)
    return patches.unflatten(2, tuple(body.patch_embed.grid_size))


def _last_map(network, inputs):
    """The last part that puts out maps of at least 2 by 2; None where there is none."""
    last = None

    def note(part, _, output):
        nonlocal last
        is_map = torch.is_tensor(output) and output.dim() == 4
        if is_map and min(output.shape[2:]) > 1 and output.shape[1] > 1:
            last = part

    parts = [part for part in network.modules() if part is not network]
    hooks = [part.register_forward_hook(note) for part in parts]
    try:
        with torch.no_grad():
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return last


def _scaled(heat, size):
    heat = cv2.resize(heat, size[::-1], interpolation=cv2.INTER_CUBIC).clip(min=0)
    return heat / heat.max() if heat.max() > 0 else heat
