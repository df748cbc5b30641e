"""Fakes made of real faces while training, from which a network learns the traces of
forging without having seen a forgery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from base_models.augmentation import image_blending as blending

# Points of the iBUG 300-W scheme.
_JAW, _BROWS = (*range(17),), (*range(17, 27),)
_NOSE, _EYES, _MOUTH = (*range(27, 36),), (*range(36, 48),), (*range(48, 68),)

# Which points span the region that is replaced, and how often it is.
_REGIONS = {
    "face": ((*_JAW, *_BROWS), 0.45),
    "inner": ((*_BROWS, *_NOSE, *_MOUTH), 0.15),
    "lower": ((*range(2, 15), *range(31, 36)), 0.18),
    "mouth": ((*_MOUTH, *range(6, 11), *range(31, 36)), 0.12),
    "eyes": ((*_BROWS, *_EYES, 28), 0.10),
}

KINDS = {
    "self_blended": 0.4,
    "resynthesised": 0.25,
    "reenacted": 0.15,
    "swapped": 0.2,
}
_INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_SHARES = (0.4, 0.7, 0.9, 1.0, 1.0, 1.0)


class PseudoFakes(BaseEstimator):
    """Make a fake of a real face, by one of several roads that forgeries take.

    All of them replace a region of the face (the whole, the inner face, its lower half,
    the mouth, the eyes; its outline is drawn anew and softened each time) by a source
    that fits nearly: what is left are the traces that forgeries share, a seam, a patch
    of another resolution, noise, tone or position. The sources are

    - ``self_blended``: the same face with other colours or sharpness, moved and bent a
      little (Shiohara and Yamasaki, 2022);
    - ``resynthesised``: the same face as a generator of small output would give it
      back, reduced to a fraction of its resolution, smoothed, enlarged again, at times
      with the chequerboard of transposed convolutions (Odena et al., 2016);
    - ``reenacted``: the same face with its mouth, eyes, brows and jaw moved by a smooth
      warp, as reenactment moves them;
    - ``swapped``: another person's face, warped onto the landmarks triangle by triangle
      and brought to the colours of this one (the road of FaceSwap, and of Li et al.,
      2020, Face X-ray).

    A clip is forged frame by frame, as forgeries are: by one road, with one look, but
    landmarks, place, tone and opacity of the face waver a little from frame to frame
    (feature drift: Yan et al., 2024).

    Parameters
    ----------
    kinds : dict of str to float, sequence of str, or None, default=None
        Which roads, and how often each is taken. None is all of them, 0.4, 0.25, 0.15
        and 0.2. ``swapped`` without a donor falls back to ``self_blended``.

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

    code_version = 2
    key_libraries = ("cv2",)

    def __init__(self, kinds: Any = None) -> None:
        self.kinds = kinds

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
        if image.ndim == 3:
            return self._pair(image, landmarks, draw, donor, keep_real)
        seeds = draw.integers(2**63, size=2)
        donors = [None] * len(image) if donor is None else zip(*donor, strict=True)
        frames = zip(image, landmarks, donors, strict=True)
        pairs = []
        for number, (frame, points, other) in enumerate(frames):
            # every frame draws the same, and its wavering apart from that
            same = np.random.default_rng(seeds[0])
            waver = _Waver(seeds[1], number)
            points = waver.moved_points(points)
            pair = self._pair(frame, points, same, other, keep_real, waver)
            pairs.append(pair)
        real, fake = map(np.stack, zip(*pairs, strict=True))
        return real, fake

    def _pair(self, image, landmarks, draw, donor, keep_real, waver=None):
        names, odds = self._odds()
        kind = draw.choice(names, p=odds)
        if kind == "swapped" and donor is None:
            kind = "self_blended"
        regions, how_often = zip(*_REGIONS.values(), strict=True)
        region = regions[draw.choice(len(regions), p=how_often)]
        width = np.ptp(landmarks[:, 0])
        mask = _region_mask(image.shape[:2], landmarks[list(region)], width, draw)
        target = source = np.float32(image)
        if kind == "swapped":
            source = _donated(source, landmarks, *donor, draw)
        elif kind == "reenacted":
            source = _with_new_expression(source, landmarks, width, draw)
        # Either side may be the odd one, lest odd colours as such mean fake.
        changed = _other_look(source, draw)
        if keep_real or kind == "swapped" or draw.random() < 0.5:
            source = changed
        elif kind == "self_blended":
            source, target = target, _other_look(target, draw)
        if kind == "resynthesised" or (kind != "self_blended" and draw.random() < 0.5):
            source = _resynthesised(source, width, draw)
        if kind != "swapped":
            source = _moved(source, width, draw)
        if waver is not None:
            source, mask = waver(source, mask, width)
        real = _as_image(target)
        return real, _blended(source, real, mask, kind, draw)

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
        names, odds = self._odds()
        often = {
            name: float(share) for name, share in zip(names, odds, strict=True) if share
        }
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
        return list(kinds), odds / odds.sum()


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
    if not callable(wanted):
        raise ValueError(
            "pseudo_fakes must be 'auto', a bool or a callable (image, landmarks, "
            f"draw, donor) -> (real, fake); got {wanted!r}"
        )
    return wanted


