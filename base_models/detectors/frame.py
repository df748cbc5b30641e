"""A network that scores frames or face crops; the video's score pools them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any, ClassVar

import numpy as np
import torch

from base_models.choices import FEATURES, HEADS, TRAINED_PARTS
from base_models.detectors.bases.fitting import stored_features
from base_models.detectors.bases.frozen_parts import OnFrozenParts
from base_models.detectors.bases.logistic_head import head_inputs
from base_models.detectors.bases.network import NetworkDetector, fake_probability
from base_models.faces.face import FaceFinder
from base_models.inference.engines import engine_key
from base_models.networks.backbones import build_frozen, build_network
from base_models.networks.checkpoint_cards import published_facts
from base_models.networks.checkpoints import read_card
from base_models.networks.preprocessing import backbone_recipe
from base_models.networks.tuning.learning_parts import (
    add_adapters,
    learning_names,
    merge_adapters,
)
from base_models.networks.weights import starts_random, weights_digest
from base_models.runtime.devices import (
    resolve_device,
    resolve_threads,
)
from base_models.runtime.named_file import NamedFile
from base_models.store.keys import class_key_here
from base_models.store.store import Store, resolve_store, store_key
from base_models.store.versions import library_version
from base_models.training.recipe import TrainingRecipe


class FrameDetector(OnFrozenParts, NetworkDetector):
    """Score the frames or face crops of a video with an image network.

    Parameters
    ----------
    backbone : str, default="xception"
        ``xception`` (timm's legacy_xception, 299 px), ``efficientnet``
        (tf_efficientnet_b4, 380 px; ``efficientnet_b0`` to ``b7``,
        ``efficientnet_lite0`` to ``lite4``), ``resnet`` (resnet50, 224 px;
        ``resnet18``, ``resnet34``, ``resnet101``), ``vgg16``, ``vgg19``,
        ``mesonet4`` and ``mesoinception4`` (256 px, small enough for a CPU),
        ``dinov2_small`` (a foundation model: timm's vit_small_patch14_dinov2, 224 px;
        Oquab et al., 2023), or any name that timm knows.
    view : {"face", "frame", "crop"}, default="face"
        A crop around the face, the whole frame, or videos that are face crops
        already.
    train : {"full", "norm", "lora", "last_stage", "last_blocks", "head"}
        ``"full"``, the default, fine-tunes the whole network. ``"norm"`` trains its
        layers of normalisation and the head alone (as GenD: Yermakov et al., 2026,
        WACV), ``"lora"`` changes of low rank to a transformer's attention (Hu et al.,
        2022), which become part of the weights afterwards, and the head. Both keep what
        a foundation model knows, and cost less. ``"last_stage"`` computes all but its
        last stage once, of images and mirror images (half precision, kept in the store;
        no other augmentation), and trains the last stage and the head;
        ``"last_blocks"`` does so with the last `n_blocks` of a transformer.
        ``"head"`` freezes the network, computes its features once and fits a
        logistic head: fast, and weak, because ImageNet features hardly see
        forgeries: AUC 0.52, chance, on 67 clips of FaceForensics++ split by source.
        Where pseudo-fakes are made, these three learn from a fixed pool: the images of
        the first four epochs, changed by `augment`, seen again in later ones.
    weights : "imagenet", str, Path or None, default="imagenet"
        What to start from: an installed weight package or timm's hub (none for
        MesoNet, which starts random); the file or folder of a checkpoint; None for
        random weights. For a checkpoint as it is: `base_models.load_checkpoint`.
    image_size : int or None, default=None
        Side of the square input, pixels; None is the size of the backbone. A multiple
        of the patch of a transformer, whose embeddings of position are interpolated.
    channels : {"rgb", "residual", "motion"}, default="rgb"
        Show the network colours, or what colours hide, so that it errs differently
        beside one of colours. ``"residual"``: three high-pass residuals of the
        brightness (`base_models.networks.residuals.noise_residual`), the noise that
        forging disturbs. ``"motion"``: how three frames in a row differ
        (`base_models.networks.residuals.motion_residual`), since most forgeries are
        made frame by frame.
    n_frames : int, default=16
        Frames sampled evenly over the whole video; for ``"motion"`` the middle ones of
        three.
    pooling : str or callable, default="mean"
        Frame scores to video score: see `base_models.pool_scores`.
    faces : {"largest", "all"}, default="largest"
        Which face to follow when there are several; ``"all"`` pools over them.
    finder : FaceFinder or None, default=None
        None is ``DlibFaceFinder()``.
    margin : float, default=1.3
        Side of the crop, in sides of the face box (the FaceForensics++ margin).
    align : bool, default=False
        Turn crops so that the eyes are level; the finder must give landmarks.
    epochs : int, default=10
        Passes over the training videos.
    frames_per_epoch : int, default=4
        Frames drawn anew from each video in each pass.
    batch_size : int, default=16
        Frames in a step.
    learning_rate : float, default=3e-4
        The peak of one cycle.
    weight_decay : float, default=0.01
        AdamW's.
    dropout : float, default=0.2
        Before the head, in training.
    augment : bool or callable, default=True
        Change images by chance, where they are seen in each epoch. True is
        ``base_models.augmentation.augment.Augmentation()``, for ``"motion"``
        ``Augmentation.of_clips()``; or any ``(image, draw, landmarks) -> image``.
    pseudo_fakes : "auto", bool or callable, default="auto"
        Train on fakes made of the real faces: of each real frame drawn, the frame
        and its pseudo-fake, beside real fakes if there are any; where these are few,
        that helped EfficientNet-lite0 and ResNet-18, and not MesoNet
        (``examples/benchmarks/README.md``). True is
        ``base_models.augmentation.pseudo_fakes.PseudoFakes()``, which needs the extra
        ``demo`` for landmarks; or any ``(image, landmarks, draw, donor) -> (real,
        fake)``, which may ask for larger images: see
        `base_models.training.image_batches.SizedFakes`. "auto" does so where all labels
        are real.
    recipe : TrainingRecipe or None, default=None
        How to train beside all this; None is ``TrainingRecipe()``.
    C : float, default=0.01
        Inverse regularisation of the logistic head, for ``train="head"``.
    features : {"last", "middle"}, default="last"
        What the head looks at: the network's last features, or mean and spread of those
        of its middle, which see more of how an image was made. See
        `base_models.networks.tuning.features.MiddleFeatures`.
    head : {"linear", "normalised"}, default="linear"
        ``"normalised"`` brings features to one length first, so that only their
        direction speaks.
    rank : int, default=8
        Of the changes, for ``train="lora"``.
    n_blocks : int, default=3
        How many of a transformer's blocks learn, for ``train="last_blocks"``.
    n_threads : int or None, default=None
        CPU threads of one fit or scoring run, whatever runs beside it; None is
        all cores up to 4.
    random_state : int, RandomState or None, default=None
        Seeds the weights that start random, the frames drawn, their order and
        augmentation. None is another seed each time.
    store : Store, str, Path or None, default=None
        Where views and features are kept; None is the user's default store.
    device : str or None, default=None
        None is a GPU where there is one.
    engine : str, default="auto"
        What runs the network when it does not learn: "auto" is the fastest for it of
        those installed (extras ``onnx`` and ``openvino``), equal to torch within 1e-4;
        on a GPU torch in mixed precision. "torch", "onnxruntime" and "openvino" are
        those. "bfloat16" and "int8", which needs `find_ranges`, can be quicker and are
        not equal: see `ensemble.lean_engines`, which chooses them within a stated
        drift, and `base_models.inference.engines.run_frozen`.
    verbose : bool, default=False
        Show progress bars.
    sampling : {"even", "keyframes"}, default="even"
        Which frames: spread evenly; or moved to key frames near there, which makes
        very long files cheap, and shows frames that the codec compressed less.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    module_ : FrameNetwork
        The network; logits in the order real, fake. With ``train="head"`` its body
        belongs to all detectors of equal weights: copy it before you change it.
    recipe_ : ViewRecipe
        What it looks at.
    history_ : list of dict
        Per epoch: loss, learning rate, seconds, and what the choice of the best epoch
        saw; empty for ``train="head"``.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import FrameDetector
    >>> shades = np.repeat([40, 200], 4)  # dark videos are real, bright ones fake
    >>> videos = [np.full((8, 48, 48, 3), shade, np.uint8) for shade in shades]
    >>> detector = FrameDetector(
    ...     "resnet18", view="frame", train="head", weights=None,
    ...     image_size=32, n_frames=2, random_state=0,
    ... )
    >>> detector.fit(videos, shades > 100).predict(videos[::4])
    array([False,  True])
    """

    code_version = 1
    _came_later: ClassVar = {
        "features": "last",
        "head": "linear",
        "rank": 8,
        "n_blocks": 3,
    }

    def __init__(
        self,
        backbone: str = "xception",
        view: str = "face",
        train: str = "full",
        weights: str | Path | None = "imagenet",
        image_size: int | None = None,
        channels: str = "rgb",
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
        dropout: float = 0.2,
        augment: bool | Callable = True,
        pseudo_fakes: str | bool | Callable = "auto",
        recipe: TrainingRecipe | None = None,
        C: float = 0.01,
        features: str = "last",
        head: str = "linear",
        rank: int = 8,
        n_blocks: int = 3,
        n_threads: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        store: Store | str | Path | None = None,
        device: str | None = None,
        engine: str = "auto",
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        self.backbone = backbone
        self.view = view
        self.train = train
        self.weights = weights
        self.image_size = image_size
        self.channels = channels
        self.n_frames = n_frames
        self.pooling = pooling
        self.faces, self.finder = faces, finder
        self.margin, self.align = margin, align
        self.epochs, self.frames_per_epoch = epochs, frames_per_epoch
        self.batch_size = batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.dropout = dropout
        self.augment = augment
        self.pseudo_fakes = pseudo_fakes
        self.recipe = recipe
        self.C = C
        self.features, self.head = features, head
        self.rank, self.n_blocks = rank, n_blocks
        self.n_threads = n_threads
        self.random_state = random_state
        self.store, self.device, self.engine = store, device, engine
        self.verbose, self.sampling = verbose, sampling

    def __str__(self):
        seen = "" if self.channels == "rgb" else f"_{self.channels}"
        return f"{self.backbone}_{self.view}{seen}"

    def _check_parameters(self):
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                listed = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
                raise ValueError(
                    f"{name} must be {listed}; got {getattr(self, name)!r}"
                )
        for name in ("rank", "n_blocks"):
            value = getattr(self, name)
            if not (isinstance(value, Integral) and value >= 1):
                raise ValueError(f"{name} must be a whole number >= 1; got {value!r}")
        if self.train == "last_stage" and self.features != "last":
            raise ValueError(
                "train='last_stage' trains what makes the last features; with "
                f"features={self.features!r} take 'full', 'norm' or 'head'"
            )
        self._preparation()  # misspelt?
        super()._check_parameters()

    @property
    def card_(self) -> dict[str, Any]:
        """Of the checkpoint whose weights it started from: what those have seen."""
        if self.weights in (None, "imagenet"):
            raise AttributeError("card_: the weights are no checkpoint's")
        if isinstance(self.weights, NamedFile):  # of a saved model: not opened
            source = PurePath(self.weights.name).name
            return {"source": source, **published_facts(source)}
        facts = published_facts(self.weights)
        return read_card(self.weights) or {"source": Path(self.weights).name, **facts}

    def identity(self) -> dict[str, Any]:
        identity = super().identity()
        identity["params"]["weights"] = weights_digest(self.backbone, self.weights)
        if self.train != "full":  # it learns from what the frozen part puts out
            identity |= engine_key(self.engine, self.device)
        if self.train == "head":
            identity["sklearn"] = library_version("sklearn")
        return identity

    def _learn_from(self, data):
        network = self._learner()
        staged = not starts_random(self.backbone, self.weights)
        if self._trains_on_images:
            self._train(network, data, staged)
            merge_adapters(self.module_)
        elif self.train == "head":
            self._fit_head(network, data)
        else:
            self._train_tail(network, data, staged)

    def _image_scores(self, view, shared):
        if self.train != "head":
            return super()._image_scores(view, shared)
        key = self._feature_key(view)
        if key not in shared:
            shared[key] = self._features(view, resolve_store(self.store))
        head = self.module_.head
        logits = torch.nn.functional.linear(
            torch.from_numpy(head_inputs(head, shared[key])).double(),
            head.weight.detach().cpu().double(),
            head.bias.detach().cpu().double(),
        )
        return fake_probability(logits.numpy())

    def _features(self, view, store):
        """Return the frozen network's features (n_images, n_features)."""
        return stored_features(
            store,
            self._feature_key(view),
            lambda: self._run_frozen(self.module_.backbone, view.images),
        )

    def _feature_key(self, view):
        return store_key(
            by=class_key_here(type(self)),
            view=view.key,
            backbone=self.backbone,
            weights=self.weights_key_,
            channels=self.channels,
            threads=resolve_threads(self.n_threads),
            device=resolve_device(self.device).type,
            **({} if self.features == "last" else {"features": self.features}),
            **self._engine_key(),
        )

    def _network_that_runs(self):
        network, preparation = super()._network_that_runs()
        return (network.backbone if self.train == "head" else network), preparation

    @property
    def _trains_on_images(self):
        return self.train in ("full", "norm", "lora")

    @property
    def _takes_fakes(self):
        return True  # anew in each epoch, or from a pool of them

    def _learner(self, trained=True):
        network = self._build(trained)
        if self.train == "lora":
            add_adapters(network.backbone, self.rank)
        return network

    def _learning_names(self, network):
        return learning_names(network, self.train)

    def _build(self, trained=True):
        how = {"dropout": self.dropout, "image_size": self._image_size()}
        how |= {"features": self.features, "head": self.head}
        if not trained:
            return build_network(self.backbone, None, **how)
        if self.train == "head":
            device = resolve_device(self.device)
            return build_frozen(self.backbone, self.weights, device=device, **how)
        return build_network(self.backbone, self.weights, **how)

    def _stands_on_known_weights(self):
        return self.train == "head" and not starts_random(self.backbone, self.weights)

    def _rebuild(self, names):
        # A head kept alone stands on the weights that it was fitted on.
        return self._build(trained=not any(n.startswith("backbone.") for n in names))

    def _image_size(self):
        return self._preparation().image_size

    @property
    def _clip_length(self):
        return 3 if self.channels == "motion" else 1

    def _preparation(self):
        return backbone_recipe(self.backbone, self.image_size, self.channels)

    def _preprocess(self, images):
        return self._preparation().normalise(images)


_CHOICES = {"train": TRAINED_PARTS, "features": FEATURES, "head": HEADS}
