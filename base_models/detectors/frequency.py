"""Frequencies of a face crop and of its noise: where generators and blending show."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from base_models.detectors.bases.statistics import StatisticsDetector
from base_models.networks.residuals import KER_BOEHME

_N_RINGS = 32


class FrequencyDetector(StatisticsDetector):
    """Score face crops by the statistics of their frequencies and of their noise.

    Of each image: the radial mean of its power spectrum (Durall et al., 2019), the
    energies of its 8 x 8 block DCT (Frank et al., 2020), and moments of its high-pass
    residual (Fridrich and Kodovsky, 2012), inside the face and around it. A logistic
    regression weighs them. No network, a few milliseconds an image, and another view
    than networks have: it sees resolution, resampling and noise, and no features of a
    face. It learns from real videos alone too, in about a minute of CPU.

    Parameters
    ----------
    view : {"face", "frame", "crop"}, default="face"
        What is measured.
    image_size : int, default=224
        Side of the square images, pixels.
    n_frames : int, default=16
        Frames sampled evenly over the video.
    margin : float, default=1.3
        Side of the crop, in sides of the face box.
    finder : FaceFinder or None, default=None
        None is ``DlibFaceFinder()``.
    C : float, default=0.1
        Inverse regularisation of the logistic regression.
    pooling : str or callable, default="mean"
        Frame scores to video score: see `base_models.pool_scores`.
    pseudo_fakes : "auto", bool or callable, default="auto"
        Learn from fakes made of the real faces, beside real fakes if there are any:
        see `FrameDetector`. "auto" does so where all labels are real.
    n_drawn : int, default=150
        With pseudo-fakes: frames drawn of each video, on average.
    augment : bool or callable, default=True
        With pseudo-fakes: change both images of a pair alike, by chance. True is
        ``base_models.augmentation.augment.Augmentation()``.
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
        Training videos that were left out, and why.

    References
    ----------
    Durall et al. (2019), Unmasking deepfakes with simple features. Frank et al. (2020),
    Leveraging frequency analysis for deep fake image recognition. Fridrich and Kodovsky
    (2012), Rich models for steganalysis of digital images.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from base_models import FrequencyDetector
    >>> draw = np.random.default_rng(0)
    >>> sharp = [draw.integers(0, 256, (4, 64, 64, 3), np.uint8) for _ in range(6)]
    >>> soft = [np.stack([cv2.blur(f, (3, 3)) for f in video]) for video in sharp]
    >>> detector = FrequencyDetector("frame", image_size=64, n_frames=2)
    >>> detector = detector.fit(sharp[:4] + soft[:4], [0] * 4 + [1] * 4)
    >>> detector.predict([sharp[5], soft[5]])
    array([0, 1])
    """

    code_version = 1
    _smallest = 16  # there are blocks within the middle, and around it

    def __str__(self):
        return f"frequency_{self.view}"

    def _measure_image(self, image):
        return image_frequencies(image)


def image_frequencies(image: NDArray) -> NDArray:
    """Measure the frequencies and the noise of one image.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3)
        RGB uint8.

    Returns
    -------
    ndarray of shape (106,)
        32 log powers by distance from frequency 0, 63 log energies of the block DCT,
        11 of the residual: log spread, log kurtosis and share of zeros, each within
        the middle, around it, and their difference, and log spreads of the colours.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.detectors.frequency import image_frequencies
    >>> image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> image_frequencies(image).shape
    (106,)
    """
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    luma = np.ascontiguousarray(ycc[..., 0])
    residual = cv2.filter2D(luma, -1, KER_BOEHME, borderType=cv2.BORDER_REFLECT_101)
    height, width = luma.shape
    middle = np.zeros(luma.shape, bool)
    middle[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
    inner, outer = _moments(residual[middle]), _moments(residual[~middle])
    colours = [
        np.log(np.std(cv2.filter2D(plane, -1, KER_BOEHME)) + 1e-2)
        for plane in (ycc[..., 1], ycc[..., 2])
    ]
    ratios = [inner[0] - outer[0], inner[1] - outer[1], inner[2] - outer[2]]
    return np.concatenate(
        [_rings(luma), _block_energies(luma), inner, outer, ratios, colours]
    )


def _rings(luma):
    """Log power by distance from frequency 0, less its mean: not contrast counts."""
    height, width = luma.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.rfft2((luma - luma.mean()) * window)) ** 2
    rows = np.fft.fftfreq(height)[:, None]
    distance = np.hypot(rows, np.fft.rfftfreq(width)) / np.sqrt(0.5)
    ring = np.minimum((distance * _N_RINGS).astype(int), _N_RINGS - 1)
    sums = np.bincount(ring.ravel(), power.ravel(), _N_RINGS)
    log_power = np.log(sums / np.bincount(ring.ravel(), minlength=_N_RINGS) + 1e-3)
    return log_power - log_power.mean()


def _block_energies(luma):
    """Log mean magnitude of the 63 changing parts of the 8 x 8 block DCT."""
    height, width = (side // 8 * 8 for side in luma.shape)
    blocks = luma[:height, :width].reshape(height // 8, 8, width // 8, 8)
    parts = dctn(blocks.transpose(0, 2, 1, 3), axes=(2, 3), norm="ortho")
    return np.log(np.abs(parts).mean(axis=(0, 1)).ravel()[1:] + 1e-2)


def _moments(residual):
    spread = residual.std() + 1e-2
    kurtosis = np.mean(((residual - residual.mean()) / spread) ** 4)
    still = np.mean(np.abs(residual) < 0.5)
    return [np.log(spread), np.log(kurtosis + 1e-2), still]
