"""Faces through an autoencoder and back: what a generator's decoder leaves in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from base_models.errors import CheckpointError, refusing
from base_models.networks.checkpoints import read_state_dict
from base_models.runtime.caches import cached
from base_models.runtime.file_digest import file_sha256

_WIDTH = 64
_SIDE = 8  # pixels that become one place of the code, in each direction
_SUFFIXES = (".pth", ".pt", ".safetensors")


class TinyAutoencoder(nn.Module):
    """The autoencoder of taesd: images to a code of an eighth of their size and back.

    Parameters
    ----------
    n_channels : int
        Of the code: 4 of Stable Diffusion's, 16 of FLUX.1's, 32 of FLUX.2's.
    pooled : bool
        Whether the blocks next to the code have a second branch, as FLUX.2's have.

    References
    ----------
    Bohan, TAESD: tiny autoencoders for Stable Diffusion,
    https://github.com/madebyollin/taesd.

    Examples
    --------
    >>> import torch
    >>> from base_models.augmentation.autoencoders import TinyAutoencoder
    >>> autoencoder = TinyAutoencoder(n_channels=4, pooled=False)
    >>> autoencoder(torch.zeros(1, 3, 16, 24)).shape
    torch.Size([1, 3, 16, 24])
    """

    def __init__(self, n_channels: int, pooled: bool) -> None:
        super().__init__()

        def blocks(pooled=False):
            return [_Block(pooled) for _ in range(3)]

        def conv(n_in=_WIDTH, n_out=_WIDTH, **more):
            return nn.Conv2d(n_in, n_out, 3, padding=1, **more)

        def halved():
            return conv(stride=2, bias=False)

        def doubled():
            return [nn.Upsample(scale_factor=2), conv(bias=False)]

        self.encoder = nn.Sequential(
            *(conv(3), _Block(), halved(), *blocks(), halved(), *blocks(), halved()),
            *(*blocks(pooled), conv(n_out=n_channels)),
        )
        self.decoder = nn.Sequential(
            *(_Clamp(), conv(n_channels), nn.ReLU(), *blocks(pooled), *doubled()),
            *(*blocks(), *doubled(), *blocks(), *doubled(), _Block(), conv(n_out=3)),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Code and decode images (B, 3, H, W) in 0..1, sides multiples of 8."""
        return self.decoder(self.encoder(images))


class _Clamp(nn.Module):
    def forward(self, code):
        return 3 * torch.tanh(code / 3)


class _Block(nn.Module):
    def __init__(self, pooled=False):
        super().__init__()
        layers = []
        for _ in range(3):
            layers += [nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1), nn.ReLU()]
        self.conv = nn.Sequential(*layers[:-1])
        self.pool = None
        if pooled:
            self.pool = nn.Sequential(
                nn.Conv2d(_WIDTH, 4 * _WIDTH, 1, bias=False),
                nn.GroupNorm(4, 4 * _WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * _WIDTH, _WIDTH, 1, bias=False),
            )

    def forward(self, x):
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Named(nn.Module):
    """An autoencoder of diffusers, whose images lie in -1..1."""

    def __init__(self, autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, images):
        code = self.autoencoder.encode(2 * images - 1).latents
        return (self.autoencoder.decode(code).sample + 1) / 2


def autoencoder_files(autoencoder: str | Path) -> list[Path]:
    """Return the files of an ``autoencoder`` parameter; none of one known by name.

    Parameters
    ----------
    autoencoder : str or Path
        See `load_autoencoder`.

    Returns
    -------
    list of Path

    Raises
    ------
    CheckpointError
        If there is no such file, or a folder holds no pair, or several.
    """
    path = Path(autoencoder)
    if not path.exists():
        if _is_name(autoencoder):
            return []
        raise CheckpointError(
            f"no autoencoder at {path}; give a folder that holds one file *encoder* "
            "and one *decoder* of taesd, the file of the encoder with the decoder "
            "beside it, or the name of a diffusers.AutoencoderTiny such as "
            "madebyollin/taesd"
        )
    if path.is_file():
        if "encoder" not in path.name:
            return [path]
        other = path.with_name("decoder".join(path.name.rsplit("encoder", 1)))
        if not other.is_file():
            raise CheckpointError(f"{path} has no decoder beside it: {other}")
        return [path, other]
    if (path / "config.json").is_file():  # saved by diffusers
        return sorted(file for file in path.iterdir() if file.is_file())
    files = [file for file in sorted(path.iterdir()) if file.suffix in _SUFFIXES]
    pair = [[f for f in files if part in f.name] for part in ("encoder", "decoder")]
    if [len(half) for half in pair] != [1, 1]:
        names = ", ".join(file.name for file in files) or "none"
        raise CheckpointError(
            f"{path} must hold one file named *encoder* and one named *decoder*, "
            f"{', '.join(_SUFFIXES)}; got {names}. Of several, give the file of the "
            "encoder"
        )
    return [pair[0][0], pair[1][0]]


