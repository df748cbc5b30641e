"""How images are made ready for a network: size, channels, mean and deviation."""

from dataclasses import dataclass

import timm
import torch

from base_models.networks import mesonet
from base_models.networks.residuals import motion_residual, noise_residual
from base_models.networks.weights import (
    patch_side,
    timm_name,
    usual_image_size,
)


@dataclass(frozen=True)
class Preprocessing:
    """How images become input: size, mean and standard deviation, or residuals.

    Images are RGB squares of ``image_size`` pixels, made with Pillow's bilinear
    filter (the FaceForensics++ way, for whole frames as for crops). With the channels
    ``"rgb"`` they are scaled to 0..1 and normalised by channel; with ``"residual"``
    and ``"motion"`` the network gets what `noise_residual` and `motion_residual` leave.
    """

    image_size: int
    mean: tuple = (0.5, 0.5, 0.5)
    std: tuple = (0.5, 0.5, 0.5)
    channels: str = "rgb"

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Return uint8 RGB images (B, H, W, 3) as the network's input (B, 3, H, W).

        For motion they are clips (B, 3, H, W, 3).
        """
        if self.channels == "motion":
            return motion_residual(images.permute(0, 1, 4, 2, 3).to(torch.float32))
        images = images.permute(0, 3, 1, 2).to(torch.float32)
        if self.channels == "residual":
            return noise_residual(images)
        images = images.div_(255)
        mean = images.new_tensor(self.mean).view(1, 3, 1, 1)
        std = images.new_tensor(self.std).view(1, 3, 1, 1)
        return images.sub_(mean).div_(std)


Recipe = Preprocessing  # the earlier name, for one release


def backbone_recipe(
    backbone: str, image_size: int | None = None, channels: str = "rgb"
) -> Preprocessing:
    """Return the preprocessing of a backbone.

    Parameters
    ----------
    backbone : str
        See `timm_name`.
    image_size : int or None, default=None
        Side of the square input, pixels; None is the size it was trained at (224 for
        ``dinov2_small``). A multiple of the patch of a network that cuts patches.
    channels : {"rgb", "residual", "motion"}, default="rgb"
        What it sees: colours, or the noise alone.

    Returns
    -------
    Preprocessing

    Examples
    --------
    >>> from base_models.backbones import backbone_recipe
    >>> preprocessing = backbone_recipe("xception")
    >>> preprocessing.image_size, preprocessing.mean
    (299, (0.5, 0.5, 0.5))
    """
    if timm_name(backbone) in mesonet.NAMES:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        usual = mesonet.IMAGE_SIZE
    else:
        config = timm.get_pretrained_cfg(timm_name(backbone), allow_unregistered=False)
        mean, std = config.mean, config.std
        usual = usual_image_size(backbone) or config.input_size[-1]
    if image_size is None:
        image_size = usual
    if not (isinstance(image_size, int) and image_size >= 16):
        raise ValueError(
            f"image_size must be a whole number of pixels >= 16; got {image_size!r}"
        )
    _check_patches(backbone, image_size)
    if channels not in ("rgb", "residual", "motion"):
        raise ValueError(
            f"channels must be 'rgb', 'residual' or 'motion'; got {channels!r}"
        )
    return Preprocessing(image_size, tuple(mean), tuple(std), channels)


def _check_patches(backbone, image_size):
    """Refuse a size that cannot be cut into the patches of a network."""
    side = patch_side(timm_name(backbone))
    if side and image_size % side:
        lower = image_size // side * side
        sizes = [str(size) for size in (lower, lower + side) if size]
        raise ValueError(
            f"image_size of {backbone} must be a multiple of {side}, the pixels of its "
            f"patches; got {image_size}: take {' or '.join(sizes)}"
        )
