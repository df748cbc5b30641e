"""Detectors of measured features: what is measured is one idea, learning is shared."""

import warnings
from abc import abstractmethod

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from base_models.detectors.bases.video import ViewDetector, with_fingerprints
from base_models.errors import UnscorableVideoError
from base_models.faces.dlib_finder import DlibFaceFinder
from base_models.groups import group_codes
from base_models.inputs import check_fit_arguments
from base_models.runtime.devices import repeatable
from base_models.runtime.progress import progress_bar
from base_models.runtime.warn_once import caller_has_warned
from base_models.store.keys import class_key, class_key_here
from base_models.store.store import resolve_store, store_key
from base_models.video.paths import video_digest, video_id
from base_models.views.collection import Views
from base_models.views.spec import ViewRecipe


class FeatureDetector(ViewDetector):
    """Base class of detectors that measure a view and learn from the numbers.

    A subclass says which view it looks at (`_view_recipe`), what it measures
    (`_measure`), and how it learns and scores; looking at videos, keeping what was
    measured and leaving out what cannot be scored is the same for all.
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

    def fit(self, videos, y, groups=None, sample_weight=None):
        """Measure labelled videos and learn from what was measured.

        Parameters
        ----------
        videos : sequence of length n_videos
            Paths, or RGB uint8 arrays of shape (T, H, W, 3).
        y : array-like of shape (n_videos,)
            Two labels: 0 and 1 (fake), "REAL" and "FAKE", booleans.
        groups : array-like of shape (n_videos,), default=None
            Videos that inner splits keep together.
        sample_weight : array-like of shape (n_videos,), default=None
            Weights within each class; real and fake weigh the same in all.

        Returns
        -------
        self
            A video without a view (unreadable, no face) is left out, with a
            warning that names it.
        """
        videos, is_fake, weight, self.classes_ = check_fit_arguments(
            videos, y, groups, sample_weight, reals_will_do=self.fits_on_reals
        )
        groups = group_codes(groups, len(videos))
        self.recipe_ = self._view_recipe()
        store = resolve_store(self.store)
        order = sorted(
            np.flatnonzero(weight > 0),
            key=lambda row: (_digest(videos[row]), is_fake[row], weight[row]),
        )
        views = Views([videos[row] for row in order], self.recipe_, store)
        self.unscorable_ = {
            video_id(videos[row]): reason
            for row, reason in zip(order, views.reasons, strict=True)
            if reason
        }
        good = [i for i, reason in enumerate(views.reasons) if not reason]
        rows = [order[i] for i in good]
        if self.unscorable_:
            error = UnscorableVideoError(self.unscorable_)
            if len(np.unique(is_fake[rows])) < len(np.unique(is_fake[order])):
                raise error
            if not caller_has_warned():
                warnings.warn(f"left out of training: {error}", stacklevel=2)
        _, codes = np.unique(groups[rows], return_inverse=True)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        # One thread: sums over more of them round otherwise, and these are short.
        with repeatable(seed, n_threads=1):
            self._fit(views.take(good), is_fake[rows], weight[rows], codes, seed, store)
        return self

    def _fit(self, views, is_fake, weight, groups, seed, store):
        """Measure each view and learn from what was measured."""
        text = f"{self} features" if self.verbose else None
        features = [self._features(view, store) for view in progress_bar(views, text)]
        self._learn(features, is_fake, weight, groups, seed)

    def view_recipes(self):
        """Return the one `ViewRecipe` that is measured, in a list."""
        return self._in_use([self._view_recipe()])

    def identity(self):
        """Return what decides the outcome of a fit, beside the videos.

        Returns
        -------
        dict
            Ready for `store_key`.
        """
        ignored = {"store", "verbose", "finder"}
        params = with_fingerprints(self.get_params(deep=False))
        return {
            "class": class_key(type(self)),
            "params": {k: v for k, v in params.items() if k not in ignored},
            "view": self._view_recipe().stable_key,
        }

    def _features(self, view, store):
        """Measure a view, or find what was measured before."""
        key = store_key(view=view.key, **self._measured())
        entry = store.get("features", key)
        if entry is not None:
            return entry[0]["features"]
        features = np.asarray(self._measure(view), np.float32)
        store.put("features", key, {"features": features})
        return features

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

    def _take_state(self, meta):
        self.classes_ = np.array(meta["classes"])
        self.unscorable_ = meta["unscorable"]
        self.recipe_ = self._view_recipe()

    def _face_recipe(self, view, margin, clip_length=1):
        return ViewRecipe(
            view=view,
            image_size=self.image_size,
            n_frames=self.n_frames,
            margin=margin,
            finder=DlibFaceFinder() if self.finder is None else self.finder,
            clip_length=clip_length,
        )


def class_balanced(is_fake, weight):
    """Scale weights so that both classes sum to the same, and all to their number."""
    balanced = np.zeros(len(is_fake))
    for label in (0, 1):
        rows = is_fake == label
        balanced[rows] = weight[rows] * len(is_fake) / (2 * weight[rows].sum())
    return balanced


def _digest(video):
    from base_models.errors import VideoReadError

    try:
        return video_digest(video)
    except VideoReadError:
        return ""
