"""Training-time changes of images: compression, blur, geometry, light."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import av
import cv2
import numpy as np
from sklearn.base import BaseEstimator

_INTERPOLATIONS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


class Augmentation(BaseEstimator):
    """Random changes of training images, as cameras, codecs and uploads make them.

    Each switch is the chance of its change, 0 turns it off; the ranges are named beside
    it. The frames of a clip change alike, but for noise, which is another one in each;
    H.264 takes them as one video. What is drawn depends on the generator alone, so that
    two images (a real one and its own fake) given equal generators change alike.

    OpenCV does the work: with parameters of our own drawing it takes a fraction of
    the time of torchvision (``examples/benchmarks/augmentation.py`` measures both)
    and needs no tensor in between.

    Parameters
    ----------
    flip : float, default=0.5
        Mirror left and right.
    affine : float, default=0.7
        Turn, scale and shift in one warp; the rim is reflected.
    rotation, scale, shift : float, default=8.0, 0.12, 0.06
        At most so many degrees, so much larger or smaller, such a share of the side.
    light : float, default=0.8
        Vary brightness, contrast, saturation and hue.
    brightness, contrast, saturation, hue : float, default=0.12, 0.2, 0.25, 6.0
        At most such a share of the range, of the contrast, of the saturation; degrees.
    gray : float, default=0.05
        Take the colours away.
    rescale : float, default=0.3
        Reduce to 0.35 to 0.9 of the size and enlarge again, as uploads do.
    blur : float, default=0.1
        Gaussian, sigma 0.3 to 1.5 pixels.
    noise : float, default=0.15
        Gaussian, standard deviation 1 to 8 of 255.
    jpeg : float, default=0.3
        JPEG of `jpeg_quality`, default (40, 100).
    h264 : float, default=0.4
        H.264 at a constant rate factor of `crf`, default (20, 45); an image becomes
        an intra frame, which is what the sampled frames of a video are coded from. A
        clip is coded as one that is cut from a file is, from frames before and after
        it too: its own, back and forth.
    cutout : float, default=0.0
        Black out the surroundings of the eyes, the nose or the mouth, or half of the
        face; with `landmarks` where these lie, else halves of the image alone.

    References
    ----------
    Seferbekov (2020), first place of the Deepfake Detection Challenge, for the
    compression, rescaling, noise and cut-outs by landmarks. Shiohara and Yamasaki
    (2022), Detecting deepfakes with self-blended images, for equal changes of a pair.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.augment import Augmentation
    >>> image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> augmentation = Augmentation()
    >>> first = augmentation(image, np.random.default_rng(1))
    >>> again = augmentation(image, np.random.default_rng(1))
    >>> first.shape, bool((first == again).all()), bool((first == image).all())
    ((64, 64, 3), True, False)
    """

    code_version = 2
    key_libraries = ("cv2",)

    def __init__(
        self,
        flip: float = 0.5,
        affine: float = 0.7,
        rotation: float = 8.0,
        scale: float = 0.12,
        shift: float = 0.06,
        light: float = 0.8,
        brightness: float = 0.12,
        contrast: float = 0.2,
        saturation: float = 0.25,
        hue: float = 6.0,
        gray: float = 0.05,
        rescale: float = 0.3,
        blur: float = 0.1,
        noise: float = 0.15,
        jpeg: float = 0.3,
        jpeg_quality: Any = (40, 100),
        h264: float = 0.4,
        crf: Any = (20, 45),
        cutout: float = 0.0,
    ) -> None:
        self.flip = flip
        self.affine = affine
        self.rotation = rotation
        self.scale = scale
        self.shift = shift
        self.light = light
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.gray = gray
        self.rescale = rescale
        self.blur = blur
        self.noise = noise
        self.jpeg = jpeg
        self.jpeg_quality = jpeg_quality
        self.h264 = h264
        self.crf = crf
        self.cutout = cutout

    @classmethod
    def none(cls, **switches: Any) -> Augmentation:
        """Return an augmentation with every switch off but those named.

        Parameters
        ----------
        **switches
            As for `Augmentation`.

        Returns
        -------
        Augmentation

        Examples
        --------
        >>> from base_models.augment import Augmentation
        >>> Augmentation.none(flip=1.0).jpeg
        0.0
        """
        return cls(**(dict.fromkeys(_SWITCHES, 0.0) | switches))

    @classmethod
    def light_only(cls) -> Any:
        """Return mirroring and changes of light alone, for very small networks.

        Examples
        --------
        >>> from base_models.augment import Augmentation
        >>> Augmentation.light_only().flip
        0.5
        """
        return cls.none(flip=0.5, light=1.0)

    @classmethod
    def of_clips(cls) -> Any:
        """Return how clips are changed: by a video codec nearly always, not by JPEG.

        Examples
        --------
        >>> from base_models.augment import Augmentation
        >>> Augmentation.of_clips().h264
        0.85
        """
        return cls(jpeg=0.0, h264=0.85, crf=(16, 45))

    def __call__(
        self,
        image: np.ndarray,
        draw: np.random.Generator,
        landmarks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return a changed copy.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3) or (T, H, W, 3)
            RGB uint8, one image or a clip.
        draw : numpy.random.Generator
            Decides everything.
        landmarks : ndarray of shape (68, 2) or (T, 68, 2) or None, default=None
            x, y in pixels of the face's landmarks, for `cutout`.

        Returns
        -------
        ndarray of the shape of `image`
            uint8.
        """
        self._check()
        # All are drawn in any case: a switch moves nothing but its own change.
        chance = dict(zip(_SWITCHES, draw.random(len(_SWITCHES)), strict=True))
        seeds = draw.integers(2**63, size=len(_STEPS))
        for name, step, seed in zip(_STEPS, _STEPS.values(), seeds, strict=True):
            if chance[name] < getattr(self, name):
                image = self._changed(step, image, seed, landmarks)
        return image

    def _changed(self, step, image, seed, landmarks):
        if image.ndim == 3 or step is Augmentation._as_h264:
            return step(self, image, np.random.default_rng(seed), landmarks)
        points = [None] * len(image) if landmarks is None else landmarks
        draws = [np.random.default_rng(seed) for _ in image]
        if step is Augmentation._noisy:
            draws = [np.random.default_rng([seed, n]) for n in range(len(image))]
        frames = zip(image, draws, points, strict=True)
        return np.stack([step(self, *frame) for frame in frames])

    def _check(self):
        for name in _SWITCHES:
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(
                    f"{name} is a chance and must lie in 0..1; got {value!r}"
                )
        for name, (least, most) in {"jpeg_quality": (1, 100), "crf": (0, 51)}.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(
                    f"{name} must be (low, high) within {least}..{most}; got "
                    f"{getattr(self, name)!r}"
                )

    def _cut_out(self, image, draw, landmarks):
        return cut_out(image, draw, landmarks)

    def _mirrored(self, image, draw, landmarks):
        return image[:, ::-1].copy()

    def _warped(self, image, draw, landmarks):
        height, width = image.shape[:2]
        angle = draw.uniform(-self.rotation, self.rotation)
        scale = np.exp(draw.uniform(-1, 1) * np.log1p(self.scale))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
        matrix[:, 2] += draw.uniform(-self.shift, self.shift, 2) * (width, height)
        return cv2.warpAffine(
            image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101
        )

    def _relit(self, image, draw, landmarks):
        brightness, contrast, saturation, hue = draw.uniform(-1, 1, 4) * (
            self.brightness,
            self.contrast,
            self.saturation,
            self.hue,
        )
        # One matrix: hue turns the colours about the gray axis.
        angle = np.deg2rad(hue)
        third = np.full((3, 3), 1 / 3)
        cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
        turn = np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) * third
        turn += np.sin(angle) * cross
        gray = np.tile([0.299, 0.587, 0.114], (3, 1))
        matrix = (1 + contrast) * (gray + (1 + saturation) * (turn - gray @ turn))
        offset = 255 * brightness - 128 * contrast
        return cv2.transform(image, np.column_stack([matrix, np.full(3, offset)]))

    def _grayed(self, image, draw, landmarks):
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)

    def _rescaled(self, image, draw, landmarks):
        height, width = image.shape[:2]
        scale = draw.uniform(0.35, 0.9)
        small = (max(1, round(scale * width)), max(1, round(scale * height)))
        down, up = draw.choice(_INTERPOLATIONS), draw.choice(_INTERPOLATIONS[1:])
        return cv2.resize(
            cv2.resize(image, small, interpolation=down),
            (width, height),
            interpolation=up,
        )

    def _blurred(self, image, draw, landmarks):
        return cv2.GaussianBlur(image, (0, 0), draw.uniform(0.3, 1.5))

    def _noisy(self, image, draw, landmarks):
        noise = draw.standard_normal(image.shape, np.float32) * draw.uniform(1, 8)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)

    def _as_jpeg(self, image, draw, landmarks):
        low, high = self.jpeg_quality
        quality = int(draw.integers(low, high + 1))
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(data, cv2.IMREAD_COLOR)

    def _as_h264(self, image, draw, landmarks):
        low, high = self.crf
        crf = int(draw.integers(low, high + 1))
        if image.ndim == 3 or len(image) == 1:
            return recompress_clip(image.reshape(-1, *image.shape[-3:]), crf).reshape(
                image.shape
            )
        before = int(draw.integers(2, 6))
        changed = recompress_clip(_swinging(image, before, after=2), crf, delays=True)
        return changed[before : before + len(image)]