def _region_mask(shape, points, width, draw):
    """Soft outline (H, W) of a region, float32 in 0..1; bent anew each time."""
    centre = points.mean(0)
    grown = centre + draw.uniform(0.85, 1.12) * (points - centre)
    mask = np.zeros(shape, np.float32)
    hull = cv2.convexHull(np.float32(grown))
    cv2.fillConvexPoly(mask, np.rint(16 * hull).astype(np.int32), 1.0, shift=4)
    x, y = _bend(shape, 0.06 * width, draw)
    mask = cv2.remap(mask, x, y, cv2.INTER_LINEAR)
    sigma = width * np.exp(draw.uniform(np.log(0.004), np.log(0.07)))
    mask = cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.3))
    if draw.random() < 0.5:  # the soft edge inside the outline, as blending tools do
        mask = np.clip(2 * mask - 1, 0, 1)
    return mask * np.float32(draw.choice(_SHARES))


def _bend(shape, amplitude, draw):
    """Where to look for each pixel, x and y (H, W): a smooth random displacement."""
    height, width = shape
    grid = draw.uniform(-amplitude, amplitude, (2, draw.integers(3, 7), 5))
    moved = [cv2.resize(np.float32(g), (width, height), None, 0, 0, 2) for g in grid]
    rows, columns = np.indices(shape, np.float32)
    return columns + moved[0], rows + moved[1]


def _moved(source, width, draw):
    """Shift, scale and bend by so little that the features still nearly meet."""
    height, across = source.shape[:2]
    x, y = _bend((height, across), 0.012 * width, draw)
    scale = np.exp(draw.uniform(-0.05, 0.05))
    shift = draw.uniform(-0.03, 0.03, 2) * width
    x = (x - across / 2) * np.float32(scale) + np.float32(across / 2 + shift[0])
    y = (y - height / 2) * np.float32(scale) + np.float32(height / 2 + shift[1] / 2)
    return _remap(source, x, y)


def _other_look(image, draw):
    """Other colours, often only just, and another sharpness."""
    far = draw.uniform(0.1, 1) ** 1.5
    shift, (saturation, contrast) = draw.uniform(-18, 18, 3), draw.uniform(-1, 1, 2)
    image = (image - 128) * np.float32(1 + 0.15 * far * contrast) + 128
    gray = image @ np.float32([[0.299], [0.587], [0.114]])
    image = gray + np.float32(1 + 0.3 * far * saturation) * (image - gray)
    image += np.float32(far * shift)
    if draw.random() < 0.5:
        scale = draw.uniform(0.25, 0.6)
        return blending.limit_resolution(image, scale, draw.choice(_INTERPOLATIONS))
    fine = image - cv2.GaussianBlur(image, (0, 0), draw.uniform(0.7, 1.5))
    return image + np.float32(draw.uniform(0.3, 1.2)) * fine


def _resynthesised(face, width, draw):
    """As a generator whose face is 48 to 160 pixels wide would give it back."""
    scale = np.exp(draw.uniform(np.log(48), np.log(160))) / width
    if draw.random() < 0.5:
        face = cv2.bilateralFilter(np.clip(face, 0, 255), 5, draw.uniform(8, 30), 2)
    face = blending.limit_resolution(face, scale, draw.choice(_INTERPOLATIONS))
    if draw.random() < 0.25:
        period = draw.choice([2, 4])
        tile = draw.normal(0, draw.uniform(0.5, 3), (period, period, 1))
        times = [-(-side // period) for side in face.shape[:2]]
        tile = np.tile(tile, (*times, 1))[: face.shape[0], : face.shape[1]]
        face = face + np.float32(tile)
    if draw.random() < 0.4:
        fine = face - cv2.GaussianBlur(face, (0, 0), 1.2)
        face = face + np.float32(draw.uniform(0.3, 1.5)) * fine
    return face


def _with_new_expression(face, landmarks, width, draw):
    """Move mouth, eyes, brows and jaw by a smooth warp."""
    moves = np.zeros((68, 2))
    size = width * draw.uniform(0.02, 0.07)
    across, down = draw.normal(0, size, 2)
    moves[list(_MOUTH)] += (0.4 * across, 0)
    moves[[*range(55, 60), *range(65, 68), *range(5, 12)]] += (0, down)  # opens
    moves[[48, 60]] += (-0.5 * across, 0.3 * draw.normal(0, size))
    moves[[54, 64]] += (0.5 * across, 0.3 * draw.normal(0, size))
    moves[list(_BROWS)] += (0, draw.normal(0, 0.5 * size))
    lids = draw.normal(0, 0.3 * size)
    moves[[37, 38, 43, 44]] += (0, lids)
    moves[[40, 41, 46, 47]] -= (0, lids)
    shape = face.shape[:2]
    rows, columns = np.mgrid[: shape[0] : 8, : shape[1] : 8]
    places = np.stack([columns, rows], -1)[:, :, None]  # (h, w, 1, 2)
    reach = 0.12 * width
    pull = np.exp(-((places - landmarks) ** 2).sum(-1) / (2 * reach**2))
    pull /= np.maximum(pull.sum(-1, keepdims=True), 1.0)
    field = cv2.resize(np.float32(pull @ moves), shape[::-1])
    rows, columns = np.indices(shape, np.float32)
    return _remap(face, columns - field[..., 0], rows - field[..., 1])


def _donated(target, landmarks, donor, donor_landmarks, draw):
    """Another face on these landmarks, in nearly these colours."""
    x, y = blending.source_pixels(
        landmarks, donor_landmarks, target.shape[:2], draw.random() < 0.7
    )
    face = _remap(np.float32(donor), x, y)
    inside = np.zeros(target.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(landmarks).astype(np.int32)), 1)
    return blending.match_colours(face, target, inside > 0, draw.uniform(0.6, 1))


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


def _remap(image, x, y):
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _as_image(image):
    return np.rint(np.clip(image, 0, 255)).astype(np.uint8)
