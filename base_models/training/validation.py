"""Groups held back from training to choose its best epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from base_models.errors import DeepfakeEnsembleWarning

_ENOUGH_GROUPS = 40  # from which on "auto" holds some back
_SHARE = 0.15
_FAKES_PER_VIDEO = 4


def held_out_groups(
    is_fake: np.ndarray, groups: np.ndarray, share: float | Literal["auto"], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split videos in two, no group in both.

    Parameters
    ----------
    is_fake : ndarray of shape (n_videos,)
    groups : ndarray of shape (n_videos,)
    share : float or "auto"
        Share of the groups to hold back; see `TrainingRecipe`.
    seed : int

    Returns
    -------
    learn, held : ndarray of int
        Row numbers; `held` has every class that is there, or is empty.

    Warns
    -----
    UserWarning
        If some are asked for and a class has fewer than 4 groups.

    Examples
    --------
    >>> import numpy as np
    >>> from base_models.training.validation import held_out_groups
    >>> is_fake, groups = np.arange(20) % 2, np.arange(20) // 2
    >>> learn, held = held_out_groups(is_fake, groups, 0.2, seed=0)
    >>> len(learn), len(held), set(groups[learn]) & set(groups[held])
    (16, 4, set())
    """
    everyone = np.arange(len(is_fake))
    none = everyone[:0]
    names = np.unique(groups)
    if share == "auto":
        share = _SHARE if len(names) >= _ENOUGH_GROUPS else 0
    if not share:
        return everyone, none
    classes = np.unique(is_fake)
    of_class = [np.unique(groups[is_fake == label]) for label in classes]
    if min(map(len, of_class)) < 4:
        warnings.warn(
            f"validation={share} needs at least 4 groups of each class; the smaller "
            f"has {min(map(len, of_class))}: none is held back, and the last epoch is "
            "taken",
            DeepfakeEnsembleWarning,
            stacklevel=6,
        )
        return everyone, none
    order = np.random.default_rng([seed, len(names)]).permutation(names)
    wanted = max(1, round(share * len(names)))
    left = np.array([len(own) for own in of_class])  # groups to learn from
    chosen = []
    for name in order:
        within = np.array([name in own for own in of_class])
        if len(chosen) >= wanted and (left < [len(own) for own in of_class]).all():
            break
        if (left - within).min() > 0:
            chosen.append(name)
            left -= within
    held = np.isin(groups, chosen)
    return everyone[~held], everyone[held]


class Validation:
    """Score held-back videos; made to be called after each epoch.

    Parameters
    ----------
    views : sequence of View or of ndarray
        What the network looks at, of each video.
    is_fake : ndarray of shape (n_videos,)
    score : callable
        ``score(network, images) -> ndarray (n_images,)``, P(fake).
    make_fakes : callable or None, default=None
        Makes the fakes, where all videos are real.
    landmarks : callable or None, default=None
        Video row -> ndarray (n_images, 68, 2), for `make_fakes`.
    seed : int, default=0
        Of the fakes.
    """

    def __init__(
        self,
        views: Sequence[Any] | np.ndarray,
        is_fake: np.ndarray,
        score: Callable[..., Any],
        make_fakes: Callable[..., Any] | None = None,
        landmarks: Callable[..., Any] | None = None,
        seed: int = 0,
    ) -> None:
        self._views, self._is_fake, self._score = views, is_fake, score
        self._fakes = None
        if not is_fake.any():
            self._fakes = [
                _few_fakes(view.images, landmarks(row), make_fakes, [seed, row])
                for row, view in enumerate(views)
            ]

    def __call__(self, network):
        """Return ``validation_loss`` and an AUC.

        The AUC is called ``validation_auc``, or ``validation_pseudo_auc`` on fakes that
        were made of the held-back reals: it chooses an epoch and measures nothing else.
        """
        if self._fakes is None:
            scores = [
                self._score(network, getattr(view, "images", view)).mean()
                for view in self._views
            ]
            labels, name = self._is_fake, "validation_auc"
        else:
            pairs = np.array(
                [
                    [self._score(network, images).mean() for images in pair]
                    for pair in self._fakes
                ]
            )
            scores, labels = pairs.ravel(), np.tile([0, 1], len(pairs))
            name = "validation_pseudo_auc"
        balance = np.where(labels == 1, 1 / labels.sum(), 1 / (1 - labels).sum())
        return {
            "validation_loss": float(log_loss(labels, scores, sample_weight=balance)),
            name: float(roc_auc_score(labels, scores)),
        }


def _few_fakes(images, landmarks, make_fakes, seed):
    """Real images and their fakes, two arrays of equal shape."""
    draw = np.random.default_rng(seed)
    at = draw.permutation(len(images))[:_FAKES_PER_VIDEO]
    pairs = [make_fakes(images[i], landmarks[i], draw, None) for i in at]
    return np.array(pairs).swapaxes(0, 1)
