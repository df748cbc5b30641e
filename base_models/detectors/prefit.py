"""A network that others trained, ready to score: FaceForensics++, MesoNet, our own."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from base_models.choices import VIEWS
from base_models.detectors.bases.network import NetworkDetector, fake_probability
from base_models.errors import CheckpointError, UnknownNetworkError, refusing
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.inputs import Videos, check_fit_arguments
from base_models.networks.backbones import FrameNetwork, build_network
from base_models.networks.checkpoint_cards import (
    check_card,
    fixture_images,
    make_card,
    published_facts,
)
from base_models.networks.checkpoints import (
    guess_backbone,
    head_weights,
    load_backbone_weights,
    read_card,
    read_state_dict,
    save_checkpoint,
    weights_file,
)
from base_models.networks.forward import forward
from base_models.networks.mesonet import NAMES as MESONETS
from base_models.networks.preprocessing import Preprocessing
from base_models.networks.weights import full_names, state_digest, timm_name
from base_models.runtime.devices import fixed_threads, resolve_device, resolve_threads
from base_models.runtime.file_digest import file_sha256
from base_models.store.keys import class_key
from base_models.store.store import Store
from base_models.views.spec import ViewRecipe

if TYPE_CHECKING:
    from typing_extensions import Self


class PrefitDetector(NetworkDetector):
    """Score videos with a trained network, unchanged; made by `load_checkpoint`.

    It is fitted already: `fit` looks at the labels and trains nothing, and a clone is
    the detector itself.

    Parameters
    ----------
    card : dict
        Where the network comes from and what it looks at: see `load_checkpoint`.
    n_frames, pooling, faces, n_threads, store, device, engine, verbose, sampling
        As for `FrameDetector`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted: [0, 1] until `fit` saw others.
    module_ : FrameNetwork
        Logits in the order real, fake.
    card_ : dict
        The card.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.backbones import build_network
    >>> from base_models.detectors.prefit import PrefitDetector, make_card
    >>> card = make_card("resnet18", scope="frame", image_size=32)
    >>> network = build_network("resnet18", weights=None)
    >>> detector = PrefitDetector(card, n_frames=2).with_network(network)
    >>> detector.fake_score([np.zeros((4, 48, 48, 3), np.uint8)])
    array([0.5])
    """

    code_version = 1
    prefit = True
    train = "none"
    allowed_drift = 1e-4  # of P(fake); kernels differ by less between machines

    def __init__(
        self,
        card: dict[str, Any],
        n_frames: int = 16,
        pooling: str | Callable = "mean",
        faces: str | None = None,
        n_threads: int | None = None,
        store: Store | str | Path | None = None,
        device: str | None = None,
        engine: str = "auto",
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        self.card = card
        self.n_frames = n_frames
        self.pooling = pooling
        self.faces = faces
        self.n_threads = n_threads
        self.store = store
        self.device = device
        self.engine = engine
        self.verbose = verbose
        self.sampling = sampling

    def __sklearn_clone__(self):
        return self

    def __str__(self):
        name = f"{Path(self.card['source']).stem}_{self.card['scope']}".lower()
        return re.sub("__+", "_", name)  # two would stand before a parameter

    @property
    def fits_on_reals(self) -> bool:
        """Always: it does not learn from them."""
        return True

    def with_network(self, network: nn.Module) -> Self:
        """Take a network; return the detector.

        Parameters
        ----------
        network : FrameNetwork
            Logits in the order real, fake.

        Returns
        -------
        self
        """
        self.card_ = self.card
        self.classes_ = np.array([0, 1])
        self.module_ = network.eval()
        self.recipe_ = self._view_recipe()
        self.history_, self.unscorable_ = [], {}
        return self

    def fit(
        self,
        videos: Videos,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take note of the labels; nothing is trained.

        Parameters
        ----------
        videos, y, groups, sample_weight
            As for any detector.

        Returns
        -------
        self
        """
        self.classes_ = check_fit_arguments(
            videos, y, groups, sample_weight, reals_will_do=True
        )[3]
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the scores; see `NetworkDetector.identity`."""
        return {
            "class": class_key(type(self)),
            "weights": state_digest(self.module_),
            "transform": self.card["transform"],
            "pooling": self.pooling,
            "view": self._view_recipe().stable_key,
            "threads": resolve_threads(self.n_threads),
            "device": resolve_device(self.device).type,
            **self._engine_key(),
        }

    def view_recipes(self) -> list[ViewRecipe]:
        """Return the one `ViewRecipe` that the network looks at, in a list."""
        (self.recipe_,) = super().view_recipes()  # parameters may have been set
        return [self.recipe_]

    def drift(self) -> float:
        """Score the images that lie with the card again.

        Returns
        -------
        float
            Largest difference from the scores on the card, 0..1; more than
            ``allowed_drift`` says that weights or software are not what they were.

        Raises
        ------
        CheckpointError
            If the card has no such scores.
        """
        known = self.card.get("fixture_scores")
        if not known:
            raise CheckpointError(
                f"{self.card['source']}: its card has no fixture scores; make one with "
                "deepfake-ensemble convert"
            )
        return float(np.abs(np.array(self._fixture_scores()) - known).max())

    def save(self, folder: str | Path) -> None:
        """Write the network and its card to a folder.

        Parameters
        ----------
        folder : str or Path
            Gets ``model.safetensors`` and ``card.json``; `load_checkpoint` reads it.
        """
        card = self.card | {"fixture_scores": self._fixture_scores()}
        save_checkpoint(folder, self.module_.state_dict(), card)

    def _fixture_scores(self):
        """P(fake) of a few images that everyone can make."""
        images = fixture_images(self.card["transform"]["image_size"])
        with fixed_threads(1):
            logits = forward(self.module_, self._preprocess, images, "cpu")
        scores = [float(score) for score in fake_probability(logits)]
        if not np.isfinite(scores).all():
            raise CheckpointError(
                f"{self.card['source']}: its network answers pictures with NaN: its "
                "weights are damaged; get the file again"
            )
        return scores

    def _rebuild(self, names):
        self.card_ = self.card
        return _network_of(self.card)

    def _view_recipe(self):
        cli = self.card.get("compat") == "ffpp_cli"
        faces = "first" if cli else "largest"
        finder = DlibFaceFinder(max_side=None, upsample=1) if cli else DlibFaceFinder()
        return ViewRecipe(
            view="face" if cli else self.card["scope"],
            image_size=self.card["transform"]["image_size"],
            n_frames=self.n_frames,
            faces=self.faces or faces,
            margin=self.card["margin"],
            finder=finder,
            sampling=self.sampling,
        )

    def _preparation(self):
        transform = self.card["transform"]
        return Preprocessing(
            transform["image_size"], tuple(transform["mean"]), tuple(transform["std"])
        )

    def _preprocess(self, images):
        return self._preparation().normalise(images)


def load_checkpoint(
    path: str | Path | Sequence[str | Path],
    scope: str | None = None,
    compat: str | None = None,
    backbone: str | None = None,
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
    compression: str | None = None,
    trained_on: Sequence[str] | None = None,
    margin: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **params: Any,
) -> Any:
    """Open a checkpoint as a detector that is already fitted.

    FaceForensics++'s Xceptions (``full_c23.p``, ``all_c23.p`` and their like, pickles
    of whole modules), re-trainings of them (``ffpp_c23.pth``), MesoNet's Keras files
    (``Meso4_DF.h5``), folders that ``deepfake-ensemble convert`` or
    `PrefitDetector.save` wrote, and any state dict of a network that timm knows with a
    classifier of two classes or of one logit. Prefixes of wrappers (``module.``,
    ``encoder.``, ``net.``, ``backbone.``) are taken off, names of efficientnet_pytorch
    become timm's, and what a training script left beside the weights is ignored.
    Nothing that is inside a file is run.

    Parameters
    ----------
    path : str or Path, or sequence of them
        The file or folder. Several, of different compressions, with
        ``compression="auto"``.
    scope : {"frame", "face", "crop"} or None, default=None
        What the network looks at: the whole frame, a crop around the face (margin 1.3),
        videos that are crops already. None takes it from the card, or from the name of
        a published file.
    compat : {"ffpp_cli"} or None, default=None
        Look at videos as FaceForensics++'s ``detect_from_video.py`` does, whatever the
        network was trained on: the face of which dlib is surest in each full frame,
        doubled once; frames without a face are skipped.
    backbone : str or None, default=None
        Which network it is; None tells Xception, MesoNet and EfficientNets of
        efficientnet_pytorch by their weights.
    classes : sequence of str or None, default=None
        Order of the classifier's outputs. None is the card's, or ("real", "fake"), the
        order of FaceForensics++; ("fake", "real") turns them round. One logit is the
        log-odds of the second.
    image_size : int or None, default=None
        Side of the input, pixels; None is the network's own.
    compression : {"raw", "c23", "c40", "auto"} or None, default=None
        Of the videos it was trained on; None takes it from the card or the name.
        ``"auto"`` opens several files, and every video is scored by the one that was
        trained nearest to its quality.
    trained_on : list of str or None, default=None
        Names of the data it saw; [] says that none of yours is among them. None takes
        it from the card or the name; unknown where these do not tell.
    margin : float or None, default=None
        Side of a face crop, in sides of the face's box; None is the card's, or 1.3.
    mean, std : sequence of 3 floats or None, default=None
        By channel, of RGB scaled to 0..1, where the network was trained with others
        than its backbone; None is the card's, or the backbone's.
    **params
        Of `PrefitDetector`: ``n_frames``, ``pooling``, ``n_threads``, ...

    Returns
    -------
    PrefitDetector or CompressionRouter
        Its network is ``module_``, logits in the order real, fake, and its card
        ``card_``. Of several files, a `CompressionRouter`.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, wants foreign code run, is of another
        network, or has no classifier of two classes.

    References
    ----------
    Rössler et al. (2019), FaceForensics++. Afchar et al. (2018), MesoNet.

    Examples
    --------
    >>> import tempfile
    >>> from base_models import load_checkpoint
    >>> from base_models.backbones import build_network
    >>> from base_models.detectors.prefit import PrefitDetector, make_card
    >>> card = make_card("mesonet4", "face", source="mine.pth", trained_on=["mine"])
    >>> mine = PrefitDetector(card).with_network(build_network("mesonet4"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     mine.save(folder)
    ...     again = load_checkpoint(folder)
    >>> str(again), again.card_["trained_on"]
    ('mine_face', ['mine'])
    """
    if compression == "auto":
        return _routed(path, scope, compat, backbone, classes, image_size,
                       trained_on=trained_on, margin=margin, mean=mean, std=std,
                       **params)  # fmt: skip
    path = Path(path)
    _check_choices(scope, compat, classes)
    with refusing(CheckpointError, path, plain=True):
        card, network = _read(
            path, scope, compat, backbone, classes, image_size, compression,
            trained_on, margin, mean, std,
        )  # fmt: skip
    return PrefitDetector(card, **params).with_network(network)


def _read(
    path, scope, compat, backbone, classes, image_size, compression, trained_on, margin,
    mean, std,
):  # fmt: skip
    """Return the card and the network of a file or folder."""
    state = read_state_dict(path)
    card = read_card(path) if path.is_dir() else None
    facts = published_facts(path) if card is None else card
    backbone = backbone or (card or {}).get("backbone") or guess_backbone(state, path)
    scope = scope or facts["scope"] or ("face" if compat else None)
    if scope is None:
        raise UnknownNetworkError(
            f"{path.name}: whether it looks at whole frames or at face crops "
            "cannot be told from its name; give scope='frame' or scope='face'"
        )
    known = {} if card is None else {"margin": card["margin"], **card["transform"]}
    new = make_card(
        backbone,
        scope,
        image_size or known.get("image_size"),
        compat=compat or (card or {}).get("compat"),
        compression=compression or facts["compression"],
        trained_on=facts["trained_on"] if trained_on is None else list(trained_on),
        source=path.name if card is None else card["source"],
        source_sha256=(
            file_sha256(weights_file(path)) if card is None else card["source_sha256"]
        ),
        margin=known.get("margin", 1.3) if margin is None else margin,
        mean=known.get("mean") if mean is None else mean,
        std=known.get("std") if std is None else std,
    )
    kept = ("published", "fixture_scores", "classes")
    new |= {name: card[name] for name in kept if card is not None and name in card}
    check_card(new)
    if card is not None:
        _check_size(backbone, state)
    network = _network_of(new)
    load_backbone_weights(network.backbone, state, path)
    weight, bias = head_weights(state, network.head.in_features, path)
    if classes is not None and list(classes) == ["fake", "real"]:
        weight, bias = weight.flip(0), bias.flip(0)
    network.head.load_state_dict({"weight": weight, "bias": bias})
    return new, network


def _routed(paths, *choices, **more):
    from base_models.detectors.compression_router import CompressionRouter

    if isinstance(paths, (str, Path)) or len(paths) < 2:
        raise ValueError(
            "compression='auto' chooses among several checkpoints; got "
            f"{paths!r}: give a list, such as ['all_raw.p', 'all_c23.p', 'all_c40.p']"
        )
    by_level = {}
    for path in paths:
        detector = load_checkpoint(path, *choices, **more)
        level = detector.card_["compression"]
        if level is None or level in by_level:
            raise CheckpointError(
                f"{path}: the compression it was trained on is "
                + ("unknown" if level is None else f"{level}, as of another file")
                + "; convert it with compression='raw', 'c23' or 'c40' first, and "
                "give one file for each"
            )
        by_level[level] = detector
    return CompressionRouter(by_level)


def _check_size(backbone, state):
    """Refuse a card that names a network far larger than the weights beside it."""
    if timm_name(backbone) in MESONETS:
        return
    there = sum(values.numel() for values in state.values())
    needed = sum(values.numel() for values in full_names(timm_name(backbone)).values())
    if needed > 2 * there + _HEAD:
        raise CheckpointError(
            f"its card names {backbone!r}, which has {needed:,} weights, and its file "
            f"holds {there:,}"
        )


_HEAD = 5_000_000  # weights of a classifier that the file need not have


def _network_of(card):
    image_size = card["transform"]["image_size"]
    network = build_network(card["backbone"], weights=None, image_size=image_size)
    return FrameNetwork(network.backbone, network.head.in_features)


def _check_choices(scope, compat, classes):
    if scope not in (None, *VIEWS):
        raise ValueError(f"scope must be 'frame', 'face' or 'crop'; got {scope!r}")
    if compat not in (None, "ffpp_cli"):
        raise ValueError(f"compat must be 'ffpp_cli' or None; got {compat!r}")
    if classes is not None and sorted(classes) != ["fake", "real"]:
        raise ValueError(
            f"classes must be ('real', 'fake') or ('fake', 'real'); got {classes!r}"
        )
