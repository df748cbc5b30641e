"""A recurrent network over frames' features: what changes from one to the next."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from base_models.detectors.bases.eight_bits import InEightBits
from base_models.detectors.bases.measured import FeatureDetector
from base_models.detectors.bases.network import NetworkDetector, train_on_groups
from base_models.detectors.frame import FrameDetector
from base_models.faces.face import FaceFinder
from base_models.inference.engines import engine_key
from base_models.networks.sequence import SequenceNetwork, sequence_scores
from base_models.networks.weights import check_there, starts_random, state_digest
from base_models.runtime.devices import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.store.store import Store, resolve_store
from base_models.training.batches import SequenceSamples
from base_models.training.recipe import TrainingRecipe, resolve_recipe
from base_models.training.validation import Validation
from base_models.views.spec import ViewRecipe
from base_models.views.view import View

if TYPE_CHECKING:
    from typing_extensions import Self


class LSTMDetector(InEightBits, FeatureDetector):
    """Score a video by the sequence of its frames' features.

    A frozen network turns each image into features, computed once and shared with
    ``FrameDetector(train="head")`` of the same backbone; an LSTM (Hochreiter and
    Schmidhuber, 1997) or GRU reads them in the order of time (as Güera and Delp, 2018,
    do). Sequences may differ in length: what is padded is masked and changes nothing.
    With several faces each is a sequence of its own, and the video has their mean.

    Parameters
    ----------
    backbone, view, weights, image_size, n_frames, faces, finder, margin, align
        As for `FrameDetector`, but for 32 frames. The better the network knows
        forgeries, the more the sequence says: give the file of a fine-tuned one, or
        `features`.
    features : FrameDetector, FrozenEstimator or None, default=None
        Another source of features, which takes the place of all parameters above. A
        `FrameDetector` is cloned and fitted on the same videos first (with the store,
        device and threads of this one), so that nothing leaks from one fold to
        another; its body gives the features. In scikit-learn's ``FrozenEstimator``
        one that is fitted already is used as it is: then the videos it was fitted on
        must not be among those scored out of fold.
    rnn : {"lstm", "gru"}, default="lstm"
        Kind of the cells.
    hidden_size : int, default=64
        Cells in each direction.
    dropout : float, default=0.3
        On features and before the head, in training.
    epochs : int, default=30
        Passes over the training videos.
    batch_size : int, default=16
        Sequences in a step.
    learning_rate, weight_decay : float, default=1e-3, 0.01
        The peak of the learning rate, and AdamW's decay.
    recipe : TrainingRecipe or None, default=None
        Of it hold warmup, label_smoothing, balance_groups, averaging, validation,
        patience and clip_norm.
    n_threads, random_state, store, device, engine, verbose, sampling
        As for `FrameDetector`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    module_ : SequenceNetwork
        Logits in the order real, fake.
    extractor_ : FrameDetector
        Its body gives the features.
    history_ : list of dict
        Per epoch; see `FrameDetector`.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Notes
    -----
    A timeline has the score of the sequence up to each frame.

    References
    ----------
    Güera and Delp (2018), Deepfake video detection using recurrent neural networks.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models import LSTMDetector
    >>> shades = np.repeat([40, 200], 6)  # dark videos are real, bright ones fake
    >>> videos = [np.full((4, 32, 32, 3), shade, np.uint8) for shade in shades]
    >>> detector = LSTMDetector(
    ...     "test_resnet", view="frame", weights=None, image_size=32, n_frames=3,
    ...     epochs=10, learning_rate=0.01, random_state=0,
    ... )
    >>> detector.fit(videos, shades > 100).predict(videos[::6])
    array([False,  True])
    """

    code_version = 1
    _outside_identity = NetworkDetector._outside_identity | {"features"}

    def __init__(
        self,
        backbone: str = "xception",
        view: str = "face",
        weights: str | Path | None = "imagenet",
        image_size: int | None = None,
        n_frames: int = 32,
        faces: str = "largest",
        finder: FaceFinder | None = None,
        margin: float = 1.3,
        align: bool = False,
        features: FrameDetector | FrozenEstimator | None = None,
        rnn: str = "lstm",
        hidden_size: int = 64,
        dropout: float = 0.3,
        epochs: int = 30,
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        recipe: TrainingRecipe | None = None,
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
        self.weights = weights
        self.image_size = image_size
        self.n_frames = n_frames
        self.faces = faces
        self.finder = finder
        self.margin = margin
        self.align = align
        self.features = features
        self.rnn = rnn
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.recipe = recipe
        self.n_threads = n_threads
        self.random_state = random_state
        self.store = store
        self.device = device
        self.engine = engine
        self.verbose = verbose
        self.sampling = sampling

    def __str__(self):
        images = self._image_detector()
        return f"{images.backbone}_{self.rnn}_{images.view}"

    @property
    def card_(self) -> dict[str, Any]:
        """What the network that gives the features has seen before, if anything."""
        images = self._image_detector()
        if isinstance(self.features, FrozenEstimator):
            return getattr(images, "card_", {"trained_on": None})
        return images.card_

    def _check_parameters(self):
        if self.rnn not in ("lstm", "gru"):
            raise ValueError(f"rnn must be 'lstm' or 'gru'; got {self.rnn!r}")
        resolve_recipe(self.recipe)
        resolve_device(self.device)  # not there?

    def _fit_parts(self, videos, y, groups, sample_weight):
        super()._fit_parts(videos, y, groups, sample_weight)
        self.extractor_ = self._fitted_extractor(videos, y, groups, sample_weight)

    def score_views(
        self, views: dict[str, View], shared: dict
    ) -> tuple[float, str, pd.DataFrame]:
        """Score one video from its views; see `ViewDetector.score_views`."""
        view = views[self._recipe_in_use().key]
        frames = {"frame": view.frames, "face": view.faces, "score": np.zeros(0)}
        if view.reason:
            return np.nan, view.reason, pd.DataFrame(frames)
        sequences = self._features(view, resolve_store(self.store))
        frames["score"] = np.zeros(len(view.faces))
        ends = []
        for face, sequence in zip(np.unique(view.faces), sequences, strict=True):
            scores = self._score_features(sequence)
            frames["score"][view.faces == face] = scores
            ends.append(scores[-1])
        return float(np.mean(ends)), "", pd.DataFrame(frames)

    def deciding_frames(self, frames: pd.DataFrame) -> NDArray:
        """The last of each face: its score is that of the whole sequence."""
        return ~frames["face"].duplicated(keep="last").to_numpy()

    def identity(self) -> dict[str, Any]:
        """Return what decides the outcome of a fit; see `FrameDetector.identity`."""
        extractor = self._image_detector().identity()
        if isinstance(self.features, FrozenEstimator):
            extractor["fitted"] = state_digest(self.features.estimator.module_)
        return {
            **super().identity(),
            "extractor": extractor,
            "threads": resolve_threads(self.n_threads),
            "device": resolve_device(self.device).type,
            **engine_key(self.engine, self.device),
        }

    def get_state(
        self, portable: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what was learned: (meta, arrays); see `FrameDetector.get_state`.

        The weights of a network in ``FrozenEstimator`` are left to the parameters.
        """
        meta = self._state(history=self.history_, n_features=self.module_.n_features)
        meta |= self._ranges_state()
        parts = {"sequence": self.module_.state_dict()}
        if not isinstance(self.features, FrozenEstimator):
            again = self.features is None and not (
                portable or starts_random(self.backbone, self.weights)
            )
            parts["extractor"] = {} if again else self.extractor_.module_.state_dict()
            meta["weights_key"] = self.extractor_.weights_key_
        arrays = {
            f"{part}/{name}": np.asarray(value.cpu(), order="C")
            for part, state in parts.items()
            for name, value in state.items()
        }
        return meta, arrays

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described."""
        self._take_state(meta)
        self._take_ranges_state(meta)
        parts = {"sequence": {}, "extractor": {}}
        for name, value in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = torch.from_numpy(value)
        self.history_ = meta["history"]
        self.module_ = self._network(meta["n_features"])
        self.module_.load_state_dict(parts["sequence"])
        self.module_.eval()
        if isinstance(self.features, FrozenEstimator):
            self.extractor_ = self._frozen_extractor()
            return self
        kept = parts["extractor"]
        begun_with = self.weights if self.features is None else None
        check_there(kept, self.backbone, begun_with)
        self.extractor_ = self._bare_extractor(trained=not kept)
        if kept:
            self.extractor_.module_.load_state_dict(kept)
        self.extractor_.weights_key_ = state_digest(self.extractor_.module_.backbone)
        return self

    def multiply_adds(self) -> float:
        """Return those of the extractor: the sequence network's are next to none."""
        return self._with_ours(self.extractor_).multiply_adds()

    def estimate_fit_seconds(self, n_videos: int) -> float:
        """Return about how many seconds a fit takes here: those of the extractor."""
        if self.features is None or isinstance(self.features, FrozenEstimator):
            return 0.0
        extractor = self._with_ours(clone(self._image_detector()))
        return extractor.estimate_fit_seconds(n_videos)

    def _image_detector(self):
        """The detector that looks at images, with its parameters."""
        given = self.features
        if given is None:
            names = (
                "backbone",
                "view",
                "weights",
                "image_size",
                "n_frames",
                "faces",
                "sampling",
            )
            names += (
                "finder",
                "margin",
                "align",
                "n_threads",
                "store",
                "device",
                "engine",
            )
            params = {name: getattr(self, name) for name in names}
            return FrameDetector(train="head", dropout=0.0, random_state=0, **params)
        if isinstance(given, FrozenEstimator):
            given = given.estimator
        if isinstance(given, FrameDetector):
            return given
        raise TypeError(
            "features must be a FrameDetector, one in FrozenEstimator, or None; got "
            f"{type(given).__name__}. For a checkpoint give its file as weights"
        )

    def _fitted_extractor(self, videos, y, groups, sample_weight):
        if isinstance(self.features, FrozenEstimator):
            return self._frozen_extractor()
        if self.features is None:
            extractor = self._bare_extractor()
            extractor.weights_key_ = state_digest(extractor.module_.backbone)
            return extractor
        extractor = self._with_ours(clone(self._image_detector()))
        if extractor.random_state is None:
            draw = check_random_state(self.random_state)
            extractor.random_state = draw.randint(2**31 - 1)
        extractor.fit(videos, y, groups=groups, sample_weight=sample_weight)
        return _body_named(extractor)

    def _frozen_extractor(self):
        extractor = self._image_detector()
        check_is_fitted(extractor)
        return _body_named(self._with_ours(copy.copy(extractor)))

    def _bare_extractor(self, trained=True):
        """The network as it starts, in a detector whose head nobody asks."""
        extractor = self._with_ours(clone(self._image_detector()))
        with repeatable(0, resolve_threads(self.n_threads)):
            extractor.module_ = extractor._build(trained).eval()
        return extractor

    def _with_ours(self, extractor):
        return extractor.set_params(
            store=self.store,
            device=self.device,
            engine=self.engine,
            n_threads=self.n_threads,
        )

    def _network_that_runs(self):
        extractor = self.extractor_
        return extractor.module_.backbone, extractor._preparation()

    def _view_recipe(self) -> ViewRecipe:
        return self._image_detector()._view_recipe()

    def _features(self, view, store):
        """Return one sequence of features (n_images, n_features) for each face."""
        # Ours may have changed: an ensemble that is loaded is told its device.
        extractor = self._with_ours(self.extractor_)
        self._hand_ranges_to(extractor)
        with fixed_threads(resolve_threads(self.n_threads)):
            rows = extractor._features(view, store)
        return [rows[view.faces == face] for face in np.unique(view.faces)]

    def _measure(self, view):
        raise NotImplementedError("the extractor keeps its features itself")

    def _network(self, n_features):
        return SequenceNetwork(n_features, self.hidden_size, self.rnn, self.dropout)

    def _learn(self, features, is_fake, weight, groups, seed):
        recipe = resolve_recipe(self.recipe)
        with repeatable(seed, resolve_threads(self.n_threads)):
            network = self._network(features[0][0].shape[1])

            def samples(rows):
                sequences = [features[row] for row in rows]
                images = np.concatenate([face for faces in sequences for face in faces])
                network.set_scale(images.mean(0), images.std(0))
                return SequenceSamples(
                    sequences,
                    is_fake[rows],
                    groups[rows],
                    weight[rows],
                    self.batch_size,
                    recipe.balance_groups,
                    seed,
                )

            def validation(rows):
                return Validation(
                    [features[row] for row in rows],
                    is_fake[rows],
                    lambda network, faces: np.array(
                        [sequence_scores(network, face)[-1] for face in faces]
                    ),
                )

            self.history_ = train_on_groups(
                self, network, is_fake, groups, seed, samples, validation, staged=False
            )
        self.module_ = network.cpu()

    def _score_features(self, features):
        with fixed_threads(resolve_threads(self.n_threads)):
            return sequence_scores(self.module_, features)


def _body_named(detector):
    """Name the features of a fitted detector by the body that gives them."""
    if detector.train != "head":  # it is no longer the one it started as
        detector.weights_key_ = state_digest(detector.module_.backbone)
    return detector
