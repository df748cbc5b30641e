"""Detectors of measured features: what is measured is one idea, learning is shared."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from base_models.detectors.bases.fitting import TrainedDetector, stored_features
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.runtime.progress import progress_bar
from base_models.store.keys import class_key_here
from base_models.store.store import resolve_store, store_key
from base_models.views.spec import ViewRecipe


class FeatureDetector(TrainedDetector):
    """Base class of detectors that measure a view and learn from the numbers.

    A subclass says which view it looks at (`_view_recipe`), what it measures
    (`_measure`), and how it learns (`_learn`) and scores (`_score_features`); all else
    is the same for all.
    """

    code_version = 1  # raise it as `base_models.store.versions.own_versions` says

    @abstractmethod
    def _measure(self, view):
        """Return the features of one view: an array whose rows mean what they may."""

    @abstractmethod
    def _learn(self, features, is_fake, weight, groups, seed):
        """Learn from the features of each video."""

    @abstractmethod
    def _score_features(self, features):
        """Return the score of each image, or of the video, (n,)."""

    def _learn_from(self, data):
        """Measure each view and learn from what was measured."""
        bar = progress_bar(data.views, self._progress(f"{self} features"))
        features = [self._features(view, data.store) for view in bar]
        self._learn(features, data.is_fake, data.weight, data.groups, data.seed)

    def _numbered(self, groups):
        return np.unique(groups, return_inverse=True)[1]  # as what stores hold

    def _image_scores(self, view, shared):
        return self._score_features(self._features(view, resolve_store(self.store)))

    def _features(self, view, store):
        """Measure a view, or find what was measured before."""
        return stored_features(
            store,
            store_key(view=view.key, **self._measured()),
            lambda: np.asarray(self._measure(view), np.float32),
        )

    def _measured(self):
        """What decides the features, beside the view."""
        return {"measure": class_key_here(type(self))}

    def _state(self, **more):
        check_is_fitted(self)
        return {
            "classes": self.classes_.tolist(),
            "unscorable": self.unscorable_,
            **more,
        }

    def _face_recipe(self, view, margin, clip_length=1):
        return ViewRecipe(
            view=view,
            image_size=self.image_size,
            n_frames=self.n_frames,
            margin=margin,
            finder=DlibFaceFinder() if self.finder is None else self.finder,
            clip_length=clip_length,
            sampling=self.sampling,
        )


def finite_number(value: Any, name: str) -> float:
    """Return a number that stands in a file; refuse what is none.

    Examples
    --------
    >>> from base_models.detectors.bases.measured import finite_number
    >>> finite_number("1", "intercept")
    Traceback (most recent call last):
    ValueError: its intercept must be a finite number; got '1'
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value):
        raise ValueError(f"its {name} must be a finite number; got {value!r}")
    return float(value)


def class_balanced(is_fake: Any, weight: np.ndarray) -> Any:
    """Scale weights so that both classes sum to the same, and all to their number."""
    balanced = np.zeros(len(is_fake))
    for label in (0, 1):
        rows = is_fake == label
        balanced[rows] = weight[rows] * len(is_fake) / (2 * weight[rows].sum())
    return balanced
