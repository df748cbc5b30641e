"""The table of out-of-fold scores, and where they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.inputs import clean_labels
from ensemble.out_of_fold.prefit import is_prefit
from ensemble.out_of_fold.training_set import TrainingSet
from ensemble.scores.provenance import Provenance, stated
from ensemble.scores.table import concat_scores, score_table


def out_of_fold_table(
    outcome: Any,
    training: TrainingSet,
    splits: list,
    names: list[str],
    y: ArrayLike,
    skipped: dict[str, str] | None = None,
) -> pd.DataFrame:
    """Lay out-of-fold scores as a score table, in the order the rows were given.

    Parameters
    ----------
    outcome : OutOfFold
        From `fit_over_splits`.
    training : TrainingSet
        The videos.
    splits : list of (train, test)
        The same rows as for the fits.
    names : list of str
        The detectors' names.
    y : array-like of shape (n_videos,)
        The labels, as they were given.
    skipped : dict of str to str or None, default=None
        Videos that were left out before, and why.

    Returns
    -------
    DataFrame
        Without the rows that no split tested.
    """
    tested = np.zeros(len(training), int)
    fold = np.full(len(training), -1)
    for number, (_, test) in enumerate(splits):
        tested[test] += 1
        fold[test] = number
    kept = np.flatnonzero(tested[training.given])
    rows = training.given[kept]
    once = bool((tested <= 1).all())
    return score_table(
        outcome.scores[rows],
        [training.ids[row] for row in rows],
        names,
        label=clean_labels(y)[kept].tolist(),
        group=None if training.groups is None else training.groups[rows].tolist(),
        fold=fold[rows].tolist() if once else None,
        reasons=outcome.reasons[rows],
        provenance=stated(
            out_of_fold=True,
            splits=len(splits),
            scores_per_video=round(float(tested[rows].mean()), 2),
            **outcome.provenance,
            **({"skipped_videos": skipped} if skipped else {}),
        ),
    )


def with_column(table: pd.DataFrame, column: pd.DataFrame) -> pd.DataFrame:
    """Return a score table with one more column, and where that comes from."""
    joined = concat_scores([table, column], axis=1)
    first, second = Provenance.of(table), Provenance.of(column)
    both = stated(
        prefit=first.prefit + second.prefit,
        trained_on=first.trained_on | second.trained_on,
        refit_offsets=first.refit_offsets | second.refit_offsets,
    )
    known = {name: value for name, value in both.items() if value}
    joined.attrs["provenance"] = table.attrs["provenance"] | known
    return joined


def provenance_of(named: list[Any]) -> Any:
    """Say which detectors were fitted before, and what any of them saw before."""
    prefit = [name for name, detector in named if is_prefit(detector)]
    cards = {name: getattr(detector, "card_", None) for name, detector in named}
    trained_on = {
        name: _names((card or {}).get("trained_on"))
        for name, card in cards.items()
        if card is not None or name in prefit
    }
    known = stated(prefit=prefit, trained_on=trained_on)
    return {key: value for key, value in known.items() if value}


def _names(seen):
    return [seen] if isinstance(seen, str) else seen if seen is None else list(seen)
