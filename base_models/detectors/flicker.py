"""How a face changes from frame to frame: a forgery is made anew for each of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from base_models.detectors.bases.statistics import StatisticsDetector
from base_models.faces.face import FaceFinder
from base_models.runtime.caches import cached
from base_models.store.store import Store

_N_SCALES = 3
_ZONES = (0.156, 0.268, 0.379)  # outer radii of the inner three, in image sides
_TALLER = 1.2  # a face is, than wide
_STILL = 0.25  # grey levels of change that count as none


class FlickerDetector(StatisticsDetector):
    """Score face clips by how they change from one frame to the next.

    Of three frames in a row, cut out by one square: the two changes of brightness and
    their difference, in which even motion cancels and trembling doubles. Of each, at
    three scales and in four zones from the middle of the face outwards: spread, its
    step from zone to zone, share of what does not change, kurtosis; and how one change
    goes with the next. A logistic regression weighs them. No network, a few
    milliseconds a clip; it errs differently than what looks at single frames: most
    forgeries are made frame by frame, so that their place, tone and texture waver (Gu
    et al., 2021; Zheng et al., 2021). It learns from real videos alone too, on
    pseudo-fakes that waver, in a few minutes of CPU.

    Parameters
    ----------
    view : {"face", "frame", "crop"}, default="face"
        What is measured.
    image_size : int, default=224
        Side of the square images, pixels.
    n_frames : int, default=16
        Places sampled evenly over the video, three frames at each. Where files repeat a
        frame, there is no score for it.
    margin : float, default=1.3
        Side of the crop, in sides of the face box.
    finder : FaceFinder or None, default=None
        None is ``DlibFaceFinder()``.
    C : float, default=0.1
        Inverse regularisation of the logistic regression.
    pooling : str or callable, default="logit_mean"
        Clip scores to video score: see `base_models.pool_scores`.
    pseudo_fakes : "auto", bool or callable, default="auto"
        Learn from fakes made of the real faces, beside real fakes if there are any:
        see `FrameDetector`. "auto" does so where all labels are real. A callable is
        given clips (3, H, W, 3) and landmarks (3, 68, 2).
    n_drawn : int, default=150
        With pseudo-fakes: clips drawn of each video, on average.
    augment : bool or callable, default=True
        With pseudo-fakes: change both clips of a pair alike, by chance. True is
        ``base_models.augmentation.augment.Augmentation.of_clips()``.
    random_state : int, RandomState or None, default=None
        Seeds the pseudo-fakes; nothing else here is random.
    store : Store, str, Path or None, default=None
        Where views and features are kept.
    verbose : bool, default=False
        Show progress bars.
    sampling : {"even", "keyframes"}, default="even"
        Which frames: spread evenly; or moved to key frames near there, which makes
        very long files cheap, and shows frames that the codec compressed less.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    coef_ : ndarray of shape (n_features,)
        Weight of each feature, per standard deviation.
    unscorable_ : dict of str to str
        Training videos that were left out, and why: videos in which nothing moves too.

    References
    ----------
    Gu et al. (2021), Spatiotemporal inconsistency learning for deepfake video
    detection. Zheng et al. (2021), Exploring temporal coherence for more general video
    face forgery detection.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from base_models import FlickerDetector
    >>> draw = np.random.default_rng(0)
    >>> scenes = draw.integers(0, 256, (6, 64, 64, 3), np.uint8)
    >>> scenes = [cv2.blur(scene, (9, 9)) for scene in scenes]
    >>> even = [np.stack([np.roll(s, t, 1) for t in range(5)]) for s in scenes]
    >>> hasty = [np.stack([np.roll(s, t * t, 1) for t in range(5)]) for s in scenes]
    >>> detector = FlickerDetector("frame", image_size=64, n_frames=2)
    >>> detector = detector.fit(even[:4] + hasty[:4], [0] * 4 + [1] * 4)
    >>> detector.predict([even[5], hasty[5]])
    array([0, 1])
    """

    code_version = 1
    _smallest = 48  # the coarsest scale has pixels in each zone
    _clip_length = 3

    def __init__(
        self,
        view: str = "face",
        image_size: int = 224,
        n_frames: int = 16,
        margin: float = 1.3,
        finder: FaceFinder | None = None,
        C: float = 0.1,
        pooling: str | Callable = "logit_mean",
        pseudo_fakes: str | bool | Callable = "auto",
        n_drawn: int = 150,
        augment: bool | Callable = True,
        random_state: int | np.random.RandomState | None = None,
        store: Store | str | Path | None = None,
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        super().__init__(
            view=view,
            image_size=image_size,
            n_frames=n_frames,
            margin=margin,
            finder=finder,
            C=C,
            pooling=pooling,
            pseudo_fakes=pseudo_fakes,
            n_drawn=n_drawn,
            augment=augment,
            random_state=random_state,
            store=store,
            verbose=verbose,
            sampling=sampling,
        )

    def __str__(self):
        return f"flicker_{self.view}"

    def _measure_image(self, image):
        return clip_flicker(image)


def clip_flicker(clip: NDArray) -> NDArray:
    """Measure how three frames in a row differ.

    Parameters
    ----------
    clip : ndarray of shape (3, H, W, 3)
        RGB uint8, at least 48 pixels high and wide.

    Returns
    -------
    ndarray of shape (163,)
        49 of the first change of brightness, of the second, and of their difference:
        at each of three scales log spread in four zones, its three steps outwards,
        share of no change, log kurtosis, and last the log mean of the coarse rest; then
        of each zone four: how the changes correlate, log spread of their difference
        against theirs, log slope of the image, and log of difference against slope.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.detectors.flicker import clip_flicker
    >>> clip = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    >>> clip_flicker(clip).shape
    (163,)
    """
    luma = [
        cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in clip
    ]
    first, second = luma[1] - luma[0], luma[2] - luma[1]
    parts = [_scales(change) for change in (first, second, second - first)]
    return np.concatenate([*parts, _together(first, second, luma[1])])


def _scales(change):
    """Spread, steps, stillness and kurtosis of each scale; the coarse rest; by zone."""
    found = []
    for _ in range(_N_SCALES):
        coarse = cv2.pyrDown(change)
        fine = change - cv2.pyrUp(coarse, dstsize=change.shape[::-1])
        zones = _by_zone(fine)
        spread = np.array([zone.std() for zone in zones]) + 0.05
        still = [np.mean(np.abs(zone) < _STILL) for zone in zones]
        fourth = [
            np.mean(np.square(np.square(zone / size)))
            for zone, size in zip(zones, spread, strict=True)
        ]
        log_spread = np.log(spread)
        found += [
            log_spread,
            np.diff(log_spread),
            still,
            np.log(np.array(fourth) + 0.1),
        ]
        change = coarse
    rest = [np.abs(zone).mean() for zone in _by_zone(change)]
    return np.concatenate([*found, np.log(np.array(rest) + 0.05)])


def _together(first, second, luma):
    """How the second change goes with the first, and with the slopes of the image."""
    soft = cv2.GaussianBlur(luma, (0, 0), 2)
    slope = np.hypot(
        cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    )
    found = []
    for one, other, steep in zip(*map(_by_zone, (first, second, slope)), strict=True):
        sizes = one.std() + 0.1, other.std() + 0.1
        apart = other - one
        found += [
            np.mean((one - one.mean()) * (other - other.mean())) / np.prod(sizes),
            np.log((apart.std() + 0.1) / np.hypot(*sizes)),
            np.log(steep.mean() + 0.1),
            np.log(np.mean(np.abs(apart) / (steep + 4)) + 0.01),
        ]
    return found


def _by_zone(plane):
    flat = plane.ravel()
    return [flat[places] for places in _zones(plane.shape)]


@cached(maxsize=32)
def _zones(shape):
    """Places in the flat image of each zone, from the middle outwards."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in shape)
    zone = np.digitize(np.hypot(y[:, None] / _TALLER, x), _ZONES).ravel()
    return [np.flatnonzero(zone == number) for number in range(len(_ZONES) + 1)]
