"""Cards: where a network comes from, what it looks at, how it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base_models.choices import VIEWS
from base_models.networks.preprocessing import backbone_recipe

_CLASSES = ["real", "fake"]
_N_FIXTURES = 4
_LARGEST_SIDE = 4096  # pixels of an image; the largest networks take 1024
_LARGEST_MARGIN = 100  # sides of a face


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


def check_card(card: dict[str, Any]) -> None:
    """Refuse a card that says what no network looks at.

    Parameters
    ----------
    card : dict
        As `make_card` returns it.

    Raises
    ------
    ValueError
        Naming the entry, and what it may be.

    Examples
    --------
    >>> from base_models.networks.checkpoint_cards import check_card, make_card
    >>> check_card(make_card("mesonet4", "face"))
    >>> check_card(make_card("mesonet4", "face", image_size=10**9))
    Traceback (most recent call last):
    ValueError: its image_size must be from 1 to 4,096 pixels; got 1000000000
    """
    classes = card.get("classes", _CLASSES)
    if classes != _CLASSES:
        raise ValueError(
            f"its classes must be {_CLASSES}, in which order networks are kept; got "
            f"{classes!r}: convert its origin again"
        )
    seen = card.get("trained_on")
    if seen is not None and not (
        isinstance(seen, (list, tuple)) and all(isinstance(name, str) for name in seen)
    ):
        raise ValueError(f"its trained_on must be a list of names, or none; got {seen}")
    transform, margin = card["transform"], card["margin"]
    size = transform["image_size"]
    if card["scope"] not in VIEWS:
        raise ValueError(f"its scope must be one of {VIEWS}; got {card['scope']!r}")
    if type(size) is not int or not 1 <= size <= _LARGEST_SIDE:
        raise ValueError(
            f"its image_size must be from 1 to {_LARGEST_SIDE:,} pixels; got {size!r}"
        )
    for name in ("mean", "std"):
        values = np.asarray(transform[name], float)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise ValueError(f"its {name} must be 3 numbers; got {transform[name]!r}")
    if not (np.asarray(transform["std"], float) > 0).all():
        raise ValueError(f"its std must be above 0; got {transform['std']!r}")
    if isinstance(margin, (str, bool)) or not 0 < margin < _LARGEST_MARGIN:
        raise ValueError(
            f"its margin must be above 0, below {_LARGEST_MARGIN}; got {margin!r}"
        )


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
        "classes": list(_CLASSES),
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


def published_facts(path: str | Path) -> Any:
    """What the name of a published file says: scope, compression, training data.

    FaceForensics++ calls its Xceptions ``full_c23.p`` (whole frames) and
    ``all_c23.p`` (face crops); a popular re-training is ``ffpp_c23.pth``; MesoNet's
    files end in ``_DF.h5`` and ``_F2F.h5``.

    Examples
    --------
    >>> from base_models.networks.checkpoint_cards import published_facts
    >>> published_facts("models/full_c23.p")
    {'scope': 'frame', 'compression': 'c23', 'trained_on': ['FaceForensics++ train']}
    >>> published_facts("mine.pth")
    {'scope': None, 'compression': None, 'trained_on': None}
    """
    name = Path(path).name
    found = re.fullmatch(r"(full|all|ffpp)_(raw|c23|c40)\.(?:p|pth|pt)", name)
    if found:
        scope = {"full": "frame", "all": "face", "ffpp": "face"}[found[1]]
        seen = ["FaceForensics++ train"]
        return {"scope": scope, "compression": found[2], "trained_on": seen}
    found = re.fullmatch(r"Meso(?:4|Inception)_(DF|F2F)\.h5", name)
    if found:
        seen = {"DF": "MesoNet's deepfakes", "F2F": "FaceForensics Face2Face"}[found[1]]
        return {"scope": "face", "compression": None, "trained_on": [seen]}
    return {"scope": None, "compression": None, "trained_on": None}
