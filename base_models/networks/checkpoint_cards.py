"""Cards: where a network comes from, what it looks at, how it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_models.networks.preprocessing import backbone_recipe

_N_FIXTURES = 4


def fixture_images(size: int) -> NDArray:
    """Return a few images that everyone can make, to know a network by its answers.

    Parameters
    ----------
    size : int
        Side, pixels.

    Returns
    -------
    ndarray of shape (4, size, size, 3)
        RGB uint8.

    Examples
    --------
    >>> from base_models.networks.checkpoint_cards import fixture_images
    >>> fixture_images(32).shape
    (4, 32, 32, 3)
    """
    rows, columns = np.indices((size, size)) / size
    images = [
        127.5 + 127.5 * np.sin(2 * np.pi * (i + 1) * (rows + (c + 1) * columns / 2))
        for i in range(_N_FIXTURES)
        for c in range(3)
    ]
    images = np.rint(images).astype(np.uint8).reshape(-1, 3, size, size)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def make_card(
    backbone: str,
    scope: str | None,
    image_size: int | None = None,
    compat: str | None = None,
    compression: str | None = None,
    trained_on: Sequence[str] | None = None,
    margin: float = 1.3,
    source: str | None = "",
    source_sha256: str | None = "",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Return a card: where a network comes from and what it looks at.

    Parameters
    ----------
    backbone : str
        See `base_models.networks.weights.timm_name`.
    scope : {"frame", "face", "crop"}
        What it was trained on: whole frames, face crops.
    image_size, compat, compression, trained_on, margin, mean, std
        As for `load_checkpoint`.
    source, source_sha256 : str
        The file's name and SHA-256.

    Returns
    -------
    dict
        Ready for JSON.
    """
    recipe = backbone_recipe(backbone, image_size)
    return {
        "source": source,
        "source_sha256": source_sha256,
        "backbone": backbone,
        "classes": ["real", "fake"],
        "scope": scope,
        "compat": compat,
        "margin": margin,
        "compression": compression,
        "trained_on": trained_on,
        "transform": {
            "image_size": recipe.image_size,
            "resize": "pillow bilinear, to a square",
            "mean": list(recipe.mean if mean is None else mean),
            "std": list(recipe.std if std is None else std),
        },
    }
