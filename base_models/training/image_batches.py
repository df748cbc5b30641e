"""What a network is shown in training: images drawn, changed and labelled, by epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import torch

from base_models.faces.landmarks import Landmarks
from base_models.runtime.prefetch import look_ahead
from base_models.store.store import Store
from base_models.training.batches import Batch, own_share, video_shares
from base_models.views.collection import Views


class ImageSamples:
    """Images of labelled videos, drawn anew each epoch and changed by chance.

    What becomes of an image is drawn from a generator of its own, seeded by epoch and
    video, so that neither batches nor threads nor an interruption change it.

    Parameters
    ----------
    views : Views
        Of videos that each have at least one image.
    is_fake : ndarray of shape (n_videos,)
        0 real, 1 fake; there may be no fake where `pseudo_fakes` is given.
    groups : ndarray of shape (n_videos,) or None
        Integers; None means every video is a group.
    weight : ndarray of shape (n_videos,)
        Weight of each video within its class.
    preprocess : callable
        uint8 tensor (B, H, W, 3) -> float tensor (B, 3, H, W).
    frames_per_epoch, batch_size : int
        Frames drawn of each video in an epoch, on average; frames in a batch. With
        `pseudo_fakes` a frame of a real video makes two images.
    balance_groups : bool
        Draw classes, and groups within a class, equally often.
    mixup : float
        Chance that a fake is mixed with a real image of its group.
    pairs : bool
        Let each fake come with the same frame of the real video that it was made of,
        both changed alike: see `own_reals`.
    augment : callable or None
        ``augment(image, draw, landmarks) -> image``.
    pseudo_fakes : callable or None
        ``pseudo_fakes(image, landmarks, draw, donor) -> (real, fake)``; the donor is
        (image, landmarks) of a real video of another group, or None.
    landmarks : callable or None
        Video row -> ndarray (n_images, 68, 2); needed by `pseudo_fakes`.
    sources : Views or None, default=None
        Of the same frames, what `pseudo_fakes` are made of; None is `views`.
    n_workers : int or None, default=1
        Threads that make batches while the network learns from others; None is one for
        each core, at most 8. With 0 each is made when it is asked for: for functions
        that may draw from global generators, as torchvision's transforms do, of which
        dropout draws at the same time.
    seed : int
        Decides everything.

    Attributes
    ----------
    steps : int
        Batches in an epoch.
    """

    def __init__(
        self,
        views: Views,
        is_fake: np.ndarray,
        groups: np.ndarray | None,
        weight: np.ndarray,
        preprocess: Callable[..., Any],
        *,
        frames_per_epoch: int = 4,
        batch_size: int = 16,
        balance_groups: bool = True,
        mixup: float = 0.0,
        pairs: bool = False,
        augment: Callable[..., Any] | None = None,
        pseudo_fakes: Callable[..., Any] | None = None,
        landmarks: Callable[..., Any] | None = None,
        sources: Views | None = None,
        n_workers: int | None = 1,
        seed: int = 0,
    ) -> None:
        self.views, self.is_fake, self.weight = views, is_fake, weight
        self.sources = views if sources is None else sources
        self.groups = np.arange(len(views)) if groups is None else groups
        self.preprocess = preprocess
        self.mixup, self.augment = mixup, augment
        self.pseudo_fakes, self.landmarks = pseudo_fakes, landmarks
        self.n_workers, self.seed = n_workers, seed
        share = video_shares(
            is_fake, self.groups, balance_groups and pseudo_fakes is None
        )
        if pseudo_fakes is not None and balance_groups:
            share = video_shares(np.zeros_like(is_fake), self.groups, True)
        n_images = np.ones(len(views))  # that come of one draw
        self._own_real = dict(own_reals(views, is_fake, self.groups)) if pairs else {}
        if self._own_real:
            n_images[list(self._own_real)] = 2
            if pseudo_fakes is None:  # they come with their fakes
                share[list(set(self._own_real.values()))] = 0
            share = share / share.sum()
        self._share = share
        self._n_drawn = round(len(views) * frames_per_epoch / (share @ n_images))
        self.steps = -(-len(views) * frames_per_epoch // batch_size)

    def batches(self, epoch: int, share: slice = slice(None)) -> Iterator[Batch]:
        """Yield the batches of an epoch, as a rule made ahead in threads.

        Parameters
        ----------
        epoch : int
        share : slice, default=slice(None)
            The part of each batch to make; the others are other processes'.

        Yields
        ------
        Batch
        """
        draw = np.random.default_rng([self.seed, epoch])
        chosen = self._chosen(draw)
        parts = np.array_split(draw.permutation(len(chosen)), self.steps)
        yield from look_ahead(
            lambda part: self._batch(
                epoch, [chosen[i] for i in own_share(part, share)]
            ),
            parts,
            n_workers=self.n_workers,
            size=lambda batch: batch.inputs.nbytes,
        )

    def _chosen(self, draw):
        """Rows (video, image, how manieth of the video) of an epoch."""
        exact = self._n_drawn * self._share
        times = np.floor(exact).astype(int)
        rest = exact - times
        n_more = round(rest.sum())
        if n_more:
            # systematic sampling keeps each video's number within one of its share
            order = draw.permutation(len(times))
            marks = np.floor(np.cumsum(rest[order]) + draw.random()).astype(int)
            times[order] += np.diff(marks, prepend=0)
        return [
            (video, at, number)
            for video, n in enumerate(times)
            for number, at in enumerate(
                _draw_images(self.views.n_images[video], n, draw)
            )
        ]

    def _batch(self, epoch, chosen):
        images, labels, weights = [], [], []
        for video, at, number in chosen:
            draw = np.random.default_rng([self.seed, epoch, video, number])
            for image, label, row in self._samples(video, at, draw):
                images.append(image)
                labels.append(label)
                weights.append(self.weight[row])
        return Batch(
            self.preprocess(torch.from_numpy(np.stack(images))),
            torch.tensor(labels, dtype=torch.float32),
            torch.tensor(weights, dtype=torch.float32),
        )

    def _samples(self, video, at, draw):
        """Return (image, label, the video whose weight it has) of what is shown."""
        points = None
        if self.pseudo_fakes is not None and not self.is_fake[video]:
            image, own = self.sources[video].images[at], video
            points = self.landmarks(video)[at]
            donor = self._donor(video, draw)
            real, image = self.pseudo_fakes(image, points, draw, donor)
        else:
            image, own = self.views[video].images[at], self._own_real.get(video)
            if own is not None:
                real = self._same_frame(video, at)
        if own is None:
            image, label = self._perhaps_mixed(video, image, at, draw)
            return [(self._augmented(image, draw, None), label, video)]
        label = 1.0
        if draw.random() < self.mixup:
            image, label = _mixed(image, real, draw)
        seed = draw.integers(2**63)  # one for both: the fake's traces differ alone
        return [
            (self._augmented(shown, np.random.default_rng(seed), points), is_fake, row)
            for shown, is_fake, row in ((real, 0.0, own), (image, label, video))
        ]

    def _perhaps_mixed(self, video, image, at, draw):
        label = float(self.is_fake[video])
        if label and draw.random() < self.mixup:
            reals = np.flatnonzero(
                (self.groups == self.groups[video]) & (self.is_fake == 0)
            )
            if len(reals):
                partner = self.views[draw.choice(reals)].images
                return _mixed(image, partner[min(at, len(partner) - 1)], draw)
        return image, label

    def _same_frame(self, video, at):
        """The real image that a fake one was made of."""
        real = self.views[self._own_real[video]]
        wanted = self.views[video].frames[at]
        return real.images[np.argmin(np.abs(np.asarray(real.frames) - wanted))]

    def _augmented(self, image, draw, landmarks):
        return image if self.augment is None else self.augment(image, draw, landmarks)

    def _donor(self, video, draw):
        others = np.flatnonzero(
            (self.groups != self.groups[video]) & (self.is_fake == 0)
        )
        if not len(others):
            return None
        other = int(draw.choice(others))
        at = int(draw.integers(self.sources.n_images[other]))
        return self.sources[other].images[at], self.landmarks(other)[at]


class SizedFakes:
    """Pseudo-fakes as images of one size, whatever their maker works on.

    Parameters
    ----------
    make : callable
        ``make(image, landmarks, draw, donor) -> (real, fake)``. If it has a method
        ``for_size(image_size)``, what that returns is called instead. It may ask for
        larger images to work on, from which it can cut by chance, or blend before they
        are reduced: ``view_scale`` times the size, with ``view_margin_scale`` times the
        margin around the face.
    image_size : int
        Side of the images that come out, pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.training.image_batches import SizedFakes
    >>> make = SizedFakes(lambda image, *others: (image, 255 - image), image_size=16)
    >>> real, fake = make(np.zeros((32, 32, 3), np.uint8), None, None, None)
    >>> real.shape, fake.max()
    ((16, 16, 3), np.uint8(255))
    """

    def __init__(self, make: Callable[..., Any], image_size: int) -> None:
        self.image_size = image_size
        self.view_scale = getattr(make, "view_scale", 1.0)
        self.view_margin_scale = getattr(make, "view_margin_scale", 1.0)
        self._make = make.for_size(image_size) if hasattr(make, "for_size") else make

    def __call__(self, image, landmarks, draw, donor=None):
        return tuple(
            self._sized(made) for made in self._make(image, landmarks, draw, donor)
        )

    def source_recipe(self, recipe: Any) -> Any:
        """Return the `ViewRecipe` of what they are made of, given the detector's."""
        return dataclasses.replace(
            recipe,
            image_size=round(recipe.image_size * self.view_scale),
            margin=recipe.margin * self.view_margin_scale,
        )

    def sources(
        self,
        views: Views,
        store: Store,
        progress: str | None = None,
        device: Any = "cpu",
    ) -> tuple[Views, Landmarks]:
        """Return what pseudo-fakes are made of, for the views of a detector.

        A maker with a method ``for_sources(views, store, device, progress)``, as
        `PseudoFakes` has, gets to see them all, and what that returns is called from
        then on.

        Parameters
        ----------
        views : Views
        store : Store
        progress : str or None, default=None
            What to write before a progress bar, if more of the videos is to be seen.
        device : str or torch.device, default="cpu"
            Where a maker's network runs.

        Returns
        -------
        sources : Views
            Of the same frames.
        landmarks : Landmarks
        """
        seen, sources = self.source_recipe(views.recipe), views
        if seen != views.recipe:
            sources = Views(views.videos, seen, store, progress=progress)
        if hasattr(self._make, "for_sources"):
            self._make = self._make.for_sources(sources, store, device, progress)
        return sources, Landmarks(sources, seen.margin, store)

    def _sized(self, image):
        if image.shape[-3:-1] == (self.image_size, self.image_size):
            return image
        if image.ndim == 4:
            return np.stack([self._sized(frame) for frame in image])
        return cv2.resize(image, 2 * (self.image_size,), interpolation=cv2.INTER_AREA)


