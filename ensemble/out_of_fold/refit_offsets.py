"""How far a detector fitted on all videos scores from those of the folds.

A combiner learns from scores of detectors that were fitted on parts of the videos, and
then judges those of one fitted on all of them. At chance level such networks say much
the same of every video, but each something else: .4999 and .4996. What that offset is
worth in P(fake) the combiner must know.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.out_of_fold.prefit import is_prefit
from ensemble.scores.provenance import Provenance, stated

if TYPE_CHECKING:
    import pandas as pd

    from base_models.store.store import Store
    from ensemble.out_of_fold.training_set import TrainingSet

_MAX_VIDEOS = 16  # of each class that are scored once more


def with_refit_offsets(
    table: pd.DataFrame,
    detectors: Any,
    training: TrainingSet,
    store: Store | str | Path | None = None,
) -> pd.DataFrame:
    """State beside out-of-fold scores how far off the refitted detectors score.

    Parameters
    ----------
    table : DataFrame of shape (n_videos, n_detectors)
        Out-of-fold scores of some of the detectors.
    detectors : dict of str to detector, or to list of detectors
        Fitted.
    training : TrainingSet
    store : Store, str, Path or None, default=None

    Returns
    -------
    table : DataFrame
        The same; its provenance has ``refit_offsets`` where a detector was fitted once
        more on all videos, real and fake, and pooled over frames alike.
    """
    refitted = {
        name: detectors[name]
        for name in table
        if not isinstance(detectors[name], list) and not is_prefit(detectors[name])
    }
    one_face = Provenance.of(table).faces_pooling == "largest"
    if refitted and one_face and training.is_fake.any():
        offsets = refit_offsets(refitted, training, table, store)
        known = table.attrs["provenance"]
        table.attrs["provenance"] = known | stated(refit_offsets=offsets)
    return table


def refit_offsets(
    detectors: dict[str, Any],
    training: TrainingSet,
    table: pd.DataFrame,
    store: Store | str | Path | None = None,
) -> dict[str, float]:
    """Measure how far refitted detectors' scores lie from the out-of-fold ones.

    A refitted detector has seen the videos and is surer of them, of both classes: half
    the distance of its class means is taken off the offset, as it may be that alone.

    Parameters
    ----------
    detectors : dict of str to detector
        Fitted on all videos.
    training : TrainingSet
    table : DataFrame of shape (n_videos, n_detectors)
        Their out-of-fold scores, rows named as in `training`.
    store : Store, str, Path or None, default=None

    Returns
    -------
    offsets : dict of str to float
        In P(fake), above 0 where the refitted one scores higher; without detectors
        for which a class has no score.
    """
    from base_models.scoring.together import score_videos

    rows = training.rows(table.index)
    chosen = []
    for label in (0, 1):
        own = np.sort(rows[training.is_fake[rows] == label])
        places = np.linspace(0, len(own) - 1, min(len(own), _MAX_VIDEOS))
        chosen += own[np.unique(places.astype(int))].tolist()
    videos = [training.videos[row] for row in chosen]
    refitted, _ = score_videos(list(detectors.items()), videos, store)
    names = [training.ids[row] for row in chosen]
    is_fake = training.is_fake[chosen]
    offsets = {}
    for column, name in enumerate(detectors):
        now, before = refitted[:, column], table.loc[names, name].to_numpy(float)
        known = ~np.isnan(now - before)
        if len(np.unique(is_fake[known])) == 2:
            offsets[name] = offset_between(now[known], before[known], is_fake[known])
    return offsets


def offset_between(now, before, is_fake):
    moved = [np.mean((now - before)[is_fake == label]) for label in (0, 1)]
    real, fake = (now[is_fake == label].mean() for label in (0, 1))
    offset = np.mean(moved)
    return float(np.sign(offset) * max(abs(offset) - abs(fake - real) / 2, 0.0))