# In the order in which they happen to a video: before the camera, in it, after it.
_STEPS = {
    "cutout": Augmentation._cut_out,
    "flip": Augmentation._mirrored,
    "affine": Augmentation._warped,
    "light": Augmentation._relit,
    "gray": Augmentation._grayed,
    "blur": Augmentation._blurred,
    "noise": Augmentation._noisy,
    "rescale": Augmentation._rescaled,
    "jpeg": Augmentation._as_jpeg,
    "h264": Augmentation._as_h264,
}
_SWITCHES = tuple(_STEPS)


def _swinging(clip, before, after):
    """Frames before and after a clip too: it goes back and forth."""
    # Its first frame would be coded by itself, and differ from the others by that.
    period = 2 * (len(clip) - 1)
    at = np.arange(-before, len(clip) + after) % period
    return clip[np.minimum(at, period - at)]


def recompress_clip(frames: np.ndarray, crf: int, delays: bool = False) -> np.ndarray:
    """Encode frames as H.264 and decode them again.

    Parameters
    ----------
    frames : ndarray of shape (T, H, W, 3)
        RGB uint8.
    crf : int
        x264's constant rate factor, 0 (best) to 51; FaceForensics++ has 23 and 40.
    delays : bool, default=False
        Code frames from later ones too, as in most files.

    Returns
    -------
    ndarray of shape (T, H, W, 3)
        uint8.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.augment import recompress_clip
    >>> frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    >>> recompress_clip(frames, crf=40).shape
    (2, 32, 32, 3)
    """
    return np.stack(list(recompress_frames(frames, crf, delays)))


