"""What detectors share that look at views and train a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted
from torch import nn

from base_models.augmentation.augment import resolve_augment
from base_models.augmentation.pseudo_fakes import resolve_pseudo_fakes
from base_models.detectors.bases.eight_bits import InEightBits
from base_models.detectors.bases.fitting import TrainedDetector
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.inference.counting import multiply_adds
from base_models.inference.engines import check_engine, run_frozen
from base_models.networks.forward import forward
from base_models.runtime.devices import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.runtime.distributed import joined_processes, n_processes
from base_models.runtime.warn_once import caller_has_warned
from base_models.store.store import KeptState, store_key
from base_models.store.versions import is_own
from base_models.training.image_batches import ImageSamples, SizedFakes
from base_models.training.loop import let_learn, train_network
from base_models.training.recipe import resolve_recipe
from base_models.training.timing import seconds_per_step, steps_per_epoch, warn_if_slow
from base_models.training.validation import Validation, held_out_groups
from base_models.views.spec import ViewRecipe
from base_models.views.view import View

if TYPE_CHECKING:
    from typing_extensions import Self


class NetworkDetector(InEightBits, TrainedDetector):
    """Base class of detectors in which a torch network looks at single images.

    A subclass builds the network and says how its images are prepared; sampling,
    training, scoring and pooling are the same for all.
    """

    code_version = 1  # raise it as `base_models.store.versions.own_versions` says
    key_libraries = ("timm", "torch")
    _outside_identity = TrainedDetector._outside_identity | {
        "device",
        "engine",
        "n_threads",
    }
    _clip_length = 1  # frames in a row that the network sees at once

    pools_frames = True  # each frame has a score of its own: steps of frames may do

    def score_views(
        self, views: dict[str, View], shared: dict
    ) -> tuple[float, str, pd.DataFrame]:
        """Score one video from its views; see `ViewDetector.score_views`."""
        with fixed_threads(resolve_threads(self.n_threads)):
            return super().score_views(views, shared)

    def identity(self) -> dict[str, Any]:
        """Return what decides the outcome of a fit; see `TrainedDetector.identity`."""
        identity = super().identity() | {
            "threads": resolve_threads(self.n_threads),
            "device": resolve_device(self.device).type,
        }
        if n_processes() > 1:  # each normalises by what it sees
            identity["processes"] = n_processes()
        return identity

    def get_state(
        self, portable: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what was learned, without anything executable.

        Parameters
        ----------
        portable : bool, default=True
            Include frozen weights that could be had again from where they came.

        Returns
        -------
        meta : dict
            Ready for JSON.
        arrays : dict of str to ndarray
            The network's weights.
        """
        check_is_fitted(self)
        head_alone = not portable and self._stands_on_known_weights()
        learned = (
            self.module_.head.state_dict(prefix="head.")
            if head_alone
            else self.module_.state_dict()
        )
        arrays = {
            # Convolutions are channels last here; what is kept has the plain order.
            name: np.asarray(value.cpu(), order="C")
            for name, value in learned.items()
        }
        meta = {
            "classes": self.classes_.tolist(),
            "history": self.history_,
            "unscorable": self.unscorable_,
            "weights_key": getattr(self, "weights_key_", None),
            **self._ranges_state(),
        }
        return meta, arrays

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described.

        Parameters
        ----------
        meta, arrays
            From `get_state` of a detector with the same parameters.

        Returns
        -------
        self
        """
        self._take_state(meta)
        self._take_ranges_state(meta)
        self.history_ = meta["history"]
        with repeatable(0, resolve_threads(self.n_threads)):
            network = self._rebuild(list(arrays))
        state = {name: torch.from_numpy(value) for name, value in arrays.items()}
        head_alone = all(name.startswith("head.") for name in state)
        if state and head_alone and self._stands_on_known_weights():
            head = {name.removeprefix("head."): value for name, value in state.items()}
            network.head.load_state_dict(head)
        else:
            network.load_state_dict(state)
        self.module_ = network.eval()
        return self

    def multiply_adds(self) -> float:
        """Return how many multiply-adds the network needs for a video with one face.

        Returns
        -------
        float
            Those of one image, counted by torch, times `n_frames`.
        """
        check_is_fitted(self)
        shape = self._view_recipe().image_shape
        return self.n_frames * multiply_adds(self.module_, self._preprocess, shape)

    def estimate_fit_seconds(self, n_videos: int) -> float:
        """Return about how many seconds a fit takes here, views not counted.

        Parameters
        ----------
        n_videos : int
            Videos in the training set.

        Returns
        -------
        float
            Measured on one training step; 0 where images are not looked at anew in each
            epoch, or not on a CPU.
        """
        if not self._trains_on_images or resolve_device(self.device).type != "cpu":
            return 0.0
        with repeatable(0, resolve_threads(self.n_threads)):
            return self._estimate(self._learner(trained=False), n_videos)

    def _stands_on_known_weights(self):
        """Whether all but the head can be had again from where it came."""
        return False

    @property
    def _trains_on_images(self):
        """Whether the network sees images, and not what a part of it made of them."""
        return self.train == "full"

    @property
    def _takes_fakes(self):
        """Whether pseudo-fakes can be part of what it learns from."""
        return self._trains_on_images

    def _learner(self, trained=True):
        """Return the network as it learns."""
        return self._build(trained)

    def _learning_names(self, network):
        """Return the names of the parameters that learn; None for all."""

    def _estimate(self, network, n_videos):
        let_learn(network, self._learning_names(network))
        steps = self.epochs * steps_per_epoch(
            n_videos, self.frames_per_epoch, self.batch_size
        )
        device = resolve_device(self.device)
        size = self._view_recipe().image_size
        return steps * seconds_per_step(network, size, self.batch_size, device)

    @property
    def fits_on_reals(self) -> bool:
        """Whether `fit` can do with real videos alone: on pseudo-fakes made of them."""
        return self._takes_fakes and self.pseudo_fakes not in (None, False)

    def _check_parameters(self):
        resolve_recipe(self.recipe)
        resolve_augment(self.augment)
        made = resolve_pseudo_fakes(self.pseudo_fakes, [0, 1])
        if made is not None and not self._takes_fakes:
            raise ValueError(
                f"pseudo_fakes need train='full'; got train={self.train!r}"
            )
        check_engine(self.engine)

    def _processes(self):
        return joined_processes(resolve_device(self.device))

    def _fit_threads(self):
        return resolve_threads(self.n_threads)

    def _train(self, network, data, staged):
        """Train a network on images; on a CPU, say so first when it will take long."""
        if resolve_device(self.device).type == "cpu" and not caller_has_warned():
            fakes = resolve_pseudo_fakes(self.pseudo_fakes, data.is_fake)
            with repeatable(0, resolve_threads(self.n_threads)):
                seconds = self._estimate(network, len(data.views))
                warn_if_slow((2 if fakes else 1) * seconds, str(self))
        samples, validation = self._on_images(data, self._preprocess)
        self._run(network, data, samples, validation, staged)
        self.module_ = network

    def _on_images(self, data, prepare, whole=None):
        """Return what makes samples of rows of the videos, and what makes a validation.

        The samples' images are prepared by `prepare`; `whole` makes a network that
        takes images of the one that learns, where that takes other things.
        """
        recipe, views = resolve_recipe(self.recipe), data.views
        fakes = resolve_pseudo_fakes(self.pseudo_fakes, data.is_fake)
        sources, landmarks = views, None
        if fakes is not None:
            fakes = SizedFakes(fakes, self.recipe_.image_size)
            text = self._progress("looking at more of the videos")
            device = resolve_device(self.device)
            sources, landmarks = fakes.sources(views, data.store, text, device)

        def samples(rows):
            return ImageSamples(
                views.take(rows),
                data.is_fake[rows],
                data.groups[rows],
                data.weight[rows],
                prepare,
                frames_per_epoch=self.frames_per_epoch,
                batch_size=self.batch_size,
                balance_groups=recipe.balance_groups,
                mixup=recipe.mixup,
                pairs=recipe.pairs,
                augment=resolve_augment(self.augment, self.recipe_.clip_length),
                pseudo_fakes=fakes,
                landmarks=None if fakes is None else landmarks.take(rows),
                sources=sources.take(rows),
                n_workers=self._n_loaders(),
                seed=data.seed,
            )

        def validation(rows):
            return Validation(
                (views if data.is_fake.any() else sources).take(rows),
                data.is_fake[rows],
                self._scorer(self._preprocess, whole),
                fakes,
                None if fakes is None else landmarks.take(rows),
                data.seed,
            )

        return samples, validation

    def _n_loaders(self):
        """How many threads make batches, as `ImageSamples` takes it."""
        if not self._draws_alone():
            return 0
        # a network on the CPU wants the cores; a GPU waits for several of them
        return 1 if resolve_device(self.device).type == "cpu" else None

    def _draws_alone(self):
        """Whether all that changes images draws from generators of its own."""
        changing = self.augment, self.pseudo_fakes, getattr(self, "transform", None)
        foreign = [c for c in changing if callable(c) and not is_own(c)]
        return is_own(self) and not foreign

    def _run(self, network, data, samples, validation, staged):
        """Train a network, alone or with other processes, kept where it is stopped."""
        self.history_ = train_on_groups(
            self,
            network,
            data.is_fake,
            data.groups,
            data.seed,
            samples,
            validation,
            staged=staged,
            learns=self._learning_names(network),
            keep=self._keep(data),
            processes=self._processes(),
        )

    def _scorer(self, preprocess, whole=None):
        """What gives P(fake) of each of the inputs of a network."""
        device = resolve_device(self.device)

        def score(network, inputs):
            network = network if whole is None else whole(network)
            return fake_probability(forward(network, preprocess, inputs, device))

        return score

    def _keep(self, data):
        """Where an interrupted training is kept; None if it cannot be told again."""
        key = self._training_key(data)
        return None if key is None else KeptState(data.store, "training", key)

    def _training_key(self, data):
        """Stand for all that decides a training; None if it cannot be told again."""
        try:
            return store_key(
                detector=self.identity(),
                views=data.views.keys,
                is_fake=data.is_fake,
                weight=data.weight,
                groups=data.groups,
                seed=data.seed,
            )
        except TypeError:
            return None

    def _image_scores(self, view, shared):
        return fake_probability(self._run_frozen(self.module_, view.images))

    def _run_frozen(self, network, images):
        return run_frozen(
            network,
            self._preparation(),
            images,
            self.engine,
            self.n_threads,
            self.device,
            self.store,
            self._ranges(),
        )

    def _network_that_runs(self):
        return self.module_, self._preparation()

    def _preparation(self):
        """How images become inputs; engines take a `Preprocessing` in."""
        return self._preprocess

    def _view_recipe(self):
        return ViewRecipe(
            view=self.view,
            image_size=self._image_size(),
            n_frames=self.n_frames,
            faces=self.faces,
            margin=self.margin,
            align=self.align,
            finder=DlibFaceFinder() if self.finder is None else self.finder,
            clip_length=self._clip_length,
            sampling=self.sampling,
        )


def train_on_groups(
    detector: TrainedDetector,
    network: nn.Module,
    is_fake: NDArray,
    groups: NDArray,
    seed: int,
    samples: Callable[[NDArray], Any],
    validation: Callable[[NDArray], Validation],
    **more: Any,
) -> list[dict[str, float]]:
    """Train a network on most groups; the others, held back, choose the best epoch.

    Parameters
    ----------
    detector : TrainedDetector
        Its parameters say how.
    network : torch.nn.Module
    is_fake, groups : ndarray of shape (n_videos,)
    seed : int
    samples : callable
        Rows of the videos to learn from -> what `train_network` takes.
    validation : callable
        Rows of the videos that are held back -> `Validation`.
    more
        As for `train_network`.

    Returns
    -------
    list of dict
        The history, as of `train_network`.
    """
    recipe = resolve_recipe(detector.recipe)
    learn, held = held_out_groups(is_fake, groups, recipe.validation, seed)
    return train_network(
        network,
        samples(learn),
        recipe,
        epochs=detector.epochs,
        learning_rate=detector.learning_rate,
        weight_decay=detector.weight_decay,
        validate=validation(held) if len(held) else None,
        device=resolve_device(detector.device),
        seed=seed,
        progress=detector._progress(f"{detector} training"),
        name=str(detector),
        **more,
    )


def fake_probability(logits: torch.Tensor) -> NDArray:
    """P(fake) from logits in the order real, fake: (n_images, 2) to (n_images,)."""
    logits = logits.astype(float)
    return expit(logits[:, 1] - logits[:, 0])
