"""Batches that a network learns from: drawn by video, of stored features."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from base_models.networks.sequence import padded


@dataclasses.dataclass
class Batch:
    """Inputs of one step.

    Attributes
    ----------
    inputs : Tensor of shape (B, ...)
        What the network takes.
    label : Tensor of shape (B,)
        0 real to 1 fake, anything between for mixtures.
    weight : Tensor of shape (B,)
        Weight within the class.
    """

    inputs: torch.Tensor
    label: torch.Tensor
    weight: torch.Tensor


def video_shares(is_fake: Any, groups: Any, balanced: Any) -> Any:
    """How often each video is drawn; sums to 1."""
    share = np.ones(len(is_fake))
    if balanced:
        for label in np.unique(is_fake):
            rows = np.flatnonzero(is_fake == label)
            _, which, sizes = np.unique(
                groups[rows], return_inverse=True, return_counts=True
            )
            share[rows] = 1 / (sizes[which] * len(sizes))
    return share / share.sum()


def own_share(part: Any, share: Any) -> Any:
    """This process's share of a batch, which must not be empty."""
    own = part[share]
    if not len(own):
        raise ValueError(
            f"a batch of {len(part)} cannot be shared by {share.step} processes; raise "
            "batch_size or start fewer"
        )
    return own


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
        features: list[np.ndarray],
        is_fake: Any,
        groups: Any,
        weight: np.ndarray,
        *,
        frames_per_epoch: int = 4,
        batch_size: int = 16,
        balance_groups: bool = True,
        seed: int = 0,
    ) -> None:
        self.features, self.is_fake, self.weight = features, is_fake, weight
        self.seed = seed
        groups = np.arange(len(features)) if groups is None else groups
        self._share = video_shares(is_fake, groups, balance_groups)
        self._n_drawn = len(features) * frames_per_epoch
        self.steps = -(-self._n_drawn // batch_size)

    def batches(self, epoch: Any, share: Any = slice(None)) -> Iterator[Any]:
        """Yield the batches of an epoch; see `ImageSamples.batches`."""
        draw = np.random.default_rng([self.seed, epoch])
        videos = draw.choice(len(self.features), self._n_drawn, p=self._share)
        for part in np.array_split(videos, self.steps):
            picked = [self._pick(self.features[video], draw) for video in part]
            part = own_share(part, share)
            yield Batch(
                self._inputs(picked[share]),
                torch.from_numpy(self.is_fake[part].astype(np.float32)),
                torch.from_numpy(self.weight[part].astype(np.float32)),
            )

    def _pick(self, features, draw):
        return features[draw.integers(len(features)), draw.integers(features.shape[1])]

    def _inputs(self, picked):
        return torch.from_numpy(np.stack(picked).astype(np.float32))


class SequenceSamples(FeatureSamples):
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
        self,
        features: list[list[np.ndarray]],
        is_fake: np.ndarray,
        groups: np.ndarray,
        weight: np.ndarray,
        batch_size: int,
        balance_groups: bool,
        seed: int,
    ) -> None:
        super().__init__(
            features,
            is_fake,
            groups,
            weight,
            frames_per_epoch=1,
            batch_size=batch_size,
            balance_groups=balance_groups,
            seed=seed,
        )

    def _pick(self, features, draw):
        return features[draw.integers(len(features))]

    def _inputs(self, picked):
        return padded(picked)
