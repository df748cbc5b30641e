"""Batches of features that a frozen network computed, by epoch."""

import numpy as np
import torch

from base_models.training.batch import Batch
from base_models.training.pairing import own_share, video_shares


class FeatureSamples:
    """Stored features of labelled videos, drawn anew each epoch.

    Parameters
    ----------
    features : list of ndarray of shape (n_variants, n_images, ...)
        Of each video; one of the variants (the image and its mirror image) is drawn.
    is_fake, groups, weight, frames_per_epoch, batch_size, balance_groups, seed
        As for `ImageSamples`.

    Attributes
    ----------
    steps : int
        Batches in an epoch.
    """

    def __init__(
        self,
        features,
        is_fake,
        groups,
        weight,
        *,
        frames_per_epoch=4,
        batch_size=16,
        balance_groups=True,
        seed=0,
    ):
        self.features, self.is_fake, self.weight = features, is_fake, weight
        self.seed = seed
        groups = np.arange(len(features)) if groups is None else groups
        self._share = video_shares(is_fake, groups, balance_groups)
        self._n_drawn = len(features) * frames_per_epoch
        self.steps = -(-self._n_drawn // batch_size)

    def batches(self, epoch, share=slice(None)):
        """Yield the batches of an epoch; see `ImageSamples.batches`."""
        draw = np.random.default_rng([self.seed, epoch])
        videos = draw.choice(len(self.features), self._n_drawn, p=self._share)
        for part in np.array_split(videos, self.steps):
            rows = [self.features[video] for video in part]
            picked = [
                row[draw.integers(row.shape[0]), draw.integers(row.shape[1])]
                for row in rows
            ]
            part = own_share(part, share)
            yield Batch(
                torch.from_numpy(np.stack(picked[share]).astype(np.float32)),
                torch.from_numpy(self.is_fake[part].astype(np.float32)),
                torch.from_numpy(self.weight[part].astype(np.float32)),
            )