def _is_name(autoencoder):
    owner, _, name = os.fspath(autoencoder).partition("/")
    plain = owner and name and "/" not in name and not owner.startswith((".", "~"))
    return plain and not name.endswith(_SUFFIXES)


def autoencoder_key(autoencoder: str | Path) -> Any:
    """Return what stands for an autoencoder in a key: its files' content, or its name.

    Parameters
    ----------
    autoencoder : str or Path

    Returns
    -------
    list of str or str
    """
    files = autoencoder_files(autoencoder)
    return [file_sha256(file) for file in files] or os.fspath(autoencoder)


def load_autoencoder(autoencoder: str | Path) -> nn.Module:
    """Load an autoencoder.

    Parameters
    ----------
    autoencoder : str or Path
        A folder with one file of taesd's encoder and one of its decoder, or the file of
        the encoder, beside which the decoder lies; a file that holds both, its names
        beginning with ``encoder.`` and ``decoder.``; a folder that diffusers saved, or
        a name on its hub, of an ``AutoencoderTiny`` (needs diffusers).

    Returns
    -------
    torch.nn.Module
        Images (B, 3, H, W) in 0..1 to the same, sides multiples of 8; on the CPU.

    Raises
    ------
    CheckpointError
        If a file is no such autoencoder.
    ImportError
        If diffusers is needed and not installed.
    """
    files = autoencoder_files(autoencoder)
    is_folder = Path(autoencoder).is_dir()
    if not files or (is_folder and Path(autoencoder, "config.json").is_file()):
        return _of_diffusers(os.fspath(autoencoder))
    return _of_files(tuple(files), tuple(file_sha256(file) for file in files))


@cached(maxsize=1)
def _of_diffusers(name):
    try:
        from diffusers import AutoencoderTiny
    except ImportError as error:
        raise ImportError(
            f"the autoencoder {name!r} needs diffusers: pip install "
            "'deepfake-ensemble[generators]'"
        ) from error
    with refusing(CheckpointError, name):
        network = AutoencoderTiny.from_pretrained(name, use_safetensors=True)
    return _Named(network).eval().requires_grad_(False)


@cached(maxsize=1)
def _of_files(files, digests):
    if len(files) == 2:
        state = {
            f"{part}.{name}": value
            for part, file in zip(("encoder", "decoder"), files, strict=True)
            for name, value in read_state_dict(file).items()
        }
    else:
        state = read_state_dict(files[0])
    first = state.get("decoder.1.weight")
    n_channels = first.shape[1] if first is not None and first.ndim == 4 else 0
    network = TinyAutoencoder(n_channels or 4, "decoder.3.pool.0.weight" in state)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        told = "\n".join(str(error).splitlines()[:3])
        raise CheckpointError(
            f"{files[0]} is no autoencoder of taesd's layout: {told}"
        ) from error
    network = network.to(memory_format=torch.channels_last)  # a fifth faster
    return network.eval().requires_grad_(False)


def reconstruct(
    images: np.ndarray,
    autoencoder: Callable[[torch.Tensor], torch.Tensor],
    draw: np.random.Generator,
    device: Any = "cpu",
) -> np.ndarray:
    """Return images as an autoencoder gives them back.

    Parameters
    ----------
    images : ndarray of shape (H, W, 3) or (T, H, W, 3)
        RGB uint8.
    autoencoder : callable
        From `load_autoencoder`.
    draw : numpy.random.Generator
        Chooses how large the images are meanwhile, 0.6 to 1 of their size, and where
        the grid of its code lies: alike for all frames.
    device : str or torch.device, default="cpu"
        Where to compute.

    Returns
    -------
    ndarray of the shape of `images`, uint8

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.augmentation.autoencoders import reconstruct
    >>> image = np.full((20, 30, 3), 90, np.uint8)
    >>> reconstruct(image, lambda x: 1 - x, np.random.default_rng(0))[0, 0]
    array([165, 165, 165], dtype=uint8)
    """
    if images.ndim == 3:
        return reconstruct(images[None], autoencoder, draw, device)[0]
    height, width = images.shape[1:3]
    scale = np.exp(min(0.0, draw.uniform(np.log(0.6), -np.log(0.6))))
    top, left = draw.integers(_SIDE, size=2)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    padding = top, -(top + size[1]) % _SIDE, left, -(left + size[0]) % _SIDE
    inputs = [
        cv2.copyMakeBorder(_resized(image, size), *padding, cv2.BORDER_REFLECT_101)
        for image in images
    ]
    tensor = torch.from_numpy(np.stack(inputs)).to(device).permute(0, 3, 1, 2)
    with torch.inference_mode():
        given = [autoencoder(one[None].float() / 255)[0] for one in tensor]
        made = torch.stack(given).clamp(0, 1).mul(255).round().to(torch.uint8)
    made = made.permute(0, 2, 3, 1).cpu().numpy()
    made = made[:, top : top + size[1], left : left + size[0]]
    return np.stack([_resized(image, (width, height)) for image in made])


def _resized(image, size):
    if image.shape[1::-1] == tuple(size):
        return np.ascontiguousarray(image)
    smaller = size[0] < image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=how)
