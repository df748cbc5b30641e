"""Any torch module as a base detector."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from base_models.detectors.bases.network import NetworkDetector
from base_models.faces.face import FaceFinder
from base_models.store.store import Store, fingerprint
from base_models.training.recipe import TrainingRecipe


class TorchDetector(NetworkDetector):
    """Use any torch module that takes single images as a detector.

    Parameters
    ----------
    module : torch.nn.Module
        Images (B, 3, image_size, image_size) to logits: (B, 2) in the order real,
        fake, or (B, 1) or (B,), the log-odds of fake. It is copied, not changed.
    view : {"face", "frame", "crop"}, default="face"
        A crop around the face, the whole frame, or videos that are crops already.
    transform : callable or None, default=None
        RGB uint8 tensor (B, 3, image_size, image_size) -> what the module takes;
        torchvision's v2 transforms fit. None scales to -1..1.
    train : {"full", "none"}, default="full"
        ``"full"`` fine-tunes all of it; ``"none"`` takes it as it is.
    image_size : int, default=224
        Side of the square images, pixels.
    n_frames, pooling, faces, finder, margin, align, epochs, frames_per_epoch, \
batch_size, learning_rate, weight_decay, augment, pseudo_fakes, recipe, n_threads, \
random_state, store, device, engine, verbose, sampling
        As for `FrameDetector`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    module_ : torch.nn.Module
        The network; logits (B, 2) in the order real, fake.
    recipe_ : ViewRecipe
        What it looks at.
    history_ : list of dict
        Loss and seconds per epoch.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from base_models import TorchDetector
    >>> shades = np.repeat([40, 200], 4)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> module = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 1))
    >>> detector = TorchDetector(
    ...     module, view="frame", image_size=16, n_frames=2, learning_rate=0.1,
    ...     random_state=0,
    ... )
    >>> detector.fit(videos, shades > 100).predict(videos[::4])
    array([False,  True])
    """

    code_version = 1

    def __init__(
        self,
        module: nn.Module,
        view: str = "face",
        transform: Callable | None = None,
        train: str = "full",
        image_size: int = 224,
        n_frames: int = 16,
        pooling: str | Callable = "mean",
        faces: str = "largest",
        finder: FaceFinder | None = None,
        margin: float = 1.3,
        align: bool = False,
        epochs: int = 10,
        frames_per_epoch: int = 4,
        batch_size: int = 16,
        learning_rate: float = 3e-4,
        weight_decay: float = 0.01,
        augment: bool | Callable = True,
        pseudo_fakes: str | bool | Callable = "auto",
        recipe: TrainingRecipe | None = None,
        n_threads: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        store: Store | str | Path | None = None,
        device: str | None = None,
        engine: str = "auto",
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        self.module = module
        self.view = view
        self.transform = transform
        self.train = train
        self.image_size = image_size
        self.n_frames = n_frames
        self.pooling = pooling
        self.faces = faces
        self.finder = finder
        self.margin = margin
        self.align = align
        self.epochs = epochs
        self.frames_per_epoch = frames_per_epoch
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augment = augment
        self.pseudo_fakes = pseudo_fakes
        self.recipe = recipe
        self.n_threads = n_threads
        self.random_state = random_state
        self.store = store
        self.device = device
        self.engine = engine
        self.verbose = verbose
        self.sampling = sampling

    def __str__(self):
        return f"{type(self.module).__name__.lower()}_{self.view}"

    def _check_parameters(self):
        if self.train not in ("full", "none"):
            raise ValueError(f"train must be 'full' or 'none'; got {self.train!r}")
        if not isinstance(self.module, nn.Module):
            raise TypeError(
                f"module must be a torch.nn.Module; got {type(self.module).__name__}"
            )
        super()._check_parameters()

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        identity["params"] |= {
            "module": fingerprint(self.module),
            "transform": self.transform and fingerprint(self.transform),
        }
        return identity

    def _learn_from(self, data):
        network = self._build()
        if self.train == "full":
            # Which part of a module is its head, and whether it is trained, who knows.
            self._train(network, data, staged=False)
        else:
            self.module_, self.history_ = network.eval(), []

    def _build(self, trained=True):
        return _TwoLogits(copy.deepcopy(self.module))

    def _rebuild(self, names):
        return self._build()

    def _image_size(self):
        return self.image_size

    def _preprocess(self, images):
        images = images.permute(0, 3, 1, 2)
        if self.transform is None:
            return images.to(torch.float32).div_(127.5).sub_(1)
        return self.transform(images)


class _TwoLogits(nn.Module):
    """Logits in the order real, fake, from a module that gives two or one."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        logits = self.module(images)
        if logits.ndim == 1:
            logits = logits[:, None]
        if logits.ndim == 2 and logits.shape[1] == 1:
            return torch.cat([torch.zeros_like(logits), logits], dim=1)
        if logits.ndim != 2 or logits.shape[1] != 2:
            raise ValueError(
                "a module must put out logits (B, 2), in the order real, fake, or "
                f"(B, 1), the log-odds of fake; got shape {tuple(logits.shape)}"
            )
        return logits
