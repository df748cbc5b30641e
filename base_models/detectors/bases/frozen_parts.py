"""Training on what a frozen part of a network makes of images, computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from base_models.augmentation.pseudo_fakes import resolve_pseudo_fakes
from base_models.detectors.bases.fitting import stored_features
from base_models.detectors.bases.logistic_head import fit_logistic_head
from base_models.networks.splitting import split_last_blocks, split_last_stage
from base_models.networks.weights import state_digest
from base_models.runtime.devices import resolve_device
from base_models.runtime.progress import progress_bar
from base_models.store.store import store_key
from base_models.training.batches import FeatureSamples
from base_models.training.pooled_samples import POOL_EPOCHS, PooledSamples
from base_models.training.recipe import resolve_recipe
from base_models.training.validation import Validation

if TYPE_CHECKING:
    from typing_extensions import Self


class OnFrozenParts:
    """What `FrameDetector` does where only the head, or the last part, learns.

    Without pseudo-fakes the frozen part looks at each image and its mirror image once,
    for all folds. With them it looks once at a pool of images: those of the first
    epochs, which later ones show again.
    """

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described."""
        super().set_state(meta, arrays)  # type: ignore[misc]
        if self.train == "head":  # features are known by what gives them, not by `meta`
            self.weights_key_ = state_digest(self.module_.backbone)
        return self

    def _fit_head(self, network, data):
        """Compute the features of the frozen network once; fit the head on them."""
        self.module_, self.history_ = network.eval(), []
        self.weights_key_ = state_digest(network.backbone)
        if resolve_pseudo_fakes(self.pseudo_fakes, data.is_fake) is not None:
            self._fit_head_on_pool(network, data)
            return
        bar = progress_bar(data.views, self._progress(f"{self} features"))
        features = [self._features(view, data.store) for view in bar]
        counts = np.array([len(rows) for rows in features])
        per_image = np.repeat(data.weight / counts, counts)
        fit_logistic_head(
            network.head,
            np.concatenate(features),
            np.repeat(data.is_fake, counts),
            per_image * (len(counts) / per_image.sum()),
            self.C,
        )

    def _fit_head_on_pool(self, network, data):
        samples, _ = self._on_images(data, _as_they_are)
        rows = np.arange(len(data.views))
        pool = self._pool(samples(rows), network.backbone, np.float32, data)
        batches = [b for number in range(pool.n_rounds) for b in pool.round(number)]
        inputs, label, weight = (
            np.concatenate([getattr(batch, part).numpy() for batch in batches])
            for part in ("inputs", "label", "weight")
        )
        weight = weight / weight.mean()
        fit_logistic_head(network.head, inputs, label >= 0.5, weight, self.C)

    def _pool(self, samples, trunk, dtype, data):
        """The images of the first epochs, and what a frozen network makes of them."""
        key = self._training_key(data)
        return PooledSamples(
            samples,
            lambda images: self._run_frozen(trunk, images).astype(dtype),
            min(self.epochs, POOL_EPOCHS),
            data.store,
            key and store_key(training=key, rows=len(samples.views)),
        )

    def _train_tail(self, network, data, staged):
        """Compute the frozen part once; train what stands on it."""
        size, device = self.recipe_.image_size, resolve_device(self.device)
        network = network.to(device)
        if self.train == "last_stage":
            trunk, tail = split_last_stage(network, size)
        else:
            trunk, tail = split_last_blocks(network, self.n_blocks, size)
        self.weights_key_ = state_digest(network.backbone)
        pairs = self.train == "last_blocks" and resolve_recipe(self.recipe).pairs
        fakes = resolve_pseudo_fakes(self.pseudo_fakes, data.is_fake)
        if pairs or fakes is not None:
            images, validation = self._on_images(
                data, _as_they_are, lambda tail: torch.nn.Sequential(trunk, tail)
            )

            def samples(rows):
                return self._pool(images(rows), trunk.eval(), np.float16, data)

        else:
            samples, validation = self._on_maps(trunk, data)
        self._run(tail, data, samples, validation, staged)
        network.load_state_dict({**network.state_dict(), **tail.state_dict()})
        del self.weights_key_  # no longer those it started as
        self.module_ = network.eval()

    def _on_maps(self, trunk, data):
        """What the frozen part makes of the videos' images, mirrored too."""
        recipe = resolve_recipe(self.recipe)
        bar = progress_bar(data.views, self._progress(f"{self} features"))
        maps = [self._stage_maps(view, trunk.eval(), data.store) for view in bar]

        def samples(rows):
            return FeatureSamples(
                [maps[row] for row in rows],
                data.is_fake[rows],
                data.groups[rows],
                data.weight[rows],
                frames_per_epoch=self.frames_per_epoch,
                batch_size=self.batch_size,
                balance_groups=recipe.balance_groups,
                seed=data.seed,
            )

        def validation(rows):
            return Validation(
                [maps[row][0].astype(np.float32) for row in rows],
                data.is_fake[rows],
                self._scorer(torch.Tensor.float),
            )

        return samples, validation

    def _stage_maps(self, view, trunk, store):
        """What the last stage takes, of images and mirror images: (2, n_images, ...).

        Kept in half precision, 0.05 % of each value.
        """

        def compute():
            both = view.images, view.images[..., ::-1, :].copy()
            maps = [self._run_frozen(trunk, images) for images in both]
            return np.stack(maps).astype(np.float16)

        key = store_key(stage=trunk.stage, features=self._feature_key(view))
        return stored_features(store, key, compute)


def _as_they_are(images):
    return images
