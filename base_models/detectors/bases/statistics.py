"""Detectors of a few numbers an image: a logistic regression weighs them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from base_models.augmentation.augment import resolve_augment
from base_models.augmentation.pseudo_fakes import resolve_pseudo_fakes
from base_models.detectors.bases.measured import (
    FeatureDetector,
    class_balanced,
    finite_number,
)
from base_models.faces.face import FaceFinder
from base_models.runtime.devices import fixed_threads
from base_models.runtime.progress import progress_bar
from base_models.store.store import Store
from base_models.training.image_batches import ImageSamples, SizedFakes

if TYPE_CHECKING:
    from typing_extensions import Self

_BATCH = 32  # images that are made at a time
_LEARNED = ("coef_", "mean_", "scale_")


class StatisticsDetector(FeatureDetector):
    """Base class of detectors that measure each image, or clip, by itself.

    A subclass says what it measures (`_measure_image`), and how small an image may be.
    """

    code_version = 1
    key_libraries = ("cv2", "numpy", "scipy", "sklearn")
    _smallest: int  # side of an image, pixels
    _clip_length = 1

    def __init__(
        self,
        view: str = "face",
        image_size: int = 224,
        n_frames: int = 16,
        margin: float = 1.3,
        finder: FaceFinder | None = None,
        C: float = 0.1,
        pooling: str | Callable = "mean",
        pseudo_fakes: str | bool | Callable = "auto",
        n_drawn: int = 150,
        augment: bool | Callable = True,
        random_state: int | np.random.RandomState | None = None,
        store: Store | str | Path | None = None,
        verbose: bool = False,
        sampling: str = "even",
    ) -> None:
        self.view = view
        self.image_size = image_size
        self.n_frames = n_frames
        self.margin = margin
        self.finder = finder
        self.C = C
        self.pooling = pooling
        self.pseudo_fakes = pseudo_fakes
        self.n_drawn = n_drawn
        self.augment = augment
        self.random_state = random_state
        self.store = store
        self.verbose = verbose
        self.sampling = sampling

    def _check_parameters(self):
        size = self.image_size
        if not (isinstance(size, int) and size >= self._smallest):
            raise ValueError(
                f"image_size must be a whole number >= {self._smallest}; got {size!r}"
            )
        if not (isinstance(self.n_drawn, int) and self.n_drawn >= 1):
            raise ValueError(f"n_drawn must be a whole number >= 1; got {self.n_drawn}")
        resolve_augment(self.augment)
        resolve_pseudo_fakes(self.pseudo_fakes, [0, 1])

    def get_state(
        self, portable: bool = True
    ) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Return what was learned: (meta, arrays); see `FrameDetector.get_state`."""
        arrays = {name: getattr(self, name) for name in _LEARNED}
        return self._state(intercept=self.intercept_), arrays

    def set_state(self, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Self:
        """Become the fitted detector that `get_state` described."""
        self._take_state(meta)
        self.intercept_ = finite_number(meta["intercept"], "intercept")
        for name in _LEARNED:  # and no other: a file may hold any
            setattr(self, name, arrays[name])
        self._score_features(np.zeros((1, len(self.mean_))))  # shapes that do not fit
        return self

    def _view_recipe(self):
        return self._face_recipe(self.view, self.margin, self._clip_length)

    @abstractmethod
    def _measure_image(self, image):
        """Return the numbers of one image (H, W, 3), or clip (T, H, W, 3)."""

    def _measure(self, view):
        return np.stack([self._measure_image(image) for image in view.images])

    @property
    def fits_on_reals(self) -> bool:
        """Whether `fit` can do with real videos alone: on pseudo-fakes made of them."""
        return self.pseudo_fakes is not None and self.pseudo_fakes is not False

    def _learn_from(self, data):
        fakes = resolve_pseudo_fakes(self.pseudo_fakes, data.is_fake)
        if fakes is None:
            super()._learn_from(data)
            return
        fakes = SizedFakes(fakes, self.image_size)
        sources, landmarks = fakes.sources(data.views, data.store)
        samples = ImageSamples(
            data.views,
            data.is_fake,
            data.groups,
            data.weight,
            lambda images: images.numpy(),
            frames_per_epoch=self.n_drawn,
            batch_size=_BATCH,
            augment=resolve_augment(self.augment, self._clip_length),
            pseudo_fakes=fakes,
            landmarks=landmarks,
            sources=sources,
            seed=data.seed,
        )
        text = self._progress(f"{self} pseudo-fakes")
        features, labels, weights = [], [], []
        for batch in progress_bar(samples.batches(0), text, samples.steps):
            features += [self._measure_image(image) for image in batch.inputs]
            labels.append(batch.label.numpy())
            weights.append(batch.weight.numpy())
        labels = np.concatenate(labels) > 0.5
        balanced = class_balanced(labels, np.concatenate(weights).astype(float))
        self._weigh(np.stack(features), labels, balanced)

    def _learn(self, features, is_fake, weight, groups, seed):
        counts = np.array([len(rows) for rows in features])
        balanced = np.repeat(class_balanced(is_fake, weight) / counts, counts)
        balanced *= counts.sum() / balanced.sum()
        self._weigh(np.concatenate(features), np.repeat(is_fake, counts), balanced)

    def _weigh(self, rows, is_fake, weight):
        scaler = StandardScaler().fit(rows, sample_weight=weight)
        model = LogisticRegression(C=self.C, max_iter=2000)
        model.fit(scaler.transform(rows), is_fake, sample_weight=weight)
        self.mean_, self.scale_ = scaler.mean_, scaler.scale_
        self.coef_, self.intercept_ = model.coef_[0], float(model.intercept_[0])

    def _score_features(self, features):
        rows = (features - self.mean_) / self.scale_
        with fixed_threads(1):  # of many rows, more threads would round otherwise
            return expit(rows @ self.coef_ + self.intercept_)
