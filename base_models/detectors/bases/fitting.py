"""The one `fit` of detectors that learn from views."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from base_models.augmentation.augment import Augmentation
from base_models.augmentation.pseudo_fakes import PseudoFakes
from base_models.callbacks.events import TrainingEvent, fit_told, listening
from base_models.detectors.bases.video import ViewDetector, with_fingerprints
from base_models.errors import (
    DeepfakeEnsembleWarning,
    UnscorableVideoError,
    VideoReadError,
)
from base_models.groups import group_codes
from base_models.inputs import Videos, check_fit_arguments
from base_models.runtime.caches import give_back_memory
from base_models.runtime.devices import repeatable
from base_models.runtime.distributed import Processes
from base_models.runtime.warn_once import caller_has_warned
from base_models.scoring.pooling import pool_scores
from base_models.store.keys import class_key
from base_models.store.store import Store, resolve_store
from base_models.video.paths import hashed_once, video_digest, video_id
from base_models.views.collection import Views
from base_models.views.spec import ViewRecipe
from base_models.views.view import View

if TYPE_CHECKING:
    from typing_extensions import Self

# What True and "auto" stand for: its code counts in keys as if it were given.
_MEANT = {"augment": Augmentation, "pseudo_fakes": PseudoFakes}


@dataclass
class TrainingData:
    """What a detector learns from, in an order that the videos' content decides.

    Attributes
    ----------
    views : Views
        Of the videos that have one.
    is_fake : ndarray of shape (n_videos,)
        0 real, 1 fake.
    weight : ndarray of shape (n_videos,)
        Weight of each video within its class, > 0.
    groups : ndarray of shape (n_videos,)
        Integers.
    seed : int
        Decides all that is random.
    store : Store
        Where to keep what is computed on the way.
    """

    views: Views
    is_fake: NDArray
    weight: NDArray
    groups: NDArray
    seed: int
    store: Store


class TrainedDetector(ViewDetector):
    """Base class of detectors that learn from one view of each video.

    A subclass says which view it looks at (`_view_recipe`), how it learns from the
    views (`_learn_from`) and how it scores one (`_image_scores`). What else may differ
    has a default here: `_check_parameters`, `_fit_parts`, `_processes`, `_fit_threads`
    and `_numbered`.
    """

    _outside_identity = frozenset({"store", "verbose", "finder"})  # parameters
    # Parameters that came later, with the values under which fits are as before them:
    # then they are no part of the identity, so that a store goes on to know those.
    _came_later: ClassVar[dict[str, Any]] = {}

    @abstractmethod
    def _view_recipe(self) -> ViewRecipe:
        """Return what it looks at."""

    @abstractmethod
    def _learn_from(self, data: TrainingData) -> None:
        """Learn; what was learned ends in ``_``."""

    @abstractmethod
    def _image_scores(self, view: View, shared: dict) -> NDArray:
        """Return P(fake) of each image, (n_images,), or of the video, (1,)."""

    def _check_parameters(self):
        """Refuse parameters that cannot work, before any work."""

    def _fit_parts(self, videos, y, groups, sample_weight):
        """Fit the detectors that this one is made of, on the same videos."""

    def _processes(self):
        """Return the processes that learn together."""
        return Processes()

    def _fit_threads(self):
        """Return how many CPU threads learn."""
        return 1  # sums over more of them round otherwise

    def _numbered(self, groups):
        """Number groups in an order that does not depend on that of the videos."""
        return pd.factorize(groups)[0]

    def fit(
        self,
        videos: Videos,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        callbacks: Iterable[Callable[[TrainingEvent], Any]] | None = None,
    ) -> Self:
        """Learn from labelled videos.

        Parameters
        ----------
        videos : sequence of length n_videos
            Paths, or RGB uint8 arrays of shape (T, H, W, 3).
        y : array-like of shape (n_videos,)
            Two labels: 0 and 1 (fake), "REAL" and "FAKE", booleans. All may be real
            where `fits_on_reals`.
        groups : array-like of shape (n_videos,), default=None
            Videos that are drawn equally often together, and never split between
            training and the choice of the best epoch.
        sample_weight : array-like of shape (n_videos,), default=None
            Weights within each class; real and fake weigh the same in all.
        callbacks : iterable of callable, default=None
            Called with each `TrainingEvent`: see `base_models.callbacks`.

        Returns
        -------
        self
            A video without a view (unreadable, no face) is left out, with a
            warning that names it.
        """
        self._check_parameters()
        videos, is_fake, weight, self.classes_ = check_fit_arguments(
            videos, y, groups, sample_weight, reals_will_do=self.fits_on_reals
        )
        with listening(callbacks), fit_told(self, str(self)), hashed_once(videos):
            self._fit_parts(videos, y, groups, sample_weight)
            groups = group_codes(groups, len(videos))
            self.recipe_ = self._view_recipe()
            store, processes = resolve_store(self.store), self._processes()
            # The order in which videos are given must not matter to what is learned.
            order = sorted(
                np.flatnonzero(weight > 0),
                key=lambda row: (_digest(videos[row]), is_fake[row], weight[row]),
            )
            views = self._look_at([videos[row] for row in order], store, processes)
            scorable = self._scorable(views, is_fake[order])
            rows = [order[i] for i in scorable]
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            data = TrainingData(
                views=views.take(scorable),
                is_fake=is_fake[rows],
                weight=weight[rows],
                groups=self._numbered(groups[rows]),
                seed=processes.agree(seed),
                store=store,
            )
            give_back_memory()  # what decoding and finding faces took
            with repeatable(data.seed, self._fit_threads()):
                self._learn_from(data)
        give_back_memory()
        return self

    def _look_at(self, videos, store, processes):
        """Return the views of the videos; several processes each make their share."""
        if processes.n > 1:  # they find the others' in the store
            Views(videos[processes.share], self.recipe_, store)
            processes.wait()
        text = self._progress("looking at videos")
        return Views(videos, self.recipe_, store, progress=text)

    def _scorable(self, views, is_fake):
        """Return the rows of videos that have a view; warn of the others."""
        rows = [row for row, reason in enumerate(views.reasons) if not reason]
        self.unscorable_ = {
            video_id(video): reason
            for video, reason in zip(views.videos, views.reasons, strict=True)
            if reason
        }
        if self.unscorable_:
            if len(np.unique(is_fake[rows])) < len(np.unique(is_fake)):
                raise UnscorableVideoError(self.unscorable_, in_training=True)
            if not caller_has_warned():
                error = UnscorableVideoError(self.unscorable_)
                warnings.warn(
                    f"left out of training: {error}",
                    DeepfakeEnsembleWarning,
                    stacklevel=3,
                )
        return rows

    def view_recipes(self) -> list[ViewRecipe]:
        """Return the one `ViewRecipe` that it looks at, in a list."""
        return self._in_use([self._view_recipe()])

    def score_views(
        self, views: dict[str, View], shared: dict
    ) -> tuple[float, str, pd.DataFrame]:
        """Score one video from its views; see `ViewDetector.score_views`."""
        view = views[self._recipe_in_use().key]
        scores = np.zeros(0) if view.reason else self._image_scores(view, shared)
        frames = pd.DataFrame(
            {
                "frame": view.frames,
                "face": view.faces,
                "score": np.array(np.broadcast_to(scores, len(view.frames))),
            }
        )
        pooling = getattr(self, "pooling", "mean")
        return pool_scores(scores, pooling), view.reason, frames

    def identity(self) -> dict[str, Any]:
        """Return what decides the outcome of a fit, beside the videos.

        Returns
        -------
        dict
            Ready for `store_key`.

        Raises
        ------
        TypeError
            If a parameter has no stable description.
        """
        params = with_fingerprints(self.get_params(deep=False))
        meant = {
            name: class_key(cls)
            for name, cls in _MEANT.items()
            if params.get(name) is True or params.get(name) == "auto"
        }
        return {
            "class": class_key(type(self)),
            "params": {
                name: value
                for name, value in params.items()
                if name not in self._outside_identity
                and not (name in self._came_later and value == self._came_later[name])
            },
            "view": self._view_recipe().stable_key,
            **({"meant": meant} if meant else {}),
        }

    def _take_state(self, meta):
        """Take from a kept state what every detector has."""
        self.classes_ = np.array(meta["classes"])
        self.unscorable_ = meta["unscorable"]
        self.recipe_ = self._view_recipe()

    def _progress(self, text):
        return text if self.verbose else None


def stored_features(store: Store, key: str, compute: Callable[[], NDArray]) -> NDArray:
    """Return features from the store, computed and put there where they are not."""
    entry = store.get("features", key)
    if entry is not None:
        return entry[0]["features"]
    features = compute()
    store.put("features", key, {"features": features})
    return features


def _digest(video):
    try:
        return video_digest(video, in_full=True)
    except VideoReadError:  # it will be left out, with the reason
        return ""
