"""Training images that are drawn once: their features are computed and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from base_models.store.store import Store, store_key
from base_models.training.batches import Batch, own_share

POOL_EPOCHS = 4  # whose images make a pool


class PooledSamples:
    """Features of a fixed pool of training images, in another order each epoch.

    The pool is what the first few epochs of the samples show: with their pseudo-fakes,
    pairs and changes. A real image and its own fake stay in one batch.

    Parameters
    ----------
    samples : ImageSamples
        Whose batches are images as they are, uint8.
    compute : callable
        Images (B, H, W, 3) to features (B, ...).
    n_rounds : int
        Epochs of the samples that make the pool.
    store : Store
        Where features are kept.
    key : str or None, default=None
        Stands for all that decides the samples and `compute`; None keeps features in
        memory alone.

    Attributes
    ----------
    steps : int
        Batches in an epoch.
    """

    def __init__(
        self,
        samples: Any,
        compute: Callable[[np.ndarray], np.ndarray],
        n_rounds: int,
        store: Store,
        key: str | None = None,
    ) -> None:
        self.samples, self.compute, self.n_rounds = samples, compute, n_rounds
        self.store, self.key = store, key
        self.steps = samples.steps
        self._rounds: dict[int, list[Batch]] = {}

    def batches(self, epoch: int, share: slice = slice(None)) -> Iterator[Batch]:
        """Yield the batches of an epoch; see `ImageSamples.batches`."""
        batches = self.round(epoch % self.n_rounds)
        order = np.random.default_rng([self.samples.seed, epoch])
        for at in order.permutation(len(batches)):
            batch = batches[at]
            rows = own_share(np.arange(len(batch.label)), share)
            yield Batch(
                batch.inputs[rows].float(), batch.label[rows], batch.weight[rows]
            )

    def round(self, number: int) -> list[Batch]:
        """Return the batches of one round of the pool, computed when first asked for.

        Parameters
        ----------
        number : int
            From 0 to ``n_rounds - 1``.

        Returns
        -------
        list of Batch
            Their inputs as `compute` gave them.
        """
        if number not in self._rounds:
            self._rounds[number] = self._kept(number)
        return self._rounds[number]

    def _kept(self, number):
        if self.key is None:
            return list(self._computed(number))
        key = store_key(pool=self.key, number=number)
        entry = self.store.get("features", key)
        if entry is None:
            batches = list(self._computed(number))
            parts = ("inputs", "label", "weight")
            arrays = {
                part: np.concatenate([getattr(b, part).numpy() for b in batches])
                for part in parts
            }
            arrays["sizes"] = np.array([len(batch.label) for batch in batches])
            self.store.put("features", key, arrays)
            return batches
        arrays = entry[0]
        ends = np.cumsum(arrays["sizes"])[:-1]
        parts = [
            np.split(np.array(arrays[part]), ends)
            for part in ("inputs", "label", "weight")
        ]
        return [
            Batch(*map(torch.from_numpy, three)) for three in zip(*parts, strict=True)
        ]

    def _computed(self, number):
        for batch in self.samples.batches(number):
            features = self.compute(batch.inputs.numpy())
            yield Batch(torch.from_numpy(features), batch.label, batch.weight)
