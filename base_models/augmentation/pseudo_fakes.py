"""Fakes made of real faces while training, from which a network learns the traces of
forging without having seen a forgery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from base_models.augmentation import image_blending as blending, sources
from base_models.augmentation.regions import REGIONS, head_outline, region_mask

KINDS = {
    "self_blended": 0.4,
    "resynthesised": 0.25,
    "reenacted": 0.15,
    "swapped": 0.2,
    "reconstructed": 0.3,
}
# Of what went through an autoencoder: which region, and how often. None is all.
_RECONSTRUCTED = {"face": 0.4, "inner": 0.25, None: 0.35}
_HEADS = 0.35  # share of reenactments in which the head moves, and no expression


@dataclass(frozen=True)
class _Frame:
    """What is known of a frame of which a fake is made."""

    image: np.ndarray
    points: np.ndarray
    width: float  # of the face, pixels
    number: int = 0  # in its clip
    donor: tuple[np.ndarray, np.ndarray] | None = None
    remade: np.ndarray | None = None  # by an autoencoder
    waver: Any = None


class PseudoFakes(BaseEstimator):
    """Make fakes from real faces, by one of several methods of forging.

    Nearly all of them replace a region of the face (the whole, the inner face, its
    lower half, the mouth, the eyes; its outline is drawn anew and softened each time)
    by a source that fits nearly: what is left are the traces that forgeries share, a
    seam, a patch of another resolution, noise, tone or position. The sources are

    - ``self_blended``: the same face with other colours or sharpness, moved and bent a
      little (Shiohara and Yamasaki, 2022);
    - ``resynthesised``: the same face as a generator of small output would give it
      back, reduced to a fraction of its resolution, smoothed as a whole or its skin
      alone, enlarged again, at times by transposed convolutions of uneven kernels, or
      with their chequerboard (Odena et al., 2016);
    - ``reenacted``: the same face with its mouth, eyes, brows and jaw moved by a smooth
      warp, as reenactment moves them; or the head moved against its background;
    - ``swapped``: another person's face, warped onto the landmarks triangle by triangle
      and brought to the colours of this one (the road of FaceSwap, and of Li et al.,
      2020, Face X-ray);
    - ``reconstructed``: the face, the inner face or the whole image, coded and decoded
      by an autoencoder (Jeong et al., 2022, and Tan et al., 2024, among others, learn
      from such images): what the decoder of a generator leaves.

    A clip is forged frame by frame, as forgeries are: by one road, with one look, the
    same kernels and chequerboard, but landmarks, place, tone and opacity of the face
    waver a little from frame to frame (feature drift: Yan et al., 2024); in reenacted
    ones mouth, eyes, brows and head drift on, each in a rhythm of its own.

    Parameters
    ----------
    kinds : dict of str to float, sequence of str, or None, default=None
        Which roads, and how often each is taken. None is all of them, in the ratio 40,
        25, 15, 20 and 30, but ``reconstructed`` only with an `autoencoder`: `shares`
        names them. ``swapped`` without a donor falls back to ``self_blended``.
    autoencoder : str, Path or None, default=None
        What ``reconstructed`` needs: a folder with taesd's encoder and decoder, the
        file of such an encoder beside its decoder, or the name of a
        ``diffusers.AutoencoderTiny`` such as ``"madebyollin/taesd"`` (extra
        ``generators``). See `base_models.augmentation.autoencoders.load_autoencoder`.

    Notes
    -----
    An autoencoder takes about a second an image. So detectors have it remake a part of
    their images once, before they learn (`for_sources`), and keep these in the store:
    of them alone ``reconstructed`` ones are made, blended anew each time.

    References
    ----------
    Shiohara and Yamasaki (2022), Detecting deepfakes with self-blended images. Li et
    al. (2020), Face X-ray for more general face forgery detection. Yan et al. (2024),
    Generalizing deepfake video detection with plug-and-play: video-level blending and
    spatiotemporal adapter tuning.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.landmarks import image_landmarks
    >>> from base_models.augmentation.pseudo_fakes import PseudoFakes
    >>> image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    >>> (landmarks,) = image_landmarks([image])
    >>> real, fake = PseudoFakes()(image, landmarks, np.random.default_rng(1))
    >>> real.shape, fake.shape, bool((real != fake).any())
    ((96, 96, 3), (96, 96, 3), True)
    """

    code_version = 3
    key_libraries = ("cv2",)

    def __init__(
        self, kinds: Any = None, autoencoder: str | Path | None = None
    ) -> None:
        self.kinds = kinds
        self.autoencoder = autoencoder

    def __call__(
        self,
        image: np.ndarray,
        landmarks: np.ndarray,
        draw: np.random.Generator,
        donor: tuple[np.ndarray, np.ndarray] | None = None,
        keep_real: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make a pair that differs in the traces of forging alone.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3) or (T, H, W, 3)
            RGB uint8, a real face, or a clip of one.
        landmarks : ndarray of shape (68, 2) or (T, 68, 2)
            Its landmarks, x, y in pixels.
        draw : numpy.random.Generator
            Decides everything.
        donor : tuple of (image, landmarks) or None, default=None
            Another person's real face, for ``swapped``; of a clip a clip.
        keep_real : bool, default=False
            Give the real one back as it is, so that a fake differs from `image` in the
            region that is replaced alone.

        Returns
        -------
        real, fake : ndarray of the shape of `image`
            uint8. The real one may have other colours or sharpness than `image`, just
            as the region that is replaced in the fake may.
        """
        return self.make(image, landmarks, draw, donor, keep_real, self.shares())

    def make(
        self,
        image: np.ndarray,
        landmarks: np.ndarray,
        draw: np.random.Generator,
        donor: tuple[np.ndarray, np.ndarray] | None,
        keep_real: bool,
        shares: dict[str, float],
        remade: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make a pair by one of the kinds that are given, as often as is given.

        Parameters
        ----------
        image, landmarks, draw, donor, keep_real
            As of a call.
        shares : dict of str to float
            The kinds, and how often each is made; they sum to 1.
        remade : callable or None, default=None
            Gives what an autoencoder makes of an image; None asks the autoencoder.

        Returns
        -------
        real, fake : ndarray of the shape of `image`
        """
        seeds = None if image.ndim == 3 else draw.integers(2**63, size=2)
        first = draw if seeds is None else np.random.default_rng(seeds[0])
        kind = first.choice(list(shares), p=list(shares.values()))
        if kind == "swapped" and donor is None:
            kind = "self_blended"
        made = None
        if kind == "reconstructed":
            made = (remade or self._reconstructed)(image)
        if seeds is None:
            width = np.ptp(landmarks[:, 0])
            frame = _Frame(image, landmarks, width, 0, donor, made)
            return _pair(kind, frame, draw, keep_real)
        width = np.ptp(landmarks.mean(0)[:, 0])  # one for all: they have one size
        pairs = []
        for number, points in enumerate(landmarks):
            # every frame draws the same, and its wavering apart from that
            same, waver = np.random.default_rng(seeds[0]), _Waver(seeds[1], number)
            same.random()  # chose the kind
            frame = _Frame(
                image[number],
                waver.moved_points(points),
                width,
                number,
                None if donor is None else (donor[0][number], donor[1][number]),
                None if made is None else made[number],
                waver,
            )
            pairs.append(_pair(kind, frame, same, keep_real))
        real, fake = map(np.stack, zip(*pairs, strict=True))
        return real, fake

    def for_sources(
        self, views: Any, store: Any, device: Any = "cpu", progress: str | None = None
    ) -> Callable[..., Any]:
        """Return what makes fakes of the images of these videos.

        An autoencoder, if there is one, remakes a part of the images now, or they are
        found in the store.

        Parameters
        ----------
        views : Views
        store : Store
        device : str or torch.device, default="cpu"
            Where the autoencoder runs.
        progress : str or None, default=None
            What to write before a progress bar.

        Returns
        -------
        callable
            ``make(image, landmarks, draw, donor) -> (real, fake)``.
        """
        if not self.shares().get("reconstructed"):
            return self
        from base_models.augmentation.reconstructions import PooledFakes

        return PooledFakes(self, views, store, device, progress)

    def shares(self) -> dict[str, float]:
        """Return the kinds that are made, and the share of each.

        Returns
        -------
        dict of str to float

        Raises
        ------
        ValueError
            If there is no such kind, or ``reconstructed`` has no autoencoder.

        Examples
        --------
        >>> from base_models.augmentation.pseudo_fakes import PseudoFakes
        >>> PseudoFakes().shares()
        {'self_blended': 0.4, 'resynthesised': 0.25, 'reenacted': 0.15, 'swapped': 0.2}
        >>> PseudoFakes({"swapped": 3, "reenacted": 1}).shares()
        {'swapped': 0.75, 'reenacted': 0.25}
        """
        names, odds = self._odds()
        return {
            name: float(share) for name, share in zip(names, odds, strict=True) if share
        }

    def check(self) -> None:
        """Refuse kinds that are none, and an autoencoder whose files are missing."""
        if self.shares().get("reconstructed"):
            self.key_params()

    def key_params(self) -> dict[str, Any]:
        """Return the parameters as keys of a store have them: files by content."""
        key = self.autoencoder
        if key is not None:
            from base_models.augmentation.autoencoders import autoencoder_key

            key = autoencoder_key(key)
        return {"kinds": self.kinds, "autoencoder": key}

    def split(self, random_state: int = 0) -> tuple[PseudoFakes, PseudoFakes]:
        """Return one that makes half of the kinds, and one that makes the others.

        A detector that learned from the first has not seen what the second makes.

        Parameters
        ----------
        random_state : int, default=0
            Decides which kinds go where.

        Returns
        -------
        train, held_out : PseudoFakes
            Their ``kinds`` name them, and how often each is made.

        Raises
        ------
        ValueError
            If it makes fewer than two kinds.

        Examples
        --------
        >>> from base_models.augmentation.pseudo_fakes import PseudoFakes
        >>> train, held_out = PseudoFakes().split(random_state=0)
        >>> sorted([*train.kinds, *held_out.kinds])
        ['reenacted', 'resynthesised', 'self_blended', 'swapped']
        """
        often = self.shares()
        if len(often) < 2:
            raise ValueError(
                f"kinds must be two or more to be split; got {', '.join(often)}"
            )
        drawn = np.random.default_rng(random_state).permutation(sorted(often))
        n_train = (len(often) + 1) // 2
        train, held_out = (
            clone(self).set_params(kinds={n: often[n] for n in often if n in half})
            for half in (drawn[:n_train], drawn[n_train:])
        )
        return train, held_out

    def _odds(self):
        kinds = KINDS if self.kinds is None else self.kinds
        if self.kinds is None and self.autoencoder is None:
            kinds = {name: n for name, n in KINDS.items() if name != "reconstructed"}
        if isinstance(kinds, str) or not len(kinds):
            raise ValueError(
                f"kinds must be a dict or list of {', '.join(KINDS)}; got {kinds!r}"
            )
        if not isinstance(kinds, dict):
            kinds = dict.fromkeys(kinds, 1.0)
        unknown = [name for name in kinds if name not in KINDS]
        odds = np.array(list(kinds.values()), float)
        if unknown or not (odds >= 0).all() or not 0 < odds.sum() < np.inf:
            raise ValueError(
                f"kinds must give {', '.join(KINDS)} or some of them, each how often, "
                f">= 0 and not all 0; got {self.kinds!r}"
            )
        if kinds.get("reconstructed") and self.autoencoder is None:
            raise ValueError(
                "kinds has 'reconstructed', which needs an autoencoder: give "
                "autoencoder=, a folder with taesd's files or a name such as "
                "'madebyollin/taesd', or leave the kind out"
            )
        return list(kinds), odds / odds.sum()

    def _reconstructed(self, image):
        from base_models.augmentation.reconstructions import reconstructed

        return reconstructed(image, self.autoencoder)


def _pair(kind, frame, draw, keep_real):
    """Return the real and the fake one of a frame, by one kind."""
    mask, is_head = _mask(kind, frame, draw)
    target, width = np.float32(frame.image), frame.width
    source = _source(kind, frame, is_head, draw)
    if kind == "reconstructed":
        if mask is not None and draw.random() < 0.5:
            source = sources.moved(source, width, draw)
    else:
        # Either side may be the odd one, lest odd colours as such mean fake.
        changed = sources.other_look(source, draw)
        if keep_real or kind == "swapped" or draw.random() < 0.5:
            source = changed
        elif kind == "self_blended":
            source, target = target, sources.other_look(target, draw)
        if kind == "resynthesised" or (kind != "self_blended" and draw.random() < 0.5):
            source = sources.resynthesised(source, frame.points, width, draw)
        if kind != "swapped":
            source = sources.moved(source, width, draw)
    real = _as_image(target)
    if mask is None:
        return real, _as_image(source)
    if frame.waver is not None:
        source, mask = frame.waver(source, mask, width)
    return real, _blended(source, real, mask, kind, draw)


def _mask(kind, frame, draw):
    """Where the fake differs; None is everywhere. And whether the head is moved."""
    often = {name: share for name, (_, share) in REGIONS.items()}
    if kind == "reconstructed":
        often = _RECONSTRUCTED
    name = list(often)[draw.choice(len(often), p=list(often.values()))]
    is_head = kind == "reenacted" and draw.random() < _HEADS
    if name is None:
        return None, False
    region = frame.points[list(REGIONS[name][0])]
    points = head_outline(frame.points) if is_head else region
    shape, opaque = frame.image.shape[:2], kind == "reenacted"  # else a face twice
    return region_mask(shape, points, frame.width, draw, opaque), is_head


def _source(kind, frame, is_head, draw):
    """What is set in, float32."""
    if kind == "reconstructed":
        return np.float32(frame.remade)
    source = np.float32(frame.image)
    if kind == "swapped":
        return sources.donated(source, frame.points, *frame.donor, draw)
    if kind == "reenacted":
        move = sources.with_moved_head if is_head else sources.with_new_expression
        return move(source, frame.points, frame.width, draw, frame.number)
    return source


class _Waver:
    """How one frame of a forged clip differs from the next, for no reason."""

    def __init__(self, seed, number):
        clip = np.random.default_rng(seed)
        self._drift, self._shake = np.exp(clip.uniform(np.log(0.001), np.log(0.02), 2))
        self._tone = np.exp(clip.uniform(np.log(0.2), np.log(4)))  # grey levels
        self._fade = clip.uniform(0, 0.15)
        self._draw = np.random.default_rng([seed, number])

    def moved_points(self, landmarks):
        """Landmarks as a finder that trembles gives them: all of them, and each."""
        size = self._drift * np.ptp(landmarks[:, 0])
        together, apart = self._draw.normal(0, size, 2), 0.3 * size
        return landmarks + together + self._draw.normal(0, apart, (68, 2))

    def __call__(self, source, mask, width):
        """Return the face and its mask, moved, toned and faded a little."""
        draw, (height, across) = self._draw, source.shape[:2]
        angle, stretch = draw.normal(0, 0.5 * self._shake, 2)
        matrix = cv2.getRotationMatrix2D(
            (across / 2, height / 2), np.rad2deg(angle), np.exp(stretch)
        )
        matrix[:, 2] += draw.normal(0, self._shake * width, 2)
        source = cv2.warpAffine(
            source, matrix, (across, height), borderMode=cv2.BORDER_REFLECT_101
        )
        source = source + np.float32(draw.normal(0, self._tone, 3))
        return source, mask * np.float32(1 - self._fade * draw.random())


def resolve_pseudo_fakes(
    wanted: str | bool | Callable[..., Any] | None, is_fake: ArrayLike
) -> Callable[..., Any] | None:
    """Return what a ``pseudo_fakes`` parameter means for a training set.

    Parameters
    ----------
    wanted : "auto", bool, None or callable
        True is `PseudoFakes()`; "auto" is that where all videos are real.
    is_fake : array-like of shape (n_videos,)
        0 real, 1 fake.

    Returns
    -------
    callable or None
        ``make(image, landmarks, draw, donor) -> (real, fake)``.

    Raises
    ------
    ValueError
        If it is something else.

    Examples
    --------
    >>> from base_models.augmentation.pseudo_fakes import resolve_pseudo_fakes
    >>> resolve_pseudo_fakes("auto", [0, 0]), resolve_pseudo_fakes("auto", [0, 1])
    (PseudoFakes(), None)
    """
    if wanted == "auto":
        return None if np.any(is_fake) else PseudoFakes()
    if wanted is None or isinstance(wanted, bool):
        return PseudoFakes() if wanted else None
    if isinstance(wanted, PseudoFakes):
        wanted.check()
    if not callable(wanted):
        raise ValueError(
            "pseudo_fakes must be 'auto', a bool or a callable (image, landmarks, "
            f"draw, donor) -> (real, fake); got {wanted!r}"
        )
    return wanted


def _blended(source, target, mask, kind, draw):
    """Set the source into the target, uint8."""
    if kind == "swapped" and draw.random() < 0.25:
        hard = np.uint8(255 * (mask > 0.5 * mask.max()))
        hard[:2] = hard[-2:] = hard[:, :2] = hard[:, -2:] = 0
        if hard.any():
            face = blending.blend_poisson(np.clip(source, 0, 255), target, hard)
            # it is solved in a box, and its rim changes too
            return np.where(hard[..., None] > 0, face, target)
    return _as_image(target + mask[..., None] * (np.clip(source, 0, 255) - target))


def _as_image(image):
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)
