"""Weights without fakes: how members take to pseudo-fakes of kinds that none has seen.

What comes of them is weights and nothing else. No figure of it is shown or reported: it
says nothing about the fakes of others.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ensemble.out_of_fold.fitting import FitSettings, Keep, fit_over_splits
from ensemble.out_of_fold.prefit import is_prefit
from ensemble.out_of_fold.training_set import TrainingSet

if TYPE_CHECKING:
    from base_models.augmentation.pseudo_fakes import PseudoFakes
    from base_models.store.store import Store

_NEEDS_MORE = ("reconstructed",)  # kinds that need an autoencoder


def unseen_kinds(detectors: list[Any]) -> PseudoFakes | None:
    """Return what makes the kinds of pseudo-fakes that no detector learns from.

    Parameters
    ----------
    detectors : list of detectors
        Unfitted, with ``pseudo_fakes`` where they learn from such.

    Returns
    -------
    PseudoFakes or None
        None where no kind is left, or where one learns from fakes of another maker.

    Examples
    --------
    >>> from base_models import FlickerDetector, FrequencyDetector, PseudoFakes
    >>> from ensemble.out_of_fold.unseen_kinds import unseen_kinds
    >>> train = PseudoFakes(["self_blended", "swapped"])
    >>> sorted(unseen_kinds([FlickerDetector(pseudo_fakes=train)]).kinds)
    ['reenacted', 'resynthesised']
    >>> unseen_kinds([FrequencyDetector()]) is None  # it learns from all kinds
    True
    """
    from base_models.augmentation.pseudo_fakes import (
        KINDS,
        PseudoFakes,
        resolve_pseudo_fakes,
    )

    seen = set()
    for detector in detectors:
        made = resolve_pseudo_fakes(getattr(detector, "pseudo_fakes", None), [0])
        if made is None:
            continue
        if not isinstance(made, PseudoFakes):
            return None
        kinds = KINDS if made.kinds is None else made.kinds
        odds = kinds if isinstance(kinds, dict) else dict.fromkeys(kinds, 1)
        seen |= {name for name, share in odds.items() if share > 0}
    left = {
        name: share
        for name, share in KINDS.items()
        if name not in seen and name not in _NEEDS_MORE
    }
    return PseudoFakes(left) if left else None


def unseen_kind_scores(
    named: list[tuple[str, Any]],
    training: TrainingSet,
    splits: list,
    settings: FitSettings,
) -> pd.DataFrame | None:
    """Score a pseudo-fake of each real video by detectors that saw neither.

    Each is made of a video that a split held out, by a kind that no detector learns
    from, and scored by the detectors of that split, which the store has.

    Parameters
    ----------
    named : list of (str, detector)
        Unfitted.
    training : TrainingSet
        Real videos alone.
    splits : list of (train, test)
        Rows of it; each row is tested once.
    settings : FitSettings
        As the detectors were fitted over the splits.

    Returns
    -------
    DataFrame of shape (n_videos, n_detectors) or None
        P(fake), in the training set's order, NaN where there is none. None where not
        all detectors can be asked, or no kind is left: they then weigh the same.
    """
    from dataclasses import replace

    from base_models.detectors.bases.video import ViewDetector
    from base_models.store.store import resolve_store

    can = [
        isinstance(d, ViewDetector) and hasattr(d, "get_state") and not is_prefit(d)
        for _, d in named
    ]
    fakes = unseen_kinds([detector for _, detector in named]) if all(can) else None
    if fakes is None or len(named) < 2:
        return None
    kept = replace(settings, keep=Keep.SPLITS, verbose=False)
    members = fit_over_splits(named, training, splits, kept).detectors
    store = resolve_store(settings.store)
    scores = np.full((len(training), len(named)), np.nan)
    for column, (name, _) in enumerate(named):
        made = MadeFakes(
            members[name][0], training, fakes, store, settings.random_state
        )
        for detector, (_, test) in zip(members[name], splits, strict=True):
            for row in test:
                scores[row, column] = made.score(detector, row)
    return pd.DataFrame(scores, training.ids, [name for name, _ in named])


class MadeFakes:
    """Pseudo-fakes, one of each video, as detectors of one view look at them.

    Parameters
    ----------
    detector : detector
        Whose view they are made of.
    training : TrainingSet
        Real videos alone.
    fakes : PseudoFakes
        What makes them.
    store : Store
    seed : int
        Of what is drawn.
    """

    def __init__(
        self,
        detector: Any,
        training: TrainingSet,
        fakes: PseudoFakes,
        store: Store | str | Path,
        seed: int,
    ) -> None:
        from base_models.training.image_batches import SizedFakes
        from base_models.views.collection import Views

        recipes = detector.view_recipes()
        self.recipe = recipes[0] if len(recipes) == 1 else None
        if self.recipe is None:
            return
        self.training, self.fakes, self.seed = training, fakes, seed
        made = SizedFakes(partial(fakes, keep_real=True), self.recipe.image_size)
        self.views = Views(training.videos, self.recipe, store)
        self.sources, self.landmarks = made.sources(self.views, store)
        self.make = made

    def score(self, detector: Any, row: int) -> float:
        """Return P(fake) of the pseudo-fake of a video; NaN where there is none.

        Parameters
        ----------
        detector : detector
            Fitted, one that looks at the same view.
        row : int
            Of the training set.

        Returns
        -------
        float
        """
        from base_models.store.store import store_key
        from base_models.views.view import View

        if self.recipe is None or self.sources.reasons[row]:
            return np.nan
        view, points = self.sources[row], self.landmarks(row)
        donor, donor_key = self._donor(row)
        images = [
            # the same kind and look for all of a video
            self.make(image, at, np.random.default_rng([self.seed, row]), donor)[1]
            for image, at in zip(view.images, points, strict=True)
        ]
        key = store_key(
            made_of=view.key,
            by=self.fakes,
            seed=self.seed,
            row=int(row),
            donor=donor_key,
        )
        made = View(np.stack(images), view.frames, view.faces, key=key)
        (recipe,) = detector.view_recipes()
        return detector.score_views({recipe.key: made}, {})[0]

    def _donor(self, row):
        """The first image of the next video of another group that has one."""
        groups = self.training.groups
        for step in range(1, len(self.training)):
            other = (row + step) % len(self.training)
            same = groups is not None and groups[other] == groups[row]
            if not same and not self.sources.reasons[other]:
                view = self.sources[other]
                return (view.images[0], self.landmarks(other)[0]), view.key
        return None, None