def recompress_frames(
    frames: Iterable[np.ndarray], crf: int, delays: bool = False
) -> Iterator[np.ndarray]:
    """Encode frames as H.264 and decode them again, holding few frames at a time.

    Parameters
    ----------
    frames : iterable of ndarray of shape (H, W, 3)
        RGB uint8, all of one size.
    crf, delays
        As for `recompress_clip`.

    Yields
    ------
    ndarray of shape (H, W, 3)
        uint8.
    """
    data, stream = io.BytesIO(), None
    with av.open(data, "w", format="mp4") as container:
        # mbtree reads beyond a row's end on some CPUs and would make bytes differ
        options = {"crf": str(crf), "preset": "superfast"}
        options["x264-params"] = "mbtree=0:threads=1"
        if delays:  # superfast looks no frame ahead, and would take all for B
            options["x264-params"] += ":b-adapt=1:scenecut=0:rc-lookahead=8"
        else:
            options["tune"] = "zerolatency"
        for frame in frames:
            height, width = frame.shape[:2]
            if height % 2 or width % 2:
                # Half-size colours need even sides; the rim is repeated, then cut off.
                rim = ((0, height % 2), (0, width % 2), (0, 0))
                frame = np.pad(frame, rim, mode="edge")
            if stream is None:
                stream = container.add_stream("libx264", rate=25, options=options)
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt = "yuv420p"
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    data.seek(0)
    with av.open(data) as container:
        for decoded in container.decode(video=0):
            yield decoded.to_ndarray(format="rgb24")[:height, :width]


def cut_out(
    image: np.ndarray, draw: Any, landmarks: np.ndarray | None = None
) -> np.ndarray:
    """Black out a part of the face.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3)
        RGB uint8.
    draw : numpy.random.Generator
        Chooses the part.
    landmarks : ndarray of shape (68, 2) or None, default=None
        Points of the iBUG 300-W scheme, x, y in pixels. None leaves halves alone.

    Returns
    -------
    ndarray of shape (H, W, 3)

    References
    ----------
    Seferbekov (2020), first place of the Deepfake Detection Challenge.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.augment import cut_out
    >>> image = np.full((8, 8, 3), 9, np.uint8)
    >>> int((cut_out(image, np.random.default_rng(0)) == 0).all(axis=2).sum())
    32
    """
    image = image.copy()
    height, width = image.shape[:2]
    part = draw.choice(["half", "eyes", "nose", "mouth"])
    if landmarks is None or part == "half":
        middle = (width / 2, height / 2) if landmarks is None else landmarks[30]
        x, y = np.clip(np.rint(middle).astype(int), 1, (width - 1, height - 1))
        halves = (np.s_[:, :x], np.s_[:, x:], np.s_[:y], np.s_[y:])
        image[halves[draw.integers(4)]] = 0
        return image
    points = {"eyes": slice(36, 48), "nose": slice(27, 36), "mouth": slice(48, 68)}
    points = landmarks[points[part]]
    margin = 0.06 * np.ptp(landmarks[:, 0])
    left, top = np.maximum(points.min(0) - margin, 0).astype(int)
    right, bottom = np.maximum(points.max(0) + margin, 0).astype(int)
    image[top : bottom + 1, left : right + 1] = 0
    return image


def resolve_augment(
    augment: bool | Callable[..., Any] | None, clip_length: int = 1
) -> Any:
    """Return what an ``augment`` parameter means.

    Parameters
    ----------
    augment : None, bool or callable
        True is `Augmentation()`; of clips `Augmentation.of_clips()`.
    clip_length : int, default=1
        Frames in a row that are changed together.

    Returns
    -------
    callable or None

    Raises
    ------
    TypeError
        If it is something else.

    Examples
    --------
    >>> from base_models.augment import resolve_augment
    >>> resolve_augment(True).flip, resolve_augment(False)
    (0.5, None)
    """
    if augment is True:
        return Augmentation.of_clips() if clip_length > 1 else Augmentation()
    if augment is None or augment is False:
        return None
    if not callable(augment):
        raise TypeError(
            "augment must be a bool or a callable (image, draw, landmarks) -> "
            f"image; got {type(augment).__name__}"
        )
    return augment