def own_reals(
    views: Views, is_fake: np.ndarray, groups: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Find the real video that each fake was made of: the most like it of its group.

    Most like is the least mean difference of its images, frame by frame. A fake whose
    group has no real one has none.

    Parameters
    ----------
    views : Views
    is_fake, groups : ndarray of shape (n_videos,)

    Yields
    ------
    fake, real : int
        Rows.
    """
    for group in np.unique(groups[is_fake == 1]):
        fakes, reals = (
            np.flatnonzero((groups == group) & (is_fake == label)) for label in (1, 0)
        )
        if not len(reals):
            continue
        small = {row: _thumbnails(views[row].stills) for row in (*fakes, *reals)}
        for fake in fakes:
            apart = [_mean_difference(small[fake], small[real]) for real in reals]
            yield int(fake), int(reals[np.argmin(apart)])


def _thumbnails(images, side=64):
    return np.stack(
        [cv2.resize(i, (side, side), interpolation=cv2.INTER_AREA) for i in images]
    ).astype(np.int16)


def _mean_difference(one, other):
    n = min(len(one), len(other))
    return np.abs(one[:n] - other[:n]).mean()


def _draw_images(n_images, n_wanted, draw):
    rounds = [draw.permutation(n_images) for _ in range(-(-n_wanted // n_images))]
    return np.concatenate(rounds)[:n_wanted].tolist() if n_wanted else []


def _mixed(fake, real, draw):
    """Mix two images; the fake keeps a share of at least one half, and is the label."""
    share = float(np.float32(draw.uniform(0.5, 1)))
    return cv2.addWeighted(fake, share, real, 1 - share, 0), share
