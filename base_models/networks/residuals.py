"""What is left when content is taken away: the noise of an image, a clip's changes."""

import numpy as np
import torch

# Ker and Boehme's predictor of a pixel from its neighbours, and second differences over
# a square and along a row: three filters of the spatial rich model.
_KER_BOEHME = [
    [-1, 2, -2, 2, -1],
    [2, -6, 8, -6, 2],
    [-2, 8, -12, 8, -2],
    [2, -6, 8, -6, 2],
    [-1, 2, -2, 2, -1],
]
_SQUARE = [
    [0, 0, 0, 0, 0],
    [0, -1, 2, -1, 0],
    [0, 2, -4, 2, 0],
    [0, -1, 2, -1, 0],
    [0, 0, 0, 0, 0],
]
_ROW = [[0] * 5, [0] * 5, [0, 1, -2, 1, 0], [0] * 5, [0] * 5]
KER_BOEHME = np.array(_KER_BOEHME, np.float32) / 12
FILTERS = np.stack(
    [KER_BOEHME, np.array(_SQUARE, np.float32) / 4, np.array(_ROW, np.float32) / 2]
)
_LUMA = (0.299, 0.587, 0.114)
_USUAL, _SPREAD = 6.0, 1.5  # grey levels beyond which noise counts no more; output


def noise_residual(images: torch.Tensor) -> torch.Tensor:
    """Return three high-pass residuals of the brightness of images.

    Parameters
    ----------
    images : Tensor of shape (B, 3, H, W)
        RGB, 0 to 255, float.

    Returns
    -------
    Tensor of shape (B, 3, H, W)
        Each ``1.5 tanh(residual / 6)``: most of it within 1 of 0, as networks want
        their inputs, and no edge outweighs the noise.

    References
    ----------
    Fridrich and Kodovsky (2012), Rich models for steganalysis of digital images. Zhou
    et al. (2018), Learning rich features for image manipulation detection.

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.residuals import noise_residual
    >>> flat = torch.full((1, 3, 8, 8), 90.0)
    >>> noise_residual(flat).abs().max() < 1e-4
    tensor(True)
    """
    luma = torch.nn.functional.pad(_luma(images), (2, 2, 2, 2), mode="reflect")
    filters = torch.from_numpy(FILTERS)[:, None].to(images.device)
    return _held(torch.nn.functional.conv2d(luma, filters))


def motion_residual(clips: torch.Tensor) -> torch.Tensor:
    """Return how the brightness of clips changes: twice, and from one to the other.

    Parameters
    ----------
    clips : Tensor of shape (B, 3, 3, H, W)
        Three frames in a row, RGB, 0 to 255, float.

    Returns
    -------
    Tensor of shape (B, 3, H, W)
        The first change, the second, and half their difference, in which even motion
        cancels and what trembles stays; each ``1.5 tanh(change / 6)``.

    Examples
    --------
    >>> import torch
    >>> from base_models.networks.residuals import motion_residual
    >>> brighter = torch.tensor([90.0, 93.0, 96.0]).view(1, 3, 1, 1, 1)
    >>> found = motion_residual(brighter.expand(1, 3, 3, 8, 8))[0, :, 0, 0]
    >>> [round(value, 3) for value in found.abs().tolist()]
    [0.693, 0.693, 0.0]
    """
    before, now, after = (_luma(frames) for frames in clips.unbind(dim=1))
    first, second = now - before, after - now
    return _held(torch.cat([first, second, (second - first) / 2], dim=1))


def _luma(images):
    weights = images.new_tensor(_LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def _held(found):
    return _SPREAD * torch.tanh(found / _USUAL)
