"""Batches of sequences of features, by epoch."""

import numpy as np
import torch

from base_models.networks.sequence import padded
from base_models.training.batch import Batch
from base_models.training.pairing import video_shares


class SequenceSamples:
    """Sequences of labelled videos, drawn anew each epoch; see `ImageSamples`.

    Of a video with several faces one is drawn, each as often as any other.

    Parameters
    ----------
    features : list of list of ndarray of shape (n_images, n_features)
        Of each video and each of its faces, in the order of time.
    is_fake, groups, weight : ndarray of shape (n_videos,)
    batch_size : int
    balance_groups : bool
    seed : int
    """

    def __init__(
        self, features, is_fake, groups, weight, batch_size, balance_groups, seed
    ):
        self.features, self.is_fake, self.weight = features, is_fake, weight
        self.seed = seed
        self._share = video_shares(is_fake, groups, balance_groups)
        self.steps = -(-len(features) // batch_size)

    def batches(self, epoch):
        """Yield the batches of an epoch; see `ImageSamples.batches`."""
        draw = np.random.default_rng([self.seed, epoch])
        videos = draw.choice(len(self.features), len(self.features), p=self._share)
        for part in np.array_split(videos, self.steps):
            sequences = [
                self.features[video][draw.integers(len(self.features[video]))]
                for video in part
            ]
            yield Batch(
                padded(sequences),
                torch.from_numpy(self.is_fake[part].astype(np.float32)),
                torch.from_numpy(self.weight[part].astype(np.float32)),
            )
